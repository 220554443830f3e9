/* What came of an evaluation's attempts, counted. Private to train/. */
#ifndef RL_TRAIN_OUTCOME_H
#define RL_TRAIN_OUTCOME_H

#include "rl/rollout/rollout.h"

enum { OUTCOME_TURNS = 64 }; // as many as rollout.turns allows

/* n of `of`. */
typedef struct share {
    int64_t n, of;
} share;
double share_value(share s); // NaN of none

/*
 * A sample is a first attempt with what followed it. One that a verdict is missing of, before it
 * was solved, is in no share that depends on the verdict; nor is one that wanted another problem's
 * feedback where there was none. One whose conversation was full stays unsolved. With controls,
 * second attempts are compared sample by sample: one that is missing in any of them, or in iter[1],
 * is in none, for what fails is missing more often than what succeeds.
 */
typedef struct outcome {
    int64_t samples;
    share iter[OUTCOME_TURNS];   // [k]: solved within k + 1 attempts, each shown its feedback
    share control[RL_N_RETRIES]; // [retry]: solved within two attempts; none where not measured
    share fix;        // failed first attempts whose second, shown the feedback, succeeded
    share repeat;     // such second attempts that say what the first said
    int64_t left_out; // samples that are missing in at least one share of iter and control
} outcome;

/*
 * Adds up per problem a rollout with one retry each, and its controls, which share its first
 * attempts: control[retry], NULL where there is none. out[p] is the problem of root group p.
 */
void outcome_count(const rl_rollout_result *result,
                   const rl_rollout_result *const control[RL_N_RETRIES], int32_t n_problems,
                   outcome *out);
void outcome_add(outcome *to, const outcome *more);

#endif
