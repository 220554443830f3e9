/* The forms other than tokenizer.json: vocab.json with merges.txt, tiktoken, SentencePiece. */
#include <stdio.h>
#include <stdlib.h>

#include "policy/vocab.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/map.h"
#include "rl/core/rng.h"
#include "tests/support/tokenizer.h"

static void write_file(const char *folder, const char *name, const char *text, size_t len) {
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    assert_ok(rl_fs_write(rl_path_join(arena, folder, name), text, len, &err));
    rl_arena_free(arena);
}

static void write_text(const char *folder, const char *name, const char *text) {
    write_file(folder, name, text, strlen(text));
}

static rl_status load_error(const char *folder, rl_err *err) {
    rl_tokenizer *tokenizer = NULL;
    rl_status status = rl_tokenizer_load(folder, &tokenizer, err);
    assert_null(tokenizer);
    return status;
}

/* A base of variants.json as vocab.json and merges.txt, its added tokens in the config. */
static void write_merges_form(const char *folder, const rl_json *base, const char *class) {
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    const rl_json *model = rl_json_get(base, "model");
    rl_json_print(rl_json_get(model, "vocab"), &text);
    write_text(folder, "vocab.json", text.ptr);

    rl_str_clear(&text);
    rl_str_append(&text, "#version: 0.2\n");
    const rl_json *merge = rl_json_first(rl_json_get(model, "merges"));
    for (; merge != NULL; merge = rl_json_next(merge)) {
        const rl_json *left = rl_json_first(merge);
        rl_str_appendf(&text, "%s %s\n", rl_json_text(left, NULL),
                       rl_json_text(rl_json_next(left), NULL));
    }
    write_text(folder, "merges.txt", text.ptr);

    rl_str_clear(&text);
    rl_json_open_object(&w, NULL);
    rl_json_put_text(&w, "tokenizer_class", class, strlen(class));
    rl_json_put_text(&w, "bos_token", "<s>", 3);
    rl_json_open_object(&w, "added_tokens_decoder");
    const rl_json *token = rl_json_first(rl_json_get(base, "added_tokens"));
    for (; token != NULL; token = rl_json_next(token)) {
        char id[16];
        snprintf(id, sizeof id, "%.0f", rl_json_number(rl_json_get(token, "id"), -1));
        rl_json_put_value(&w, id, token);
    }
    rl_json_close_object(&w);
    rl_json_close_object(&w);
    write_text(folder, "tokenizer_config.json", text.ptr);
    rl_str_release(&text);
}

static const rl_json *named(const rl_json *list, const char *name) {
    const rl_json *item = rl_json_first(list);
    while (item != NULL && strcmp(rl_json_text(rl_json_get(item, "name"), ""), name) != 0) {
        item = rl_json_next(item);
    }
    assert_non_null(item);
    return item;
}

static void check_merges_form(const rl_json *root, const char *class, const char *variant) {
    char *folder = rl_test_folder();
    write_merges_form(folder, rl_json_get(rl_json_get(root, "bases"), "bytes"), class);
    rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
    const rl_json *row = named(rl_json_get(root, "variants"), variant);
    const rl_json *ids = rl_json_first(rl_json_get(row, "ids"));
    const rl_json *plain = rl_json_first(rl_json_get(row, "plain"));
    const rl_json *item = rl_json_first(rl_json_get(root, "texts"));
    for (; item != NULL; item = rl_json_next(item)) {
        const char *text = rl_json_text(item, NULL);
        rl_test_encodes(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS, ids, class);
        rl_test_encodes(tokenizer, text, strlen(text), RL_ENCODE_PLAIN, plain, class);
        ids = rl_json_next(ids);
        plain = rl_json_next(plain);
    }
    assert_int_equal(rl_tokenizer_bos(tokenizer), rl_tokenizer_id(tokenizer, "<s>"));
    rl_tokenizer_free(tokenizer);
    rl_test_drop(folder);
}

static void test_merges(void **state) {
    rl_json_doc *doc = NULL;
    rl_err err;
    (void)state;
    assert_ok(rl_json_read(rl_golden("tokenizer/variants.json"), &doc, &err));
    check_merges_form(rl_json_root(doc), "GPT2Tokenizer", "byte_level");
    check_merges_form(rl_json_root(doc), "GPT2TokenizerFast", "byte_level");
    check_merges_form(rl_json_root(doc), "Qwen2Tokenizer", "qwen2");
    rl_json_free(doc);
}

