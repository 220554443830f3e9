#include "policy/rope_table.h"

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fmath.h"

static const double pi = 3.14159265358979323846;

/* Llama 3.1: long waves are slowed by the factor, short ones kept, those between blended
 * (transformers, modeling_rope_utils.py, _compute_llama3_parameters). */
static double llama3_scaled(const rl_model_config *config, double freq) {
    double turns = config->rope_original * freq / (2 * pi); // over the original context
    double blend;
    if (turns > config->rope_high_freq) {
        return freq;
    }
    if (turns < config->rope_low_freq) {
        return freq / config->rope_factor;
    }
    blend = (turns - config->rope_low_freq) / (config->rope_high_freq - config->rope_low_freq);
    return (1 - blend) * freq / config->rope_factor + blend * freq;
}

void rl_rope_inv_freq(const rl_model_config *config, double *inv_freq) {
    double log_theta = rl_ln(config->rope_theta);
    int32_t i;
    RL_ASSERT(config->head_dim % 2 == 0);
    for (i = 0; i < config->head_dim / 2; i++) {
        double freq = rl_exp(-2.0 * i / config->head_dim * log_theta);
        switch (config->rope_kind) {
        case RL_ROPE_DEFAULT:
            break;
        case RL_ROPE_LINEAR:
            freq /= config->rope_factor;
            break;
        case RL_ROPE_LLAMA3:
            freq = llama3_scaled(config, freq);
            break;
        }
        inv_freq[i] = freq;
    }
}

void rl_rope_rows(const rl_model_config *config, int32_t begin, int32_t end, float *out) {
    int32_t half = config->head_dim / 2, position, i;
    double *inv_freq = rl_alloc((size_t)half, sizeof *inv_freq);
    rl_rope_inv_freq(config, inv_freq);
    for (position = begin; position < end; position++, out += config->head_dim) {
        for (i = 0; i < half; i++) {
            out[i] = (float)rl_cos(position * inv_freq[i]);
            out[half + i] = (float)rl_sin(position * inv_freq[i]);
        }
    }
    rl_free(inv_freq);
}
