/* Rotary position embedding (Su et al. 2021), pairs half a head apart as in Llama checkpoints. */
#include "tensor/cpu/cpu_ops.h"

typedef struct rope_job {
    const rl_kern *kern;
    float *x;
    const float *table;
    const int32_t *position;
    int64_t stride, n_positions;
    int32_t n_heads, dim;
    bool back;
} rope_job;

static void rope_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const rope_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        int32_t position = job->position[r];
        RL_ASSERT(position >= 0 && position < job->n_positions);
        job->kern->rope(job->x + r * job->stride, job->table + (int64_t)position * job->dim,
                        job->n_heads, job->dim, job->back);
    }
}

void rl_cpu_rope(rl_backend *be, rl_tensor x, rl_tensor table, rl_tensor position, bool back) {
    rl_cpu *cpu = rl_cpu_of(be);
    rope_job job = {
        .kern = &cpu->kern,
        .x = rl_cpu_f32(x),
        .table = rl_cpu_f32(table),
        .position = rl_cpu_i32(position),
        .stride = x.stride[0],
        .n_positions = table.shape[0],
        .n_heads = (int32_t)(x.shape[1] / table.shape[1]),
        .dim = (int32_t)table.shape[1],
        .back = back,
    };
    rl_pool_run(cpu->pool, x.shape[0], 8, rope_rows, &job);
}
