/* Calls: written arguments, the places of a function's parameters, macros. */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_node node;
typedef rl_jinja_text text;

enum { MAX_PARAMS = 8 };

value rl_jinja_method(rl_jinja_run *run, const rl_jinja_func *func, const value *self) {
    rl_jinja_callable *made = rl_arena_alloc(run->arena, 1, sizeof *made);
    *made = (rl_jinja_callable){.func = func};
    if (self != NULL) {
        made->self = *self;
    }
    return (value){.type = RL_JINJA_CALLABLE, .as.callable = made};
}

rl_status rl_jinja_eval_args(rl_jinja_run *run, const node *args, rl_jinja_args *out) {
    size_t n = 0;
    rl_status status = RL_OK;
    *out = (rl_jinja_args){0};
    for (const node *arg = args; arg != NULL; arg = arg->next) {
        n++;
    }
    if (n == 0) {
        return RL_OK;
    }
    status = rl_jinja_charge(run, n * (sizeof(value) + sizeof(rl_jinja_keyword)));
    if (status != RL_OK) {
        return status;
    }
    value *list = rl_arena_alloc(run->arena, n, sizeof *list);
    rl_jinja_keyword *keyword = rl_arena_alloc(run->arena, n, sizeof *keyword);
    for (const node *arg = args; arg != NULL && status == RL_OK; arg = arg->next) {
        value v;
        status = rl_jinja_eval(run, arg->a, &v);
        if (arg->symbol >= 0) {
            keyword[out->n_keywords++] = (rl_jinja_keyword){arg->constant.as.text, v};
        } else {
            list[out->n++] = v;
        }
    }
    out->arg = list;
    out->keyword = keyword;
    return status;
}

// One word of "a b | c d": its length, and whether it may be left out. NULL at the end.
static const char *next_param(const char *at, size_t *len, bool *optional) {
    at += strspn(at, " ");
    if (*at == '|') {
        *optional = true;
        at += 1 + strspn(at + 1, " ");
    }
    *len = strcspn(at, " ");
    return *len > 0 ? at : NULL;
}

static rl_status place_args(rl_jinja_run *run, const rl_jinja_func *func, const rl_jinja_args *in,
                            value *to, size_t *n_out) {
    size_t n = 0, len, used = 0;
    bool optional = false;
    for (const char *at = func->params; (at = next_param(at, &len, &optional)) != NULL;
         at += len, n++) {
        to[n] = (value){.type = RL_JINJA_ABSENT};
        if (n < in->n) {
            to[n] = in->arg[n];
        }
        for (size_t k = 0; k < in->n_keywords; k++) {
            text name = in->keyword[k].name;
            if (!rl_jinja_text_equal(name, (text){at, len, NULL})) {
                continue;
            }
            if (to[n].type != RL_JINJA_ABSENT) {
                return rl_jinja_fail(run, "'%s' got argument '%.*s' twice", func->name, (int)len,
                                     at);
            }
            to[n] = in->keyword[k].value;
            used++;
        }
        if (to[n].type == RL_JINJA_ABSENT && !optional) {
            return rl_jinja_fail(run, "'%s' wants an argument '%.*s'", func->name, (int)len, at);
        }
    }
    if (in->n > n || used < in->n_keywords) {
        return rl_jinja_fail(run, "'%s' got an argument that it does not take", func->name);
    }
    *n_out = n;
    return RL_OK;
}

static size_t text_steps(const value *v) {
    return v->type == RL_JINJA_TEXT ? v->as.text.len / RL_JINJA_STEP_BYTES : 0;
}

static rl_status charge_texts(rl_jinja_run *run, const value *self, const rl_jinja_args *in) {
    size_t steps = text_steps(self);
    for (size_t i = 0; i < in->n; i++) {
        steps += text_steps(&in->arg[i]);
    }
    for (size_t i = 0; i < in->n_keywords; i++) {
        steps += text_steps(&in->keyword[i].value);
    }
    return rl_jinja_step(run, steps);
}

rl_status rl_jinja_call_func(rl_jinja_run *run, const rl_jinja_func *func, const value *self,
                             const rl_jinja_args *in, value *out) {
    value placed[MAX_PARAMS + 1];
    rl_jinja_args args = {.arg = placed};
    *out = rl_jinja_none();
    placed[0] = self != NULL ? *self : rl_jinja_none();
    rl_status status = charge_texts(run, &placed[0], in);
    if (status != RL_OK) {
        return status;
    }
    if (strcmp(func->params, "*") == 0) {
        status = rl_jinja_charge(run, (in->n + 1) * sizeof(value));
        if (status != RL_OK) {
            return status;
        }
        value *all = rl_arena_alloc(run->arena, in->n + 1, sizeof *all);
        all[0] = placed[0];
        if (in->n > 0) {
            memcpy(all + 1, in->arg, in->n * sizeof *all);
        }
        args = (rl_jinja_args){all, in->n + 1, in->keyword, in->n_keywords};
        return func->call(run, &args, out);
    }
    status = place_args(run, func, in, placed + 1, &args.n);
    args.n++;
    return status == RL_OK ? func->call(run, &args, out) : status;
}

rl_status rl_jinja_call(rl_jinja_run *run, const value *callee, const rl_jinja_args *in,
                        value *out) {
    if (callee->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, callee);
    }
    if (callee->type != RL_JINJA_CALLABLE) {
        return rl_jinja_fail(run, "a %s cannot be called", rl_jinja_type_name(callee));
    }
    const rl_jinja_callable *called = callee->as.callable;
    return called->func != NULL ? rl_jinja_call_func(run, called->func, &called->self, in, out)
                                : rl_jinja_exec_macro(run, called, in, out);
}

const rl_jinja_func *rl_jinja_find_in(const rl_jinja_func *table, size_t n, text name) {
    for (size_t i = 0; i < n; i++) {
        if (rl_jinja_text_is(name, table[i].name)) {
            return &table[i];
        }
    }
    return NULL;
}

rl_status rl_jinja_arg_text(rl_jinja_run *run, const value *v, const char *name, text *out) {
    if (v->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, v);
    }
    if (v->type != RL_JINJA_TEXT) {
        return rl_jinja_fail(run, "'%s' is a %s, not a text", name, rl_jinja_type_name(v));
    }
    *out = v->as.text;
    return RL_OK;
}

rl_status rl_jinja_arg_int(rl_jinja_run *run, const value *v, const char *name, int64_t fallback,
                           int64_t *out) {
    *out = fallback;
    if (v->type == RL_JINJA_ABSENT || v->type == RL_JINJA_NONE) {
        return RL_OK;
    }
    if (v->type != RL_JINJA_INT && v->type != RL_JINJA_BOOL) {
        return rl_jinja_fail(run, "'%s' is a %s, not an integer", name, rl_jinja_type_name(v));
    }
    *out = v->type == RL_JINJA_BOOL ? (int64_t)v->as.truth : v->as.integer;
    return RL_OK;
}

bool rl_jinja_arg_flag(const value *v, bool fallback) {
    return v->type == RL_JINJA_ABSENT ? fallback : rl_jinja_is_true(v);
}
