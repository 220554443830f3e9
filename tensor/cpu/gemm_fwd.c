/*
 * Linear layers of the forward. A weight [O, I] is packed in panels of RL_PANEL outputs: panel,
 * then input, then output, the last panel padded with zeros. An output element is one chain over
 * the inputs, ascending, whatever the batch, so a row has the same bits alone and among a thousand.
 *
 * Work is cut into tiles (rows x panel), panel running fastest: a worker walks along the packed
 * weight while its rows stay in cache. Long chains are cut in blocks of inputs, each continued from
 * memory, so that a block of a panel stays near for all rows while the next is on its way.
 *
 * A weight packed as bfloat16 has the same panels of halves. Few rows widen them as they read; for
 * many a block is widened once and multiplied as any other. The bits are those of the widened
 * weight.
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
    TASKS_A_THREAD = 4,       // wanted, where there are rows enough
    WIDEN_ROWS = 16,          // rows from which on a block is widened first
    UNPACK_FLOATS = 4 << 20   // of a weight unpacked at a time for the backward
};

static int64_t round_up(int64_t n, int64_t to) {
    return (n + to - 1) / to * to;
}

int64_t rl_cpu_packed_len(const rl_backend *be, int64_t n_out, int64_t n_in) {
    (void)be;
    return round_up(n_out, RL_PANEL) * n_in;
}

/* Packed numbers of either kind: one of the two is NULL. */
typedef struct packed_weight {
    float *f32;
    uint16_t *bf16;
} packed_weight;

static packed_weight packed_of(rl_tensor t) {
    return t.dtype == RL_DTYPE_BF16 ? (packed_weight){.bf16 = rl_cpu_bf16(t)}
                                    : (packed_weight){.f32 = rl_cpu_f32(t)};
}

static const void *packed_at(packed_weight w, int64_t i) {
    return w.bf16 != NULL ? (const void *)(w.bf16 + i) : (const void *)(w.f32 + i);
}

enum { STEP = 16 }; // inputs packed at a time: a cache line of each weight row

typedef struct pack_job {
    const rl_kern *kern;
    packed_weight packed;
    float *weight; // rows; read by packing, written by unpacking
    int64_t stride, n_out, n_in;
} pack_job;

/* n outputs of STEP inputs, or of those left, to [input][RL_PANEL]. */
static void pack_step(float *to, const float *from, int64_t stride, int64_t n, int64_t n_k) {
    for (int64_t o = 0; o < n; o++, from += stride) {
        for (int64_t i = 0; i < n_k; i++) {
            to[i * RL_PANEL + o] = from[i];
        }
    }
}

static void pack_panels(void *context, int64_t begin, int64_t end, int32_t worker) {
    const pack_job *job = context;
    (void)worker;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t at = panel * RL_PANEL * job->n_in, left = job->n_out - panel * RL_PANEL;
        const float *from = job->weight + panel * RL_PANEL * job->stride;
        float step[STEP * RL_PANEL] = {0};
        if (left < RL_PANEL && job->packed.f32 != NULL) {
            memset(job->packed.f32 + at, 0, (size_t)(RL_PANEL * job->n_in) * sizeof(float));
        }
        for (int64_t k = 0; k < job->n_in; k += STEP, from += STEP, at += STEP * RL_PANEL) {
            int64_t n_k = job->n_in - k < STEP ? job->n_in - k : STEP;
            float *to = job->packed.f32 != NULL ? job->packed.f32 + at : step;
            pack_step(to, from, job->stride, left < RL_PANEL ? left : RL_PANEL, n_k);
            if (job->packed.bf16 != NULL) {
                job->kern->narrow(job->packed.bf16 + at, step, n_k * RL_PANEL);
            }
        }
    }
}

