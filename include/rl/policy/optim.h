/*
 * AdamW over a policy's parameters, with the global gradient norm and learning-rate schedules. The
 * section `optim` of a recipe. Matches torch.optim.AdamW with torch.nn.utils.clip_grad_norm_, and
 * transformers' get_scheduler.
 */
#ifndef RL_POLICY_OPTIM_H
#define RL_POLICY_OPTIM_H

#include "rl/core/archive.h"
#include "rl/core/schema.h"
#include "rl/policy/policy.h"

typedef enum rl_schedule {
    RL_SCHEDULE_CONSTANT,
    RL_SCHEDULE_LINEAR,
    RL_SCHEDULE_COSINE
} rl_schedule;

typedef struct rl_optim_opts {
    double lr, beta1, beta2, eps, weight_decay;
    double max_grad_norm; // 0 leaves gradients as they are
    rl_schedule schedule;
    int32_t warmup_steps;
    double min_lr_ratio; // cosine and linear end at lr * this
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
