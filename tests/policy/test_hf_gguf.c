#include "rl/policy/hf.h"

#include <stdlib.h>

#include "policy/gguf_tokenizer.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/policy/tokenizer.h"
#include "rl/tensor/safetensors.h"
#include "tests/support/checkpoints.h"
#include "tests/support/gguf_build.h"
#include "tests/support/sha256.h"

// llama.cpp's names, written out apart from the family's table.
static void gguf_name(const char *hf, char out[96]) {
    static const char *const names[][2] = {
        {"input_layernorm.weight", "attn_norm.weight"},
        {"self_attn.q_proj.weight", "attn_q.weight"},
        {"self_attn.k_proj.weight", "attn_k.weight"},
        {"self_attn.v_proj.weight", "attn_v.weight"},
        {"self_attn.o_proj.weight", "attn_output.weight"},
        {"post_attention_layernorm.weight", "ffn_norm.weight"},
        {"mlp.gate_proj.weight", "ffn_gate.weight"},
        {"mlp.up_proj.weight", "ffn_up.weight"},
        {"mlp.down_proj.weight", "ffn_down.weight"},
    };
    if (strcmp(hf, "model.embed_tokens.weight") == 0) {
        snprintf(out, 96, "token_embd.weight");
    } else if (strcmp(hf, "model.norm.weight") == 0) {
        snprintf(out, 96, "output_norm.weight");
    } else {
        const char *rest = hf + strlen("model.layers.0.");
        for (size_t i = 0; i < RL_COUNT(names); i++) {
            if (strcmp(rest, names[i][0]) == 0) {
                snprintf(out, 96, "blk.%c.%s", hf[13], names[i][1]);
            }
        }
    }
}

// Rows as llama.cpp's converter puts them: reshape(heads, 2, D/2), swap the last two.
static void interleave(const float *in, float *out, int64_t rows, int64_t cols, int64_t head_dim) {
    int64_t half = head_dim / 2;
    for (int64_t h = 0; h < rows / head_dim; h++) {
        for (int64_t j = 0; j < 2; j++) {
            for (int64_t i = 0; i < half; i++) {
                memcpy(out + (h * head_dim + 2 * i + j) * cols,
                       in + (h * head_dim + j * half + i) * cols, (size_t)cols * sizeof *in);
            }
        }
    }
}

static void add_weights(rl_gguf_build *b, const char *path, int64_t head_dim) {
    rl_safetensors *file;
    rl_err err;
    assert_ok(rl_safetensors_open(path, &file, &err));
    for (size_t i = 0; i < rl_safetensors_count(file); i++) {
        const rl_weight *w = rl_safetensors_at(file, i);
        uint64_t ne[2] = {(uint64_t)w->shape[w->rank - 1], (uint64_t)w->shape[0]};
        float *values = rl_alloc(w->n_bytes, 1), *rows = rl_alloc(w->n_bytes, 1);
        char name[96] = "";
        gguf_name(w->name, name);
        rl_weight_to_f32(w, values);
        memcpy(rows, values, w->n_bytes);
        if (strstr(w->name, "q_proj") != NULL || strstr(w->name, "k_proj") != NULL) {
            interleave(values, rows, w->shape[0], w->shape[1], head_dim);
        }
        rl_gguf_build_tensor(b, name, RL_GGML_F32, ne, (uint32_t)w->rank, rows, w->n_bytes);
        rl_free(values);
        rl_free(rows);
    }
    rl_safetensors_close(file);
}

// All that a model needs but the key `but`, which the caller writes.
static void add_metadata(rl_gguf_build *b, const char *but) {
    static const struct {
        const char *key;
        uint32_t value;
    } rows[] = {
        {"llama.block_count", 3},          {"llama.context_length", 128},
        {"llama.embedding_length", 48},    {"llama.feed_forward_length", 112},
        {"llama.attention.head_count", 6}, {"llama.attention.head_count_kv", 2},
    };
    if (strcmp(but, "general.architecture") != 0) {
        rl_gguf_build_text(b, "general.architecture", "llama");
    }
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        if (strcmp(but, rows[i].key) != 0) {
            rl_gguf_build_u32(b, rows[i].key, rows[i].value);
        }
    }
    rl_gguf_build_f32(b, "llama.attention.layer_norm_rms_epsilon", 1e-5f);
}

