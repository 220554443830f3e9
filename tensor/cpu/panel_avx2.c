/*
 * Products in 256-bit registers: 6 rows by 16 columns, 12 running sums, so a panel is done in
 * thirds. One or two rows take the whole panel at once, to read it in one sweep.
 */
#include "tensor/cpu/kern.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

enum {
    ROWS = 6,
    VECTOR = 8,
    THIRD = 16,
    LINE = 64,           // bytes of a cache line
    SOON = 48 * RL_PANEL // how far a single pass reads ahead
};

/* Before a loop over registers, whose count is known once inlined: they must not become memory. */
#if defined(__clang__)
#define UNROLL_ALL _Pragma("clang loop unroll(full)")
#else
#define UNROLL_ALL _Pragma("GCC unroll 6")
#endif
#define ALWAYS_INLINE static inline __attribute__((always_inline))

static inline __m256i mask_of(int32_t left) {
    static const int32_t edge[2 * VECTOR] = {-1, -1, -1, -1, -1, -1, -1, -1,
                                             0,  0,  0,  0,  0,  0,  0,  0};
    int32_t n = left < 0 ? 0 : left > VECTOR ? VECTOR : left;
    return _mm256_loadu_si256((const __m256i *)(const void *)(edge + VECTOR - n));
}

/*
 * How the passes over k ask for the memory wanted next: `lines` cache lines in `steps` steps, as
 * evenly as can be, since a burst of requests would hold up our own loads.
 */
typedef struct ahead {
    const char *line;
    int32_t owed, lines, steps;
} ahead;

/* Bytes of a number of the weight, and eight of them. */
#define WEIGHT_SIZE(bf16) ((bf16) ? (int)sizeof(uint16_t) : (int)sizeof(float))
ALWAYS_INLINE __m256 weight_at(const char *weight, const int i, const bool bf16) {
    const char *at = weight + i * WEIGHT_SIZE(bf16);
    if (bf16) {
        __m256i half = _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)at));
        return _mm256_castsi256_ps(_mm256_slli_epi32(half, 16));
    }
    return _mm256_loadu_ps((const float *)(const void *)at);
}

/*
 * One inner value: a column of inputs times a row of the panel. Rows 0 to 2 and 3 to 5 have a
 * pointer each, so that one register holds the stride of all.
 */
ALWAYS_INLINE void panel_step(__m256 acc[ROWS][6], const float *low, const float *high,
                              int64_t in_stride, const char *weight, const int n_rows,
                              const int n_cols, const bool bf16) {
    __m256 w[6];
    UNROLL_ALL
    for (int c = 0; c < n_cols; c++) {
        w[c] = weight_at(weight, c * VECTOR, bf16);
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        __m256 x = _mm256_broadcast_ss((r < 3 ? low : high) + r % 3 * in_stride);
        UNROLL_ALL
        for (int c = 0; c < n_cols; c++) {
            acc[r][c] = _mm256_fmadd_ps(x, w[c], acc[r][c]);
        }
    }
}

