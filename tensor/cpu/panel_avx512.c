/* Products in 512-bit registers: 8 rows by 48 columns, 24 running sums. */
#include "tensor/cpu/kern.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>

enum {
    ROWS = 8,
    UNROLL = 4,
    LINE = 64,           // bytes of a cache line
    SOON = 48 * RL_PANEL // how far a single pass reads ahead
};

/*
 * Loops over registers must be unrolled: left as loops, the registers become memory. Clang does it
 * in panel_rows only when given the count, and elsewhere only when told that it is all.
 */
#if defined(__clang__)
#define UNROLL_ALL _Pragma("clang loop unroll(full)")
#else
#define UNROLL_ALL _Pragma("GCC unroll 8")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static __mmask16 mask_of(int32_t n) {
    return n >= RL_LANES ? 0xffff : n > 0 ? (__mmask16)((1u << n) - 1) : 0;
}

/*
 * How the passes over k ask for the memory wanted next: `lines` cache lines in `steps` steps, as
 * evenly as can be, since a burst of requests would hold up our own loads.
 */
typedef struct ahead {
    const char *line;
    int32_t owed, lines, steps;
} ahead;

/* Bytes of a number of the weight, and sixteen of them. */
#define WEIGHT_SIZE(bf16) ((bf16) ? (int)sizeof(uint16_t) : (int)sizeof(float))
ALWAYS_INLINE __m512 weight_at(const char *weight, const int i, const bool bf16) {
    const char *at = weight + i * WEIGHT_SIZE(bf16);
    if (bf16) {
        __m512i half = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)at));
        return _mm512_castsi512_ps(_mm512_slli_epi32(half, 16));
    }
    return _mm512_loadu_ps(at);
}

/* One inner value: a column of inputs times a row of the panel. */
ALWAYS_INLINE void panel_step(__m512 acc[ROWS][3], const float *in, int64_t in_stride,
                              const char *weight, const int n_rows, const bool bf16) {
    __m512 w0 = weight_at(weight, 0, bf16), w1 = weight_at(weight, RL_LANES, bf16);
    __m512 w2 = weight_at(weight, 2 * RL_LANES, bf16);
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
        __m512 x = _mm512_set1_ps(in[r * in_stride]);
        acc[r][0] = _mm512_fmadd_ps(x, w0, acc[r][0]);
        acc[r][1] = _mm512_fmadd_ps(x, w1, acc[r][1]);
        acc[r][2] = _mm512_fmadd_ps(x, w2, acc[r][2]);
    }
}

ALWAYS_INLINE void panel_rows(const rl_kern_panel *p, int32_t row, ahead *asked, const int n_rows,
                              const bool bf16) {
    __m512 acc[ROWS][3];
    const int64_t in_stride = p->in_stride, n_k = p->n_k;
    const float *in = p->in + row * in_stride;
    const char *weight = p->weight;
    const float *from = p->from != NULL ? p->from + row * p->from_stride : NULL;
    float *out = p->out + row * p->out_stride;
    __mmask16 mask[3] = {mask_of(p->n_out), mask_of(p->n_out - RL_LANES),
                         mask_of(p->n_out - 2 * RL_LANES)};
    int64_t k = 0;
    ahead next = *asked;
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
#pragma GCC unroll 8
        for (int c = 0; c < 3; c++) {
            acc[r][c] =
                from == NULL
                    ? _mm512_setzero_ps()
                    : _mm512_maskz_loadu_ps(mask[c], from + r * p->from_stride + c * RL_LANES);
        }
    }
    for (; k + UNROLL <= n_k; k += UNROLL) {
        for (next.owed += next.lines; next.owed > 0; next.owed -= next.steps) {
            _mm_prefetch(next.line, _MM_HINT_T1);
            next.line += LINE;
        }
#pragma GCC unroll 4
        for (int u = 0; u < UNROLL; u++, in++, weight += RL_PANEL * WEIGHT_SIZE(bf16)) {
            panel_step(acc, in, in_stride, weight, n_rows, bf16);
        }
    }
    for (; k < n_k; k++, in++, weight += RL_PANEL * WEIGHT_SIZE(bf16)) {
        panel_step(acc, in, in_stride, weight, n_rows, bf16);
    }
#pragma GCC unroll 8
    for (int r = 0; r < n_rows; r++) {
#pragma GCC unroll 8
        for (int c = 0; c < 3; c++) {
            float *to = out + r * p->out_stride + c * RL_LANES;
            if (p->add) {
                acc[r][c] = _mm512_add_ps(_mm512_maskz_loadu_ps(mask[c], to), acc[r][c]);
            }
            _mm512_mask_storeu_ps(to, mask[c], acc[r][c]);
        }
    }
    *asked = next;
}

