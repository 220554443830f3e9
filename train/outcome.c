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

// Second attempts that go on with the sample's own feedback.
static void count_repair(const rl_rollout_result *r, int32_t first, int32_t second, outcome *out) {
    if (second >= 0) {
        share_add(&out->repeat, same_text(&r->story[first], &r->story[second]));
        if (r->batch.sample[second].scored) {
            share_add(&out->fix, r->story[second].solved);
        }
    }
}

/* A rollout with the attempt after each of its attempts; result is NULL where there is none. */
typedef struct branch {
    const rl_rollout_result *result;
    int32_t *next;
} branch;

static void count_sample(const branch *own, const branch *control, int32_t first, outcome *out) {
    int32_t n_turns = own->result->batch.n_turns;
    finding found[OUTCOME_TURNS], second[RL_N_RETRIES];
    bool missing = false, unpaired, controls = false;
    for (int32_t k = 0; k < n_turns; k++) {
        found[k] = within(own->result, own->next, first, k + 1);
        missing = missing || found[k] == LEFT_OUT;
    }
    unpaired = n_turns > 1 && found[1] == LEFT_OUT;
    for (int32_t c = 0; c < RL_N_RETRIES; c++) {
        if (control[c].result != NULL) {
            controls = true;
            second[c] = within(control[c].result, control[c].next, first, 2);
            unpaired = unpaired || second[c] == LEFT_OUT;
        }
    }
    out->samples++;
    out->left_out += missing || (controls && unpaired);
    for (int32_t k = 0; k < n_turns; k++) {
        count_share(&out->iter[k], k == 1 && controls && unpaired ? LEFT_OUT : found[k]);
    }
    for (int32_t c = 0; c < RL_N_RETRIES; c++) {
        if (control[c].result != NULL) {
            count_share(&out->control[c], unpaired ? LEFT_OUT : second[c]);
        }
    }
    count_repair(own->result, first, own->next[first], out);
}

void outcome_count(const rl_rollout_result *result,
                   const rl_rollout_result *const control[RL_N_RETRIES], int32_t n_problems,
                   outcome *out) {
    const rl_batch *batch = &result->batch;
    branch own = {result, follow(batch)}, others[RL_N_RETRIES] = {{NULL, NULL}};
    RL_ASSERT(batch->n_turns <= OUTCOME_TURNS && n_problems <= batch->n_groups);
    for (int32_t c = 0; c < RL_N_RETRIES; c++) {
        if (control[c] != NULL) {
            others[c] = (branch){control[c], follow(&control[c]->batch)};
        }
    }
    for (int32_t p = 0; p < n_problems; p++) {
        const rl_group *root = &batch->group[p];
        for (int32_t i = root->first; i < root->first + root->n_samples; i++) {
            count_sample(&own, others, i, &out[p]);
        }
    }
    for (int32_t c = 0; c < RL_N_RETRIES; c++) {
        rl_free(others[c].next);
    }
    rl_free(own.next);
}

void outcome_add(outcome *to, const outcome *more) {
    to->samples += more->samples;
    to->left_out += more->left_out;
    for (int32_t k = 0; k < OUTCOME_TURNS; k++) {
        share_join(&to->iter[k], more->iter[k]);
    }
    for (int32_t c = 0; c < RL_N_RETRIES; c++) {
        share_join(&to->control[c], more->control[c]);
    }
    share_join(&to->fix, more->fix);
    share_join(&to->repeat, more->repeat);
}
