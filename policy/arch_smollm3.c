/* SmolLM3: Llama's block, but some layers do not rotate (transformers, configuration_smollm3.py).
 */
#include "policy/family.h"

static const rl_tensor_row layer[] = {
    RL_ROW_ATTN_NORM, RL_ROWS_QKV, RL_ROW_O, RL_ROW_MLP_NORM, RL_ROWS_GATE_UP, RL_ROW_DOWN,
};

/* no_rope_layers says 1 for a layer that rotates; else every no_rope_layer_interval-th does not.
 * config.c has checked both. */
static bool ropes(const rl_json *config, const rl_model_config *out, int32_t at) {
    const rl_json *item = rl_json_first(rl_json_get(config, "no_rope_layers"));
    double interval = rl_json_number(rl_json_get(config, "no_rope_layer_interval"), 4);
    (void)out;
    for (int32_t i = 0; item != NULL && i < at; i++) {
        item = rl_json_next(item);
    }
    return item != NULL
               ? rl_json_number(item, 1) != 0
               : interval < 1 || interval > RL_MAX_LAYERS || (at + 1) % (int32_t)interval != 0;
}

/* With windows on, layers that do not rotate have one. */
static bool slides(const rl_json *config, const rl_model_config *out, int32_t at) {
    return !ropes(config, out, at);
}

const rl_family rl_family_smollm3 = {
    .model_type = "smollm3",
    .architecture = "SmolLM3ForCausalLM",
    .gguf = "smollm3",
    .gguf_pairs = true,
    RL_ROWS_OUTSIDE,
    .layer = layer,
    .n_layer = sizeof layer / sizeof layer[0],
    .activation_key = "hidden_act",
    .absent = {.n_kv_heads = 4,
               .max_positions = 32768,
               .norm_eps = 1e-6,
               .rope_theta = 2000000,
               .tied = true},
    .slides = slides,
    .window_switch = "use_sliding_window",
    .layer_types = true,
    .ropes = ropes,
};
