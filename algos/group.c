/*
 * Advantages within groups. Conventions, all named keys of the recipe:
 *   centre         mean of the group's scored samples
 *   scale_rewards  group: spread of those; batch: spread of all scored samples of the batch, every
 *                  turn together and not centred by group (TRL); none: no division
 *   std            sample divides the variance by n - 1, population by n
 *   std_eps        added to the spread
 * Unscored samples are outside all statistics; samples not kept get 0 but count in them, since
 * pruning spares work and does not change what an attempt is compared with. A group whose credits
 * are all equal, one of a single sample included, has advantage 0 exactly: no rounding noise and no
 * 0 / 0 whatever the keys.
 */
#include "algos/shared.h"

#include <math.h>

typedef struct stats {
    int32_t n;
    double mean, std;
    bool flat;
} stats;

static stats measure(const rl_batch *batch, int32_t begin, int32_t end, rl_std_kind kind) {
    stats out = {.flat = true};
    double sum = 0, squares = 0, low = HUGE_VAL, high = -HUGE_VAL;
    for (int32_t i = begin; i < end; i++) {
        const rl_sample *s = &batch->sample[i];
        if (s->scored) {
            out.n++;
            sum += s->credit;
            low = fmin(low, s->credit);
            high = fmax(high, s->credit);
        }
    }
    if (out.n == 0) {
        return out;
    }
    out.flat = low == high;
    out.mean = sum / out.n;
    for (int32_t i = begin; i < end; i++) {
        const rl_sample *s = &batch->sample[i];
        if (s->scored) {
            squares += (s->credit - out.mean) * (s->credit - out.mean);
        }
    }
    switch (kind) {
    case RL_STD_SAMPLE:
        out.std = out.n > 1 ? sqrt(squares / (out.n - 1)) : 0;
        break;
    case RL_STD_POPULATION:
        out.std = sqrt(squares / out.n);
        break;
    }
    return out;
}

void rl_advantage_group(const rl_algo_run *run, rl_batch *batch) {
    const rl_algo_opts *o = run->opts;
    stats all = measure(batch, 0, batch->n_samples, o->std);
    for (int32_t g = 0; g < batch->n_groups; g++) {
        const rl_group *group = &batch->group[g];
        int32_t end = group->first + group->n_samples;
        stats own = measure(batch, group->first, end, o->std);
        double scale = 1;
        switch (o->scale_rewards) {
        case RL_SCALE_GROUP:
            scale = own.std + o->std_eps;
            break;
        case RL_SCALE_BATCH:
            scale = all.std + o->std_eps;
            break;
        case RL_SCALE_NONE:
            break;
        }
        for (int32_t i = group->first; i < end; i++) {
            rl_sample *s = &batch->sample[i];
            bool counts = s->scored && s->keep && !own.flat;
            s->advantage = counts ? (s->credit - own.mean) / scale : 0;
        }
    }
}
