#include "rl/policy/config.h"

#include <stdio.h>
#include <stdlib.h>

#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/str.h"
#include "tests/support/checkpoints.h"

static rl_status read(const char *config, const char *generation, rl_model_config *out,
                      rl_err *err) {
    rl_json_doc *doc = NULL, *generation_doc = NULL;
    rl_status status;
    assert_int_equal(rl_json_parse(config, strlen(config), "config.json", &doc, err), RL_OK);
    if (generation != NULL) {
        assert_int_equal(rl_json_parse(generation, strlen(generation), "generation_config.json",
                                       &generation_doc, err),
                         RL_OK);
    }
    status = rl_model_config_from_json(
        rl_json_root(doc), generation_doc != NULL ? rl_json_root(generation_doc) : NULL, out, err);
    rl_json_free(doc);
    rl_json_free(generation_doc);
    return status;
}

static void read_file(const char *path, rl_model_config *out) {
    rl_arena *arena = rl_arena_new(0);
    char *text;
    size_t len;
    rl_err err;
    assert_ok(rl_fs_read(path, arena, &text, &len, &err));
    assert_ok(read(text, NULL, out, &err));
    rl_arena_free(arena);
}

// Both spellings of the golden configurations say the same.
static void old_and_new_spelling(void **state) {
    static const char *const names[][2] = {
        {"models/llama/config.json", "models/llama/config_v4.json"},
        {"models/llama3/config.json", "models/llama3/config_v4.json"},
    };
    rl_model_config c[2][2];
    (void)state;
    for (int i = 0; i < 2; i++) {
        for (int k = 0; k < 2; k++) {
            read_file(rl_golden(names[i][k]), &c[i][k]);
        }
    }
    for (int k = 0; k < 2; k++) {
        const rl_model_config *a = &c[0][k], *b = &c[1][k];
        assert_string_equal(a->family, "llama");
        assert_true(a->vocab == 300 && a->width == 48 && a->mlp == 112 && a->n_layers == 3);
        assert_true(a->n_heads == 6 && a->n_kv_heads == 2 && a->head_dim == 8 && a->tied);
        assert_true(a->norm_eps == 1e-5 && a->rope[0].theta == 10000 && a->max_positions == 128);
        assert_true(a->rope[0].kind == RL_ROPE_DEFAULT && a->rope[0].factor == 1);
        assert_true(a->bos == 1 && a->pad == 0 && a->n_eos == 1 && a->eos[0] == 2);
        assert_true(b->width == 64 && b->mlp == 96 && b->head_dim == 16 && !b->tied);
        assert_true(b->rope[0].kind == RL_ROPE_LLAMA3 && b->rope[0].theta == 500000);
        assert_true(b->rope[0].factor == 8 && b->rope[0].low_freq == 1 &&
                    b->rope[0].high_freq == 4);
        assert_true(b->rope[0].original == 64 && b->max_positions == 512);
    }
    assert_int_equal(rl_model_config_params(&c[0][0]), 81552); // as llama-sharded's index counts
}

#define SIZES                                                                                      \
    "\"model_type\": \"llama\", \"vocab_size\": 10, \"hidden_size\": 8, "                          \
    "\"intermediate_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 2"

static void what_may_be_left_out(void **state) {
    rl_model_config c;
    rl_err err;
    (void)state;
    assert_ok(read("{" SIZES "}", NULL, &c, &err));
    assert_true(c.n_kv_heads == 2 && c.head_dim == 4 && c.max_positions == 2048 && !c.tied);
    assert_true(c.norm_eps == 1e-6 && c.rope[0].theta == 10000 &&
                c.rope[0].kind == RL_ROPE_DEFAULT);
    assert_true(c.bos == -1 && c.pad == -1 && c.n_eos == 0);
    // 2 * 10 * 8 (untied) + 8 + 2 * (2 * 8 + 4 * 8 * 8 + 3 * 8 * 12)
    assert_int_equal(rl_model_config_params(&c), 160 + 8 + 2 * (16 + 256 + 288));
    assert_ok(read("{" SIZES ", \"head_dim\": null, \"num_key_value_heads\": null, "
                   "\"rope_scaling\": null, \"bos_token_id\": null, \"eos_token_id\": null, "
                   "\"pad_token_id\": -1, \"tie_word_embeddings\": null}",
                   NULL, &c, &err));
    assert_true(c.n_kv_heads == 2 && c.head_dim == 4 && c.pad == -1 && !c.tied);
}

