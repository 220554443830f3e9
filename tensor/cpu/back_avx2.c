#include "tensor/cpu/back_kern.h"

#if defined(__AVX2__)
#include <immintrin.h>

#define LANES 8
#include "tensor/cpu/back_loops.h"

static inline vec root(vec x) {
    return (vec)_mm256_sqrt_ps((__m256)x);
}

const rl_back_kern rl_back_kern_avx2 = BACK_KERN;
#else
const rl_back_kern rl_back_kern_avx2 = {0};
#endif
