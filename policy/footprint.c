#include "rl/policy/footprint.h"

#include "policy/decode_batch.h"
#include "policy/family.h"
#include "policy/kv_cache.h"

/* Values of the matrices of the blocks. */
static double in_blocks(const rl_model_config *config) {
    const rl_family *family = rl_family_find(config->family);
    double sum = 0;
    for (int32_t i = 0; i < rl_family_count(family, config); i++) {
        rl_place place = rl_family_place(family, config, i);
        if (place.layer >= 0 && place.row->cols != RL_DIM_NONE) {
            sum += (double)rl_dim_size(config, place.row->rows) *
                   (double)rl_dim_size(config, place.row->cols);
        }
    }
    return sum;
}

rl_footprint rl_policy_footprint(const rl_model_config *config, const rl_policy_opts *opts,
                                 const rl_optim_opts *optim) {
    const double f32 = sizeof(float);
    double all = (double)rl_model_config_params(config), blocks = in_blocks(config);
    double adapter = opts->adapter != NULL ? (double)rl_adapter_values(opts->adapter) : 0;
    double trained = opts->adapter != NULL ? adapter : all;
    double by_muon = optim->name != RL_OPTIMIZER_MUON ? 0
                     : opts->adapter != NULL          ? adapter
                                                      : blocks;
    double held = opts->weights == RL_WEIGHTS_BF16 ? sizeof(uint16_t) : f32;
    rl_footprint out = {
        .weights = (all + adapter) * f32,
        .packed = (blocks + (double)config->vocab * config->width) * held + adapter * f32 +
                  (double)config->n_ropes * config->max_positions * config->head_dim * f32,
    };
    if (opts->trains) {
        out.gradients = trained * f32;
        out.moments = (2 * trained - by_muon) * f32; // Muon keeps one, AdamW two
    }
    return out;
}

double rl_decoder_bytes(const rl_model_config *config, int32_t max_batch) {
    int32_t rows = max_batch > RL_PREFILL_ROWS ? max_batch : RL_PREFILL_ROWS;
    return (double)rl_decode_batch_bytes(config, rows, max_batch);
}

double rl_kv_bytes(const rl_model_config *config, double n_tokens, double n_sequences) {
    enum { LARGE_PAGE = 2 << 20 };
    double row = (double)config->n_kv_heads * config->head_dim * (double)sizeof(float);
    // A sequence leaves half of its last page unused. Keys and values of a layer lie together.
    double part = (n_tokens + n_sequences * RL_KV_PAGE / 2) * row;
    double pages = (double)(int64_t)(part / LARGE_PAGE) + 1;
    return n_tokens > 0 ? 2 * config->n_layers * pages * LARGE_PAGE : 0;
}
