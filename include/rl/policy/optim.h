/*
 * The optimizer of a policy's parameters, with the global gradient norm and learning-rate
 * schedules. The section `optim` of a recipe. Matches torch.optim.AdamW and torch.optim.Muon with
 * torch.nn.utils.clip_grad_norm_, and transformers' get_scheduler. Muon takes the matrices of the
 * blocks and leaves embedding, head and norms to AdamW.
 */
#ifndef RL_POLICY_OPTIM_H
#define RL_POLICY_OPTIM_H

#include "rl/core/archive.h"
#include "rl/core/schema.h"
#include "rl/policy/policy.h"

typedef enum rl_schedule {
    RL_SCHEDULE_CONSTANT,
    RL_SCHEDULE_LINEAR,
    RL_SCHEDULE_COSINE,
    RL_SCHEDULE_WARMUP_STABLE_DECAY
} rl_schedule;

/* The curve of the last part of warmup_stable_decay: transformers' decay_type. */
typedef enum rl_decay { RL_DECAY_LINEAR, RL_DECAY_COSINE, RL_DECAY_SQRT } rl_decay;

typedef enum rl_optimizer { RL_OPTIMIZER_ADAMW, RL_OPTIMIZER_MUON } rl_optimizer;

/* What scales the rate of a matrix by its shape: torch's adjust_lr_fn. */
typedef enum rl_muon_adjust { RL_MUON_MATCH_RMS_ADAMW, RL_MUON_ORIGINAL } rl_muon_adjust;

typedef struct rl_optim_opts {
    rl_optimizer name;
    double lr, beta1, beta2, eps, weight_decay;
    double max_grad_norm; // 0 leaves gradients as they are
    rl_schedule schedule;
    int32_t warmup_steps;
    double min_lr_ratio; // all but constant end at lr * this; warmup_stable_decay begins there too
    int32_t decay_steps; // warmup_stable_decay: its last updates
    rl_decay decay_type;
    double muon_momentum;
    int32_t muon_ns_steps;
    rl_muon_adjust muon_adjust;
    double muon_adamw_lr; // of what Muon does not take; 0 for lr
} rl_optim_opts;
extern const rl_section rl_optim_section;

/* Rate of update k, counted from 0, of n_updates. */
double rl_lr_at(const rl_optim_opts *opts, int64_t k, int64_t n_updates);

typedef struct rl_optim rl_optim;
/* policy is borrowed; opts is copied. */
rl_status rl_optim_new(const rl_optim_opts *opts, rl_policy *policy, rl_optim **out,
                       rl_err *err) RL_MUST_USE;
void rl_optim_free(rl_optim *optim); // accepts NULL
/* L2 norm over all gradients; NaN or infinity when any entry is. */
double rl_optim_grad_norm(rl_optim *optim);
/* One update with gradients as they stand, clipped by the norm given; repacks the policy. */
void rl_optim_step(rl_optim *optim, double lr, double grad_norm);
rl_status rl_optim_persist(rl_optim *optim, rl_archive *archive, rl_err *err) RL_MUST_USE;

#endif
