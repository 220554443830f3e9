/*
 * Memory of a policy and its uses, told from the configuration before anything is allocated. What
 * the backward takes is rl_policy_train_bytes of score.h.
 */
#ifndef RL_POLICY_FOOTPRINT_H
#define RL_POLICY_FOOTPRINT_H

#include "rl/policy/optim.h"
#include "rl/policy/policy.h"

/* Bytes. */
typedef struct rl_footprint {
    double weights;   // float32 masters, the adapter's among them
    double packed;    // what products read, and rotary tables
    double gradients; // none unless the policy trains
    double moments;   // of the optimizer; none unless the policy trains
} rl_footprint;

rl_footprint rl_policy_footprint(const rl_model_config *config, const rl_policy_opts *opts,
                                 const rl_optim_opts *optim);
/* Temporaries of a decoder of so many rows. */
double rl_decoder_bytes(const rl_model_config *config, int32_t max_batch);
/* Keys and values of so many tokens in so many sequences, each of which begins a page of the cache,
 * where the system gives memory by large pages. */
double rl_kv_bytes(const rl_model_config *config, double n_tokens, double n_sequences);

#endif
