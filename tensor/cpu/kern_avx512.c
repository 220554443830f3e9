/* Rows in 512-bit registers: a register is the 16 lanes of the definition; ends are masked. */
#include "tensor/bf16.h"
#include "tensor/cpu/kern.h"
#include "tensor/cpu/kern_exp.h"

#if defined(__AVX512F__) && defined(__AVX512DQ__)
#include <immintrin.h>

static __mmask16 mask_of(int64_t left) {
    return left >= RL_LANES ? 0xffff : (__mmask16)((1u << left) - 1);
}

static float fold(__m512 x) {
    __m256 eight = _mm256_add_ps(_mm512_castps512_ps256(x), _mm512_extractf32x8_ps(x, 1));
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline __m512 exp_512(__m512 x) {
    const __m512 magic = _mm512_set1_ps(RL_EXP_MAGIC);
    __m512 shifted = _mm512_fmadd_ps(x, _mm512_set1_ps(RL_EXP_LOG2E), magic);
    __m512 whole = _mm512_sub_ps(shifted, magic);
    __m512 r = _mm512_fnmadd_ps(whole, _mm512_set1_ps(RL_EXP_LN2_HI), x);
    __m512 y = _mm512_set1_ps(RL_EXP_C7);
    __mmask16 low = _mm512_cmp_ps_mask(x, _mm512_set1_ps(RL_EXP_LEAST), _CMP_LT_OQ);
    __mmask16 high = _mm512_cmp_ps_mask(x, _mm512_set1_ps(RL_EXP_MOST), _CMP_GT_OQ);
    r = _mm512_fnmadd_ps(whole, _mm512_set1_ps(RL_EXP_LN2_LO), r);
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(RL_EXP_C6));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(RL_EXP_C5));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(RL_EXP_C4));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(RL_EXP_C3));
    y = _mm512_fmadd_ps(y, r, _mm512_set1_ps(RL_EXP_C2));
    y = _mm512_fmadd_ps(y, _mm512_mul_ps(r, r), r);
    y = _mm512_add_ps(y, _mm512_set1_ps(1.0f));
    y = _mm512_scalef_ps(y, whole); // exact but for the end of the range: as the two factors
    y = _mm512_mask_mov_ps(y, high, _mm512_set1_ps(INFINITY));
    return _mm512_mask_mov_ps(y, low, _mm512_setzero_ps());
}

static float max_512(const float *x, int64_t n) {
    __m512 max = _mm512_set1_ps(x[0]);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        max = _mm512_max_ps(_mm512_mask_loadu_ps(max, mask_of(n - i), x + i), max);
    }
    return _mm512_reduce_max_ps(max);
}

static float softmax_512(float *x, int64_t n, float scale) {
    __m512 sum = _mm512_setzero_ps(), by = _mm512_set1_ps(scale);
    __m512 max = _mm512_set1_ps(max_512(x, n) * scale);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 z = _mm512_sub_ps(_mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), by), max);
        __m512 e = exp_512(z);
        _mm512_mask_storeu_ps(x + i, mask, e);
        sum = _mm512_mask_add_ps(sum, mask, sum, e);
    }
    return fold(sum);
}

static float sum_squares_512(const float *x, int64_t n) {
    __m512 sum = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        sum = _mm512_mask3_fmadd_ps(v, v, sum, mask);
    }
    return fold(sum);
}

static void norm_512(float *out, const float *x, const float *weight, float rstd, int64_t n) {
    __m512 by = _mm512_set1_ps(rstd);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 v = _mm512_mul_ps(_mm512_maskz_loadu_ps(mask, x + i), by);
        v = _mm512_mul_ps(v, _mm512_maskz_loadu_ps(mask, weight + i));
        _mm512_mask_storeu_ps(out + i, mask, v);
    }
}

static void rope_512(float *x, const float *table, int32_t n_heads, int32_t dim, bool back) {
    int32_t half = dim / 2;
    __m512 sign = _mm512_set1_ps(back ? -0.0f : 0.0f);
    for (int32_t h = 0; h < n_heads; h++, x += dim) {
        for (int32_t i = 0; i < half; i += RL_LANES) {
            __mmask16 mask = mask_of(half - i);
            __m512 a = _mm512_maskz_loadu_ps(mask, x + i);
            __m512 b = _mm512_maskz_loadu_ps(mask, x + half + i);
            __m512 cosine = _mm512_maskz_loadu_ps(mask, table + i);
            __m512 sine = _mm512_xor_ps(_mm512_maskz_loadu_ps(mask, table + half + i), sign);
            _mm512_mask_storeu_ps(x + i, mask,
                                  _mm512_sub_ps(_mm512_mul_ps(a, cosine), _mm512_mul_ps(b, sine)));
            _mm512_mask_storeu_ps(x + half + i, mask,
                                  _mm512_add_ps(_mm512_mul_ps(b, cosine), _mm512_mul_ps(a, sine)));
        }
    }
}

static void swiglu_512(float *out, const float *gate, const float *up, int64_t n) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 u = _mm512_maskz_loadu_ps(mask, up + i);
        __m512 silu = _mm512_div_ps(g, _mm512_add_ps(one, exp_512(_mm512_xor_ps(g, sign))));
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(silu, u));
    }
}

