/*
 * What a benchmark measures beside itself: this processor's flags, its peak of fused multiply-adds
 * in the instruction set in use, and how fast it reads memory. A figure means something only as a
 * ratio to these, taken in the same run.
 */
#ifndef RL_TESTS_BENCH_PROBE_H
#define RL_TESTS_BENCH_PROBE_H

#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "rl/core/clock.h"
#include "rl/core/pool.h"
#include "rl/tensor/cpu.h"

#if defined(__x86_64__)
#include <immintrin.h>

/* 12 different chains, enough to hide the latency; the result keeps the loop alive. */
__attribute__((target("avx2,fma"))) static inline float probe_fma_256(int64_t n) {
    __m256 x = _mm256_set1_ps(0.999f), y = _mm256_set1_ps(0.001f);
    __m256 a = _mm256_set1_ps(1), b = _mm256_set1_ps(2), c = _mm256_set1_ps(3);
    __m256 d = _mm256_set1_ps(4), e = _mm256_set1_ps(5), f = _mm256_set1_ps(6);
    __m256 g = _mm256_set1_ps(7), h = _mm256_set1_ps(8), i = _mm256_set1_ps(9);
    __m256 j = _mm256_set1_ps(10), k = _mm256_set1_ps(11), l = _mm256_set1_ps(12);
    for (int64_t t = 0; t < n; t++) {
        a = _mm256_fmadd_ps(a, x, y), b = _mm256_fmadd_ps(b, x, y), c = _mm256_fmadd_ps(c, x, y);
        d = _mm256_fmadd_ps(d, x, y), e = _mm256_fmadd_ps(e, x, y), f = _mm256_fmadd_ps(f, x, y);
        g = _mm256_fmadd_ps(g, x, y), h = _mm256_fmadd_ps(h, x, y), i = _mm256_fmadd_ps(i, x, y);
        j = _mm256_fmadd_ps(j, x, y), k = _mm256_fmadd_ps(k, x, y), l = _mm256_fmadd_ps(l, x, y);
    }
    a = _mm256_add_ps(_mm256_add_ps(_mm256_add_ps(a, b), _mm256_add_ps(c, d)),
                      _mm256_add_ps(_mm256_add_ps(e, f), _mm256_add_ps(g, h)));
    return _mm256_cvtss_f32(
        _mm256_add_ps(a, _mm256_add_ps(_mm256_add_ps(i, j), _mm256_add_ps(k, l))));
}

__attribute__((target("avx512f"))) static inline float probe_fma_512(int64_t n) {
    __m512 x = _mm512_set1_ps(0.999f), y = _mm512_set1_ps(0.001f);
    __m512 a = _mm512_set1_ps(1), b = _mm512_set1_ps(2), c = _mm512_set1_ps(3);
    __m512 d = _mm512_set1_ps(4), e = _mm512_set1_ps(5), f = _mm512_set1_ps(6);
    __m512 g = _mm512_set1_ps(7), h = _mm512_set1_ps(8), i = _mm512_set1_ps(9);
    __m512 j = _mm512_set1_ps(10), k = _mm512_set1_ps(11), l = _mm512_set1_ps(12);
    for (int64_t t = 0; t < n; t++) {
        a = _mm512_fmadd_ps(a, x, y), b = _mm512_fmadd_ps(b, x, y), c = _mm512_fmadd_ps(c, x, y);
        d = _mm512_fmadd_ps(d, x, y), e = _mm512_fmadd_ps(e, x, y), f = _mm512_fmadd_ps(f, x, y);
        g = _mm512_fmadd_ps(g, x, y), h = _mm512_fmadd_ps(h, x, y), i = _mm512_fmadd_ps(i, x, y);
        j = _mm512_fmadd_ps(j, x, y), k = _mm512_fmadd_ps(k, x, y), l = _mm512_fmadd_ps(l, x, y);
    }
    a = _mm512_add_ps(_mm512_add_ps(_mm512_add_ps(a, b), _mm512_add_ps(c, d)),
                      _mm512_add_ps(_mm512_add_ps(e, f), _mm512_add_ps(g, h)));
    return _mm512_cvtss_f32(
        _mm512_add_ps(a, _mm512_add_ps(_mm512_add_ps(i, j), _mm512_add_ps(k, l))));
}

