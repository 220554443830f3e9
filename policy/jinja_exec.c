/*
 * Statements. Scopes are frames on a chain: a for makes one for each round, a macro one for each
 * call, and what they set is gone with them; an if makes none. So do jinja2's templates.
 */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_node node;
typedef rl_jinja_text text;

void rl_jinja_define(rl_jinja_run *run, rl_jinja_frame *frame, int symbol, value v) {
    for (int i = 0; i < frame->n; i++) {
        if (frame->slot[i].symbol == symbol) {
            frame->slot[i].value = v;
            return;
        }
    }
    if (frame->n == frame->cap) {
        int cap = frame->cap > 0 ? 2 * frame->cap : 4;
        rl_jinja_slot *grown = rl_arena_alloc(run->arena, (size_t)cap, sizeof *grown);
        if (frame->n > 0) {
            memcpy(grown, frame->slot, (size_t)frame->n * sizeof *grown);
        }
        frame->slot = grown;
        frame->cap = cap;
    }
    frame->slot[frame->n++] = (rl_jinja_slot){symbol, v};
}

// In the arena: a macro written in a scope may outlive the statement that made it.
static rl_jinja_frame *new_frame(rl_jinja_run *run, const rl_jinja_frame *parent) {
    rl_jinja_frame *frame = rl_arena_alloc(run->arena, 1, sizeof *frame);
    frame->parent = parent;
    return frame;
}

static rl_status assign_attribute(rl_jinja_run *run, const node *target, const value *v) {
    value object;
    rl_status status = rl_jinja_eval(run, target->a, &object);
    if (status == RL_OK && object.type != RL_JINJA_NAMESPACE) {
        status = rl_jinja_fail(run, "cannot assign an attribute of what is no namespace");
    }
    return status == RL_OK ? rl_jinja_store(run, object, target->constant, *v) : status;
}

static rl_status assign(rl_jinja_run *run, const node *target, const value *v) {
    if (target->kind == RL_JINJA_NAME) {
        rl_jinja_define(run, run->frame, target->symbol, *v);
        return RL_OK;
    }
    if (target->kind == RL_JINJA_ATTRIBUTE) {
        return assign_attribute(run, target, v);
    }
    rl_jinja_list *items;
    size_t i = 0;
    rl_status status = rl_jinja_items(run, v, &items);
    for (const node *part = target->list; part != NULL && status == RL_OK; part = part->next) {
        status = i < items->n ? assign(run, part, &items->item[i])
                              : rl_jinja_fail(run, "only %zu values to unpack", items->n);
        i++;
    }
    if (status == RL_OK && i < items->n) {
        status = rl_jinja_fail(run, "%zu values to unpack are too many", items->n);
    }
    return status;
}

