/*
 * The inner loops of the forward, on plain arrays. kern_ref.c fills the whole table and is the
 * definition; kern_avx2.c and kern_avx512.c override rows with the same bits, which
 * tests/tensor/test_kern.c holds them to.
 *
 * Two rules give the same bits on every set. A product is one chain of fused multiply-adds over
 * its inner index, ascending. A sum over a row runs in 16 lanes, element i in lane i mod 16, and
 * the lanes are folded 8, 4, 2, 1: lane l takes lane l + 8, then l + 4, l + 2, l + 1.
 */
#ifndef RL_TENSOR_CPU_KERN_H
#define RL_TENSOR_CPU_KERN_H

#include <stdbool.h>
#include <stdint.h>

/* gelu(g) in its tanh form is g / (1 + exp(-z)) with z = g (a + b g^2), since (1 + tanh(z / 2)) / 2
 * is the logistic function of z. */
#define RL_GELU_A 1.5957691216057308f  // 2 sqrt(2 / pi)
#define RL_GELU_B 0.07135481282612015f // 0.044715 a

enum {
    RL_PANEL = 48, // outputs side by side in a packed weight: panel, then k, then output
    RL_LANES = 16,
    RL_SUM_BLOCK = 1024, // elements of a row of logits summed in float before going to double
    RL_ATTN_KEYS = 48    // most keys one call of attn_score takes
};

/*
 * A panel of a linear layer over n_k inner values. Each element's chain begins at `from` (0 where
 * NULL), runs over k, and is stored in out, or added to it in one last addition.
 */
typedef struct rl_kern_panel {
    const float *in; // [n_rows, n_k]
    int64_t in_stride;
    const void *weight; // [n_k][RL_PANEL], float32 or bfloat16 as the row of the table says
    int64_t n_k;
    const float *from; // [n_rows, n_out]; may be out
    int64_t from_stride;
    float *out; // [n_rows, n_out]
    int64_t out_stride;
    bool add;
    int32_t n_rows, n_out; // n_out <= RL_PANEL
    int64_t n_ahead;       // numbers behind the weight that will be wanted next: a hint
} rl_kern_panel;

typedef struct rl_kern {
    void (*panel)(const rl_kern_panel *p);
    void (*panel_bf16)(const rl_kern_panel *p); // the bits of panel over the widened weight
    void (*widen)(float *out, const uint16_t *x, int64_t n);
    void (*narrow)(uint16_t *out, const float *x, int64_t n); // to nearest, ties to even

    /*
     * score[v][key] = q[v] . key for n_keys <= RL_ATTN_KEYS, whole blocks of 16: block b lies at
     * k + b * block_stride as [dim][16].
     */
    void (*attn_score)(float *score, int64_t score_stride, const float *q, int64_t q_stride,
                       int32_t n_vec, const float *k, int64_t block_stride, int32_t n_keys,
                       int32_t dim);
    /*
     * acc[v] continues the chain of sum over keys of p[v][key] * value[key], keys ascending; the
     * key i lies at value + (i / 16) * block_stride + (i % 16) * dim.
     */
    void (*attn_value)(float *acc, int64_t acc_stride, const float *p, int64_t p_stride,
                       int32_t n_vec, const float *value, int64_t block_stride, int32_t n_keys,
                       int32_t dim);
    /* x = exp(scale * x - max(scale * x)) and the sum of that. n >= 1, scale > 0. */
    float (*softmax)(float *x, int64_t n, float scale);

    float (*sum_squares)(const float *x, int64_t n);
    void (*norm)(float *out, const float *x, const float *weight, float rstd, int64_t n);
    /* One row of n_heads heads; table holds dim / 2 cosines, then dim / 2 sines. */
    void (*rope)(float *x, const float *table, int32_t n_heads, int32_t dim, bool back);
    void (*swiglu)(float *out, const float *gate, const float *up, int64_t n);
    void (*geglu)(float *out, const float *gate, const float *up, int64_t n);
    void (*add)(float *out, const float *x, int64_t n); // out += x
    void (*scale)(float *x, int64_t n, float by);       // x *= by
    void (*divide)(float *out, const float *x, float by, int64_t n);

    float (*max)(const float *x, int64_t n); // n >= 1
    /* out = exp(x / temperature - max); out may be x. */
    void (*exp_over)(float *out, const float *x, float temperature, float max, int64_t n);
    /* With z = x / temperature - max: the sums of exp(z) and of exp(z) * z; n <= RL_SUM_BLOCK. */
    void (*exp_sums)(float sum[2], const float *x, float temperature, float max, int64_t n);
} rl_kern;

void rl_kern_ref(rl_kern *kern);    // fills every row
void rl_kern_avx2(rl_kern *kern);   // overrides; nothing where not compiled in
void rl_kern_avx512(rl_kern *kern); // overrides; nothing where not compiled in

/* panel_avx2.c and panel_avx512.c: the rows that multiply, called by the two above. */
void rl_kern_products_avx2(rl_kern *kern);
void rl_kern_products_avx512(rl_kern *kern);

/* cpuid.c */
bool rl_cpu_has_avx2(void);   // with FMA, and the system saves the registers
bool rl_cpu_has_avx512(void); // F, BW, DQ and VL

#endif
