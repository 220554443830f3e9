#include "rl/tensor/stored.h"

#include <math.h>
#include <string.h>

#include "rl/core/assert.h"
#include "tensor/bf16.h"

// Numbers in files are little-endian; put together by shifts they read right on any machine.
static uint32_t u16_at(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8;
}

static float f32_of_bits(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float f32_at(const uint8_t *p) {
    return f32_of_bits(u16_at(p) | u16_at(p + 2) << 16);
}

static float f64_at(const uint8_t *p) {
    uint64_t bits = 0;
    double x;
    for (int i = 7; i >= 0; i--) {
        bits = bits << 8 | p[i];
    }
    memcpy(&x, &bits, sizeof x);
    return (float)x;
}

static float f16_at(const uint8_t *p) {
    uint32_t h = u16_at(p), sign = (h & 0x8000u) << 16, exponent = h >> 10 & 31, frac = h & 0x3ffu;
    if (exponent == 31) { // infinity, NaN
        return f32_of_bits(sign | 0x7f800000u | frac << 13);
    }
    if (exponent == 0) { // zero, subnormal: frac * 2^-24 is exact
        float x = (float)frac * 0x1p-24f;
        return sign != 0 ? -x : x;
    }
    return f32_of_bits(sign | (exponent + 112) << 23 | frac << 13);
}

// Converters: n values (whole blocks) from p.

static void from_f32(const uint8_t *p, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = f32_at(p + 4 * i);
    }
}

static void from_f16(const uint8_t *p, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = f16_at(p + 2 * i);
    }
}

static void from_bf16(const uint8_t *p, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = f32_of_bits(u16_at(p + 2 * i) << 16);
    }
}

void rl_f32_to_bf16(const float *in, int64_t n, void *out) {
    uint8_t *p = out;
    for (int64_t i = 0; i < n; i++) {
        uint16_t half = rl_bf16_of(in[i]);
        p[2 * i] = (uint8_t)half;
        p[2 * i + 1] = (uint8_t)(half >> 8);
    }
}

static uint32_t f16_bits(float x) {
    uint32_t bits, sign, rest, half;
    float magnitude, shifted;
    memcpy(&bits, &x, sizeof bits);
    sign = bits >> 16 & 0x8000u;
    bits &= 0x7fffffffu;
    if (bits > 0x7f800000u) {
        return sign | 0x7e00u | (bits >> 13 & 0x3ffu);
    }
    if (bits < 0x38800000u) { // below the least normal number: units of 2^-24, rounded by the sum
        memcpy(&magnitude, &bits, sizeof magnitude);
        shifted = magnitude + 0.5f;
        memcpy(&half, &shifted, sizeof half);
        return sign | (half - 0x3f000000u);
    }
    half = (bits >> 13) - (112u << 10);
    rest = bits & 0x1fffu;
    half += rest > 0x1000u || (rest == 0x1000u && (half & 1u) != 0);
    return sign | (half < 0x7c00u ? half : 0x7c00u);
}

static void put_u16(uint8_t *p, uint32_t bits) {
    p[0] = (uint8_t)bits;
    p[1] = (uint8_t)(bits >> 8);
}

void rl_f32_to_f16(const float *in, int64_t n, void *out) {
    uint8_t *p = out;
    for (int64_t i = 0; i < n; i++) {
        put_u16(p + 2 * i, f16_bits(in[i]));
    }
}

// quantize_row_q8_0_ref of ggml: the scale is kept as F16, but divides as float32.
void rl_f32_to_q8_0(const float *in, int64_t n, void *out) {
    uint8_t *p = out;
    RL_ASSERT(n % 32 == 0);
    for (int64_t at = 0; at < n; at += 32, p += 34) {
        float most = 0, d, inverse;
        for (int i = 0; i < 32; i++) {
            float magnitude = fabsf(in[at + i]);
            most = magnitude > most ? magnitude : most;
        }
        d = most / 127.0f;
        inverse = d != 0 ? 1.0f / d : 0.0f;
        put_u16(p, f16_bits(d));
        for (int i = 0; i < 32; i++) {
            p[2 + i] = (uint8_t)(int8_t)roundf(in[at + i] * inverse);
        }
    }
}

void rl_f32_to_stored(rl_stored stored, const float *in, int64_t n, void *out) {
    if (stored == RL_STORED_F32) {
        memcpy(out, in, (size_t)n * sizeof *in);
    } else if (stored == RL_STORED_F16) {
        rl_f32_to_f16(in, n, out);
    } else if (stored == RL_STORED_BF16) {
        rl_f32_to_bf16(in, n, out);
    } else {
        RL_ASSERT(stored == RL_STORED_Q8_0);
        rl_f32_to_q8_0(in, n, out);
    }
}

static void from_f64(const uint8_t *p, int64_t n, float *out) {
    for (int64_t i = 0; i < n; i++) {
        out[i] = f64_at(p + 8 * i);
    }
}

