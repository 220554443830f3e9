/* Operators, look-ups and slices: what Python's data model does with them. */
#include <math.h>
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

static const char *symbol_of(rl_jinja_op op) {
    static const char *const names[] = {"+",  "-",  "*", "/",  "//", "%",  "**", "~",
                                        "==", "!=", "<", "<=", ">",  ">=", "in", "not in"};
    return names[op];
}

static rl_status mismatch(rl_jinja_run *run, rl_jinja_op op, const value *a, const value *b) {
    if (a->type == RL_JINJA_UNDEFINED || b->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, a->type == RL_JINJA_UNDEFINED ? a : b);
    }
    return rl_jinja_fail(run, "'%s' does not take a %s and a %s", symbol_of(op),
                         rl_jinja_type_name(a), rl_jinja_type_name(b));
}

static int64_t integer_of(const value *v) {
    return v->type == RL_JINJA_BOOL ? (int64_t)v->as.truth : v->as.integer;
}

static double real_of(const value *v) {
    return v->type == RL_JINJA_FLOAT ? v->as.real : (double)integer_of(v);
}

// Python rounds a quotient down and gives the remainder the divisor's sign.
static rl_status divide_integers(rl_jinja_run *run, rl_jinja_op op, int64_t x, int64_t y,
                                 int64_t *out) {
    if (x == INT64_MIN && y == -1) {
        return rl_jinja_fail(run, "an integer is too large; 64 bits are covered");
    }
    int64_t quotient = x / y, rest = x % y;
    if (rest != 0 && (rest < 0) != (y < 0)) {
        quotient--;
        rest += y;
    }
    *out = op == RL_JINJA_MOD ? rest : quotient;
    return RL_OK;
}

static rl_status power_integers(rl_jinja_run *run, int64_t x, int64_t y, int64_t *out) {
    int64_t made = 1;
    bool fits = true;
    if (x == 0 || x == 1 || x == -1) { // the only ones with large powers
        *out = y == 0 ? 1 : x == -1 && y % 2 == 0 ? 1 : x;
        return RL_OK;
    }
    for (; y > 0 && fits; y--) {
        fits = !__builtin_mul_overflow(made, x, &made);
    }
    *out = made;
    return fits ? RL_OK : rl_jinja_fail(run, "an integer is too large; 64 bits are covered");
}

static rl_status integers(rl_jinja_run *run, rl_jinja_op op, int64_t x, int64_t y, value *out) {
    int64_t made = 0;
    bool over = false;
    rl_status status = RL_OK;
    if (op == RL_JINJA_ADD) {
        over = __builtin_add_overflow(x, y, &made);
    } else if (op == RL_JINJA_SUB) {
        over = __builtin_sub_overflow(x, y, &made);
    } else if (op == RL_JINJA_MUL) {
        over = __builtin_mul_overflow(x, y, &made);
    } else if (op == RL_JINJA_POW) {
        status = power_integers(run, x, y, &made);
    } else {
        status = divide_integers(run, op, x, y, &made);
    }
    *out = rl_jinja_int(made);
    return over ? rl_jinja_fail(run, "an integer is too large; 64 bits are covered") : status;
}

static double reals(rl_jinja_op op, double x, double y) {
    if (op == RL_JINJA_MOD) {
        double rest = fmod(x, y);
        return rest != 0 && (rest < 0) != (y < 0) ? rest + y : rest;
    }
    return op == RL_JINJA_ADD         ? x + y
           : op == RL_JINJA_SUB       ? x - y
           : op == RL_JINJA_MUL       ? x * y
           : op == RL_JINJA_DIV       ? x / y
           : op == RL_JINJA_FLOOR_DIV ? floor(x / y)
                                      : pow(x, y);
}

