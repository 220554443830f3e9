/*
 * The inside of a policy: views of its parameters layer by layer, and the one forward that scoring,
 * training and decoding share. Private to policy/.
 */
#ifndef RL_POLICY_MODEL_H
#define RL_POLICY_MODEL_H

#include "rl/core/arena.h"
#include "rl/policy/policy.h"
#include "rl/tensor/tensor.h"

/* One Llama block. q, k, v and gate, up lie side by side in the parameters, so each pair or triple
 * is one matrix. Gradients are null unless the policy trains. */
typedef struct rl_block {
    rl_tensor attn_norm, mlp_norm;           // [C]
    rl_tensor qkv, o, gate_up, down;         // [(H+2K)D, C], [C, HD], [2F, C], [C, F]
    rl_tensor d_attn_norm, d_mlp_norm;       // as above
    rl_tensor d_qkv, d_o, d_gate_up, d_down; // as above
    rl_tensor p_qkv, p_o, p_gate_up, p_down; // packed for the forward
} rl_block;

struct rl_policy {
    rl_model_config config;
    rl_backend *be;
    rl_params params;
    rl_block *block;                   // [L]
    rl_tensor embed, final_norm, head; // [V, C], [C], [V, C]; a tied head is the embedding
    rl_tensor d_embed, d_final_norm, d_head;
    rl_tensor p_head;
    rl_buffer *packed, *rope;
    rl_tensor rope_table; // [max_positions, D]
    int32_t n_ids;        // ids below it can come out; the head's other rows are padding
    bool trains;

    rl_buffer *work; // activations of score.c, kept between calls: first touch is slow
    size_t work_bytes;
    rl_arena *scratch; // host side of one call
};

/* Rows on their way through the blocks: where each stands and what it attends to. */
typedef struct rl_rows {
    rl_tensor position, slot; // I32 [n]
    const rl_attn_plan *plan;
} rl_rows;

/*
 * What one block reads and leaves for n rows. In inference in, mid and out are one tensor, updated
 * in place, and the rstds are null; training keeps all of them for the backward.
 */
typedef struct rl_block_act {
    rl_tensor in, mid, out;        // [n, C]
    rl_tensor in_rstd, mid_rstd;   // [n], may be null
    rl_tensor qkv, mixed, gate_up; // [n, (H+2K)D], [n, HD], [n, 2F]
} rl_block_act;

/* Temporaries of one block, at least n rows each. */
typedef struct rl_block_tmp {
    rl_tensor normed, hidden; // [n, C], [n, F]
} rl_block_tmp;

/* Runs block number `layer` on rows whose earlier keys are already in the caches. */
void rl_block_forward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                      const rl_block_act *act, const rl_block_tmp *tmp, rl_tensor k_cache,
                      rl_tensor v_cache);

/* Temporaries of the backward. d_qkv and d_mixed span all rows; the others one chunk of rows. */
typedef struct rl_block_back_tmp {
    rl_tensor normed, hidden;                // [c, C], [c, F]
    rl_tensor d_normed, d_hidden, d_gate_up; // [c, C], [c, F], [c, 2F]
    rl_tensor d_qkv, d_mixed;                // [n, (H+2K)D], [n, HD]
    int64_t chunk;                           // c
} rl_block_back_tmp;

/*
 * The backward of all n rows of a block at once. d_x [n, C] holds the gradient of act->out on entry
 * and that of act->in on return; parameter gradients are added to.
 */
void rl_block_backward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                       const rl_block_act *act, const rl_block_back_tmp *tmp, rl_tensor d_x);

/* Logits of hidden[n, C] (the last block's output): normed is a temporary [n, C]; rstd may be null.
 * Reading them goes through rl_usable_logits, which leaves out the columns of padding ids. */
void rl_head_forward(const rl_policy *policy, rl_tensor logits, rl_tensor normed, rl_tensor rstd,
                     rl_tensor hidden);

rl_tensor rl_usable_logits(const rl_policy *policy, rl_tensor logits);

/* Columns q, k, v of a qkv tensor (or of its gradient). */
rl_tensor rl_qkv_q(const rl_model_config *config, rl_tensor qkv);
rl_tensor rl_qkv_k(const rl_model_config *config, rl_tensor qkv);
rl_tensor rl_qkv_v(const rl_model_config *config, rl_tensor qkv);
rl_tensor rl_qkv_qk(const rl_model_config *config, rl_tensor qkv);
int64_t rl_qkv_width(const rl_model_config *config);

/* The part of an attention plan that the model fixes. */
void rl_plan_shape(const rl_model_config *config, rl_attn_plan *plan);

/*
 * Hands out tensors from one buffer, each aligned to 64 bytes. With buffer NULL it only counts, so
 * one layout function both measures and carves.
 */
typedef struct rl_carver {
    rl_buffer *buffer;
    size_t used;
} rl_carver;
rl_tensor rl_carve(rl_carver *carver, rl_dtype dtype, int64_t rows, int64_t cols);
rl_tensor rl_carve_1d(rl_carver *carver, rl_dtype dtype, int64_t n);

#endif
