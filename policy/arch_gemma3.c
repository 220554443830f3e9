/* Gemma 3, text only: norms before and after, each of which multiplies by 1 + weight; norms of each
 * head's query and key; GEGLU; windows in five layers of six, with a rotary base of their own
 * (transformers, configuration_gemma3.py). */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM,
    RL_ROWS_QKV,
    RL_ROWS_QK_NORM(RL_DIM_HEAD, RL_DIM_HEAD),
    RL_ROW_O,
    {RL_ROLE_ATTN_OUT_NORM, "post_attention_layernorm.weight", NULL, RL_DIM_WIDTH, RL_DIM_NONE},
    {RL_ROLE_MLP_NORM, "pre_feedforward_layernorm.weight", NULL, RL_DIM_WIDTH, RL_DIM_NONE},
    RL_ROWS_GATE_UP,
    RL_ROW_DOWN,
    {RL_ROLE_MLP_OUT_NORM, "post_feedforward_layernorm.weight", NULL, RL_DIM_WIDTH, RL_DIM_NONE},
};

static bool slides(const rl_json *config, const rl_model_config *out, int32_t at) {
    double old = rl_json_number(rl_json_get(config, "sliding_window_pattern"), 6);
    double period = rl_json_number(rl_json_get(config, "_sliding_window_pattern"), old);
    (void)out;
    return period < 1 || period > RL_MAX_LAYERS || (at + 1) % (int32_t)period != 0;
}

const rl_family rl_family_gemma3 = {
    .model_type = "gemma3_text",
    .architecture = "Gemma3ForCausalLM",
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation = RL_ACT_GELU_TANH,
    .activation_key = "hidden_activation",
    .norm_offset = 1,
    .scales_embedding = true,
    .absent = {.n_kv_heads = 4,
               .head_dim = 256,
               .max_positions = 131072,
               .window = 4096,
               .norm_eps = 1e-6,
               .rope_theta = 1000000,
               .tied = true},
    .slides = slides,
    .layer_types = true,
    .local_theta = "rope_local_base_freq",
    .query_scalar = "query_pre_attn_scalar",
};
