/* Models written as GGUF and read again, with their tokenizers; llama2.c's files on their way in.
 */
#include <stdio.h>

#include "policy/gguf_words.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/rng.h"
#include "rl/policy/llama2c.h"
#include "rl/tensor/ops.h"
#include "tests/support/checkpoints.h"

static void same_values(rl_backend *be, const rl_params *a, const rl_params *b, rl_stored stored) {
    assert_int_equal(a->n_items, b->n_items);
    for (int32_t i = 0; i < a->n_items; i++) {
        rl_tensor value = a->item[i].value;
        int64_t n = rl_tensor_count(value), cols = value.shape[value.rank - 1];
        float *x = rl_test_values(be, &a->item[i]), *y = rl_test_values(be, &b->item[i]);
        rl_stored kept = value.rank == 1                       ? RL_STORED_F32
                         : cols % rl_stored_block(stored) == 0 ? stored
                                                               : RL_STORED_F16;
        size_t n_bytes = (size_t)(n / rl_stored_block(kept)) * rl_stored_block_bytes(kept);
        uint8_t *bytes = rl_alloc(n_bytes, 1);
        rl_weight w = {.stored = kept, .rank = 1, .shape = {n}, .bytes = bytes, .n_bytes = n_bytes};
        rl_f32_to_stored(kept, x, n, bytes);
        rl_weight_to_f32(&w, x);
        assert_string_equal(a->item[i].name, b->item[i].name);
        assert_memory_equal(x, y, (size_t)n * sizeof *x);
        rl_free(bytes);
        rl_free(x);
        rl_free(y);
    }
}

// Every family that GGUF knows, in every kind of number; then back into a folder.
static void families(void **state) {
    static const char *const names[] = {"llama", "llama3", "qwen2", "qwen3", "olmo2"};
    static const rl_stored kinds[] = {RL_STORED_F32, RL_STORED_F16, RL_STORED_BF16, RL_STORED_Q8_0};
    rl_backend *be = *state;
    for (size_t f = 0; f < RL_COUNT(names); f++) {
        rl_arena *arena = rl_arena_new(0);
        rl_params params;
        rl_checkpoint *cp = rl_test_checkpoint(
            be, rl_golden(rl_arena_printf(arena, "models/%s", names[f])), &params);
        char *folder = rl_test_folder();
        for (size_t k = 0; k < RL_COUNT(kinds); k++) {
            char *path = rl_arena_printf(arena, "%s/%zu.gguf", folder, k);
            rl_params again;
            rl_checkpoint *read;
            rl_err err = {""};
            assert_ok(rl_checkpoint_write_gguf(cp, NULL, &params, be, kinds[k], path, &err));
            read = rl_test_checkpoint(be, path, &again);
            rl_test_same_config(rl_checkpoint_config(read), rl_checkpoint_config(cp));
            same_values(be, &params, &again, kinds[k]);
            if (k == 0) {
                char *back = rl_test_round_trip(be, read, &again);
                assert_false(rl_fs_exists(rl_path_join(arena, back, "tokenizer.json")));
                rl_test_drop(back);
            }
            rl_test_checkpoint_drop(be, read, &again);
        }
        rl_test_drop(folder);
        rl_test_checkpoint_drop(be, cp, &params);
        rl_arena_free(arena);
    }
}

