/*
 * Attention, forward, over a cache of blocks of 16 keys: K as [block][kv head][dim][16], so lanes
 * run across keys, V as [block][kv head][16][dim], so lanes run across the head.
 *
 * A query's scores stand in a row by absolute position: every score is one chain over the head,
 * the sum of exponentials runs in 16 lanes by position, and the product with V is one chain over
 * positions, ascending, divided by the sum at the end. Nothing depends on how the keys are cut into
 * spans or the queries into rows, so decode, prefill, shared prefixes and training agree bit for
 * bit. A window begins the row later, at a place that the query's position alone decides; what is
 * before it takes part in nothing.
 *
 * A tile is a kv head and a few consecutive rows of an item, with all query heads that read that kv
 * head stacked. Tiles of one kv head are neighbours, so items with the same prefix find it cached.
 */
#include <string.h>

#include "tensor/cpu/cpu_ops.h"

enum {
    VECTORS_A_TILE = 24,
    VALUE_KEYS = RL_ATTN_KEYS // keys whose values are worked on at a time: they stay in L1
};

int64_t rl_cpu_kv_len(const rl_backend *be, int64_t n_slots, int64_t n_kv_heads, int64_t head_dim) {
    (void)be;
    return n_slots * n_kv_heads * head_dim;
}

typedef struct write_job {
    float *k_cache, *v_cache;
    const float *k, *v;
    const int32_t *slot;
    int64_t k_stride, v_stride, n_slots;
    int64_t n_kv_heads, dim;
} write_job;

static void write_rows(void *context, int64_t begin, int64_t end, int32_t worker) {
    const write_job *job = context;
    (void)worker;
    for (int64_t r = begin; r < end; r++) {
        int64_t slot = job->slot[r], lane = slot % RL_KV_BLOCK;
        RL_ASSERT(slot >= 0 && slot < job->n_slots);
        for (int64_t h = 0; h < job->n_kv_heads; h++) {
            int64_t head = (slot / RL_KV_BLOCK * job->n_kv_heads + h) * RL_KV_BLOCK * job->dim;
            const float *k = job->k + r * job->k_stride + h * job->dim;
            const float *v = job->v + r * job->v_stride + h * job->dim;
            memcpy(job->v_cache + head + lane * job->dim, v, (size_t)job->dim * sizeof(float));
            for (int64_t d = 0; d < job->dim; d++) {
                job->k_cache[head + d * RL_KV_BLOCK + lane] = k[d];
            }
        }
    }
}

void rl_cpu_kv_write(rl_backend *be, rl_tensor k_cache, rl_tensor v_cache, rl_tensor k, rl_tensor v,
                     rl_tensor slot, int32_t n_kv_heads) {
    write_job job = {
        .k_cache = rl_cpu_f32(k_cache),
        .v_cache = rl_cpu_f32(v_cache),
        .k = rl_cpu_f32(k),
        .v = rl_cpu_f32(v),
        .slot = rl_cpu_i32(slot),
        .k_stride = k.stride[0],
        .v_stride = v.stride[0],
        .n_slots = k_cache.shape[0] / k.shape[1],
        .n_kv_heads = n_kv_heads,
        .dim = k.shape[1] / n_kv_heads,
    };
    rl_pool_run(rl_cpu_of(be)->pool, k.shape[0], 2 * RL_KV_BLOCK, write_rows, &job);
}

/* Rows [row, row + n) of an item, counted from the item's first. */
typedef struct row_block {
    int32_t item, row, n;
} row_block;

typedef struct attn_job {
    const rl_kern *kern;
    const rl_attn_plan *plan;
    const row_block *block;
    float *out;
    const float *q, *k_cache, *v_cache;
    float *scratch; // per worker: query vectors, sums of values, score rows
    int64_t out_stride, q_stride;
    int64_t worker_floats, score_stride, cache_stride;
    int64_t n_blocks;
    int32_t group; // query heads a kv head
} attn_job;

/* One tile: vectors are rows x group, in that order, so the number of keys they see ascends. */
typedef struct attn_tile {
    const rl_attn_item *item;
    int64_t first_pos; // position of the first row
    int32_t n_rows, group, dim;
    float *q, *acc, *score; // [n_rows * group][dim], the same, [n_rows * group][score_stride]
    const float *k, *v;     // of the kv head, in block 0
} attn_tile;

