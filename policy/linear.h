/*
 * One matrix of the model and one norm: what the block multiplies by. Every product with a weight,
 * forward and backward, goes through here, so that a weight held otherwise or with an adapter needs
 * no other place. Private to policy/.
 */
#ifndef RL_POLICY_LINEAR_H
#define RL_POLICY_LINEAR_H

#include "rl/tensor/tensor.h"

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

/* Gradients are null unless the policy trains these weights. */
typedef struct rl_linear {
    rl_tensor weight, bias;            // [O, I], [O]; bias null: none
    rl_tensor d_weight, d_bias;        // as above
    rl_tensor packed;                  // what the forward reads: F32, or BF16 for the backward too
    const struct rl_lora_matrix *lora; // adds to the product; NULL: none
} rl_linear;

void rl_linear_carve(rl_linear *linear, const rl_backend *be, rl_dtype held, rl_carver *carver);
/* Brings what the forward reads up to date with the weight. */
void rl_linear_pack(const rl_linear *linear, rl_backend *be);
/* out[n, O] = in[n, I] . weight^T + bias, or out += that when add. */
void rl_linear_forward(const rl_linear *linear, rl_backend *be, rl_tensor out, rl_tensor in,
                       bool add);
/* Adds to the gradients of weight and bias; d_in = d_out . weight, or d_in += that when add. */
void rl_linear_backward(const rl_linear *linear, rl_backend *be, rl_tensor d_in, rl_tensor d_out,
                        rl_tensor in, bool add);

/* A norm that is not there has no weight. */
typedef struct rl_norm {
    rl_tensor weight, d_weight; // [W]
    rl_tensor used;             // what rows are multiplied by: the weight, or offset + weight
    float offset;
} rl_norm;

bool rl_norm_is(const rl_norm *norm);
void rl_norm_carve(rl_norm *norm, rl_carver *carver);
void rl_norm_pack(const rl_norm *norm, rl_backend *be);

#endif
