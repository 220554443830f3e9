#include "rl/policy/hf.h"

#include <stdlib.h>

#include "policy/checkpoint.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"
#include "tests/support/checkpoints.h"

static void save_and_load(void **state) {
    static const char *const folders[] = {"models/llama", "models/llama3", "models/llama-sharded"};
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(folders); i++) {
        rl_arena *arena = rl_arena_new(0);
        rl_params params;
        rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden(folders[i]), &params);
        float *first = rl_test_values(be, &params.item[0]);
        char *folder;
        first[7] = 0x1.234568p-3f; // what is saved is the parameters, not the source's file
        rl_tensor_put(be, params.item[0].value, first);
        folder = rl_test_round_trip(be, cp, &params);
        assert_string_equal(rl_test_text(arena, folder, "config.json"),
                            rl_test_text(arena, rl_golden(folders[i]), "config.json"));
        assert_string_equal(rl_test_text(arena, folder, "generation_config.json"),
                            rl_test_text(arena, rl_golden(folders[i]), "generation_config.json"));
        assert_false(rl_fs_exists(rl_path_join(arena, folder, "tokenizer.json")));
        rl_free(first);
        rl_test_drop(folder);
        rl_test_checkpoint_drop(be, cp, &params);
        rl_arena_free(arena);
    }
}

// text with the only occurrence of `from` replaced.
static char *replaced(rl_arena *arena, const char *text, const char *from, const char *to) {
    const char *at = strstr(text, from);
    assert_non_null(at);
    assert_null(strstr(at + 1, from));
    return rl_arena_printf(arena, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
}

static void put_file(rl_arena *arena, const char *folder, const char *name, const char *text) {
    rl_err err;
    assert_ok(rl_fs_write(rl_path_join(arena, folder, name), text, strlen(text), &err));
}

// The tiny llama with its weights cut to BF16 (the upper halves of their bits).
static void write_bf16(rl_arena *arena, const char *folder) {
    rl_safetensors *source;
    rl_weight weight[40];
    rl_err err;
    size_t n;
    assert_ok(rl_safetensors_open(rl_golden("models/llama/model.safetensors"), &source, &err));
    n = rl_safetensors_count(source);
    for (size_t i = 0; i < n; i++) {
        const rl_weight *w = rl_safetensors_at(source, i);
        uint8_t *half = rl_arena_alloc(arena, w->n_bytes / 2, 1);
        for (size_t k = 0; k < w->n_bytes / 2; k++) {
            half[k] = ((const uint8_t *)w->bytes)[4 * (k / 2) + 2 + k % 2];
        }
        weight[i] = *w;
        weight[i].stored = RL_STORED_BF16;
        weight[i].bytes = half;
        weight[i].n_bytes /= 2;
    }
    assert_ok(rl_safetensors_write(rl_path_join(arena, folder, "model.safetensors"), weight, n,
                                   NULL, NULL, &err));
    rl_safetensors_close(source);
}

// A BF16 source is widened exactly; its config.json is kept to the letter but for the number type.
static void half_precision_source(void **state) {
    static const char old[] = "\"dtype\": \"float32\",\n";
    static const struct {
        const char *line, *written;
    } rows[] = {
        {"\"dtype\" : \"bfloat16\",\n", "\"dtype\" : \"float32\",\n"},
        {"\"torch_dtype\":\"bfloat16\" ,", "\"torch_dtype\":\"float32\" ,"},
        {"\"dtype\": null, \"torch_dtype\": {\"a\": [1, \"}\\\"\"]},",
         "\"dtype\": \"float32\", \"torch_dtype\": \"float32\","},
        {"\"note\": {\"dtype\": [1, \"}\\\"\"]}, \"x\": \"\\\\\",", NULL},
    };
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *source = rl_test_folder(), *saved;
        const char *config = rl_test_text(arena, rl_golden("models/llama"), "config.json"), *want;
        rl_params params;
        rl_checkpoint *cp;
        float *values;
        put_file(arena, source, "config.json", replaced(arena, config, old, rows[i].line));
        write_bf16(arena, source);
        put_file(arena, source, "tokenizer.json", "{\"as\": \"it is\"}");
        put_file(arena, source, "chat_template.jinja", "{{ x }}");
        cp = rl_test_checkpoint(be, source, &params);
        values = rl_test_values(be, rl_params_find(&params, "model.norm.weight"));
        for (int k = 0; k < 48; k++) {
            uint32_t bits;
            memcpy(&bits, &values[k], sizeof bits);
            assert_true(values[k] > 0.2f && values[k] < 2 && (bits & 0xffff) == 0);
        }
        rl_free(values);
        saved = rl_test_round_trip(be, cp, &params);
        if (rows[i].written != NULL) {
            want = replaced(arena, config, old, rows[i].written);
        } else {
            want = replaced(arena, replaced(arena, config, old, rows[i].line),
                            "\"vocab_size\": 300\n}",
                            "\"vocab_size\": 300\n, \"torch_dtype\": \"float32\"}");
        }
        assert_string_equal(rl_test_text(arena, saved, "config.json"), want);
        assert_string_equal(rl_test_text(arena, saved, "tokenizer.json"), "{\"as\": \"it is\"}");
        assert_string_equal(rl_test_text(arena, saved, "chat_template.jinja"), "{{ x }}");
        // The source had no generation_config.json; one is made.
        assert_string_equal(rl_test_text(arena, saved, "generation_config.json"),
                            "{\"bos_token_id\":1,\"eos_token_id\":2,\"pad_token_id\":0}");
        rl_test_drop(saved);
        rl_test_drop(source);
        rl_test_checkpoint_drop(be, cp, &params);
        rl_arena_free(arena);
    }
}