static void add_tokenizer(rl_gguf_build *b) {
    static const char *const tokens[] = {"<|end|>", "<tool>", "a", "b", "\xc4\xa0", "ab"};
    static const char *const merges[] = {"a b"};
    static const int32_t kinds[] = {3, 4, 1, 1, 1, 1};
    rl_gguf_build_text(b, "tokenizer.ggml.model", "gpt2");
    rl_gguf_build_text(b, "tokenizer.ggml.pre", "smollm");
    rl_gguf_build_texts(b, "tokenizer.ggml.tokens", tokens, 6);
    rl_gguf_build_i32s(b, "tokenizer.ggml.token_type", kinds, 6);
    rl_gguf_build_texts(b, "tokenizer.ggml.merges", merges, 1);
    rl_gguf_build_u32(b, "tokenizer.ggml.eos_token_id", 0);
    rl_gguf_build_text(b, "tokenizer.chat_template", "{{ \"x\" }}\n");
}

static const char smollm_json[] =
    "{\"version\":\"1.0\",\"truncation\":null,\"padding\":null,\"added_tokens\":["
    "{\"id\":0,\"content\":\"<|end|>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":true},"
    "{\"id\":1,\"content\":\"<tool>\",\"single_word\":false,\"lstrip\":false,\"rstrip\":false,"
    "\"normalized\":false,\"special\":false}],\"normalizer\":null,"
    "\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":["
    "{\"type\":\"Digits\",\"individual_digits\":true},{\"type\":\"ByteLevel\","
    "\"add_prefix_space\":false,\"trim_offsets\":true,\"use_regex\":true}]},"
    "\"decoder\":{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"trim_offsets\":true,"
    "\"use_regex\":true},\"post_processor\":{\"type\":\"TemplateProcessing\","
    "\"single\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],"
    "\"pair\":[{\"Sequence\":{\"id\":\"A\",\"type_id\":0}},{\"Sequence\":{\"id\":\"B\","
    "\"type_id\":1}}],\"special_tokens\":{}},\"model\":{\"type\":\"BPE\",\"dropout\":null,"
    "\"unk_token\":null,\"continuing_subword_prefix\":null,\"end_of_word_suffix\":null,"
    "\"fuse_unk\":false,\"byte_fallback\":false,\"ignore_merges\":false,\"vocab\":{"
    "\"<|end|>\":0,\"<tool>\":1,\"a\":2,\"b\":3,\"\xc4\xa0\":4,\"ab\":5},\"merges\":[\"a b\"]}}";

static char *write_gguf(const char *folder, const rl_gguf_build *b) {
    rl_str bytes = {0}, path = {0};
    rl_err err;
    rl_gguf_build_finish(b, &bytes);
    rl_str_appendf(&path, "%s/model.gguf", folder);
    assert_ok(rl_fs_write(path.ptr, bytes.ptr, bytes.len, &err));
    rl_str_release(&bytes);
    return rl_str_take(&path);
}

static void tiny_gguf(void **state) {
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *folder = rl_test_folder(), *path, *saved;
    rl_gguf_build b = {0};
    rl_params params;
    rl_checkpoint *cp;
    const rl_model_config *config;
    add_metadata(&b, "");
    add_tokenizer(&b);
    add_weights(&b, rl_golden("models/llama/model.safetensors"), 8);
    path = write_gguf(folder, &b);
    cp = rl_test_checkpoint(be, path, &params);
    config = rl_checkpoint_config(cp);
    assert_non_null(rl_checkpoint_gguf(cp));
    assert_string_equal(config->family, "llama");
    assert_int_equal(config->vocab, 300);
    assert_int_equal(config->head_dim, 8);
    assert_true(config->tied && config->rope[0].theta == 10000 && config->norm_eps == 1e-5);
    assert_int_equal(config->bos, -1);
    assert_true(config->n_eos == 1 && config->eos[0] == 0);
    rl_test_same_as_file(be, &params, rl_golden("models/llama/model.safetensors"));
    saved = rl_test_round_trip(be, cp, &params);
    assert_string_equal(rl_test_text(arena, saved, "tokenizer.json"), smollm_json);
    assert_string_equal(rl_test_text(arena, saved, "tokenizer_config.json"),
                        "{\"eos_token\":\"<|end|>\",\"chat_template\":\"{{ \\\"x\\\" }}\\n\","
                        "\"clean_up_tokenization_spaces\":false,\"model_max_length\":128,"
                        "\"tokenizer_class\":\"PreTrainedTokenizerFast\"}");
    rl_test_drop(saved);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_free(path);
    rl_test_drop(folder);
    rl_gguf_build_release(&b);
    rl_arena_free(arena);
}

static void assert_refused(const rl_gguf_build *b, const char *part) {
    char *folder = rl_test_folder(), *path = write_gguf(folder, b);
    rl_checkpoint *cp;
    rl_err err = {""};
    assert_int_not_equal(rl_checkpoint_open(path, &cp, &err), RL_OK);
    rl_test_says(&err, part);
    rl_test_says(&err, path);
    rl_free(path);
    rl_test_drop(folder);
}

// Models that the forward does not cover, and files that are none: each refused by name.
static void refused_models(void **state) {
    static const uint64_t ne[1] = {4};
    static const float four[4] = {1, 2, 3, 4};
    static const struct {
        const char *key, *text;
        uint32_t number;
        const char *part;
    } rows[] = {
        {"general.architecture", "mamba", 0, "architecture 'mamba' is not supported; supported: "},
        {"llama.expert_count", NULL, 8, "mixture of 8 experts"},
        {"llama.rope.scaling.type", "yarn", 0, "rope scaling 'yarn' is not supported"},
        {"llama.rope.dimension_count", NULL, 4, "rotary or value sizes other than the head size 8"},
        {"llama.attention.key_length", NULL, 7, "head size 7 is not even"},
        {"llama.block_count", NULL, 0, "metadata 'llama.block_count' must be a whole number"},
        {"llama.attention.head_count_kv", NULL, 4, "6 attention heads cannot share 4"},
    };
    rl_gguf_build b = {0};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        add_metadata(&b, rows[i].key);
        if (rows[i].text != NULL) {
            rl_gguf_build_text(&b, rows[i].key, rows[i].text);
        } else {
            rl_gguf_build_u32(&b, rows[i].key, rows[i].number);
        }
        add_weights(&b, rl_golden("models/llama/model.safetensors"), 8);
        assert_refused(&b, rows[i].part);
        rl_gguf_build_release(&b);
    }
    add_metadata(&b, "");
    assert_refused(&b, "there is no matrix 'token_embd.weight'");
    add_weights(&b, rl_golden("models/llama/model.safetensors"), 8);
    rl_gguf_build_tensor(&b, "rope_freqs.weight", RL_GGML_F32, ne, 1, four, sizeof four);
    assert_refused(&b, "'rope_freqs.weight'");
    rl_gguf_build_release(&b);
}

