/*
 * Every family's tiny checkpoint beside its forward (test_model.c, test_forward_bits.c): both
 * spellings of its config, saving and loading, drawing new weights, and the same weights by way of
 * a GGUF file for the families that GGUF files may hold.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/log.h"
#include "rl/policy/hf.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"
#include "tests/support/checkpoints.h"
#include "tests/support/gguf_build.h"

static const char *const names[] = {"llama", "llama3",  "mistral", "qwen2", "qwen3",
                                    "olmo2", "smollm3", "gemma3",  "phi3"};

/* A file of a golden model; the next call reuses the room. */
static const char *golden_file(const char *model, const char *file) {
    static char path[128];
    snprintf(path, sizeof path, "models/%s/%s", model, file);
    return rl_golden(path);
}

static rl_model_config config_of(const char *path) {
    rl_json_doc *doc;
    rl_model_config config;
    rl_err err;
    assert_ok(rl_json_read(path, &doc, &err));
    assert_ok(rl_model_config_from_json(rl_json_root(doc), NULL, &config, &err));
    rl_json_free(doc);
    return config;
}

static void both_spellings(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        rl_model_config now = config_of(golden_file(names[i], "config.json"));
        rl_model_config before = config_of(golden_file(names[i], "config_v4.json"));
        rl_test_same_config(&now, &before);
    }
}

/* What the table of layers comes to. */
static void layers_differ(void **state) {
    static const struct {
        const char *name;
        int32_t window[3], rope[3];
    } rows[] = {
        {"llama", {0, 0, 0}, {0, 0, 0}},    {"mistral", {16, 16, 16}, {0, 0, 0}},
        {"qwen2", {0, 0, 0}, {0, 0, 0}},    {"smollm3", {0, 0, 0}, {0, -1, 0}},
        {"gemma3", {12, 0, 12}, {1, 0, 1}}, {"phi3", {0, 0, 0}, {0, 0, 0}},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_model_config c = config_of(golden_file(rows[i].name, "config.json"));
        for (int32_t k = 0; k < 3; k++) {
            assert_int_equal(rl_layer_window(&c, k), rows[i].window[k]);
            assert_int_equal(rl_layer_rope(&c, k), rows[i].rope[k]);
        }
    }
}

static void saved_and_loaded(void **state) {
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        rl_params params;
        rl_checkpoint *cp = rl_test_checkpoint(be, golden_file(names[i], ""), &params);
        float *first = rl_test_values(be, &params.item[0]);
        char *folder;
        first[7] = 0x1.234568p-3f; // what is saved is the parameters, not the source's file
        rl_tensor_put(be, params.item[0].value, first);
        folder = rl_test_round_trip(be, cp, &params);
        print_message("families: %s | save and load | equal\n", names[i]);
        rl_free(first);
        rl_test_drop(folder);
        rl_test_checkpoint_drop(be, cp, &params);
    }
}

/* Weights stored as BF16: the same bits by way of F32 and by way of BF16. */
static void bf16_saved_and_loaded(void **state) {
    const char *source = rl_shared("golden/models/qwen3-bf16");
    rl_backend *be = *state;
    rl_params params, again;
    rl_checkpoint *cp, *saved;
    char *folder;
    rl_err err;
    if (source == NULL) {
        rl_test_skip_shared("golden/models/qwen3-bf16");
        return;
    }
    cp = rl_test_checkpoint(be, source, &params);
    rl_test_drop(rl_test_round_trip(be, cp, &params));
    folder = rl_test_folder();
    assert_ok(rl_checkpoint_write(cp, &params, be, RL_SAVE_BF16, folder, &err));
    saved = rl_test_checkpoint(be, folder, &again);
    rl_test_same_config(rl_checkpoint_config(saved), rl_checkpoint_config(cp));
    for (int32_t i = 0; i < params.n_items; i++) {
        float *a = rl_test_values(be, &params.item[i]), *b = rl_test_values(be, &again.item[i]);
        assert_memory_equal(a, b, rl_tensor_bytes(params.item[i].value));
        rl_free(a);
        rl_free(b);
    }
    print_message("families: qwen3-bf16 | save and load | equal\n");
    rl_test_checkpoint_drop(be, saved, &again);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_test_drop(folder);
}

