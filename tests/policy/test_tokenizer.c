#include "rl/policy/tokenizer.h"

#include <stdlib.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/rng.h"
#include "rl/core/unicode.h"
#include "tests/support/tokenizer.h"

static void encode_and_compare(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                               unsigned flags, const rl_json *want, const char *name,
                               rl_str *decoded, bool skip_special) {
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    int32_t *ids, n;
    rl_test_encodes(tokenizer, text, text_len, flags, want, name);
    assert_ok(rl_tokenizer_encode(tokenizer, text, text_len, flags, arena, &ids, &n, &err));
    if (decoded != NULL) {
        rl_str_clear(decoded);
        rl_tokenizer_decode(tokenizer, ids, n, skip_special, decoded);
    }
    rl_arena_free(arena);
}

static void test_stories(void **state) {
    (void)state;
    rl_tokenizer *tokenizer = rl_test_tokenizer(rl_golden("tokenizer/stories260K"));
    assert_int_equal(rl_test_oracle(tokenizer, "stories260K",
                                    rl_golden("tokenizer/stories260K/oracle.json"),
                                    RL_ENCODE_SPECIALS, true, 0),
                     50);
    print_message("families: llama | tokenizer texts | 50 of 50 (stories260K)\n");
    assert_int_equal(rl_tokenizer_vocab(tokenizer), 512);
    assert_int_equal(rl_tokenizer_bos(tokenizer), 1);
    assert_int_equal(rl_tokenizer_eos(tokenizer), 2);
    assert_int_equal(rl_tokenizer_id(tokenizer, "</s>"), 2);
    assert_int_equal(rl_tokenizer_id(tokenizer, "no such token"), -1);
    assert_null(rl_tokenizer_chat_template(tokenizer));
    rl_tokenizer_free(tokenizer);
}

// A variant of tests/golden/tokenizer/variants.json as a tokenizer: its base with the patched
// sections put in place of the base's.
static rl_tokenizer *load_variant(const char *folder, const rl_json *base, const rl_json *variant) {
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    rl_json_open_object(&w, NULL);
    for (const rl_json *item = rl_json_first(base); item != NULL; item = rl_json_next(item)) {
        const char *key = rl_json_key(item);
        const rl_json *patch = rl_json_get(rl_json_get(variant, "patch"), key);
        if (strcmp(key, "model") != 0) {
            rl_json_put_value(&w, key, patch != NULL ? patch : item);
            continue;
        }
        rl_json_open_object(&w, key);
        for (const rl_json *part = rl_json_first(item); part != NULL; part = rl_json_next(part)) {
            patch = rl_json_get(rl_json_get(variant, "model"), rl_json_key(part));
            rl_json_put_value(&w, rl_json_key(part), patch != NULL ? patch : part);
        }
        rl_json_close_object(&w);
    }
    rl_json_close_object(&w);
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "tokenizer.json"), text.ptr, text.len, &err));
    rl_arena_free(arena);
    rl_str_release(&text);
    return rl_test_tokenizer(folder);
}

static const rl_json *item_at(const rl_json *list, size_t i) {
    const rl_json *item = rl_json_first(list);
    for (; i > 0 && item != NULL; i--) {
        item = rl_json_next(item);
    }
    return item;
}

