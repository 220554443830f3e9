/* SwiGLU (Shazeer 2020), forward. */
#include "tensor/cpu/cpu_ops.h"

typedef struct swiglu_job {
    const rl_kern *kern;
    float *out;
    const float *gate_up;
    int64_t out_stride, in_stride, width;
} swiglu_job;

static void swiglu_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const swiglu_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        const float *gate = job->gate_up + r * job->in_stride;
        job->kern->swiglu(job->out + r * job->out_stride, gate, gate + job->width, job->width);
    }
}

void rl_cpu_swiglu(rl_backend *be, rl_tensor out, rl_tensor gate_up) {
    rl_cpu *cpu = rl_cpu_of(be);
    swiglu_job job = {
        .kern = &cpu->kern,
        .out = rl_cpu_f32(out),
        .gate_up = rl_cpu_f32(gate_up),
        .out_stride = out.stride[0],
        .in_stride = gate_up.stride[0],
        .width = out.shape[1],
    };
    rl_pool_run(cpu->pool, out.shape[0], 4, swiglu_rows, &job);
}