static rl_status numbers(rl_jinja_run *run, rl_jinja_op op, const value *a, const value *b,
                         value *out) {
    bool divides = op == RL_JINJA_DIV || op == RL_JINJA_FLOOR_DIV || op == RL_JINJA_MOD;
    if (divides && real_of(b) == 0) {
        return rl_jinja_fail(run, "division by zero");
    }
    bool whole = a->type != RL_JINJA_FLOAT && b->type != RL_JINJA_FLOAT && op != RL_JINJA_DIV &&
                 !(op == RL_JINJA_POW && integer_of(b) < 0);
    if (whole) {
        return integers(run, op, integer_of(a), integer_of(b), out);
    }
    *out = rl_jinja_real(reals(op, real_of(a), real_of(b)));
    return RL_OK;
}

static rl_status join_lists(rl_jinja_run *run, const rl_jinja_list *a, const rl_jinja_list *b,
                            value *out) {
    rl_status status = rl_jinja_charge(run, (a->n + b->n) * sizeof *a->item);
    if (status != RL_OK) {
        return status;
    }
    *out = rl_jinja_new_list(run->arena, a->n + b->n, a->kind);
    for (size_t i = 0; i < a->n; i++) {
        rl_jinja_push(run->arena, *out, a->item[i]);
    }
    for (size_t i = 0; i < b->n; i++) {
        rl_jinja_push(run->arena, *out, b->item[i]);
    }
    return RL_OK;
}

