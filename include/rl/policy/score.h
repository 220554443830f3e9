/*
 * Log-probs of given tokens, and the gradient of any function of them.
 *
 * Input is a forest of segments, so that what several sequences share (a prompt, an earlier
 * attempt) is computed once: a segment continues its parent, or starts a sequence at position 0. A
 * segment's first token is predicted from its parent's last one. Results come for the tokens of
 * segments marked `wanted`, in segment order; a root's first token has no prediction and no result.
 */
#ifndef RL_POLICY_SCORE_H
#define RL_POLICY_SCORE_H

#include <stdbool.h>
#include <stdint.h>

#include "rl/core/status.h"
#include "rl/policy/policy.h"

typedef struct rl_segment {
    int32_t parent; // index of an earlier segment, or -1
    int32_t n_tokens;
    const int32_t *token; // [n_tokens]
    bool wanted;
} rl_segment;

/* Results a forest gives: wanted tokens, less one for each wanted root. */
int64_t rl_score_count(const rl_segment *segment, int32_t n_segments);

/* logp and entropy are [rl_score_count]; entropy may be NULL. temperature > 0. */
rl_status rl_policy_score(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                          double temperature, double *logp, double *entropy,
                          rl_err *err) RL_MUST_USE;

/* The same without the policy's adapter: the bits of the model alone, which a run with an adapter
 * takes for its reference. A policy without an adapter has no such reference. */
rl_status rl_policy_score_reference(rl_policy *policy, const rl_segment *segment,
                                    int32_t n_segments, double temperature, double *logp,
                                    double *entropy, rl_err *err) RL_MUST_USE;

/*
 * Forward and backward in one pass: adds to every parameter's gradient that of sum(d_logp * logp) +
 * sum(d_entropy * entropy). d_entropy may be NULL. Also reports the logp and entropy of this
 * forward, which have the bits of rl_policy_score and of the sampler.
 */
rl_status rl_policy_backward(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                             double temperature, const double *d_logp, const double *d_entropy,
                             double *logp, double *entropy, rl_err *err) RL_MUST_USE;
/*
 * Names the first value that is not finite when this forest is scored: "output of model.layers.3",
 * or "" when all are. For telling the user where a run broke; slow.
 */
rl_status rl_policy_trace(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                          char name[96], rl_err *err) RL_MUST_USE;
void rl_policy_zero_grad(rl_policy *policy);

/* Bytes that a backward over n_tokens packed tokens needs beside the weights. */
int64_t rl_policy_train_bytes(const rl_model_config *config, rl_recompute recompute,
                              int64_t n_tokens);

#endif