static void end_tokens_add_up(void **state) {
    rl_model_config c;
    rl_err err;
    (void)state;
    assert_ok(read("{" SIZES ", \"eos_token_id\": [3, 4]}",
                   "{\"eos_token_id\": [4, 5], \"bos_token_id\": 1, \"pad_token_id\": 2}", &c,
                   &err));
    assert_true(c.n_eos == 3 && c.eos[0] == 3 && c.eos[1] == 4 && c.eos[2] == 5);
    assert_true(c.bos == 1 && c.pad == 2);
    assert_ok(read("{" SIZES ", \"eos_token_id\": 3, \"bos_token_id\": 7}",
                   "{\"eos_token_id\": 6, \"bos_token_id\": 1}", &c, &err));
    assert_true(c.n_eos == 2 && c.eos[0] == 3 && c.eos[1] == 6 && c.bos == 7);
}

static void rope_settings(void **state) {
    rl_model_config c;
    rl_err err;
    (void)state;
    assert_ok(read("{" SIZES ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 2.5}}", NULL,
                   &c, &err));
    assert_true(c.rope[0].kind == RL_ROPE_LINEAR && c.rope[0].factor == 2.5);
    assert_ok(read("{" SIZES ", \"rope_theta\": 5, \"rope_parameters\": {\"rope_type\": "
                   "\"linear\", \"factor\": 4, \"rope_theta\": 7.5}}",
                   NULL, &c, &err));
    assert_true(c.rope[0].kind == RL_ROPE_LINEAR && c.rope[0].factor == 4 &&
                c.rope[0].theta == 7.5);
    // The older name counts where the newer is absent; the newer wins.
    assert_ok(read("{" SIZES ", \"rope_scaling\": {\"type\": \"yarn\", \"rope_type\": "
                   "\"default\"}}",
                   NULL, &c, &err));
    assert_int_equal(c.rope[0].kind, RL_ROPE_DEFAULT);
}

#define OF(type)                                                                                   \
    "\"model_type\": \"" type "\", \"vocab_size\": 10, \"hidden_size\": 8, "                       \
    "\"intermediate_size\": 12, \"num_hidden_layers\": 4, \"num_attention_heads\": 2"

#define S                 "\"sliding_attention\""
#define F                 "\"full_attention\""
#define TYPES(a, b, c, d) "[" a ", " b ", " c ", " d "]"

