/*
 * The loops of back_kern.h over vectors of the compiler. The including file defines LANES (4, 8 or
 * 16 floats) before, and root(), the lane-wise square root, after.
 *
 * Why every LANES gives the same bits: element-wise arithmetic does not see the width, and sums run
 * in 16 lanes, element i in lane i mod 16, folded 8, 4, 2, 1; PARTS vectors make up the 16 lanes.
 */
#ifndef RL_TENSOR_CPU_BACK_LOOPS_H
#define RL_TENSOR_CPU_BACK_LOOPS_H

#include "tensor/cpu/back_kern.h"

#include <string.h>

#include "tensor/cpu/kern.h"

typedef float vec __attribute__((vector_size(4 * LANES)));
typedef int32_t ivec __attribute__((vector_size(4 * LANES)));
typedef uint32_t uvec __attribute__((vector_size(4 * LANES)));
typedef float half_float __attribute__((vector_size(2 * LANES)));
typedef double half_double __attribute__((vector_size(4 * LANES)));

enum { VIRTUAL = 16, PARTS = VIRTUAL / LANES, HALF = LANES / 2, HALVES = VIRTUAL / HALF };

/* 16 lanes as they add up. */
typedef struct sum16 {
    vec part[PARTS];
} sum16;

static inline vec root(vec x);

static inline vec load(const float *x) {
    vec v;
    memcpy(&v, x, sizeof v);
    return v;
}

static inline void store(float *x, vec v) {
    memcpy(x, &v, sizeof v);
}

/* The first n < LANES elements, the rest 0. */
static inline vec load_few(const float *x, int64_t n) {
    vec v = {0};
    memcpy(&v, x, (size_t)n * sizeof *x);
    return v;
}

static inline void store_few(float *x, vec v, int64_t n) {
    memcpy(x, &v, (size_t)n * sizeof *x);
}

static inline vec load_some(const float *x, int64_t n) {
    return n >= LANES ? load(x) : load_few(x, n > 0 ? n : 0);
}

static inline void store_some(float *x, vec v, int64_t n) {
    if (n >= LANES) {
        store(x, v);
    } else if (n > 0) {
        store_few(x, v, n);
    }
}

static inline vec splat(float x) {
    return x - (vec){0};
}

/* Lanes of a where mask is all ones, of b where it is 0. */
static inline vec pick(ivec mask, vec a, vec b) {
    return (vec)((mask & (ivec)a) | (~mask & (ivec)b));
}

static inline float fold16(const sum16 *sum) {
    float lane[VIRTUAL];
    memcpy(lane, sum, sizeof lane);
    for (int width = VIRTUAL / 2; width > 0; width /= 2) {
        for (int i = 0; i < width; i++) {
            lane[i] += lane[i + width];
        }
    }
    return lane[0];
}

/*
 * e^x for x in [-87.3, 88]; 0 below, e^88 above; NaN stays NaN. Cephes' expf: x = n ln 2 + r with
 * ln 2 in two parts, a polynomial in r of degree 7, times 2^n through the exponent bits. Error
 * below 2 units in the last place.
 */
static inline vec exponential(vec x) {
    const float round_bias = 12582912.0f; // 1.5 * 2^23: adding it rounds to a whole number
    ivec tiny = x<-87.3f, huge = x> 88.0f;
    x = pick(tiny, splat(-87.3f), x);
    x = pick(huge, splat(88.0f), x);
    vec n = x * 1.44269504088896341f + round_bias;
    vec power = (vec)(((uvec)n << 23) + (127u << 23));
    n -= round_bias;
    vec r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    vec p = r * 1.9875691500e-4f + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    p = p * (r * r) + r + 1.0f;
    return pick(tiny, splat(0), p * power);
}

static void add_loop(float *out, const float *in, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        store_some(out + i, load_some(out + i, n - i) + load_some(in + i, n - i), n - i);
    }
}

static double sum_squares_loop(const float *x, int64_t n) {
    half_double acc[HALVES] = {{0}};
    double lane[VIRTUAL];
    int64_t i = 0;
    for (; i + VIRTUAL <= n; i += VIRTUAL) {
#pragma GCC unroll 8
        for (int h = 0; h < HALVES; h++) {
            half_float v;
            memcpy(&v, x + i + h * HALF, sizeof v);
            half_double d = __builtin_convertvector(v, half_double);
            acc[h] += d * d;
        }
    }
    memcpy(lane, acc, sizeof lane);
    for (int k = 0; i < n; i++, k++) {
        lane[k] += (double)x[i] * (double)x[i];
    }
    for (int width = VIRTUAL / 2; width > 0; width /= 2) {
        for (int k = 0; k < width; k++) {
            lane[k] += lane[k + width];
        }
    }
    return lane[0];
}