static void geglu_512(float *out, const float *gate, const float *up, int64_t n) {
    const __m512 one = _mm512_set1_ps(1.0f), sign = _mm512_set1_ps(-0.0f);
    const __m512 a = _mm512_set1_ps(RL_GELU_A), b = _mm512_set1_ps(RL_GELU_B);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 g = _mm512_maskz_loadu_ps(mask, gate + i);
        __m512 u = _mm512_maskz_loadu_ps(mask, up + i);
        __m512 z = _mm512_mul_ps(g, _mm512_fmadd_ps(_mm512_mul_ps(g, g), b, a));
        __m512 gelu = _mm512_div_ps(g, _mm512_add_ps(one, exp_512(_mm512_xor_ps(z, sign))));
        _mm512_mask_storeu_ps(out + i, mask, _mm512_mul_ps(gelu, u));
    }
}

static void scale_512(float *x, int64_t n, float by) {
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 v = _mm512_maskz_loadu_ps(mask, x + i);
        _mm512_mask_storeu_ps(x + i, mask, _mm512_mul_ps(v, _mm512_set1_ps(by)));
    }
}

static void add_512(float *out, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        _mm512_mask_storeu_ps(out + i, mask,
                              _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out + i),
                                            _mm512_maskz_loadu_ps(mask, x + i)));
    }
}

static void divide_512(float *out, const float *x, float by, int64_t n) {
    __m512 divisor = _mm512_set1_ps(by);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        _mm512_mask_storeu_ps(out + i, mask,
                              _mm512_div_ps(_mm512_maskz_loadu_ps(mask, x + i), divisor));
    }
}

/* x / temperature - max; dividing by 1 changes nothing and is left out. */
static inline __m512 over(const float *x, __mmask16 mask, float temperature, __m512 max) {
    __m512 z = _mm512_maskz_loadu_ps(mask, x);
    return _mm512_sub_ps(temperature == 1.0f ? z : _mm512_div_ps(z, _mm512_set1_ps(temperature)),
                         max);
}

static void exp_over_512(float *out, const float *x, float temperature, float max, int64_t n) {
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i);
        __m512 z = over(x + i, mask, temperature, _mm512_set1_ps(max));
        _mm512_mask_storeu_ps(out + i, mask, exp_512(z));
    }
}

static void exp_sums_512(float sum[2], const float *x, float temperature, float max, int64_t n) {
    __m512 sum_e = _mm512_setzero_ps(), sum_ez = _mm512_setzero_ps();
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __mmask16 mask = mask_of(n - i), some;
        __m512 z = over(x + i, mask, temperature, _mm512_set1_ps(max)), e = exp_512(z);
        sum_e = _mm512_mask_add_ps(sum_e, mask, sum_e, e);
        // A term of weight 0 adds 0 even where z is -infinity.
        some = _mm512_cmp_ps_mask(e, _mm512_setzero_ps(), _CMP_NEQ_UQ);
        z = _mm512_maskz_mov_ps(some, z);
        sum_ez = _mm512_mask3_fmadd_ps(e, z, sum_ez, mask);
    }
    sum[0] = fold(sum_e);
    sum[1] = fold(sum_ez);
}

static void widen_512(float *out, const uint16_t *x, int64_t n) {
    int64_t i = 0;
    for (; i + RL_LANES <= n; i += RL_LANES) {
        __m512i bits =
            _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(const void *)(x + i)));
        _mm512_storeu_si512(out + i, _mm512_slli_epi32(bits, 16));
    }
    for (; i < n; i++) {
        out[i] = rl_f32_of_bf16(x[i]);
    }
}

static void narrow_512(uint16_t *out, const float *x, int64_t n) {
    const __m512i most = _mm512_set1_epi32(0x7fff), one = _mm512_set1_epi32(1);
    int64_t i = 0;
    for (; i + RL_LANES <= n; i += RL_LANES) {
        __m512 v = _mm512_loadu_ps(x + i);
        __m512i bits = _mm512_castps_si512(v), half = _mm512_srli_epi32(bits, 16);
        __m512i up = _mm512_add_epi32(most, _mm512_and_si512(half, one));
        __m512i nearest = _mm512_srli_epi32(_mm512_add_epi32(bits, up), 16);
        __mmask16 nan = _mm512_cmp_ps_mask(v, v, _CMP_UNORD_Q);
        nearest = _mm512_mask_or_epi32(nearest, nan, half, _mm512_set1_epi32(0x40));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm512_cvtepi32_epi16(nearest));
    }
    for (; i < n; i++) {
        out[i] = rl_bf16_of(x[i]);
    }
}

void rl_kern_avx512(rl_kern *kern) {
    rl_kern_products_avx512(kern);
    kern->widen = widen_512;
    kern->narrow = narrow_512;
    kern->softmax = softmax_512;
    kern->sum_squares = sum_squares_512;
    kern->norm = norm_512;
    kern->rope = rope_512;
    kern->swiglu = swiglu_512;
    kern->geglu = geglu_512;
    kern->scale = scale_512;
    kern->add = add_512;
    kern->divide = divide_512;
    kern->max = max_512;
    kern->exp_over = exp_over_512;
    kern->exp_sums = exp_sums_512;
}

#else
void rl_kern_avx512(rl_kern *kern) {
    (void)kern;
}
#endif