/* Without tokenizer_config.json: the class by config.json, added tokens by their two old files. */
static void test_merges_old_files(void **state) {
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    int32_t *ids, n;
    (void)state;
    write_text(folder, "vocab.json",
               "{\"a\":0,\"b\":1,\"ab\":2,\"\xc4\xa0\":3,\"<|endoftext|>\":4}");
    write_text(folder, "merges.txt", "a b\r\n");
    assert_int_equal(load_error(folder, &err), RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "not covered"));
    write_text(folder, "config.json", "{\"model_type\":\"gpt2\"}");
    rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
    assert_int_equal(rl_tokenizer_eos(tokenizer), 4);
    assert_ok(rl_tokenizer_encode(tokenizer, "ab<|endoftext|>", 15, RL_ENCODE_SPECIALS, arena, &ids,
                                  &n, &err));
    assert_int_equal(n, 2);
    assert_memory_equal(ids, ((int32_t[]){2, 4}), 2 * sizeof *ids);
    rl_tokenizer_free(tokenizer);

    write_text(folder, "added_tokens.json", "{\"<x>\":5,\"<y>\":6}");
    write_text(folder, "special_tokens_map.json",
               "{\"eos_token\":{\"content\":\"<|endoftext|>\"},"
               "\"additional_special_tokens\":[\"<x>\"]}");
    tokenizer = rl_test_tokenizer(folder);
    assert_ok(
        rl_tokenizer_encode(tokenizer, "<x>b<y>", 7, RL_ENCODE_SPECIALS, arena, &ids, &n, &err));
    assert_memory_equal(ids, ((int32_t[]){5, 1, 6}), 3 * sizeof *ids);
    assert_ok(rl_tokenizer_encode(tokenizer, "<x>b<y>", 7, RL_ENCODE_PLAIN, arena, &ids, &n, &err));
    assert_memory_equal(ids, ((int32_t[]){1, 6}), 2 * sizeof *ids); // '<', 'x', '>' have no token
    rl_tokenizer_free(tokenizer);

    write_text(folder, "merges.txt", "a b c\n");
    assert_int_equal(load_error(folder, &err), RL_IO);
    assert_non_null(strstr(err.text, "merge 0 is not a pair"));
    write_text(folder, "merges.txt", "b a\n");
    assert_int_equal(load_error(folder, &err), RL_IO);
    assert_non_null(strstr(err.text, "not in the vocabulary"));
    write_text(folder, "merges.txt", "#version: 0.2\n");
    assert_int_equal(load_error(folder, &err), RL_IO);
    assert_non_null(strstr(err.text, "holds no merges"));
    write_text(folder, "merges.txt", "a b\n");
    write_text(folder, "tokenizer_config.json", "{\"tokenizer_class\":\"BertTokenizer\"}");
    assert_int_equal(load_error(folder, &err), RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "'BertTokenizer'"));
    rl_arena_free(arena);
    rl_test_drop(folder);
}

enum { N_RANKS = 50256 }; // what r50k_base's special token leaves room for

/* A made-up encoding: every byte, then tokens that mostly extend an earlier one. */
typedef struct ranks {
    char token[N_RANKS][12];
    uint8_t len[N_RANKS];
} ranks;

static void append_base64(const char *bytes, size_t n, rl_str *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (size_t i = 0; i < n; i += 3) {
        uint32_t bits = 0;
        for (size_t j = 0; j < 3; j++) {
            bits = bits << 8 | (i + j < n ? (uint8_t)bytes[i + j] : 0u);
        }
        for (size_t j = 0; j < 4; j++) {
            char digit = digits[bits >> (18 - 6 * j) & 63];
            rl_str_append_char(out, i + j <= n || j == 0 ? digit : '=');
        }
    }
}

