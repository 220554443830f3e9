/* A CPU backend with tensors of random numbers, for tests of the backward operations. */
#ifndef RL_TESTS_TENSOR_BACK_RIG_H
#define RL_TESTS_TENSOR_BACK_RIG_H

#include "tests/support/support.h"

#include <math.h>

#include "rl/core/pool.h"
#include "rl/core/rng.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"

enum { RIG_BUFFERS = 128, RIG_GAP = 3 };
#define RIG_GUARD 12345.5f

typedef struct rig {
    rl_pool *pool;
    rl_backend *be;
    rl_arena *arena;
    rl_buffer *buffer[RIG_BUFFERS];
    int32_t n_buffers;
    uint64_t n_drawn;
} rig;

static inline rig rig_open(rl_kernels kernels, int32_t n_threads) {
    rl_err err;
    rig r = {.arena = rl_arena_new(0)};
    assert_ok(rl_pool_new(n_threads, false, &r.pool, &err));
    assert_ok(rl_cpu_open(kernels, r.pool, &r.be, &err));
    return r;
}

static inline void rig_close(rig *r) {
    for (int32_t i = 0; i < r->n_buffers; i++) {
        rl_buffer_free(r->be, r->buffer[i]);
    }
    rl_cpu_close(r->be);
    rl_pool_free(r->pool);
    rl_arena_free(r->arena);
}

static inline rl_buffer *rig_buffer(rig *r, int64_t n) {
    rl_err err;
    assert_true(r->n_buffers < RIG_BUFFERS);
    assert_ok(rl_buffer_alloc(r->be, (size_t)n * sizeof(float), &r->buffer[r->n_buffers], &err));
    return r->buffer[r->n_buffers++];
}

/* Uniform in (-1, 1), the same numbers in every rig. */
static inline float rig_next(rig *r) {
    rl_rng rng = {.seed = 7, .purpose = RL_RNG_TEST};
    return (float)(2 * rl_rng_uniform(&rng, r->n_drawn++) - 1);
}

/* Random numbers times scale; rows are RIG_GAP apart and the gaps hold guards. */
static inline rl_tensor rig_matrix(rig *r, int64_t rows, int64_t cols, double scale) {
    int64_t stride = cols + RIG_GAP;
    rl_tensor whole = rl_tensor_2d(RL_DTYPE_F32, rig_buffer(r, rows * stride), 0, rows, stride);
    float *host = rl_arena_alloc(r->arena, (size_t)(rows * stride), sizeof *host);
    for (int64_t i = 0; i < rows * stride; i++) {
        host[i] = i % stride < cols ? (float)scale * rig_next(r) : RIG_GUARD;
    }
    rl_tensor_put(r->be, whole, host);
    return rl_tensor_cols(whole, 0, cols);
}

static inline rl_tensor rig_vector(rig *r, int64_t n, double scale) {
    rl_tensor t = rl_tensor_1d(RL_DTYPE_F32, rig_buffer(r, n), 0, n);
    float *host = rl_arena_alloc(r->arena, (size_t)n, sizeof *host);
    for (int64_t i = 0; i < n; i++) {
        host[i] = (float)scale * rig_next(r);
    }
    rl_tensor_put(r->be, t, host);
    return t;
}

/* Random indices below `below`. */
static inline rl_tensor rig_index(rig *r, int64_t n, int32_t below) {
    rl_tensor t = rl_tensor_1d(RL_DTYPE_I32, rig_buffer(r, n), 0, n);
    int32_t *host = rl_arena_alloc(r->arena, (size_t)n, sizeof *host);
    rl_rng rng = {.seed = 11, .purpose = RL_RNG_TEST};
    for (int64_t i = 0; i < n; i++) {
        host[i] = (int32_t)rl_rng_below(&rng, r->n_drawn++, (uint64_t)below);
    }
    rl_tensor_put(r->be, t, host);
    return t;
}

static inline float *rig_floats(rig *r, rl_tensor t) {
    float *host = rl_arena_alloc(r->arena, (size_t)rl_tensor_count(t), sizeof *host);
    rl_tensor_get(r->be, t, host);
    return host;
}

static inline int32_t *rig_ints(rig *r, rl_tensor t) {
    int32_t *host = rl_arena_alloc(r->arena, (size_t)rl_tensor_count(t), sizeof *host);
    rl_tensor_get(r->be, t, host);
    return host;
}

static inline double *rig_room(rig *r, int64_t n) {
    return rl_arena_alloc(r->arena, (size_t)n, sizeof(double));
}

static inline double *rig_doubles(rig *r, rl_tensor t) {
    int64_t n = rl_tensor_count(t);
    const float *host = rig_floats(r, t);
    double *out = rig_room(r, n);
    for (int64_t i = 0; i < n; i++) {
        out[i] = (double)host[i];
    }
    return out;
}

/* The gaps of a matrix made by rig_matrix are as they were. */
static inline void rig_check_guards(rig *r, rl_tensor t) {
    rl_tensor whole = rl_tensor_2d(RL_DTYPE_F32, t.buffer, 0, t.shape[0], t.stride[0]);
    const float *host = rig_floats(r, whole);
    for (int64_t row = 0; row < t.shape[0]; row++) {
        for (int64_t c = t.shape[1]; c < t.stride[0]; c++) {
            assert_true(host[row * t.stride[0] + c] == RIG_GUARD);
        }
    }
}

/*
 * Prompt, two continuations of it, and a continuation of the first of these; then a lone sequence:
 * two trees. Lengths as given; the plan points into the arena.
 */
static inline rl_attn_plan rig_plan(rig *r, const int32_t length[5], int32_t n_heads,
                                    int32_t n_kv_heads, int32_t head_dim) {
    static const int32_t parent[5] = {-1, 0, 0, 1, -1}, tree_item[3] = {0, 4, 5};
    rl_attn_item *item = rl_arena_alloc(r->arena, 5, sizeof *item);
    rl_kv_span *span = rl_arena_alloc(r->arena, 16, sizeof *span);
    rl_attn_plan plan = {.item = item, .n_items = 5, .span = span, .tree_item = tree_item};
    int32_t row = 0;
    for (int32_t i = 0; i < 5; i++) {
        item[i] = (rl_attn_item){.row = row, .n_rows = length[i], .span_begin = plan.n_spans};
        if (parent[i] >= 0) {
            const rl_attn_item *p = &item[parent[i]];
            item[i].pos = p->pos + p->n_rows;
            for (int32_t s = p->span_begin; s < p->span_end; s++) {
                span[plan.n_spans++] = span[s];
            }
        }
        span[plan.n_spans++] = (rl_kv_span){.row = row, .n = length[i]};
        item[i].span_end = plan.n_spans;
        row += length[i];
        if (item[i].pos + length[i] > plan.max_keys) {
            plan.max_keys = item[i].pos + length[i];
        }
    }
    plan.n_trees = 2;
    plan.n_heads = n_heads;
    plan.n_kv_heads = n_kv_heads;
    plan.head_dim = head_dim;
    plan.scale = (float)(1 / sqrt((double)head_dim));
    return plan;
}

#endif
