/*
 * Muon (Jordan, "Muon: an optimizer for hidden layers in neural networks", 2024). A matrix belongs
 * to one thread from its gradient to its new value, so the bits do not depend on the number of
 * threads; small matrices are many, and none of them is worth cutting. Big ones are worked on by
 * fewer threads than there are, so that what these need beside the matrices stays bounded.
 */
#include <math.h>
#include <stdatomic.h>

#include "rl/tensor/tensor.h"
#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"
#include "tensor/cpu/gemm_blas.h"

/* Newton-Schulz takes a singular value s to s (A + B s^2 + C s^4); Jordan's numbers, with which
 * five steps bring all but the smallest into about [0.7, 1.2]. */
static const float coef_a = 3.4445f, coef_b = -4.7750f, coef_c = 2.0315f;
static const double norm_floor = 1e-7;

typedef struct muon_job {
    const rl_muon_item *item;
    int32_t n_items;
    atomic_int next; // item that nobody has taken
    const rl_back_kern *kern;
    float grad_scale, momentum_left, decay;
    int32_t ns_steps;
    unsigned char *scratch; // a part for each of those that work at once
    size_t part_bytes;
} muon_job;

/* One part: memory for a matrix of n elements whose shorter side is s. */
typedef struct part {
    float *x, *next;      // [n]
    float *gram, *square; // [s, s]
} part;

static int64_t shorter(rl_tensor t) {
    return t.shape[0] < t.shape[1] ? t.shape[0] : t.shape[1];
}

/* Floats of an array in a part, so that the next one begins at a multiple of 64 bytes. */
static size_t room(int64_t n) {
    return ((size_t)n + 15) / 16 * 16;
}

static size_t part_room(rl_tensor t) {
    return 2 * (room(rl_tensor_count(t)) + room(shorter(t) * shorter(t)));
}

static part carve(float *at, rl_tensor t) {
    size_t n = room(rl_tensor_count(t)), m = room(shorter(t) * shorter(t));
    return (part){.x = at, .next = at + n, .gram = at + 2 * n, .square = at + 2 * n + m};
}

/* The direction: momentum takes in the gradient, and Nesterov looks one step ahead. */
static void take_gradient(const muon_job *job, const rl_muon_item *item, float *x) {
    const float *grad = rl_cpu_f32(item->grad);
    float *momentum = rl_cpu_f32(item->momentum);
    int64_t n = rl_tensor_count(item->param);
    for (int64_t i = 0; i < n; i++) {
        float g = grad[i] * job->grad_scale;
        float m = momentum[i] + job->momentum_left * (g - momentum[i]);
        momentum[i] = m;
        x[i] = m + job->momentum_left * (g - m);
    }
}

/*
 * One iteration, x -> (a I + b G + c G^2) x for a wide x with the gram matrix G = x x^T; a tall x
 * has G = x^T x and is multiplied from its right. What multiplies is symmetric.
 */
static void iterate(part *p, int64_t rows, int64_t cols) {
    bool tall = rows > cols;
    int64_t s = tall ? cols : rows;
    float *x = p->x;
    rl_cpu_gemm gram = {.m = s,
                        .n = s,
                        .k = tall ? rows : cols,
                        .a = x,
                        .b = x,
                        .out = p->gram,
                        .a_stride = cols,
                        .b_stride = cols,
                        .out_stride = s,
                        .a_t = tall,
                        .b_t = !tall};
    rl_cpu_gemm square = {.m = s,
                          .n = s,
                          .k = s,
                          .a = p->gram,
                          .b = p->gram,
                          .out = p->square,
                          .a_stride = s,
                          .b_stride = s,
                          .out_stride = s};
    rl_cpu_gemm apply = {.m = rows,
                         .n = cols,
                         .k = s,
                         .a = tall ? x : p->square,
                         .b = tall ? p->square : x,
                         .out = p->next,
                         .a_stride = tall ? cols : s,
                         .b_stride = cols,
                         .out_stride = cols};
    rl_cpu_sgemm(&gram);
    rl_cpu_sgemm(&square);
    for (int64_t i = 0; i < s * s; i++) {
        p->square[i] = coef_b * p->gram[i] + coef_c * p->square[i];
    }
    for (int64_t i = 0; i < s; i++) {
        p->square[i * s + i] += coef_a;
    }
    rl_cpu_sgemm(&apply);
    p->x = p->next;
    p->next = x;
}

static void step_matrix(const muon_job *job, const rl_muon_item *item, part *p) {
    int64_t rows = item->param.shape[0], cols = item->param.shape[1], n = rows * cols;
    float *param = rl_cpu_f32(item->param), rate = (float)item->rate;
    double norm;
    take_gradient(job, item, p->x);
    norm = sqrt(job->kern->sum_squares(p->x, n));
    job->kern->scale(p->x, n, (float)(1 / (norm > norm_floor ? norm : norm_floor)));
    for (int32_t i = 0; i < job->ns_steps; i++) {
        iterate(p, rows, cols);
    }
    for (int64_t i = 0; i < n; i++) {
        param[i] = param[i] * job->decay - rate * p->x[i];
    }
}

/* Takes items until none is left; index `at` of the loop is that of a part, not of an item. */
static void step_items(void *context, int64_t begin, int64_t end, int32_t worker) {
    muon_job *job = context;
    (void)worker;
    for (int64_t at = begin; at < end; at++) {
        float *memory = (float *)(void *)(job->scratch + (size_t)at * job->part_bytes);
        for (int32_t i = atomic_fetch_add(&job->next, 1); i < job->n_items;
             i = atomic_fetch_add(&job->next, 1)) {
            part p = carve(memory, job->item[i].param);
            step_matrix(job, &job->item[i], &p);
        }
    }
}

int32_t rl_cpu_muon_parts(int32_t n_threads, int32_t n_items, size_t part_bytes) {
    size_t fit = part_bytes > 0 ? RL_CPU_MUON_BYTES / part_bytes : 1;
    int32_t most = n_threads < n_items ? n_threads : n_items;
    return fit >= (size_t)most ? most : fit > 1 ? (int32_t)fit : 1;
}

void rl_cpu_muon(rl_backend *be, const rl_muon_item *item, int32_t n_items, const rl_muon *hyper) {
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    int32_t n_parts;
    muon_job job = {.item = item,
                    .n_items = n_items,
                    .kern = rl_back_kern_of(cpu->kernels),
                    .grad_scale = (float)hyper->grad_scale,
                    .momentum_left = (float)(1 - hyper->momentum),
                    .decay = (float)hyper->decay,
                    .ns_steps = hyper->ns_steps};
    for (int32_t i = 0; i < n_items; i++) {
        size_t bytes = part_room(item[i].param) * sizeof(float);
        job.part_bytes = bytes > job.part_bytes ? bytes : job.part_bytes;
    }
    n_parts = rl_cpu_muon_parts(cpu->n_threads, n_items, job.part_bytes);
    job.scratch =
        rl_cpu_scratch_for(cpu, (size_t)n_parts * job.part_bytes,
                           "a step of Muon on the largest matrix; try 'optim.name' adamw");
    rl_pool_run(cpu->pool, n_parts, 1, step_items, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}
