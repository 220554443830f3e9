/* Rows in 256-bit registers: the 16 lanes of the definition are two registers; ends are masked. */
#include "tensor/bf16.h"
#include "tensor/cpu/kern.h"
#include "tensor/cpu/kern_exp.h"

#if defined(__AVX2__) && defined(__FMA__)
#include <immintrin.h>

enum { HALF = RL_LANES / 2 };

static inline __m256i mask_of(int64_t left) {
    static const int32_t edge[2 * HALF] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
    int64_t n = left < 0 ? 0 : left > HALF ? HALF : left;
    return _mm256_loadu_si256((const __m256i *)(const void *)(edge + HALF - n));
}

static inline __m256 only(__m256 x, __m256i mask) {
    return _mm256_and_ps(x, _mm256_castsi256_ps(mask));
}

static float fold(__m256 low, __m256 high) {
    __m256 eight = _mm256_add_ps(low, high);
    __m128 four = _mm_add_ps(_mm256_castps256_ps128(eight), _mm256_extractf128_ps(eight, 1));
    __m128 two = _mm_add_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_add_ss(two, _mm_shuffle_ps(two, two, 1)));
}

/* 2^n for n in [-126, 127]. */
static inline __m256 power_of_two(__m256i n) {
    return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_add_epi32(n, _mm256_set1_epi32(127)), 23));
}

static inline __m256 exp_256(__m256 x) {
    const __m256 magic = _mm256_set1_ps(RL_EXP_MAGIC);
    __m256 shifted = _mm256_fmadd_ps(x, _mm256_set1_ps(RL_EXP_LOG2E), magic);
    __m256 whole = _mm256_sub_ps(shifted, magic);
    __m256 r = _mm256_fnmadd_ps(whole, _mm256_set1_ps(RL_EXP_LN2_HI), x);
    __m256 y = _mm256_set1_ps(RL_EXP_C7);
    __m256i n = _mm256_sub_epi32(_mm256_castps_si256(shifted), _mm256_castps_si256(magic));
    __m256i half = _mm256_srai_epi32(n, 1);
    __m256 low = _mm256_cmp_ps(x, _mm256_set1_ps(RL_EXP_LEAST), _CMP_LT_OQ);
    __m256 high = _mm256_cmp_ps(x, _mm256_set1_ps(RL_EXP_MOST), _CMP_GT_OQ);
    r = _mm256_fnmadd_ps(whole, _mm256_set1_ps(RL_EXP_LN2_LO), r);
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(RL_EXP_C6));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(RL_EXP_C5));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(RL_EXP_C4));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(RL_EXP_C3));
    y = _mm256_fmadd_ps(y, r, _mm256_set1_ps(RL_EXP_C2));
    y = _mm256_fmadd_ps(y, _mm256_mul_ps(r, r), r);
    y = _mm256_add_ps(y, _mm256_set1_ps(1.0f));
    y = _mm256_mul_ps(y, power_of_two(half));
    y = _mm256_mul_ps(y, power_of_two(_mm256_sub_epi32(n, half)));
    y = _mm256_blendv_ps(y, _mm256_set1_ps(INFINITY), high);
    return _mm256_andnot_ps(low, y);
}

static float max_256(const float *x, int64_t n) {
    __m256 max = _mm256_set1_ps(x[0]);
    __m128 four, two;
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        __m256 v =
            _mm256_blendv_ps(max, _mm256_maskload_ps(x + i, mask), _mm256_castsi256_ps(mask));
        max = _mm256_max_ps(v, max);
    }
    four = _mm_max_ps(_mm256_castps256_ps128(max), _mm256_extractf128_ps(max, 1));
    two = _mm_max_ps(four, _mm_movehl_ps(four, four));
    return _mm_cvtss_f32(_mm_max_ss(two, _mm_shuffle_ps(two, two, 1)));
}

static inline __m256 softmax_half(float *x, int64_t left, __m256 by, __m256 max) {
    __m256i mask = mask_of(left);
    __m256 z = _mm256_sub_ps(_mm256_mul_ps(_mm256_maskload_ps(x, mask), by), max);
    __m256 e = exp_256(z);
    _mm256_maskstore_ps(x, mask, e);
    return only(e, mask);
}

