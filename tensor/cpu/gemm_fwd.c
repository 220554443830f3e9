/*
 * Linear layers of the forward. A weight [O, I] is packed in panels of RL_PANEL outputs: panel,
 * then input, then output, the last panel padded with zeros. An output element is one chain over
 * the inputs, ascending, whatever the batch, so a row has the same bits alone and among a thousand.
 *
 * Work is cut into tiles (rows x panel), panel running fastest: a worker walks along the packed
 * weight while its rows stay in cache. Long chains are cut in blocks of inputs, each continued from
 * memory, so that a block of a panel stays near for all rows while the next is on its way.
 */
#include <string.h>

#include "tensor/cpu/cpu_ops.h"
#include "tensor/cpu/gemm_blas.h"

enum {
    INPUT_BLOCK = 768,        // inputs of a panel worked on at a time: 144 KiB
    INPUT_BLOCK_FEW = 192,    // for few rows: 36 KiB
    FEW_ROWS = 64,            // up to here memory is waited for, not arithmetic
    ROWS_MOST = 512,          // rows of a tile
    ROWS_FLOATS = 1024 << 10, // wanted size of a tile's input rows
    TILE_FLOATS = 16 << 10,   // least weights a thread takes at a time, for few rows;
    FREE_ROWS = 16,           // every so many rows more take as long again
    TASKS_A_THREAD = 4        // wanted, where there are rows enough
};

static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

int64_t rl_cpu_packed_len(const rl_backend *be, int64_t n_out, int64_t n_in) {
    (void)be;
    return round_up(n_out, RL_PANEL) * n_in;
}

typedef struct pack_job {
    float *packed;
    const float *weight;
    int64_t stride, n_out, n_in;
} pack_job;

static void pack_panels(void *context, int64_t begin, int64_t end, int32_t worker) {
    const pack_job *job = context;
    enum { STEP = 16 }; // a cache line of each weight row at a time
    (void)worker;
    for (int64_t panel = begin; panel < end; panel++) {
        float *to = job->packed + panel * RL_PANEL * job->n_in;
        int64_t first = panel * RL_PANEL;
        int64_t n = job->n_out - first < RL_PANEL ? job->n_out - first : RL_PANEL;
        if (n < RL_PANEL) {
            memset(to, 0, (size_t)(RL_PANEL * job->n_in) * sizeof(float));
        }
        for (int64_t k = 0; k < job->n_in; k += STEP) {
            int64_t stop = k + STEP < job->n_in ? k + STEP : job->n_in;
            for (int64_t o = 0; o < n; o++) {
                const float *from = job->weight + (first + o) * job->stride;
                for (int64_t i = k; i < stop; i++) {
                    to[i * RL_PANEL + o] = from[i];
                }
            }
        }
    }
}

void rl_cpu_pack(rl_backend *be, rl_tensor packed, rl_tensor weight) {
    pack_job job = {
        .packed = rl_cpu_f32(packed),
        .weight = rl_cpu_f32(weight),
        .stride = weight.stride[0],
        .n_out = weight.shape[0],
        .n_in = weight.shape[1],
    };
    rl_pool_run(rl_cpu_of(be)->pool, round_up(job.n_out, RL_PANEL) / RL_PANEL, 1, pack_panels,
                &job);
}

typedef struct linear_job {
    const rl_kern *kern;
    float *out;
    const float *in, *packed;
    float *partial; // [workers][tile_rows][RL_PANEL], for chains cut in blocks
    int64_t out_stride, in_stride;
    int64_t n_rows, n_out, n_in;
    int64_t n_panels, tile_rows, input_block;
    bool add;
} linear_job;

static void linear_tile(const linear_job *job, int64_t row, int64_t panel, float *partial) {
    int64_t n_rows = job->n_rows - row < job->tile_rows ? job->n_rows - row : job->tile_rows;
    int64_t n_out = job->n_out - panel * RL_PANEL;
    float *out = job->out + row * job->out_stride + panel * RL_PANEL;
    const float *weight = job->packed + panel * RL_PANEL * job->n_in;
    const float *weight_end = job->packed + job->n_panels * RL_PANEL * job->n_in;
    rl_kern_panel p = {
        .in_stride = job->in_stride,
        .n_rows = (int32_t)n_rows,
        .n_out = (int32_t)(n_out < RL_PANEL ? n_out : RL_PANEL),
    };
    for (int64_t k = 0; k < job->n_in; k += job->input_block) {
        bool last = k + job->input_block >= job->n_in;
        p.in = job->in + row * job->in_stride + k;
        p.weight = weight + k * RL_PANEL;
        p.n_k = last ? job->n_in - k : job->input_block;
        p.from = k == 0 ? NULL : p.out;
        p.from_stride = p.out_stride;
        p.out = !last ? partial : out;
        p.out_stride = !last ? RL_PANEL : job->out_stride;
        p.add = job->add && last;
        p.n_ahead = weight_end - p.weight - p.n_k * RL_PANEL; // the next block lies right behind
        p.n_ahead = p.n_ahead < p.n_k * RL_PANEL ? p.n_ahead : p.n_k * RL_PANEL;
        job->kern->panel(&p);
    }
}

