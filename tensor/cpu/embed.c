/* Moving rows: embedding, gather, copy, fill, rounding. */
#include <string.h>

#include "rl/tensor/tensor.h"
#include "tensor/bf16.h"
#include "tensor/cpu/cpu_ops.h"

enum { ROWS_A_TILE = 16 };

typedef struct rows_job {
    float *out;
    const float *in;
    const int32_t *row; // which row of in; NULL for the same row
    int64_t out_stride, in_stride, width, n_in;
    float value; // fill: in is NULL
} rows_job;

static void copy_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const rows_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        int64_t from = job->row != NULL ? job->row[r] : r;
        RL_ASSERT(from >= 0 && from < job->n_in);
        memcpy(job->out + r * job->out_stride, job->in + from * job->in_stride,
               (size_t)job->width * sizeof(float));
    }
}

static void fill_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const rows_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        float *out = job->out + r * job->out_stride;
        for (int64_t i = 0; i < job->width; i++) {
            out[i] = job->value;
        }
    }
}

static void take_rows(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row) {
    rows_job job = {
        .out = rl_cpu_f32(out),
        .in = rl_cpu_f32(in),
        .row = rl_cpu_i32(row),
        .out_stride = out.stride[0],
        .in_stride = in.stride[0],
        .width = out.shape[1],
        .n_in = in.shape[0],
    };
    rl_pool_run(rl_cpu_of(be)->pool, out.shape[0], ROWS_A_TILE, copy_rows, &job);
}

void rl_cpu_embed(rl_backend *be, rl_tensor out, rl_tensor table, rl_tensor token) {
    take_rows(be, out, table, token);
}

void rl_cpu_gather(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row) {
    take_rows(be, out, in, row);
}

/* A tensor of rank 1 is a column of short rows, so that a long one is shared out too. */
enum { FLAT_WIDTH = 4096 };

static void run_flat(rl_backend *be, rl_tensor out, const rows_job *whole, rl_pool_job *job) {
    rows_job part = *whole;
    if (out.rank == 2 && !rl_tensor_dense(out)) {
        rl_pool_run(rl_cpu_of(be)->pool, out.shape[0], ROWS_A_TILE, job, &part);
        return;
    }
    part.width = part.out_stride = part.in_stride = FLAT_WIDTH;
    part.n_in = rl_tensor_count(out) / FLAT_WIDTH;
    rl_pool_run(rl_cpu_of(be)->pool, part.n_in, ROWS_A_TILE, job, &part);
    part.out += part.n_in * FLAT_WIDTH;
    part.in = part.in != NULL ? part.in + part.n_in * FLAT_WIDTH : NULL;
    part.width = rl_tensor_count(out) % FLAT_WIDTH;
    part.n_in = 1;
    job(&part, 0, 1, 0);
}

void rl_cpu_copy(rl_backend *be, rl_tensor out, rl_tensor in) {
    rows_job job = {
        .out = rl_cpu_f32(out),
        .in = rl_cpu_f32(in),
        .out_stride = out.stride[0],
        .in_stride = in.stride[0],
        .width = out.rank == 2 ? out.shape[1] : out.shape[0],
        .n_in = out.shape[0],
    };
    if (rl_tensor_dense(out) != rl_tensor_dense(in)) { // one of them has gaps: row by row
        rl_pool_run(rl_cpu_of(be)->pool, out.shape[0], ROWS_A_TILE, copy_rows, &job);
        return;
    }
    run_flat(be, out, &job, copy_rows);
}

void rl_cpu_fill(rl_backend *be, rl_tensor out, float value) {
    rows_job job = {
        .out = rl_cpu_f32(out),
        .out_stride = out.stride[0],
        .width = out.rank == 2 ? out.shape[1] : out.shape[0],
        .value = value,
    };
    run_flat(be, out, &job, fill_rows);
}

static void round_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const rows_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        float *x = job->out + r * job->out_stride;
        for (int64_t i = 0; i < job->width; i++) {
            x[i] = rl_f32_of_bf16(rl_bf16_of(x[i]));
        }
    }
}

void rl_cpu_round_bf16(rl_backend *be, rl_tensor x) {
    rows_job job = {.out = rl_cpu_f32(x), .out_stride = x.stride[0], .width = x.shape[1]};
    rl_pool_run(rl_cpu_of(be)->pool, x.shape[0], ROWS_A_TILE, round_rows, &job);
}