/* Windows by the keys that ask for them; each row's layers as a text of w(indow) and f(ull). */
static void windows(void **state) {
    static const struct {
        const char *config, *layers;
        int32_t window;
    } rows[] = {
        {OF("mistral"), "wwww", 4096},
        {OF("mistral") ", \"sliding_window\": null", "ffff", 0},
        {OF("mistral") ", \"sliding_window\": 7", "wwww", 7},
        {OF("phi3"), "ffff", 0},
        {OF("phi3") ", \"sliding_window\": 9", "wwww", 9},
        {OF("llama") ", \"sliding_window\": 9", "ffff", 0},
        {OF("qwen2") ", \"sliding_window\": 5", "ffff", 0},
        {OF("qwen2") ", \"use_sliding_window\": true, \"max_window_layers\": 2", "ffww", 4096},
        {OF("qwen3") ", \"use_sliding_window\": true, \"sliding_window\": 5, \"layer_types\": "
                     "[\"full_attention\", \"sliding_attention\", \"full_attention\", "
                     "\"full_attention\"]",
         "fwff", 5},
        {OF("qwen3") ", \"use_sliding_window\": true, \"sliding_window\": null", "ffff", 0},
        {OF("smollm3") ", \"use_sliding_window\": true, \"sliding_window\": 5", "fffw", 5},
        {OF("gemma3_text") ", \"sliding_window_pattern\": 2", "wfwf", 4096},
        {OF("gemma3_text") ", \"sliding_window_pattern\": 1, \"sliding_window\": null", "ffff", 0},
        {OF("mistral") ", \"sliding_window\": 7, \"layer_types\": " TYPES(S, S, S, S), "wwww", 7},
        {OF("llama") ", \"layer_types\": " TYPES(F, F, F, F), "ffff", 0},
        {OF("gemma3_text") ", \"sliding_window_pattern\": 1e300", "wwww", 4096},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_str text = {0};
        rl_model_config c;
        rl_err err;
        rl_str_appendf(&text, "{%s, \"num_key_value_heads\": 1}", rows[i].config);
        assert_ok(read(rl_str_text(&text), NULL, &c, &err));
        for (int32_t k = 0; k < 4; k++) {
            assert_int_equal(rl_layer_window(&c, k), rows[i].layers[k] == 'w' ? rows[i].window : 0);
        }
        rl_str_release(&text);
    }
}

/* What transformers takes where a family's config.json is silent. */
static void what_families_leave_out(void **state) {
    static const struct {
        const char *config;
        int32_t n_kv_heads, head_dim, max_positions;
        double norm_eps, theta;
        bool tied;
    } rows[] = {
        {OF("mistral") ", \"num_key_value_heads\": null", 2, 4, 131072, 1e-6, 10000, false},
        {OF("qwen2") ", \"num_key_value_heads\": 1", 1, 4, 32768, 1e-6, 10000, false},
        {OF("qwen3") ", \"num_key_value_heads\": 1", 1, 128, 32768, 1e-6, 10000, false},
        {OF("olmo2"), 2, 4, 2048, 1e-5, 10000, false},
        {OF("smollm3") ", \"num_key_value_heads\": 2", 2, 4, 32768, 1e-6, 2000000, true},
        {OF("gemma3_text") ", \"num_key_value_heads\": 1", 1, 256, 131072, 1e-6, 1e6, true},
        {OF("phi3"), 2, 4, 4096, 1e-5, 10000, false},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_str text = {0};
        rl_model_config c;
        rl_err err;
        rl_str_appendf(&text, "{%s}", rows[i].config);
        assert_ok(read(rl_str_text(&text), NULL, &c, &err));
        assert_int_equal(c.n_kv_heads, rows[i].n_kv_heads);
        assert_int_equal(c.head_dim, rows[i].head_dim);
        assert_int_equal(c.max_positions, rows[i].max_positions);
        assert_true(c.norm_eps == rows[i].norm_eps && c.rope[0].theta == rows[i].theta);
        assert_int_equal(c.tied, rows[i].tied);
        rl_str_release(&text);
    }
}

/* Each is refused with a sentence that has the part. */
typedef struct refusal {
    rl_status status;
    const char *config, *part;
} refusal;

static void check_refusals(const refusal *rows, size_t n_rows) {
    for (size_t i = 0; i < n_rows; i++) {
        rl_model_config c;
        rl_err err = {""};
        if (read(rows[i].config, NULL, &c, &err) != rows[i].status) {
            fail_msg("'%s': '%s'", rows[i].config, err.text);
        }
        rl_test_says(&err, rows[i].part);
    }
}