// Half of a last place either way of a BF16 number, and the ties, which go to the even one.
static void bf16_rounds_to_nearest(void **state) {
    static const struct {
        uint32_t bits;
        uint16_t want;
    } rows[] = {
        {0x3f800000, 0x3f80}, {0x3f807fff, 0x3f80}, {0x3f808000, 0x3f80}, {0x3f808001, 0x3f81},
        {0x3f818000, 0x3f82}, {0xbf818000, 0xbf82}, {0xbf80ffff, 0xbf81}, {0x3fffffff, 0x4000},
        {0x00000001, 0x0000}, {0x80008001, 0x8001}, {0x7f7fffff, 0x7f80}, {0x7f800000, 0x7f80},
        {0xff800000, 0xff80}, {0x7f800001, 0x7fc0}, {0xffffffff, 0xffff}, {0x00000000, 0x0000},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        float x;
        uint8_t got[2];
        memcpy(&x, &rows[i].bits, sizeof x);
        rl_f32_to_bf16(&x, 1, got);
        assert_int_equal(got[0] | got[1] << 8, rows[i].want);
    }
}

// Saved as BF16 and read again every weight is its rounded self; a second trip changes nothing.
static void half_precision_target(void **state) {
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *first = rl_test_folder(), *second = rl_test_folder(), *a, *b;
    rl_params params, again;
    rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/llama"), &params), *saved;
    size_t n, m;
    rl_err err;
    assert_ok(rl_checkpoint_write(cp, &params, be, RL_SAVE_BF16, first, &err));
    saved = rl_test_checkpoint(be, first, &again);
    for (int32_t i = 0; i < params.n_items; i++) {
        int64_t count = rl_tensor_count(params.item[i].value);
        float *x = rl_test_values(be, &params.item[i]), *y = rl_test_values(be, &again.item[i]);
        for (int64_t k = 0; k < count; k++) {
            uint8_t half[2];
            uint32_t bits;
            memcpy(&bits, &y[k], sizeof bits);
            rl_f32_to_bf16(&x[k], 1, half);
            assert_int_equal(bits, (uint32_t)(half[0] | half[1] << 8) << 16);
        }
        rl_free(x);
        rl_free(y);
    }
    assert_string_equal(rl_test_text(arena, first, "config.json"),
                        replaced(arena,
                                 rl_test_text(arena, rl_golden("models/llama"), "config.json"),
                                 "\"float32\"", "\"bfloat16\""));
    assert_ok(rl_checkpoint_write(saved, &again, be, RL_SAVE_BF16, second, &err));
    assert_ok(rl_fs_read(rl_path_join(arena, first, "model.safetensors"), arena, &a, &n, &err));
    assert_ok(rl_fs_read(rl_path_join(arena, second, "model.safetensors"), arena, &b, &m, &err));
    assert_int_equal(n, m);
    assert_memory_equal(a, b, n);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_test_checkpoint_drop(be, saved, &again);
    rl_test_drop(first);
    rl_test_drop(second);
    rl_arena_free(arena);
}

static size_t count_files(const char *folder, const char *ending) {
    rl_arena *arena = rl_arena_new(0);
    char **name;
    size_t n, found = 0;
    rl_err err;
    assert_ok(rl_fs_list(folder, arena, &name, &n, &err));
    for (size_t i = 0; i < n; i++) {
        found += rl_text_ends(name[i], ending);
    }
    rl_arena_free(arena);
    return found;
}

