/* Llama and what shares its block: SmolLM2, Llama 2 and 3, TinyLlama. */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM, RL_ROWS_QKV, RL_ROW_O, RL_ROW_MLP_NORM, RL_ROWS_GATE_UP, RL_ROW_DOWN,
};

const rl_family rl_family_llama = {
    .model_type = "llama",
    .architecture = "LlamaForCausalLM",
    .gguf = "llama",
    .gguf_pairs = true,
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.max_positions = 2048, .norm_eps = 1e-6, .rope_theta = 10000},
};