ALWAYS_INLINE void panel_rest(const rl_kern_panel *p, int32_t row, ahead *asked, const bool bf16) {
    switch (p->n_rows - row) {
    case 1:
        panel_rows(p, row, asked, 1, bf16);
        break;
    case 2:
        panel_rows(p, row, asked, 2, bf16);
        break;
    case 3:
        panel_rows(p, row, asked, 3, bf16);
        break;
    case 4:
        panel_rows(p, row, asked, 4, bf16);
        break;
    case 5:
        panel_rows(p, row, asked, 5, bf16);
        break;
    case 6:
        panel_rows(p, row, asked, 6, bf16);
        break;
    default:
        panel_rows(p, row, asked, 7, bf16);
        break;
    }
}

static void panel_8_f32(const rl_kern_panel *p, int32_t row, ahead *asked) {
    panel_rows(p, row, asked, 8, false);
}

static void panel_8_bf16(const rl_kern_panel *p, int32_t row, ahead *asked) {
    panel_rows(p, row, asked, 8, true);
}

static void panel_rest_f32(const rl_kern_panel *p, int32_t row, ahead *asked) {
    panel_rest(p, row, asked, false);
}

static void panel_rest_bf16(const rl_kern_panel *p, int32_t row, ahead *asked) {
    panel_rest(p, row, asked, true);
}

static ahead begin_ahead(const rl_kern_panel *p, const bool bf16) {
    int32_t passes = (p->n_rows + ROWS - 1) / ROWS;
    // A single pass runs at the speed of memory: it asks for what it needs itself a little later.
    int64_t skip = passes == 1 ? SOON : p->n_k * RL_PANEL, size = p->n_k * RL_PANEL;
    int64_t left = size + p->n_ahead - skip;
    return (ahead){
        .line = left > 0 ? (const char *)p->weight + skip * WEIGHT_SIZE(bf16) : NULL,
        .lines = left > 0 ? (int32_t)((left < size ? left : size) * WEIGHT_SIZE(bf16) / LINE) : 0,
        .steps = passes * (int32_t)(p->n_k / UNROLL) + 1,
    };
}

static void panel_512(const rl_kern_panel *p) {
    ahead next = begin_ahead(p, false);
    for (int32_t row = 0; row < p->n_rows; row += ROWS) {
        if (p->n_rows - row >= ROWS) {
            panel_8_f32(p, row, &next);
        } else {
            panel_rest_f32(p, row, &next);
        }
    }
}

static void panel_bf16_512(const rl_kern_panel *p) {
    ahead next = begin_ahead(p, true);
    for (int32_t row = 0; row < p->n_rows; row += ROWS) {
        if (p->n_rows - row >= ROWS) {
            panel_8_bf16(p, row, &next);
        } else {
            panel_rest_bf16(p, row, &next);
        }
    }
}

/* A hint that memory `floats` behind x is wanted soon; it need not be ours, so no pointer is
 * formed.
 */
ALWAYS_INLINE void soon(const float *x, int64_t floats) {
    _mm_prefetch((const char *)((uintptr_t)x + (uintptr_t)floats * sizeof(float)), _MM_HINT_T0);
}

typedef struct score_args {
    float *score;
    const float *q, *k;
    int64_t score_stride, q_stride, block_stride;
    int32_t dim;
} score_args;

ALWAYS_INLINE void score_rows(const score_args *a, const int n_rows, const int n_blocks) {
    __m512 acc[ROWS][3];
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int b = 0; b < n_blocks; b++) {
            acc[r][b] = _mm512_setzero_ps();
        }
    }
    for (int32_t d = 0; d < a->dim; d++) {
        __m512 key[3];
        UNROLL_ALL
        for (int b = 0; b < n_blocks; b++) {
            key[b] = _mm512_loadu_ps(a->k + b * a->block_stride + d * RL_LANES);
            if (n_rows < 8) { // few queries: the keys come at the speed of memory
                soon(a->k + b * a->block_stride + d * RL_LANES, n_blocks * a->block_stride);
            }
        }
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            __m512 q = _mm512_set1_ps(a->q[r * a->q_stride + d]);
            UNROLL_ALL
            for (int b = 0; b < n_blocks; b++) {
                acc[r][b] = _mm512_fmadd_ps(q, key[b], acc[r][b]);
            }
        }
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int b = 0; b < n_blocks; b++) {
            _mm512_storeu_ps(a->score + r * a->score_stride + b * RL_LANES, acc[r][b]);
        }
    }
}

/* n_rows of 1..8; 5 to 7 go as 4 and the rest. Returns the rows done. */
static int32_t score_three(const score_args *a, int32_t n_rows) {
    if (n_rows >= 8) {
        score_rows(a, 8, 3);
        return 8;
    }
    if (n_rows >= 4) {
        score_rows(a, 4, 3);
        return 4;
    }
    if (n_rows == 3) {
        score_rows(a, 3, 3);
        return 3;
    }
    score_rows(a, 1, 3);
    return 1;
}

static int32_t score_one(const score_args *a, int32_t n_rows) {
    if (n_rows >= 8) {
        score_rows(a, 8, 1);
        return 8;
    }
    if (n_rows >= 3) {
        score_rows(a, 3, 1);
        return 3;
    }
    score_rows(a, 1, 1);
    return 1;
}