// Runs a list of statements in a scope of its own, its output as a value.
static rl_status capture(rl_jinja_run *run, const node *list, rl_jinja_frame *frame, value *out) {
    rl_jinja_builder made = {0}, *outer_out = run->out;
    rl_jinja_frame *outer = run->frame;
    run->out = &made;
    run->frame = frame;
    rl_status status = rl_jinja_exec(run, list);
    run->out = outer_out;
    run->frame = outer;
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

static rl_status exec_scope(rl_jinja_run *run, const node *list, rl_jinja_frame *frame) {
    rl_jinja_frame *outer = run->frame;
    run->frame = frame;
    rl_status status = rl_jinja_exec(run, list);
    run->frame = outer;
    return status;
}

// The items that pass the loop's condition.
static rl_status choose(rl_jinja_run *run, const node *n, rl_jinja_list **items) {
    rl_jinja_frame *outer = run->frame;
    value chosen = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    rl_status status = rl_jinja_charge(run, (*items)->n * sizeof chosen);
    run->frame = new_frame(run, outer);
    for (size_t i = 0; i < (*items)->n && status == RL_OK; i++) {
        value passes;
        status = assign(run, n->a, &(*items)->item[i]);
        if (status == RL_OK) {
            status = rl_jinja_eval(run, n->c, &passes);
        }
        if (status == RL_OK && rl_jinja_is_true(&passes)) {
            rl_jinja_push(run->arena, chosen, (*items)->item[i]);
        }
    }
    run->frame = outer;
    *items = chosen.as.list;
    return status;
}

static rl_status exec_for(rl_jinja_run *run, const node *n) {
    value walked;
    rl_jinja_list *items;
    rl_jinja_loop *loop;
    rl_status status = rl_jinja_eval(run, n->b, &walked);
    if (status == RL_OK) {
        status = rl_jinja_items(run, &walked, &items);
    }
    if (status == RL_OK && n->c != NULL) {
        status = choose(run, n, &items);
    }
    if (status != RL_OK) {
        return status;
    }
    loop = rl_arena_alloc(run->arena, 1, sizeof *loop);
    *loop = (rl_jinja_loop){.items = items};
    for (size_t n_items = items->n; loop->index < n_items && status == RL_OK; loop->index++) {
        rl_jinja_frame *outer = run->frame, *frame = new_frame(run, outer);
        run->frame = frame;
        if (run->jinja->loop >= 0) {
            rl_jinja_define(run, frame, run->jinja->loop,
                            (value){.type = RL_JINJA_LOOP, .as.loop = loop});
        }
        status = rl_jinja_charge(run, sizeof *frame + 4 * sizeof *frame->slot);
        if (status == RL_OK) {
            status = rl_jinja_step(run, 1);
        }
        if (status == RL_OK) {
            status = assign(run, n->a, &items->item[loop->index]);
        }
        if (status == RL_OK) {
            status = rl_jinja_exec(run, n->list);
        }
        run->frame = outer;
        bool breaks = run->jump == RL_JINJA_BREAKS;
        run->jump = RL_JINJA_GOES_ON;
        if (breaks) {
            break;
        }
    }
    if (status == RL_OK && items->n == 0 && n->other != NULL) {
        status = exec_scope(run, n->other, new_frame(run, run->frame));
    }
    return status;
}

static rl_status exec_if(rl_jinja_run *run, const node *n) {
    for (;;) {
        value condition;
        rl_status status = rl_jinja_eval(run, n->a, &condition);
        if (status != RL_OK) {
            return status;
        }
        if (rl_jinja_is_true(&condition)) {
            return rl_jinja_exec(run, n->list);
        }
        if (n->other == NULL || n->other->kind != RL_JINJA_IF || n->other->next != NULL) {
            return rl_jinja_exec(run, n->other);
        }
        n = n->other; // an elif
    }
}

static rl_status exec_set_block(rl_jinja_run *run, const node *n) {
    const value *outer = run->body;
    value body, made;
    rl_status status = capture(run, n->list, new_frame(run, run->frame), &body);
    if (status == RL_OK) {
        made = body;
        run->body = &body;
        status = n->b != NULL ? rl_jinja_eval(run, n->b, &made) : RL_OK;
        run->body = outer;
    }
    if (status != RL_OK) {
        return status;
    }
    return n->a != NULL ? assign(run, n->a, &made) : rl_jinja_print(run, run->out, &made);
}

static value make_macro(rl_jinja_run *run, const node *n) {
    rl_jinja_callable *made = rl_arena_alloc(run->arena, 1, sizeof *made);
    *made = (rl_jinja_callable){.macro = n, .scope = run->frame};
    return (value){.type = RL_JINJA_CALLABLE, .as.callable = made};
}

static rl_status exec_call_block(rl_jinja_run *run, const node *n) {
    value callee, made;
    rl_jinja_args args;
    rl_status status = rl_jinja_eval(run, n->a->a, &callee);
    if (status == RL_OK) {
        status = rl_jinja_eval_args(run, n->a->args, &args);
    }
    if (status != RL_OK) {
        return status;
    }
    rl_jinja_keyword *keyword = rl_arena_alloc(run->arena, args.n_keywords + 1, sizeof *keyword);
    if (args.n_keywords > 0) {
        memcpy(keyword, args.keyword, args.n_keywords * sizeof *keyword);
    }
    keyword[args.n_keywords++] = (rl_jinja_keyword){n->b->constant.as.text, make_macro(run, n->b)};
    args.keyword = keyword;
    status = rl_jinja_call(run, &callee, &args, &made);
    return status == RL_OK ? rl_jinja_print(run, run->out, &made) : status;
}

static rl_status place_params(rl_jinja_run *run, const rl_jinja_callable *called,
                              const rl_jinja_args *in, rl_jinja_frame *frame) {
    size_t i = 0, used = 0;
    text own = called->macro->constant.as.text;
    for (const node *param = called->macro->args; param != NULL; param = param->next, i++) {
        text name = param->constant.as.text;
        value v = rl_jinja_undefined(name.ptr, name.len, NULL);
        bool given = i < in->n;
        if (given) {
            v = in->arg[i];
        }
        for (size_t k = 0; k < in->n_keywords; k++) {
            if (rl_jinja_text_equal(in->keyword[k].name, name)) {
                v = in->keyword[k].value;
                used++;
                if (given) {
                    return rl_jinja_fail(run, "macro '%.*s' got '%.*s' twice", (int)own.len,
                                         own.ptr, (int)name.len, name.ptr);
                }
                given = true;
            }
        }
        if (!given && param->a != NULL) {
            rl_status status = rl_jinja_eval(run, param->a, &v);
            if (status != RL_OK) {
                return status;
            }
        }
        rl_jinja_define(run, frame, param->symbol, v);
    }
    for (size_t k = 0; k < in->n_keywords; k++) {
        if (rl_jinja_text_is(in->keyword[k].name, "caller")) {
            if (run->jinja->caller >= 0) {
                rl_jinja_define(run, frame, run->jinja->caller, in->keyword[k].value);
            }
            used++;
        }
    }
    if (in->n > i || used < in->n_keywords) {
        return rl_jinja_fail(run, "macro '%.*s' got an argument that it does not take",
                             (int)own.len, own.ptr);
    }
    return RL_OK;
}

rl_status rl_jinja_exec_macro(rl_jinja_run *run, const rl_jinja_callable *called,
                              const rl_jinja_args *in, value *out) {
    rl_jinja_frame *outer = run->frame, *frame = new_frame(run, called->scope);
    run->frame = frame;
    rl_status status = rl_jinja_charge(run, sizeof *frame);
    if (status == RL_OK) {
        status = place_params(run, called, in, frame);
    }
    run->frame = outer;
    if (status == RL_OK) {
        status = capture(run, called->macro->list, frame, out);
    }
    return status;
}

static rl_status exec_with(rl_jinja_run *run, const node *n) {
    rl_jinja_frame *outer = run->frame, *frame = new_frame(run, outer);
    rl_status status = rl_jinja_charge(run, sizeof *frame);
    for (const node *set = n->args; set != NULL && status == RL_OK; set = set->next) {
        value v;
        status = rl_jinja_eval(run, set->b, &v); // seen from outside
        run->frame = frame;
        if (status == RL_OK) {
            status = assign(run, set->a, &v);
        }
        run->frame = outer;
    }
    return status == RL_OK ? exec_scope(run, n->list, frame) : status;
}

static rl_status exec_one(rl_jinja_run *run, const node *n) {
    value v;
    rl_status status;
    switch (n->kind) {
    case RL_JINJA_DATA:
        return rl_jinja_append(run, run->out, n->constant.as.text);
    case RL_JINJA_OUTPUT:
        status = rl_jinja_eval(run, n->a, &v);
        return status == RL_OK ? rl_jinja_print(run, run->out, &v) : status;
    case RL_JINJA_IF:
        return exec_if(run, n);
    case RL_JINJA_FOR:
        return exec_for(run, n);
    case RL_JINJA_SET:
        status = rl_jinja_eval(run, n->b, &v);
        return status == RL_OK ? assign(run, n->a, &v) : status;
    case RL_JINJA_SET_BLOCK:
    case RL_JINJA_FILTER_BLOCK:
        return exec_set_block(run, n);
    case RL_JINJA_MACRO:
        rl_jinja_define(run, run->frame, n->symbol, make_macro(run, n));
        return RL_OK;
    case RL_JINJA_CALL_BLOCK:
        return exec_call_block(run, n);
    case RL_JINJA_WITH:
        return exec_with(run, n);
    case RL_JINJA_GENERATION:
        return exec_scope(run, n->list, new_frame(run, run->frame));
    case RL_JINJA_BREAK:
    case RL_JINJA_CONTINUE:
        run->jump = n->kind == RL_JINJA_BREAK ? RL_JINJA_BREAKS : RL_JINJA_CONTINUES;
        return RL_OK;
    case RL_JINJA_CONSTANT:
    case RL_JINJA_NAME:
    case RL_JINJA_BODY:
    case RL_JINJA_TUPLE:
    case RL_JINJA_LIST_OF:
    case RL_JINJA_DICT_OF:
    case RL_JINJA_ATTRIBUTE:
    case RL_JINJA_ITEM:
    case RL_JINJA_SLICE:
    case RL_JINJA_CALL:
    case RL_JINJA_FILTER:
    case RL_JINJA_TEST:
    case RL_JINJA_COMPARE:
    case RL_JINJA_OPERAND:
    case RL_JINJA_BINARY:
    case RL_JINJA_AND:
    case RL_JINJA_OR:
    case RL_JINJA_NOT:
    case RL_JINJA_NEGATIVE:
    case RL_JINJA_POSITIVE:
    case RL_JINJA_CHOICE:
    case RL_JINJA_ARGUMENT:
        break;
    }
    return rl_jinja_fail(run, "an expression where a statement belongs");
}

rl_status rl_jinja_exec(rl_jinja_run *run, const node *list) {
    rl_status status = RL_OK;
    if (run->depth >= run->limits->depth) {
        return rl_jinja_fail(run, "nested deeper than %d levels", run->limits->depth);
    }
    run->depth++;
    for (; list != NULL && status == RL_OK && run->jump == RL_JINJA_GOES_ON; list = list->next) {
        run->line = list->line;
        status = rl_jinja_step(run, 1);
        if (status == RL_OK) {
            status = exec_one(run, list);
        }
    }
    run->depth--;
    return status;
}
