/* Muon over a list of matrices: torch.optim.Muon's rates and decay. */
#include <math.h>

#include "policy/update.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

/* An orthogonal matrix has root mean square 1 / sqrt(longer side); 0.2 is about AdamW's (Liu et
 * al., "Muon is scalable for LLM training", 2025). */
static double adjust(rl_muon_adjust how, rl_tensor t) {
    double rows = (double)t.shape[0], cols = (double)t.shape[1];
    switch (how) {
    case RL_MUON_MATCH_RMS_ADAMW:
        return 0.2 * sqrt(fmax(rows, cols));
    case RL_MUON_ORIGINAL:
        return sqrt(fmax(1, rows / cols));
    }
    RL_ASSERT(!"an adjustment of the list");
    return 1;
}

static void step(rl_backend *be, const rl_optim_opts *opts, const rl_update_item *item,
                 int32_t n_items, const rl_update_now *now) {
    rl_muon_item *matrix = rl_alloc((size_t)n_items, sizeof *matrix);
    rl_muon hyper = {.momentum = opts->muon_momentum,
                     .decay = 1 - now->lr * opts->weight_decay,
                     .grad_scale = now->grad_scale,
                     .ns_steps = opts->muon_ns_steps};
    for (int32_t i = 0; i < n_items; i++) {
        const rl_param *param = item[i].param;
        matrix[i] = (rl_muon_item){.param = param->value,
                                   .momentum = item[i].moment[0],
                                   .grad = param->grad,
                                   .rate = now->lr * adjust(opts->muon_adjust, param->value)};
    }
    rl_op_muon(be, matrix, n_items, &hyper);
    rl_free(matrix);
}

const rl_update rl_update_muon = {.op = "muon", .moment = {"momentum"}, .step = step};
