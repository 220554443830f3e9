/* ==, and look-ups by it. Every value compared is charged: lists that share their parts can hold
 * far more of them than memory does. */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

static rl_status equal_lists(rl_jinja_run *run, const rl_jinja_list *a, const rl_jinja_list *b,
                             bool *out) {
    rl_status status = RL_OK;
    if (a == b) {
        *out = true;
        return RL_OK;
    }
    *out = a->n == b->n && a->kind == b->kind && a->kind != RL_JINJA_IS_LAZY;
    for (size_t i = 0; i < a->n && *out && status == RL_OK; i++) {
        status = rl_jinja_equal(run, &a->item[i], &b->item[i], out);
    }
    return status;
}

static rl_status equal_dicts(rl_jinja_run *run, const rl_jinja_dict *a, const rl_jinja_dict *b,
                             bool *out) {
    rl_status status = RL_OK;
    *out = a->n == b->n;
    for (size_t i = 0; i < a->n && *out && a != b && status == RL_OK; i++) {
        const value *other;
        status = rl_jinja_look_up(run, b, &a->entry[i].key, &other);
        *out = other != NULL;
        if (status == RL_OK && other != NULL) {
            status = rl_jinja_equal(run, &a->entry[i].value, other, out);
        }
    }
    return status;
}

rl_status rl_jinja_equal(rl_jinja_run *run, const value *a, const value *b, bool *out) {
    rl_status status = rl_jinja_step(run, 1);
    *out = false;
    if (status != RL_OK) {
        return status;
    }
    if (a->type == RL_JINJA_TEXT && b->type == RL_JINJA_TEXT && a->as.text.len == b->as.text.len) {
        status = rl_jinja_step(run, a->as.text.len / RL_JINJA_STEP_BYTES);
    }
    if (status == RL_OK && a->type == RL_JINJA_LIST && b->type == RL_JINJA_LIST) {
        return equal_lists(run, a->as.list, b->as.list, out);
    }
    if (status == RL_OK && a->type == RL_JINJA_DICT && b->type == RL_JINJA_DICT) {
        return equal_dicts(run, a->as.dict, b->as.dict, out);
    }
    *out = status == RL_OK && rl_jinja_same(a, b);
    return status;
}

rl_status rl_jinja_look_up(rl_jinja_run *run, const rl_jinja_dict *dict, const value *key,
                           const value **out) {
    rl_status status = RL_OK;
    bool found = false;
    *out = NULL;
    for (size_t i = 0; i < dict->n && !found && status == RL_OK; i++) {
        status = rl_jinja_equal(run, &dict->entry[i].key, key, &found);
        if (found) {
            *out = &dict->entry[i].value;
        }
    }
    return status;
}

rl_status rl_jinja_store(rl_jinja_run *run, value dict, value key, value item) {
    const value *known;
    rl_status status = rl_jinja_look_up(run, dict.as.dict, &key, &known);
    if (status == RL_OK) {
        status = rl_jinja_charge(run, 2 * sizeof(rl_jinja_entry));
    }
    if (status == RL_OK) {
        rl_jinja_put(run->arena, dict, key, item);
    }
    return status;
}
