/* Filters of lists and dicts. Where Python's give generators, so do these: true even if empty. */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

// The items of the input, charged.
static rl_status items_of(rl_jinja_run *run, const value *v, rl_jinja_list **out) {
    rl_status status = rl_jinja_items(run, v, out);
    return status == RL_OK ? rl_jinja_charge(run, (*out)->n * 2 * sizeof *v) : status;
}

// "a.b.0" of an item, as jinja2's make_attrgetter.
static rl_status get_path(rl_jinja_run *run, const value *item, const value *path, value *out) {
    *out = *item;
    if (path->type == RL_JINJA_INT) {
        return rl_jinja_get_item(run, item, path, out);
    }
    text t;
    rl_status status = rl_jinja_arg_text(run, path, "attribute", &t);
    for (size_t at = 0, end; status == RL_OK && at <= t.len; at = end + 1) {
        bool digits = true;
        int64_t index = 0;
        for (end = at; end < t.len && t.ptr[end] != '.'; end++) {
            digits = digits && t.ptr[end] >= '0' && t.ptr[end] <= '9' && end - at < 9;
            index = digits ? index * 10 + (t.ptr[end] - '0') : index;
        }
        value key = digits && end > at ? rl_jinja_int(index)
                                       : rl_jinja_of_text(rl_jinja_cut(t, at, end)),
              from = *out;
        status = rl_jinja_get_item(run, &from, &key, out);
    }
    return status;
}

// Letters of all texts in lower case, where an order is not to see the difference.
static rl_status fold(rl_jinja_run *run, const value *v, bool folds, value *out) {
    const text name = {"lower", 5, NULL};
    rl_jinja_args args = {.arg = v, .n = 1};
    *out = *v;
    return folds && v->type == RL_JINJA_TEXT ? rl_jinja_find_method(v, name)->call(run, &args, out)
                                             : RL_OK;
}

static rl_status sort_key(rl_jinja_run *run, const value *item, const value *path, bool folds,
                          value *out) {
    value v = *item;
    rl_status status = path->type != RL_JINJA_ABSENT && path->type != RL_JINJA_NONE
                           ? get_path(run, item, path, &v)
                           : RL_OK;
    return status == RL_OK ? fold(run, &v, folds, out) : status;
}

/* An item with what it is ordered by. */
typedef struct keyed {
    value key, item;
} keyed;

// Merges keep equal items in their order, from either end.
static rl_status merge_sort(rl_jinja_run *run, keyed *at, keyed *spare, size_t n, bool reverse) {
    size_t half = n / 2, a = 0, b = half, k = 0;
    if (n < 2) {
        return RL_OK;
    }
    rl_status status = merge_sort(run, at, spare, half, reverse);
    if (status == RL_OK) {
        status = merge_sort(run, at + half, spare + half, n - half, reverse);
    }
    while (status == RL_OK && a < half && b < n) {
        bool second;
        status = reverse ? rl_jinja_compare(run, RL_JINJA_GT, &at[b].key, &at[a].key, &second)
                         : rl_jinja_compare(run, RL_JINJA_LT, &at[b].key, &at[a].key, &second);
        if (status == RL_OK) {
            status = rl_jinja_step(run, 1);
            spare[k++] = second ? at[b++] : at[a++];
        }
    }
    if (status == RL_OK) {
        memcpy(spare + k, at + a, (half - a) * sizeof *at);
        memcpy(spare + k + half - a, at + b, (n - b) * sizeof *at);
        memcpy(at, spare, n * sizeof *at);
    }
    return status;
}

static rl_status sort_items(rl_jinja_run *run, const rl_jinja_list *items, const value *path,
                            bool folds, bool reverse, value *out) {
    rl_status status = rl_jinja_charge(run, 2 * items->n * sizeof(keyed));
    if (status != RL_OK) {
        return status;
    }
    keyed *list = rl_arena_alloc(run->arena, items->n + 1, sizeof *list);
    keyed *spare = rl_arena_alloc(run->arena, items->n + 1, sizeof *spare);
    for (size_t i = 0; i < items->n && status == RL_OK; i++) {
        list[i].item = items->item[i];
        status = sort_key(run, &items->item[i], path, folds, &list[i].key);
    }
    if (status == RL_OK) {
        status = merge_sort(run, list, spare, items->n, reverse);
    }
    *out = rl_jinja_new_list(run->arena, items->n, RL_JINJA_IS_LIST);
    for (size_t i = 0; i < items->n && status == RL_OK; i++) {
        rl_jinja_push(run->arena, *out, list[i].item);
    }
    return status;
}

