#include "rl/policy/optim.h"

#include <math.h>
#include <stdio.h>

#include "policy/update.h"
#include "rl/core/alloc.h"
#include "rl/tensor/ops.h"

static const char *const optimizer_names[] = {"adamw", "muon", NULL};
static const char *const adjust_names[] = {"match_rms_adamw", "original", NULL};
static const char *const schedule_names[] = {"constant", "linear", "cosine", "warmup_stable_decay",
                                             NULL};
static const char *const decay_names[] = {"linear", "cosine", "1-sqrt", NULL};

static const rl_key optim_keys[] = {
    RL_CHOICE_ROW(
        rl_optim_opts, name, "adamw", optimizer_names, 0,
        "what turns gradients into updates: AdamW, or Muon for the matrices of the blocks "
        "with AdamW for embedding, head and norms"),
    RL_KEY_ROW(rl_optim_opts, lr, "1e-6", 0, 1, 0, "learning rate at the height of the schedule"),
    RL_CHOICE_ROW(rl_optim_opts, schedule, "linear", schedule_names, 0,
                  "how the rate moves after the warm-up: stays, falls in a line or along half a "
                  "cosine over the updates of the run, or stays and falls over the last "
                  "decay_steps"),
    RL_KEY_ROW(rl_optim_opts, warmup_steps, "0", 0, 1000000000, 0,
               "updates over which the rate climbs in a line to lr, from 0 or, with "
               "warmup_stable_decay, from min_lr_ratio of it"),
    RL_KEY_ROW(rl_optim_opts, min_lr_ratio, "0", 0, 1, 0,
               "where all schedules but constant end, as a share of lr"),
    RL_KEY_ROW(rl_optim_opts, decay_steps, "0", 0, 1000000000, 0,
               "warmup_stable_decay: updates at the end of the run over which the rate falls; it "
               "must be given"),
    RL_CHOICE_ROW(rl_optim_opts, decay_type, "linear", decay_names, 0,
                  "warmup_stable_decay: the curve of the fall"),
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
    RL_KEY_ROW(rl_optim_opts, muon_momentum, "0.95", 0, 0.999999, 0,
               "muon: decay of the mean gradient, per update; with Nesterov's look ahead"),
    RL_KEY_ROW(rl_optim_opts, muon_ns_steps, "5", 1, 99, 0,
               "muon: Newton-Schulz steps that make an update orthogonal"),
    RL_CHOICE_ROW(rl_optim_opts, muon_adjust, "match_rms_adamw", adjust_names, 0,
                  "muon: factor of a matrix's rate, 0.2 sqrt(max(rows, cols)), so that one lr "
                  "serves Muon and AdamW, or sqrt(max(1, rows / cols)), which is torch's default"),
    RL_KEY_ROW(rl_optim_opts, muon_adamw_lr, "0", 0, 1, 0,
               "muon: height of the rate of what AdamW takes, on the same schedule; 0 for lr"),
};

static rl_status check_optim(const void *self, rl_err *err) {
    const rl_optim_opts *opts = self;
    if (opts->schedule == RL_SCHEDULE_WARMUP_STABLE_DECAY && opts->decay_steps == 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'optim.schedule' is warmup_stable_decay but 'optim.decay_steps' is 0, so "
                       "that the rate would never fall; set 'optim.decay_steps'");
    }
    if (opts->name == RL_OPTIMIZER_MUON && opts->muon_adamw_lr > 0 && opts->lr == 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'optim.muon_adamw_lr' is %g but 'optim.lr', whose schedule it follows, is "
                       "0; set 'optim.lr' above 0",
                       opts->muon_adamw_lr);
    }
    return RL_OK;
}

const rl_section rl_optim_section = {
    .name = "optim",
    .doc = "the optimizer and its learning-rate schedule; AdamW's defaults are TRL's, Muon's "
           "torch's but for the factor; Newton-Schulz runs in float32, not bfloat16 as torch does",
    .size = sizeof(rl_optim_opts),
    .keys = optim_keys,
    .n_keys = sizeof optim_keys / sizeof optim_keys[0],
    .check = check_optim,
};

/* An optimizer: which parameter is updated how. In enumerator order. */
typedef const rl_update *update_of(const rl_param *param);

static const rl_update *adamw_everywhere(const rl_param *param) {
    (void)param;
    return &rl_update_adamw;
}

static const rl_update *muon_in_blocks(const rl_param *param) {
    return param->hidden ? &rl_update_muon : &rl_update_adamw;
}

static update_of *const optimizers[] = {adamw_everywhere, muon_in_blocks};
static const rl_update *const updates[] = {&rl_update_adamw, &rl_update_muon};
enum { N_UPDATES = sizeof updates / sizeof updates[0] };

/* The parameters that one update takes. */
typedef struct share {
    rl_update_item *item;
    int32_t n_items;
} share;

struct rl_optim {
    rl_optim_opts opts;
    rl_policy *policy; // borrowed
    rl_backend *be;
    share share[N_UPDATES]; // in the order of updates
    rl_buffer *moments;     // parameter after parameter
    int64_t n_moments;      // elements
    int64_t n_steps;
};

static rl_tensor moment_like(rl_tensor t, rl_buffer *buffer, int64_t at) {
    size_t offset = (size_t)at * sizeof(float);
    return t.rank == 1 ? rl_tensor_1d(RL_DTYPE_F32, buffer, offset, t.shape[0])
                       : rl_tensor_2d(RL_DTYPE_F32, buffer, offset, t.shape[0], t.shape[1]);
}

