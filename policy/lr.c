/* Learning-rate schedules, with the arithmetic of transformers' get_scheduler. */
#include <math.h>

#include "rl/core/assert.h"
#include "rl/core/fmath.h"
#include "rl/policy/optim.h"

double rl_lr_at(const rl_optim_opts *opts, int64_t k, int64_t n_updates) {
    const double pi = 3.14159265358979323846;
    int64_t warmup = opts->warmup_steps;
    RL_ASSERT(k >= 0);
    if (k < warmup) {
        return opts->lr * ((double)k / (double)warmup);
    }
    // Share of the decay that lies behind; beyond the last update the rate stays where it ended.
    double span = (double)(n_updates > warmup ? n_updates - warmup : 1);
    double x = (double)(k - warmup) / span, left = 1;
    x = x < 1 ? x : 1;
    switch (opts->schedule) {
    case RL_SCHEDULE_CONSTANT:
        return opts->lr;
    case RL_SCHEDULE_LINEAR:
        left = 1 - x;
        break;
    case RL_SCHEDULE_COSINE:
        left = 0.5 * (1 + rl_cos(pi * x));
        break;
    }
    return opts->lr * (opts->min_lr_ratio + (1 - opts->min_lr_ratio) * left);
}