// What only reading the weights can tell.
static void refused_tensors(void **state) {
    static const uint64_t ne[1] = {256};
    static const uint8_t q5k[176];
    rl_backend *be = *state;
    for (int i = 0; i < 2; i++) {
        char *folder = rl_test_folder(), *path;
        rl_gguf_build b = {0};
        rl_params params;
        rl_checkpoint *cp;
        rl_err err = {""};
        add_metadata(&b, i == 0 ? "llama.block_count" : "");
        if (i == 0) {
            rl_gguf_build_u32(&b, "llama.block_count", 4);
        }
        add_weights(&b, rl_golden("models/llama/model.safetensors"), 8);
        rl_gguf_build_tensor(&b, "blk.0.attn_q.bias", 13, ne, 1, q5k, sizeof q5k);
        path = write_gguf(folder, &b);
        assert_ok(rl_checkpoint_open(path, &cp, &err));
        assert_ok(rl_params_init(&params, rl_checkpoint_config(cp), be, false, &err));
        assert_int_not_equal(rl_checkpoint_read(cp, &params, be, &err), RL_OK);
        rl_test_says(&err, i == 0 ? "lacks tensor 'blk.3.attn_norm.weight' and 8 more"
                                  : "tensor 'blk.0.attn_q.bias' has no place in a llama model");
        rl_test_checkpoint_drop(be, cp, &params);
        rl_free(path);
        rl_gguf_build_release(&b);
        rl_test_drop(folder);
    }
}

