/* Methods of dicts, lists and `loop`; those of texts are in jinja_text_methods.c. */
#include "policy/jinja_methods.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

static rl_status dict_get(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value *found;
    rl_status status = rl_jinja_look_up(run, in->arg[0].as.dict, &in->arg[1], &found);
    *out = found != NULL                        ? *found
           : in->arg[2].type == RL_JINJA_ABSENT ? rl_jinja_none()
                                                : in->arg[2];
    return status;
}

static rl_status dict_view(rl_jinja_run *run, const rl_jinja_args *in, bool keys, bool values,
                           value *out) {
    const rl_jinja_dict *dict = in->arg[0].as.dict;
    rl_status status = rl_jinja_charge(run, dict->n * 4 * sizeof *out);
    *out = rl_jinja_new_list(run->arena, dict->n, RL_JINJA_IS_LIST);
    for (size_t i = 0; i < dict->n && status == RL_OK; i++) {
        value item = keys ? dict->entry[i].key : dict->entry[i].value;
        if (keys && values) {
            item = rl_jinja_new_list(run->arena, 2, RL_JINJA_IS_TUPLE);
            rl_jinja_push(run->arena, item, dict->entry[i].key);
            rl_jinja_push(run->arena, item, dict->entry[i].value);
        }
        rl_jinja_push(run->arena, *out, item);
    }
    return status;
}

static rl_status dict_items(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return dict_view(run, in, true, true, out);
}

static rl_status dict_keys(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return dict_view(run, in, true, false, out);
}

static rl_status dict_values(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return dict_view(run, in, false, true, out);
}

static rl_status dict_copy(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    (void)run;
    *out = in->arg[0]; // nothing changes a dict, so it is its own copy
    return RL_OK;
}

static rl_status list_index(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const rl_jinja_list *list = in->arg[0].as.list;
    for (size_t i = 0; i < list->n; i++) {
        bool same;
        rl_status status = rl_jinja_equal(run, &list->item[i], &in->arg[1], &same);
        if (status != RL_OK || same) {
            *out = rl_jinja_int((int64_t)i);
            return status;
        }
    }
    return rl_jinja_fail(run, "'index' does not find its item");
}

static rl_status list_count(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const rl_jinja_list *list = in->arg[0].as.list;
    int64_t n = 0;
    rl_status status = RL_OK;
    for (size_t i = 0; i < list->n && status == RL_OK; i++) {
        bool same;
        status = rl_jinja_equal(run, &list->item[i], &in->arg[1], &same);
        n += same;
    }
    *out = rl_jinja_int(n);
    return status;
}

// What would change a value is refused, as the immutable sandbox does.
static rl_status refuse_change(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    (void)out;
    return rl_jinja_fail(run, "a template may not change a %s", rl_jinja_type_name(&in->arg[0]));
}

static rl_status loop_cycle(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    if (in->n < 2) {
        return rl_jinja_fail(run, "loop.cycle wants items");
    }
    *out = in->arg[1 + in->arg[0].as.loop->index % (in->n - 1)];
    return RL_OK;
}

// changed(values): whether they are others than at the last call in this loop.
static rl_status loop_changed(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_loop *loop = in->arg[0].as.loop;
    bool same = loop->seen != NULL && loop->n_seen == in->n - 1;
    rl_status status = RL_OK;
    for (size_t i = 0; i < loop->n_seen && same && status == RL_OK; i++) {
        status = rl_jinja_equal(run, &loop->seen[i], &in->arg[i + 1], &same);
    }
    loop->seen = in->arg + 1; // arguments lie in the arena
    loop->n_seen = in->n - 1;
    *out = rl_jinja_bool(!same);
    return status;
}

static const rl_jinja_func dict_methods[] = {
    {"get", "key | default", dict_get},
    {"items", "", dict_items},
    {"keys", "", dict_keys},
    {"values", "", dict_values},
    {"copy", "", dict_copy},
    {"clear", "*", refuse_change},
    {"pop", "*", refuse_change},
    {"popitem", "*", refuse_change},
    {"setdefault", "*", refuse_change},
    {"update", "*", refuse_change},
};

static const rl_jinja_func list_methods[] = {
    {"index", "value", list_index}, {"count", "value", list_count}, {"append", "*", refuse_change},
    {"clear", "*", refuse_change},  {"extend", "*", refuse_change}, {"insert", "*", refuse_change},
    {"pop", "*", refuse_change},    {"remove", "*", refuse_change}, {"reverse", "*", refuse_change},
    {"sort", "*", refuse_change},
};

static const rl_jinja_func loop_methods[] = {{"cycle", "*", loop_cycle},
                                             {"changed", "*", loop_changed}};

#define FIND_IN(table) rl_jinja_find_in(table, sizeof(table) / sizeof((table)[0]), name)

const rl_jinja_func *rl_jinja_find_method(const value *self, text name) {
    switch (self->type) {
    case RL_JINJA_TEXT:
        return rl_jinja_find_text_method(name);
    case RL_JINJA_DICT:
        return FIND_IN(dict_methods);
    case RL_JINJA_LIST:
        return FIND_IN(list_methods);
    case RL_JINJA_LOOP:
        return FIND_IN(loop_methods);
    case RL_JINJA_ABSENT:
    case RL_JINJA_UNDEFINED:
    case RL_JINJA_NONE:
    case RL_JINJA_BOOL:
    case RL_JINJA_INT:
    case RL_JINJA_FLOAT:
    case RL_JINJA_NAMESPACE:
    case RL_JINJA_CALLABLE:
        break;
    }
    return NULL;
}
