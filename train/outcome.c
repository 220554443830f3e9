#include "train/outcome.h"

#include <math.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

double share_value(share s) {
    return s.of > 0 ? (double)s.n / (double)s.of : (double)NAN;
}

static void share_add(share *to, bool counts) {
    to->n += counts;
    to->of++;
}

static void share_join(share *to, share more) {
    to->n += more.n;
    to->of += more.of;
}

typedef enum finding { FAILED, SOLVED, LEFT_OUT } finding;

/* The attempt after each; -1 where there is none. */
static int32_t *follow(const rl_batch *batch) {
    int32_t *next = rl_alloc((size_t)batch->n_samples, sizeof *next);
    for (int32_t i = 0; i < batch->n_samples; i++) {
        int32_t parent = batch->sample[i].parent;
        next[i] = -1;
        if (parent >= 0) {
            RL_ASSERT(next[parent] < 0);
            next[parent] = i;
        }
    }
    return next;
}

static finding within(const rl_rollout_result *r, const int32_t *next, int32_t first,
                      int32_t n_attempts) {
    int32_t i = first;
    for (int32_t k = 0; k < n_attempts; k++) {
        if (i < 0) {
            return FAILED;
        }
        if (!r->batch.sample[i].scored) {
            return LEFT_OUT;
        }
        if (r->story[i].solved) {
            return SOLVED;
        }
        if (r->story[i].lone && k + 1 < n_attempts) {
            return LEFT_OUT;
        }
        i = next[i];
    }
    return FAILED;
}

static void count_share(share *to, finding found) {
    if (found != LEFT_OUT) {
        share_add(to, found == SOLVED);
    }
}

static bool same_text(const rl_sample_story *a, const rl_sample_story *b) {
    return a->completion_len == b->completion_len &&
           memcmp(a->completion, b->completion, a->completion_len) == 0;
}

static void count_sample(const rl_rollout_result *r, const int32_t *next, int32_t first,
                         outcome *out) {
    int32_t second = next[first];
    out->samples++;
    for (int32_t k = 0; k < r->batch.n_turns; k++) {
        count_share(&out->iter[k], within(r, next, first, k + 1));
    }
    if (second >= 0) {
        share_add(&out->repeat, same_text(&r->story[first], &r->story[second]));
        if (r->batch.sample[second].scored) {
            share_add(&out->fix, r->story[second].solved);
        }
    }
}

void outcome_count(const rl_rollout_result *result, rl_retry retry, int32_t n_problems,
                   outcome *out) {
    const rl_batch *batch = &result->batch;
    int32_t *next = follow(batch);
    RL_ASSERT(batch->n_turns <= OUTCOME_TURNS && n_problems <= batch->n_groups);
    for (int32_t p = 0; p < n_problems; p++) {
        const rl_group *root = &batch->group[p];
        for (int32_t i = root->first; i < root->first + root->n_samples; i++) {
            if (retry == RL_RETRY_FEEDBACK) {
                count_sample(result, next, i, &out[p]);
            }
            count_share(&out[p].control[retry], within(result, next, i, 2));
        }
    }
    rl_free(next);
}

void outcome_add(outcome *to, const outcome *more) {
    to->samples += more->samples;
    for (int32_t k = 0; k < OUTCOME_TURNS; k++) {
        share_join(&to->iter[k], more->iter[k]);
    }
    for (int32_t c = 0; c < RL_N_RETRIES; c++) {
        share_join(&to->control[c], more->control[c]);
    }
    share_join(&to->fix, more->fix);
    share_join(&to->repeat, more->repeat);
}

int64_t outcome_left_out(const outcome *o, int32_t n_turns, bool controls) {
    int64_t most = 0;
    for (int32_t k = 0; k < n_turns; k++) {
        most = o->samples - o->iter[k].of > most ? o->samples - o->iter[k].of : most;
    }
    for (int32_t c = 0; controls && c < RL_N_RETRIES; c++) {
        most = o->samples - o->control[c].of > most ? o->samples - o->control[c].of : most;
    }
    return most;
}
