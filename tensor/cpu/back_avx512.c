#include "tensor/cpu/back_kern.h"

#if defined(__AVX512F__)
#include <immintrin.h>

#define LANES 16
#include "tensor/cpu/back_loops.h"

static inline vec root(vec x) {
    return (vec)_mm512_sqrt_ps((__m512)x);
}

const rl_back_kern rl_back_kern_avx512 = BACK_KERN;
#else
const rl_back_kern rl_back_kern_avx512 = {0};
#endif
