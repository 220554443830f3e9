/*
 * The linear layers of SmolLM2-135M: `bench_gemm [threads [kernels [layer]]]`. Each line gives the
 * time as a ratio to the larger of its two bounds (weights read once at the probed speed,
 * multiply-adds at the probed peak), the share of the peak, and how many times as long OpenBLAS
 * takes. Weights are rotated through more memory than the caches hold, as in decoding.
 */
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/tensor/ops.h"
#include "tensor/cpu/gemm_blas.h"
#include "tests/bench/probe.h"

enum { POOL_BYTES = 320 << 20, MOST_ROWS = 1024, PROBE_BYTES = 256 << 20 };

static const struct {
    const char *name;
    int64_t n_out, n_in;
} shapes[] = {
    {"qkv", 960, 576},   {"o", 576, 576},         {"gate+up", 3072, 576},
    {"down", 576, 1536}, {"lm_head", 49152, 576},
};

static const int64_t batches[] = {1, 2, 4, 8, 16, 32, 64, 256, 1024};

typedef struct bench {
    rl_backend *be;
    rl_buffer *weights, *in, *out; // POOL_BYTES, inputs, outputs
    rl_pool *pool;
    int32_t n_threads;
    double peak, read;
} bench;

/* BLAS on the same layer, shared out over rows of the output where there are enough. */
typedef struct blas_job {
    const float *in, *weight;
    float *out;
    int64_t n_rows, n_out, n_in;
    int32_t parts;
} blas_job;

static void blas_part(void *context, int64_t begin, int64_t end, int32_t worker) {
    const blas_job *job = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        int64_t first = job->n_out * i / job->parts, last = job->n_out * (i + 1) / job->parts;
        rl_cpu_gemm g = {
            .m = job->n_rows,
            .n = last - first,
            .k = job->n_in,
            .a = job->in,
            .b = job->weight + first * job->n_in,
            .out = job->out + first,
            .a_stride = job->n_in,
            .b_stride = job->n_in,
            .out_stride = job->n_out,
            .b_t = true,
        };
        rl_cpu_sgemm(&g);
    }
}

/* Best seconds of a call; calls walk through the weights' memory. */
static double best_time(const bench *b, int64_t n_out, int64_t n_in, int64_t n_rows, bool blas,
                        float *host_in, float *host_weights, float *host_out) {
    int64_t size = rl_packed_len(b->be, n_out, n_in), n_places = POOL_BYTES / 4 / size;
    double flops = 2.0 * (double)n_rows * (double)n_out * (double)n_in;
    int64_t calls = 1 + (int64_t)(5e8 / (flops + 2e7)); // a few ms a round
    double best = 1e9;
    int64_t place = 0;
    for (int round = 0; round < 15; round++) {
        double begin = probe_clock(b->n_threads), time;
        for (int64_t i = 0; i < calls; i++) {
            place = (place + 1) % n_places;
            if (blas) {
                blas_job job = {
                    host_in,     host_weights + place * size, host_out, n_rows, n_out, n_in,
                    b->n_threads};
                rl_pool_run(b->pool, job.parts, 1, blas_part, &job);
            } else {
                rl_op_linear(
                    b->be, rl_tensor_2d(RL_DTYPE_F32, b->out, 0, n_rows, n_out),
                    rl_tensor_2d(RL_DTYPE_F32, b->in, 0, n_rows, n_in),
                    rl_tensor_1d(RL_DTYPE_F32, b->weights, (size_t)(place * size) * 4, size),
                    false);
            }
        }
        time = (probe_clock(b->n_threads) - begin) / (double)calls;
        best = time < best ? time : best;
    }
    return best;
}

static void run(const bench *b, const char *only, float *host_in, float *host_weights,
                float *host_out) {
    printf("%-8s %6s %10s %8s %8s %10s %10s\n", "layer", "rows", "us", "GF/s", "of peak",
           "of bound", "BLAS takes");
    if (b->n_threads == 1) {
        printf("(times are of the thread's own processor time)\n");
    }
    for (size_t s = 0; s < sizeof shapes / sizeof shapes[0]; s++) {
        for (size_t m = 0; m < sizeof batches / sizeof batches[0]; m++) {
            int64_t n_out = shapes[s].n_out, n_in = shapes[s].n_in, rows = batches[m];
            double flops = 2.0 * (double)rows * (double)n_out * (double)n_in;
            double bytes = 4.0 * (double)n_out * (double)n_in;
            double time, blas, bound;
            if (only != NULL && strcmp(only, shapes[s].name) != 0) {
                continue;
            }
            if (rows * n_out > (int64_t)256 * 49152) {
                continue; // logits are made in blocks of rows
            }
            time = best_time(b, n_out, n_in, rows, false, NULL, NULL, NULL);
            blas = best_time(b, n_out, n_in, rows, true, host_in, host_weights, host_out);
            bound = bytes / b->read;
            if (b->peak > 0 && flops / b->peak > bound) {
                bound = flops / b->peak;
            }
            printf("%-8s %6d %10.1f %8.1f %7.1f%% %9.2fx %9.2fx\n", shapes[s].name, (int)rows,
                   time * 1e6, flops / time * 1e-9,
                   b->peak > 0 ? flops / time / b->peak * 100 : 0.0, time / bound, blas / time);
            fflush(stdout);
        }
    }
}

