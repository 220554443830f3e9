#include "policy/jinja.h"

#include "policy/jinja_run.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "tests/support/support.h"

// 2025-01-01 12:00, a Wednesday: the moment at which the goldens were made.
static const struct tm noon = {.tm_year = 125, .tm_mday = 1, .tm_hour = 12, .tm_wday = 3};

static rl_jinja *parse(const char *source) {
    rl_jinja *jinja = NULL;
    rl_err err = {""};
    if (rl_jinja_parse("test", source, strlen(source), &jinja, &err) != RL_OK) {
        fail_msg("'%s': %s", source, err.text);
    }
    return jinja;
}

// The variables of a JSON object, all marked.
static rl_jinja_var *read_vars(const rl_json *context, rl_arena *arena, size_t *n) {
    rl_jinja_var *var = rl_arena_alloc(arena, rl_json_count(context) + 1, sizeof *var);
    *n = 0;
    for (const rl_json *item = rl_json_first(context); item != NULL; item = rl_json_next(item)) {
        var[(*n)++] = (rl_jinja_var){rl_json_key(item), rl_jinja_from_json(arena, item, 1)};
    }
    return var;
}

static size_t check_cases(const char *cases, const char *folder) {
    rl_arena *arena = rl_arena_new(0);
    rl_json_doc *doc = NULL;
    rl_err err = {""};
    size_t n = 0;
    assert_ok(rl_json_read(cases, &doc, &err));
    for (const rl_json *item = rl_json_first(rl_json_root(doc)); item != NULL;
         item = rl_json_next(item), n++) {
        const char *name = rl_json_text(rl_json_get(item, "template"), "");
        const char *want = rl_json_text(rl_json_get(item, "rendered"), "");
        rl_jinja *jinja = NULL;
        rl_jinja_text got;
        char *source;
        size_t len, n_vars;
        rl_jinja_var *var = read_vars(rl_json_get(item, "context"), arena, &n_vars);
        assert_ok(rl_fs_read(rl_path_join(arena, folder, name), arena, &source, &len, &err));
        assert_ok(rl_jinja_parse(name, source, len, &jinja, &err));
        assert_ok(rl_jinja_render(jinja, var, n_vars, &noon, &rl_jinja_default_limits, arena, &got,
                                  &err));
        if (got.len != strlen(want) || memcmp(got.ptr, want, got.len) != 0) {
            fail_msg("%s, %s:\n%.*s\n--- instead of\n%s", name,
                     rl_json_text(rl_json_get(item, "conversation"), ""), (int)got.len, got.ptr,
                     want);
        }
        rl_jinja_free(jinja);
        rl_arena_reset(arena);
    }
    rl_json_free(doc);
    rl_arena_free(arena);
    return n;
}

static void test_golden(void **state) {
    (void)state;
    assert_true(check_cases(rl_golden("chat/cases.json"), rl_golden("chat")) >= 25);
}

static void test_all_golden(void **state) {
    (void)state;
    if (rl_shared("data/chat-templates/golden.json") == NULL) {
        rl_test_skip_shared("data/chat-templates/golden.json");
        return;
    }
    assert_int_equal(
        check_cases(rl_shared("data/chat-templates/golden.json"), rl_shared("data/chat-templates")),
        154);
}

// Small templates against jinja2: the same text, or both refuse.
static void test_language(void **state) {
    (void)state;
    rl_json_doc *doc = NULL;
    rl_err err = {""};
    size_t n = 0, n_wrong = 0;
    assert_ok(rl_json_read(rl_golden("chat/language.json"), &doc, &err));
    const rl_json *root = rl_json_root(doc);
    for (const rl_json *item = rl_json_first(rl_json_get(root, "cases")); item != NULL;
         item = rl_json_next(item), n++) {
        const char *source = rl_json_text(rl_json_get(item, "source"), "");
        const char *want = rl_json_text(rl_json_get(item, "rendered"), NULL);
        rl_arena *arena = rl_arena_new(0);
        rl_jinja *jinja = NULL;
        rl_jinja_text got = {"", 0, NULL};
        size_t n_vars;
        rl_jinja_var *var = read_vars(rl_json_get(root, "context"), arena, &n_vars);
        rl_status status = rl_jinja_parse("test", source, strlen(source), &jinja, &err);
        if (status == RL_OK) {
            status = rl_jinja_render(jinja, var, n_vars, &noon, &rl_jinja_default_limits, arena,
                                     &got, &err);
        }
        bool same = status == RL_OK && want != NULL && got.len == strlen(want) &&
                    memcmp(got.ptr, want, got.len) == 0;
        if (!same && (status == RL_OK || want != NULL)) {
            print_message("%s\n  gives %.*s\n  not   %s\n", source,
                          status == RL_OK ? (int)got.len : (int)strlen(err.text),
                          status == RL_OK ? got.ptr : err.text, want != NULL ? want : "a refusal");
            n_wrong++;
        }
        if (status != RL_OK) {
            assert_true(rl_text_starts(err.text, "test, line "));
        }
        rl_jinja_free(jinja);
        rl_arena_free(arena);
    }
    rl_json_free(doc);
    assert_int_equal(n_wrong, 0);
    assert_true(n > 130);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_all_golden),
        cmocka_unit_test(test_language),
    };
    (void)parse;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