static rl_status filter_sort(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    rl_status status = items_of(run, &in->arg[0], &items);
    return status == RL_OK
               ? sort_items(run, items, &in->arg[3], !rl_jinja_arg_flag(&in->arg[2], false),
                            rl_jinja_arg_flag(&in->arg[1], false), out)
               : status;
}

static rl_status pairs_of(rl_jinja_run *run, const value *v, value *out) {
    if (v->type != RL_JINJA_DICT) {
        return rl_jinja_fail(run, "a %s has no pairs of key and value", rl_jinja_type_name(v));
    }
    const rl_jinja_dict *dict = v->as.dict;
    rl_status status = rl_jinja_charge(run, dict->n * 4 * sizeof *v);
    *out = rl_jinja_new_list(run->arena, dict->n, RL_JINJA_IS_LIST);
    for (size_t i = 0; i < dict->n && status == RL_OK; i++) {
        value pair = rl_jinja_new_list(run->arena, 2, RL_JINJA_IS_TUPLE);
        rl_jinja_push(run->arena, pair, dict->entry[i].key);
        rl_jinja_push(run->arena, pair, dict->entry[i].value);
        rl_jinja_push(run->arena, *out, pair);
    }
    return status;
}

static rl_status filter_dictsort(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    value pairs, by = rl_jinja_int(0);
    if (in->arg[2].type == RL_JINJA_TEXT && rl_jinja_text_is(in->arg[2].as.text, "value")) {
        by = rl_jinja_int(1);
    }
    rl_status status = pairs_of(run, &in->arg[0], &pairs);
    return status == RL_OK
               ? sort_items(run, pairs.as.list, &by, !rl_jinja_arg_flag(&in->arg[1], false),
                            rl_jinja_arg_flag(&in->arg[3], false), out)
               : status;
}

static rl_status filter_items(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    if (in->arg[0].type == RL_JINJA_UNDEFINED) {
        *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LAZY);
        return RL_OK;
    }
    rl_status status = pairs_of(run, &in->arg[0], out);
    if (status == RL_OK) {
        out->as.list->kind = RL_JINJA_IS_LAZY;
    }
    return status;
}

static rl_status filter_length(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value *v = &in->arg[0];
    if (v->type == RL_JINJA_TEXT) {
        *out = rl_jinja_int((int64_t)rl_jinja_chars(v->as.text));
        return RL_OK;
    }
    if (v->type == RL_JINJA_LIST && v->as.list->kind != RL_JINJA_IS_LAZY) {
        *out = rl_jinja_int((int64_t)v->as.list->n);
    } else if (v->type == RL_JINJA_DICT) {
        *out = rl_jinja_int((int64_t)v->as.dict->n);
    } else if (v->type == RL_JINJA_UNDEFINED) {
        *out = rl_jinja_int(0);
    } else {
        return rl_jinja_fail(run, "a %s has no length", rl_jinja_type_name(v));
    }
    return RL_OK;
}

static rl_status filter_list(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    rl_status status = items_of(run, &in->arg[0], &items);
    *out = rl_jinja_new_list(run->arena, status == RL_OK ? items->n : 0, RL_JINJA_IS_LIST);
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        rl_jinja_push(run->arena, *out, items->item[i]);
    }
    return status;
}

static rl_status filter_first(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    rl_status status = rl_jinja_items(run, &in->arg[0], &items);
    if (status == RL_OK) {
        *out = items->n > 0 ? items->item[0]
                            : rl_jinja_undefined(NULL, 0, "an empty list has no first item");
    }
    return status;
}

static rl_status filter_last(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    rl_status status = rl_jinja_items(run, &in->arg[0], &items);
    if (status == RL_OK) {
        *out = items->n > 0 ? items->item[items->n - 1]
                            : rl_jinja_undefined(NULL, 0, "an empty list has no last item");
    }
    return status;
}

static rl_status filter_reverse(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    rl_jinja_builder made = {0};
    rl_status status = items_of(run, &in->arg[0], &items);
    *out = rl_jinja_new_list(run->arena, status == RL_OK ? items->n : 0, RL_JINJA_IS_LAZY);
    bool is_text = in->arg[0].type == RL_JINJA_TEXT;
    for (size_t i = status == RL_OK ? items->n : 0; i > 0 && status == RL_OK; i--) {
        if (is_text) {
            status = rl_jinja_append(run, &made, items->item[i - 1].as.text);
        } else {
            rl_jinja_push(run->arena, *out, items->item[i - 1]);
        }
    }
    if (is_text) {
        *out = rl_jinja_of_text(rl_jinja_built(&made));
    }
    return status;
}