static float softmax_256(float *x, int64_t n, float scale) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps(), by = _mm256_set1_ps(scale);
    __m256 max = _mm256_set1_ps(max_256(x, n) * scale);
    for (int64_t i = 0; i < n; i += RL_LANES) {
        low = _mm256_add_ps(low, softmax_half(x + i, n - i, by, max));
        if (n - i > HALF) {
            high = _mm256_add_ps(high, softmax_half(x + i + HALF, n - i - HALF, by, max));
        }
    }
    return fold(low, high);
}

static float sum_squares_256(const float *x, int64_t n) {
    __m256 low = _mm256_setzero_ps(), high = _mm256_setzero_ps();
    for (int64_t i = 0; i < n; i += RL_LANES) {
        __m256 v = _mm256_maskload_ps(x + i, mask_of(n - i));
        low = _mm256_fmadd_ps(v, v, low);
        if (n - i > HALF) {
            v = _mm256_maskload_ps(x + i + HALF, mask_of(n - i - HALF));
            high = _mm256_fmadd_ps(v, v, high);
        }
    }
    return fold(low, high);
}

static void norm_256(float *out, const float *x, const float *weight, float rstd, int64_t n) {
    __m256 by = _mm256_set1_ps(rstd);
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        __m256 v = _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), by);
        _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(v, _mm256_maskload_ps(weight + i, mask)));
    }
}

static void rope_256(float *x, const float *table, int32_t n_heads, int32_t dim, bool back) {
    int32_t half = dim / 2;
    __m256 sign = _mm256_set1_ps(back ? -0.0f : 0.0f);
    for (int32_t h = 0; h < n_heads; h++, x += dim) {
        for (int32_t i = 0; i < half; i += HALF) {
            __m256i mask = mask_of(half - i);
            __m256 a = _mm256_maskload_ps(x + i, mask);
            __m256 b = _mm256_maskload_ps(x + half + i, mask);
            __m256 cosine = _mm256_maskload_ps(table + i, mask);
            __m256 sine = _mm256_xor_ps(_mm256_maskload_ps(table + half + i, mask), sign);
            _mm256_maskstore_ps(x + i, mask,
                                _mm256_sub_ps(_mm256_mul_ps(a, cosine), _mm256_mul_ps(b, sine)));
            _mm256_maskstore_ps(x + half + i, mask,
                                _mm256_add_ps(_mm256_mul_ps(b, cosine), _mm256_mul_ps(a, sine)));
        }
    }
}

static void swiglu_256(float *out, const float *gate, const float *up, int64_t n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        __m256 g = _mm256_maskload_ps(gate + i, mask), u = _mm256_maskload_ps(up + i, mask);
        __m256 silu = _mm256_div_ps(g, _mm256_add_ps(one, exp_256(_mm256_xor_ps(g, sign))));
        _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(silu, u));
    }
}

static void geglu_256(float *out, const float *gate, const float *up, int64_t n) {
    const __m256 one = _mm256_set1_ps(1.0f), sign = _mm256_set1_ps(-0.0f);
    const __m256 a = _mm256_set1_ps(RL_GELU_A), b = _mm256_set1_ps(RL_GELU_B);
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        __m256 g = _mm256_maskload_ps(gate + i, mask), u = _mm256_maskload_ps(up + i, mask);
        __m256 z = _mm256_mul_ps(g, _mm256_fmadd_ps(_mm256_mul_ps(g, g), b, a));
        __m256 gelu = _mm256_div_ps(g, _mm256_add_ps(one, exp_256(_mm256_xor_ps(z, sign))));
        _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(gelu, u));
    }
}

static void scale_256(float *x, int64_t n, float by) {
    __m256 factor = _mm256_set1_ps(by);
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        _mm256_maskstore_ps(x + i, mask, _mm256_mul_ps(_mm256_maskload_ps(x + i, mask), factor));
    }
}

static void add_256(float *out, const float *x, int64_t n) {
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        _mm256_maskstore_ps(
            out + i, mask,
            _mm256_add_ps(_mm256_maskload_ps(out + i, mask), _mm256_maskload_ps(x + i, mask)));
    }
}

static void divide_256(float *out, const float *x, float by, int64_t n) {
    __m256 divisor = _mm256_set1_ps(by);
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        _mm256_maskstore_ps(out + i, mask, _mm256_div_ps(_mm256_maskload_ps(x + i, mask), divisor));
    }
}

