/* The bundled model's tokenizer, against the ids and texts that Hugging Face's tokenizers gives. */
#include "rl/core/alloc.h"
#include "tests/support/tokenizer.h"

static const char model[] = RL_SOURCE_DIR "/models/tiny-coder";

static rl_json_doc *golden(void) {
    rl_json_doc *doc = NULL;
    rl_err err;
    assert_ok(rl_json_read(rl_golden("tokenizer/tiny_coder.json"), &doc, &err));
    return doc;
}

// Ids with special tokens known and as plain text, and from either back to the text.
static void texts_to_ids(void **state) {
    rl_tokenizer *tokenizer = rl_test_tokenizer(model);
    rl_json_doc *doc = golden();
    const rl_json *row = rl_json_first(rl_json_get(rl_json_root(doc), "encode"));
    int n = 0;
    (void)state;
    for (; row != NULL; row = rl_json_next(row), n++) {
        const char *text = rl_json_text(rl_json_get(row, "text"), NULL);
        size_t len = strlen(text);
        rl_arena *arena = rl_arena_new(0);
        rl_test_encodes(tokenizer, text, len, RL_ENCODE_SPECIALS, rl_json_get(row, "ids"), "ids");
        rl_test_encodes(tokenizer, text, len, RL_ENCODE_PLAIN, rl_json_get(row, "plain"), "plain");
        for (unsigned special = 0; special < 2; special++) {
            unsigned flags = special ? RL_ENCODE_SPECIALS : RL_ENCODE_PLAIN;
            int32_t *ids, n_ids;
            rl_str back = {0};
            rl_err err;
            assert_ok(rl_tokenizer_encode(tokenizer, text, len, flags, arena, &ids, &n_ids, &err));
            rl_tokenizer_decode(tokenizer, ids, n_ids, false, &back);
            assert_string_equal(rl_str_text(&back), text);
            rl_str_release(&back);
        }
        rl_arena_free(arena);
    }
    assert_int_equal(n, 34);
    rl_json_free(doc);
    rl_tokenizer_free(tokenizer);
}

static void check_decoded(const rl_tokenizer *tokenizer, const rl_json *row, bool skip) {
    const rl_json *list = rl_json_get(row, "ids");
    int32_t *ids = rl_alloc(rl_json_count(list), sizeof *ids), n = 0;
    rl_str text = {0};
    for (const rl_json *id = rl_json_first(list); id != NULL; id = rl_json_next(id)) {
        ids[n++] = (int32_t)rl_json_number(id, -1);
    }
    rl_tokenizer_decode(tokenizer, ids, n, skip, &text);
    assert_string_equal(rl_str_text(&text),
                        rl_json_text(rl_json_get(row, skip ? "skipped" : "text"), NULL));
    rl_str_release(&text);
    rl_free(ids);
}

// Every id but that of NUL, and characters that are cut anywhere.
static void ids_to_texts(void **state) {
    rl_tokenizer *tokenizer = rl_test_tokenizer(model);
    rl_json_doc *doc = golden();
    const rl_json *row = rl_json_first(rl_json_get(rl_json_root(doc), "decode"));
    int n = 0;
    (void)state;
    for (; row != NULL; row = rl_json_next(row), n++) {
        check_decoded(tokenizer, row, false);
        check_decoded(tokenizer, row, true);
    }
    assert_int_equal(n, 62);
    rl_json_free(doc);
    rl_tokenizer_free(tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(texts_to_ids),
        cmocka_unit_test(ids_to_texts),
    };
    return cmocka_run_group_tests_name("tokenizer_tiny_coder", tests, NULL, NULL);
}
