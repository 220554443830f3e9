/*
 * Rows added to rows chosen by index. An index may occur many times, so threads take columns: each
 * column is summed over the rows in their order, whatever the number of threads.
 */
#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

enum { COLUMNS = 32 }; // two cache lines

typedef struct scatter_job {
    const rl_back_kern *kern;
    float *out;
    const float *in;
    const int32_t *row; // [n_rows] of out
    int64_t out_stride, in_stride, n_rows, width;
} scatter_job;

static void scatter_columns(void *context, int64_t begin, int64_t end, int32_t worker) {
    const scatter_job *job = context;
    (void)worker;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t at = slice * COLUMNS, left = job->width - at;
        for (int64_t r = 0; r < job->n_rows; r++) {
            job->kern->add(job->out + job->row[r] * job->out_stride + at,
                           job->in + r * job->in_stride + at, left < COLUMNS ? left : COLUMNS);
        }
    }
}

static void scatter(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row) {
    rl_cpu *cpu = rl_cpu_of(be);
    scatter_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .out = rl_cpu_f32(out),
        .in = rl_cpu_f32(in),
        .row = rl_cpu_i32(row),
        .out_stride = out.stride[0],
        .in_stride = in.stride[0],
        .n_rows = in.shape[0],
        .width = in.shape[1],
    };
    for (int64_t r = 0; r < job.n_rows; r++) {
        RL_ASSERT(job.row[r] >= 0 && job.row[r] < out.shape[0]);
    }
    rl_pool_run(cpu->pool, (job.width + COLUMNS - 1) / COLUMNS, 1, scatter_columns, &job);
}

void rl_cpu_embed_back(rl_backend *be, rl_tensor d_table, rl_tensor d_out, rl_tensor token) {
    scatter(be, d_table, d_out, token);
}

void rl_cpu_scatter_add(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor row) {
    scatter(be, d_in, d_out, row);
}
