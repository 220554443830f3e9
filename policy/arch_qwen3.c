/* Qwen3: a norm of each head's query and key, and heads whose size is not width / heads. */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM, RL_ROWS_QKV,     RL_ROWS_QK_NORM(RL_DIM_HEAD, RL_DIM_HEAD),
    RL_ROW_O,         RL_ROW_MLP_NORM, RL_ROWS_GATE_UP,
    RL_ROW_DOWN,
};

const rl_family rl_family_qwen3 = {
    .model_type = "qwen3",
    .architecture = "Qwen3ForCausalLM",
    .gguf = "qwen3",
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.n_kv_heads = 32,
               .head_dim = 128,
               .max_positions = 32768,
               .window = 4096,
               .norm_eps = 1e-6,
               .rope_theta = 10000},
    .slides = rl_slides_above,
    .window_switch = "use_sliding_window",
    .layer_types = true,
};