static void refusals(void **state) {
    static const char *const rows[][2] = {
        {"mistral", "layer 0 has a window of 16 positions"},
        {"smollm3", "layer 1 does not rotate its positions"},
        {"gemma3", "models of type 'gemma3_text' are not written as GGUF; written are: llama"},
        {"phi3", "models of type 'phi3' are not written as GGUF"},
    };
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = rl_test_folder(), *path = rl_arena_printf(arena, "%s/x.gguf", folder);
        rl_params params;
        rl_checkpoint *cp = rl_test_checkpoint(
            be, rl_golden(rl_arena_printf(arena, "models/%s", rows[i][0])), &params);
        rl_err err = {""};
        assert_int_equal(rl_checkpoint_write_gguf(cp, NULL, &params, be, RL_STORED_F32, path, &err),
                         RL_UNSUPPORTED);
        rl_test_says(&err, rows[i][1]);
        assert_false(rl_fs_exists(path));
        rl_test_checkpoint_drop(be, cp, &params);
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

static const char text[] =
    "Hello  world, it's 1234567 o'clock:\n\n\tcaf\xc3\xa9 \xe6\x97\xa5\xe6\x9c"
    "\xac <|im_start|> </s> \xf0\x9f\x99\x82";

// The tokenizer that a reader of the metadata gets; the vocabulary is padded by 5 rows.
static void check_words(const rl_tokenizer *tokenizer, const char *pre) {
    rl_arena *arena = rl_arena_new(0);
    rl_model_config config = {.vocab = rl_tokenizer_vocab(tokenizer) + 5,
                              .bos = rl_tokenizer_bos(tokenizer),
                              .pad = -1,
                              .n_eos = 1,
                              .eos = {rl_tokenizer_vocab(tokenizer) - 1}};
    rl_gguf_meta_out meta = {0};
    rl_tokenizer *read;
    rl_gguf *file;
    rl_str bytes = {0};
    const char *name = NULL;
    size_t len = 0, n;
    rl_err err = {""};
    assert_ok(rl_gguf_put_words(tokenizer, &config, &meta, &err));
    rl_gguf_print_head(&meta, NULL, 0, &bytes);
    assert_ok(rl_gguf_parse(bytes.ptr, bytes.len, "head", &file, &err));
    assert_true(rl_gguf_list(file, "tokenizer.ggml.tokens", &n) && n == (size_t)config.vocab);
    assert_int_equal(rl_gguf_text(file, "tokenizer.ggml.pre", &name, &len), pre != NULL);
    if (pre != NULL) {
        assert_int_equal(len, strlen(pre));
        assert_memory_equal(name, pre, len);
    }
    assert_ok(rl_tokenizer_from_gguf(file, &read, &err));
    assert_int_equal(rl_tokenizer_vocab(read), rl_tokenizer_vocab(tokenizer));
    assert_int_equal(rl_tokenizer_eos(read) >= 0, true);
    for (unsigned flags = 0; flags < 4; flags++) {
        int32_t *a, *b, n_a, n_b;
        assert_ok(
            rl_tokenizer_encode(tokenizer, text, sizeof text - 1, flags, arena, &a, &n_a, &err));
        assert_ok(rl_tokenizer_encode(read, text, sizeof text - 1, flags, arena, &b, &n_b, &err));
        assert_int_equal(n_a, n_b);
        assert_memory_equal(a, b, (size_t)n_a * sizeof *a);
    }
    rl_tokenizer_free(read);
    rl_gguf_close(file);
    rl_gguf_meta_out_release(&meta);
    rl_str_release(&bytes);
    rl_arena_free(arena);
}

static void tokenizers(void **state) {
    static const char *const rows[][2] = {
        {"models/tokenizers/smollm2", "smollm"},    {"models/tokenizers/qwen2.5", "qwen2"},
        {"models/tokenizers/qwen3", "qwen2"},       {"models/tokenizers/gpt2", "gpt-2"},
        {"models/tokenizers/olmo2-dolma2", "dbrx"}, {"models/stories260K/hf", NULL},
    };
    rl_tokenizer *tokenizer;
    rl_err err = {""};
    (void)state;
    assert_ok(rl_tokenizer_load(rl_golden("models/tiny-chat"), &tokenizer, &err));
    check_words(tokenizer, "gpt-2");
    rl_tokenizer_free(tokenizer);
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        const char *folder = rl_shared(rows[i][0]);
        if (folder == NULL) {
            rl_test_skip_shared(rows[i][0]);
            continue;
        }
        assert_ok(rl_tokenizer_load(folder, &tokenizer, &err));
        check_words(tokenizer, rows[i][1]);
        rl_tokenizer_free(tokenizer);
    }
}

/* A llama2.c model of two layers: value i is i, so that each weight tells where it stood. */
enum { DIM = 8, MLP = 6, LAYERS = 2, HEADS = 2, KV_HEADS = 1, VOCAB = 5, POSITIONS = 4 };