static void tile_scores(const attn_job *job, const attn_tile *t) {
    int64_t n_keys = t->first_pos + t->n_rows, at = 0,
            seen = rl_cpu_first_key(job->plan, t->first_pos);
    for (int32_t s = t->item->span_begin; at < n_keys; s++) {
        const rl_kv_span *span = &job->plan->span[s];
        int64_t n = n_keys - at < span->n ? n_keys - at : span->n;
        for (int64_t c = 0; c < n; c += RL_ATTN_KEYS) {
            int64_t keys = n - c < RL_ATTN_KEYS ? n - c : RL_ATTN_KEYS;
            if (at + c + keys <= seen) {
                continue; // before every row's window
            }
            // Rows before the first key of this chunk see none of it.
            int64_t row = at + c > t->first_pos ? at + c - t->first_pos : 0, vec = row * t->group;
            // Whole blocks: what is written past the span's end is overwritten by the next span,
            // or lies past the keys of every row.
            job->kern->attn_score(
                t->score + vec * job->score_stride + at + c, job->score_stride, t->q + vec * t->dim,
                t->dim, (int32_t)(t->n_rows * t->group - vec),
                t->k + (span->slot + c) / RL_KV_BLOCK * job->cache_stride, job->cache_stride,
                (int32_t)((keys + RL_KV_BLOCK - 1) / RL_KV_BLOCK * RL_KV_BLOCK), t->dim);
        }
        at += n;
    }
}

/* What row r of a tile takes from a chunk of keys that begins at position `at`. */
static void row_values(const attn_job *job, const attn_tile *t, int32_t r, const float *value,
                       int64_t at, int64_t keys) {
    int64_t pos = t->first_pos + r, vec = (int64_t)r * t->group;
    int64_t from = rl_cpu_first_key(job->plan, pos) - at, to = pos + 1 - at;
    from = from > 0 ? from : 0;
    to = to < keys ? to : keys;
    while (from < to) {
        // A window may begin inside a block: its keys alone, then whole blocks.
        int64_t lane = from % RL_KV_BLOCK, left = to - from;
        int64_t n = lane > 0 && left > RL_KV_BLOCK - lane ? RL_KV_BLOCK - lane : left;
        job->kern->attn_value(t->acc + vec * t->dim, t->dim,
                              t->score + vec * job->score_stride + at + from, job->score_stride,
                              t->group,
                              value + from / RL_KV_BLOCK * job->cache_stride + lane * t->dim,
                              job->cache_stride, (int32_t)n, t->dim);
        from += n;
    }
}

static void tile_values(const attn_job *job, const attn_tile *t) {
    int64_t n_keys = t->first_pos + t->n_rows, at = 0;
    int64_t all_see =
        rl_cpu_first_key(job->plan, n_keys - 1); // from here up to the first row's key
    for (int32_t s = t->item->span_begin; at < n_keys; s++) {
        const rl_kv_span *span = &job->plan->span[s];
        int64_t n = n_keys - at < span->n ? n_keys - at : span->n;
        for (int64_t c = 0; c < n; c += VALUE_KEYS) {
            int64_t keys = n - c < VALUE_KEYS ? n - c : VALUE_KEYS;
            const float *v = t->v + (span->slot + c) / RL_KV_BLOCK * job->cache_stride;
            if (at + c >= all_see &&
                at + c + keys <= t->first_pos + 1) { // every row sees all of it
                job->kern->attn_value(t->acc, t->dim, t->score + at + c, job->score_stride,
                                      t->n_rows * t->group, v, job->cache_stride, (int32_t)keys,
                                      t->dim);
                continue;
            }
            for (int32_t r = 0; r < t->n_rows; r++) {
                row_values(job, t, r, v, at + c, keys);
            }
        }
        at += n;
    }
}

