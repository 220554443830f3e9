/*
 * Gradient of the RMS norm. The weight's gradient is a sum over all rows: rows are cut into blocks
 * by their number alone, each block sums into a row of its own, and the blocks are added in order.
 */
#include <string.h>

#include "rl/tensor/tensor.h"
#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

enum { MOST_BLOCKS = 64, LEAST_ROWS = 8, COLUMNS = 64 };

typedef struct norm_job {
    const rl_back_kern *kern;
    float *d_in, *d_weight;
    float *partial; // [n_blocks, width]
    const float *d_out, *in, *weight, *rstd;
    int64_t d_in_stride, d_out_stride, in_stride;
    int64_t n_rows, n_groups, width; // rows of one group each
    int64_t block_rows, n_blocks;
} norm_job;

static void norm_blocks(void *context, int64_t begin, int64_t end, int32_t worker) {
    const norm_job *job = context;
    (void)worker;
    for (int64_t b = begin; b < end; b++) {
        float *partial = job->partial + b * job->width;
        int64_t last = (b + 1) * job->block_rows;
        memset(partial, 0, (size_t)job->width * sizeof *partial);
        for (int64_t r = b * job->block_rows; r < last && r < job->n_rows; r++) {
            int64_t row = r / job->n_groups, col = r % job->n_groups * job->width;
            job->kern->rms_norm(job->d_in + row * job->d_in_stride + col, partial,
                                job->d_out + row * job->d_out_stride + col,
                                job->in + row * job->in_stride + col, job->weight, job->rstd[r],
                                job->width);
        }
    }
}

static void add_blocks(void *context, int64_t begin, int64_t end, int32_t worker) {
    const norm_job *job = context;
    (void)worker;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t at = slice * COLUMNS, left = job->width - at;
        for (int64_t b = 1; b < job->n_blocks; b++) {
            job->kern->add(job->partial + at, job->partial + b * job->width + at,
                           left < COLUMNS ? left : COLUMNS);
        }
        job->kern->add(job->d_weight + at, job->partial + at, left < COLUMNS ? left : COLUMNS);
    }
}

void rl_cpu_rms_norm_back(rl_backend *be, rl_tensor d_in, rl_tensor d_weight, rl_tensor d_out,
                          rl_tensor in, rl_tensor weight, rl_tensor rstd) {
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    norm_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .d_in = rl_cpu_f32(d_in),
        .d_weight = rl_tensor_is_null(d_weight) ? NULL : rl_cpu_f32(d_weight),
        .d_out = rl_cpu_f32(d_out),
        .in = rl_cpu_f32(in),
        .weight = rl_cpu_f32(weight),
        .rstd = rl_cpu_f32(rstd),
        .d_in_stride = d_in.stride[0],
        .d_out_stride = d_out.stride[0],
        .in_stride = in.stride[0],
        .n_rows = rstd.shape[0],
        .n_groups = in.shape[1] / weight.shape[0],
        .width = weight.shape[0],
    };
    if (job.n_rows == 0) {
        return;
    }
    job.block_rows = (job.n_rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    job.block_rows = job.block_rows > LEAST_ROWS ? job.block_rows : LEAST_ROWS;
    job.n_blocks = (job.n_rows + job.block_rows - 1) / job.block_rows;
    job.partial = rl_cpu_scratch(cpu, (size_t)(job.n_blocks * job.width) * sizeof(float));
    rl_pool_run(cpu->pool, job.n_blocks, 1, norm_blocks, &job);
    if (job.d_weight != NULL) {
        rl_pool_run(cpu->pool, (job.width + COLUMNS - 1) / COLUMNS, 1, add_blocks, &job);
    }
    rl_cpu_scratch_rewind(cpu, mark);
}
