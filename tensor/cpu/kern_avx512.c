#include "tensor/cpu/kern.h"

void rl_kern_avx512(rl_kern *kern) {
    (void)kern;
}