static void put_u32(rl_str *out, uint32_t x) {
    for (int i = 0; i < 4; i++) {
        rl_str_append_char(out, (char)(uint8_t)(x >> (8 * i)));
    }
}

static void put_floats(rl_str *out, float first, size_t n) {
    for (size_t i = 0; i < n; i++) {
        float x = first + (float)i;
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        put_u32(out, bits);
    }
}

static void put_header(rl_str *out, int version, int vocab) {
    const int sizes[] = {DIM, MLP, LAYERS, HEADS, KV_HEADS, vocab, POSITIONS};
    if (version > 0) {
        put_u32(out, 0x616b3432);
        put_u32(out, (uint32_t)version);
    }
    for (size_t i = 0; i < RL_COUNT(sizes); i++) {
        put_u32(out, (uint32_t)sizes[i]);
    }
    if (version > 0) {
        rl_str_append_char(out, 1); // the head is the embedding
        while (out->len < 256) {
            rl_str_append_char(out, '\0');
        }
    }
}

enum { N_EMBEDDING = VOCAB * DIM, N_Q = LAYERS * DIM * DIM, N_KV = LAYERS * 4 * DIM };
enum { N_MLP = LAYERS * DIM * MLP, N_NORMS = LAYERS * DIM };

static void write_file(const char *path, const rl_str *bytes) {
    rl_err err;
    assert_ok(rl_fs_write(path, bytes->ptr, bytes->len, &err));
}

static float first_of(const rl_gguf *file, const char *name) {
    const rl_weight *w = rl_gguf_find(file, name);
    float x;
    assert_non_null(w);
    rl_weight_range_to_f32(w, 0, 1, &x);
    return x;
}

static void llama2c(void **state) {
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    char *in = rl_path_join(arena, folder, "m.bin"), *out = rl_path_join(arena, folder, "m.gguf");
    rl_backend *be = *state;
    for (int version = 0; version < 2; version++) {
        rl_str bytes = {0};
        rl_gguf *file;
        rl_params params;
        rl_checkpoint *cp;
        rl_err err = {""};
        // Where each kind begins, by the order that the version has.
        float embedding = version == 0 ? 0 : 2 * N_NORMS + DIM;
        float q = embedding + N_EMBEDDING + (version == 0 ? (float)N_NORMS : 0);
        float gate = q + 2 * N_Q + 2 * N_KV + (version == 0 ? (float)N_NORMS : 0);
        put_header(&bytes, version, version == 0 ? -VOCAB : VOCAB);
        put_floats(&bytes, 0, N_EMBEDDING + 2 * N_NORMS + DIM + 2 * N_Q + 2 * N_KV + 3 * N_MLP);
        if (version == 0) {
            put_floats(&bytes, -1000, 2 * POSITIONS * DIM / HEADS / 2);
            put_floats(&bytes, 5000, N_EMBEDDING); // a head of its own
        }
        write_file(in, &bytes);
        assert_ok(rl_llama2c_to_gguf(in, NULL, out, &err));
        assert_ok(rl_gguf_open(out, &file, &err));
        assert_true(first_of(file, "token_embd.weight") == embedding);
        assert_true(first_of(file, "blk.1.attn_q.weight") == q + N_Q / 2);
        assert_true(first_of(file, "blk.0.attn_k.weight") == q + N_Q);
        assert_true(first_of(file, "blk.1.attn_v.weight") == q + N_Q + N_KV + N_KV / 2);
        assert_true(first_of(file, "blk.0.attn_output.weight") == q + N_Q + 2 * N_KV);
        assert_true(first_of(file, "blk.0.ffn_gate.weight") == gate);
        assert_true(first_of(file, "blk.1.ffn_down.weight") == gate + N_MLP + N_MLP / 2);
        assert_true(first_of(file, "blk.0.ffn_up.weight") == gate + 2 * N_MLP);
        assert_int_equal(rl_gguf_find(file, "output.weight") != NULL, version == 0);
        rl_gguf_close(file);
        cp = rl_test_checkpoint(be, out, &params); // and it is a model
        assert_int_equal(rl_checkpoint_config(cp)->head_dim, 4);
        assert_int_equal(rl_checkpoint_config(cp)->tied, version == 1);
        rl_test_checkpoint_drop(be, cp, &params);
        // One byte less, one more.
        bytes.len--;
        write_file(in, &bytes);
        assert_int_equal(rl_llama2c_to_gguf(in, NULL, out, &err), RL_IO);
        rl_test_says(&err, "it ends before its weights do");
        bytes.len++;
        rl_str_append_char(&bytes, 'x');
        write_file(in, &bytes);
        assert_int_equal(rl_llama2c_to_gguf(in, NULL, out, &err), RL_IO);
        rl_test_says(&err, "longer than its header says");
        rl_str_release(&bytes);
    }
    rl_arena_free(arena);
    rl_test_drop(folder);
}