static void make_ranks(ranks *r, rl_rng *rng, rl_map *ids) {
    uint64_t draw = 0;
    size_t n = 0;
    for (; n < 256; n++) {
        r->token[n][0] = (char)(255 - n);
        r->len[n] = 1;
        rl_map_set(ids, r->token[n], 1, (int64_t)n);
    }
    while (n < N_RANKS) {
        static const char letters[] = "abcdefgh \n\xc3\xa9";
        size_t from = n > 256 ? (size_t)rl_rng_below(rng, draw++, n) : 0;
        size_t len = r->len[from];
        char token[12];
        if (from < 256 || len > 8) {
            len = 0;
        }
        memcpy(token, r->token[from], len);
        uint64_t more = 1 + (len == 0) + rl_rng_below(rng, draw++, 2);
        for (uint64_t i = 0; i < more; i++) {
            token[len++] = letters[rl_rng_below(rng, draw++, sizeof letters - 1)];
        }
        if (rl_map_add(ids, token, len, (int64_t)n)) {
            memcpy(r->token[n], token, len);
            r->len[n++] = (uint8_t)len;
        }
    }
}

/* tiktoken's own algorithm, one merge at a time over the bytes of a piece. */
static void naive_piece(const rl_map *ids, const char *text, size_t len, rl_ids *out) {
    size_t cut[512], n = len;
    int64_t id;
    if (rl_map_get(ids, text, len, &id)) {
        rl_ids_push(out, (int32_t)id);
        return;
    }
    for (size_t i = 0; i <= len; i++) {
        cut[i] = i;
    }
    for (;;) {
        int64_t best = INT64_MAX;
        size_t at = 0;
        for (size_t i = 0; i + 1 < n; i++) {
            if (rl_map_get(ids, text + cut[i], cut[i + 2] - cut[i], &id) && id < best) {
                best = id;
                at = i;
            }
        }
        if (best == INT64_MAX) {
            break;
        }
        memmove(&cut[at + 1], &cut[at + 2], (n - at - 1) * sizeof *cut);
        n--;
    }
    for (size_t i = 0; i < n; i++) {
        assert_true(rl_map_get(ids, text + cut[i], cut[i + 1] - cut[i], &id));
        rl_ids_push(out, (int32_t)id);
    }
}

/* Random letters make one piece; what tiktoken's algorithm gives is what ours gives. */
static void test_tiktoken(void **state) {
    char *folder = rl_test_folder();
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    rl_arena *arena = rl_arena_new(0);
    rl_map *ids = rl_map_new(N_RANKS);
    ranks *r = rl_alloc(1, sizeof *r);
    rl_str text = {0};
    rl_ids want = {0};
    rl_err err;
    (void)state;
    make_ranks(r, &rng, ids);
    for (size_t i = 0; i < N_RANKS; i++) {
        append_base64(r->token[i], r->len[i], &text);
        rl_str_appendf(&text, " %zu\n", i);
    }
    write_file(folder, "r50k_base.tiktoken", text.ptr, text.len);
    rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
    assert_int_equal(rl_tokenizer_vocab(tokenizer), N_RANKS + 1);
    assert_int_equal(rl_tokenizer_eos(tokenizer), N_RANKS);
    rng.step = 1;
    uint64_t draw = 0;
    for (int round = 0; round < 500; round++) {
        int32_t *got, n;
        rl_str_clear(&text);
        want.len = 0;
        for (uint64_t i = 1 + rl_rng_below(&rng, draw++, 60); i > 0; i--) {
            rl_str_append_char(&text, "abcdefgh"[rl_rng_below(&rng, draw++, 8)]);
        }
        naive_piece(ids, text.ptr, text.len, &want);
        assert_ok(rl_tokenizer_encode(tokenizer, text.ptr, text.len, RL_ENCODE_PLAIN, arena, &got,
                                      &n, &err));
        assert_int_equal(n, want.len);
        assert_memory_equal(got, want.ptr, want.len * sizeof *got);
    }
    rl_tokenizer_free(tokenizer);
    rl_ids_release(&want);
    rl_str_release(&text);
    rl_free(r);
    rl_map_free(ids);
    rl_arena_free(arena);
    rl_test_drop(folder);
}

