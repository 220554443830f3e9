/*
 * Gradient of causal attention with shared key-value heads. What an item gives to its keys is
 * summed in a matrix of the item's own and then added to d_k and d_v, item after item in the plan's
 * order. There are two ways to share this out, with the same bits:
 *
 *   by tree   a thread takes one kv head of one tree; trees share no keys and kv heads no columns.
 *   in waves  where there are too few trees for the threads: a thread takes one kv head of one
 * item; when the items of a wave are done, threads take columns and add the sums. Waves bound the
 * memory.
 *
 * Queries go in blocks of rows; the G = H / K query heads of the kv head lie as neighbouring rows
 * of the block, so each of these is one product over the item's keys from the first that the block
 * sees on:
 *
 *   S = Q K^T       P = softmax(scale S), causal          d_V += P^T d_O
 *   d_P = d_O V^T   d_S = scale P (d_P - rowsum(P d_P))   d_Q = d_S K    d_K += d_S^T Q
 */
#include <string.h>

#include "tensor/cpu/back_kern.h"
#include "tensor/cpu/cpu_ops.h"
#include "tensor/cpu/gemm_blas.h"

enum {
    MOST_QUERIES = 32,  // few queries waste little above the diagonal,
    PRODUCT_ROWS = 192, // many rows keep the products large
    LEAST_QUERIES = 16,
    VECTOR = 16, // floats of the widest register
    WAVE_FLOATS = 1 << 22,
    COLUMNS = 32,
    TASKS_A_THREAD = 4
};

typedef struct attention_job {
    const rl_back_kern *kern;
    const rl_attn_plan *plan;
    float *d_q, *d_k, *d_v;
    const float *d_out, *q, *k, *v;
    int64_t d_q_stride, d_k_stride, d_v_stride, d_out_stride, q_stride, k_stride, v_stride;
    int64_t group;      // G
    int64_t kv_width;   // K * D
    int64_t block_rows; // queries of a block, each with its G heads
    float *scratch;     // scratch_each floats a worker
    int64_t scratch_each;

    int32_t begin, end; // items of the wave
    float *sums;        // of each item d_k, then d_v, each [keys, K * D]
    int64_t *sums_at;   // [n_items] where an item's begin
} attention_job;

/* One worker's matrices. */
typedef struct workspace {
    float *k, *v;           // [max_keys, D]
    float *sums;            // d_k, then d_v of an item, each [keys, D]
    float *q, *d_out, *d_q; // [block_rows * G, D]
    float *score, *d_prob;  // [block_rows * G, max_keys in whole vectors]
} workspace;

static int64_t whole_vectors(int64_t n) {
    return (n + VECTOR - 1) / VECTOR * VECTOR;
}

static int64_t workspace_floats(const attention_job *job) {
    int64_t dim = job->plan->head_dim, keys = job->plan->max_keys;
    int64_t rows = job->block_rows * job->group;
    return 4 * keys * dim + 3 * rows * dim + 2 * rows * whole_vectors(keys);
}

static workspace workspace_of(const attention_job *job, int32_t worker) {
    int64_t dim = job->plan->head_dim, keys = job->plan->max_keys;
    int64_t rows = job->block_rows * job->group;
    workspace w;
    w.k = job->scratch + worker * job->scratch_each;
    w.v = w.k + keys * dim;
    w.sums = w.v + keys * dim;
    w.q = w.sums + 2 * keys * dim;
    w.d_out = w.q + rows * dim;
    w.d_q = w.d_out + rows * dim;
    w.score = w.d_q + rows * dim;
    w.d_prob = w.score + rows * whole_vectors(keys);
    return w;
}

static int64_t keys_of(const rl_attn_item *item) {
    return item->n_rows > 0 ? (int64_t)item->pos + item->n_rows : 0;
}

static void gather_keys(const attention_job *job, const rl_attn_item *item, int64_t kv_head,
                        const workspace *w) {
    int64_t dim = job->plan->head_dim, n_keys = keys_of(item), at = 0;
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
}