static rl_status tokenizer_of(const rl_gguf_build *b, rl_str *out, rl_err *err) {
    rl_str bytes = {0};
    rl_gguf *file;
    rl_status status;
    rl_gguf_build_finish(b, &bytes);
    assert_int_equal(rl_gguf_parse(bytes.ptr, bytes.len, "test.gguf", &file, err), RL_OK);
    status = rl_gguf_tokenizer_json(file, out, err);
    rl_gguf_close(file);
    rl_str_release(&bytes);
    return status;
}

static void refused_tokenizers(void **state) {
    static const char *const good[] = {"a", "b", "ab"}, *const twice[] = {"a", "b", "a"};
    static const char *const odd[] = {"a", "b", "\xff"};
    static const struct {
        const char *model, *pre, *merge;
        const char *const *tokens;
        const char *part;
    } rows[] = {
        {"bert", "smollm", "a b", good, "tokenizer model 'bert' is not supported"},
        {"gpt2", "martian", "a b", good, "pre-tokenizer 'martian' is not supported"},
        {"gpt2", "|", "a b", good, "pre-tokenizer '|' is not supported"},
        {"gpt2", "smollm", "a b", twice, "token 'a' is twice"},
        {"gpt2", "smollm", "a b", odd, "token 2 of the metadata is not valid text"},
        {"gpt2", "smollm", "ab", good, "merge 0 of the metadata is not in its vocabulary"},
        {"gpt2", "smollm", "b a", good, "merge 0 of the metadata is not in its vocabulary"},
        {"gpt2", "smollm", NULL, good, "has no merges"},
        {"llama", "default", NULL, good, "neither merges nor scores"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_gguf_build b = {0};
        rl_str text = {0};
        rl_err err = {""};
        rl_gguf_build_text(&b, "tokenizer.ggml.model", rows[i].model);
        rl_gguf_build_text(&b, "tokenizer.ggml.pre", rows[i].pre);
        rl_gguf_build_texts(&b, "tokenizer.ggml.tokens", rows[i].tokens, 3);
        rl_gguf_build_texts(&b, "tokenizer.ggml.merges", &rows[i].merge, rows[i].merge != NULL);
        assert_int_not_equal(tokenizer_of(&b, &text, &err), RL_OK);
        rl_test_says(&err, rows[i].part);
        rl_str_release(&text);
        rl_gguf_build_release(&b);
    }
}

// Scores become merges: the best-scored token first, and among its splits the best-scored parts.
static void sentencepiece_merges(void **state) {
    static const char *const tokens[] = {"<unk>", "<s>", "<0x61>", "a", "b", "ab", "aba", "ba"};
    static const int32_t kinds[] = {2, 3, 6, 1, 1, 1, 1, 1};
    static const int32_t scores[] = {0, 0, 0, -5, -6, -1, -2, -3};
    rl_gguf_build b = {0};
    rl_str text = {0};
    rl_err err;
    (void)state;
    rl_gguf_build_text(&b, "tokenizer.ggml.model", "llama");
    rl_gguf_build_texts(&b, "tokenizer.ggml.tokens", tokens, 8);
    rl_gguf_build_i32s(&b, "tokenizer.ggml.token_type", kinds, 8);
    rl_gguf_build_i32s(&b, "tokenizer.ggml.scores", scores, 8);
    rl_gguf_build_u32(&b, "tokenizer.ggml.bos_token_id", 1);
    rl_gguf_build_u32(&b, "tokenizer.ggml.unknown_token_id", 0);
    rl_gguf_build_bool(&b, "tokenizer.ggml.add_bos_token", true);
    assert_ok(tokenizer_of(&b, &text, &err));
    assert_non_null(strstr(text.ptr, "\"merges\":[[\"a\",\"b\"],[\"ab\",\"a\"],[\"a\",\"ba\"],"
                                     "[\"b\",\"a\"]]"));
    assert_non_null(strstr(text.ptr, "\"unk_token\":\"<unk>\""));
    assert_non_null(strstr(text.ptr, "\"byte_fallback\":true"));
    assert_non_null(strstr(text.ptr, "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[1],"
                                     "\"tokens\":[\"<s>\"]}}"));
    rl_str_release(&text);
    rl_gguf_build_release(&b);
}

// The tokenizer read from the metadata and the one read from the files made of them agree.
static void assert_same_tokenizer(const rl_gguf *file) {
    static const char *const texts[] = {
        "Hello, world! It's 12345 o'clock; THEY'LL see.",
        "  two spaces 12, three   , tabs\t\tand\r\n\r\nlines \n",
        "caf\xc3\xa9 na\xc3\xafve \xe6\x97\xa5\xe6\x9c\xac\xe8\xaa\x9e \xf0\x9f\x98\x80 \xc2\xbd",
        "def f(x):\n    return x**2 + 1_000 if x != 0 else \"\xe2\x96\x81\"\n",
        "<|im_start|>user\nhi<|im_end|>\n<|endoftext|><s></s><unk><0x41><|user|>",
        "",
        " ",
    };
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    rl_str json = {0}, config = {0};
    rl_tokenizer *a, *b;
    rl_err err;
    assert_ok(rl_gguf_tokenizer_json(file, &json, &err));
    assert_ok(rl_gguf_tokenizer_config_json(file, 128, &config, &err));
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "tokenizer.json"), json.ptr, json.len, &err));
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "tokenizer_config.json"), config.ptr,
                          config.len, &err));
    assert_ok(rl_tokenizer_from_gguf(file, &a, &err));
    assert_ok(rl_tokenizer_load(folder, &b, &err));
    assert_int_equal(rl_tokenizer_vocab(a), rl_tokenizer_vocab(b));
    assert_int_equal(rl_tokenizer_eos(a), rl_tokenizer_eos(b));
    assert_int_equal(rl_tokenizer_bos(a), rl_tokenizer_bos(b));
    for (size_t i = 0; i < RL_COUNT(texts); i++) {
        for (unsigned flags = 0; flags < 4; flags++) {
            rl_str back_a = {0}, back_b = {0};
            int32_t *ids_a, *ids_b, n_a, n_b;
            size_t len = strlen(texts[i]);
            assert_ok(rl_tokenizer_encode(a, texts[i], len, flags, arena, &ids_a, &n_a, &err));
            assert_ok(rl_tokenizer_encode(b, texts[i], len, flags, arena, &ids_b, &n_b, &err));
            assert_int_equal(n_a, n_b);
            assert_memory_equal(ids_a, ids_b, (size_t)n_a * sizeof *ids_a);
            rl_tokenizer_decode(a, ids_a, n_a, false, &back_a);
            rl_tokenizer_decode(b, ids_b, n_b, false, &back_b);
            assert_string_equal(rl_str_text(&back_a), rl_str_text(&back_b));
            rl_str_release(&back_a);
            rl_str_release(&back_b);
        }
    }
    rl_tokenizer_free(a);
    rl_tokenizer_free(b);
    rl_str_release(&json);
    rl_str_release(&config);
    rl_arena_free(arena);
    rl_test_drop(folder);
}

