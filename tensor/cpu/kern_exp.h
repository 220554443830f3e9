/*
 * exp in float32, the same steps in every kernel set: x = n ln 2 + r, a polynomial in r (the
 * coefficients of SLEEF 3.6, expf with 1.0 ulp), a scaling by 2^n. Results below the least normal
 * number are 0. Every file uses these numbers, so they stand here once.
 */
#ifndef RL_TENSOR_CPU_KERN_EXP_H
#define RL_TENSOR_CPU_KERN_EXP_H

#include <math.h>
#include <stdint.h>
#include <string.h>

#define RL_EXP_LOG2E  1.44269504f
#define RL_EXP_MAGIC  12582912.0f // 1.5 * 2^23: adding it rounds to an integer in the low bits
#define RL_EXP_LN2_HI 0.693145752f
#define RL_EXP_LN2_LO 1.42860677e-6f
#define RL_EXP_C7     0.000198527617612853646f
#define RL_EXP_C6     0.00139304355252534151f
#define RL_EXP_C5     0.00833336077630519867f
#define RL_EXP_C4     0.0416664853692054749f
#define RL_EXP_C3     0.166666671633720398f
#define RL_EXP_C2     0.5f
#define RL_EXP_LEAST  (-87.3365479f) // below: 0
#define RL_EXP_MOST   88.7228394f    // above: infinity

static inline float rl_exp_bits(uint32_t bits) {
    float out;
    memcpy(&out, &bits, sizeof out);
    return out;
}

/* The definition. Its AVX2 and AVX-512 forms differ in width only. */
static inline float rl_exp_f32(float x) {
    float shifted = fmaf(x, RL_EXP_LOG2E, RL_EXP_MAGIC);
    float whole = shifted - RL_EXP_MAGIC;
    float r = fmaf(whole, -RL_EXP_LN2_LO, fmaf(whole, -RL_EXP_LN2_HI, x));
    float poly = RL_EXP_C7;
    uint32_t bits, magic_bits;
    int32_t n, half;
    poly = fmaf(poly, r, RL_EXP_C6);
    poly = fmaf(poly, r, RL_EXP_C5);
    poly = fmaf(poly, r, RL_EXP_C4);
    poly = fmaf(poly, r, RL_EXP_C3);
    poly = fmaf(poly, r, RL_EXP_C2);
    poly = fmaf(poly, r * r, r) + 1.0f;
    if (x < RL_EXP_LEAST) {
        return 0.0f;
    }
    if (x > RL_EXP_MOST) {
        return INFINITY;
    }
    if (x != x) {
        return x;
    }
    memcpy(&bits, &shifted, sizeof bits);
    {
        const float magic = RL_EXP_MAGIC;
        memcpy(&magic_bits, &magic, sizeof magic_bits);
    }
    n = (int32_t)(bits - magic_bits); // in [-126, 128]: two factors, since 2^128 is no float
    half = n >> 1;
    return poly * rl_exp_bits((uint32_t)(half + 127) << 23) *
           rl_exp_bits((uint32_t)(n - half + 127) << 23);
}

#endif
