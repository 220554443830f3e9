/*
 * One optimizer step's gradient: which samples train, how they are packed into micro-batches that
 * share contexts, and the check that sampler and trainer agree to the bit. Private to train/.
 */
#ifndef RL_TRAIN_STEP_H
#define RL_TRAIN_STEP_H

#include "rl/algos/algo.h"
#include "rl/core/arena.h"
#include "rl/core/batch.h"
#include "rl/policy/score.h"

typedef struct step_result {
    rl_loss loss;
    double diff_mean, diff_max; // |sampler log-prob - recomputed|, over the tokens recomputed
    double entropy;             // mean over all sampled tokens
    int64_t n_tokens;           // packed tokens that went through forward and backward
    int32_t n_trained;          // samples with a gradient
    int32_t n_passes;           // micro-batches that did
} step_result;

/*
 * Runs the algorithm's hooks on a scored batch and accumulates the policy's gradient. Samples whose
 * advantage is 0 and that carry no KL skip the backward but stay in the loss's denominators. Where
 * every sample is so, the first group is scored all the same, so that the difference is measured
 * every step.
 *
 * The loss is divided once, by what the whole step has, before any micro-batch runs. Micro-batches
 * add their gradients one after the other, in the order of the batch: the sum depends on where they
 * are cut, and so on micro_tokens and the batch, in its last bits, and on nothing else; not on
 * threads.
 */
rl_status step_gradient(const rl_algo *algo, const rl_algo_run *run, rl_batch *batch,
                        rl_policy *policy, double temperature, int32_t micro_tokens,
                        rl_arena *arena, step_result *out, rl_err *err) RL_MUST_USE;

/*
 * Names the first value that is not finite on the way to sample i's log-probs, as rl_policy_trace
 * does, or "a log-prob" where the trace finds none.
 */
rl_status step_trace(const rl_batch *batch, int32_t i, rl_policy *policy, rl_arena *arena,
                     char name[96], rl_err *err) RL_MUST_USE;

#endif
