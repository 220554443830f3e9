/* Qwen2 and Qwen2.5: Llama's block with biases on q, k and v, and windows in upper layers on
 * request (transformers, configuration_qwen2.py). */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM,
    RL_ROWS_QKV,
    {RL_ROLE_Q_BIAS, "self_attn.q_proj.bias", "attn_q.bias", RL_DIM_Q, RL_DIM_NONE},
    {RL_ROLE_K_BIAS, "self_attn.k_proj.bias", "attn_k.bias", RL_DIM_KV, RL_DIM_NONE},
    {RL_ROLE_V_BIAS, "self_attn.v_proj.bias", "attn_v.bias", RL_DIM_KV, RL_DIM_NONE},
    RL_ROW_O,
    RL_ROW_MLP_NORM,
    RL_ROWS_GATE_UP,
    RL_ROW_DOWN,
};

const rl_family rl_family_qwen2 = {
    .model_type = "qwen2",
    .architecture = "Qwen2ForCausalLM",
    .gguf = "qwen2",
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.n_kv_heads = 32,
               .max_positions = 32768,
               .window = 4096,
               .norm_eps = 1e-6,
               .rope_theta = 10000},
    .slides = rl_slides_above,
    .window_switch = "use_sliding_window",
    .layer_types = true,
};
