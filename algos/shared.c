#include "algos/shared.h"

const char *const rl_scale_names[] = {"group", "batch", "none", NULL};
const char *const rl_std_names[] = {"sample", "population", NULL};
const char *const rl_loss_type_names[] = {"dapo", "grpo", "bnpo", "dr_grpo", NULL};
const char *const rl_ratio_names[] = {"token", "sequence", NULL};

rl_status rl_algo_check(const void *opts, rl_err *err) {
    const rl_algo_opts *o = opts;
    if (o->beta != 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'algo.beta' is %g, but a KL penalty needs a reference model, which is not "
                       "supported yet; leave it at 0",
                       o->beta);
    }
    return RL_OK;
}

rl_status rl_init_nothing(const rl_algo_run *run, const rl_tag_counts *tags, rl_err *err) {
    (void)run, (void)tags, (void)err;
    return RL_OK;
}

void rl_release_nothing(const rl_algo_run *run) {
    (void)run;
}

void rl_select_all(const rl_algo_run *run, rl_batch *batch) {
    (void)run, (void)batch;
}

void rl_modulate_none(const rl_algo_run *run, rl_batch *batch) {
    (void)run, (void)batch;
}

rl_status rl_persist_nothing(const rl_algo_run *run, rl_archive *archive, rl_err *err) {
    (void)run, (void)archive, (void)err;
    return RL_OK;
}

void rl_surrogate_shared(const rl_algo_run *run, rl_surrogate *out) {
    const rl_algo_opts *o = run->opts;
    *out = (rl_surrogate){
        .ratio = o->importance_sampling_level,
        .loss_type = o->loss_type,
        .clip_low = o->epsilon,
        .clip_high = o->epsilon_high > 0 ? o->epsilon_high : o->epsilon,
        .kl_coef = o->beta,
        .divisor = o->divisor,
    };
}