/* x / temperature - max; dividing by 1 changes nothing and is left out. */
static inline __m256 over(const float *x, __m256i mask, float temperature, float max) {
    __m256 z = _mm256_maskload_ps(x, mask);
    if (temperature != 1.0f) {
        z = _mm256_div_ps(z, _mm256_set1_ps(temperature));
    }
    return _mm256_sub_ps(z, _mm256_set1_ps(max));
}

static void exp_over_256(float *out, const float *x, float temperature, float max, int64_t n) {
    for (int64_t i = 0; i < n; i += HALF) {
        __m256i mask = mask_of(n - i);
        _mm256_maskstore_ps(out + i, mask, exp_256(over(x + i, mask, temperature, max)));
    }
}

/* One half of 16 elements; a term of weight 0 adds 0 even where z is -infinity. */
static inline void sum_half(__m256 sum[2], const float *x, int64_t left, float temperature,
                            float max) {
    __m256i mask = mask_of(left);
    __m256 z = over(x, mask, temperature, max), e = only(exp_256(z), mask);
    __m256 some = _mm256_cmp_ps(e, _mm256_setzero_ps(), _CMP_NEQ_UQ);
    sum[0] = _mm256_add_ps(sum[0], e);
    sum[1] = _mm256_fmadd_ps(e, _mm256_and_ps(z, some), sum[1]);
}

static void exp_sums_256(float sum[2], const float *x, float temperature, float max, int64_t n) {
    __m256 low[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    __m256 high[2] = {_mm256_setzero_ps(), _mm256_setzero_ps()};
    for (int64_t i = 0; i < n; i += RL_LANES) {
        sum_half(low, x + i, n - i, temperature, max);
        if (n - i > HALF) {
            sum_half(high, x + i + HALF, n - i - HALF, temperature, max);
        }
    }
    sum[0] = fold(low[0], high[0]);
    sum[1] = fold(low[1], high[1]);
}

static void widen_256(float *out, const uint16_t *x, int64_t n) {
    int64_t i = 0;
    for (; i + HALF <= n; i += HALF) {
        __m256i bits =
            _mm256_cvtepu16_epi32(_mm_loadu_si128((const __m128i *)(const void *)(x + i)));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_slli_epi32(bits, 16));
    }
    for (; i < n; i++) {
        out[i] = rl_f32_of_bf16(x[i]);
    }
}

/* Eight numbers as bfloat16, each in the lower half of its place. */
static inline __m256i narrow_half(const float *x) {
    __m256 v = _mm256_loadu_ps(x);
    __m256i bits = _mm256_castps_si256(v), half = _mm256_srli_epi32(bits, 16);
    __m256i up =
        _mm256_add_epi32(_mm256_set1_epi32(0x7fff), _mm256_and_si256(half, _mm256_set1_epi32(1)));
    __m256i nearest = _mm256_srli_epi32(_mm256_add_epi32(bits, up), 16);
    __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(v, v, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(nearest, _mm256_or_si256(half, _mm256_set1_epi32(0x40)), nan);
}

static void narrow_256(uint16_t *out, const float *x, int64_t n) {
    int64_t i = 0;
    for (; i + RL_LANES <= n; i += RL_LANES) {
        __m256i both = _mm256_packus_epi32(narrow_half(x + i), narrow_half(x + i + HALF));
        _mm256_storeu_si256((__m256i *)(void *)(out + i), _mm256_permute4x64_epi64(both, 0xd8));
    }
    for (; i < n; i++) {
        out[i] = rl_bf16_of(x[i]);
    }
}

void rl_kern_avx2(rl_kern *kern) {
    rl_kern_products_avx2(kern);
    kern->widen = widen_256;
    kern->narrow = narrow_256;
    kern->softmax = softmax_256;
    kern->sum_squares = sum_squares_256;
    kern->norm = norm_256;
    kern->rope = rope_256;
    kern->swiglu = swiglu_256;
    kern->geglu = geglu_256;
    kern->scale = scale_256;
    kern->add = add_256;
    kern->divide = divide_256;
    kern->max = max_256;
    kern->exp_over = exp_over_256;
    kern->exp_sums = exp_sums_256;
}

#else
void rl_kern_avx2(rl_kern *kern) {
    (void)kern;
}
#endif