// Each section of tokenizer.json alone against Hugging Face's own answers: flags, frames, decoding.
static void test_variants(void **state) {
    (void)state;
    char *folder = rl_test_folder();
    rl_json_doc *doc = NULL;
    rl_str decoded = {0};
    rl_err err;
    assert_ok(rl_json_read(rl_golden("tokenizer/variants.json"), &doc, &err));
    const rl_json *root = rl_json_root(doc), *texts = rl_json_get(root, "texts");
    const rl_json *variant = rl_json_first(rl_json_get(root, "variants"));
    size_t n_variants = 0;
    for (; variant != NULL; variant = rl_json_next(variant), n_variants++) {
        const char *name = rl_json_text(rl_json_get(variant, "name"), "");
        const char *base = rl_json_text(rl_json_get(variant, "base"), "");
        rl_tokenizer *tokenizer =
            load_variant(folder, rl_json_get(rl_json_get(root, "bases"), base), variant);
        const rl_json *ids = rl_json_get(variant, "ids");
        const rl_json *framed = rl_json_get(variant, "framed");
        for (size_t i = 0; i < rl_json_count(texts); i++) {
            const char *text = rl_json_text(item_at(texts, i), NULL);
            const rl_json *want = item_at(ids, i);
            encode_and_compare(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS, want, name,
                               &decoded, false);
            assert_string_equal(rl_str_text(&decoded),
                                rl_json_text(item_at(rl_json_get(variant, "decoded"), i), NULL));
            encode_and_compare(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS, want, name,
                               &decoded, true);
            assert_string_equal(rl_str_text(&decoded),
                                rl_json_text(item_at(rl_json_get(variant, "skipped"), i), NULL));
            encode_and_compare(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS | RL_ENCODE_FRAME,
                               framed != NULL ? item_at(framed, i) : want, name, NULL, false);
            encode_and_compare(tokenizer, text, strlen(text), RL_ENCODE_PLAIN,
                               item_at(rl_json_get(variant, "plain"), i), name, NULL, false);
        }
        rl_tokenizer_free(tokenizer);
    }
    assert_true(n_variants > 50);
    rl_str_release(&decoded);
    rl_json_free(doc);
    rl_test_drop(folder);
}

static rl_status load_text(const char *folder, const char *text, rl_tokenizer **out, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_err local;
    rl_status status =
        rl_fs_write(rl_path_join(arena, folder, "tokenizer.json"), text, strlen(text), &local);
    rl_arena_free(arena);
    assert_int_equal(status, RL_OK);
    return rl_tokenizer_load(folder, out, err);
}

#define MODEL(inner)   "{\"model\":{\"type\":\"BPE\"," inner "}}"
#define VOCAB          "\"vocab\":{\"a\":0,\"b\":1,\"ab\":2}"
#define SMALL(section) "{\"model\":{\"type\":\"BPE\"," VOCAB ",\"merges\":[\"a b\"]}," section "}"