// Cut at any size, the folder holds the same weights, and its index what transformers reads.
static void shards(void **state) {
    static const struct {
        int64_t bytes;
        size_t n_shards; // 0: more than the line before
    } rows[] = {{RL_SHARD_BYTES, 1}, {200000, 0}, {60000, 0}, {20000, 0}, {1, 29}};
    rl_backend *be = *state;
    size_t before = 0;
    for (size_t r = 0; r < RL_COUNT(rows); r++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = rl_test_folder();
        rl_params params, again;
        rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/llama"), &params), *saved;
        size_t n;
        rl_err err;
        assert_ok(rl_checkpoint_write(cp, &params, be, RL_SAVE_F32, folder, &err));
        assert_ok(rl_fs_remove(rl_path_join(arena, folder, "model.safetensors"), &err));
        assert_ok(rl_save_shards(&params, be, RL_SAVE_F32, rows[r].bytes, folder, &err));
        n = count_files(folder, ".safetensors");
        assert_true(rows[r].n_shards > 0 ? n == rows[r].n_shards : n > before);
        before = n;
        assert_int_equal(count_files(folder, ".index.json"), n > 1);
        saved = rl_test_checkpoint(be, folder, &again);
        for (int32_t i = 0; i < params.n_items; i++) {
            float *a = rl_test_values(be, &params.item[i]);
            float *b = rl_test_values(be, &again.item[i]);
            assert_memory_equal(a, b, rl_tensor_bytes(params.item[i].value));
            rl_free(a);
            rl_free(b);
        }
        if (n > 1) {
            const char *index = rl_test_text(arena, folder, "model.safetensors.index.json");
            assert_non_null(strstr(index, rl_arena_printf(arena, "\"total_size\":%lld",
                                                          (long long)params.n_values * 4)));
            assert_non_null(strstr(index, rl_arena_printf(arena, "model-00001-of-%05zu.", n)));
        }
        rl_test_checkpoint_drop(be, saved, &again);
        rl_test_checkpoint_drop(be, cp, &params);
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

// Every file that any form of tokenizer consists of, to the byte, and nothing else of the source.
static void tokenizer_files(void **state) {
    static const char *const names[] = {"tokenizer.json",
                                        "tokenizer_config.json",
                                        "special_tokens_map.json",
                                        "added_tokens.json",
                                        "vocab.json",
                                        "merges.txt",
                                        "tokenizer.model",
                                        "chat_template.jinja",
                                        "qwen.tiktoken"};
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *source = rl_test_folder(), *folder = rl_test_folder();
    rl_params params;
    rl_checkpoint *cp;
    rl_err err;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        put_file(arena, source, names[i], rl_arena_printf(arena, "%zu\r\n\xff %s", i, names[i]));
    }
    put_file(arena, source, "README.md", "not this");
    assert_ok(rl_fs_copy(rl_golden("models/llama/config.json"),
                         rl_path_join(arena, source, "config.json"), &err));
    assert_ok(rl_fs_copy(rl_golden("models/llama/model.safetensors"),
                         rl_path_join(arena, source, "model.safetensors"), &err));
    cp = rl_test_checkpoint(be, source, &params);
    assert_ok(rl_checkpoint_write(cp, &params, be, RL_SAVE_F16, folder, &err));
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        assert_string_equal(rl_test_text(arena, folder, names[i]),
                            rl_test_text(arena, source, names[i]));
    }
    assert_false(rl_fs_exists(rl_path_join(arena, folder, "README.md")));
    assert_non_null(strstr(rl_test_text(arena, folder, "config.json"), "\"float16\""));
    rl_test_checkpoint_drop(be, cp, &params);
    rl_test_drop(source);
    rl_test_drop(folder);
    rl_arena_free(arena);
}

// F16 that is read gives what was rounded; a weight beyond its range is refused.
static void half_float_target(void **state) {
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *folder = rl_test_folder(), *other = rl_test_folder();
    rl_params params, again;
    rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/llama"), &params), *saved;
    float *x = rl_test_values(be, &params.item[0]), *y;
    rl_err err = {""};
    x[0] = 65519.0f; // rounds to 65504, the largest
    x[1] = 0x1.002p0f;
    x[2] = 0x1.802p-24f; // subnormal
    rl_tensor_put(be, params.item[0].value, x);
    assert_ok(rl_checkpoint_write(cp, &params, be, RL_SAVE_F16, folder, &err));
    saved = rl_test_checkpoint(be, folder, &again);
    y = rl_test_values(be, &again.item[0]);
    assert_true(y[0] == 65504.0f && y[1] == 1.0f && y[2] == 0x1p-23f);
    rl_free(y);
    x[0] = 65520.0f;
    rl_tensor_put(be, params.item[0].value, x);
    assert_int_equal(rl_checkpoint_write(cp, &params, be, RL_SAVE_F16, other, &err),
                     RL_UNSUPPORTED);
    rl_test_says(&err, "'model.embed_tokens.weight' has a value that F16 cannot hold");
    rl_free(x);
    rl_test_checkpoint_drop(be, saved, &again);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_test_drop(folder);
    rl_test_drop(other);
    rl_arena_free(arena);
}

static void folder_that_is_not_there(void **state) {
    rl_backend *be = *state;
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    rl_params params;
    rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/llama"), &params);
    rl_err err = {""};
    assert_int_equal(
        rl_checkpoint_write(cp, &params, be, RL_SAVE_F32, rl_path_join(arena, folder, "no"), &err),
        RL_IO);
    rl_test_says(&err, "/no/config.json");
    rl_arena_free(arena);
    rl_test_drop(folder);
    rl_test_checkpoint_drop(be, cp, &params);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(save_and_load),
        cmocka_unit_test(half_precision_source),
        cmocka_unit_test(bf16_rounds_to_nearest),
        cmocka_unit_test(half_precision_target),
        cmocka_unit_test(shards),
        cmocka_unit_test(tokenizer_files),
        cmocka_unit_test(half_float_target),
        cmocka_unit_test(folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
