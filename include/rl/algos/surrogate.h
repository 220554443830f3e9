/*
 * The clipped policy loss as a function of log-probabilities alone.
 *
 * This is the seam between algorithms and models: a policy supplies log-probs of the sampled tokens
 * and takes back their gradient, so neither side knows the other and finite differences can check
 * the maths.
 *
 * For a trainable token of a kept sample with advantage A, ratio r and log-ratio l = logp - old:
 *
 *   loss_t = -min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) + kl_coef k3_t
 *
 * r is exp(l) of the token, or exp of the sample's mean l for all its tokens (GSPO). k3 =
 * exp(ref - logp) - (ref - logp) - 1, with its own gradient. How loss_t becomes one number is the
 * loss type, named as in TRL. With N the trainable tokens and S the kept samples of the batch:
 *
 *   dapo     sum over all tokens / N         N counts the whole optimizer step
 *   bnpo     sum over all tokens / N         N counts the batch given; the same number here, where
 *                                            the batch is the step
 *   grpo     mean over samples of the mean over their tokens; a sample without tokens counts as 0
 *   dr_grpo  sum over all tokens / (S * divisor)
 *
 * The entropy bonus takes entropy_coef times the mean entropy over the N tokens off the loss.
 * Samples not kept are outside everything, denominators too. Kept samples of advantage 0 stay in
 * the denominators; without KL and entropy bonus their d_logp is exactly 0, so that a trainer may
 * skip their backward.
 */
#ifndef RL_ALGOS_SURROGATE_H
#define RL_ALGOS_SURROGATE_H

#include "rl/core/batch.h"

typedef enum rl_ratio { RL_RATIO_TOKEN, RL_RATIO_SEQUENCE } rl_ratio;
typedef enum rl_loss_type {
    RL_LOSS_DAPO,
    RL_LOSS_GRPO,
    RL_LOSS_BNPO,
    RL_LOSS_DR_GRPO
} rl_loss_type;

typedef struct rl_surrogate {
    rl_ratio ratio;
    rl_loss_type loss_type;
    double clip_low, clip_high; // ratio stays within [1 - low, 1 + high]
    double kl_coef;             // 0 leaves the reference model unloaded
    double entropy_coef;
    double divisor; // tokens per sample assumed by dr_grpo; 0 takes batch->max_new_tokens
} rl_surrogate;

/* clipped_* are fractions, of tokens or, where the ratio is per sequence, of samples: low has ratio
 * < 1 - clip_low and A < 0, high has ratio > 1 + clip_high and A > 0. kl is a mean over tokens. */
typedef struct rl_loss {
    double value, kl, clipped_low, clipped_high, ratio_max;
} rl_loss;

/*
 * logp is [batch->n_tokens]; the gradients d_logp and d_entropy, [batch->n_tokens], and d_log_z,
 * [batch->n_samples], are overwritten, whole arrays; the last two may be NULL. A batch without a
 * trainable token has loss and gradients 0.
 */
rl_loss rl_surrogate_eval(const rl_surrogate *spec, const rl_batch *batch, const double *logp,
                          double *d_logp, double *d_entropy, double *d_log_z);

#endif