static void test_refusals(void **state) {
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"{}", "no 'model'"},
        {"[]", "no 'model'"},
        {MODEL(VOCAB), "has no merges"},
        {MODEL(VOCAB ",\"merges\":[]"), "has no merges"},
        {MODEL(VOCAB ",\"merges\":{}"), "has no merges"},
        {MODEL("\"merges\":[\"a b\"]"), "no vocabulary"},
        {MODEL("\"vocab\":{},\"merges\":[\"a b\"]"), "vocabulary is empty"},
        {MODEL("\"vocab\":{\"a\":0.5},\"merges\":[\"a b\"]"), "not an integer"},
        {MODEL("\"vocab\":{\"a\":-1},\"merges\":[\"a b\"]"), "id -1 of token 'a'"},
        {MODEL("\"vocab\":{\"a\":99999999},\"merges\":[\"a b\"]"), "id 99999999 of token 'a'"},
        {MODEL("\"vocab\":{\"a\":0,\"b\":0},\"merges\":[\"a b\"]"), "stands for both 'a' and 'b'"},
        {MODEL(VOCAB ",\"merges\":[\"a c\"]"), "merge 0, 'a' and 'c', is not in the vocabulary"},
        {MODEL(VOCAB ",\"merges\":[\"b a\"]"), "is not in the vocabulary"},
        {MODEL(VOCAB ",\"merges\":[\"a b\",\"ab\"]"), "merge 1 is not a pair"},
        {MODEL(VOCAB ",\"merges\":[[\"a\",\"b\",\"ab\"]]"), "merge 0 is not a pair"},
        {MODEL(VOCAB ",\"merges\":[[\"a\",1]]"), "merge 0 is not a pair"},
        {MODEL(VOCAB ",\"merges\":[\"a b\"],\"dropout\":0.1"), "'dropout' is not covered"},
        {MODEL(VOCAB ",\"merges\":[\"a b\"],\"end_of_word_suffix\":\"</w>\""),
         "'end_of_word_suffix' is not covered"},
        {MODEL(VOCAB ",\"merges\":[\"a b\"],\"unk_token\":\"?\""), "unk_token '?'"},
        {"{\"model\":{\"type\":\"Unigram\"}}", "'Unigram' is not covered"},
        {SMALL("\"normalizer\":{\"type\":\"Precompiled\"}"),
         "normalizer 'Precompiled' is not covered"},
        {SMALL("\"normalizer\":{\"type\":\"Replace\",\"pattern\":{\"Regex\":\"\\\\w\"},"
               "\"content\":\"\"}"),
         "'\\w' in a pattern is not covered"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"UnicodeScripts\"}"),
         "pre-tokenizer 'UnicodeScripts' is not covered"},
        {SMALL("\"pre_tokenizer\":{}"), "a pre-tokenizer has no 'type'"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":"
               "\"ByteLevel\"},{\"type\":\"Digits\"}]}"),
         "pre-tokenizer 'Digits' after 'ByteLevel'"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"x\"},"
               "\"behavior\":\"Doubled\"}"),
         "behavior 'Doubled'"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"String\":\"\"},"
               "\"behavior\":\"Isolated\"}"),
         "neither text nor"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[a[b]]\"},"
               "\"behavior\":\"Isolated\"}"),
         "'[' in a pattern is not covered"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"[ab\"},"
               "\"behavior\":\"Isolated\"}"),
         "class in a pattern does not end"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"a{1,2}+\"},"
               "\"behavior\":\"Isolated\"}"),
         "'}+' in a pattern is not covered"},
        {SMALL("\"pre_tokenizer\":{\"type\":\"Split\",\"pattern\":{\"Regex\":\"(?m:a)\"},"
               "\"behavior\":\"Isolated\"}"),
         "'(?m:' in a pattern is not covered"},
        {SMALL("\"decoder\":{\"type\":\"WordPiece\"}"), "decoder 'WordPiece' is not covered"},
        {SMALL("\"decoder\":{\"type\":\"Strip\",\"content\":\"ab\"}"), "decoder 'Strip' needs"},
        {SMALL("\"post_processor\":{\"type\":\"Other\"}"), "post-processor 'Other' is not covered"},
        {SMALL("\"post_processor\":{\"type\":\"BertProcessing\",\"cls\":[\"a\",0],\"sep\":[\"b\",9]"
               "}"),
         "is not a token and its id"},
        {SMALL("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[]}"), "no text"},
        {SMALL("\"post_processor\":{\"type\":\"TemplateProcessing\",\"single\":[{\"SpecialToken\":{"
               "\"id\":\"<s>\"}}]}"),
         "special token '<s>' has no ids"},
        {SMALL("\"added_tokens\":[{\"content\":\"x\"}]"), "an added token has no"},
        {SMALL("\"added_tokens\":[{\"content\":\"x\",\"id\":0}]"), "stands for both 'a' and 'x'"},
        {SMALL("\"added_tokens\":[{\"content\":\"b\",\"id\":3}]"), "token 'b' has two ids"},
    };
    char *folder = rl_test_folder();
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_tokenizer *tokenizer = NULL;
        rl_err err = {""};
        rl_status status = load_text(folder, cases[i].text, &tokenizer, &err);
        if (status == RL_OK || strstr(err.text, cases[i].sentence) == NULL ||
            strstr(err.text, "tokenizer.json': ") == NULL) {
            print_error("case %zu, '%s': status %d, '%s'\n", i, cases[i].text, (int)status,
                        err.text);
            fail();
        }
        assert_null(tokenizer);
    }
    rl_test_drop(folder);
}

static void test_missing_files(void **state) {
    (void)state;
    char *folder = rl_test_folder();
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    assert_int_equal(rl_tokenizer_load(folder, &tokenizer, &err), RL_IO);
    assert_non_null(strstr(err.text, "has no tokenizer.json"));
    assert_int_equal(rl_tokenizer_load("/no/such/folder", &tokenizer, &err), RL_IO);
    assert_non_null(strstr(err.text, "/no/such/folder"));
    assert_int_equal(load_text(folder, "{\"model\":", &tokenizer, &err), RL_IO);
    assert_null(tokenizer);
    rl_test_drop(folder);
}