static void rms_norm_loop(float *d_in, float *d_weight, const float *d_out, const float *x,
                          const float *weight, float rstd, int64_t n) {
    sum16 sum = {0};
    for (int64_t i = 0; i < n; i += VIRTUAL) {
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++) {
            int64_t at = i + p * LANES, left = n - at;
            sum.part[p] += load_some(d_out + at, left) * load_some(weight + at, left) *
                           load_some(x + at, left);
        }
    }
    float pull = fold16(&sum) * (rstd * rstd * rstd / (float)n);
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t left = n - i;
        vec g = load_some(d_out + i, left), v = load_some(x + i, left);
        vec d = g * load_some(weight + i, left) * rstd - v * pull;
        store_some(d_in + i, load_some(d_in + i, left) + d, left);
        store_some(d_weight + i, load_some(d_weight + i, left) + g * (v * rstd), left);
    }
}

static void swiglu_loop(float *d_gate, float *d_up, const float *d_out, const float *gate,
                        const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t left = n - i;
        vec d = load_some(d_out + i, left), g = load_some(gate + i, left);
        vec s = 1.0f / (1.0f + exponential(-g));
        vec du = d * (g * s);
        vec dg = d * load_some(up + i, left) * (s * (1.0f + g * (1.0f - s)));
        store_some(d_up + i, du, left);
        store_some(d_gate + i, dg, left);
    }
}

/* gelu(g) = g s(z), s the logistic function and z = g (a + b g^2). */
static void geglu_loop(float *d_gate, float *d_up, const float *d_out, const float *gate,
                       const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t left = n - i;
        vec d = load_some(d_out + i, left), g = load_some(gate + i, left), square = g * g;
        vec s = 1.0f / (1.0f + exponential(-g * (square * RL_GELU_B + RL_GELU_A)));
        vec slope = s * (1.0f - s) * (square * (3.0f * RL_GELU_B) + RL_GELU_A); // of s(z), by g
        vec du = d * (g * s);
        vec dg = d * load_some(up + i, left) * (s + g * slope);
        store_some(d_up + i, du, left);
        store_some(d_gate + i, dg, left);
    }
}

static float max_loop(const float *x, int64_t n) {
    float lane[LANES], max = x[0];
    if (n < LANES) {
        for (int64_t i = 1; i < n; i++) {
            max = x[i] > max ? x[i] : max;
        }
        return max;
    }
    vec most = load(x + n - LANES); // the last vector overlaps: a maximum may count twice
    for (int64_t i = 0; i + LANES <= n; i += LANES) {
        vec v = load(x + i);
        most = pick(v > most, v, most);
    }
    memcpy(lane, &most, sizeof lane);
    for (int k = 0; k < LANES; k++) {
        max = lane[k] > max ? lane[k] : max;
    }
    return max;
}

/* The first n lanes, all of them where n >= LANES, as a mask. */
static inline ivec first_lanes(int64_t n) {
    ivec lane;
    for (int32_t i = 0; i < LANES; i++) {
        lane[i] = i;
    }
    return lane < (int32_t)(n < LANES ? n : LANES);
}

/* A row of attention: score and d_prob have `room` elements, of which n_seen are read. */
typedef struct attention_row {
    float *score, *d_prob;
    int64_t n_seen, room;
    float max, scale;
} attention_row;

/* e of one vector, 0 past what is seen, left in score; adds to the lanes' sums. */
static inline void attention_sums(const attention_row *row, int64_t at, vec *sum, vec *pull) {
    int64_t room = row->room - at;
    vec e = exponential((load_some(row->score + at, room) - row->max) * row->scale);
    vec d = load_some(row->d_prob + at, room);
    if (row->n_seen - at < LANES) {
        ivec seen = first_lanes(row->n_seen - at);
        e = pick(seen, e, splat(0));
        d = pick(seen, d, splat(0));
    }
    store_some(row->score + at, e, room);
    *sum += e;
    *pull += e * d;
}

static inline void attention_gradient(const attention_row *row, int64_t at, float inv_sum,
                                      float mean) {
    int64_t room = row->room - at;
    vec prob = load_some(row->score + at, room) * inv_sum;
    vec d = prob * (load_some(row->d_prob + at, room) - mean) * row->scale;
    if (row->n_seen - at < LANES) {
        d = pick(first_lanes(row->n_seen - at), d, splat(0));
    }
    store_some(row->score + at, prob, room);
    store_some(row->d_prob + at, d, room);
}

