/* Adding a matrix, or one row to all rows, and the gradient of the latter, the sum of all rows;
 * multiplying by a number. */
#include <string.h>

#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

enum { GRAIN = 16, MOST_BLOCKS = 64, LEAST_ROWS = 8, COLUMNS = 64 };

typedef struct add_job {
    const rl_kern *kern;
    float *out;
    const float *in;
    int64_t out_stride, in_stride, width; // in_stride 0: the same row for all
    float by;
} add_job;

static void add_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const add_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        job->kern->add(job->out + r * job->out_stride, job->in + r * job->in_stride, job->width);
    }
}

void rl_cpu_add(rl_backend *be, rl_tensor out, rl_tensor in) {
    rl_cpu *cpu = rl_cpu_of(be);
    add_job job = {
        .kern = &cpu->kern,
        .out = rl_cpu_f32(out),
        .in = rl_cpu_f32(in),
        .out_stride = out.rank == 2 ? out.stride[0] : 0,
        .in_stride = in.rank == 2 ? in.stride[0] : 0,
        .width = out.rank == 2 ? out.shape[1] : out.shape[0],
    };
    rl_pool_run(cpu->pool, out.rank == 2 ? out.shape[0] : 1, GRAIN, add_rows, &job);
}

static void scale_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const add_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        job->kern->scale(job->out + r * job->out_stride, job->width, job->by);
    }
}

void rl_cpu_scale(rl_backend *be, rl_tensor x, float by) {
    rl_cpu *cpu = rl_cpu_of(be);
    add_job job = {
        .kern = &cpu->kern,
        .out = rl_cpu_f32(x),
        .out_stride = x.rank == 2 ? x.stride[0] : 0,
        .width = x.rank == 2 ? x.shape[1] : x.shape[0],
        .by = by,
    };
    rl_pool_run(cpu->pool, x.rank == 2 ? x.shape[0] : 1, GRAIN, scale_rows, &job);
}

/* Rows are cut into blocks by their number alone, each block sums into a row of its own, and the
 * blocks are added in order: the same bits on any number of threads. */
typedef struct sum_job {
    const rl_back_kern *kern;
    float *out, *partial; // [n_blocks, width]
    const float *in;
    int64_t in_stride, n_rows, width;
    int64_t block_rows, n_blocks;
} sum_job;

static void sum_blocks(void *context, int64_t begin, int64_t end, int32_t worker) {
    const sum_job *job = context;
    (void)worker;
    for (int64_t b = begin; b < end; b++) {
        float *partial = job->partial + b * job->width;
        int64_t last = (b + 1) * job->block_rows;
        memset(partial, 0, (size_t)job->width * sizeof *partial);
        for (int64_t r = b * job->block_rows; r < last && r < job->n_rows; r++) {
            job->kern->add(partial, job->in + r * job->in_stride, job->width);
        }
    }
}

static void add_blocks(void *context, int64_t begin, int64_t end, int32_t worker) {
    const sum_job *job = context;
    (void)worker;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t at = slice * COLUMNS, left = job->width - at;
        int64_t n = left < COLUMNS ? left : COLUMNS;
        for (int64_t b = 1; b < job->n_blocks; b++) {
            job->kern->add(job->partial + at, job->partial + b * job->width + at, n);
        }
        job->kern->add(job->out + at, job->partial + at, n);
    }
}

void rl_cpu_sum_rows(rl_backend *be, rl_tensor out, rl_tensor in) {
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    sum_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .out = rl_cpu_f32(out),
        .in = rl_cpu_f32(in),
        .in_stride = in.stride[0],
        .n_rows = in.shape[0],
        .width = in.shape[1],
    };
    if (job.n_rows == 0) {
        return;
    }
    job.block_rows = (job.n_rows + MOST_BLOCKS - 1) / MOST_BLOCKS;
    job.block_rows = job.block_rows > LEAST_ROWS ? job.block_rows : LEAST_ROWS;
    job.n_blocks = (job.n_rows + job.block_rows - 1) / job.block_rows;
    job.partial = rl_cpu_scratch(cpu, (size_t)(job.n_blocks * job.width) * sizeof(float));
    rl_pool_run(cpu->pool, job.n_blocks, 1, sum_blocks, &job);
    rl_pool_run(cpu->pool, (job.width + COLUMNS - 1) / COLUMNS, 1, add_blocks, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}