// What the config says is kept, whichever of its forms it takes.
static void test_config(void **state) {
    (void)state;
    static const char config[] = "{\"bos_token\":{\"content\":\"a\"},\"eos_token\":\"b\","
                                 "\"chat_template\":[{\"name\":\"tool_use\",\"template\":\"t\"},"
                                 "{\"name\":\"default\",\"template\":\"d\"}]}";
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    const char *path = rl_path_join(arena, folder, "tokenizer_config.json");
    assert_ok(rl_fs_write(path, config, strlen(config), &err));
    assert_ok(load_text(folder, SMALL("\"version\":\"1.0\""), &tokenizer, &err));
    assert_int_equal(rl_tokenizer_bos(tokenizer), 0);
    assert_int_equal(rl_tokenizer_eos(tokenizer), 1);
    assert_string_equal(rl_tokenizer_chat_template(tokenizer), "d");
    rl_tokenizer_free(tokenizer);
    path = rl_path_join(arena, folder, "chat_template.jinja");
    assert_ok(rl_fs_write(path, "file", 4, &err));
    tokenizer = rl_test_tokenizer(folder);
    assert_string_equal(rl_tokenizer_chat_template(tokenizer), "file");
    rl_tokenizer_free(tokenizer);
    rl_arena_free(arena);
    rl_test_drop(folder);
}

/* What lies beside tokenizer.json must not say otherwise than it. */
static void test_beside_json(void **state) {
    static const char tokenizer_json[] =
        "{\"model\":{\"vocab\":{\"a\":0,\"b\":1,\"ab\":2},\"merges\":[[\"a\",\"b\"]]},"
        "\"added_tokens\":[{\"id\":3,\"content\":\"<s>\",\"special\":true},"
        "{\"id\":4,\"content\":\"<x>\"},{\"id\":5,\"content\":\" "
        ".\"}],\"post_processor\":{\"type\":\"TemplateProcessing\","
        "\"single\":[{\"SpecialToken\":{\"id\":\"<s>\",\"type_id\":0}},"
        "{\"Sequence\":{\"id\":\"A\",\"type_id\":0}}],\"pair\":[],"
        "\"special_tokens\":{\"<s>\":{\"id\":\"<s>\",\"ids\":[3],\"tokens\":[\"<s>\"]}}}}";
    static const struct {
        const char *file, *text, *sentence; // NULL: it is taken
    } cases[] = {
        {"tokenizer_config.json",
         "{\"bos_token\":\"<s>\",\"add_bos_token\":true,\"add_eos_token\":null,"
         "\"clean_up_tokenization_spaces\":true,\"added_tokens_decoder\":{"
         "\"3\":{\"content\":\"<s>\",\"special\":true},\"4\":{\"content\":\"<x>\"}}}",
         NULL},
        {"added_tokens.json", "{\"<x>\":4}", NULL},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"6\":{\"content\":\"<y>\"}}}",
         "'<y>' the id 6, but tokenizer.json has no such token"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"4\":{\"content\":\"<s>\"}}}",
         "'<s>' the id 4, but tokenizer.json gives it another"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"2\":{\"content\":\"ab\"}}}",
         "'ab' the id 2, but tokenizer.json does not add it"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"x\":{\"content\":\"<s>\"}}}",
         "'added_tokens_decoder' does not give ids to texts"},
        {"tokenizer_config.json", "{\"added_tokens_decoder\":{\"3\":{}}}",
         "'added_tokens_decoder' does not give ids to texts"},
        {"added_tokens.json", "{\"<y>\":6}", "added_tokens.json gives the added token '<y>'"},
        {"added_tokens.json", "{\"<x>\":\"4\"}", "added_tokens.json gives the added token '<x>'"},
        {"tokenizer_config.json", "{\"bos_token\":\"<s>\",\"add_bos_token\":false}",
         "'add_bos_token' in tokenizer_config.json is false, but the post_processor of "
         "tokenizer.json adds the token"},
        {"tokenizer_config.json", "{\"eos_token\":\"<x>\",\"add_eos_token\":true}",
         "'add_eos_token' in tokenizer_config.json is true, but the post_processor of "
         "tokenizer.json does not add the token"},
        {"tokenizer_config.json", "{\"add_bos_token\":1}",
         "'add_bos_token' in tokenizer_config.json must be true or false"},
    };
    rl_arena *arena = rl_arena_new(0);
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        char *folder = rl_test_folder();
        const char *path = rl_path_join(arena, folder, cases[i].file);
        rl_tokenizer *tokenizer = NULL;
        rl_str back = {0};
        rl_err err = {""};
        assert_ok(rl_fs_write(path, cases[i].text, strlen(cases[i].text), &err));
        rl_status status = load_text(folder, tokenizer_json, &tokenizer, &err);
        if (cases[i].sentence == NULL) {
            assert_ok(status);
            rl_tokenizer_decode(tokenizer, (const int32_t[]){0, 5}, 2, false, &back);
            assert_string_equal(rl_str_text(&back), "a  ."); // not cleaned up
        } else if (status == RL_OK || strstr(err.text, cases[i].sentence) == NULL) {
            fail_msg("case %zu: '%s'", i, err.text);
        }
        rl_str_release(&back);
        rl_tokenizer_free(tokenizer);
        rl_test_drop(folder);
    }
    rl_arena_free(arena);
}

