/* Products on plain arrays. */
#ifndef RL_TENSOR_CPU_GEMM_BLAS_H
#define RL_TENSOR_CPU_GEMM_BLAS_H

#include <stdbool.h>
#include <stdint.h>

#include "tensor/cpu/cpu_ops.h"

/* out[m, n] = op(a)[m, k] . op(b)[k, n] + beta * out, row-major with row strides; op transposes
 * where a_t or b_t says so. */
typedef struct rl_cpu_gemm {
    int64_t m, n, k;
    const float *a, *b;
    float *out;
    int64_t a_stride, b_stride, out_stride;
    bool a_t, b_t;
    float beta;
} rl_cpu_gemm;

/* On the calling thread: for operations that do their own sharing out of work. */
void rl_cpu_sgemm(const rl_cpu_gemm *g);
/* On the pool, by BLAS or by panels as the shapes say. */
void rl_cpu_product(rl_cpu *cpu, const rl_cpu_gemm *g);

/* gemm_fwd.c: the product of plain a and b with beta 0 by the panels of the forward, on the pool.
 * An element is one chain over k, so the bits do not depend on threads or kernels. */
void rl_cpu_panel_product(rl_cpu *cpu, const rl_cpu_gemm *g);

#endif
