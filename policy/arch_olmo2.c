/* OLMo 2: attention and MLP are normed after, not before; q and k over all heads together. */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROWS_QKV,
    RL_ROWS_QK_NORM(RL_DIM_Q, RL_DIM_KV),
    RL_ROW_O,
    {RL_ROLE_ATTN_OUT_NORM, "post_attention_layernorm.weight", "post_attention_norm.weight",
     RL_DIM_WIDTH, RL_DIM_NONE},
    RL_ROWS_GATE_UP,
    RL_ROW_DOWN,
    {RL_ROLE_MLP_OUT_NORM, "post_feedforward_layernorm.weight", "post_ffw_norm.weight",
     RL_DIM_WIDTH, RL_DIM_NONE},
};

const rl_family rl_family_olmo2 = {
    .model_type = "olmo2",
    .architecture = "Olmo2ForCausalLM",
    .gguf = "olmo2",
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.max_positions = 2048, .norm_eps = 1e-5, .rope_theta = 10000},
};