static void tokenizers_agree(void **state) {
    static const char *const shared[] = {"models/vocab-gguf/ggml-vocab-gpt-2.gguf",
                                         "models/vocab-gguf/ggml-vocab-phi-3.gguf"};
    const char *path[3] = {rl_shared(shared[0]), rl_shared(shared[1]), getenv("RL_SMOLLM2_GGUF")};
    (void)state;
    for (size_t i = 0; i < 3; i++) {
        rl_gguf *file;
        rl_err err;
        if (path[i] == NULL && i < 2) {
            rl_test_lacks_shared(shared[i]);
        }
        if (path[i] == NULL) {
            continue;
        }
        assert_ok(rl_gguf_open(path[i], &file, &err));
        assert_same_tokenizer(file);
        rl_gguf_close(file);
    }
    rl_test_skip_lacking();
}

// The real file against six of its tensors as the gguf package reads them.
static void smollm2_tensors(void **state) {
    const char *path = getenv("RL_SMOLLM2_GGUF");
    rl_json_doc *doc;
    rl_gguf *file;
    rl_err err;
    const rl_json *list;
    (void)state;
    if (path == NULL) {
        print_message("skipped: RL_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf\n");
        skip();
        return;
    }
    assert_ok(rl_json_read(rl_golden("models/gguf_metadata.json"), &doc, &err));
    assert_ok(rl_gguf_open(path, &file, &err));
    assert_int_equal(rl_gguf_count(file),
                     rl_json_number(rl_json_get(rl_json_root(doc), "tensor_count"), 0));
    list = rl_json_get(rl_json_root(doc), "tensors");
    assert_int_equal(rl_json_count(list), 6);
    for (const rl_json *t = rl_json_first(list); t != NULL; t = rl_json_next(t)) {
        const rl_weight *w = rl_gguf_find(file, rl_json_text(rl_json_get(t, "name"), ""));
        char digest[65];
        float *values;
        assert_non_null(w);
        assert_string_equal(w->type, rl_json_text(rl_json_get(t, "ggml_type"), ""));
        rl_sha256(w->bytes, w->n_bytes, digest);
        assert_string_equal(digest, rl_json_text(rl_json_get(t, "sha256_of_stored_bytes"), ""));
        values = rl_alloc((size_t)rl_weight_count(w), sizeof *values);
        rl_weight_to_f32(w, values);
        rl_sha256(values, (size_t)rl_weight_count(w) * sizeof *values, digest);
        assert_string_equal(digest,
                            rl_json_text(rl_json_get(t, "sha256_of_dequantised_float32_le"), ""));
        rl_free(values);
    }
    rl_gguf_close(file);
    rl_json_free(doc);
}