/* Norms begin as multiplying by 1, biases as 0, matrices with the config's deviation. */
static void drawn(void **state) {
    rl_backend *be = *state;
    rl_log_setup(NULL, RL_LOG_ERROR);
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        rl_params params;
        rl_checkpoint *cp;
        float norm = strcmp(names[i], "gemma3") == 0 ? 0 : 1;
        rl_err err;
        assert_ok(rl_checkpoint_open_random(golden_file(names[i], ""), 5, &cp, &err));
        assert_ok(rl_params_init(&params, rl_checkpoint_config(cp), be, false, &err));
        assert_ok(rl_checkpoint_read(cp, &params, be, &err));
        for (int32_t p = 0; p < params.n_items; p++) {
            float *got = rl_test_values(be, &params.item[p]);
            const char *name = params.item[p].name;
            int64_t n = rl_tensor_count(params.item[p].value);
            double squares = 0;
            for (int64_t k = 0; k < n; k++) {
                squares += (double)got[k] * (double)got[k] / (double)n;
                assert_true(params.item[p].decay ||
                            got[k] == (strstr(name, ".bias") != NULL ? 0 : norm));
            }
            assert_true(!params.item[p].decay || fabs(sqrt(squares) / 0.02 - 1) < 0.1);
            rl_free(got);
        }
        rl_test_checkpoint_drop(be, cp, &params);
    }
}

/* The converter's names, written out again. */
static const char *const gguf_names[][2] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"input_layernorm", "attn_norm"},
};

static void gguf_name(const char *hf, bool norms_after, char out[96]) {
    int layer = -1, at = 0;
    for (size_t i = 0; i < 3; i++) {
        if (strcmp(hf, gguf_names[i][0]) == 0) {
            snprintf(out, 96, "%s", gguf_names[i][1]);
            return;
        }
    }
    assert_int_equal(sscanf(hf, "model.layers.%d.%n", &layer, &at), 1);
    hf += at;
    for (size_t i = 3; i < RL_COUNT(gguf_names); i++) {
        size_t len = strlen(gguf_names[i][0]);
        if (strncmp(hf, gguf_names[i][0], len) == 0) {
            snprintf(out, 96, "blk.%d.%s%s", layer, gguf_names[i][1], hf + len);
            return;
        }
    }
    if (strcmp(hf, "post_attention_layernorm.weight") == 0) {
        snprintf(out, 96, "blk.%d.%s", layer,
                 norms_after ? "post_attention_norm.weight" : "ffn_norm.weight");
    } else {
        assert_string_equal(hf, "post_feedforward_layernorm.weight");
        snprintf(out, 96, "blk.%d.post_ffw_norm.weight", layer);
    }
}

/* Rows as the converter stores them where it keeps rotary pairs as neighbours. */
static void interleave(const float *from, float *to, int64_t rows, int64_t cols, int64_t dim) {
    for (int64_t r = 0; r < rows; r++) {
        int64_t d = r % dim, at = r - d + (d < dim / 2 ? 2 * d : 2 * (d - dim / 2) + 1);
        memcpy(to + at * cols, from + r * cols, (size_t)cols * sizeof *to);
    }
}

static void add_weights(rl_gguf_build *b, const char *path, const rl_model_config *c, bool pairs) {
    rl_safetensors *file;
    rl_err err;
    assert_ok(rl_safetensors_open(path, &file, &err));
    for (size_t i = 0; i < rl_safetensors_count(file); i++) {
        const rl_weight *w = rl_safetensors_at(file, i);
        uint64_t ne[2] = {(uint64_t)w->shape[w->rank - 1], (uint64_t)w->shape[0]};
        float *rows = rl_alloc(w->n_bytes, 1);
        char name[96];
        gguf_name(w->name, strcmp(c->family, "olmo2") == 0, name);
        memcpy(rows, w->bytes, w->n_bytes);
        if (pairs && (strstr(w->name, "q_proj.weight") != NULL ||
                      strstr(w->name, "k_proj.weight") != NULL)) {
            float *plain = rl_alloc(w->n_bytes, 1);
            memcpy(plain, rows, w->n_bytes);
            interleave(plain, rows, w->shape[0], w->shape[1], c->head_dim);
            rl_free(plain);
        }
        rl_gguf_build_tensor(b, name, RL_GGML_F32, ne, (uint32_t)w->rank, rows, w->n_bytes);
        rl_free(rows);
    }
    rl_safetensors_close(file);
}

