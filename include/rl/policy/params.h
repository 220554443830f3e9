/*
 * The parameters of a policy: every weight under its Hugging Face name, in one buffer of float32
 * masters, with gradients of the same layout when training. A tied head has no entry of its own.
 */
#ifndef RL_POLICY_PARAMS_H
#define RL_POLICY_PARAMS_H

#include <stdbool.h>
#include <stdint.h>

#include "rl/policy/config.h"
#include "rl/tensor/tensor.h"

typedef struct rl_param {
    char name[96];   // "model.layers.3.self_attn.q_proj.weight"
    rl_tensor value; // [rows, cols], or [n] for norms
    rl_tensor grad;  // same shape; null unless the policy trains
    bool decay;      // weight decay applies (matrices; not norms and biases)
    bool hidden;     // a matrix of a block: neither embedding nor head
} rl_param;

typedef struct rl_params {
    rl_param *item;
    int32_t n_items;
    int64_t n_values;        // elements in all
    rl_buffer *value, *grad; // whole buffers, dense, in item order
} rl_params;

/* Lays out and allocates. `trains` adds the gradient buffer. Zero value released is fine. */
rl_status rl_params_init(rl_params *params, const rl_model_config *config, rl_backend *be,
                         bool trains, rl_err *err) RL_MUST_USE;
/*
 * For weights that are packed as they come: the matrices of all layers, and a head of its own, lie
 * in one place and are valid one layer at a time. Embedding and vectors have a place of their own.
 */
rl_status rl_params_init_passing(rl_params *params, const rl_model_config *config, rl_backend *be,
                                 rl_err *err) RL_MUST_USE;
void rl_params_release(rl_params *params, rl_backend *be);
rl_param *rl_params_find(const rl_params *params, const char *name); // NULL when absent

#endif
