#include "policy/jinja.h"

#include "policy/jinja_run.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "tests/support/support.h"

// 2025-01-01 12:00, a Wednesday: the moment at which the goldens were made.
static const struct tm noon = {.tm_year = 125, .tm_mday = 1, .tm_hour = 12, .tm_wday = 3};

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

// Renders with one marked variable t; the sentence goes to err.
static rl_status render(const char *source, const rl_jinja_limits *limits, rl_arena *arena,
                        rl_jinja_text *out, rl_err *err) {
    rl_jinja_var var = {"t", rl_jinja_marked(arena, "Abc", 3, 7)};
    rl_jinja *jinja = NULL;
    rl_status status = rl_jinja_parse("test", source, strlen(source), &jinja, err);
    if (status == RL_OK) {
        status = rl_jinja_render(jinja, &var, 1, &noon, limits, arena, out, err);
    }
    rl_jinja_free(jinja);
    return status;
}

typedef struct refusal {
    const char *source, *says;
} refusal;

static void assert_refused(const refusal *list, size_t n, const rl_jinja_limits *limits) {
    for (size_t i = 0; i < n; i++) {
        rl_arena *arena = rl_arena_new(0);
        rl_jinja_text out;
        rl_err err = {""};
        if (render(list[i].source, limits, arena, &out, &err) == RL_OK ||
            strstr(err.text, list[i].says) == NULL) {
            fail_msg("'%s' says '%s', not '%s'", list[i].source, err.text, list[i].says);
        }
        rl_arena_free(arena);
    }
}

static void test_limits(void **state) {
    (void)state;
    static const refusal refused[] = {
        {"{% set l = range(1000)|list %}{% for a in l %}{% for b in l %}{% endfor %}{% endfor %}",
         "steps"},
        {"{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", "nested deeper"},
        {"{{ 'a' * 1000000000 }}", "a text of over"},
        {"{{ '%999s' % '' * 999999 }}", "a text of over"},
        {"{{ [1] * 1000000000 }}", "bytes"},
        {"{% set n = namespace(x='ab') %}{% for i in range(60) %}{% set n.x = n.x ~ n.x %}"
         "{% endfor %}",
         "a text of over"},
        {"{% set n = namespace(x=[1]) %}{% for i in range(60) %}{% set n.x = n.x + n.x %}"
         "{% endfor %}",
         "bytes"},
        {"{% set n = namespace(x=[]) %}{% for i in range(5000) %}{% set n.x = [n.x] %}{% endfor %}",
         "lists nested deeper"},
        {"{% set n = namespace() %}{% set n.x = [n] %}{{ n }}", "a namespace that holds itself"},
        {"{{ 9223372036854775807 + 1 }}", "an integer is too large"},
        {"{{ 9223372036854775808 }}", "an integer is too large"},
        {"{{ 2 ** 64 }}", "an integer is too large"},
        {"{{ (-9223372036854775807 - 1) // -1 }}", "an integer is too large"},
        {"{{ -(-9223372036854775807 - 1) }}", "an integer is too large"},
    };
    const rl_jinja_limits small = {
        .steps = 1000000, .bytes = 1 << 28, .output = 1 << 18, .depth = 1200};
    assert_refused(refused, RL_COUNT(refused), &small);
    rl_str deep = {0};
    for (int i = 0; i < 5000; i++) {
        rl_str_append(&deep, i == 0 ? "{{ " : "(");
    }
    for (int i = 0; i < 5000; i++) {
        rl_str_append(&deep, i == 0 ? "t" : ")");
    }
    rl_str_append(&deep, " }}");
    refusal one = {rl_str_text(&deep), "nested deeper than 100 levels"};
    assert_refused(&one, 1, &small);
    rl_str_clear(&deep);
    for (int i = 0; i < 5000; i++) {
        rl_str_append(&deep, "{% if t %}");
    }
    one.source = rl_str_text(&deep);
    assert_refused(&one, 1, &small);
    rl_str_clear(&deep);
    for (int i = 0; i < 5000; i++) {
        rl_str_append(&deep, i == 0 ? "{{ t" : " ~ t");
    }
    rl_str_append(&deep, " }}");
    one = (refusal){rl_str_text(&deep), "a chain of over 1000 operators"};
    assert_refused(&one, 1, &small);
    rl_str_release(&deep);
}

