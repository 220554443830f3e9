/* Phi-3: Llama's block with q, k, v in one tensor and gate, up in another, and a window where
 * sliding_window is a number. */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM,
    {RL_ROLE_QKV, "self_attn.qkv_proj.weight", NULL, RL_DIM_QKV, RL_DIM_WIDTH},
    RL_ROW_O,
    RL_ROW_MLP_NORM,
    {RL_ROLE_GATE_UP, "mlp.gate_up_proj.weight", NULL, RL_DIM_GATE_UP, RL_DIM_WIDTH},
    RL_ROW_DOWN,
};

const rl_family rl_family_phi3 = {
    .model_type = "phi3",
    .architecture = "Phi3ForCausalLM",
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.max_positions = 4096, .norm_eps = 1e-5, .rope_theta = 10000},
    .slides = rl_slides_all,
};