/* Queries [first, first + n_rows) of an item. */
static void query_block(const attention_job *job, const rl_attn_item *item, int64_t kv_head,
                        int64_t first, int64_t n_rows, float *sums, int64_t sums_stride,
                        const workspace *w) {
    int64_t dim = job->plan->head_dim, group = job->group, width = group * dim;
    int64_t pos = item->pos + first, from = rl_cpu_first_key(job->plan, pos);
    int64_t n = n_rows * group, n_keys = pos + n_rows - from;
    int64_t stride = whole_vectors(n_keys);
    const float *k = w->k + from * dim, *v = w->v + from * dim;
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
                          .out_stride = stride,
                          .b_t = true};
    by_key.a = w->q, by_key.b = k, by_key.out = w->score;
    rl_cpu_sgemm(&by_key);
    by_key.a = w->d_out, by_key.b = v, by_key.out = w->d_prob;
    rl_cpu_sgemm(&by_key);
    for (int64_t i = 0; i < n; i++) {
        float *score = w->score + i * stride, *d_prob = w->d_prob + i * stride;
        int64_t hidden = rl_cpu_first_key(job->plan, pos + i / group) - from; // before the window
        memset(score, 0, (size_t)hidden * sizeof *score);
        memset(d_prob, 0, (size_t)hidden * sizeof *d_prob);
        job->kern->attention(score + hidden, d_prob + hidden, pos + i / group + 1 - from - hidden,
                             stride - hidden, job->plan->scale);
    }
    rl_cpu_gemm to_keys = {.m = n_keys,
                           .n = dim,
                           .k = n,
                           .a_stride = stride,
                           .b_stride = dim,
                           .out_stride = sums_stride,
                           .a_t = true,
                           .beta = 1};
    to_keys.a = w->score, to_keys.b = w->d_out;
    to_keys.out = sums + (keys_of(item) + from) * sums_stride;
    rl_cpu_sgemm(&to_keys);
    to_keys.a = w->d_prob, to_keys.b = w->q, to_keys.out = sums + from * sums_stride;
    rl_cpu_sgemm(&to_keys);
    rl_cpu_gemm to_queries = {.m = n,
                              .n = dim,
                              .k = n_keys,
                              .a = w->d_prob,
                              .b = k,
                              .out = w->d_q,
                              .a_stride = stride,
                              .b_stride = dim,
                              .out_stride = dim};
    rl_cpu_sgemm(&to_queries);
    for (int64_t r = 0; r < n_rows; r++) {
        memcpy(job->d_q + (item->row + first + r) * job->d_q_stride + kv_head * width,
               w->d_q + r * width, (size_t)width * sizeof(float));
    }
}

/* One kv head of an item: writes d_q and the item's sums for its keys. */
static void item_head(const attention_job *job, const rl_attn_item *item, int64_t kv_head,
                      float *sums, int64_t sums_stride, const workspace *w) {
    for (int64_t r = 0; r < 2 * keys_of(item); r++) {
        memset(sums + r * sums_stride, 0, (size_t)job->plan->head_dim * sizeof(float));
    }
    gather_keys(job, item, kv_head, w);
    for (int64_t first = 0; first < item->n_rows; first += job->block_rows) {
        int64_t left = item->n_rows - first;
        query_block(job, item, kv_head, first, left < job->block_rows ? left : job->block_rows,
                    sums, sums_stride, w);
    }
}

/* Adds an item's sums to columns [col, col + width) of d_k and d_v. */
static void add_sums(const attention_job *job, const rl_attn_item *item, const float *sums,
                     int64_t sums_stride, int64_t col, int64_t width) {
    int64_t n_keys = keys_of(item), at = 0;
    for (int32_t s = item->span_begin; s < item->span_end; s++) {
        const rl_kv_span *span = &job->plan->span[s];
        for (int64_t i = 0; i < span->n && at < n_keys; i++, at++) {
            job->kern->add(job->d_k + (span->row + i) * job->d_k_stride + col,
                           sums + at * sums_stride, width);
            job->kern->add(job->d_v + (span->row + i) * job->d_v_stride + col,
                           sums + (n_keys + at) * sums_stride, width);
        }
    }
}