static void assert_row_1(rl_backend *be, const rl_params *params, const char *name,
                         const rl_json *tensors, const char *gguf) {
    float *values = rl_test_values(be, rl_params_find(params, name));
    for (const rl_json *t = rl_json_first(tensors); t != NULL; t = rl_json_next(t)) {
        const rl_json *want = rl_json_first(rl_json_get(t, "row_1_first8_after_hf_permutation"));
        if (strcmp(rl_json_text(rl_json_get(t, "name"), ""), gguf) != 0) {
            continue;
        }
        assert_non_null(want);
        for (int i = 0; i < 8; i++, want = rl_json_next(want)) {
            assert_true((double)values[576 + i] == rl_json_number(want, 0));
        }
    }
    rl_free(values);
}

static void smollm2_model(void **state) {
    const char *path = getenv("RL_SMOLLM2_GGUF");
    rl_backend *be = *state;
    rl_json_doc *doc;
    const rl_json *tensors;
    rl_params params;
    rl_checkpoint *cp;
    rl_err err;
    char *saved;
    if (path == NULL) {
        print_message("skipped: RL_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct.Q4_1.gguf\n");
        skip();
        return;
    }
    assert_ok(rl_json_read(rl_golden("models/gguf_metadata.json"), &doc, &err));
    tensors = rl_json_get(rl_json_root(doc), "tensors");
    cp = rl_test_checkpoint(be, path, &params);
    assert_int_equal(rl_checkpoint_config(cp)->vocab, 49152);
    assert_int_equal(rl_checkpoint_config(cp)->n_layers, 30);
    assert_true(rl_checkpoint_config(cp)->tied && rl_checkpoint_config(cp)->rope[0].theta == 1e5);
    assert_int_equal(params.n_values, 134515008);
    assert_int_equal(rl_model_config_params(rl_checkpoint_config(cp)), 134515008);
    assert_row_1(be, &params, "model.layers.0.self_attn.q_proj.weight", tensors,
                 "blk.0.attn_q.weight");
    assert_row_1(be, &params, "model.layers.0.self_attn.k_proj.weight", tensors,
                 "blk.0.attn_k.weight");
    saved = rl_test_round_trip(be, cp, &params);
    rl_test_drop(saved);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_json_free(doc);
}

static void sha256_itself(void **state) {
    char digest[65];
    (void)state;
    rl_sha256("abc", 3, digest);
    assert_string_equal(digest, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    rl_sha256("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56, digest);
    assert_string_equal(digest, "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_gguf),
        cmocka_unit_test(refused_models),
        cmocka_unit_test(refused_tensors),
        cmocka_unit_test(refused_tokenizers),
        cmocka_unit_test(sentencepiece_merges),
        cmocka_unit_test(sha256_itself),
        cmocka_unit_test(tokenizers_agree),
        cmocka_unit_test(smollm2_tensors),
        cmocka_unit_test(smollm2_model),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
