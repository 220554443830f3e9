/* What this processor has. This file gets no instruction-set flags: it runs before the choice. */
#include "tensor/cpu/kern.h"

#if defined(__x86_64__) && defined(__GNUC__)
bool rl_cpu_has_avx2(void) {
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
}

bool rl_cpu_has_avx512(void) {
    __builtin_cpu_init();
    return rl_cpu_has_avx2() && __builtin_cpu_supports("avx512f") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512vl");
}
#else
bool rl_cpu_has_avx2(void) {
    return false;
}

bool rl_cpu_has_avx512(void) {
    return false;
}
#endif
