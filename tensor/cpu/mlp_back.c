/* Gradients of the gated activations. */
#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

typedef struct glu_job {
    void (*kern)(float *d_gate, float *d_up, const float *d_out, const float *gate, const float *up,
                 int64_t n);
    float *d_gate_up;
    const float *d_out, *gate_up;
    int64_t d_gate_up_stride, d_out_stride, gate_up_stride;
    int64_t width; // F
} glu_job;

static void glu_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const glu_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        float *d_gate = job->d_gate_up + r * job->d_gate_up_stride;
        const float *gate = job->gate_up + r * job->gate_up_stride;
        job->kern(d_gate, d_gate + job->width, job->d_out + r * job->d_out_stride, gate,
                  gate + job->width, job->width);
    }
}

static void run(rl_cpu *cpu, glu_job job, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up) {
    enum { GRAIN = 16 };
    job.d_gate_up = rl_cpu_f32(d_gate_up);
    job.d_out = rl_cpu_f32(d_out);
    job.gate_up = rl_cpu_f32(gate_up);
    job.d_gate_up_stride = d_gate_up.stride[0];
    job.d_out_stride = d_out.stride[0];
    job.gate_up_stride = gate_up.stride[0];
    job.width = d_out.shape[1];
    rl_pool_run(cpu->pool, d_out.shape[0], GRAIN, glu_rows, &job);
}

void rl_cpu_swiglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up) {
    rl_cpu *cpu = rl_cpu_of(be);
    run(cpu, (glu_job){.kern = rl_back_kern_of(cpu->kernels)->swiglu}, d_gate_up, d_out, gate_up);
}

void rl_cpu_geglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up) {
    rl_cpu *cpu = rl_cpu_of(be);
    run(cpu, (glu_job){.kern = rl_back_kern_of(cpu->kernels)->geglu}, d_gate_up, d_out, gate_up);
}
