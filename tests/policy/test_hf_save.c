#include "rl/policy/hf.h"

#include <stdlib.h>

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
        cmocka_unit_test(folder_that_is_not_there),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