static void unpack_panels(void *context, int64_t begin, int64_t end, int32_t worker) {
    const pack_job *job = context;
    (void)worker;
    for (int64_t panel = begin; panel < end; panel++) {
        int64_t at = panel * RL_PANEL * job->n_in, left = job->n_out - panel * RL_PANEL;
        int64_t n = left < RL_PANEL ? left : RL_PANEL;
        float *to = job->weight + panel * RL_PANEL * job->stride, step[STEP * RL_PANEL];
        for (int64_t k = 0; k < job->n_in; k += STEP, to += STEP, at += STEP * RL_PANEL) {
            int64_t n_k = job->n_in - k < STEP ? job->n_in - k : STEP;
            const float *from = step;
            if (job->packed.f32 != NULL) {
                from = job->packed.f32 + at;
            } else {
                job->kern->widen(step, job->packed.bf16 + at, n_k * RL_PANEL);
            }
            for (int64_t o = 0; o < n; o++) {
                for (int64_t i = 0; i < n_k; i++) {
                    to[o * job->stride + i] = from[i * RL_PANEL + o];
                }
            }
        }
    }
}

static void run_panels(rl_cpu *cpu, rl_pool_job *panels, pack_job *job) {
    rl_pool_run(cpu->pool, round_up(job->n_out, RL_PANEL) / RL_PANEL, 1, panels, job);
}

void rl_cpu_pack(rl_backend *be, rl_tensor packed, rl_tensor weight) {
    rl_cpu *cpu = rl_cpu_of(be);
    pack_job job = {
        .kern = &cpu->kern,
        .packed = packed_of(packed),
        .weight = rl_cpu_f32(weight),
        .stride = weight.stride[0],
        .n_out = weight.shape[0],
        .n_in = weight.shape[1],
    };
    run_panels(cpu, pack_panels, &job);
}

typedef struct linear_job {
    const rl_kern *kern;
    float *out;
    const float *in;
    packed_weight packed;
    float *partial; // [workers][tile_rows][RL_PANEL], for chains cut in blocks
    float *wide;    // [workers][input_block][RL_PANEL], for blocks that are widened first
    int64_t out_stride, in_stride;
    int64_t n_rows, n_out, n_in;
    int64_t n_panels, tile_rows, input_block;
    bool add;
} linear_job;

static void run_panel(const linear_job *job, rl_kern_panel *p, float *wide) {
    if (wide != NULL) {
        job->kern->widen(wide, p->weight, p->n_k * RL_PANEL);
        p->weight = wide;
        p->n_ahead = 0;
    }
    if (job->packed.f32 != NULL || wide != NULL) {
        job->kern->panel(p);
    } else {
        job->kern->panel_bf16(p);
    }
}

static void linear_tile(const linear_job *job, int64_t row, int64_t panel, float *partial,
                        float *wide) {
    int64_t n_rows = job->n_rows - row < job->tile_rows ? job->n_rows - row : job->tile_rows;
    int64_t n_out = job->n_out - panel * RL_PANEL;
    float *out = job->out + row * job->out_stride + panel * RL_PANEL;
    int64_t size = RL_PANEL * job->n_in;
    rl_kern_panel p = {
        .in_stride = job->in_stride,
        .n_rows = (int32_t)n_rows,
        .n_out = (int32_t)(n_out < RL_PANEL ? n_out : RL_PANEL),
    };
    for (int64_t k = 0; k < job->n_in; k += job->input_block) {
        bool last = k + job->input_block >= job->n_in;
        p.in = job->in + row * job->in_stride + k;
        p.weight = packed_at(job->packed, panel * size + k * RL_PANEL);
        p.n_k = last ? job->n_in - k : job->input_block;
        p.from = k == 0 ? NULL : p.out;
        p.from_stride = p.out_stride;
        p.out = !last ? partial : out;
        p.out_stride = !last ? RL_PANEL : job->out_stride;
        p.add = job->add && last;
        // The next block lies right behind.
        p.n_ahead = (job->n_panels - panel) * size - (k + p.n_k) * RL_PANEL;
        p.n_ahead = p.n_ahead < p.n_k * RL_PANEL ? p.n_ahead : p.n_k * RL_PANEL;
        run_panel(job, &p, wide);
    }
}

