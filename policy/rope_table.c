#include "policy/rope_table.h"

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fmath.h"

static const double pi = 3.14159265358979323846;

/* Llama 3.1: long waves are slowed by the factor, short ones kept, those between blended
 * (transformers, modeling_rope_utils.py, _compute_llama3_parameters). */
static double llama3_scaled(const rl_rope *rope, double freq) {
    double turns = rope->original * freq / (2 * pi); // over the original context
    double blend;
    if (turns > rope->high_freq) {
        return freq;
    }
    if (turns < rope->low_freq) {
        return freq / rope->factor;
    }
    blend = (turns - rope->low_freq) / (rope->high_freq - rope->low_freq);
    return (1 - blend) * freq / rope->factor + blend * freq;
}

void rl_rope_inv_freq(const rl_rope *rope, int32_t head_dim, double *inv_freq) {
    double log_theta = rl_ln(rope->theta);
    int32_t i;
    RL_ASSERT(head_dim % 2 == 0);
    for (i = 0; i < head_dim / 2; i++) {
        double freq = rl_exp(-2.0 * i / head_dim * log_theta);
        switch (rope->kind) {
        case RL_ROPE_DEFAULT:
            break;
        case RL_ROPE_LINEAR:
            freq /= rope->factor;
            break;
        case RL_ROPE_LLAMA3:
            freq = llama3_scaled(rope, freq);
            break;
        }
        inv_freq[i] = freq;
    }
}

void rl_rope_rows(const rl_rope *rope, int32_t head_dim, int32_t begin, int32_t end, float *out) {
    int32_t half = head_dim / 2, position, i;
    double *inv_freq = rl_alloc((size_t)half, sizeof *inv_freq);
    rl_rope_inv_freq(rope, head_dim, inv_freq);
    for (position = begin; position < end; position++, out += head_dim) {
        for (i = 0; i < half; i++) {
            out[i] = (float)rl_cos(position * inv_freq[i]);
            out[half + i] = (float)rl_sin(position * inv_freq[i]);
        }
    }
    rl_free(inv_freq);
}