static rl_status join_texts(rl_jinja_run *run, text a, text b, value *out) {
    rl_jinja_builder made = {0};
    rl_status status = RL_OK;
    if (a.len == 0 || b.len == 0) {
        *out = rl_jinja_of_text(a.len == 0 ? b : a);
        return RL_OK;
    }
    status = rl_jinja_append(run, &made, a);
    if (status == RL_OK) {
        status = rl_jinja_append(run, &made, b);
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

// text * n and list * n
static rl_status repeat(rl_jinja_run *run, const value *what, int64_t n, value *out) {
    rl_jinja_builder made = {0};
    rl_status status = RL_OK;
    if (what->type == RL_JINJA_TEXT) {
        for (int64_t i = 0; i < n && status == RL_OK && what->as.text.len > 0; i++) {
            status = rl_jinja_append(run, &made, what->as.text);
            status = status == RL_OK ? rl_jinja_step(run, 1) : status;
        }
        *out = rl_jinja_of_text(rl_jinja_built(&made));
        return status;
    }
    *out = rl_jinja_new_list(run->arena, 0, what->as.list->kind);
    for (int64_t i = 0; i < n && status == RL_OK && what->as.list->n > 0; i++) {
        status = rl_jinja_charge(run, 2 * what->as.list->n * sizeof *out);
        for (size_t k = 0; k < what->as.list->n && status == RL_OK; k++) {
            rl_jinja_push(run->arena, *out, what->as.list->item[k]);
        }
    }
    return status;
}

static bool is_plain_list(const value *v) {
    return v->type == RL_JINJA_LIST && v->as.list->kind != RL_JINJA_IS_LAZY;
}

rl_status rl_jinja_binary(rl_jinja_run *run, rl_jinja_op op, const value *a, const value *b,
                          value *out) {
    if (op == RL_JINJA_CONCAT) {
        text x, y;
        rl_status status = rl_jinja_str(run, a, &x);
        if (status == RL_OK) {
            status = rl_jinja_str(run, b, &y);
        }
        return status == RL_OK ? join_texts(run, x, y, out) : status;
    }
    if (rl_jinja_is_number(a) && rl_jinja_is_number(b)) {
        return numbers(run, op, a, b, out);
    }
    if (op == RL_JINJA_ADD && a->type == RL_JINJA_TEXT && b->type == RL_JINJA_TEXT) {
        return join_texts(run, a->as.text, b->as.text, out);
    }
    if (op == RL_JINJA_ADD && is_plain_list(a) && is_plain_list(b) &&
        a->as.list->kind == b->as.list->kind) {
        return join_lists(run, a->as.list, b->as.list, out);
    }
    if (op == RL_JINJA_MUL && (a->type == RL_JINJA_TEXT || is_plain_list(a)) &&
        rl_jinja_is_number(b) && b->type != RL_JINJA_FLOAT) {
        return repeat(run, a, integer_of(b), out);
    }
    if (op == RL_JINJA_MUL && (b->type == RL_JINJA_TEXT || is_plain_list(b)) &&
        rl_jinja_is_number(a) && a->type != RL_JINJA_FLOAT) {
        return repeat(run, b, integer_of(a), out);
    }
    if (op == RL_JINJA_MOD && a->type == RL_JINJA_TEXT) {
        bool several = b->type == RL_JINJA_LIST && b->as.list->kind == RL_JINJA_IS_TUPLE;
        rl_jinja_args args = {.arg = several ? b->as.list->item : b,
                              .n = several ? b->as.list->n : 1};
        return rl_jinja_format_percent(run, a->as.text, &args, out);
    }
    return mismatch(run, op, a, b);
}

static int order_texts(text a, text b) {
    size_t n = a.len < b.len ? a.len : b.len;
    int order = n > 0 ? memcmp(a.ptr, b.ptr, n) : 0; // UTF-8 sorts as its characters do
    return order != 0 ? order : (a.len > b.len) - (a.len < b.len);
}

// <, <=, >, >=: between numbers, texts, and lists of one kind.
static rl_status ordered(rl_jinja_run *run, rl_jinja_op op, const value *a, const value *b,
                         bool *out) {
    int order;
    if (rl_jinja_is_number(a) && rl_jinja_is_number(b)) {
        double x = real_of(a), y = real_of(b);
        if (x != x || y != y) {
            *out = false;
            return RL_OK;
        }
        order = a->type == RL_JINJA_FLOAT || b->type == RL_JINJA_FLOAT
                    ? (x > y) - (x < y)
                    : (integer_of(a) > integer_of(b)) - (integer_of(a) < integer_of(b));
    } else if (a->type == RL_JINJA_TEXT && b->type == RL_JINJA_TEXT) {
        size_t most = a->as.text.len < b->as.text.len ? a->as.text.len : b->as.text.len;
        rl_status status = rl_jinja_step(run, most / RL_JINJA_STEP_BYTES);
        if (status != RL_OK) {
            return status;
        }
        order = order_texts(a->as.text, b->as.text);
    } else if (is_plain_list(a) && is_plain_list(b) && a->as.list->kind == b->as.list->kind) {
        const rl_jinja_list *x = a->as.list, *y = b->as.list;
        for (size_t i = 0; i < x->n && i < y->n; i++) {
            rl_status status = rl_jinja_step(run, 1);
            bool same = false;
            if (status == RL_OK) {
                status = rl_jinja_equal(run, &x->item[i], &y->item[i], &same);
            }
            if (status != RL_OK || !same) {
                return status == RL_OK ? ordered(run, op, &x->item[i], &y->item[i], out) : status;
            }
        }
        order = (x->n > y->n) - (x->n < y->n);
    } else {
        return mismatch(run, op, a, b);
    }
    *out = op == RL_JINJA_LT   ? order < 0
           : op == RL_JINJA_LE ? order <= 0
           : op == RL_JINJA_GT ? order > 0
                               : order >= 0;
    return RL_OK;
}

static rl_status contains(rl_jinja_run *run, const value *part, const value *whole, bool *out) {
    const value *found = NULL;
    rl_status status = RL_OK;
    *out = false;
    switch (whole->type) {
    case RL_JINJA_TEXT:
        if (part->type != RL_JINJA_TEXT) {
            return mismatch(run, RL_JINJA_IN, part, whole);
        }
        status = rl_jinja_step(run, (whole->as.text.len + part->as.text.len) / RL_JINJA_STEP_BYTES);
        *out = status == RL_OK && rl_jinja_find_part(whole->as.text, part->as.text, 0) != SIZE_MAX;
        return status;
    case RL_JINJA_LIST:
        for (size_t i = 0; i < whole->as.list->n && !*out && status == RL_OK; i++) {
            status = rl_jinja_equal(run, &whole->as.list->item[i], part, out);
        }
        return status;
    case RL_JINJA_DICT:
        status = rl_jinja_look_up(run, whole->as.dict, part, &found);
        *out = found != NULL;
        return status;
    case RL_JINJA_UNDEFINED:
        return RL_OK; // walks as an empty list
    case RL_JINJA_ABSENT:
    case RL_JINJA_NONE:
    case RL_JINJA_BOOL:
    case RL_JINJA_INT:
    case RL_JINJA_FLOAT:
    case RL_JINJA_NAMESPACE:
    case RL_JINJA_LOOP:
    case RL_JINJA_CALLABLE:
        break;
    }
    return rl_jinja_fail(run, "'in' looks into a %s", rl_jinja_type_name(whole));
}

rl_status rl_jinja_compare(rl_jinja_run *run, rl_jinja_op op, const value *a, const value *b,
                           bool *out) {
    rl_status status = RL_OK;
    if (op == RL_JINJA_EQ || op == RL_JINJA_NE) {
        status = rl_jinja_equal(run, a, b, out);
        *out = *out == (op == RL_JINJA_EQ);
        return status;
    }
    if (op == RL_JINJA_IN || op == RL_JINJA_NOT_IN) {
        status = contains(run, a, b, out);
        *out = *out == (op == RL_JINJA_IN);
        return status;
    }
    return ordered(run, op, a, b, out);
}

rl_status rl_jinja_items(rl_jinja_run *run, const value *v, rl_jinja_list **out) {
    value made;
    rl_status status;
    if (v->type == RL_JINJA_LIST) {
        *out = v->as.list;
        if (v->as.list->spent) {
            *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST).as.list;
        }
        v->as.list->spent = v->as.list->kind == RL_JINJA_IS_LAZY;
        return RL_OK;
    }
    if (v->type == RL_JINJA_TEXT) {
        text t = v->as.text;
        status = rl_jinja_charge(run, t.len * sizeof made);
        if (status != RL_OK) {
            return status;
        }
        made = rl_jinja_new_list(run->arena, t.len, RL_JINJA_IS_LIST);
        for (size_t at = 0, end; at < t.len; at = end) {
            end = rl_jinja_char_end(t, at);
            rl_jinja_push(run->arena, made, rl_jinja_of_text(rl_jinja_cut(t, at, end)));
        }
    } else if (v->type == RL_JINJA_DICT) {
        const rl_jinja_dict *dict = v->as.dict;
        status = rl_jinja_charge(run, dict->n * sizeof made);
        if (status != RL_OK) {
            return status;
        }
        made = rl_jinja_new_list(run->arena, dict->n, RL_JINJA_IS_LIST);
        for (size_t i = 0; i < dict->n; i++) {
            rl_jinja_push(run->arena, made, dict->entry[i].key);
        }
    } else if (v->type == RL_JINJA_UNDEFINED) {
        made = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    } else {
        return rl_jinja_fail(run, "a %s cannot be walked", rl_jinja_type_name(v));
    }
    *out = made.as.list;
    return RL_OK;
}

// A negative index counts from the end; SIZE_MAX when outside.
static size_t place(int64_t index, size_t n) {
    int64_t at = index < 0 ? index + (int64_t)n : index;
    return at >= 0 && at < (int64_t)n ? (size_t)at : SIZE_MAX;
}

static value missing(rl_jinja_run *run, const value *object, const value *key) {
    if (key->type == RL_JINJA_TEXT) {
        return rl_jinja_undefined(key->as.text.ptr, key->as.text.len, rl_jinja_type_name(object));
    }
    rl_jinja_builder name = {0};
    bool printed = rl_jinja_repr(run, &name, key) == RL_OK;
    text t = printed ? rl_jinja_built(&name) : (text){"", 0, NULL};
    return rl_jinja_undefined(t.ptr, t.len, rl_jinja_type_name(object));
}

rl_status rl_jinja_get_item(rl_jinja_run *run, const value *object, const value *key, value *out) {
    rl_status status;
    if (object->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, object);
    }
    if (object->type == RL_JINJA_DICT) {
        const value *found;
        status = rl_jinja_look_up(run, object->as.dict, key, &found);
        if (status != RL_OK || found != NULL) {
            *out = found != NULL ? *found : *out;
            return status;
        }
    } else if (key->type == RL_JINJA_INT || key->type == RL_JINJA_BOOL) {
        if (is_plain_list(object)) {
            size_t at = place(integer_of(key), object->as.list->n);
            if (at != SIZE_MAX) {
                *out = object->as.list->item[at];
                return RL_OK;
            }
        } else if (object->type == RL_JINJA_TEXT) {
            text t = object->as.text;
            status = rl_jinja_step(run, t.len / RL_JINJA_STEP_BYTES);
            size_t at = status == RL_OK ? place(integer_of(key), rl_jinja_chars(t)) : SIZE_MAX;
            if (at != SIZE_MAX) {
                at = rl_jinja_char_at(t, at);
                *out = rl_jinja_of_text(rl_jinja_cut(t, at, rl_jinja_char_end(t, at)));
            }
            if (at != SIZE_MAX || status != RL_OK) {
                return status;
            }
        }
    }
    if (key->type == RL_JINJA_TEXT) { // a text that is no key may name an attribute
        return rl_jinja_get_attribute(run, object, key->as.text, out);
    }
    *out = missing(run, object, key);
    return RL_OK;
}

