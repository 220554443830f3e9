/* Mistral: Llama's block with a window on every layer unless sliding_window is null. */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM, RL_ROWS_QKV, RL_ROW_O, RL_ROW_MLP_NORM, RL_ROWS_GATE_UP, RL_ROW_DOWN,
};

const rl_family rl_family_mistral = {
    .model_type = "mistral",
    .architecture = "MistralForCausalLM",
    .gguf = "llama", // where there are no windows
    .gguf_pairs = true,
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.n_kv_heads = 8,
               .max_positions = 131072,
               .window = 4096,
               .norm_eps = 1e-6,
               .rope_theta = 10000},
    .slides = rl_slides_all,
};