/* Deals the parameters out and lays their moments into the buffer, which may be NULL to measure. */
static void deal(rl_optim *optim) {
    const rl_params *params = rl_policy_params(optim->policy);
    optim->n_moments = 0;
    for (int32_t u = 0; u < N_UPDATES; u++) {
        share *s = &optim->share[u];
        s->n_items = 0;
        for (int32_t i = 0; i < params->n_items; i++) {
            const rl_param *param = &params->item[i];
            rl_update_item *item = &s->item[s->n_items];
            if (optimizers[optim->opts.name](param) != updates[u]) {
                continue;
            }
            item->param = param;
            for (int k = 0; k < RL_MAX_MOMENTS && updates[u]->moment[k] != NULL; k++) {
                item->moment[k] = moment_like(param->value, optim->moments, optim->n_moments);
                optim->n_moments += rl_tensor_count(param->value);
            }
            s->n_items++;
        }
    }
}

static rl_status check_supported(const rl_optim *optim, rl_err *err) {
    for (int32_t u = 0; u < N_UPDATES; u++) {
        if (optim->share[u].n_items > 0 &&
            !optim->be->supports(optim->be, updates[u]->op, RL_DTYPE_F32)) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "backend '%s' lacks the operation '%s'; choose another 'optim.name'",
                           optim->be->name, updates[u]->op);
        }
    }
    return RL_OK;
}

rl_status rl_optim_new(const rl_optim_opts *opts, rl_policy *policy, rl_optim **out, rl_err *err) {
    size_t n_items = (size_t)rl_policy_params(policy)->n_items, bytes;
    rl_optim *optim = rl_alloc(1, sizeof *optim);
    rl_status status;
    *out = NULL;
    *optim = (rl_optim){.opts = *opts, .policy = policy, .be = rl_policy_backend(policy)};
    for (int32_t u = 0; u < N_UPDATES; u++) {
        optim->share[u].item = rl_alloc(n_items, sizeof *optim->share[u].item);
    }
    deal(optim);
    bytes = (size_t)optim->n_moments * sizeof(float);
    status = check_supported(optim, err);
    if (status == RL_OK) {
        status = rl_buffer_alloc(optim->be, bytes, &optim->moments, err);
        if (status != RL_OK) {
            status = rl_fail(err, status,
                             "no memory for the optimizer's moments (%.0f MiB); choose a smaller "
                             "model",
                             (double)bytes / 1048576.0);
        }
    }
    if (status != RL_OK) {
        rl_optim_free(optim);
        return status;
    }
    deal(optim);
    rl_op_fill(optim->be, rl_tensor_1d(RL_DTYPE_F32, optim->moments, 0, optim->n_moments), 0);
    *out = optim;
    return RL_OK;
}

void rl_optim_free(rl_optim *optim) {
    if (optim != NULL) {
        rl_buffer_free(optim->be, optim->moments);
        for (int32_t u = 0; u < N_UPDATES; u++) {
            rl_free(optim->share[u].item);
        }
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

void rl_optim_step(rl_optim *optim, double lr, double grad_norm) {
    double most = optim->opts.max_grad_norm;
    rl_update_now now = {.lr = lr, .grad_scale = 1, .step = ++optim->n_steps};
    if (most > 0) { // torch.nn.utils.clip_grad_norm_
        double scale = most / (grad_norm + 1e-6);
        now.grad_scale = scale < 1 ? scale : 1;
    }
    for (int32_t u = 0; u < N_UPDATES; u++) {
        const share *s = &optim->share[u];
        if (s->n_items > 0) {
            updates[u]->step(optim->be, &optim->opts, s->item, s->n_items, &now);
        }
    }
    rl_policy_repack(optim->policy);
}

static rl_status persist_moment(rl_optim *optim, rl_archive *archive, const char *kind,
                                const char *param_name, rl_tensor moment, rl_err *err) {
    float *host = rl_alloc((size_t)rl_tensor_count(moment), sizeof *host);
    char name[sizeof((rl_param *)0)->name + 24];
    rl_status status;
    snprintf(name, sizeof name, "optim.%s.%s", kind, param_name);
    if (rl_archive_writing(archive)) {
        rl_tensor_get(optim->be, moment, host);
    }
    status = rl_archive_bytes(archive, name, host, rl_tensor_bytes(moment), err);
    if (status == RL_OK && !rl_archive_writing(archive)) {
        rl_tensor_put(optim->be, moment, host);
    }
    rl_free(host);
    return status;
}

static rl_status persist_share(rl_optim *optim, int32_t u, rl_archive *archive, rl_err *err) {
    const share *s = &optim->share[u];
    rl_status status = RL_OK;
    for (int32_t i = 0; i < s->n_items; i++) {
        for (int k = 0; k < RL_MAX_MOMENTS && updates[u]->moment[k] != NULL; k++) {
            if (status == RL_OK) {
                status = persist_moment(optim, archive, updates[u]->moment[k],
                                        s->item[i].param->name, s->item[i].moment[k], err);
            }
        }
    }
    return status;
}

rl_status rl_optim_persist(rl_optim *optim, rl_archive *archive, rl_err *err) {
    rl_status status = rl_archive_i64(archive, "optim.steps", &optim->n_steps, err);
    for (int32_t u = 0; u < N_UPDATES && status == RL_OK; u++) {
        status = persist_share(optim, u, archive, err);
    }
    return status;
}
