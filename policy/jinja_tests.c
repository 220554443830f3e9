/* Tests: what may stand behind "is". */
#include <string.h>

#include "policy/jinja_methods.h"
#include "rl/core/unicode.h"

typedef rl_jinja_value value;

#define IS(name, expression)                                                                       \
    static rl_status name(rl_jinja_run *run, const rl_jinja_args *in, value *out) {                \
        const value *v = &in->arg[0];                                                              \
        (void)run;                                                                                 \
        *out = rl_jinja_bool(expression);                                                          \
        return RL_OK;                                                                              \
    }

IS(is_defined, v->type != RL_JINJA_UNDEFINED)
IS(is_undefined, v->type == RL_JINJA_UNDEFINED)
IS(is_none, v->type == RL_JINJA_NONE)
IS(is_boolean, v->type == RL_JINJA_BOOL)
IS(is_true, v->type == RL_JINJA_BOOL && v->as.truth)
IS(is_false, v->type == RL_JINJA_BOOL && !v->as.truth)
IS(is_integer, v->type == RL_JINJA_INT)
IS(is_float, v->type == RL_JINJA_FLOAT)
IS(is_number, rl_jinja_is_number(v))
IS(is_string, v->type == RL_JINJA_TEXT)
IS(is_mapping, v->type == RL_JINJA_DICT)
IS(is_callable, v->type == RL_JINJA_CALLABLE || v->type == RL_JINJA_UNDEFINED)
// An undefined value walks as an empty list and has a length.
IS(is_iterable, v->type == RL_JINJA_TEXT || v->type == RL_JINJA_LIST || v->type == RL_JINJA_DICT ||
                    v->type == RL_JINJA_UNDEFINED || v->type == RL_JINJA_LOOP)
IS(is_sequence, v->type == RL_JINJA_TEXT || v->type == RL_JINJA_DICT ||
                    v->type == RL_JINJA_UNDEFINED ||
                    (v->type == RL_JINJA_LIST && v->as.list->kind != RL_JINJA_IS_LAZY))
IS(is_escaped, v == NULL) // nothing is marked up without autoescape
IS(is_filter, v->type == RL_JINJA_TEXT && rl_jinja_find_filter(v->as.text) != NULL)
IS(is_test, v->type == RL_JINJA_TEXT && rl_jinja_find_test(v->as.text) != NULL)

// Comparisons under their names.
#define COMPARES(name, op)                                                                         \
    static rl_status name(rl_jinja_run *run, const rl_jinja_args *in, value *out) {                \
        bool holds;                                                                                \
        rl_status status = rl_jinja_compare(run, op, &in->arg[0], &in->arg[1], &holds);            \
        *out = rl_jinja_bool(status == RL_OK && holds);                                            \
        return status;                                                                             \
    }

COMPARES(is_eq, RL_JINJA_EQ)
COMPARES(is_ne, RL_JINJA_NE)
COMPARES(is_lt, RL_JINJA_LT)
COMPARES(is_le, RL_JINJA_LE)
COMPARES(is_gt, RL_JINJA_GT)
COMPARES(is_ge, RL_JINJA_GE)
COMPARES(is_in, RL_JINJA_IN)

static rl_status is_sameas(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value *a = &in->arg[0], *b = &in->arg[1];
    bool same = a->type == b->type;
    rl_status status = RL_OK;
    if (same && (a->type == RL_JINJA_LIST || a->type == RL_JINJA_DICT)) {
        same = a->type == RL_JINJA_LIST ? a->as.list == b->as.list : a->as.dict == b->as.dict;
    } else if (same) {
        status = rl_jinja_equal(run, a, b, &same);
    }
    *out = rl_jinja_bool(same);
    return status;
}

static rl_status remainder_of(rl_jinja_run *run, const value *v, const value *by, value *out) {
    if (!rl_jinja_is_number(v)) {
        return v->type == RL_JINJA_UNDEFINED
                   ? rl_jinja_fail_undefined(run, v)
                   : rl_jinja_fail(run, "a %s has no remainder", rl_jinja_type_name(v));
    }
    return rl_jinja_binary(run, RL_JINJA_MOD, v, by, out);
}

static rl_status is_divisible(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_status status = remainder_of(run, &in->arg[0], &in->arg[1], out);
    *out = rl_jinja_bool(status == RL_OK && !rl_jinja_is_true(out));
    return status;
}

static rl_status is_odd(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value two = rl_jinja_int(2);
    rl_status status = remainder_of(run, &in->arg[0], &two, out);
    *out = rl_jinja_bool(status == RL_OK && rl_jinja_is_true(out));
    return status;
}

static rl_status is_even(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_status status = is_odd(run, in, out);
    *out = rl_jinja_bool(!rl_jinja_is_true(out));
    return status;
}

static rl_status has_case(rl_jinja_run *run, const value *v, bool upper, value *out) {
    rl_jinja_text text;
    bool letters = false, holds = true;
    rl_status status = rl_jinja_str(run, v, &text);
    for (size_t at = 0, end; status == RL_OK && at < text.len && holds; at = end) {
        uint32_t code = 0;
        end = rl_jinja_char_end(text, at);
        if (rl_utf8_decode(text.ptr + at, end - at, &code) > 0) {
            letters |= rl_jinja_char_is(code, upper ? RL_JINJA_UPPERS : RL_JINJA_LOWERS);
            holds = !rl_jinja_char_is(code, upper ? RL_JINJA_LOWERS : RL_JINJA_UPPERS) &&
                    rl_unicode_case_of(code) != RL_CASE_TITLE;
        }
    }
    *out = rl_jinja_bool(letters && holds);
    return status;
}

static rl_status is_lower(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return has_case(run, &in->arg[0], false, out);
}

static rl_status is_upper(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return has_case(run, &in->arg[0], true, out);
}

static const rl_jinja_func tests[] = {
    {"boolean", "", is_boolean},     {"callable", "", is_callable},
    {"defined", "", is_defined},     {"divisibleby", "num", is_divisible},
    {"eq", "other", is_eq},          {"equalto", "other", is_eq},
    {"==", "other", is_eq},          {"escaped", "", is_escaped},
    {"even", "", is_even},           {"false", "", is_false},
    {"filter", "", is_filter},       {"float", "", is_float},
    {"ge", "other", is_ge},          {">=", "other", is_ge},
    {"greaterthan", "other", is_gt}, {"gt", "other", is_gt},
    {">", "other", is_gt},           {"in", "seq", is_in},
    {"integer", "", is_integer},     {"iterable", "", is_iterable},
    {"le", "other", is_le},          {"<=", "other", is_le},
    {"lessthan", "other", is_lt},    {"lower", "", is_lower},
    {"lt", "other", is_lt},          {"<", "other", is_lt},
    {"mapping", "", is_mapping},     {"ne", "other", is_ne},
    {"!=", "other", is_ne},          {"none", "", is_none},
    {"number", "", is_number},       {"odd", "", is_odd},
    {"sameas", "other", is_sameas},  {"sequence", "", is_sequence},
    {"string", "", is_string},       {"test", "", is_test},
    {"true", "", is_true},           {"undefined", "", is_undefined},
    {"upper", "", is_upper},
};

const rl_jinja_func *rl_jinja_find_test(rl_jinja_text name) {
    return rl_jinja_find_in(tests, sizeof tests / sizeof tests[0], name);
}
