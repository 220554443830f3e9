/*
 * Inner loops of the backward operations and the optimizer, on plain arrays. back_loops.h writes
 * them once over vectors of 16 virtual lanes without fused multiply-add; three files compile it for
 * their instruction set, so all sets give the same bits.
 *
 * Arrays need no alignment, lengths may be any. Arrays of one call do not overlap unless said.
 */
#ifndef RL_TENSOR_CPU_BACK_KERN_H
#define RL_TENSOR_CPU_BACK_KERN_H

#include <stdint.h>

#include "rl/tensor/cpu.h"

/* AdamW's factors, rounded once from double. */
typedef struct rl_adamw_row {
    float grad_scale;
    float decay;      // 1 - lr * weight_decay
    float beta1_left; // 1 - beta1
    float beta2;
    float beta2_left; // 1 - beta2
    float step;       // lr / (1 - beta1^t)
    float root;       // sqrt(1 - beta2^t)
    float eps;
} rl_adamw_row;

/* Of e = exp(x'), x' = (x - max) * inv_t. */
typedef struct rl_softmax_stats {
    float max;
    double sum;   // of e
    double sum_x; // of e * x'
} rl_softmax_stats;

typedef struct rl_back_kern {
    void (*add)(float *out, const float *in, int64_t n); // out += in
    double (*sum_squares)(const float *x, int64_t n);

    /* d_in += r w d_out - x r^3 mean(w d_out x); d_weight += d_out x r. */
    void (*rms_norm)(float *d_in, float *d_weight, const float *d_out, const float *x,
                     const float *weight, float rstd, int64_t n);

    /* For out = gate sigmoid(gate) up. */
    void (*swiglu)(float *d_gate, float *d_up, const float *d_out, const float *gate,
                   const float *up, int64_t n);

    /* For out = gelu(gate) up, gelu in tanh form. */
    void (*geglu)(float *d_gate, float *d_up, const float *d_out, const float *gate,
                  const float *up, int64_t n);

    /*
     * score: q . k in, probability out; d_prob: gradient of the probability in, of q . k out. The
     * first n_seen of n entries take part; the others become 0 in both.
     */
    void (*attention)(float *score, float *d_prob, int64_t n_seen, int64_t n, float scale);

    /* e goes to `out` unless that is NULL; out may be x. */
    rl_softmax_stats (*softmax)(float *out, const float *x, int64_t n, float inv_t);
    void (*scale)(float *x, int64_t n, float by);
    /* out = e * (a + b * x'); out may be x. */
    void (*logprob)(float *out, const float *x, int64_t n, float max, float inv_t, float a,
                    float b);

    void (*adamw)(float *param, float *m, float *v, const float *grad, int64_t n,
                  const rl_adamw_row *row);
} rl_back_kern;

extern const rl_back_kern rl_back_kern_ref;
extern const rl_back_kern rl_back_kern_avx2; // empty where the compiler has no such instructions
extern const rl_back_kern rl_back_kern_avx512;
const rl_back_kern *rl_back_kern_of(rl_kernels kernels); // not RL_KERNELS_AUTO

#endif
