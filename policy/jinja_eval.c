/* Expressions. */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_node node;

static rl_status eval_name(rl_jinja_run *run, const node *n, value *out) {
    for (const rl_jinja_frame *frame = run->frame; frame != NULL; frame = frame->parent) {
        for (int i = 0; i < frame->n; i++) {
            if (frame->slot[i].symbol == n->symbol) {
                *out = frame->slot[i].value;
                return RL_OK;
            }
        }
    }
    rl_jinja_text name = run->jinja->symbol[n->symbol];
    const rl_jinja_func *global = rl_jinja_find_global(name);
    *out = global != NULL ? rl_jinja_method(run, global, NULL)
                          : rl_jinja_undefined(name.ptr, name.len, NULL);
    return RL_OK;
}

static rl_status eval_list(rl_jinja_run *run, const node *n, rl_jinja_list_kind kind, value *out) {
    size_t count = 0;
    for (const node *item = n->list; item != NULL; item = item->next) {
        count++;
    }
    rl_status status = rl_jinja_charge(run, count * sizeof *out);
    value list = rl_jinja_new_list(run->arena, count, kind);
    for (const node *item = n->list; item != NULL && status == RL_OK; item = item->next) {
        value v;
        status = rl_jinja_eval(run, item, &v);
        if (status == RL_OK) {
            rl_jinja_push(run->arena, list, v);
        }
    }
    *out = list;
    return status;
}

static rl_status eval_dict(rl_jinja_run *run, const node *n, value *out) {
    value dict = rl_jinja_new_dict(run->arena, 0);
    rl_status status = RL_OK;
    for (const node *item = n->list; item != NULL && status == RL_OK; item = item->next->next) {
        value key, v;
        status = rl_jinja_eval(run, item, &key);
        if (status == RL_OK) {
            status = rl_jinja_eval(run, item->next, &v);
        }
        if (status == RL_OK && (key.type == RL_JINJA_DICT || key.type == RL_JINJA_LIST)) {
            status = rl_jinja_fail(run, "a %s cannot be a key", rl_jinja_type_name(&key));
        }
        if (status == RL_OK) {
            status = rl_jinja_store(run, dict, key, v);
        }
    }
    *out = dict;
    return status;
}

static rl_status eval_attribute(rl_jinja_run *run, const node *n, value *out) {
    value object;
    rl_status status = rl_jinja_eval(run, n->a, &object);
    run->line = n->line;
    return status == RL_OK ? rl_jinja_get_attribute(run, &object, n->constant.as.text, out)
                           : status;
}

static rl_status eval_item(rl_jinja_run *run, const node *n, value *out) {
    value object, key;
    rl_status status = rl_jinja_eval(run, n->a, &object);
    if (status == RL_OK) {
        status = rl_jinja_eval(run, n->b, &key);
    }
    run->line = n->line;
    return status == RL_OK ? rl_jinja_get_item(run, &object, &key, out) : status;
}

static rl_status eval_slice(rl_jinja_run *run, const node *n, value *out) {
    value object, bound[3];
    rl_status status = rl_jinja_eval(run, n->a, &object);
    const node *part = n->list;
    for (int i = 0; i < 3 && status == RL_OK; i++, part = part->next) {
        status = rl_jinja_eval(run, part, &bound[i]);
    }
    run->line = n->line;
    return status == RL_OK ? rl_jinja_slice(run, &object, bound, out) : status;
}

static rl_status eval_call(rl_jinja_run *run, const node *n, value *out) {
    rl_jinja_args args;
    value callee;
    rl_status status;
    // The common object.method(...) needs no value for its callee.
    if (n->a->kind == RL_JINJA_ATTRIBUTE) {
        value object;
        status = rl_jinja_eval(run, n->a->a, &object);
        if (status != RL_OK) {
            return status;
        }
        const rl_jinja_func *method = rl_jinja_find_method(&object, n->a->constant.as.text);
        if (method != NULL) {
            status = rl_jinja_eval_args(run, n->args, &args);
            run->line = n->line;
            return status == RL_OK ? rl_jinja_call_func(run, method, &object, &args, out) : status;
        }
        status = rl_jinja_get_attribute(run, &object, n->a->constant.as.text, &callee);
    } else {
        status = rl_jinja_eval(run, n->a, &callee);
    }
    if (status == RL_OK) {
        status = rl_jinja_eval_args(run, n->args, &args);
    }
    run->line = n->line;
    return status == RL_OK ? rl_jinja_call(run, &callee, &args, out) : status;
}

static rl_status eval_filter(rl_jinja_run *run, const node *n, value *out) {
    rl_jinja_text name = n->constant.as.text;
    rl_jinja_args args;
    value input;
    rl_status status = rl_jinja_eval(run, n->a, &input);
    if (status == RL_OK) {
        status = rl_jinja_eval_args(run, n->args, &args);
    }
    if (status != RL_OK) {
        return status;
    }
    run->line = n->line;
    if (n->func == NULL) {
        return rl_jinja_fail(run, "no %s named '%.*s' is covered",
                             n->kind == RL_JINJA_TEST ? "test" : "filter", (int)name.len, name.ptr);
    }
    return rl_jinja_call_func(run, n->func, &input, &args, out);
}