static void put_u32(rl_gguf_build *b, const char *arch, const char *key, int32_t value) {
    char full[96];
    snprintf(full, sizeof full, "%s.%s", arch, key);
    rl_gguf_build_u32(b, full, (uint32_t)value);
}

static void add_metadata(rl_gguf_build *b, const char *arch, const rl_model_config *c) {
    static const char *const tokens[] = {"a", "b", "\xc4\xa0", "ab"};
    static const char *const merges[] = {"a b"};
    static const int32_t kinds[] = {1, 1, 1, 1};
    char key[96];
    rl_gguf_build_text(b, "general.architecture", arch);
    put_u32(b, arch, "block_count", c->n_layers);
    put_u32(b, arch, "context_length", c->max_positions);
    put_u32(b, arch, "embedding_length", c->width);
    put_u32(b, arch, "feed_forward_length", c->mlp);
    put_u32(b, arch, "attention.head_count", c->n_heads);
    put_u32(b, arch, "attention.head_count_kv", c->n_kv_heads);
    put_u32(b, arch, "attention.key_length", c->head_dim);
    put_u32(b, arch, "attention.value_length", c->head_dim);
    snprintf(key, sizeof key, "%s.attention.layer_norm_rms_epsilon", arch);
    rl_gguf_build_f32(b, key, (float)c->norm_eps);
    snprintf(key, sizeof key, "%s.rope.freq_base", arch);
    rl_gguf_build_f32(b, key, (float)c->rope[0].theta);
    rl_gguf_build_text(b, "tokenizer.ggml.model", "gpt2");
    rl_gguf_build_text(b, "tokenizer.ggml.pre", "smollm");
    rl_gguf_build_texts(b, "tokenizer.ggml.tokens", tokens, RL_COUNT(tokens));
    rl_gguf_build_i32s(b, "tokenizer.ggml.token_type", kinds, RL_COUNT(tokens));
    rl_gguf_build_texts(b, "tokenizer.ggml.merges", merges, 1);
}

static char *write_gguf(const char *folder, const rl_gguf_build *b) {
    rl_str bytes = {0}, path = {0};
    rl_err err;
    rl_gguf_build_finish(b, &bytes);
    rl_str_appendf(&path, "%s/model.gguf", folder);
    assert_ok(rl_fs_write(path.ptr, bytes.ptr, bytes.len, &err));
    rl_str_release(&bytes);
    return rl_str_take(&path);
}

/* The same weights, and saved again the same folder's weights. */
static void by_gguf(void **state) {
    static const struct {
        const char *name, *arch;
        bool pairs;
    } rows[] = {{"llama", "llama", true},  {"llama3", "llama", true}, {"qwen2", "qwen2", false},
                {"qwen3", "qwen3", false}, {"olmo2", "olmo2", false}, {"smollm3", "smollm3", true}};
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_model_config c = config_of(golden_file(rows[i].name, "config.json"));
        char *folder = rl_test_folder(), *path, *saved;
        rl_gguf_build b = {0};
        rl_params params;
        rl_checkpoint *cp;
        add_metadata(&b, rows[i].arch, &c);
        add_weights(&b, golden_file(rows[i].name, "model.safetensors"), &c, rows[i].pairs);
        path = write_gguf(folder, &b);
        cp = rl_test_checkpoint(be, path, &params);
        assert_string_equal(rl_checkpoint_config(cp)->family, c.family);
        rl_test_same_as_file(be, &params, golden_file(rows[i].name, "model.safetensors"));
        saved = rl_test_round_trip(be, cp, &params);
        print_message("families: %s | gguf | equal\n", rows[i].name);
        rl_test_drop(saved);
        rl_test_checkpoint_drop(be, cp, &params);
        rl_free(path);
        rl_test_drop(folder);
        rl_gguf_build_release(&b);
    }
}