static void test_tiktoken_refusals(void **state) {
    static const struct {
        const char *name, *text, *sentence;
    } cases[] = {
        {"mine.tiktoken", "IQ== 0\n", "the split pattern of 'mine' is not known"},
        {"r50k_base.tiktoken", "IQ== 0\n", "no token for byte 0"},
        {"r50k_base.tiktoken", "IQ==0\n", "line 1: not a token"},
        {"r50k_base.tiktoken", "IQ== 0\nI* 1\n", "line 2: not a token"},
        {"r50k_base.tiktoken", "IQ== x\n", "line 1: not a token"},
        {"r50k_base.tiktoken", "IR== 0\n", "line 1: not a token"}, // bits behind the last byte
        {"r50k_base.tiktoken", "==== 0\n", "line 1: not a token"},
        {"r50k_base.tiktoken", "IQ== 0\nIQ== 1\n", "has two ids"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char *folder = rl_test_folder();
        rl_err err = {""};
        write_text(folder, cases[i].name, cases[i].text);
        assert_int_not_equal(load_error(folder, &err), RL_OK);
        if (strstr(err.text, cases[i].sentence) == NULL) {
            fail_msg("case %zu: '%s'", i, err.text);
        }
        rl_test_drop(folder);
    }
}

/* Protocol buffers: a field with its bytes, or with a number. */
static void put_varint(rl_str *out, uint64_t value) {
    for (; value >= 0x80; value >>= 7) {
        rl_str_append_char(out, (char)(value | 0x80));
    }
    rl_str_append_char(out, (char)value);
}

static void put_bytes(rl_str *out, uint64_t field, const char *bytes, size_t len) {
    put_varint(out, field << 3 | 2);
    put_varint(out, len);
    rl_str_append_n(out, bytes, len);
}

static void put_number(rl_str *out, uint64_t field, uint64_t value) {
    put_varint(out, field << 3);
    put_varint(out, value);
}

/* The stories vocabulary as SentencePiece would have written it: scores fall with the ids. */
static void make_model(rl_str *out, uint64_t model_type, const char *table, uint64_t squeeze) {
    rl_json_doc *doc = NULL;
    rl_str piece = {0}, spec = {0};
    rl_err err;
    assert_ok(rl_json_read(rl_golden("tokenizer/stories260K/tokenizer.json"), &doc, &err));
    const rl_json *vocab = rl_json_get(rl_json_get(rl_json_root(doc), "model"), "vocab");
    const rl_json *item = rl_json_first(vocab);
    for (int id = 0; item != NULL; item = rl_json_next(item), id++) {
        float score = id < 259 ? 0.0f : (float)(259 - id);
        uint64_t kind = id == 0 ? 2 : id < 3 ? 3 : id < 259 ? 6 : 1;
        assert_int_equal((int)rl_json_number(item, -1), id);
        rl_str_clear(&piece);
        put_bytes(&piece, 1, rl_json_key(item), strlen(rl_json_key(item)));
        put_varint(&piece, 2 << 3 | 5);
        rl_str_append_n(&piece, (const char *)&score, sizeof score);
        put_number(&piece, 3, kind);
        put_bytes(out, 1, piece.ptr, piece.len);
    }
    put_number(&spec, 3, model_type);
    put_number(&spec, 35, 1);
    put_varint(&spec, 10 << 3 | 1); // a fixed64 that is passed over
    rl_str_append_n(&spec, "12345678", 8);
    put_bytes(out, 2, spec.ptr, spec.len);
    rl_str_clear(&spec);
    put_bytes(&spec, 1, "identity", 8);
    put_bytes(&spec, 2, table, strlen(table));
    put_number(&spec, 3, 1);
    put_number(&spec, 4, squeeze);
    put_bytes(out, 3, spec.ptr, spec.len);
    rl_str_release(&piece);
    rl_str_release(&spec);
    rl_json_free(doc);
}

static void test_sentencepiece(void **state) {
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    rl_str model = {0};
    rl_err err;
    int32_t *ids, n;
    (void)state;
    make_model(&model, 2, "", 0);
    write_file(folder, "tokenizer.model", model.ptr, model.len);
    rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
    rl_test_oracle(tokenizer, "stories260K (tokenizer.model)",
                   rl_golden("tokenizer/stories260K/oracle.json"), RL_ENCODE_SPECIALS, true, 0);
    assert_int_equal(rl_tokenizer_bos(tokenizer), 1);
    assert_int_equal(rl_tokenizer_eos(tokenizer), 2);
    assert_ok(rl_tokenizer_encode(tokenizer, "", 0, RL_ENCODE_FRAME, arena, &ids, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 1);
    rl_tokenizer_free(tokenizer);
    write_text(folder, "tokenizer_config.json",
               "{\"add_bos_token\":false,\"add_eos_token\":true,\"eos_token\":\"</s>\"}");
    tokenizer = rl_test_tokenizer(folder);
    assert_ok(rl_tokenizer_encode(tokenizer, "", 0, RL_ENCODE_FRAME, arena, &ids, &n, &err));
    assert_int_equal(n, 1);
    assert_int_equal(ids[0], 2);
    rl_tokenizer_free(tokenizer);

    // Cut anywhere it is refused, or it is a model with fewer tokens; it never reads past its end.
    for (size_t len = 0; len < model.len; len += len < 60 ? 7 : 211) {
        tokenizer = NULL;
        write_file(folder, "tokenizer.model", model.ptr, len);
        assert_int_not_equal(rl_tokenizer_load(folder, &tokenizer, &err), RL_OK);
        assert_null(tokenizer);
    }
    rl_str_release(&model);
    rl_arena_free(arena);
    rl_test_drop(folder);
}

static void test_sentencepiece_refusals(void **state) {
    static const struct {
        uint64_t model_type, squeeze;
        const char *table, *sentence;
    } cases[] = {
        {1, 0, "", "'Unigram' is not covered"},
        {3, 0, "", "'word or char' is not covered"},
        {2, 0, "table", "normalisation table"},
        {2, 1, "", "'remove_extra_whitespaces'"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char *folder = rl_test_folder();
        rl_str model = {0};
        rl_err err = {""};
        make_model(&model, cases[i].model_type, cases[i].table, cases[i].squeeze);
        write_file(folder, "tokenizer.model", model.ptr, model.len);
        assert_int_equal(load_error(folder, &err), RL_UNSUPPORTED);
        assert_non_null(strstr(err.text, cases[i].sentence));
        rl_str_release(&model);
        rl_test_drop(folder);
    }
}

/* A small model with its own pieces, all of score 0, without normaliser settings that matter. */
static void make_small_model(rl_str *out, bool byte_fallback, uint64_t last_kind) {
    static const struct {
        const char *text;
        uint64_t kind;
    } pieces[] = {{"<unk>", 2}, {"<s>", 3},    {"</s>", 3},   {"a", 1},
                  {"b", 1},     {"<0xC3>", 6}, {"<0xA9>", 6}, {"ab", 0}};
    rl_str piece = {0}, spec = {0};
    for (size_t i = 0; i < RL_COUNT(pieces); i++) {
        rl_str_clear(&piece);
        put_bytes(&piece, 1, pieces[i].text, strlen(pieces[i].text));
        put_number(&piece, 3, pieces[i].kind != 0 ? pieces[i].kind : last_kind);
        put_bytes(out, 1, piece.ptr, piece.len);
    }
    put_number(&spec, 3, 2);
    put_number(&spec, 35, byte_fallback);
    put_bytes(out, 2, spec.ptr, spec.len);
    rl_str_clear(&spec);
    put_number(&spec, 3, 0);
    put_number(&spec, 4, 0);
    put_bytes(out, 3, spec.ptr, spec.len);
    rl_str_release(&piece);
    rl_str_release(&spec);
}

/* Characters without a piece: a run of them is one unknown token, bytes only by byte_fallback. */
static void test_sentencepiece_unknown(void **state) {
    static const struct {
        bool byte_fallback;
        const char *text;
        int32_t n, ids[8];
    } cases[] = {
        {false, "xyz", 1, {0}},
        {false, "axyab", 3, {3, 0, 7}},
        {false, "x\xc3\xa9ya", 2, {0, 3}}, // whose bytes have pieces
        {true, "x\xc3\xa9yza", 5, {0, 5, 6, 0, 3}},
    };
    rl_arena *arena = rl_arena_new(0);
    rl_err err = {""};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char *folder = rl_test_folder();
        rl_str model = {0};
        int32_t *ids, n;
        make_small_model(&model, cases[i].byte_fallback, 1);
        write_file(folder, "tokenizer.model", model.ptr, model.len);
        rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
        for (int again = 0; again < 2; again++) { // the second time from the cache of words
            assert_ok(rl_tokenizer_encode(tokenizer, cases[i].text, strlen(cases[i].text),
                                          RL_ENCODE_PLAIN, arena, &ids, &n, &err));
            assert_int_equal(n, cases[i].n);
            assert_memory_equal(ids, cases[i].ids, (size_t)n * sizeof *ids);
        }
        rl_tokenizer_free(tokenizer);
        rl_str_release(&model);
        rl_test_drop(folder);
    }
    rl_arena_free(arena);
    for (uint64_t kind = 5; kind < 9; kind += 2) {
        char *folder = rl_test_folder();
        rl_str model = {0};
        make_small_model(&model, true, kind);
        write_file(folder, "tokenizer.model", model.ptr, model.len);
        assert_int_equal(load_error(folder, &err), RL_UNSUPPORTED);
        assert_non_null(strstr(err.text, kind == 5 ? "token 7 is an unused piece"
                                                   : "token 7 is of an unknown type"));
        rl_str_release(&model);
        rl_test_drop(folder);
    }
}

/* Copies shared files under other names into a folder of their own. */
static void copy_shared(const char *folder, const char *from, const char *to) {
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    assert_ok(rl_fs_copy(rl_shared(from), rl_path_join(arena, folder, to), &err));
    rl_arena_free(arena);
}

static void test_shared(void **state) {
    static const struct {
        const char *name, *files[3][2], *oracle;
        unsigned flags;
        bool exact;
        int32_t limit;
    } cases[] = {
        {"gpt2 (vocab.json and merges.txt)",
         {{"gpt2/encoder.json", "vocab.json"},
          {"gpt2/vocab.bpe", "merges.txt"},
          {"gpt2/config.json", "config.json"}},
         "gpt2",
         RL_ENCODE_SPECIALS,
         true,
         0},
        {"tiktoken r50k_base (encoder.json and vocab.bpe)",
         {{"gpt2/encoder.json", "encoder.json"},
          {"gpt2/vocab.bpe", "vocab.bpe"},
          {"gpt2/config.json", "config.json"}},
         "tiktoken-r50k_base",
         RL_ENCODE_PLAIN,
         true,
         0},
        {"qwen2.5 (vocab.json and merges.txt)",
         {{"qwen2.5/vocab.json", "vocab.json"},
          {"qwen2.5/merges.txt", "merges.txt"},
          {"qwen2.5/tokenizer_config.json", "tokenizer_config.json"}},
         "qwen3", // the same vocabulary, a few tokens more
         RL_ENCODE_SPECIALS,
         false,
         151665},
        {"tiktoken cl100k_base",
         {{"tiktoken/cl100k_base.tiktoken", "cl100k_base.tiktoken"}},
         "tiktoken-cl100k_base",
         RL_ENCODE_PLAIN,
         true,
         0},
        {"tiktoken o200k_base",
         {{"tiktoken/o200k_base.tiktoken", "o200k_base.tiktoken"}},
         "tiktoken-o200k_base",
         RL_ENCODE_PLAIN,
         true,
         0},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char oracle[96], from[96];
        char *folder = rl_test_folder();
        snprintf(oracle, sizeof oracle, "data/tokenizer-golden/oracle/%s.json", cases[i].oracle);
        bool there = rl_shared(oracle) != NULL;
        for (size_t f = 0; f < 3 && cases[i].files[f][0] != NULL && there; f++) {
            snprintf(from, sizeof from, "models/tokenizers/%s", cases[i].files[f][0]);
            there = rl_shared(from) != NULL;
            if (there) {
                copy_shared(folder, from, cases[i].files[f][1]);
            }
        }
        if (there) {
            rl_tokenizer *tokenizer = rl_test_tokenizer(folder);
            assert_true(rl_test_oracle(tokenizer, cases[i].name, rl_shared(oracle), cases[i].flags,
                                       cases[i].exact, cases[i].limit) > 45);
            rl_tokenizer_free(tokenizer);
        } else {
            rl_test_lacks_shared(cases[i].name);
        }
        rl_test_drop(folder);
    }
    rl_test_skip_lacking();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_merges),
        cmocka_unit_test(test_merges_old_files),
        cmocka_unit_test(test_tiktoken),
        cmocka_unit_test(test_tiktoken_refusals),
        cmocka_unit_test(test_sentencepiece),
        cmocka_unit_test(test_sentencepiece_refusals),
        cmocka_unit_test(test_sentencepiece_unknown),
        cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