static rl_status eval_compare(rl_jinja_run *run, const node *n, value *out) {
    value left, right;
    bool holds = true;
    rl_status status = rl_jinja_eval(run, n->a, &left);
    for (const node *part = n->list; part != NULL && holds && status == RL_OK; part = part->next) {
        status = rl_jinja_eval(run, part->a, &right);
        if (status == RL_OK) {
            status = rl_jinja_compare(run, part->op, &left, &right, &holds);
        }
        left = right;
    }
    *out = rl_jinja_bool(holds);
    return status;
}

static rl_status eval_binary(rl_jinja_run *run, const node *n, value *out) {
    value a, b;
    rl_status status = rl_jinja_eval(run, n->a, &a);
    if (status == RL_OK) {
        status = rl_jinja_eval(run, n->b, &b);
    }
    run->line = n->line;
    return status == RL_OK ? rl_jinja_binary(run, n->op, &a, &b, out) : status;
}

static rl_status eval_sign(rl_jinja_run *run, const node *n, value *out) {
    const value zero = rl_jinja_int(0);
    value v;
    rl_status status = rl_jinja_eval(run, n->a, &v);
    if (status != RL_OK) {
        return status;
    }
    if (v.type == RL_JINJA_FLOAT) { // 0 - x would lose the sign of 0.0
        *out = rl_jinja_real(n->kind == RL_JINJA_NEGATIVE ? -v.as.real : v.as.real);
        return RL_OK;
    }
    return rl_jinja_binary(run, n->kind == RL_JINJA_NEGATIVE ? RL_JINJA_SUB : RL_JINJA_ADD, &zero,
                           &v, out);
}

static rl_status eval_choice(rl_jinja_run *run, const node *n, value *out) {
    rl_status status = rl_jinja_eval(run, n->a, out);
    if (status != RL_OK) {
        return status;
    }
    if (rl_jinja_is_true(out)) {
        return rl_jinja_eval(run, n->b, out);
    }
    if (n->c != NULL) {
        return rl_jinja_eval(run, n->c, out);
    }
    *out = rl_jinja_undefined(NULL, 0, "an 'if' without 'else' was false");
    return RL_OK;
}

static rl_status eval_logic(rl_jinja_run *run, const node *n, value *out) {
    rl_status status = rl_jinja_eval(run, n->a, out);
    if (status == RL_OK && n->kind == RL_JINJA_NOT) {
        *out = rl_jinja_bool(!rl_jinja_is_true(out));
    } else if (status == RL_OK && rl_jinja_is_true(out) == (n->kind == RL_JINJA_AND)) {
        status = rl_jinja_eval(run, n->b, out);
    }
    return status;
}

static rl_status eval_kind(rl_jinja_run *run, const node *n, value *out) {
    switch (n->kind) {
    case RL_JINJA_CONSTANT:
        *out = n->constant;
        return RL_OK;
    case RL_JINJA_NAME:
        return eval_name(run, n, out);
    case RL_JINJA_BODY:
        *out = *run->body;
        return RL_OK;
    case RL_JINJA_TUPLE:
        return eval_list(run, n, RL_JINJA_IS_TUPLE, out);
    case RL_JINJA_LIST_OF:
        return eval_list(run, n, RL_JINJA_IS_LIST, out);
    case RL_JINJA_DICT_OF:
        return eval_dict(run, n, out);
    case RL_JINJA_ATTRIBUTE:
        return eval_attribute(run, n, out);
    case RL_JINJA_ITEM:
        return eval_item(run, n, out);
    case RL_JINJA_SLICE:
        return eval_slice(run, n, out);
    case RL_JINJA_CALL:
        return eval_call(run, n, out);
    case RL_JINJA_FILTER:
    case RL_JINJA_TEST:
        return eval_filter(run, n, out);
    case RL_JINJA_COMPARE:
        return eval_compare(run, n, out);
    case RL_JINJA_BINARY:
        return eval_binary(run, n, out);
    case RL_JINJA_AND:
    case RL_JINJA_OR:
    case RL_JINJA_NOT:
        return eval_logic(run, n, out);
    case RL_JINJA_NEGATIVE:
    case RL_JINJA_POSITIVE:
        return eval_sign(run, n, out);
    case RL_JINJA_CHOICE:
        return eval_choice(run, n, out);
    case RL_JINJA_DATA:
    case RL_JINJA_OUTPUT:
    case RL_JINJA_IF:
    case RL_JINJA_FOR:
    case RL_JINJA_SET:
    case RL_JINJA_SET_BLOCK:
    case RL_JINJA_FILTER_BLOCK:
    case RL_JINJA_MACRO:
    case RL_JINJA_CALL_BLOCK:
    case RL_JINJA_WITH:
    case RL_JINJA_GENERATION:
    case RL_JINJA_BREAK:
    case RL_JINJA_CONTINUE:
    case RL_JINJA_OPERAND:
    case RL_JINJA_ARGUMENT:
        break;
    }
    return rl_jinja_fail(run, "a statement where an expression belongs");
}

rl_status rl_jinja_eval(rl_jinja_run *run, const node *n, value *out) {
    *out = rl_jinja_none();
    run->line = n->line;
    if (run->depth >= run->limits->depth) {
        return rl_jinja_fail(run, "nested deeper than %d levels", run->limits->depth);
    }
    rl_status status = rl_jinja_step(run, 1);
    run->depth++;
    if (status == RL_OK) {
        status = eval_kind(run, n, out);
    }
    run->depth--;
    if (status == RL_OK && rl_jinja_depth(out) > RL_JINJA_MAX_NESTING) {
        status = rl_jinja_fail(run, "lists nested deeper than %d levels", RL_JINJA_MAX_NESTING);
    }
    return status;
}