// Names of special tokens are tokens on request only; ids outside the vocabulary decode to nothing.
static void test_plain_text(void **state) {
    (void)state;
    static const char text[] = "a</s><s>";
    rl_tokenizer *tokenizer = rl_test_tokenizer(rl_golden("tokenizer/stories260K"));
    rl_arena *arena = rl_arena_new(0);
    rl_str back = {0};
    rl_err err;
    int32_t *ids, n;
    assert_ok(
        rl_tokenizer_encode(tokenizer, text, strlen(text), RL_ENCODE_PLAIN, arena, &ids, &n, &err));
    for (int32_t i = 0; i < n; i++) {
        assert_true(ids[i] > 2);
    }
    rl_tokenizer_decode(tokenizer, ids, n, true, &back);
    assert_string_equal(rl_str_text(&back), text);
    assert_ok(rl_tokenizer_encode(tokenizer, text, strlen(text),
                                  RL_ENCODE_SPECIALS | RL_ENCODE_FRAME, arena, &ids, &n, &err));
    assert_int_equal(ids[0], 1);
    assert_int_equal(ids[n - 2], 2);
    assert_int_equal(ids[n - 1], 1);
    rl_str_clear(&back);
    rl_tokenizer_decode(tokenizer, ids, n, true, &back);
    assert_string_equal(rl_str_text(&back), "a");
    rl_str_clear(&back);
    rl_tokenizer_decode(tokenizer, (const int32_t[]){-1, 512, INT32_MAX, INT32_MIN}, 4, false,
                        &back);
    assert_int_equal(back.len, 0);
    // Invalid UTF-8 is replaced before anything else sees it.
    assert_ok(rl_tokenizer_encode(tokenizer, "a\xff", 2, RL_ENCODE_PLAIN, arena, &ids, &n, &err));
    rl_tokenizer_decode(tokenizer, ids, n, false, &back);
    assert_string_equal(rl_str_text(&back), "a\xef\xbf\xbd");
    rl_str_release(&back);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
}

// Random text of any characters comes back from a vocabulary with byte fallback.
static void test_round_trip(void **state) {
    (void)state;
    rl_tokenizer *tokenizer = rl_test_tokenizer(rl_golden("tokenizer/stories260K"));
    rl_arena *arena = rl_arena_new(0);
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    rl_str text = {0}, back = {0};
    rl_err err;
    uint64_t draw = 0;
    for (int round = 0; round < 300; round++) {
        uint64_t n_chars = rl_rng_below(&rng, draw++, 80);
        rl_str_clear(&text);
        rl_str_clear(&back);
        for (uint64_t i = 0; i < n_chars; i++) {
            uint64_t wide = rl_rng_below(&rng, draw++, 8);
            uint64_t code = rl_rng_below(&rng, draw++, wide == 0 ? 0x110000 : 0x7f);
            // U+2581 comes back as a space: it is the vocabulary's word for one.
            bool usable = (code < 0xd800 || code > 0xdfff) && code != 0x2581;
            rl_utf8_append(&text, usable ? (uint32_t)code : 'a');
        }
        int32_t *ids, n;
        assert_ok(rl_tokenizer_encode(tokenizer, rl_str_text(&text), text.len, RL_ENCODE_PLAIN,
                                      arena, &ids, &n, &err));
        rl_tokenizer_decode(tokenizer, ids, n, false, &back);
        assert_int_equal(back.len, text.len);
        assert_memory_equal(rl_str_text(&back), rl_str_text(&text), text.len);
        rl_arena_reset(arena);
    }
    rl_str_release(&text);
    rl_str_release(&back);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
}

