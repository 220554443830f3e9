#include "rl/policy/optim.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/tensor/ops.h"

static const char *const schedule_names[] = {"constant", "linear", "cosine", NULL};

static const rl_key optim_keys[] = {
    RL_KEY_ROW(rl_optim_opts, lr, "1e-6", 0, 1, 0, "learning rate at the height of the schedule"),
    RL_CHOICE_ROW(rl_optim_opts, schedule, "linear", schedule_names, 0,
                  "how the rate moves after the warm-up: stays, falls in a line, or falls along "
                  "half a cosine, over the updates of the run"),
    RL_KEY_ROW(rl_optim_opts, warmup_steps, "0", 0, 1000000000, 0,
               "updates over which the rate climbs in a line from 0 to lr"),
    RL_KEY_ROW(rl_optim_opts, min_lr_ratio, "0", 0, 1, 0,
               "where linear and cosine end, as a share of lr"),
    RL_KEY_ROW(rl_optim_opts, beta1, "0.9", 0, 0.999999, 0,
               "AdamW's decay of the mean gradient, per update"),
    RL_KEY_ROW(rl_optim_opts, beta2, "0.999", 0, 0.999999, 0,
               "AdamW's decay of the mean squared gradient, per update"),
    RL_KEY_ROW(rl_optim_opts, eps, "1e-8", 0, 1, RL_KEY_OPEN_MIN,
               "added to the root of the mean square before dividing by it"),
    RL_KEY_ROW(
        rl_optim_opts, weight_decay, "0", 0, 1, 0,
        "share of each matrix that decays per update, times the rate; norms and biases never "
        "decay"),
    RL_KEY_ROW(rl_optim_opts, max_grad_norm, "1.0", 0, 1e30, 0,
               "gradients longer than this, taken together, are scaled down to it; 0 for never"),
};

const rl_section rl_optim_section = {
    .name = "optim",
    .doc = "AdamW and its learning-rate schedule; the defaults are TRL's",
    .size = sizeof(rl_optim_opts),
    .keys = optim_keys,
    .n_keys = sizeof optim_keys / sizeof optim_keys[0],
};

struct rl_optim {
    rl_optim_opts opts;
    rl_policy *policy; // borrowed
    rl_backend *be;
    rl_buffer *m, *v; // moments, parameter after parameter
    int64_t n_steps;
};

rl_status rl_optim_new(const rl_optim_opts *opts, rl_policy *policy, rl_optim **out, rl_err *err) {
    size_t bytes = (size_t)rl_policy_params(policy)->n_values * sizeof(float);
    rl_optim *optim = rl_alloc(1, sizeof *optim);
    rl_status status;
    *optim = (rl_optim){.opts = *opts, .policy = policy, .be = rl_policy_backend(policy)};
    *out = NULL;
    status = rl_buffer_alloc(optim->be, bytes, &optim->m, err);
    if (status == RL_OK) {
        status = rl_buffer_alloc(optim->be, bytes, &optim->v, err);
    }
    if (status != RL_OK) {
        rl_optim_free(optim);
        return rl_fail(err, status,
                       "no memory for AdamW's moments (2 x %.0f MiB); choose a smaller model",
                       (double)bytes / 1048576.0);
    }
    int64_t n = rl_policy_params(policy)->n_values;
    rl_op_fill(optim->be, rl_tensor_1d(RL_DTYPE_F32, optim->m, 0, n), 0);
    rl_op_fill(optim->be, rl_tensor_1d(RL_DTYPE_F32, optim->v, 0, n), 0);
    *out = optim;
    return RL_OK;
}

void rl_optim_free(rl_optim *optim) {
    if (optim != NULL) {
        rl_buffer_free(optim->be, optim->m);
        rl_buffer_free(optim->be, optim->v);
        rl_free(optim);
    }
}

double rl_optim_grad_norm(rl_optim *optim) {
    const rl_params *params = rl_policy_params(optim->policy);
    double sum = 0;
    for (int32_t i = 0; i < params->n_items; i++) {
        sum += rl_op_sum_squares(optim->be, params->item[i].grad);
    }
    return sqrt(sum);
}

/* The part of a moment that belongs to a parameter, which begins at element `at`. */
static rl_tensor moment_of(rl_buffer *moment, const rl_param *param, int64_t at) {
    return rl_tensor_1d(RL_DTYPE_F32, moment, (size_t)at * sizeof(float),
                        rl_tensor_count(param->value));
}

void rl_optim_step(rl_optim *optim, double lr, double grad_norm) {
    const rl_optim_opts *opts = &optim->opts;
    const rl_params *params = rl_policy_params(optim->policy);
    int64_t at = 0;
    rl_adamw hyper = {.lr = lr, .beta1 = opts->beta1, .beta2 = opts->beta2, .eps = opts->eps};
    hyper.grad_scale = 1;
    if (opts->max_grad_norm > 0) { // torch.nn.utils.clip_grad_norm_
        double scale = opts->max_grad_norm / (grad_norm + 1e-6);
        hyper.grad_scale = scale < 1 ? scale : 1;
    }
    hyper.step = ++optim->n_steps;
    for (int32_t i = 0; i < params->n_items; i++) {
        const rl_param *param = &params->item[i];
        hyper.weight_decay = param->decay ? opts->weight_decay : 0;
        rl_op_adamw(optim->be, param->value, moment_of(optim->m, param, at),
                    moment_of(optim->v, param, at), param->grad, &hyper);
        at += rl_tensor_count(param->value);
    }
    rl_policy_repack(optim->policy);
}

static rl_status persist_moment(rl_optim *optim, rl_archive *archive, const char *kind,
                                rl_buffer *moment, float *host, rl_err *err) {
    const rl_params *params = rl_policy_params(optim->policy);
    rl_status status = RL_OK;
    int64_t at = 0;
    for (int32_t i = 0; status == RL_OK && i < params->n_items; i++) {
        const rl_param *param = &params->item[i];
        rl_tensor part = moment_of(moment, param, at);
        char name[sizeof param->name + 16];
        snprintf(name, sizeof name, "optim.%s.%s", kind, param->name);
        if (rl_archive_writing(archive)) {
            rl_tensor_get(optim->be, part, host);
        }
        status = rl_archive_bytes(archive, name, host, rl_tensor_bytes(part), err);
        if (status == RL_OK && !rl_archive_writing(archive)) {
            rl_tensor_put(optim->be, part, host);
        }
        at += part.shape[0];
    }
    return status;
}

rl_status rl_optim_persist(rl_optim *optim, rl_archive *archive, rl_err *err) {
    const rl_params *params = rl_policy_params(optim->policy);
    int64_t longest = 0;
    float *host;
    rl_status status;
    for (int32_t i = 0; i < params->n_items; i++) {
        int64_t n = rl_tensor_count(params->item[i].value);
        longest = n > longest ? n : longest;
    }
    host = rl_alloc((size_t)longest, sizeof *host); // one parameter crosses the border at a time
    status = rl_archive_i64(archive, "optim.steps", &optim->n_steps, err);
    if (status == RL_OK) {
        status = persist_moment(optim, archive, "m", optim->m, host, err);
    }
    if (status == RL_OK) {
        status = persist_moment(optim, archive, "v", optim->v, host, err);
    }
    rl_free(host);
    return status;
}
