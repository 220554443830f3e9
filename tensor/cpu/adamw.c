#include <math.h>

#include "rl/core/fmath.h"
#include "rl/tensor/tensor.h"
#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"

enum { CHUNK = 1 << 16, MOST_PARTS = 1024 };

typedef struct adamw_job {
    const rl_back_kern *kern;
    float *param, *m, *v;
    const float *grad;
    rl_adamw_row row;
} adamw_job;

static void adamw_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const adamw_job *job = context;
    (void)worker;
    job->kern->adamw(job->param + begin, job->m + begin, job->v + begin, job->grad + begin,
                     end - begin, &job->row);
}

void rl_cpu_adamw(rl_backend *be, rl_tensor param, rl_tensor m, rl_tensor v, rl_tensor grad,
                  const rl_adamw *hyper) {
    rl_cpu *cpu = rl_cpu_of(be);
    double t = (double)hyper->step;
    adamw_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .param = rl_cpu_f32(param),
        .m = rl_cpu_f32(m),
        .v = rl_cpu_f32(v),
        .grad = rl_cpu_f32(grad),
        .row =
            {
                .grad_scale = (float)hyper->grad_scale,
                .decay = (float)(1 - hyper->lr * hyper->weight_decay),
                .beta1_left = (float)(1 - hyper->beta1),
                .beta2 = (float)hyper->beta2,
                .beta2_left = (float)(1 - hyper->beta2),
                .step = (float)(hyper->lr / (1 - rl_pow(hyper->beta1, t))),
                .root = (float)sqrt(1 - rl_pow(hyper->beta2, t)),
                .eps = (float)hyper->eps,
            },
    };
    rl_pool_run(cpu->pool, rl_tensor_count(param), CHUNK, adamw_range, &job);
}

/* Rows are cut into parts by their number alone; parts are added in order. */
typedef struct squares_job {
    const rl_back_kern *kern;
    const float *in;
    int64_t n, width, stride; // n elements in rows of width, the last one maybe shorter
    int64_t n_rows, part_rows;
    double part[MOST_PARTS];
} squares_job;

static void square_parts(void *context, int64_t begin, int64_t end, int32_t worker) {
    squares_job *job = context;
    (void)worker;
    for (int64_t p = begin; p < end; p++) {
        int64_t last = (p + 1) * job->part_rows;
        job->part[p] = 0;
        for (int64_t r = p * job->part_rows; r < last && r < job->n_rows; r++) {
            int64_t left = job->n - r * job->width;
            job->part[p] += job->kern->sum_squares(job->in + r * job->stride,
                                                   left < job->width ? left : job->width);
        }
    }
}

double rl_cpu_sum_squares(rl_backend *be, rl_tensor in) {
    rl_cpu *cpu = rl_cpu_of(be);
    bool flat = in.rank == 1 || rl_tensor_dense(in);
    squares_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .in = rl_cpu_f32(in),
        .n = rl_tensor_count(in),
        .width = flat ? CHUNK : in.shape[1],
        .stride = flat ? CHUNK : in.stride[0],
    };
    double sum = 0;
    if (job.n == 0) {
        return 0;
    }
    job.n_rows = (job.n + job.width - 1) / job.width;
    job.part_rows = (job.n_rows + MOST_PARTS - 1) / MOST_PARTS;
    int64_t n_parts = (job.n_rows + job.part_rows - 1) / job.part_rows;
    rl_pool_run(cpu->pool, n_parts, flat ? 1 : 16, square_parts, &job);
    for (int64_t p = 0; p < n_parts; p++) {
        sum += job.part[p];
    }
    return sum;
}