static bool loop_attribute(const rl_jinja_loop *loop, text name, value *out) {
    int64_t index = (int64_t)loop->index, n = (int64_t)loop->items->n;
    const value none = rl_jinja_undefined(NULL, 0, "there is no such item in this loop");
    const struct {
        const char *name;
        value value;
    } rows[] = {
        {"index", rl_jinja_int(index + 1)},
        {"index0", rl_jinja_int(index)},
        {"revindex", rl_jinja_int(n - index)},
        {"revindex0", rl_jinja_int(n - index - 1)},
        {"first", rl_jinja_bool(index == 0)},
        {"last", rl_jinja_bool(index + 1 == n)},
        {"length", rl_jinja_int(n)},
        {"depth", rl_jinja_int(1)}, // counts recursive loops, of which there are none
        {"depth0", rl_jinja_int(0)},
        {"previtem", index > 0 ? loop->items->item[index - 1] : none},
        {"nextitem", index + 1 < n ? loop->items->item[index + 1] : none},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rl_jinja_text_is(name, rows[i].name)) {
            *out = rows[i].value;
            return true;
        }
    }
    return false;
}

rl_status rl_jinja_get_attribute(rl_jinja_run *run, const value *object, text name, value *out) {
    const rl_jinja_func *method = rl_jinja_find_method(object, name);
    const value *found = NULL;
    rl_status status = RL_OK;
    if (object->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, object);
    }
    if (object->type == RL_JINJA_LOOP && loop_attribute(object->as.loop, name, out)) {
        return RL_OK;
    }
    if (method != NULL) {
        *out = rl_jinja_method(run, method, object);
        return RL_OK;
    }
    if (object->type == RL_JINJA_DICT || object->type == RL_JINJA_NAMESPACE) {
        value key = rl_jinja_of_text(name);
        status = rl_jinja_look_up(run, object->as.dict, &key, &found);
    }
    *out =
        found != NULL ? *found : rl_jinja_undefined(name.ptr, name.len, rl_jinja_type_name(object));
    return status;
}