// One piece of 300,000 characters: quadratic merging would run into the test's time limit.
// Tokens without text, and text without tokens, at every stage: nothing goes in, nothing comes out.
static void test_nothing(void **state) {
    static const char odd[] =
        "{\"model\": {\"type\": \"BPE\", \"vocab\": {\"z\": 0, \"\": 1, \"zz\": 2}, "
        "\"merges\": [\"z z\"]}}";
    rl_tokenizer *tokenizer = NULL;
    rl_arena *arena = rl_arena_new(0);
    int32_t *ids, n, empty = 1;
    rl_str out = {0};
    rl_err err;
    (void)state;
    for (int kind = RL_DETOKEN_BYTE_LEVEL; kind <= RL_DETOKEN_METASPACE; kind++) {
        for (int n_tokens = 0; n_tokens < 3; n_tokens++) {
            rl_detokenizer detoken = {0};
            rl_pieces tokens = {0}, spare = {0};
            rl_detokenizer_add(&detoken, (rl_detoken_stage){.kind = (rl_detoken_kind)kind,
                                                            .replace = {.kind = RL_REWRITE_REPLACE,
                                                                        .literal = "a",
                                                                        .content = "b"},
                                                            .content = " ",
                                                            .start = 1,
                                                            .stop = 1});
            for (int i = 0; i < n_tokens; i++) {
                rl_pieces_put(&tokens, 0, 0);
            }
            rl_detokenizer_run(&detoken, &tokens, &spare, &out);
            assert_int_equal(out.len, 0);
            rl_pieces_release(&tokens);
            rl_pieces_release(&spare);
            rl_detokenizer_release(&detoken);
        }
    }
    assert_ok(rl_tokenizer_from_text(odd, strlen(odd), "odd", &tokenizer, &err));
    assert_ok(rl_tokenizer_encode(tokenizer, "ab", 2, RL_ENCODE_PLAIN, arena, &ids, &n, &err));
    assert_int_equal(n, 0);
    rl_tokenizer_decode(tokenizer, &empty, 1, false, &out);
    assert_int_equal(out.len, 0);
    rl_tokenizer_free(tokenizer);
    rl_str_release(&out);
    rl_arena_free(arena);
}

static void test_long_piece(void **state) {
    (void)state;
    rl_tokenizer *tokenizer = rl_test_tokenizer(rl_golden("tokenizer/stories260K"));
    rl_arena *arena = rl_arena_new(0);
    rl_str text = {0}, back = {0};
    rl_err err;
    int32_t *ids, n;
    for (int i = 0; i < 60000; i++) {
        rl_str_append(&text, i % 7 == 0 ? "there" : "theht");
    }
    assert_ok(
        rl_tokenizer_encode(tokenizer, text.ptr, text.len, RL_ENCODE_PLAIN, arena, &ids, &n, &err));
    rl_tokenizer_decode(tokenizer, ids, n, false, &back);
    assert_string_equal(rl_str_text(&back), text.ptr);
    rl_str_release(&text);
    rl_str_release(&back);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stories),    cmocka_unit_test(test_variants),
        cmocka_unit_test(test_refusals),   cmocka_unit_test(test_missing_files),
        cmocka_unit_test(test_config),     cmocka_unit_test(test_beside_json),
        cmocka_unit_test(test_plain_text), cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_long_piece), cmocka_unit_test(test_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