__attribute__((target("avx2"))) static inline int64_t probe_sum(const int64_t *x, int64_t n) {
    __m256i a = _mm256_setzero_si256(), b = a, c = a, d = a;
    for (int64_t i = 0; i + 16 <= n; i += 16) {
        const __m256i *v = (const __m256i *)(const void *)(x + i);
        a = _mm256_add_epi64(a, _mm256_loadu_si256(v));
        b = _mm256_add_epi64(b, _mm256_loadu_si256(v + 1));
        c = _mm256_add_epi64(c, _mm256_loadu_si256(v + 2));
        d = _mm256_add_epi64(d, _mm256_loadu_si256(v + 3));
    }
    a = _mm256_add_epi64(_mm256_add_epi64(a, b), _mm256_add_epi64(c, d));
    return _mm256_extract_epi64(a, 0) + _mm256_extract_epi64(a, 1) + _mm256_extract_epi64(a, 2) +
           _mm256_extract_epi64(a, 3);
}
#else
static inline int64_t probe_sum(const int64_t *x, int64_t n) {
    int64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        sum += x[i];
    }
    return sum;
}
#endif

/*
 * Seconds for a benchmark: of this thread's own processor time when it works alone, so that
 * neighbours on the machine do not count as ours; else of the clock on the wall.
 */
static inline double probe_clock(int32_t n_threads) {
    struct timespec now;
    if (n_threads != 1 || clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now) != 0) {
        return rl_clock_now();
    }
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

/* Calls of one probe, shared out: item i stores its result in sink[i]. */
typedef struct probe_job {
    rl_kernels kernels;
    const int64_t *memory;
    int64_t length; // of an item's loop or of its part of memory
    volatile double sink[64];
} probe_job;

static inline void probe_fma_item(void *context, int64_t begin, int64_t end, int32_t worker) {
    probe_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
#if defined(__x86_64__)
        if (job->kernels == RL_KERNELS_AVX512) {
            job->sink[i] = (double)probe_fma_512(job->length);
        } else if (job->kernels == RL_KERNELS_AVX2) {
            job->sink[i] = (double)probe_fma_256(job->length);
        }
#endif
    }
}

static inline void probe_read_item(void *context, int64_t begin, int64_t end, int32_t worker) {
    probe_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        job->sink[i] = (double)probe_sum(job->memory + i * job->length, job->length);
    }
}

/* Best of several, in flop/s over all threads; 0 where there is no vector set to probe. */
static inline double probe_peak(rl_pool *pool, int32_t n_threads, rl_kernels kernels) {
    probe_job job = {.kernels = kernels, .length = 1000000};
    double best = 0, flops = (kernels == RL_KERNELS_AVX512 ? 32.0 : 16.0) * 12.0 * 1e6;
    if (kernels != RL_KERNELS_AVX512 && kernels != RL_KERNELS_AVX2) {
        return 0;
    }
    for (int i = 0; i < 15; i++) {
        double begin = probe_clock(n_threads), speed;
        rl_pool_run(pool, n_threads, 1, probe_fma_item, &job);
        speed = flops * n_threads / (probe_clock(n_threads) - begin);
        best = speed > best ? speed : best;
    }
    return best;
}

/* Best of several, in bytes/s over all threads; n_bytes should be far more than the caches hold. */
static inline double probe_read(rl_pool *pool, int32_t n_threads, const void *memory,
                                int64_t n_bytes) {
    probe_job job = {.memory = memory, .length = n_bytes / 64 / (int64_t)sizeof(int64_t)};
    double best = 0;
    for (int i = 0; i < 5; i++) {
        double begin = probe_clock(n_threads), speed;
        rl_pool_run(pool, 64, 1, probe_read_item, &job);
        speed = (double)n_bytes / (probe_clock(n_threads) - begin);
        best = speed > best ? speed : best;
    }
    return best;
}

/* The processor's own words, where the system tells them. */
static inline void probe_print_flags(void) {
    static char line[8192];
    bool model = false, flags = false;
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file != NULL && fgets(line, sizeof line, file) != NULL) {
        if (!model && strncmp(line, "model name", 10) == 0) {
            fputs(line, stdout);
            model = true;
        }
        if (!flags && strncmp(line, "flags", 5) == 0) {
            static const char *const names[] = {" avx2 ",        " fma ",         " avx512f ",
                                                " avx512bw ",    " avx512dq ",    " avx512vl ",
                                                " avx512_bf16 ", " avx512_vnni ", " amx_tile "};
            printf("flags:");
            for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
                printf("%s", strstr(line, names[i]) != NULL ? names[i] : "");
            }
            printf("\n");
            flags = true;
        }
    }
    if (file != NULL) {
        fclose(file);
    }
}

#endif
