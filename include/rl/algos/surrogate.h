/*
 * The clipped policy loss as a function of log-probabilities alone.
 *
 * This is the seam between algorithms and models: a policy supplies log-probs of the sampled tokens
 * and takes back their gradient, so neither side knows the other and finite differences can check
 * the maths.
 */
#ifndef RL_ALGOS_SURROGATE_H
#define RL_ALGOS_SURROGATE_H

#include "rl/core/batch.h"

typedef enum rl_ratio { RL_RATIO_TOKEN, RL_RATIO_SEQUENCE } rl_ratio;
typedef enum rl_mean { RL_MEAN_SAMPLE, RL_MEAN_TOKEN, RL_MEAN_CONSTANT } rl_mean;

typedef struct rl_surrogate {
    rl_ratio ratio; // the published family needs more rows than these: see algorithms.md section 6
    rl_mean mean;
    double clip_low, clip_high; // ratio stays within [1 - low, 1 + high]
    double kl_coef;             // 0 leaves the reference model unloaded
    double divisor;             // tokens per sample assumed by RL_MEAN_CONSTANT
} rl_surrogate;

typedef struct rl_loss {
    double value, kl, clipped, ratio_max; // clipped is a fraction of tokens
} rl_loss;

/* logp and d_logp are [batch->n_tokens]; d_logp is overwritten and is zero for samples not kept. */
rl_loss rl_surrogate_eval(const rl_surrogate *spec, const rl_batch *batch, const double *logp,
                          double *d_logp);

#endif