/* Opens a GGUF of llama3's weights with these factors, and says what it is taken for. */
static rl_status open_with_factors(rl_backend *be, const float *factor, rl_rope *out, rl_err *err) {
    rl_model_config c = config_of(golden_file("llama3", "config.json"));
    uint64_t ne[1] = {(uint64_t)c.head_dim / 2};
    char *folder = rl_test_folder(), *path;
    rl_gguf_build b = {0};
    rl_checkpoint *cp;
    rl_status status;
    add_metadata(&b, "llama", &c);
    add_weights(&b, golden_file("llama3", "model.safetensors"), &c, true);
    rl_gguf_build_tensor(&b, "rope_freqs.weight", RL_GGML_F32, ne, 1, factor,
                         (size_t)ne[0] * sizeof *factor);
    path = write_gguf(folder, &b);
    status = rl_checkpoint_open(path, &cp, err);
    if (status == RL_OK) {
        rl_params params;
        *out = rl_checkpoint_config(cp)->rope[0];
        rl_checkpoint_close(cp);
        cp = rl_test_checkpoint(be, path, &params);
        rl_test_drop(rl_test_round_trip(be, cp, &params)); // config.json says it again
        rl_test_checkpoint_drop(be, cp, &params);
    }
    rl_free(path);
    rl_test_drop(folder);
    rl_gguf_build_release(&b);
    return status;
}

/* The tensor that converted Llama 3 models carry instead of their config's rope_scaling. */
static void gguf_rope_factors(void **state) {
    float factor[8];
    rl_rope rope;
    rl_err err = {""};
    for (int i = 0; i < 8; i++) { // llama.cpp's convert_hf_to_gguf.py, by wave length
        double length = 2 * acos(-1) * pow(500000, i / 8.0), low = 8192 / 1.0, high = 8192 / 4.0;
        double smooth = (8192 / length - 1) / (4 - 1);
        factor[i] = (float)(length < high  ? 1
                            : length > low ? 32
                                           : 1 / ((1 - smooth) / 32 + smooth));
    }
    assert_true(factor[0] == 1 && factor[7] == 32);
    assert_ok(open_with_factors(*state, factor, &rope, &err));
    assert_true(rope.kind == RL_ROPE_LLAMA3 && rope.factor == 32 && rope.low_freq == 1);
    assert_true(rope.high_freq == 4 && rope.original == 8192 && rope.theta == 500000);
    factor[5] *= 1.01f;
    assert_int_equal(open_with_factors(*state, factor, &rope, &err), RL_UNSUPPORTED);
    rl_test_says(&err, "'rope_freqs.weight' are not those of Llama 3's scaling");
    for (int i = 0; i < 8; i++) {
        factor[i] = 1;
    }
    assert_ok(open_with_factors(*state, factor, &rope, &err));
    assert_true(rope.kind == RL_ROPE_DEFAULT);
}

/* SmolLM3's layers without rotation are not in the metadata: every fourth. */
static void gguf_still_layers(void **state) {
    rl_model_config c = config_of(golden_file("smollm3", "config.json")), got;
    rl_str bytes = {0};
    rl_gguf_build b = {0};
    rl_gguf *file;
    rl_err err;
    (void)state;
    c.n_layers = 9;
    add_metadata(&b, "smollm3", &c);
    add_weights(&b, golden_file("smollm3", "model.safetensors"), &c, true);
    rl_gguf_build_finish(&b, &bytes);
    assert_ok(rl_gguf_parse(bytes.ptr, bytes.len, "test.gguf", &file, &err));
    assert_ok(rl_model_config_from_gguf(file, &got, &err));
    for (int32_t i = 0; i < 9; i++) {
        assert_int_equal(rl_layer_rope(&got, i), i % 4 == 3 ? -1 : 0);
    }
    rl_gguf_close(file);
    rl_str_release(&bytes);
    rl_gguf_build_release(&b);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_spellings),
        cmocka_unit_test(layers_differ),
        cmocka_unit_test(saved_and_loaded),
        cmocka_unit_test(bf16_saved_and_loaded),
        cmocka_unit_test(drawn),
        cmocka_unit_test(by_gguf),
        cmocka_unit_test(gguf_rope_factors),
        cmocka_unit_test(gguf_still_layers),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