/* Rotary settings that would be passed over. */
static void ropes_refused(void **state) {
    static const refusal rows[] = {
        {RL_UNSUPPORTED,
         "{" OF("qwen3") ", \"rope_parameters\": {\"rope_type\": \"default\"}, "
                         "\"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 4}}",
         "config.json has both 'rope_parameters' and 'rope_scaling'"},
        {RL_UNSUPPORTED,
         "{" OF("gemma3_text") ", \"rope_parameters\": {\"full_attention\": {}}, "
                               "\"rope_scaling\": {\"rope_type\": \"linear\", \"factor\": 8}}",
         "config.json has both 'rope_parameters' and 'rope_scaling'"},
        {RL_UNSUPPORTED,
         "{" OF("llama") ", \"rope_parameters\": {\"full_attention\": {\"rope_type\": "
                         "\"yarn\", \"factor\": 4}}}",
         "'full_attention' in the rope settings of config.json is not supported with rope type "
         "'default'"},
        {RL_UNSUPPORTED, "{" SIZES ", \"rope_scaling\": {\"factor\": 8}}",
         "'factor' in the rope settings of config.json is not supported with rope type 'default'"},
        {RL_UNSUPPORTED,
         "{" SIZES ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": 8, "
         "\"attention_factor\": 2}}",
         "'attention_factor' in the rope settings of config.json is not supported with rope type "
         "'linear'"},
        {RL_UNSUPPORTED,
         "{" SIZES ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 1, \"high_freq_factor\": 4, \"mscale\": 1, "
         "\"original_max_position_embeddings\": 64}}",
         "'mscale' in the rope settings of config.json is not supported with rope type 'llama3'"},
        {RL_IO, "{" SIZES ", \"rope_scaling\": {\"rope_type\": 3}}", "'rope_type' in config.json"},
        {RL_IO, "{" SIZES ", \"rope_scaling\": {\"type\": [\"yarn\"]}}",
         "'rope_type' in config.json must be a text"},
        {RL_UNSUPPORTED, "{" OF("gemma3_text") ", \"rope_parameters\": {\"rope_theta\": 5}}",
         "'rope_theta' in 'rope_parameters' of config.json is not supported for model type "
         "'gemma3_text'"},
        {RL_IO, "{" OF("gemma3_text") ", \"rope_parameters\": [5]}", "are not an object"},
        {RL_UNSUPPORTED,
         "{" OF("gemma3_text") ", \"rope_parameters\": {\"sliding_attention\": {\"rope_type\": "
                               "\"yarn\"}}}",
         "rope type 'yarn' is not supported"},
    };
    rl_model_config c;
    rl_err err;
    (void)state;
    check_refusals(rows, RL_COUNT(rows));
    // What an object leaves out, the keys beside it say.
    assert_ok(read("{" OF("gemma3_text") ", \"num_key_value_heads\": 1, \"rope_theta\": 7, "
                                         "\"rope_local_base_freq\": 9, \"rope_parameters\": "
                                         "{\"full_attention\": {}, \"sliding_attention\": null}}",
                   NULL, &c, &err));
    assert_true(c.n_ropes == 2 && c.rope[0].theta == 7 && c.rope[1].theta == 9);
    assert_ok(read("{" SIZES ", \"rope_scaling\": {\"factor\": null}, \"rope_parameters\": null}",
                   NULL, &c, &err));
    assert_int_equal(c.rope[0].kind, RL_ROPE_DEFAULT);
}

