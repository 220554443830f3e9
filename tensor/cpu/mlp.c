/* Gated activations, forward: SwiGLU and GEGLU (Shazeer 2020), the latter with gelu in tanh form.
 */
#include "tensor/cpu/cpu_ops.h"

typedef struct glu_job {
    void (*kern)(float *out, const float *gate, const float *up, int64_t n);
    float *out;
    const float *gate_up;
    int64_t out_stride, in_stride, width;
} glu_job;

static void glu_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const glu_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        const float *gate = job->gate_up + r * job->in_stride;
        job->kern(job->out + r * job->out_stride, gate, gate + job->width, job->width);
    }
}

static void run(rl_cpu *cpu, glu_job job, rl_tensor out, rl_tensor gate_up) {
    job.out = rl_cpu_f32(out);
    job.gate_up = rl_cpu_f32(gate_up);
    job.out_stride = out.stride[0];
    job.in_stride = gate_up.stride[0];
    job.width = out.shape[1];
    rl_pool_run(cpu->pool, out.shape[0], 4, glu_rows, &job);
}

void rl_cpu_swiglu(rl_backend *be, rl_tensor out, rl_tensor gate_up) {
    rl_cpu *cpu = rl_cpu_of(be);
    run(cpu, (glu_job){.kern = cpu->kern.swiglu}, out, gate_up);
}

void rl_cpu_geglu(rl_backend *be, rl_tensor out, rl_tensor gate_up) {
    rl_cpu *cpu = rl_cpu_of(be);
    run(cpu, (glu_job){.kern = cpu->kern.geglu}, out, gate_up);
}