static void attention_loop(float *score, float *d_prob, int64_t n_seen, int64_t n, float scale) {
    attention_row row = {score, d_prob, n_seen, n, max_loop(score, n_seen), scale};
    sum16 sum = {0}, pull = {0};
    int64_t i = 0;
    for (; i < n_seen; i += VIRTUAL) {
#pragma GCC unroll 4
        for (int p = 0; p < PARTS; p++) {
            attention_sums(&row, i + p * LANES, &sum.part[p], &pull.part[p]);
        }
    }
    float inv_sum = 1.0f / fold16(&sum), mean = fold16(&pull) * inv_sum;
    for (i = 0; i < n_seen; i += LANES) {
        attention_gradient(&row, i, inv_sum, mean);
    }
    if (i < n) {
        memset(score + i, 0, (size_t)(n - i) * sizeof *score);
        memset(d_prob + i, 0, (size_t)(n - i) * sizeof *d_prob);
    }
}

/* x' where e is not 0, a number that does no harm elsewhere (logits may be -infinity). */
static inline vec shifted(vec x, float max, float inv_t) {
    vec v = (x - max) * inv_t;
    return pick(v < -1000.0f, splat(-1000.0f), v);
}

static rl_softmax_stats softmax_loop(float *out, const float *x, int64_t n, float inv_t) {
    enum { BLOCK = 1024 }; // summed in float, then in double: vocabularies are long
    rl_softmax_stats stats = {.max = max_loop(x, n)};
    for (int64_t begin = 0; begin < n; begin += BLOCK) {
        int64_t end = n - begin > BLOCK ? begin + BLOCK : n;
        sum16 sum = {0}, sum_x = {0};
        for (int64_t i = begin; i < end; i += VIRTUAL) {
            float rest[VIRTUAL];
            const float *from = x + i;
            if (end - i < VIRTUAL) {
                for (int k = 0; k < VIRTUAL; k++) { // padded with what adds exactly 0
                    rest[k] = i + k < end ? x[i + k] : -__builtin_inff();
                }
                from = rest;
            }
#pragma GCC unroll 4
            for (int p = 0; p < PARTS; p++) {
                vec v = shifted(load(from + p * LANES), stats.max, inv_t);
                vec e = exponential(v);
                sum.part[p] += e;
                sum_x.part[p] += e * v;
                if (out != NULL) {
                    store_some(out + i + p * LANES, e, end - i - p * LANES);
                }
            }
        }
        stats.sum += (double)fold16(&sum);
        stats.sum_x += (double)fold16(&sum_x);
    }
    return stats;
}

static void scale_loop(float *x, int64_t n, float by) {
    for (int64_t i = 0; i < n; i += LANES) {
        store_some(x + i, load_some(x + i, n - i) * by, n - i);
    }
}

static void logprob_loop(float *out, const float *x, int64_t n, float max, float inv_t, float a,
                         float b) {
    for (int64_t i = 0; i < n; i += LANES) {
        vec v = shifted(load_some(x + i, n - i), max, inv_t);
        store_some(out + i, exponential(v) * (a + b * v), n - i);
    }
}

static void adamw_loop(float *param, float *m, float *v, const float *grad, int64_t n,
                       const rl_adamw_row *row) {
    for (int64_t i = 0; i < n; i += LANES) {
        int64_t left = n - i;
        vec g = load_some(grad + i, left) * row->grad_scale;
        vec m1 = load_some(m + i, left), v1 = load_some(v + i, left);
        m1 = m1 + (g - m1) * row->beta1_left;
        v1 = v1 * row->beta2 + g * g * row->beta2_left;
        store_some(m + i, m1, left);
        store_some(v + i, v1, left);
        vec below = root(v1) / row->root + row->eps;
        vec p = load_some(param + i, left) * row->decay;
        store_some(param + i, p - row->step * m1 / below, left);
    }
}

#define BACK_KERN                                                                                  \
    {                                                                                              \
        .add = add_loop, .sum_squares = sum_squares_loop, .rms_norm = rms_norm_loop,               \
        .swiglu = swiglu_loop, .geglu = geglu_loop, .attention = attention_loop,                   \
        .softmax = softmax_loop, .scale = scale_loop, .logprob = logprob_loop, .adamw = adamw_loop \
    }

#endif
