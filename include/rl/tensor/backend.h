/* A device: memory, a queue, and the operations the policy needs. See docs/add-a-backend.md. */
#ifndef RL_TENSOR_BACKEND_H
#define RL_TENSOR_BACKEND_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"

typedef struct rl_backend rl_backend;
typedef struct rl_buffer rl_buffer;

typedef enum rl_dtype { RL_DTYPE_F32, RL_DTYPE_BF16, RL_DTYPE_I32 } rl_dtype;

typedef struct rl_tensor {
    rl_dtype dtype;
    int32_t rank;
    int64_t shape[4], stride[4]; // in elements; last dimension is contiguous
    rl_buffer *buffer;
    size_t offset; // in bytes from the start of the buffer
} rl_tensor;

/* n keys in a row: `slot` in the cache (a multiple of RL_KV_BLOCK), `row` in packed k and v when
 * training. */
enum { RL_KV_BLOCK = 16 };
typedef struct rl_kv_span {
    int32_t slot, row, n;
} rl_kv_span;

/*
 * n_rows queries at consecutive rows and consecutive positions pos, pos + 1, ... of one sequence;
 * the query at position p attends to the keys at positions 0..p. Keys are the spans [span_begin,
 * span_end) laid end to end; together they hold at least pos + n_rows keys. The last spans are the
 * queries' own keys.
 */
typedef struct rl_attn_item {
    int32_t row, n_rows, pos;
    int32_t span_begin, span_end;
} rl_attn_item;

/*
 * What attends to what, on the host. Items that begin with the same spans should be neighbours: a
 * backend may then read the shared keys once. Items of one `tree` share keys with no item of
 * another tree.
 */
typedef struct rl_attn_plan {
    const rl_attn_item *item;
    int32_t n_items;
    const rl_kv_span *span;
    int32_t n_spans;
    const int32_t *tree_item; // [n_trees + 1] items of tree t are [tree_item[t], tree_item[t + 1])
    int32_t n_trees;
    int32_t max_keys; // largest pos + n_rows
    int32_t n_heads, n_kv_heads, head_dim;
    float scale;    // multiplies q . k
    int32_t window; // 0, or how many keys a query sees at most: its own and those just before
} rl_attn_plan;

/* One AdamW step (Loshchilov and Hutter 2019), torch.optim.AdamW's arithmetic. */
typedef struct rl_adamw {
    double lr, beta1, beta2, eps, weight_decay;
    double grad_scale; // multiplies every gradient first: global-norm clipping
    int64_t step;      // counts from 1
} rl_adamw;

/* One Muon step (Jordan et al. 2024), torch.optim.Muon's arithmetic but in float32 throughout. */
typedef struct rl_muon_item {
    rl_tensor param, momentum, grad; // [rows, cols], dense
    double rate;                     // multiplies the orthogonal update
} rl_muon_item;
typedef struct rl_muon {
    double momentum;
    double decay;      // multiplies every parameter before the update
    double grad_scale; // multiplies every gradient first: global-norm clipping
    int32_t ns_steps;  // Newton-Schulz iterations
} rl_muon;

typedef struct rl_memory_ops {
    rl_status (*alloc)(rl_backend *be, size_t bytes, rl_buffer **out, rl_err *err);
    void (*free)(rl_backend *be, rl_buffer *buffer);
    void (*put)(rl_backend *be, rl_tensor dst, const void *host);
    void (*get)(rl_backend *be, rl_tensor src, void *host);
    rl_status (*sync)(rl_backend *be, rl_err *err);
} rl_memory_ops;

/*
 * Outputs come first. An entry may be NULL only where supports() answers false. Callers use the
 * checked entries of ops.h, which document each operation.
 */
typedef struct rl_compute_ops {
    int64_t (*packed_len)(const rl_backend *be, int64_t n_out, int64_t n_in);
    void (*pack)(rl_backend *be, rl_tensor packed, rl_tensor weight);
    void (*linear)(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor packed, bool add);
    void (*linear_back)(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor packed,
                        bool add);
    void (*matmul)(rl_backend *be, rl_tensor out, rl_tensor a, rl_tensor b, bool a_t, bool b_t,
                   float beta);
    void (*embed)(rl_backend *be, rl_tensor out, rl_tensor table, rl_tensor token);
    void (*round_bf16)(rl_backend *be, rl_tensor x);
    void (*embed_back)(rl_backend *be, rl_tensor d_table, rl_tensor d_out, rl_tensor token);
    void (*rms_norm)(rl_backend *be, rl_tensor out, rl_tensor rstd, rl_tensor in, rl_tensor weight,
                     float eps);
    void (*rms_norm_back)(rl_backend *be, rl_tensor d_in, rl_tensor d_weight, rl_tensor d_out,
                          rl_tensor in, rl_tensor weight, rl_tensor rstd);
    void (*rope)(rl_backend *be, rl_tensor x, rl_tensor table, rl_tensor position, bool back);
    int64_t (*kv_len)(const rl_backend *be, int64_t n_slots, int64_t n_kv_heads, int64_t head_dim);
    void (*kv_write)(rl_backend *be, rl_tensor k_cache, rl_tensor v_cache, rl_tensor k, rl_tensor v,
                     rl_tensor slot, int32_t n_kv_heads);
    void (*attention)(rl_backend *be, rl_tensor out, rl_tensor q, rl_tensor k_cache,
                      rl_tensor v_cache, const rl_attn_plan *plan);
    void (*attention_back)(rl_backend *be, rl_tensor d_q, rl_tensor d_k, rl_tensor d_v,
                           rl_tensor d_out, rl_tensor q, rl_tensor k, rl_tensor v,
                           const rl_attn_plan *plan);
    void (*swiglu)(rl_backend *be, rl_tensor out, rl_tensor gate_up);
    void (*swiglu_back)(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up);
    void (*geglu)(rl_backend *be, rl_tensor out, rl_tensor gate_up);
    void (*geglu_back)(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up);
    void (*add)(rl_backend *be, rl_tensor out, rl_tensor in);
    void (*scale)(rl_backend *be, rl_tensor x, float by);
    void (*sum_rows)(rl_backend *be, rl_tensor out, rl_tensor in);
    void (*gather)(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row);
    void (*scatter_add)(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor row);
    void (*logprob)(rl_backend *be, rl_tensor logp, rl_tensor entropy, rl_tensor logits,
                    rl_tensor token, float temperature);
    void (*logprob_back)(rl_backend *be, rl_tensor d_logits, rl_tensor d_logp, rl_tensor d_entropy,
                         rl_tensor logits, rl_tensor token, float temperature);
    void (*sample)(rl_backend *be, rl_tensor token, rl_tensor logp, rl_tensor entropy,
                   rl_tensor logits, const double *uniform, const float *temperature);
    void (*copy)(rl_backend *be, rl_tensor out, rl_tensor in);
    void (*fill)(rl_backend *be, rl_tensor out, float value);
    double (*sum_squares)(rl_backend *be, rl_tensor in);
    void (*adamw)(rl_backend *be, rl_tensor param, rl_tensor m, rl_tensor v, rl_tensor grad,
                  const rl_adamw *hyper);
    void (*muon)(rl_backend *be, const rl_muon_item *item, int32_t n_items, const rl_muon *hyper);
} rl_compute_ops;

struct rl_backend {
    const char *name;
    const rl_memory_ops *memory;
    const rl_compute_ops *compute;
    bool (*supports)(const rl_backend *be, const char *op, rl_dtype dtype);
    void *self;
};

#endif