/* Keys about single layers, of a wrong type or at odds with each other. */
static void layers_refused(void **state) {
    static const refusal rows[] = {
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layers\": [true, true, true, false]}",
         "'no_rope_layers' in config.json must say 0 or 1 for 4 layers"},
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layers\": [1, 1, 0]}", "'no_rope_layers'"},
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layers\": []}", "'no_rope_layers'"},
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layers\": [1, 1, 0, 2]}", "'no_rope_layers'"},
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layers\": 1}", "'no_rope_layers'"},
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layer_interval\": 0}",
         "'no_rope_layer_interval' in config.json must be a whole number from 1 up"},
        {RL_IO, "{" OF("smollm3") ", \"no_rope_layer_interval\": \"4\"}",
         "'no_rope_layer_interval'"},
        {RL_IO, "{" OF("qwen2") ", \"max_window_layers\": [2]}", "'max_window_layers'"},
        {RL_IO, "{" OF("qwen3") ", \"max_window_layers\": -1}", "'max_window_layers'"},
        {RL_IO, "{" OF("gemma3_text") ", \"sliding_window_pattern\": \"LLG\"}",
         "'sliding_window_pattern'"},
        {RL_IO, "{" OF("gemma3_text") ", \"_sliding_window_pattern\": 2.5}",
         "'_sliding_window_pattern'"},
        {RL_UNSUPPORTED, "{" OF("gemma3_text") ", \"sliding_window\": null}",
         "layer 0 has a window by its type, but 'sliding_window' in config.json is null"},
        {RL_UNSUPPORTED,
         "{" OF("gemma3_text") ", \"sliding_window\": null, \"layer_types\": " TYPES(F, S, F,
                                                                                     F) "}",
         "layer 1 has a window by its type"},
        {RL_UNSUPPORTED,
         "{" OF("qwen2") ", \"layer_types\": " TYPES("\"linear_attention\"", F, F, F) "}",
         "layer type 'linear_attention' is not supported"},
        {RL_UNSUPPORTED,
         "{" OF("llama") ", \"layer_types\": " TYPES("\"linear_attention\"", F, F, F) "}",
         "layer type 'linear_attention' is not supported"},
        {RL_UNSUPPORTED, "{" OF("qwen2") ", \"layer_types\": " TYPES(F, F, F, S) "}",
         "'layer_types' in config.json gives layer 3 a window, the other keys for model type "
         "'qwen2' give it none"},
        {RL_UNSUPPORTED, "{" OF("smollm3") ", \"layer_types\": " TYPES(S, F, F, F) "}",
         "'layer_types' in config.json gives layer 0 a window"},
        {RL_UNSUPPORTED, "{" OF("olmo2") ", \"layer_types\": " TYPES(S, F, F, F) "}",
         "'layer_types' in config.json gives layer 0 a window"},
        {RL_UNSUPPORTED, "{" OF("mistral") ", \"layer_types\": " TYPES(S, F, S, S) "}",
         "'layer_types' in config.json gives layer 1 no window, the other keys for model type "
         "'mistral' give it one"},
        {RL_IO, "{" OF("qwen3") ", \"layer_types\": " TYPES(F, F, F, "true") "}",
         "'layer_types' in config.json must be texts"},
        {RL_IO, "{" OF("qwen3") ", \"layer_types\": [" F ", " F ", " F ", " F ", " F "]}",
         "'layer_types' in config.json must name 4 layers"},
        {RL_IO, "{" OF("qwen3") ", \"layer_types\": " F "}", "must name 4 layers"},
        {RL_IO, "{" OF("qwen3") ", \"use_sliding_window\": 1}",
         "'use_sliding_window' in config.json must be true or false"},
        {RL_UNSUPPORTED, "{" OF("gemma3_text") ", \"use_bidirectional_attention\": \"all\"}",
         "'use_bidirectional_attention' \"all\" is not supported for model type 'gemma3_text'"},
        {RL_UNSUPPORTED, "{" SIZES ", \"attention_bias\": [true]}", "'attention_bias' [true]"},
        {RL_UNSUPPORTED, "{" SIZES ", \"mlp_bias\": {}}", "'mlp_bias' {}"},
        {RL_IO, "{" SIZES ", \"hidden_act\": [\"gelu\"]}",
         "'hidden_act' in config.json must be a text"},
    };
    (void)state;
    check_refusals(rows, RL_COUNT(rows));
}

