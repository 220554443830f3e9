/*
 * Credit: what an attempt is worth once the turns that continued it are known. A backward walk over
 * groups sees every later turn before the attempt it pays back (batch.h, invariant 3), so each rule
 * is one pass. Unscored samples have credit 0 and pay nothing back; an attempt all of whose
 * continuations are unscored counts as not continued.
 */
#include "algos/shared.h"

#include <math.h>

#include "rl/core/assert.h"

void rl_credit_own(const rl_algo_run *run, rl_batch *batch) {
    (void)run;
    for (int32_t i = 0; i < batch->n_samples; i++) {
        rl_sample *s = &batch->sample[i];
        s->credit = s->scored ? s->reward : 0;
    }
}

// Credits of the scored members: their number, sum and maximum.
typedef struct tally {
    int32_t n;
    double sum, max;
} tally;

static tally tally_group(const rl_batch *batch, const rl_group *group) {
    tally t = {.max = -HUGE_VAL};
    for (int32_t i = group->first; i < group->first + group->n_samples; i++) {
        const rl_sample *s = &batch->sample[i];
        if (s->scored) {
            t.n++;
            t.sum += s->credit;
            t.max = fmax(t.max, s->credit);
        }
    }
    return t;
}

/* credit(v) = max(reward(v), max over children of credit). */
void rl_credit_max(rl_batch *batch) {
    rl_credit_own(NULL, batch);
    for (int32_t g = batch->n_groups - 1; g >= 0; g--) {
        const rl_group *group = &batch->group[g];
        tally t = tally_group(batch, group);
        if (group->parent >= 0 && t.n > 0) {
            rl_sample *parent = &batch->sample[group->parent];
            parent->credit = fmax(parent->credit, t.max);
        }
    }
}

/*
 * U(v) = reward(v) + gamma * mean over children of U; then credit = U / (turns left, own included)
 * for attempts that were continued, and U for the others: a later turn never makes "failed, then
 * solved" worth more than "solved".
 */
void rl_credit_mean(rl_batch *batch, double gamma) {
    rl_credit_own(NULL, batch);
    for (int32_t g = batch->n_groups - 1; g >= 0; g--) {
        const rl_group *group = &batch->group[g];
        tally t = tally_group(batch, group);
        if (group->parent >= 0 && t.n > 0) {
            batch->sample[group->parent].credit += gamma * (t.sum / t.n);
        }
    }
    for (int32_t g = 0; g < batch->n_groups; g++) {
        const rl_group *group = &batch->group[g];
        if (group->parent >= 0 && tally_group(batch, group).n > 0) {
            rl_sample *parent = &batch->sample[group->parent];
            RL_ASSERT(parent->turn < batch->n_turns);
            parent->credit /= batch->n_turns - parent->turn;
        }
    }
}
