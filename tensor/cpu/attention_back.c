/*
 * Gradient of causal attention with shared key-value heads. A thread takes one kv head of one tree:
 * trees share no keys and kv heads no columns, so what it adds to d_k and d_v is its own, and is
 * added item after item in the plan's order.
 *
 * Per item the keys are gathered into one matrix. Queries go in blocks of rows; the G = H / K query
 * heads of the kv head lie as neighbouring rows of the block, so each of these is one product:
 *
 *   S = Q K^T       P = softmax(scale S), causal       d_V += P^T d_O
 *   d_P = d_O V^T   d_S = scale P (d_P - rowsum(P d_P))   d_Q = d_S K    d_K += d_S^T Q
 */
#include <string.h>

#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"
#include "tensor/cpu/gemm_blas.h"

typedef struct attention_job {
    const rl_back_kern *kern;
    const rl_attn_plan *plan;
    float *d_q, *d_k, *d_v;
    const float *d_out, *q, *k, *v;
    int64_t d_q_stride, d_k_stride, d_v_stride, d_out_stride, q_stride, k_stride, v_stride;
    int64_t group;      // G
    int64_t block_rows; // queries of a block, each with its G heads
    float *scratch;     // scratch_each floats a worker
    int64_t scratch_each;
} attention_job;

/* One worker's matrices. */
typedef struct workspace {
    float *k, *v, *d_k, *d_v; // [max_keys, D]
    float *q, *d_out, *d_q;   // [block_rows * G, D]
    float *score, *d_prob;    // [block_rows * G, max_keys]
} workspace;

static int64_t workspace_floats(const attention_job *job) {
    int64_t dim = job->plan->head_dim, keys = job->plan->max_keys;
    int64_t rows = job->block_rows * job->group;
    return 4 * keys * dim + 3 * rows * dim + 2 * rows * keys;
}

static workspace workspace_of(const attention_job *job, int32_t worker) {
    int64_t dim = job->plan->head_dim, keys = job->plan->max_keys;
    int64_t rows = job->block_rows * job->group;
    workspace w;
    w.k = job->scratch + worker * job->scratch_each;
    w.v = w.k + keys * dim;
    w.d_k = w.v + keys * dim;
    w.d_v = w.d_k + keys * dim;
    w.q = w.d_v + keys * dim;
    w.d_out = w.q + rows * dim;
    w.d_q = w.d_out + rows * dim;
    w.score = w.d_q + rows * dim;
    w.d_prob = w.score + rows * keys;
    return w;
}

static void gather_keys(const attention_job *job, const rl_attn_item *item, int64_t kv_head,
                        const workspace *w) {
    int64_t dim = job->plan->head_dim, n_keys = item->pos + item->n_rows, at = 0;
    size_t bytes = (size_t)dim * sizeof(float);
    for (int32_t s = item->span_begin; s < item->span_end; s++) {
        const rl_kv_span *span = &job->plan->span[s];
        for (int64_t i = 0; i < span->n && at < n_keys; i++, at++) {
            memcpy(w->k + at * dim, job->k + (span->row + i) * job->k_stride + kv_head * dim,
                   bytes);
            memcpy(w->v + at * dim, job->v + (span->row + i) * job->v_stride + kv_head * dim,
                   bytes);
        }
    }
    memset(w->d_k, 0, (size_t)n_keys * bytes);
    memset(w->d_v, 0, (size_t)n_keys * bytes);
}

static void scatter_keys(const attention_job *job, const rl_attn_item *item, int64_t kv_head,
                         const workspace *w) {
    int64_t dim = job->plan->head_dim, n_keys = item->pos + item->n_rows, at = 0;
    for (int32_t s = item->span_begin; s < item->span_end; s++) {
        const rl_kv_span *span = &job->plan->span[s];
        for (int64_t i = 0; i < span->n && at < n_keys; i++, at++) {
            job->kern->add(job->d_k + (span->row + i) * job->d_k_stride + kv_head * dim,
                           w->d_k + at * dim, dim);
            job->kern->add(job->d_v + (span->row + i) * job->d_v_stride + kv_head * dim,
                           w->d_v + at * dim, dim);
        }
    }
}