/* n_rows x n_cols registers from column `col` of the panel on. */
ALWAYS_INLINE void panel_block(const rl_kern_panel *p, int32_t row, int32_t col, ahead *asked,
                               const int n_rows, const int n_cols, const bool bf16) {
    __m256 acc[ROWS][6];
    const int64_t in_stride = p->in_stride, n_k = p->n_k;
    const float *low = p->in + row * in_stride, *high = low + 3 * in_stride;
    const char *weight = (const char *)p->weight + col * WEIGHT_SIZE(bf16);
    const float *from = p->from != NULL ? p->from + row * p->from_stride + col : NULL;
    float *out = p->out + row * p->out_stride + col;
    ahead next = *asked;
    __m256i mask[6];
    UNROLL_ALL
    for (int c = 0; c < n_cols; c++) {
        mask[c] = mask_of(p->n_out - col - c * VECTOR);
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int c = 0; c < n_cols; c++) {
            acc[r][c] = from == NULL
                            ? _mm256_setzero_ps()
                            : _mm256_maskload_ps(from + r * p->from_stride + c * VECTOR, mask[c]);
        }
    }
    for (int64_t k = 0; k < n_k; k++, low++, high++, weight += RL_PANEL * WEIGHT_SIZE(bf16)) {
        for (next.owed += next.lines; next.owed > 0; next.owed -= next.steps) {
            _mm_prefetch(next.line, _MM_HINT_T1);
            next.line += LINE;
        }
        panel_step(acc, low, high, in_stride, weight, n_rows, n_cols, bf16);
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        UNROLL_ALL
        for (int c = 0; c < n_cols; c++) {
            float *to = out + r * p->out_stride + c * VECTOR;
            if (p->add) {
                acc[r][c] = _mm256_add_ps(_mm256_maskload_ps(to, mask[c]), acc[r][c]);
            }
            _mm256_maskstore_ps(to, mask[c], acc[r][c]);
        }
    }
    *asked = next;
}

ALWAYS_INLINE void panel_third(const rl_kern_panel *p, int32_t row, int32_t col, ahead *asked,
                               const bool bf16) {
    switch (p->n_rows - row) {
    case 1:
        panel_block(p, row, col, asked, 1, 2, bf16);
        break;
    case 2:
        panel_block(p, row, col, asked, 2, 2, bf16);
        break;
    case 3:
        panel_block(p, row, col, asked, 3, 2, bf16);
        break;
    case 4:
        panel_block(p, row, col, asked, 4, 2, bf16);
        break;
    case 5:
        panel_block(p, row, col, asked, 5, 2, bf16);
        break;
    default:
        panel_block(p, row, col, asked, 6, 2, bf16);
        break;
    }
}

ALWAYS_INLINE void panel_wide(const rl_kern_panel *p, ahead *asked, const bool bf16) {
    if (p->n_rows == 1) {
        panel_block(p, 0, 0, asked, 1, 6, bf16);
    } else {
        panel_block(p, 0, 0, asked, 2, 6, bf16);
    }
}

ALWAYS_INLINE void panel_all(const rl_kern_panel *p, const bool bf16) {
    int32_t passes = p->n_rows <= 2 ? 1 : (p->n_rows + ROWS - 1) / ROWS * 3;
    // A single pass runs at the speed of memory: it asks for what it needs itself a little later.
    int64_t skip = passes == 1 ? SOON : p->n_k * RL_PANEL, size = p->n_k * RL_PANEL;
    int64_t left = size + p->n_ahead - skip;
    ahead next = {
        .line = left > 0 ? (const char *)p->weight + skip * WEIGHT_SIZE(bf16) : NULL,
        .lines = left > 0 ? (int32_t)((left < size ? left : size) * WEIGHT_SIZE(bf16) / LINE) : 0,
        .steps = passes * (int32_t)p->n_k + 1,
    };
    if (passes == 1) {
        panel_wide(p, &next, bf16);
        return;
    }
    for (int32_t col = 0; col < RL_PANEL; col += THIRD) {
        for (int32_t row = 0; row < p->n_rows; row += ROWS) {
            panel_third(p, row, col, &next, bf16);
        }
    }
}

static void panel_256(const rl_kern_panel *p) {
    panel_all(p, false);
}

static void panel_bf16_256(const rl_kern_panel *p) {
    panel_all(p, true);
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

/* One block of 16 keys. */
ALWAYS_INLINE void score_rows(const score_args *a, const int n_rows) {
    __m256 acc[ROWS][2];
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        acc[r][0] = acc[r][1] = _mm256_setzero_ps();
    }
    for (int32_t d = 0; d < a->dim; d++) {
        __m256 k0 = _mm256_loadu_ps(a->k + d * RL_LANES);
        __m256 k1 = _mm256_loadu_ps(a->k + d * RL_LANES + VECTOR);
        soon(a->k + d * RL_LANES, a->block_stride);
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            __m256 q = _mm256_broadcast_ss(a->q + r * a->q_stride + d);
            acc[r][0] = _mm256_fmadd_ps(q, k0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(q, k1, acc[r][1]);
        }
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        _mm256_storeu_ps(a->score + r * a->score_stride, acc[r][0]);
        _mm256_storeu_ps(a->score + r * a->score_stride + VECTOR, acc[r][1]);
    }
}

