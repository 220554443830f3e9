#include "rl/core/batch.h"

#include <stddef.h>

static const char *check_group(const rl_batch *batch, int32_t g, int32_t first) {
    const rl_group *group = &batch->group[g];
    if (group->first != first || group->n_samples < 1 ||
        group->n_samples > batch->n_samples - first) {
        return "groups do not cover the samples in order";
    }
    if (group->parent < -1 || group->parent >= first) {
        return "a parent is not stored before its children";
    }
    if (group->ctx_begin > group->ctx_end || group->ctx_end > batch->n_context_tokens) {
        return "a group's context is outside the context tokens";
    }
    for (int32_t h = 0; h < g; h++) {
        if (group->parent >= 0 && batch->group[h].parent == group->parent) {
            return "the children of an attempt are in two groups";
        }
    }
    return NULL;
}

static const char *check_sample(const rl_batch *batch, int32_t g, int32_t i) {
    const rl_group *group = &batch->group[g];
    const rl_sample *s = &batch->sample[i], *parent = NULL;
    if (s->group != g || s->parent != group->parent) {
        return "a sample and its group disagree";
    }
    if (s->parent >= 0) {
        parent = &batch->sample[s->parent];
    }
    if (s->turn != (parent != NULL ? parent->turn + 1 : 0) || s->turn >= batch->n_turns) {
        return "a turn does not follow its parent's";
    }
    if (s->problem != (parent != NULL ? parent : &batch->sample[group->first])->problem) {
        return "a tree or a group spans two problems";
    }
    if (s->tok_begin > s->tok_end || s->tok_end > batch->n_tokens) {
        return "a sample's tokens are outside the token arrays";
    }
    if (i > 0 && s->tok_begin < batch->sample[i - 1].tok_end) {
        return "samples share tokens";
    }
    if (s->keep && !s->scored) {
        return "an unscored sample is kept";
    }
    return NULL;
}

const char *rl_batch_check(const rl_batch *batch) {
    int32_t next = 0;
    for (int32_t g = 0; g < batch->n_groups; g++) {
        const char *broken = check_group(batch, g, next);
        for (int32_t end = next + batch->group[g].n_samples; broken == NULL && next < end; next++) {
            broken = check_sample(batch, g, next);
        }
        if (broken != NULL) {
            return broken;
        }
    }
    return next == batch->n_samples ? NULL : "groups do not cover the samples in order";
}
