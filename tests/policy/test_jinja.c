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

/* The family of docs/families.md that a published template belongs to, and its cases so far. */
typedef struct owner {
    const char *template, *family, *name;
    int n_cases;
} owner;

static size_t check_cases(const char *cases, const char *folder, owner *owners, size_t n_owners) {
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
        for (size_t i = 0; i < n_owners; i++) {
            owners[i].n_cases += strcmp(owners[i].template, name) == 0;
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
    assert_true(check_cases(rl_golden("chat/cases.json"), rl_golden("chat"), NULL, 0) >= 25);
}

static void test_all_golden(void **state) {
    owner owners[] = {
        {"mistralai-Mistral-Nemo-Instruct-2407.jinja", "mistral", "Mistral Nemo", 0},
        {"Qwen-Qwen2.5-7B-Instruct.jinja", "qwen2", "Qwen2.5", 0},
        {"Qwen-QwQ-32B.jinja", "qwen2", "QwQ", 0},
        {"deepseek-ai-DeepSeek-R1-Distill-Qwen-32B.jinja", "qwen2", "R1 Distill Qwen", 0},
        {"Qwen-Qwen3-0.6B.jinja", "qwen3", "Qwen3", 0},
        {"HuggingFaceTB-SmolLM3-3B.jinja", "smollm3", "SmolLM3", 0},
        {"microsoft-Phi-3.5-mini-instruct.jinja", "phi3", "Phi-3.5", 0},
    };
    (void)state;
    if (rl_shared("data/chat-templates/golden.json") == NULL) {
        rl_test_skip_shared("data/chat-templates/golden.json");
        return;
    }
    assert_int_equal(check_cases(rl_shared("data/chat-templates/golden.json"),
                                 rl_shared("data/chat-templates"), owners, RL_COUNT(owners)),
                     154);
    for (size_t i = 0; i < RL_COUNT(owners); i++) {
        const owner *o = &owners[i];
        assert_true(o->n_cases > 0);
        print_message("families: %s | templates | %d of %d (%s)\n", o->family, o->n_cases,
                      o->n_cases, o->name);
    }
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

// What looks through a long text, a list or a dict is charged for it: 50 times is too much.
static void test_work_is_charged(void **state) {
    (void)state;
    static const char *const work[] = {
        "b == c",
        "b < c",
        "b in [c]",
        "b is eq(c)",
        "b is sameas c",
        "[c].index(c)",
        "[c].count(b)",
        "{c: 1}[b]",
        "b in {c: 1}",
        "{c: 1}.get(b)",
        "{'x': c} == {'x': b}",
        "[b, 1] < [c, 2]",
        "'x' in b",
        "b in c",
        "b.find('x')",
        "b.rfind('x')",
        "b.count('x')",
        "b.split('x')",
        "b.rsplit('x', 1)",
        "b.replace('x', '')",
        "b|replace('x', '')",
        "b.partition('x')",
        "b.rpartition('x')",
        "b.strip('a')",
        "'a'.strip(b)",
        "b.startswith(c)",
        "b.endswith((c, c))",
        "b.removeprefix(c)",
        "b.isalpha()",
        "b.isdigit()",
        "b.isupper()",
        "b is upper",
        "b is lower",
        "b|wordcount",
        "b|length",
        "b[7]",
        "b[2:9]",
        "b.splitlines()",
        "b.rsplit(c, 1)",
        "b|int",
        "[b, c]|sort",
        "[b, c]|max",
        "[b, c]|unique|list",
        "[b]|map('length')|list",
        "[b]|select('upper')|list",
        "big == like",
        "big in [like]",
        "like in [big]",
        "big.index(20000)",
        "big.count(3)",
        "0 in big",
        "big|unique|list",
        "many == same",
        "many.get(0)",
        "0 in many",
    };
    const rl_jinja_limits small = {
        .steps = 300000, .bytes = 1 << 28, .output = 1 << 26, .depth = 1200};
    const size_t len = 1000000, n = 20000;
    rl_arena *arena = rl_arena_new(0);
    char *text[2] = {rl_arena_alloc(arena, len, 1), rl_arena_alloc(arena, len, 1)};
    memset(text[0], 'a', len);
    memset(text[1], 'a', len);
    rl_jinja_var var[] = {{"b", rl_jinja_marked(arena, text[0], len, 0)},
                          {"c", rl_jinja_marked(arena, text[1], len, 0)},
                          {"big", rl_jinja_new_list(arena, n, RL_JINJA_IS_LIST)},
                          {"like", rl_jinja_new_list(arena, n, RL_JINJA_IS_LIST)},
                          {"many", rl_jinja_new_dict(arena, n)},
                          {"same", rl_jinja_new_dict(arena, n)}};
    for (size_t i = 0; i < n; i++) {
        for (int k = 0; k < 2; k++) {
            rl_jinja_push(arena, var[2 + k].value, rl_jinja_int((int64_t)i + 1));
            rl_jinja_dict *dict = var[4 + k].value.as.dict;
            dict->entry[dict->n++] =
                (rl_jinja_entry){rl_jinja_int((int64_t)i + 1), rl_jinja_int(7)};
        }
    }
    for (size_t i = 0; i < RL_COUNT(work); i++) {
        rl_arena *own = rl_arena_new(0);
        rl_jinja *jinja = NULL;
        rl_jinja_text out;
        rl_err err = {""};
        const char *source = rl_arena_printf(
            own, "{%% for i in range(50) %%}{%% if %s %%}{%% endif %%}{%% endfor %%}", work[i]);
        assert_ok(rl_jinja_parse("test", source, strlen(source), &jinja, &err));
        rl_status status =
            rl_jinja_render(jinja, var, RL_COUNT(var), &noon, &small, own, &out, &err);
        if (status == RL_OK || strstr(err.text, "steps") == NULL) {
            fail_msg("'%s' says '%s'", work[i], err.text);
        }
        rl_jinja_free(jinja);
        rl_arena_free(own);
    }
    rl_arena_free(arena);
}

// Values that share their parts hold more of them than there is time to compare.
static void test_shared_parts(void **state) {
    (void)state;
    static const char *const uses[] = {
        "ns.a == ns.b",
        "ns.a != ns.b",
        "ns.a in [ns.b]",
        "[ns.b].index(ns.a)",
        "[ns.b].count(ns.a)",
        "[ns.a, ns.b]|unique|list",
        "ns.a < ns.b",
        "[ns.a, ns.b]|sort",
        "[ns.a, ns.b]|max",
        "ns.a is eq(ns.b)",
        "ns.a is in([ns.b])",
        "[ns.b]|select('eq', ns.a)|list",
        "{'k': ns.a} == {'k': ns.b}",
        "{1: {2: ns.a}} in [{1: {2: ns.b}}]",
        "ns.a|string",
        "ns.a|tojson",
    };
    static const char *const kinds[][2] = {{"[ns.a, ns.a]", "[ns.b, ns.b]"},
                                           {"(ns.a, ns.a)", "(ns.b, ns.b)"},
                                           {"{1: ns.a, 2: ns.a}", "{1: ns.b, 2: ns.b}"}};
    const rl_jinja_limits small = {
        .steps = 1000000, .bytes = 1 << 28, .output = 1 << 18, .depth = 1200};
    for (size_t i = 0; i < RL_COUNT(uses) * RL_COUNT(kinds); i++) {
        const char *use = uses[i / RL_COUNT(kinds)], *const *kind = kinds[i % RL_COUNT(kinds)];
        rl_arena *arena = rl_arena_new(0);
        rl_jinja_text out;
        rl_err err = {""};
        const char *source = rl_arena_printf(
            arena,
            "{%% set ns = namespace(a=[0], b=[0]) %%}{%% for i in range(60) %%}"
            "{%% set ns.a = %s %%}{%% set ns.b = %s %%}{%% endfor %%}{%% if %s %%}{%% endif %%}",
            kind[0], kind[1], use);
        rl_status status = render(source, &small, arena, &out, &err);
        if (status == RL_OK ||
            (strstr(err.text, "steps") == NULL && strstr(err.text, "does not take") == NULL &&
             strstr(err.text, "a text of over") == NULL)) {
            fail_msg("'%s' of %s says '%s'", use, kind[0], err.text);
        }
        rl_arena_free(arena);
    }
}

// All that a rendering takes from the arena counts, however small its parts.
static void test_memory_is_charged(void **state) {
    (void)state;
    static const char *const makes[] = {
        "{% set x = {} %}",
        "{% set x = [] %}",
        "{% set x = () %}",
        "{% set x = {1: 2} %}",
        "{% set x = range %}",
        "{% set x = t.strip %}",
        "{% set x = dict(a=1) %}",
        "{% set x = namespace() %}",
        "{% set x = t.format() %}",
        "{% set x = []|list %}",
        "{% set x = {}.items() %}",
        "{% set x = ''|list %}",
        "{% set x = [[]]|map('first') %}",
        "{% macro m() %}{% endmacro %}",
        "{% with a = 1 %}{% endwith %}",
        "{% generation %}{% endgeneration %}",
        "{% set x %}{% endset %}",
        "{% call f() %}{% endcall %}",
        "{% for y in [] %}{% else %}{% endfor %}",
        "{% for y in t if y %}{% endfor %}",
        "{% set x = 'a b'.split() %}",
        "{% set x = t[[]] %}",
        "{% set x = t|batch(1) %}",
        "{% set x = 'aab'.rfind('ab') %}",
    };
    const rl_jinja_limits small = {
        .steps = 50000000, .bytes = 1 << 20, .output = 1 << 18, .depth = 1200};
    for (size_t i = 0; i < RL_COUNT(makes); i++) {
        rl_arena *arena = rl_arena_new(0);
        rl_str source = {0};
        rl_jinja_text out;
        rl_err err = {""};
        rl_str_append(&source, "{% macro f() %}{% endmacro %}{% for i in range(5000) %}");
        for (int k = 0; k < 50; k++) {
            rl_str_append(&source, makes[i]);
        }
        rl_str_append(&source, "{% endfor %}");
        rl_status status = render(rl_str_text(&source), &small, arena, &out, &err);
        if (status == RL_OK || strstr(err.text, "bytes") == NULL ||
            rl_arena_used(arena) > (size_t)small.bytes * 3 / 2) {
            fail_msg("'%s' takes %zu bytes and says '%s'", makes[i], rl_arena_used(arena),
                     err.text);
        }
        rl_str_release(&source);
        rl_arena_free(arena);
    }
}

// From behind as from the front; the values are Python's.
static void test_numbers_and_searches(void **state) {
    (void)state;
    static const struct {
        const char *source, *want;
    } cases[] = {
        {"{{ 'abcabcab'.rfind('abc') }} {{ 'aaaa'.rfind('aa') }} {{ 'ab'.rfind('') }}", "3 2 2"},
        {"{{ 'ab'.rfind('abc') }} {{ ''.rfind('a') }} {{ ''.rfind('') }}", "-1 -1 0"},
        {"{{ 'abababaab'.rfind('aba') }} {{ 'xabaabaabab'.rfind('abaab') }}", "4 4"},
        {"{{ 'aaaa'.rsplit('aa', 1) }} {{ 'xaaa'.rsplit('aa', 5) }}", "['aa', ''] ['xa', '']"},
        {"{{ 'a--b--c'.rpartition('--') }} {{ 'abc'.rpartition('-') }}",
         "('a--b', '--', 'c') ('', '', 'abc')"},
        {"{{ 15|round(-1) }} {{ 25|round(-1) }} {{ -25|round(-1) }} {{ 26|round(-1) }}",
         "20 20 -20 30"},
        {"{{ 9223372036854775307|round(-3) }} {{ 9007199254740993|round(-1) }}",
         "9223372036854775000 9007199254740990"},
        {"{{ 5000000000000000000|round(-19) }} {{ 9223372036854775807|round(-20) }}", "0 0"},
        {"{{ true|round(-1) }}", "0"},
        {"{{ '中文'.isalpha() }} {{ 'É' is upper }} {{ 'é' is lower }} {{ 'ßa' is lower }}",
         "True True True True"},
        {"{{ 'É1'.isupper() }} {{ '中'.isupper() }} {{ 'ǅ' is upper }} {{ 'Éé' is upper }}",
         "True False False False"},
        {"{{ 'Ⅷ' is upper }} {{ 'ª' is lower }} {{ '²'.isdigit() }} {{ '²'.isdecimal() }}",
         "True True True False"},
        {"{{ '٣'.isdigit() }} {{ '٣'.isdecimal() }} {{ '½'.isnumeric() }} {{ '½'.isdigit() }}",
         "True True True False"},
        {"{{ '三'.isnumeric() }} {{ '三½a'.isalnum() }} {{ '三½ '.isalnum() }} {{ ''.isalpha() }}",
         "True True False False"},
        {"{{ 'a\xe2\x80\xa8"
         "b\x0c"
         "c\x1c"
         "d\xc2\x85"
         "e\r\nf\x0b'.splitlines() }}",
         "['a', 'b', 'c', 'd', 'e', 'f']"},
        {"{{ 'a\xe2\x80\xa9"
         "b\\r\\nc'.splitlines(true)|map('length')|list }}",
         "[2, 3, 1]"},
        {"{{ '中文，好 a_b é'|wordcount }}", "4"},
        {"{{ '9223372036854775807'|int }} {{ '-9_0'|int }} {{ '3.9'|int }} {{ 'inf'|int(5) }}",
         "9223372036854775807 -90 3 5"},
        {"{% for x in [1, 1, 2, 2, 1] %}{{ loop.changed(x) }} {% endfor %}",
         "True False True False True "},
        {"{% for x in [[1], [1]] %}{{ loop.changed(x, 2) }}{{ loop.changed(x, 2) }} {% endfor %}",
         "TrueFalse FalseFalse "},
        {"{% for x in [1, 1] %}{% for y in [3, 3] %}{{ loop.changed(y) }}{% endfor %}"
         "{{ loop.changed() }} {% endfor %}",
         "TrueFalseTrue TrueFalseFalse "},
    };
    static const refusal refused[] = {
        {"{{ 9223372036854775807 | round(-19) }}", "an integer is too large"},
        {"{{ -9223372036854775807 | round(-19) }}", "an integer is too large"},
        {"{{ 9223372036854775807 | round(-1) }}", "an integer is too large"},
        {"{{ '99999999999999999999'|int }}", "an integer is too large"},
        {"{{ '-99999999999999999999'|int(7) }}", "an integer is too large"},
        {"{{ 'fffffffffffffffff'|int(0, 16) }}", "an integer is too large"},
        {"{{ 1e30|int }}", "an integer is too large"},
        {"{{ '1e30'|int }}", "an integer is too large"},
    };
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_arena *arena = rl_arena_new(0);
        rl_jinja_text out = {"", 0, NULL};
        rl_err err = {""};
        assert_ok(render(cases[i].source, &rl_jinja_default_limits, arena, &out, &err));
        if (!rl_jinja_text_is(out, cases[i].want)) {
            fail_msg("%s gives %.*s, not %s", cases[i].source, (int)out.len, out.ptr,
                     cases[i].want);
        }
        rl_arena_free(arena);
    }
    assert_refused(refused, RL_COUNT(refused), &rl_jinja_default_limits);
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
        cmocka_unit_test(test_golden),
        cmocka_unit_test(test_all_golden),
        cmocka_unit_test(test_language),
        cmocka_unit_test(test_limits),
        cmocka_unit_test(test_lines),
        cmocka_unit_test(test_now),
        cmocka_unit_test(test_marks),
        cmocka_unit_test(test_work_is_charged),
        cmocka_unit_test(test_shared_parts),
        cmocka_unit_test(test_memory_is_charged),
        cmocka_unit_test(test_numbers_and_searches),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