static rl_status filter_join(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_builder made = {0};
    rl_jinja_list *items;
    text between = {"", 0, NULL};
    rl_status status = items_of(run, &in->arg[0], &items);
    if (status == RL_OK && in->arg[1].type != RL_JINJA_ABSENT) {
        status = rl_jinja_str(run, &in->arg[1], &between);
    }
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        value v;
        status = sort_key(run, &items->item[i], &in->arg[2], false, &v);
        if (status == RL_OK && i > 0) {
            status = rl_jinja_append(run, &made, between);
        }
        if (status == RL_OK) {
            status = rl_jinja_print(run, &made, &v);
        }
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

static rl_status extreme(rl_jinja_run *run, const rl_jinja_args *in, rl_jinja_op op, value *out) {
    bool folds = !rl_jinja_arg_flag(&in->arg[1], false);
    rl_jinja_list *items;
    value best, key;
    rl_status status = items_of(run, &in->arg[0], &items);
    *out = rl_jinja_undefined(NULL, 0, "an empty list has no extreme item");
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        bool better = i == 0;
        status = sort_key(run, &items->item[i], &in->arg[2], folds, &key);
        if (status == RL_OK && i > 0) {
            status = rl_jinja_compare(run, op, &key, &best, &better);
        }
        if (status == RL_OK && better) {
            best = key;
            *out = items->item[i];
        }
    }
    return status;
}

static rl_status filter_min(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return extreme(run, in, RL_JINJA_LT, out);
}

static rl_status filter_max(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return extreme(run, in, RL_JINJA_GT, out);
}

static rl_status filter_sum(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    rl_status status = items_of(run, &in->arg[0], &items);
    *out = in->arg[2].type == RL_JINJA_ABSENT ? rl_jinja_int(0) : in->arg[2];
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        value v, before = *out;
        status = sort_key(run, &items->item[i], &in->arg[1], false, &v);
        if (status == RL_OK) {
            status = rl_jinja_binary(run, RL_JINJA_ADD, &before, &v, out);
        }
    }
    return status;
}

static rl_status filter_unique(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    bool folds = !rl_jinja_arg_flag(&in->arg[1], false);
    rl_jinja_list *items;
    rl_status status = items_of(run, &in->arg[0], &items);
    value seen = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LAZY);
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        value key;
        bool known = false;
        status = sort_key(run, &items->item[i], &in->arg[2], folds, &key);
        for (size_t k = 0; status == RL_OK && !known && k < seen.as.list->n; k++) {
            status = rl_jinja_equal(run, &seen.as.list->item[k], &key, &known);
        }
        if (status == RL_OK && !known) {
            rl_jinja_push(run->arena, seen, key);
            rl_jinja_push(run->arena, *out, items->item[i]);
        }
    }
    return status;
}

// batch(n, fill_with): rows of n items.
static rl_status filter_batch(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_list *items;
    int64_t width;
    rl_status status = items_of(run, &in->arg[0], &items);
    if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[1], "linecount", 0, &width);
    }
    if (status == RL_OK && (width < 1 || width > 100000)) {
        status = rl_jinja_fail(run, "'linecount' of batch is not from 1 to 100000");
    }
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LAZY);
    for (size_t i = 0; status == RL_OK && i < items->n; i += (size_t)width) {
        value row = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
        bool fills = in->arg[2].type != RL_JINJA_ABSENT && in->arg[2].type != RL_JINJA_NONE;
        for (size_t k = i; k < i + (size_t)width && (fills || k < items->n); k++) {
            rl_jinja_push(run->arena, row, k < items->n ? items->item[k] : in->arg[2]);
        }
        rl_jinja_push(run->arena, *out, row);
        status = rl_jinja_charge(run, 2 * row.as.list->n * sizeof row);
    }
    return status;
}

// The rest of the arguments of map, select and the like, behind the input.
static rl_jinja_args behind(const rl_jinja_args *in, size_t n) {
    return (rl_jinja_args){in->arg + n, in->n - n, in->keyword, in->n_keywords};
}

static const value *keyword(const rl_jinja_args *in, const char *name) {
    for (size_t i = 0; i < in->n_keywords; i++) {
        if (rl_jinja_text_is(in->keyword[i].name, name)) {
            return &in->keyword[i].value;
        }
    }
    return NULL;
}

