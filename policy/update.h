/*
 * How parameters follow their gradients: one row for each kind of update. An optimizer (optim.c)
 * says which parameters go by which. Private to policy/.
 */
#ifndef RL_POLICY_UPDATE_H
#define RL_POLICY_UPDATE_H

#include "rl/policy/optim.h"

enum { RL_MAX_MOMENTS = 2 };

typedef struct rl_update_item {
    const rl_param *param;
    rl_tensor moment[RL_MAX_MOMENTS]; // of the parameter's shape; kept between steps, 0 at first
} rl_update_item;

typedef struct rl_update_now {
    double lr;         // of the schedule
    double grad_scale; // multiplies every gradient
    int64_t step;      // counts from 1
} rl_update_now;

typedef struct rl_update {
    const char *op;                     // what the backend must support
    const char *moment[RL_MAX_MOMENTS]; // their names in archives; NULL for none
    void (*step)(rl_backend *be, const rl_optim_opts *opts, const rl_update_item *item,
                 int32_t n_items, const rl_update_now *now);
} rl_update;

extern const rl_update rl_update_adamw; // adamw.c
extern const rl_update rl_update_muon;  // muon.c

#endif