/* Returns the rows done. */
static int32_t score_some(const score_args *a, int32_t n_rows) {
    if (n_rows >= 6) {
        score_rows(a, 6);
        return 6;
    }
    if (n_rows >= 3) {
        score_rows(a, 3);
        return 3;
    }
    score_rows(a, 1);
    return 1;
}

static void attn_score_256(float *score, int64_t score_stride, const float *q, int64_t q_stride,
                           int32_t n_vec, const float *k, int64_t block_stride, int32_t n_keys,
                           int32_t dim) {
    for (int32_t key = 0; key < n_keys; key += RL_LANES) {
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
            v += score_some(&a, n_vec - v);
        }
    }
}

typedef struct value_args {
    float *acc;
    const float *p, *value;
    int64_t acc_stride, p_stride, block_stride;
    int32_t n_keys, dim;
    __m256i mask[2];
} value_args;

/* 16 columns of the head, the second half perhaps in part or not at all. */
ALWAYS_INLINE void value_rows(const value_args *a, const int n_rows) {
    __m256 acc[ROWS][2];
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        acc[r][0] = _mm256_maskload_ps(a->acc + r * a->acc_stride, a->mask[0]);
        acc[r][1] = _mm256_maskload_ps(a->acc + r * a->acc_stride + VECTOR, a->mask[1]);
    }
    for (int32_t key = 0; key < a->n_keys; key++) {
        const float *row = a->value + key / RL_LANES * a->block_stride + key % RL_LANES * a->dim;
        __m256 v0 = _mm256_maskload_ps(row, a->mask[0]);
        __m256 v1 = _mm256_maskload_ps(row + VECTOR, a->mask[1]);
        soon(row, a->block_stride);
        UNROLL_ALL
        for (int r = 0; r < n_rows; r++) {
            __m256 p = _mm256_broadcast_ss(a->p + r * a->p_stride + key);
            acc[r][0] = _mm256_fmadd_ps(p, v0, acc[r][0]);
            acc[r][1] = _mm256_fmadd_ps(p, v1, acc[r][1]);
        }
    }
    UNROLL_ALL
    for (int r = 0; r < n_rows; r++) {
        _mm256_maskstore_ps(a->acc + r * a->acc_stride, a->mask[0], acc[r][0]);
        _mm256_maskstore_ps(a->acc + r * a->acc_stride + VECTOR, a->mask[1], acc[r][1]);
    }
}

static int32_t value_some(const value_args *a, int32_t n_rows) {
    if (n_rows >= 6) {
        value_rows(a, 6);
        return 6;
    }
    if (n_rows >= 3) {
        value_rows(a, 3);
        return 3;
    }
    value_rows(a, 1);
    return 1;
}

static void attn_value_256(float *acc, int64_t acc_stride, const float *p, int64_t p_stride,
                           int32_t n_vec, const float *value, int64_t block_stride, int32_t n_keys,
                           int32_t dim) {
    for (int32_t d = 0; d < dim; d += RL_LANES) {
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
                .mask = {mask_of(dim - d), mask_of(dim - d - VECTOR)},
            };
            v += value_some(&a, n_vec - v);
        }
    }
}

void rl_kern_products_avx2(rl_kern *kern) {
    kern->panel = panel_256;
    kern->panel_bf16 = panel_bf16_256;
    kern->attn_score = attn_score_256;
    kern->attn_value = attn_value_256;
}

#else
void rl_kern_products_avx2(rl_kern *kern) {
    (void)kern;
}
#endif