// f16 d, 32 signed bytes.
static void from_q8_0(const uint8_t *p, int64_t n, float *out) {
    for (int64_t at = 0; at < n; at += 32, p += 34, out += 32) {
        float d = f16_at(p);
        for (int i = 0; i < 32; i++) {
            out[i] = d * (float)(int8_t)p[2 + i];
        }
    }
}

// f16 d, 16 bytes of nibbles: low ones are values 0..15, high ones 16..31.
static void from_q4_0(const uint8_t *p, int64_t n, float *out) {
    for (int64_t at = 0; at < n; at += 32, p += 18, out += 32) {
        float d = f16_at(p);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)((p[2 + i] & 15) - 8);
            out[i + 16] = d * (float)((p[2 + i] >> 4) - 8);
        }
    }
}

// f16 d, f16 m, nibbles as above.
static void from_q4_1(const uint8_t *p, int64_t n, float *out) {
    for (int64_t at = 0; at < n; at += 32, p += 20, out += 32) {
        float d = f16_at(p), m = f16_at(p + 2);
        for (int i = 0; i < 16; i++) {
            out[i] = d * (float)(p[4 + i] & 15) + m;
            out[i + 16] = d * (float)(p[4 + i] >> 4) + m;
        }
    }
}

// 128 bytes of low nibbles, 64 of high bits, 16 signed scales, f16 d. Two halves of 128 values: in
// each, value 32 g + i has its low four bits in a nibble of low[] and its high two in bits 2 g of
// high[i]. Sixteen values share a scale.
static void from_q6_k(const uint8_t *p, int64_t n, float *out) {
    for (int64_t at = 0; at < n; at += 128, out += 128) {
        int half = (int)(at / 128 % 2);
        const uint8_t *low = p + 64 * half, *high = p + 128 + 32 * half,
                      *scale = p + 192 + 8 * half;
        float d = f16_at(p + 208);
        for (int j = 0; j < 128; j++) {
            int g = j / 32, i = j % 32, byte = low[i + 32 * (g & 1)];
            int q = ((g < 2 ? byte & 15 : byte >> 4) | (high[i] >> (2 * g) & 3) << 4) - 32;
            float s = d * (float)(int8_t)scale[j / 16];
            out[j] = s * (float)q;
        }
        p += half == 1 ? 210 : 0;
    }
}

typedef struct kind {
    const char *name;
    int64_t block;                                            // values
    size_t block_bytes;                                       // of one block
    void (*convert)(const uint8_t *p, int64_t n, float *out); // NULL: not a weight
} kind;

static const kind kinds[] = {
    [RL_STORED_F32] = {"F32", 1, 4, from_f32},
    [RL_STORED_F16] = {"F16", 1, 2, from_f16},
    [RL_STORED_BF16] = {"BF16", 1, 2, from_bf16},
    [RL_STORED_F64] = {"F64", 1, 8, from_f64},
    [RL_STORED_Q8_0] = {"Q8_0", 32, 34, from_q8_0},
    [RL_STORED_Q4_0] = {"Q4_0", 32, 18, from_q4_0},
    [RL_STORED_Q4_1] = {"Q4_1", 32, 20, from_q4_1},
    [RL_STORED_Q6_K] = {"Q6_K", 256, 210, from_q6_k},
    [RL_STORED_I32] = {"I32", 1, 4, NULL},
    [RL_STORED_I64] = {"I64", 1, 8, NULL},
    [RL_STORED_U8] = {"U8", 1, 1, NULL},
    [RL_STORED_OTHER] = {"other", 0, 0, NULL},
};

const char *rl_stored_name(rl_stored stored) {
    return kinds[stored].name;
}

bool rl_stored_is_weight(rl_stored stored) {
    return kinds[stored].convert != NULL;
}

int64_t rl_stored_block(rl_stored stored) {
    return kinds[stored].block;
}

size_t rl_stored_block_bytes(rl_stored stored) {
    return kinds[stored].block_bytes;
}

int64_t rl_weight_count(const rl_weight *w) {
    int64_t n = 1;
    for (int32_t i = 0; i < w->rank; i++) {
        n *= w->shape[i];
    }
    return n;
}

void rl_weight_to_f32(const rl_weight *w, float *out) {
    rl_weight_range_to_f32(w, 0, rl_weight_count(w), out);
}

void rl_weight_range_to_f32(const rl_weight *w, int64_t begin, int64_t n, float *out) {
    const kind *k = &kinds[w->stored];
    RL_ASSERT(k->convert != NULL);
    RL_ASSERT(begin >= 0 && n >= 0 && begin + n <= rl_weight_count(w));
    RL_ASSERT(begin % k->block == 0 && n % k->block == 0);
    k->convert((const uint8_t *)w->bytes + (size_t)(begin / k->block) * k->block_bytes, n, out);
}
