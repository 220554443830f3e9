/* AdamW (Loshchilov and Hutter 2019) over a list of parameters. */
#include "policy/update.h"
#include "rl/tensor/ops.h"

static rl_tensor flat(rl_tensor t) {
    return rl_tensor_1d(t.dtype, t.buffer, t.offset, rl_tensor_count(t));
}

/* Beside Muon the rest of the model may have a rate of its own, which follows the same schedule. */
static double rate_of(const rl_optim_opts *opts, double lr) {
    bool own = opts->name == RL_OPTIMIZER_MUON && opts->muon_adamw_lr > 0;
    return own ? lr * (opts->muon_adamw_lr / opts->lr) : lr;
}

static void step(rl_backend *be, const rl_optim_opts *opts, const rl_update_item *item,
                 int32_t n_items, const rl_update_now *now) {
    rl_adamw hyper = {.lr = rate_of(opts, now->lr),
                      .beta1 = opts->beta1,
                      .beta2 = opts->beta2,
                      .eps = opts->eps,
                      .grad_scale = now->grad_scale,
                      .step = now->step};
    for (int32_t i = 0; i < n_items; i++) {
        const rl_param *param = item[i].param;
        hyper.weight_decay = param->decay ? opts->weight_decay : 0;
        rl_op_adamw(be, param->value, flat(item[i].moment[0]), flat(item[i].moment[1]), param->grad,
                    &hyper);
    }
}

const rl_update rl_update_adamw = {.op = "adamw", .moment = {"m", "v"}, .step = step};