static void attn_score_512(float *score, int64_t score_stride, const float *q, int64_t q_stride,
                           int32_t n_vec, const float *k, int64_t block_stride, int32_t n_keys,
                           int32_t dim) {
    for (int32_t key = 0; key < n_keys;) {
        bool three = n_keys - key >= 3 * RL_LANES;
        for (int32_t v = 0; v < n_vec;) {
            score_args a = {
                .score = score + v * score_stride + key,
                .q = q + v * q_stride,
                .k = k + key / RL_LANES * block_stride,
                .score_stride = score_stride,
                .q_stride = q_stride,
                .block_stride = block_stride,
                .dim = dim,
            };
            v += three ? score_three(&a, n_vec - v) : score_one(&a, n_vec - v);
        }
        key += three ? 3 * RL_LANES : RL_LANES;
    }
}

typedef struct value_args {
    float *acc;
    const float *p, *value;
    int64_t acc_stride, p_stride, block_stride;
    int32_t n_keys, dim;
    __mmask16 mask; // of the last vector
} value_args;

ALWAYS_INLINE void value_rows(const value_args *a, const int n_rows, const int n_cols) {
    __m512 acc[ROWS][4];
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int c = 0; c < n_cols; c++) {
            const float *from = a->acc + r * a->acc_stride + c * RL_LANES;
            acc[r][c] =
                c == n_cols - 1 ? _mm512_maskz_loadu_ps(a->mask, from) : _mm512_loadu_ps(from);
        }
    }
    for (int32_t key = 0; key < a->n_keys; key++) {
        const float *row = a->value + key / RL_LANES * a->block_stride + key % RL_LANES * a->dim;
        __m512 v[4];
        UNROLL_ALL
        for (int c = 0; c < n_cols; c++) {
            v[c] = c == n_cols - 1 ? _mm512_maskz_loadu_ps(a->mask, row + c * RL_LANES)
                                   : _mm512_loadu_ps(row + c * RL_LANES);
            if (n_rows < 6) {
                soon(row + c * RL_LANES, a->block_stride);
            }
        }
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            __m512 p = _mm512_set1_ps(a->p[r * a->p_stride + key]);
            UNROLL_ALL
            for (int c = 0; c < n_cols; c++) {
                acc[r][c] = _mm512_fmadd_ps(p, v[c], acc[r][c]);
            }
        }
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int c = 0; c < n_cols; c++) {
            _mm512_mask_storeu_ps(a->acc + r * a->acc_stride + c * RL_LANES,
                                  c == n_cols - 1 ? a->mask : (__mmask16)0xffff, acc[r][c]);
        }
    }
}

static int32_t value_four(const value_args *a, int32_t n_rows) {
    if (n_rows >= 6) {
        value_rows(a, 6, 4);
        return 6;
    }
    if (n_rows >= 3) {
        value_rows(a, 3, 4);
        return 3;
    }
    value_rows(a, 1, 4);
    return 1;
}

static int32_t value_two(const value_args *a, int32_t n_rows) {
    if (n_rows >= 8) {
        value_rows(a, 8, 2);
        return 8;
    }
    if (n_rows >= 3) {
        value_rows(a, 3, 2);
        return 3;
    }
    value_rows(a, 1, 2);
    return 1;
}

static int32_t value_one(const value_args *a, int32_t n_rows) {
    if (n_rows >= 6) {
        value_rows(a, 6, 1);
        return 6;
    }
    if (n_rows >= 3) {
        value_rows(a, 3, 1);
        return 3;
    }
    value_rows(a, 1, 1);
    return 1;
}

static void attn_value_512(float *acc, int64_t acc_stride, const float *p, int64_t p_stride,
                           int32_t n_vec, const float *value, int64_t block_stride, int32_t n_keys,
                           int32_t dim) {
    for (int32_t d = 0; d < dim;) {
        int32_t left = (dim - d + RL_LANES - 1) / RL_LANES, cols = left >= 4   ? 4
                                                                   : left >= 2 ? 2
                                                                               : 1;
        for (int32_t v = 0; v < n_vec;) {
            value_args a = {
                .acc = acc + v * acc_stride + d,
                .p = p + v * p_stride,
                .value = value + d,
                .acc_stride = acc_stride,
                .p_stride = p_stride,
                .block_stride = block_stride,
                .n_keys = n_keys,
                .dim = dim,
                .mask = mask_of(dim - d - (cols - 1) * RL_LANES),
            };
            v += cols == 4   ? value_four(&a, n_vec - v)
                 : cols == 2 ? value_two(&a, n_vec - v)
                             : value_one(&a, n_vec - v);
        }
        d += cols * RL_LANES;
    }
}

void rl_kern_products_avx512(rl_kern *kern) {
    kern->panel = panel_512;
    kern->panel_bf16 = panel_bf16_512;
    kern->attn_score = attn_score_512;
    kern->attn_value = attn_value_512;
}

#else
void rl_kern_products_avx512(rl_kern *kern) {
    (void)kern;
}
#endif
