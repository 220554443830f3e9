/* Weights of a new model, drawn as transformers does (PreTrainedModel._init_weights). */
#include "policy/checkpoint.h"
#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "rl/tensor/ops.h"

enum { PIECE = 1 << 16 };

static void draw(rl_backend *be, rl_tensor value, const rl_rng *rng, double std, float *piece) {
    rl_tensor flat = rl_tensor_1d(value.dtype, value.buffer, value.offset, rl_tensor_count(value));
    for (int64_t begin = 0, end; begin < flat.shape[0]; begin = end) {
        end = flat.shape[0] - begin > PIECE ? begin + PIECE : flat.shape[0];
        for (int64_t i = begin; i < end; i++) {
            piece[i - begin] = (float)(std * rl_rng_normal(rng, (uint64_t)i));
        }
        rl_tensor_put(be, rl_tensor_rows(flat, begin, end), piece);
    }
}

void rl_draw_weights(const rl_checkpoint *checkpoint, rl_params *params, rl_backend *be) {
    float *piece = rl_alloc(PIECE, sizeof *piece);
    for (int32_t i = 0; i < params->n_items; i++) {
        rl_rng rng = {.seed = checkpoint->seed, .problem = (uint32_t)i, .purpose = RL_RNG_INIT};
        rl_tensor value = params->item[i].value;
        rl_role role = rl_family_place(checkpoint->family, &checkpoint->config, i).row->role;
        if (value.rank == 2) {
            draw(be, value, &rng, checkpoint->config.init_range, piece);
        } else {
            bool bias = role >= RL_ROLE_Q_BIAS && role <= RL_ROLE_V_BIAS;
            rl_op_fill(be, value, bias ? 0 : 1 - checkpoint->family->norm_offset);
        }
    }
    rl_free(piece);
}