static void refused(void **state) {
    static const refusal rows[] = {
        {RL_IO, "[]", "config.json is not an object"},
        {RL_IO, "{}", "config.json has no 'model_type'"},
        {RL_UNSUPPORTED, "{\"model_type\": \"mixtral\"}",
         "model type 'mixtral' is not supported; supported: llama, mistral, qwen2, qwen3, olmo2, "
         "smollm3, gemma3_text, phi3"},
        {RL_UNSUPPORTED, "{" OF("qwen3") ", \"num_experts\": 8}",
         "'num_experts' 8 is not supported"},
        {RL_UNSUPPORTED, "{" OF("mistral") ", \"num_local_experts\": 4}",
         "'num_local_experts' 4 is not supported for model type 'mistral'"},
        {RL_UNSUPPORTED, "{" OF("olmo2") ", \"attention_bias\": true}",
         "'attention_bias' true is not supported for model type 'olmo2'"},
        {RL_UNSUPPORTED, "{" OF("gemma3_text") ", \"final_logit_softcapping\": 30.0}",
         "'final_logit_softcapping' 30 is not supported for model type 'gemma3_text'"},
        {RL_UNSUPPORTED, "{" OF("gemma3_text") ", \"attn_logit_softcapping\": 50.0}",
         "'attn_logit_softcapping' 50"},
        {RL_UNSUPPORTED, "{" OF("gemma3_text") ", \"hidden_activation\": \"gelu\"}",
         "hidden_activation 'gelu' is not supported for model type 'gemma3_text'; supported: "
         "gelu_pytorch_tanh"},
        {RL_UNSUPPORTED,
         "{" OF("phi3") ", \"rope_scaling\": {\"type\": \"longrope\", \"short_factor\": [1]}}",
         "rope type 'longrope' is not supported"},
        {RL_UNSUPPORTED, "{" OF("qwen2") ", \"rope_scaling\": {\"rope_type\": \"dynamic\"}}",
         "rope type 'dynamic' is not supported"},
        {RL_UNSUPPORTED,
         "{" OF("qwen3") ", \"use_sliding_window\": true, \"layer_types\": " TYPES(
             F, "\"chunked_attention\"", F, F) "}",
         "layer type 'chunked_attention' is not supported"},
        {RL_IO, "{" OF("gemma3_text") ", \"layer_types\": [\"full_attention\"]}",
         "'layer_types' in config.json must name 4 layers"},
        {RL_IO, "{" OF("mistral") ", \"sliding_window\": 0}", "'sliding_window' in config.json"},
        {RL_UNSUPPORTED, "{" SIZES ", \"quantization_config\": {\"quant_method\": \"gptq\"}}",
         "weights quantised by 'gptq' are not supported"},
        {RL_UNSUPPORTED, "{" SIZES ", \"attention_bias\": true}", "'attention_bias' true"},
        {RL_UNSUPPORTED, "{" SIZES ", \"mlp_bias\": true}", "'mlp_bias' true"},
        {RL_UNSUPPORTED, "{" SIZES ", \"rope_interleaved\": true}", "'rope_interleaved' true"},
        {RL_UNSUPPORTED, "{" SIZES ", \"hidden_act\": \"gelu\"}",
         "hidden_act 'gelu' is not supported for model type 'llama'; supported: silu"},
        {RL_UNSUPPORTED, "{" SIZES ", \"rope_scaling\": {\"rope_type\": \"yarn\", \"factor\": 2}}",
         "rope type 'yarn' is not supported; supported: default, linear, llama3"},
        {RL_UNSUPPORTED, "{" SIZES ", \"partial_rotary_factor\": 0.5}", "'partial_rotary_factor'"},
        {RL_IO, "{" SIZES ", \"rope_scaling\": 3}", "the rope settings in config.json"},
        {RL_IO, "{" SIZES ", \"rope_scaling\": {\"type\": \"linear\"}}", "'factor' in config.json"},
        {RL_IO, "{" SIZES ", \"rope_scaling\": {\"type\": \"linear\", \"factor\": -1}}",
         "'factor' in config.json must be a number above 0"},
        {RL_IO,
         "{" SIZES ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 1, \"high_freq_factor\": 4}}",
         "config.json has no 'original_max_position_embeddings'"},
        {RL_IO,
         "{" SIZES ", \"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8, "
         "\"low_freq_factor\": 4, \"high_freq_factor\": 4, "
         "\"original_max_position_embeddings\": 64}}",
         "'low_freq_factor' in config.json must be below 'high_freq_factor'"},
        {RL_IO, "{" SIZES ", \"rope_theta\": \"big\"}", "'rope_theta' in config.json must be a "},
        {RL_IO, "{" SIZES ", \"rms_norm_eps\": 0}", "'rms_norm_eps' in config.json must be"},
        {RL_IO, "{" SIZES ", \"num_key_value_heads\": 3}", "2 attention heads cannot share 3"},
        {RL_IO, "{" SIZES ", \"num_key_value_heads\": 0}",
         "'num_key_value_heads' in config.json must be a whole number in [1, 16384]"},
        {RL_UNSUPPORTED, "{" SIZES ", \"head_dim\": 3}", "head size 3 is not even"},
        {RL_IO, "{" SIZES ", \"head_dim\": 2.5}", "'head_dim' in config.json must be a whole"},
        {RL_IO, "{" SIZES ", \"max_position_embeddings\": 1e12}", "'max_position_embeddings'"},
        {RL_IO, "{" SIZES ", \"tie_word_embeddings\": 1}",
         "'tie_word_embeddings' in config.json must be true or false"},
        {RL_IO, "{" SIZES ", \"bos_token_id\": \"x\"}", "'bos_token_id' in config.json"},
        {RL_IO, "{" SIZES ", \"eos_token_id\": [1, \"x\"]}", "'eos_token_id' in config.json"},
        {RL_IO, "{" SIZES ", \"eos_token_id\": -5}", "'eos_token_id' in config.json"},
        {RL_UNSUPPORTED, "{" SIZES ", \"eos_token_id\": [1, 2, 3, 4, 5, 6, 7, 8, 9]}",
         "more than 8 end tokens"},
        {RL_IO, "{\"model_type\": \"llama\", \"vocab_size\": 10}",
         "config.json has no 'hidden_size'"},
        {RL_IO,
         "{\"model_type\": \"llama\", \"vocab_size\": 10, \"hidden_size\": 9, "
         "\"intermediate_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 2}",
         "'hidden_size' 9 is no multiple of 'num_attention_heads' 2"},
        {RL_IO,
         "{\"model_type\": \"llama\", \"vocab_size\": 10, \"hidden_size\": 8, "
         "\"intermediate_size\": 12, \"num_hidden_layers\": 2, \"num_attention_heads\": 16384, "
         "\"head_dim\": 1048576}",
         "16384 heads of size 1048576 are too many"},
    };
    (void)state;
    check_refusals(rows, RL_COUNT(rows));
}