// map(attribute=..., default=...) or map('filter', ...)
static rl_status filter_map(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value *path = in->n == 1 ? keyword(in, "attribute") : NULL;
    const value *fallback = keyword(in, "default");
    const rl_jinja_func *func = NULL;
    rl_jinja_args rest = {0};
    rl_jinja_list *items;
    text name = {0};
    rl_status status = items_of(run, &in->arg[0], &items);
    if (status == RL_OK && path == NULL) {
        status = in->n < 2 ? rl_jinja_fail(run, "map wants a filter or an attribute")
                           : rl_jinja_arg_text(run, &in->arg[1], "filter", &name);
        func = status == RL_OK ? rl_jinja_find_filter(name) : NULL;
        if (status == RL_OK && func == NULL) {
            status =
                rl_jinja_fail(run, "no filter named '%.*s' is covered", (int)name.len, name.ptr);
        }
        rest = status == RL_OK ? behind(in, 2) : rest;
    }
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LAZY);
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        value v;
        status = rl_jinja_step(run, 1);
        if (status == RL_OK) {
            status = func != NULL ? rl_jinja_call_func(run, func, &items->item[i], &rest, &v)
                                  : get_path(run, &items->item[i], path, &v);
        }
        if (status == RL_OK) {
            bool missing = v.type == RL_JINJA_UNDEFINED && fallback != NULL && func == NULL;
            rl_jinja_push(run->arena, *out, missing ? *fallback : v);
        }
    }
    return status;
}

// select and reject, with an attribute or without: in->arg[first] names the test, if any.
static rl_status pick(rl_jinja_run *run, const rl_jinja_args *in, bool by_attribute, bool keeps,
                      value *out) {
    size_t first = by_attribute ? 2 : 1;
    const rl_jinja_func *test = NULL;
    rl_jinja_args rest = {0};
    rl_jinja_list *items;
    text name;
    rl_status status = items_of(run, &in->arg[0], &items);
    if (status == RL_OK && in->n < first) {
        status = rl_jinja_fail(run, "an attribute to select by is missing");
    }
    if (status == RL_OK && in->n > first) {
        status = rl_jinja_arg_text(run, &in->arg[first], "test", &name);
        test = status == RL_OK ? rl_jinja_find_test(name) : NULL;
        if (status == RL_OK && test == NULL) {
            status = rl_jinja_fail(run, "no test named '%.*s' is covered", (int)name.len, name.ptr);
        }
        rest = status == RL_OK ? behind(in, first + 1) : rest;
    }
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LAZY);
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        value v = items->item[i], passes;
        status = rl_jinja_step(run, 1);
        if (status == RL_OK && by_attribute) {
            status = get_path(run, &items->item[i], &in->arg[1], &v);
        }
        passes = v;
        if (status == RL_OK && test != NULL) {
            status = rl_jinja_call_func(run, test, &v, &rest, &passes);
        }
        if (status == RL_OK && rl_jinja_is_true(&passes) == keeps) {
            rl_jinja_push(run->arena, *out, items->item[i]);
        }
    }
    return status;
}

static rl_status filter_select(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return pick(run, in, false, true, out);
}

static rl_status filter_reject(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return pick(run, in, false, false, out);
}

static rl_status filter_selectattr(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return pick(run, in, true, true, out);
}

static rl_status filter_rejectattr(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return pick(run, in, true, false, out);
}

// attr(name): an attribute alone, never an item; only methods are attributes here.
static rl_status filter_attr(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text name;
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "name", &name);
    if (status != RL_OK) {
        return status;
    }
    if (in->arg[0].type == RL_JINJA_DICT) {
        const rl_jinja_func *method = rl_jinja_find_method(&in->arg[0], name);
        *out = method != NULL
                   ? rl_jinja_method(run, method, &in->arg[0])
                   : rl_jinja_undefined(name.ptr, name.len, rl_jinja_type_name(&in->arg[0]));
        return RL_OK;
    }
    return rl_jinja_get_attribute(run, &in->arg[0], name, out);
}

static const rl_jinja_func filters[] = {
    {"attr", "name", filter_attr},
    {"batch", "linecount | fill_with", filter_batch},
    {"count", "", filter_length},
    {"dictsort", "| case_sensitive by reverse", filter_dictsort},
    {"first", "", filter_first},
    {"items", "", filter_items},
    {"join", "| d attribute", filter_join},
    {"last", "", filter_last},
    {"length", "", filter_length},
    {"list", "", filter_list},
    {"map", "*", filter_map},
    {"max", "| case_sensitive attribute", filter_max},
    {"min", "| case_sensitive attribute", filter_min},
    {"reject", "*", filter_reject},
    {"rejectattr", "*", filter_rejectattr},
    {"reverse", "", filter_reverse},
    {"select", "*", filter_select},
    {"selectattr", "*", filter_selectattr},
    {"sort", "| reverse case_sensitive attribute", filter_sort},
    {"sum", "| attribute start", filter_sum},
    {"unique", "| case_sensitive attribute", filter_unique},
};

const rl_jinja_func *rl_jinja_find_list_filter(text name) {
    return rl_jinja_find_in(filters, sizeof filters / sizeof filters[0], name);
}
