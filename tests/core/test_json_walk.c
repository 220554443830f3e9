/* Reading with large members left out of the tree: the walk sees exactly what the tree would. */
#include "rl/core/json.h"

#include <stdio.h>

#include "rl/core/rng.h"
#include "tests/support/support.h"

static const char *const parts[] = {"vocab", "merges"};

static rl_json_doc *parse(const char *text, rl_json_span span[2]) {
    rl_json_doc *doc = NULL;
    rl_err err;
    assert_ok(rl_json_parse_lean(text, strlen(text), "t", "model", parts, 2, span, &doc, &err));
    return doc;
}

static void assert_span(rl_json_span span, const char *want) {
    if (want == NULL) {
        assert_null(span.text);
    } else {
        assert_int_equal(span.len, strlen(want));
        assert_memory_equal(span.text, want, span.len);
    }
}

static void test_spans(void **state) {
    static const struct {
        const char *text, *vocab, *merges, *rest;
    } cases[] = {
        {"{\"model\":{\"vocab\":{\"a\":1},\"merges\":[\"x\"]}}", "{\"a\":1}", "[\"x\"]",
         "{\"model\":{\"vocab\":null,\"merges\":null}}"},
        {"{\"model\": {\"merges\" : [ [1,2], [] ] , \"b\":2, \"vocab\" : {} } ,\"c\":3}", "{}",
         "[ [1,2], [] ]", "{\"model\":{\"merges\":null,\"b\":2,\"vocab\":null},\"c\":3}"},
        // Only members of the outermost object's member count, and only lists and objects.
        {"{\"vocab\":[1],\"x\":{\"model\":{\"vocab\":[2]}}}", NULL, NULL,
         "{\"vocab\":[1],\"x\":{\"model\":{\"vocab\":[2]}}}"},
        {"{\"model\":{\"vocab\":7,\"y\":{\"merges\":[3]}}}", NULL, NULL,
         "{\"model\":{\"vocab\":7,\"y\":{\"merges\":[3]}}}"},
        {"{\"model\":[{\"vocab\":[2]}]}", NULL, NULL, "{\"model\":[{\"vocab\":[2]}]}"},
        {"[{\"model\":{\"vocab\":[2]}}]", NULL, NULL, "[{\"model\":{\"vocab\":[2]}}]"},
        {"{\"model\":1,\"z\":{\"vocab\":[]}}", NULL, NULL, "{\"model\":1,\"z\":{\"vocab\":[]}}"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_json_span span[2];
        rl_str rest = {0};
        rl_json_doc *doc = parse(cases[i].text, span);
        assert_span(span[0], cases[i].vocab);
        assert_span(span[1], cases[i].merges);
        rl_json_print(rl_json_root(doc), &rest);
        assert_string_equal(rest.ptr, cases[i].rest);
        rl_str_release(&rest);
        rl_json_free(doc);
    }
}

static void test_refused(void **state) {
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"{\"model\":{\"vocab\":{\"a\":01}}}", "column 24: a number may not begin with 0"},
        {"{\"model\":{\"vocab\":{\"a\":1,}}}", "a comma before the closing '}'"},
        {"{\"model\":{\"vocab\":{},\"vocab\":{}}}", "duplicate key 'vocab'"},
        {"{\"model\":{\"vocab\":{\"a\":{\"b\":1,\"b\":2}}}}", "duplicate key 'b'"},
        {"{\"model\":{\"vocab\":{\"\\u0000\":1}}}", "NUL character"},
        {"{\"model\":{\"vocab\":{\"\xff\":1}}}", "not UTF-8"},
        {"{\"model\":{\"merges\":[\"a\"", "the end of the text"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_json_span span[2];
        rl_json_doc *doc = NULL;
        rl_err err = {""};
        assert_int_equal(rl_json_parse_lean(cases[i].text, strlen(cases[i].text), "t", "model",
                                            parts, 2, span, &doc, &err),
                         RL_IO);
        assert_null(doc);
        if (strstr(err.text, cases[i].sentence) == NULL) {
            fail_msg("case %zu: '%s'", i, err.text);
        }
    }
}

static void expect(rl_json_walk *walk, rl_json_event event, const char *text) {
    assert_int_equal(rl_json_walk_next(walk), event);
    if (text != NULL) {
        assert_int_equal(walk->text_len, strlen(text));
        assert_memory_equal(walk->text, text, walk->text_len);
    }
}

static void test_events(void **state) {
    static const char text[] =
        "{\"model\":{\"vocab\":{ \"\\u00e9\\n\\\"\\ud83d\\ude00\\/x\" : -12 , \"b\":[true,\n null,"
        "\"q\\\\\"], \"\":{} ,\"1e2\":1e2}}}";
    rl_json_span span[2];
    rl_json_doc *doc = parse(text, span);
    rl_json_walk walk = {.at = span[0].text, .end = span[0].text + span[0].len};
    int64_t number;
    (void)state;
    expect(&walk, RL_JSON_AT_OPEN, NULL);
    expect(&walk, RL_JSON_AT_KEY, "\xc3\xa9\n\"\xf0\x9f\x98\x80/x");
    expect(&walk, RL_JSON_AT_NUMBER, "-12");
    assert_true(rl_json_walk_integer(&walk, &number));
    assert_int_equal(number, -12);
    expect(&walk, RL_JSON_AT_KEY, "b");
    expect(&walk, RL_JSON_AT_OPEN, NULL);
    expect(&walk, RL_JSON_AT_WORD, "true");
    expect(&walk, RL_JSON_AT_WORD, "null");
    expect(&walk, RL_JSON_AT_TEXT, "q\\");
    expect(&walk, RL_JSON_AT_CLOSE, NULL);
    expect(&walk, RL_JSON_AT_KEY, "");
    expect(&walk, RL_JSON_AT_OPEN, NULL);
    expect(&walk, RL_JSON_AT_CLOSE, NULL);
    expect(&walk, RL_JSON_AT_KEY, "1e2");
    expect(&walk, RL_JSON_AT_NUMBER, "1e2");
    assert_true(rl_json_walk_integer(&walk, &number));
    assert_int_equal(number, 100);
    expect(&walk, RL_JSON_AT_CLOSE, NULL);
    expect(&walk, RL_JSON_AT_END, NULL);
    expect(&walk, RL_JSON_AT_END, NULL);
    rl_json_walk_release(&walk);
    rl_json_free(doc);
}