static void shared_configs(void **state) {
    static const struct {
        const char *name, *family;
        int64_t n_params;
    } rows[] = {
        {"olmo2-7b", "olmo2", 7298617344},  {"qwen2.5-0.5b", "qwen2", 494032768},
        {"qwen3-0.6b", "qwen3", 596049920}, {"qwen3-4b", "qwen3", 4022468096},
        {"qwen3-8b", "qwen3", 8190735360},  {"smollm2-135m", "llama", 134515008},
    };
    const char *path = rl_shared("models/configs/smollm2-135m.json");
    rl_model_config c;
    (void)state;
    if (path == NULL) {
        rl_test_skip_shared("models/configs/smollm2-135m.json");
        return;
    }
    read_file(path, &c);
    assert_int_equal(rl_model_config_params(&c), 134515008);
    assert_true(c.rope[0].theta == 100000 && c.tied && c.head_dim == 64);
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        char name[64];
        snprintf(name, sizeof name, "models/configs/%s.json", rows[i].name);
        read_file(rl_shared(name), &c);
        assert_string_equal(c.family, rows[i].family);
        assert_int_equal(rl_model_config_params(&c), rows[i].n_params);
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(old_and_new_spelling),
        cmocka_unit_test(what_may_be_left_out),
        cmocka_unit_test(end_tokens_add_up),
        cmocka_unit_test(rope_settings),
        cmocka_unit_test(windows),
        cmocka_unit_test(what_families_leave_out),
        cmocka_unit_test(ropes_refused),
        cmocka_unit_test(layers_refused),
        cmocka_unit_test(refused),
        cmocka_unit_test(shared_configs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