static void linear_tiles(void *context, int64_t begin, int64_t end, int32_t worker) {
    const linear_job *job = context;
    float *partial =
        job->partial != NULL ? job->partial + worker * job->tile_rows * RL_PANEL : NULL;
    for (int64_t t = begin; t < end; t++) {
        linear_tile(job, t / job->n_panels * job->tile_rows, t % job->n_panels, partial);
    }
}

/* Rows of a tile: many, so that a panel is read seldom, but enough tiles for all threads. */
static int64_t rows_of_tile(const linear_job *job, int32_t n_threads) {
    int64_t rows = ROWS_FLOATS / job->n_in / 24 * 24; // 24: whole row blocks of 6 and of 8
    int64_t wanted = n_threads > 1 ? TASKS_A_THREAD * n_threads : 1, n_tiles;
    rows = rows < 48 ? 48 : rows > ROWS_MOST ? ROWS_MOST : rows;
    while (rows / 2 > FEW_ROWS && round_up(job->n_rows, rows) / rows * job->n_panels < wanted) {
        rows /= 2;
    }
    // Equal shares, so that no thin remainder reads all weights for a few rows.
    n_tiles = round_up(job->n_rows, rows) / rows;
    return n_tiles > 0 ? round_up((job->n_rows + n_tiles - 1) / n_tiles, 8) : rows;
}

static void run_linear(rl_cpu *cpu, linear_job *job) {
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    int64_t n_tiles, grain;
    job->kern = &cpu->kern;
    job->n_panels = round_up(job->n_out, RL_PANEL) / RL_PANEL;
    job->tile_rows = rows_of_tile(job, cpu->n_threads);
    job->input_block = job->tile_rows <= FEW_ROWS ? INPUT_BLOCK_FEW : INPUT_BLOCK;
    if (job->n_in > job->input_block) {
        job->partial = rl_cpu_scratch(cpu, (size_t)(cpu->n_threads * job->tile_rows * RL_PANEL) *
                                               sizeof(float));
    }
    n_tiles = round_up(job->n_rows, job->tile_rows) / job->tile_rows * job->n_panels;
    grain = TILE_FLOATS / (RL_PANEL * job->n_in * (1 + job->tile_rows / FREE_ROWS));
    rl_pool_run(cpu->pool, n_tiles, grain > 1 ? grain : 1, linear_tiles, job);
    rl_cpu_scratch_rewind(cpu, mark);
}

void rl_cpu_linear(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor packed, bool add) {
    linear_job job = {
        .out = rl_cpu_f32(out),
        .in = rl_cpu_f32(in),
        .packed = rl_cpu_f32(packed),
        .out_stride = out.stride[0],
        .in_stride = in.stride[0],
        .n_rows = in.shape[0],
        .n_out = out.shape[1],
        .n_in = in.shape[1],
        .add = add,
    };
    run_linear(rl_cpu_of(be), &job);
}

/* Panels of a [k, n] matrix: slices of its rows. */
static void slice_panels(void *context, int64_t begin, int64_t end, int32_t worker) {
    const pack_job *job = context;
    (void)worker;
    for (int64_t panel = begin; panel < end; panel++) {
        float *to = job->packed + panel * RL_PANEL * job->n_in;
        const float *from = job->weight + panel * RL_PANEL;
        int64_t left = job->n_out - panel * RL_PANEL, n = left < RL_PANEL ? left : RL_PANEL;
        for (int64_t k = 0; k < job->n_in; k++, to += RL_PANEL, from += job->stride) {
            memcpy(to, from, (size_t)n * sizeof(float));
            memset(to + n, 0, (size_t)(RL_PANEL - n) * sizeof(float));
        }
    }
}

void rl_cpu_panel_product(rl_cpu *cpu, const rl_cpu_gemm *g) {
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    int64_t n_panels = round_up(g->n, RL_PANEL) / RL_PANEL;
    pack_job pack = {
        .packed = rl_cpu_scratch(cpu, (size_t)(n_panels * RL_PANEL * g->k) * sizeof(float)),
        .weight = g->b,
        .stride = g->b_stride,
        .n_out = g->n,
        .n_in = g->k,
    };
    linear_job job = {
        .out = g->out,
        .in = g->a,
        .packed = pack.packed,
        .out_stride = g->out_stride,
        .in_stride = g->a_stride,
        .n_rows = g->m,
        .n_out = g->n,
        .n_in = g->k,
    };
    RL_DASSERT(!g->a_t && !g->b_t && g->beta == 0);
    rl_pool_run(cpu->pool, n_panels, 1, slice_panels, &pack);
    run_linear(cpu, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}