static void attend(const attn_job *job, int64_t kv_head, const row_block *block, float *scratch) {
    const rl_attn_item *item = &job->plan->item[block->item];
    int32_t dim = job->plan->head_dim, group = job->group;
    int64_t width = (int64_t)group * dim; // of a row's share of this kv head
    attn_tile t = {
        .item = item,
        .first_pos = item->pos + block->row,
        .n_rows = block->n,
        .group = group,
        .dim = dim,
        .q = scratch,
        .acc = scratch + block->n * width,
        .score = scratch + 2 * block->n * width,
        .k = job->k_cache + kv_head * dim * RL_KV_BLOCK,
        .v = job->v_cache + kv_head * dim * RL_KV_BLOCK,
    };
    int64_t first = item->row + block->row;
    for (int32_t r = 0; r < t.n_rows; r++) {
        memcpy(t.q + r * width, job->q + (first + r) * job->q_stride + kv_head * width,
               (size_t)width * sizeof(float));
    }
    memset(t.acc, 0, (size_t)(t.n_rows * width) * sizeof(float));
    tile_scores(job, &t);
    for (int32_t v = 0; v < t.n_rows * group; v++) {
        int64_t pos = t.first_pos + v / group, from = rl_cpu_first_key(job->plan, pos);
        // The sum waits where the query was, which is used up.
        t.q[v * dim] = job->kern->softmax(t.score + v * job->score_stride + from, pos + 1 - from,
                                          job->plan->scale);
    }
    tile_values(job, &t);
    for (int32_t v = 0; v < t.n_rows * group; v++) {
        float *out = job->out + (first + v / group) * job->out_stride + kv_head * width +
                     (int64_t)(v % group) * dim;
        job->kern->divide(out, t.acc + v * dim, t.q[v * dim], dim);
    }
}

static void attend_tiles(void *context, int64_t begin, int64_t end, int32_t worker) {
    const attn_job *job = context;
    for (int64_t t = begin; t < end; t++) {
        attend(job, t / job->n_blocks, &job->block[t % job->n_blocks],
               job->scratch + worker * job->worker_floats);
    }
}

/* Cuts the items into blocks of rows; returns their number. block may be NULL to count. */
static int64_t cut_rows(const rl_attn_plan *plan, int32_t rows_a_block, row_block *block) {
    int64_t n = 0;
    for (int32_t i = 0; i < plan->n_items; i++) {
        int32_t left = plan->item[i].n_rows;
        for (int32_t row = 0; left > 0; row += rows_a_block, left -= rows_a_block, n++) {
            if (block != NULL) {
                block[n] = (row_block){i, row, left < rows_a_block ? left : rows_a_block};
            }
        }
    }
    return n;
}

void rl_cpu_attention(rl_backend *be, rl_tensor out, rl_tensor q, rl_tensor k_cache,
                      rl_tensor v_cache, const rl_attn_plan *plan) {
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    int32_t group = plan->n_heads / plan->n_kv_heads;
    int32_t rows = group < VECTORS_A_TILE ? VECTORS_A_TILE / group : 1;
    int64_t n_blocks = cut_rows(plan, rows, NULL);
    row_block *block = rl_cpu_scratch(cpu, (size_t)n_blocks * sizeof *block);
    attn_job job = {
        .kern = &cpu->kern,
        .plan = plan,
        .block = block,
        .out = rl_cpu_f32(out),
        .q = rl_cpu_f32(q),
        .k_cache = rl_cpu_f32(k_cache),
        .v_cache = rl_cpu_f32(v_cache),
        .out_stride = out.stride[0],
        .q_stride = q.stride[0],
        // Room for whole chunks past the last key; an odd number of lines keeps rows in other sets.
        .score_stride = ((plan->max_keys + RL_ATTN_KEYS) / RL_LANES | 1) * RL_LANES + 2 * RL_LANES,
        .cache_stride = (int64_t)plan->n_kv_heads * plan->head_dim * RL_KV_BLOCK,
        .n_blocks = n_blocks,
        .group = group,
    };
    job.worker_floats = (int64_t)rows * group * (2 * plan->head_dim + job.score_stride);
    job.worker_floats = (job.worker_floats + RL_LANES - 1) / RL_LANES * RL_LANES;
    job.scratch = rl_cpu_scratch(cpu, (size_t)(cpu->n_threads * job.worker_floats) * sizeof(float));
    cut_rows(plan, rows, block);
    rl_pool_run(cpu->pool, n_blocks * plan->n_kv_heads, 1, attend_tiles, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}