// The line is that of the tag that failed, also inside a macro.
static void test_lines(void **state) {
    (void)state;
    static const refusal refused[] = {
        {"a\n\n{{ x.y }}", "test, line 3: 'x' is undefined"},
        {"{{ t\n  .y.z }}", "line 2: 'str object' has no attribute 'y'"},
        {"{% macro f(x) %}\n{{ x.y.z }}\n{% endmacro %}\n{{ f({}) }}",
         "line 2: 'dict object' has no attribute 'y'"},
        {"\n{{ raise_exception('roles must\nalternate') }}",
         "line 2: the template refuses: roles must"},
        {"\r\n\r\n{{ 1 + t }}", "line 3: '+' does not take a int object and a str object"},
        {"{% if t %}\n{{ t|nosuch }}\n{% endif %}", "line 2: no filter named 'nosuch' is covered"},
        {"\n{% include 'x' %}", "line 2: statement 'include' is not covered"},
        {"\n{% for x in t recursive %}{% endfor %}", "line 2: 'recursive' loops are not covered"},
        {"\n\n{% for x in t %}", "'else' is missing"},
        {"{{ strftime_now('%Q') }}", "line 1: strftime_now does not cover '%Q'"},
        {"{{ t.replace('a') }}", "'replace' wants an argument 'new'"},
        {"{{ t.replace('a', 'b', c=1) }}", "'replace' got an argument that it does not take"},
        {"{{ t|tojson(indent=2, indent=3) }}", "'tojson' got argument 'indent' twice"},
    };
    assert_refused(refused, RL_COUNT(refused), &rl_jinja_default_limits);
}

static void test_now(void **state) {
    (void)state;
    rl_arena *arena = rl_arena_new(0);
    rl_jinja_text out;
    rl_err err = {""};
    assert_ok(render("{{ strftime_now('%Y-%m-%d %H:%M:%S %B %b %A %a %-d %e %j %y %I %p %%') }}",
                     &rl_jinja_default_limits, arena, &out, &err));
    assert_true(
        rl_jinja_text_is(out, "2025-01-01 12:00:00 January Jan Wednesday Wed 1  1 001 25 12 PM %"));
    rl_arena_free(arena);
}

// Marks follow bytes, and nothing else gets them.
static void test_marks(void **state) {
    (void)state;
    static const struct {
        const char *source, *want, *marks; // '7' where a byte came from t
    } cases[] = {
        {"<{{ t }}>", "<Abc>", "07770"},
        {"{{ t|upper }}{{ t[::-1] }}", "ABCcbA", "777777"},
        {"{{ 'x' ~ t ~ 'y' }}", "xAbcy", "07770"},
        {"{{ t.replace('b', '--') }}", "A--c", "7007"},
        {"{{ {'k': t}|tojson }}", "{\"k\": \"Abc\"}", "000000077700"},
        {"{{ [t] }}", "['Abc']", "0077700"},
        {"{{ t.split('b')|join('+') }}", "A+c", "707"},
        {"{% set x %}a{{ t }}{% endset %}{{ x[1:3] }}", "Ab", "77"},
        {"{{ '%5s' % t }}", "  Abc", "00777"},
        {"{{ t|indent(2, true) }}", "  Abc", "00777"},
        {"{{ 'literal' if t == 'Abc' }}", "literal", "0000000"},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_arena *arena = rl_arena_new(0);
        rl_jinja_text out = {"", 0, NULL};
        rl_err err = {""};
        assert_ok(render(cases[i].source, &rl_jinja_default_limits, arena, &out, &err));
        assert_true(rl_jinja_text_is(out, cases[i].want));
        for (size_t k = 0; k < out.len; k++) {
            int mark = out.mark != NULL ? out.mark[k] : 0;
            if (mark != cases[i].marks[k] - '0') {
                fail_msg("'%s': byte %zu has mark %d", cases[i].source, k, mark);
            }
        }
        rl_arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden),   cmocka_unit_test(test_all_golden),
        cmocka_unit_test(test_language), cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lines),    cmocka_unit_test(test_now),
        cmocka_unit_test(test_marks),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
