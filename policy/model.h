/*
 * The inside of a policy: views of its parameters layer by layer, and the one forward that scoring,
 * training and decoding share. Private to policy/.
 */
#ifndef RL_POLICY_MODEL_H
#define RL_POLICY_MODEL_H

#include "policy/family.h"
#include "policy/linear.h"
#include "policy/lora.h"
#include "rl/core/arena.h"
#include "rl/policy/policy.h"
#include "rl/tensor/tensor.h"

/* One block. q, k, v and gate, up lie side by side in the parameters, so each pair or triple is one
 * matrix. */
typedef struct rl_block {
    rl_norm attn, attn_out, mlp, mlp_out;
    rl_norm q, k;                    // of a head, or of all heads together
    rl_linear qkv, o, gate_up, down; // [(H+2K)D, C], [C, HD], [2F, C], [C, F]
    int32_t rope;                    // which of the policy's tables; -1: none
    int32_t window;                  // of attention; 0: none
} rl_block;

/* For loops over all of a block's. */
#define RL_BLOCK_NORMS(b)                                                                          \
    { &(b)->attn, &(b)->attn_out, &(b)->mlp, &(b)->mlp_out, &(b)->q, &(b)->k }
#define RL_BLOCK_LINEARS(b)                                                                        \
    { &(b)->qkv, &(b)->o, &(b)->gate_up, &(b)->down }

struct rl_policy {
    rl_model_config config;
    rl_backend *be;
    rl_params params;
    const rl_family *family;
    rl_block *block;          // [L]
    rl_tensor embed, d_embed; // [V, C]
    float embed_scale;        // of its rows
    rl_norm final_norm;
    rl_linear head; // [V, C]; a tied head is the embedding
    rl_buffer *packed, *rope;
    rl_tensor rope_table[2]; // [max_positions, D]
    int32_t n_ids;           // ids below it can come out; the head's other rows are padding
    bool trains, fixed;
    const char *damaged; // of fixed weights, one that holds a NaN or infinity; NULL: none
    rl_recompute recompute;
    rl_dtype held;        // F32 or BF16: matrices as the products read them
    struct rl_lora *lora; // the adapter; NULL: none
    bool weights_finite;  // looked at, under an adapter

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
 * in place, and the rstds are null; training keeps all of them for the backward. attn_out and
 * mlp_out, what goes into the norms of those names, are null in inference and where there is no
 * such norm. A forward whose out is null leaves all the others only.
 */
typedef struct rl_block_act {
    rl_tensor in, mid, out;                // [n, C]
    rl_tensor in_rstd, mid_rstd;           // [n]
    rl_tensor qkv, mixed, gate_up;         // [n, (H+2K)D], [n, HD], [n, 2F]
    rl_tensor attn_out, mlp_out;           // [n, C]
    rl_tensor attn_out_rstd, mlp_out_rstd; // [n]
} rl_block_act;
/* Carves what a block keeps beside in, mid and out; `trains` all of it, else what passes through.
 */
void rl_block_act_carve(rl_block_act *act, const rl_model_config *config, rl_carver *carver,
                        int64_t n, bool trains);
/* Rows [begin, end) of every tensor there is. */
rl_block_act rl_block_act_rows(const rl_block_act *act, int64_t begin, int64_t end);

/* Temporaries of one block, at least n rows each. */
typedef struct rl_block_tmp {
    rl_tensor normed, hidden; // [n, C], [n, F]
    rl_tensor qk;             // [n, (H+K)D] after norm and rotation; null without such a norm
} rl_block_tmp;
void rl_block_tmp_carve(rl_block_tmp *tmp, const rl_model_config *config, rl_carver *carver,
                        int64_t n);

/* Runs block number `layer` on rows whose earlier keys are already in the caches. */
void rl_block_forward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                      const rl_block_act *act, const rl_block_tmp *tmp, rl_tensor k_cache,
                      rl_tensor v_cache);

/* Temporaries of the backward, of one chunk of rows or of all. The last four are null without norms
 * of q and k. */
typedef struct rl_block_back_tmp {
    rl_tensor normed, hidden;                // [c, C], [c, F]
    rl_tensor d_normed, d_hidden, d_gate_up; // [c, C], [c, F], [c, 2F]
    rl_tensor d_qkv, d_mixed;                // [n, (H+2K)D], [n, HD]
    rl_tensor qk, d_qk;                      // [n, (H+K)D] after norm and rotation
    rl_tensor q_rstd, k_rstd;                // [n * groups]
    int64_t chunk;                           // c
} rl_block_back_tmp;
void rl_block_back_tmp_carve(rl_block_back_tmp *tmp, const rl_model_config *config,
                             rl_carver *carver, int64_t n, int64_t chunk);

/*
 * The backward of all n rows of a block at once. d_x [n, C] holds the gradient of act->out on entry
 * and that of act->in on return; parameter gradients are added to.
 */
void rl_block_backward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                       const rl_block_act *act, const rl_block_back_tmp *tmp, rl_tensor d_x);

/* out[n, C] = what the first block reads of these tokens, and the gradient of that. d_out is used
 * up. */
void rl_embed_forward(const rl_policy *policy, rl_tensor out, rl_tensor token);
void rl_embed_backward(const rl_policy *policy, rl_tensor d_out, rl_tensor token);

/* Logits of hidden[n, C] (the last block's output): normed is a temporary [n, C]; rstd may be null.
 * Reading them goes through rl_usable_logits, which leaves out the columns of padding ids. */
void rl_head_forward(const rl_policy *policy, rl_tensor logits, rl_tensor normed, rl_tensor rstd,
                     rl_tensor hidden);
/* From d_logits of the usable ids; overwrites d_hidden[n, C]. d_normed is a temporary [n, C], the
 * others are what the forward read and left. */
void rl_head_backward(const rl_policy *policy, rl_tensor d_hidden, rl_tensor d_normed,
                      rl_tensor d_logits, rl_tensor normed, rl_tensor rstd, rl_tensor hidden);

rl_tensor rl_usable_logits(const rl_policy *policy, rl_tensor logits);

/* Columns q, k, v of a qkv tensor (or of its gradient). */
rl_tensor rl_qkv_q(const rl_model_config *config, rl_tensor qkv);
rl_tensor rl_qkv_k(const rl_model_config *config, rl_tensor qkv);
rl_tensor rl_qkv_v(const rl_model_config *config, rl_tensor qkv);
rl_tensor rl_qkv_qk(const rl_model_config *config, rl_tensor qkv); // q and k together
int64_t rl_qkv_width(const rl_model_config *config);

/* The part of an attention plan that the model fixes. */
void rl_plan_shape(const rl_model_config *config, rl_attn_plan *plan);

/* policy.c's part that binds blocks to parameters, and to the adapter (bind.c). */
void rl_policy_bind(rl_policy *policy);

#endif
