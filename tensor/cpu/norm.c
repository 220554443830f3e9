/* Root-mean-square norm (Zhang and Sennrich 2019), forward. */
#include <math.h>

#include "rl/tensor/tensor.h"
#include "tensor/cpu/cpu_ops.h"

typedef struct norm_job {
    const rl_kern *kern;
    float *out, *rstd; // rstd may be NULL
    const float *in, *weight;
    int64_t out_stride, in_stride, width, n_groups;
    float eps;
} norm_job;

static void norm_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const norm_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        for (int64_t g = 0; g < job->n_groups; g++) {
            const float *in = job->in + r * job->in_stride + g * job->width;
            float *out = job->out + r * job->out_stride + g * job->width;
            float mean = job->kern->sum_squares(in, job->width) / (float)job->width;
            float rstd = 1.0f / sqrtf(mean + job->eps);
            job->kern->norm(out, in, job->weight, rstd, job->width);
            if (job->rstd != NULL) {
                job->rstd[r * job->n_groups + g] = rstd;
            }
        }
    }
}

void rl_cpu_rms_norm(rl_backend *be, rl_tensor out, rl_tensor rstd, rl_tensor in, rl_tensor weight,
                     float eps) {
    rl_cpu *cpu = rl_cpu_of(be);
    norm_job job = {
        .kern = &cpu->kern,
        .out = rl_cpu_f32(out),
        .rstd = rl_tensor_is_null(rstd) ? NULL : rl_cpu_f32(rstd),
        .in = rl_cpu_f32(in),
        .weight = rl_cpu_f32(weight),
        .out_stride = out.stride[0],
        .in_stride = in.stride[0],
        .width = weight.shape[0],
        .n_groups = in.shape[1] / weight.shape[0],
        .eps = eps,
    };
    rl_pool_run(cpu->pool, in.shape[0], 8, norm_rows, &job);
}
