#include "tensor/cpu/back_kern.h"

#include <math.h>

#define LANES 4
#include "tensor/cpu/back_loops.h"

static inline vec root(vec x) {
    for (int i = 0; i < LANES; i++) {
        x[i] = sqrtf(x[i]);
    }
    return x;
}

const rl_back_kern rl_back_kern_ref = BACK_KERN;
