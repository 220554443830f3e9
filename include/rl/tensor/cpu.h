/*
 * The CPU backend. `kernels` pins the inner loops (recipe key compute.kernels); auto takes the
 * widest set the processor has. Asking for a set the processor lacks is refused by name.
 *
 * A process holds one CPU backend at a time: the kernel table is chosen here, before any work
 * starts.
 */
#ifndef RL_TENSOR_CPU_H
#define RL_TENSOR_CPU_H

#include "rl/core/pool.h"
#include "rl/tensor/backend.h"

typedef enum rl_kernels {
    RL_KERNELS_AUTO,
    RL_KERNELS_REF,
    RL_KERNELS_AVX2,
    RL_KERNELS_AVX512
} rl_kernels;
extern const char *const rl_kernels_names[]; // in enumerator order, NULL-terminated

/* pool is borrowed for the life of the backend. */
rl_status rl_cpu_open(rl_kernels kernels, rl_pool *pool, rl_backend **out, rl_err *err) RL_MUST_USE;
void rl_cpu_close(rl_backend *be); // accepts NULL
bool rl_cpu_has(rl_kernels kernels);
/* "avx512, BLAS SkylakeX, 2 threads": for logs and benchmarks. */
const char *rl_cpu_describe(const rl_backend *be);

#endif