/* Queries [first, first + n_rows) of an item. */
static void query_block(const attention_job *job, const rl_attn_item *item, int64_t kv_head,
                        int64_t first, int64_t n_rows, const workspace *w) {
    int64_t dim = job->plan->head_dim, group = job->group, width = group * dim;
    int64_t n = n_rows * group, n_keys = item->pos + first + n_rows;
    for (int64_t r = 0; r < n_rows; r++) {
        int64_t row = item->row + first + r;
        size_t bytes = (size_t)width * sizeof(float);
        memcpy(w->q + r * width, job->q + row * job->q_stride + kv_head * width, bytes);
        memcpy(w->d_out + r * width, job->d_out + row * job->d_out_stride + kv_head * width, bytes);
    }
    rl_cpu_gemm by_key = {.m = n,
                          .n = n_keys,
                          .k = dim,
                          .a_stride = dim,
                          .b_stride = dim,
                          .out_stride = n_keys,
                          .b_t = true};
    by_key.a = w->q, by_key.b = w->k, by_key.out = w->score;
    rl_cpu_sgemm(&by_key);
    by_key.a = w->d_out, by_key.b = w->v, by_key.out = w->d_prob;
    rl_cpu_sgemm(&by_key);
    for (int64_t i = 0; i < n; i++) {
        job->kern->attention(w->score + i * n_keys, w->d_prob + i * n_keys,
                             item->pos + first + i / group + 1, n_keys, job->plan->scale);
    }
    rl_cpu_gemm to_keys = {.m = n_keys,
                           .n = dim,
                           .k = n,
                           .a_stride = n_keys,
                           .b_stride = dim,
                           .out_stride = dim,
                           .a_t = true,
                           .beta = 1};
    to_keys.a = w->score, to_keys.b = w->d_out, to_keys.out = w->d_v;
    rl_cpu_sgemm(&to_keys);
    to_keys.a = w->d_prob, to_keys.b = w->q, to_keys.out = w->d_k;
    rl_cpu_sgemm(&to_keys);
    rl_cpu_gemm to_queries = {.m = n,
                              .n = dim,
                              .k = n_keys,
                              .a = w->d_prob,
                              .b = w->k,
                              .out = w->d_q,
                              .a_stride = n_keys,
                              .b_stride = dim,
                              .out_stride = dim};
    rl_cpu_sgemm(&to_queries);
    for (int64_t r = 0; r < n_rows; r++) {
        memcpy(job->d_q + (item->row + first + r) * job->d_q_stride + kv_head * width,
               w->d_q + r * width, (size_t)width * sizeof(float));
    }
}

static void tree_heads(void *context, int64_t begin, int64_t end, int32_t worker) {
    const attention_job *job = context;
    const rl_attn_plan *plan = job->plan;
    workspace w = workspace_of(job, worker);
    for (int64_t i = begin; i < end; i++) {
        int64_t tree = i / plan->n_kv_heads, kv_head = i % plan->n_kv_heads;
        for (int32_t t = plan->tree_item[tree]; t < plan->tree_item[tree + 1]; t++) {
            const rl_attn_item *item = &plan->item[t];
            gather_keys(job, item, kv_head, &w);
            for (int64_t first = 0; first < item->n_rows; first += job->block_rows) {
                int64_t left = item->n_rows - first;
                query_block(job, item, kv_head, first,
                            left < job->block_rows ? left : job->block_rows, &w);
            }
            scatter_keys(job, item, kv_head, &w);
        }
    }
}

void rl_cpu_attention_back(rl_backend *be, rl_tensor d_q, rl_tensor d_k, rl_tensor d_v,
                           rl_tensor d_out, rl_tensor q, rl_tensor k, rl_tensor v,
                           const rl_attn_plan *plan) {
    enum { MOST_QUERIES = 64, PRODUCT_ROWS = 192 };
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    attention_job job = {
        .kern = rl_back_kern_of(cpu->kernels),
        .plan = plan,
        .d_q = rl_cpu_f32(d_q),
        .d_k = rl_cpu_f32(d_k),
        .d_v = rl_cpu_f32(d_v),
        .d_out = rl_cpu_f32(d_out),
        .q = rl_cpu_f32(q),
        .k = rl_cpu_f32(k),
        .v = rl_cpu_f32(v),
        .d_q_stride = d_q.stride[0],
        .d_k_stride = d_k.stride[0],
        .d_v_stride = d_v.stride[0],
        .d_out_stride = d_out.stride[0],
        .q_stride = q.stride[0],
        .k_stride = k.stride[0],
        .v_stride = v.stride[0],
        .group = plan->n_heads / plan->n_kv_heads,
    };
    // Few queries waste little above the diagonal, many rows keep the products large.
    job.block_rows = PRODUCT_ROWS / job.group;
    job.block_rows = job.block_rows > MOST_QUERIES ? MOST_QUERIES : job.block_rows;
    job.block_rows = job.block_rows < 16 ? 16 : job.block_rows;
    job.scratch_each = (workspace_floats(&job) + 15) / 16 * 16;
    job.scratch = rl_cpu_scratch(cpu, (size_t)(cpu->n_threads * job.scratch_each) * sizeof(float));
    rl_pool_run(cpu->pool, (int64_t)plan->n_trees * plan->n_kv_heads, 1, tree_heads, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}
