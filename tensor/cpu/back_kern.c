#include "tensor/cpu/back_kern.h"

#include "rl/core/assert.h"

const rl_back_kern *rl_back_kern_of(rl_kernels kernels) {
    switch (kernels) {
    case RL_KERNELS_REF:
        return &rl_back_kern_ref;
    case RL_KERNELS_AVX2:
        return &rl_back_kern_avx2;
    case RL_KERNELS_AVX512:
        return &rl_back_kern_avx512;
    case RL_KERNELS_AUTO:
        break;
    }
    RL_ASSERT(!"a kernel set, chosen");
    return NULL;
}