static rl_status open_bench(bench *b, int32_t n_threads, rl_kernels kernels, rl_err *err) {
    size_t wide = (size_t)256 * 49152 * 4;
    rl_status status = rl_pool_new(n_threads, true, &b->pool, err);
    status = status == RL_OK ? rl_cpu_open(kernels, b->pool, &b->be, err) : status;
    status = status == RL_OK ? rl_buffer_alloc(b->be, POOL_BYTES, &b->weights, err) : status;
    status = status == RL_OK ? rl_buffer_alloc(b->be, (size_t)MOST_ROWS * 1536 * 4, &b->in, err)
                             : status;
    status = status == RL_OK ? rl_buffer_alloc(b->be, wide, &b->out, err) : status;
    b->n_threads = n_threads;
    return status;
}

int main(int argc, char **argv) {
    int32_t n_threads = argc > 1 ? (int32_t)strtol(argv[1], NULL, 10) : 1;
    rl_kernels kernels = RL_KERNELS_AUTO;
    bench b = {0};
    rl_err err;
    void *host[3] = {NULL, NULL, NULL};
    size_t sizes[3] = {(size_t)MOST_ROWS * 1536 * 4, POOL_BYTES, (size_t)256 * 49152 * 4};
    for (int i = 0; argc > 2 && rl_kernels_names[i] != NULL; i++) {
        kernels = strcmp(argv[2], rl_kernels_names[i]) == 0 ? (rl_kernels)i : kernels;
    }
    if (open_bench(&b, n_threads, kernels, &err) != RL_OK) {
        fprintf(stderr, "bench_gemm: %s\n", err.text);
        return 1;
    }
    for (int i = 0; i < 3; i++) {
        if (rl_try_alloc(sizes[i], "bench", &host[i], &err) != RL_OK) {
            fprintf(stderr, "bench_gemm: %s\n", err.text);
            return 1;
        }
        for (size_t j = 0; j < sizes[i] / 4; j++) {
            ((float *)host[i])[j] = (float)(j % 7) * 0.125f - 0.375f;
        }
    }
    rl_op_fill(b.be, rl_tensor_1d(RL_DTYPE_F32, b.weights, 0, POOL_BYTES / 4), 0.25f);
    rl_op_fill(b.be, rl_tensor_1d(RL_DTYPE_F32, b.in, 0, (int64_t)MOST_ROWS * 1536), 0.5f);
    kernels = strncmp(rl_cpu_describe(b.be), "avx512", 6) == 0 ? RL_KERNELS_AVX512
              : strncmp(rl_cpu_describe(b.be), "avx2", 4) == 0 ? RL_KERNELS_AVX2
                                                               : RL_KERNELS_REF;
    probe_print_flags();
    b.peak = probe_peak(b.pool, n_threads, kernels);
    b.read = probe_read(b.pool, n_threads, host[1], PROBE_BYTES);
    printf("%s; peak %.1f GF/s, read %.1f GB/s\n", rl_cpu_describe(b.be), b.peak * 1e-9,
           b.read * 1e-9);
    run(&b, argc > 3 ? argv[3] : NULL, host[0], host[1], host[2]);
    printf("again: peak %.1f GF/s, read %.1f GB/s\n", probe_peak(b.pool, n_threads, kernels) * 1e-9,
           probe_read(b.pool, n_threads, host[1], PROBE_BYTES) * 1e-9);
    for (int i = 0; i < 3; i++) {
        rl_free_large(host[i], sizes[i]);
    }
    rl_buffer_free(b.be, b.weights);
    rl_buffer_free(b.be, b.in);
    rl_buffer_free(b.be, b.out);
    rl_cpu_close(b.be);
    rl_pool_free(b.pool);
    return 0;
}