static void test_integers(void **state) {
    static const struct {
        const char *text;
        bool good;
        int64_t value;
    } cases[] = {
        {"0", true, 0},
        {"7", true, 7},
        {"-1", true, -1},
        {"123456789012345", true, 123456789012345},
        {"1234567890123456", true, 1234567890123456},
        {"0.5", false, 0},
        {"1.0", true, 1},
        {"9007199254740992", true, 9007199254740992},
        {"9007199254740993000", false, 0},
        {"-0", true, 0},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_json_walk walk = {.text = cases[i].text, .text_len = strlen(cases[i].text)};
        int64_t value = 5;
        assert_int_equal(rl_json_walk_integer(&walk, &value), cases[i].good);
        if (cases[i].good) {
            assert_int_equal(value, cases[i].value);
        }
    }
}

/* Random documents: the events of a walk, written out again, are the tree written out. */
static void random_value(rl_rng *rng, uint64_t *draw, int depth, rl_json_writer *w,
                         const char *key) {
    static const char *const texts[] = {"", "a", "\"\\", "\n\t", "\xe4\xb8\xad", "x y"};
    uint64_t kind = rl_rng_below(rng, (*draw)++, depth > 0 ? 6 : 4);
    if (kind < 2) {
        rl_json_put_int(w, key, (int64_t)rl_rng_below(rng, (*draw)++, 1000) - 500);
    } else if (kind < 4) {
        const char *text = texts[rl_rng_below(rng, (*draw)++, RL_COUNT(texts))];
        rl_json_put_text(w, key, text, strlen(text));
    } else if (kind == 4) {
        rl_json_open_list(w, key);
        for (uint64_t n = rl_rng_below(rng, (*draw)++, 4); n > 0; n--) {
            random_value(rng, draw, depth - 1, w, NULL);
        }
        rl_json_close_list(w);
    } else {
        rl_json_open_object(w, key);
        for (uint64_t n = rl_rng_below(rng, (*draw)++, 4); n > 0; n--) {
            char name[16];
            snprintf(name, sizeof name, "%d\\", (int)n);
            random_value(rng, draw, depth - 1, w, name);
        }
        rl_json_close_object(w);
    }
}

static void copy_events(rl_json_span span, rl_json_writer *w) {
    rl_json_walk walk = {.at = span.text, .end = span.text + span.len};
    char *key = NULL;
    rl_arena *arena = rl_arena_new(0);
    bool object[16];
    size_t depth = 0;
    for (;;) {
        rl_json_event event = rl_json_walk_next(&walk);
        if (event == RL_JSON_AT_END) {
            break;
        }
        if (event == RL_JSON_AT_KEY) {
            key = rl_arena_strndup(arena, walk.text, walk.text_len);
            continue;
        }
        if (event == RL_JSON_AT_OPEN) {
            object[depth++] = walk.at[-1] == '{';
            (object[depth - 1] ? rl_json_open_object : rl_json_open_list)(w, key);
        } else if (event == RL_JSON_AT_CLOSE) {
            (object[--depth] ? rl_json_close_object : rl_json_close_list)(w);
        } else if (event == RL_JSON_AT_TEXT) {
            rl_json_put_text(w, key, walk.text, walk.text_len);
        } else {
            int64_t number = 0;
            assert_int_equal(event, RL_JSON_AT_NUMBER);
            assert_true(rl_json_walk_integer(&walk, &number));
            rl_json_put_int(w, key, number);
        }
        key = NULL;
    }
    rl_arena_free(arena);
    rl_json_walk_release(&walk);
}

static void test_random(void **state) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    uint64_t draw = 0;
    (void)state;
    for (int round = 0; round < 500; round++) {
        rl_str text = {0}, again = {0}, want = {0};
        rl_json_writer w = {.out = &text}, copy = {.out = &again};
        rl_json_span span[2];
        rl_json_open_object(&w, NULL);
        rl_json_open_object(&w, "model");
        rl_json_open_list(&w, "merges");
        random_value(&rng, &draw, 4, &w, NULL);
        rl_json_close_list(&w);
        rl_json_close_object(&w);
        rl_json_close_object(&w);
        rl_json_doc *doc = parse(text.ptr, span);
        copy_events(span[1], &copy);
        rl_str_append_n(&want, span[1].text, span[1].len);
        assert_string_equal(again.ptr, want.ptr);
        rl_json_free(doc);
        rl_str_release(&text);
        rl_str_release(&again);
        rl_str_release(&want);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spans),  cmocka_unit_test(test_refused),
        cmocka_unit_test(test_events), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_random),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
