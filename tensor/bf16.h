/* One number as bfloat16, the upper half of a float32. Private to tensor/. */
#ifndef RL_TENSOR_BF16_H
#define RL_TENSOR_BF16_H

#include <stdint.h>
#include <string.h>

/* To nearest, ties to even; a NaN stays one (rounding could carry it to infinity). */
static inline uint16_t rl_bf16_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) {
        return (uint16_t)(bits >> 16 | 0x40u);
    }
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1)) >> 16);
}

static inline float rl_f32_of_bf16(uint16_t half) {
    uint32_t bits = (uint32_t)half << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

#endif
