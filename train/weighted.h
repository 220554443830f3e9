/*
 * The weighted loss of conversations, sum(w * -log p) / sum(w) over all their tokens, in parts:
 * what some conversations add to the sums, and its gradient. Conversations are roots of one forest
 * a pass, so that they are packed without padding. Private to train/.
 */
#ifndef RL_TRAIN_WEIGHTED_H
#define RL_TRAIN_WEIGHTED_H

#include "rl/core/arena.h"
#include "rl/policy/score.h"
#include "rl/rollout/corpus.h"

typedef struct weighted_mean {
    double sum;
    int64_t n;
} weighted_mean;

/* Sums over tokens; all but n_tokens over those that weigh more than 0. */
typedef struct weighted_sums {
    double loss, weight;           // of w * -log p, of w
    weighted_mean said, said_full; // -log p of what the assistant says; where it weighs 1 or more
    weighted_mean prompt, heavy;   // -log p of all else; of what weighs more than 1
    weighted_mean entropy;
    int64_t n_tokens;
    int32_t n_passes;
    const rl_conversation *broken; // the first whose loss is not finite, or NULL
} weighted_sums;

double weighted_mean_value(const weighted_mean *m); // NaN of nothing

/* The sum of w, told before the forward. */
double weighted_total(const rl_conversation *const *item, int32_t n_items);

/*
 * Adds to out, in order, and to the policy's gradient scale times that of the sum of w * -log p;
 * scale 0 scores alone. Passes take at most micro_tokens tokens, or one conversation that is
 * longer, and follow each other in order: their sum depends on micro_tokens in its last bits, not
 * on threads.
 */
rl_status weighted_run(rl_policy *policy, const rl_conversation *const *item, int32_t n_items,
                       double scale, int32_t micro_tokens, rl_arena *arena, weighted_sums *out,
                       rl_err *err) RL_MUST_USE;

#endif
