/*
 * A policy: a language model with its weights, on one backend. Opened from a checkpoint; used by
 * score.h (log-probs and gradients) and decode.h (sampling), which run the same forward; updated by
 * optim.h. With an adapter (lora.h) every use computes with it, and training changes it alone.
 *
 * Life cycle: rl_policy_open, any use, rl_policy_free. After the weights change, rl_policy_repack
 * brings the packed copies that the forward reads up to date. One thread calls; the backend's pool
 * does the work.
 */
#ifndef RL_POLICY_POLICY_H
#define RL_POLICY_POLICY_H

#include "rl/policy/hf.h"
#include "rl/policy/lora.h"
#include "rl/policy/params.h"

typedef struct rl_policy rl_policy;

/*
 * How the forward and backward hold the matrices. Masters are float32 in any case. With BF16 every
 * matrix, embedding included, is read rounded to nearest, products are exact and summed in float32
 * along the same chains: the log-probs and gradients are those of a float32 model whose matrices
 * are the rounded ones. Gradients are applied to the masters as they are. An adapter stays float32.
 */
typedef enum rl_weights { RL_WEIGHTS_F32, RL_WEIGHTS_BF16 } rl_weights;
extern const char *const rl_weights_names[]; // in enumerator order, NULL-terminated

/*
 * What a backward keeps of the forward: all that the layers left, or with LAYERS their inputs only,
 * of which each layer is computed once more when the backward comes to it. Gradients have the same
 * bits either way.
 */
typedef enum rl_recompute { RL_RECOMPUTE_NONE, RL_RECOMPUTE_LAYERS } rl_recompute;
extern const char *const rl_recompute_names[]; // in enumerator order, NULL-terminated

typedef struct rl_policy_opts {
    bool trains;               // allocate gradients
    const rl_adapter *adapter; // borrowed; what trains instead of the weights. NULL: none
    rl_weights weights;
    rl_recompute recompute;
    // These weights will only be computed with, never changed or saved: of matrices the packed copy
    // alone is kept, half of the memory. Neither trains nor an adapter's training goes with it.
    bool fixed;
} rl_policy_opts;

/* be is borrowed. opts NULL: all as in a zeroed struct. */
rl_status rl_policy_open(const rl_checkpoint *checkpoint, rl_backend *be,
                         const rl_policy_opts *opts, rl_policy **out, rl_err *err) RL_MUST_USE;
void rl_policy_free(rl_policy *policy); // accepts NULL
const rl_model_config *rl_policy_config(const rl_policy *policy);
rl_backend *rl_policy_backend(const rl_policy *policy);
/* What trains: the weights, or the adapter's tensors under peft's names. */
rl_params *rl_policy_params(rl_policy *policy);
rl_params *rl_policy_weights(rl_policy *policy); // of the model; without gradients under an adapter
// Neither is for a policy whose weights are fixed, nor are rl_policy_repack and rl_policy_save.
/*
 * Only ids below n_ids can come out: the others are never drawn, and log-probs, entropy and
 * gradients are those of the distribution over [0, n_ids). For models whose embedding has more rows
 * than the tokenizer has tokens. At first n_ids is the model's vocabulary.
 */
void rl_policy_limit_ids(rl_policy *policy, int32_t n_ids);
/* Must follow every change of what trains, before the next forward. */
void rl_policy_repack(rl_policy *policy);
/* Name of the first parameter (or gradient) that holds a NaN or infinity, else NULL. Weights under
 * an adapter are looked at the first time only: they never change. */
const char *rl_policy_not_finite(rl_policy *policy, bool gradients);
/* A checkpoint of this policy in an existing empty folder: a Hugging Face folder, or with an
 * adapter the folder that peft writes. source is what the policy was opened from. */
rl_status rl_policy_save(const rl_policy *policy, const rl_checkpoint *source, rl_save_dtype dtype,
                         const char *folder, rl_err *err) RL_MUST_USE;

#endif