static void llama2c_refusals(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *says;
    } rows[] = {
        {"", 0, "too short"},
        {"\1\0\0\0", 4, "too short"},
        {"24ka\2\0\0\0........................", 32, "version 2"},
        {"24ka\1\0\0\0........................", 32, "too short"},
        {"\0\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0", 28,
         "a size that no model has"},
        {"\6\0\0\0\1\0\0\0\1\0\0\0\4\0\0\0\1\0\0\0\1\0\0\0\1\0\0\0", 28, "do not fit each other"},
        {"\0\0\1\0\0\0\1\0\1\0\0\0\1\0\0\0\1\0\0\0\0\0\1\0\1\0\0\0", 28, "ends before its weights"},
    };
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    char *in = rl_path_join(arena, folder, "m.bin"), *out = rl_path_join(arena, folder, "m.gguf");
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_err err = {""};
        assert_ok(rl_fs_write(in, rows[i].bytes, rows[i].len, &err));
        assert_int_not_equal(rl_llama2c_to_gguf(in, NULL, out, &err), RL_OK);
        rl_test_says(&err, rows[i].says);
        assert_false(rl_fs_exists(out));
    }
    rl_arena_free(arena);
    rl_test_drop(folder);
}

// A real model in both forms: the same weights and the same ids.
static void stories(void **state) {
    rl_backend *be = *state;
    const char *hf = rl_shared("models/stories260K/hf");
    const char *bin = rl_shared("models/stories260K/llama2c/stories260K.bin");
    const char *vocab = rl_shared("models/stories260K/llama2c/tok512.bin");
    char *folder;
    rl_arena *arena;
    rl_params a, b;
    rl_checkpoint *x, *y;
    rl_tokenizer *of_x, *of_y;
    int32_t *ids, *again, n, m;
    rl_err err = {""};
    if (hf == NULL || bin == NULL || vocab == NULL) {
        rl_test_skip_shared("models/stories260K");
        return;
    }
    folder = rl_test_folder();
    arena = rl_arena_new(0);
    assert_ok(rl_llama2c_to_gguf(bin, vocab, rl_path_join(arena, folder, "s.gguf"), &err));
    x = rl_test_checkpoint(be, hf, &a);
    y = rl_test_checkpoint(be, rl_path_join(arena, folder, "s.gguf"), &b);
    same_values(be, &a, &b, RL_STORED_F32);
    assert_ok(rl_tokenizer_load(hf, &of_x, &err));
    assert_ok(rl_tokenizer_from_gguf(rl_checkpoint_gguf(y), &of_y, &err));
    assert_ok(
        rl_tokenizer_encode(of_x, text, sizeof text - 1, RL_ENCODE_FRAME, arena, &ids, &n, &err));
    assert_ok(
        rl_tokenizer_encode(of_y, text, sizeof text - 1, RL_ENCODE_FRAME, arena, &again, &m, &err));
    assert_int_equal(n, m);
    assert_memory_equal(ids, again, (size_t)n * sizeof *ids);
    rl_tokenizer_free(of_x);
    rl_tokenizer_free(of_y);
    rl_test_checkpoint_drop(be, x, &a);
    rl_test_checkpoint_drop(be, y, &b);
    rl_arena_free(arena);
    rl_test_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(families),         cmocka_unit_test(refusals),
        cmocka_unit_test(tokenizers),       cmocka_unit_test(llama2c),
        cmocka_unit_test(llama2c_refusals), cmocka_unit_test(stories),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
