/* Learning-rate schedules, with the arithmetic of transformers' get_scheduler. */
#include <math.h>

#include "rl/core/assert.h"
#include "rl/core/fmath.h"
#include "rl/policy/optim.h"

/* What is left of the rate, from 1 to 0, where share x of the fall lies behind. */
static double left_at(rl_decay decay, double x) {
    const double pi = 3.14159265358979323846;
    switch (decay) {
    case RL_DECAY_LINEAR:
        return 1 - x;
    case RL_DECAY_COSINE:
        return 0.5 * (1 + rl_cos(pi * x));
    case RL_DECAY_SQRT:
        return 1 - sqrt(x);
    }
    RL_ASSERT(!"a curve of the list");
    return 1;
}

/* Share of `span` updates from `begin` on that lies behind at update k. */
static double behind(int64_t k, int64_t begin, int64_t span) {
    double x = (double)(k - begin) / (double)(span > 1 ? span : 1);
    return x < 0 ? 0 : x < 1 ? x : 1;
}

double rl_lr_at(const rl_optim_opts *opts, int64_t k, int64_t n_updates) {
    int64_t warmup = opts->warmup_steps, decay = opts->decay_steps;
    double least = opts->min_lr_ratio, left = 1;
    RL_ASSERT(k >= 0);
    if (k < warmup) {
        double share = (double)k / (double)warmup;
        bool above = opts->schedule == RL_SCHEDULE_WARMUP_STABLE_DECAY;
        return opts->lr * (above ? least + (1 - least) * share : share);
    }
    switch (opts->schedule) {
    case RL_SCHEDULE_CONSTANT:
        return opts->lr;
    case RL_SCHEDULE_LINEAR:
        left = left_at(RL_DECAY_LINEAR, behind(k, warmup, n_updates - warmup));
        break;
    case RL_SCHEDULE_COSINE:
        left = left_at(RL_DECAY_COSINE, behind(k, warmup, n_updates - warmup));
        break;
    case RL_SCHEDULE_WARMUP_STABLE_DECAY:
        left = left_at(opts->decay_type, behind(k, n_updates - decay, decay));
        break;
    }
    return opts->lr * (least + (1 - least) * left);
}
