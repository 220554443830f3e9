/* The inner loops in plain C: the definition of every bit the wider sets must give. */
#include <math.h>

#include "tensor/bf16.h"
#include "tensor/cpu/kern.h"
#include "tensor/cpu/kern_exp.h"

static void ref_widen(float *out, const uint16_t *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = rl_f32_of_bf16(x[i]);
    }
}

static void ref_narrow(uint16_t *out, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = rl_bf16_of(x[i]);
    }
}

static inline void ref_rows(const rl_kern_panel *p, bool bf16) {
    for (int32_t r = 0; r < p->n_rows; r++) {
        const float *in = p->in + r * p->in_stride;
        float *out = p->out + r * p->out_stride;
        float acc[RL_PANEL] = {0};
        for (int32_t o = 0; p->from != NULL && o < p->n_out; o++) {
            acc[o] = p->from[r * p->from_stride + o];
        }
        for (int64_t k = 0; k < p->n_k; k++) {
            const float *weight = (const float *)p->weight + k * RL_PANEL;
            float wide[RL_PANEL];
            if (bf16) {
                ref_widen(wide, (const uint16_t *)p->weight + k * RL_PANEL, RL_PANEL);
                weight = wide;
            }
            for (int32_t o = 0; o < RL_PANEL; o++) {
                acc[o] = fmaf(in[k], weight[o], acc[o]);
            }
        }
        for (int32_t o = 0; o < p->n_out; o++) {
            out[o] = p->add ? out[o] + acc[o] : acc[o];
        }
    }
}

static void ref_panel(const rl_kern_panel *p) {
    ref_rows(p, false);
}

static void ref_panel_bf16(const rl_kern_panel *p) {
    ref_rows(p, true);
}

static void ref_attn_score(float *score, int64_t score_stride, const float *q, int64_t q_stride,
                           int32_t n_vec, const float *k, int64_t block_stride, int32_t n_keys,
                           int32_t dim) {
    for (int32_t v = 0; v < n_vec; v++) {
        for (int32_t key = 0; key < n_keys; key++) {
            const float *column = k + key / RL_LANES * block_stride + key % RL_LANES;
            float acc = 0;
            for (int32_t d = 0; d < dim; d++) {
                acc = fmaf(q[v * q_stride + d], column[d * RL_LANES], acc);
            }
            score[v * score_stride + key] = acc;
        }
    }
}

static void ref_attn_value(float *acc, int64_t acc_stride, const float *p, int64_t p_stride,
                           int32_t n_vec, const float *value, int64_t block_stride, int32_t n_keys,
                           int32_t dim) {
    for (int32_t v = 0; v < n_vec; v++) {
        float *out = acc + v * acc_stride;
        for (int32_t key = 0; key < n_keys; key++) {
            const float *row = value + key / RL_LANES * block_stride + key % RL_LANES * dim;
            float weight = p[v * p_stride + key];
            for (int32_t d = 0; d < dim; d++) {
                out[d] = fmaf(weight, row[d], out[d]);
            }
        }
    }
}

static float fold(float lane[RL_LANES]) {
    for (int32_t half = RL_LANES / 2; half > 0; half /= 2) {
        for (int32_t l = 0; l < half; l++) {
            lane[l] += lane[l + half];
        }
    }
    return lane[0];
}

static float ref_max(const float *x, int64_t n) {
    float max = x[0];
    for (int64_t i = 1; i < n; i++) {
        max = x[i] > max ? x[i] : max;
    }
    return max;
}

static float ref_softmax(float *x, int64_t n, float scale) {
    float lane[RL_LANES] = {0};
    float max = ref_max(x, n) * scale; // rounding keeps order: also the largest product
    for (int64_t i = 0; i < n; i++) {
        x[i] = rl_exp_f32(x[i] * scale - max);
        lane[i % RL_LANES] += x[i];
    }
    return fold(lane);
}

static float ref_sum_squares(const float *x, int64_t n) {
    float lane[RL_LANES] = {0};
    for (int64_t i = 0; i < n; i++) {
        lane[i % RL_LANES] = fmaf(x[i], x[i], lane[i % RL_LANES]);
    }
    return fold(lane);
}

static void ref_norm(float *out, const float *x, const float *weight, float rstd, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = x[i] * rstd * weight[i];
    }
}

static void ref_rope(float *x, const float *table, int32_t n_heads, int32_t dim, bool back) {
    int32_t half = dim / 2;
    for (int32_t h = 0; h < n_heads; h++, x += dim) {
        for (int32_t i = 0; i < half; i++) {
            float a = x[i], b = x[i + half];
            float cosine = table[i], sine = back ? -table[i + half] : table[i + half];
            x[i] = a * cosine - b * sine;
            x[i + half] = b * cosine + a * sine;
        }
    }
}

static void ref_swiglu(float *out, const float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = gate[i] / (1.0f + rl_exp_f32(-gate[i])) * up[i];
    }
}

static void ref_geglu(float *out, const float *gate, const float *up, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        float g = gate[i], z = g * fmaf(g * g, RL_GELU_B, RL_GELU_A);
        out[i] = g / (1.0f + rl_exp_f32(-z)) * up[i];
    }
}

static void ref_scale(float *x, int64_t n, float by) {
    for (int64_t i = 0; i < n; i++) {
        x[i] *= by;
    }
}

static void ref_add(float *out, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] += x[i];
    }
}

static void ref_divide(float *out, const float *x, float by, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = x[i] / by;
    }
}

static void ref_exp_over(float *out, const float *x, float temperature, float max, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = rl_exp_f32(x[i] / temperature - max);
    }
}

static void ref_exp_sums(float sum[2], const float *x, float temperature, float max, int64_t n) {
    float lane[2][RL_LANES] = {{0}, {0}};
    for (int64_t i = 0; i < n; i++) {
        float z = x[i] / temperature - max, e = rl_exp_f32(z);
        int64_t l = i % RL_LANES;
        lane[0][l] += e;
        lane[1][l] = fmaf(e, e == 0 ? 0 : z, lane[1][l]); // a logit of -infinity counts for nothing
    }
    sum[0] = fold(lane[0]);
    sum[1] = fold(lane[1]);
}

void rl_kern_ref(rl_kern *kern) {
    *kern = (rl_kern){
        .panel = ref_panel,
        .panel_bf16 = ref_panel_bf16,
        .widen = ref_widen,
        .narrow = ref_narrow,
        .attn_score = ref_attn_score,
        .attn_value = ref_attn_value,
        .softmax = ref_softmax,
        .sum_squares = ref_sum_squares,
        .norm = ref_norm,
        .rope = ref_rope,
        .swiglu = ref_swiglu,
        .geglu = ref_geglu,
        .scale = ref_scale,
        .add = ref_add,
        .divide = ref_divide,
        .max = ref_max,
        .exp_over = ref_exp_over,
        .exp_sums = ref_exp_sums,
    };
}