static void linear_tiles(void *context, int64_t begin, int64_t end, int32_t worker) {
    const linear_job *job = context;
    float *partial =
        job->partial != NULL ? job->partial + worker * job->tile_rows * RL_PANEL : NULL;
    float *wide = job->wide != NULL ? job->wide + worker * job->input_block * RL_PANEL : NULL;
    for (int64_t t = begin; t < end; t++) {
        linear_tile(job, t / job->n_panels * job->tile_rows, t % job->n_panels, partial, wide);
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
    if (job->packed.bf16 != NULL && job->n_rows >= WIDEN_ROWS) {
        job->wide = rl_cpu_scratch(cpu, (size_t)(cpu->n_threads * job->input_block * RL_PANEL) *
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
        .packed = packed_of(packed),
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
typedef struct slice_job {
    float *to;
    const float *from;
    int64_t stride, n_out, n_in;
} slice_job;

static void slice_panels(void *context, int64_t begin, int64_t end, int32_t worker) {
    const slice_job *job = context;
    (void)worker;
    for (int64_t panel = begin; panel < end; panel++) {
        float *to = job->to + panel * RL_PANEL * job->n_in;
        const float *from = job->from + panel * RL_PANEL;
        int64_t left = job->n_out - panel * RL_PANEL, n = left < RL_PANEL ? left : RL_PANEL;
        for (int64_t k = 0; k < job->n_in; k++, to += RL_PANEL, from += job->stride) {
            memcpy(to, from, (size_t)n * sizeof(float));
            memset(to + n, 0, (size_t)(RL_PANEL - n) * sizeof(float));
        }
    }
}

void rl_cpu_panel_product(rl_cpu *cpu, const rl_cpu_gemm *g) {
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    size_t n_packed = (size_t)(round_up(g->n, RL_PANEL) * g->k);
    slice_job slice = {
        .to = rl_cpu_scratch(cpu, n_packed * sizeof(float)),
        .from = g->b,
        .stride = g->b_stride,
        .n_out = g->n,
        .n_in = g->k,
    };
    linear_job job = {
        .out = g->out,
        .in = g->a,
        .packed = {.f32 = slice.to},
        .out_stride = g->out_stride,
        .in_stride = g->a_stride,
        .n_rows = g->m,
        .n_out = g->n,
        .n_in = g->k,
    };
    RL_DASSERT(!g->a_t && !g->b_t && g->beta == 0);
    rl_pool_run(cpu->pool, round_up(g->n, RL_PANEL) / RL_PANEL, 1, slice_panels, &slice);
    run_linear(cpu, &job);
    rl_cpu_scratch_rewind(cpu, mark);
}

/* Blocks of outputs: each is unpacked and its product added to those before. */
void rl_cpu_linear_back(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor packed,
                        bool add) {
    rl_cpu *cpu = rl_cpu_of(be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu);
    int64_t n_out = d_out.shape[1], n_in = d_in.shape[1], most = UNPACK_FLOATS / n_in;
    packed_weight all = packed_of(packed);
    float *weight;
    most = most < RL_PANEL ? RL_PANEL : most / RL_PANEL * RL_PANEL;
    most = most < n_out ? most : n_out;
    weight = rl_cpu_scratch(cpu, (size_t)(most * n_in) * sizeof(float));
    for (int64_t begin = 0; begin < n_out; begin += most) {
        int64_t n = n_out - begin < most ? n_out - begin : most;
        pack_job unpack = {
            .kern = &cpu->kern, .weight = weight, .stride = n_in, .n_out = n, .n_in = n_in};
        rl_cpu_gemm g = {.m = d_in.shape[0],
                         .n = n_in,
                         .k = n,
                         .a = rl_cpu_f32(d_out) + begin,
                         .b = weight,
                         .out = rl_cpu_f32(d_in),
                         .a_stride = d_out.stride[0],
                         .b_stride = n_in,
                         .out_stride = d_in.stride[0],
                         .beta = add || begin > 0 ? 1 : 0};
        if (all.bf16 != NULL) {
            unpack.packed.bf16 = all.bf16 + begin * n_in;
        } else {
            unpack.packed.f32 = all.f32 + begin * n_in;
        }
        run_panels(cpu, unpack_panels, &unpack);
        rl_cpu_product(cpu, &g);
    }
    rl_cpu_scratch_rewind(cpu, mark);
}