static void tree_heads(void *context, int64_t begin, int64_t end, int32_t worker) {
    const attention_job *job = context;
    const rl_attn_plan *plan = job->plan;
    workspace w = workspace_of(job, worker);
    for (int64_t i = begin; i < end; i++) {
        int64_t tree = i / plan->n_kv_heads, kv_head = i % plan->n_kv_heads, dim = plan->head_dim;
        for (int32_t t = plan->tree_item[tree]; t < plan->tree_item[tree + 1]; t++) {
            item_head(job, &plan->item[t], kv_head, w.sums, dim, &w);
            add_sums(job, &plan->item[t], w.sums, dim, kv_head * dim, dim);
        }
    }
}

static void item_heads(void *context, int64_t begin, int64_t end, int32_t worker) {
    const attention_job *job = context;
    const rl_attn_plan *plan = job->plan;
    workspace w = workspace_of(job, worker);
    for (int64_t i = begin; i < end; i++) {
        int64_t at = job->begin + i / plan->n_kv_heads, kv_head = i % plan->n_kv_heads;
        item_head(job, &plan->item[at], kv_head,
                  job->sums + job->sums_at[at] + kv_head * plan->head_dim, job->kv_width, &w);
    }
}

static void add_columns(void *context, int64_t begin, int64_t end, int32_t worker) {
    const attention_job *job = context;
    (void)worker;
    for (int64_t slice = begin; slice < end; slice++) {
        int64_t col = slice * COLUMNS, left = job->kv_width - col;
        for (int32_t t = job->begin; t < job->end; t++) {
            add_sums(job, &job->plan->item[t], job->sums + job->sums_at[t] + col, job->kv_width,
                     col, left < COLUMNS ? left : COLUMNS);
        }
    }
}

static void run_waves(rl_cpu *cpu, attention_job *job) {
    const rl_attn_plan *plan = job->plan;
    for (job->begin = 0; job->begin < plan->n_items; job->begin = job->end) {
        rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
        int64_t used = 0, wanted;
        job->end = job->begin;
        do {
            job->sums_at[job->end] = used;
            used += 2 * keys_of(&plan->item[job->end++]) * job->kv_width;
            wanted = job->end < plan->n_items ? 2 * keys_of(&plan->item[job->end]) * job->kv_width
                                              : WAVE_FLOATS + 1;
        } while (used + wanted <= WAVE_FLOATS);
        job->sums = rl_cpu_scratch(cpu, (size_t)used * sizeof(float));
        rl_pool_run(cpu->pool, (int64_t)(job->end - job->begin) * plan->n_kv_heads, 1, item_heads,
                    job);
        rl_pool_run(cpu->pool, (job->kv_width + COLUMNS - 1) / COLUMNS, 1, add_columns, job);
        rl_cpu_scratch_rewind(cpu, mark);
    }
}

void rl_cpu_attention_back(rl_backend *be, rl_tensor d_q, rl_tensor d_k, rl_tensor d_v,
                           rl_tensor d_out, rl_tensor q, rl_tensor k, rl_tensor v,
                           const rl_attn_plan *plan) {
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
        .kv_width = (int64_t)plan->n_kv_heads * plan->head_dim,
    };
    job.block_rows = PRODUCT_ROWS / job.group;
    job.block_rows = job.block_rows > MOST_QUERIES ? MOST_QUERIES : job.block_rows;
    job.block_rows = job.block_rows < LEAST_QUERIES ? LEAST_QUERIES : job.block_rows;
    job.scratch_each = (workspace_floats(&job) + 15) / 16 * 16;
    job.scratch = rl_cpu_scratch(cpu, (size_t)(cpu->n_threads * job.scratch_each) * sizeof(float));
    int64_t n_tasks = (int64_t)plan->n_trees * plan->n_kv_heads;
    if (cpu->n_threads == 1 || n_tasks >= TASKS_A_THREAD * (int64_t)cpu->n_threads) {
        rl_pool_run(cpu->pool, n_tasks, 1, tree_heads, &job);
    } else {
        job.sums_at = rl_cpu_scratch(cpu, (size_t)plan->n_items * sizeof *job.sums_at);
        run_waves(cpu, &job);
    }
    rl_cpu_scratch_rewind(cpu, mark);
}