// Where a slice begins, ends and steps, as Python's slice.indices clamps them.
static rl_status clamp(rl_jinja_run *run, const value *bound, int64_t n, int64_t *start,
                       int64_t *stop, int64_t *step) {
    int64_t at[3] = {0, 0, 1};
    for (int i = 0; i < 3; i++) {
        at[i] = bound[i].type == RL_JINJA_NONE ? at[i] : integer_of(&bound[i]);
    }
    *step = at[2] < -n - 1 ? -n - 1 : at[2] > n + 1 ? n + 1 : at[2];
    if (*step == 0) {
        return rl_jinja_fail(run, "the step of a slice is 0");
    }
    int64_t low = *step < 0 ? -1 : 0, high = *step < 0 ? n - 1 : n;
    for (int i = 0; i < 2; i++) {
        if (bound[i].type == RL_JINJA_NONE) {
            at[i] = (i == 0) == (*step > 0) ? low : high;
        } else {
            at[i] = at[i] < -n ? low : at[i] < 0 ? at[i] + n : at[i];
            at[i] = at[i] < low ? low : at[i] > high ? high : at[i];
        }
    }
    *start = at[0];
    *stop = at[1];
    return RL_OK;
}

static rl_status slice_text(rl_jinja_run *run, text t, const value *bound, value *out) {
    int64_t start = 0, stop = 0, step = 1, n;
    rl_jinja_builder made = {0};
    rl_status status = rl_jinja_step(run, t.len / RL_JINJA_STEP_BYTES);
    if (status != RL_OK) {
        return status;
    }
    n = (int64_t)rl_jinja_chars(t);
    status = clamp(run, bound, n, &start, &stop, &step);
    if (status != RL_OK) {
        return status;
    }
    if (step == 1) {
        size_t begin = rl_jinja_char_at(t, (size_t)start);
        size_t end = stop > start ? rl_jinja_char_at(t, (size_t)stop) : begin;
        *out = rl_jinja_of_text(rl_jinja_cut(t, begin, end));
        return RL_OK;
    }
    status = rl_jinja_charge(run, (t.len + 1) * sizeof(size_t));
    if (status != RL_OK) {
        return status;
    }
    size_t *at = rl_arena_alloc(run->arena, (size_t)n + 1, sizeof *at);
    for (int64_t i = 0; i < n; i++) {
        at[i + 1] = rl_jinja_char_end(t, at[i]);
    }
    for (int64_t i = start; status == RL_OK && (step > 0 ? i < stop : i > stop); i += step) {
        status = rl_jinja_append(run, &made, rl_jinja_cut(t, at[i], at[i + 1]));
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

rl_status rl_jinja_slice(rl_jinja_run *run, const value *object, const value *bound, value *out) {
    int64_t start = 0, stop = 0, step = 1;
    bool fits = object->type == RL_JINJA_TEXT || is_plain_list(object);
    for (int i = 0; i < 3; i++) {
        fits = fits && (bound[i].type == RL_JINJA_NONE || bound[i].type == RL_JINJA_INT ||
                        bound[i].type == RL_JINJA_BOOL);
    }
    if (object->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, object);
    }
    if (!fits) {
        return rl_jinja_fail(run, "a %s has no such slice", rl_jinja_type_name(object));
    }
    if (object->type == RL_JINJA_TEXT) {
        return slice_text(run, object->as.text, bound, out);
    }
    const rl_jinja_list *list = object->as.list;
    rl_status status = clamp(run, bound, (int64_t)list->n, &start, &stop, &step);
    if (status == RL_OK) {
        status = rl_jinja_charge(run, list->n * sizeof *list->item);
    }
    if (status == RL_OK) {
        *out = rl_jinja_new_list(run->arena, 0, list->kind);
        for (int64_t i = start; step > 0 ? i < stop : i > stop; i += step) {
            rl_jinja_push(run->arena, *out, list->item[i]);
        }
    }
    return status;
}
