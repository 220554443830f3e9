/*
 * Speed of the backward operations at the shapes of SmolLM2-135M with 1024 tokens: products beside
 * one untiled BLAS call and the peak of fused multiply-adds, row operations in bytes a second
 * beside the reading of memory.
 *
 *   bench_back [THREADS]
 */
#include <stdio.h>
#include <stdlib.h>

#include "rl/core/pool.h"
#include "rl/tensor/blas.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"
#include "tensor/cpu/cpu_ops.h"
#include "tensor/cpu/gemm_blas.h"
#include "tests/bench/probe.h"

enum { N = 1024, C = 576, F = 1536, V = 49152, HEAD_ROWS = 256 };

typedef struct bench {
    rl_backend *be;
    rl_pool *pool;
    int32_t n_threads;
    rl_buffer *buffer;
    size_t used;
    double peak, read; // flop/s and bytes/s of the probes, all threads
} bench;

static rl_tensor take(bench *b, int64_t rows, int64_t cols) {
    rl_tensor t = rl_tensor_2d(RL_DTYPE_F32, b->buffer, b->used, rows, cols);
    b->used += (rl_tensor_bytes(t) + 4095) / 4096 * 4096 + 256; // no two at the same page offset
    RL_ASSERT(b->used <= b->buffer->bytes);
    return t;
}

static rl_tensor flat(rl_tensor t) {
    return rl_tensor_1d(t.dtype, t.buffer, t.offset, rl_tensor_count(t));
}

typedef void task(void *context);

/* Best of several runs, in seconds. */
static double best_of(task *run, void *context, int32_t n_threads) {
    double best = 1e9, spent = 0;
    for (int i = 0; i < 4 || spent < 0.3; i++) {
        double begin = probe_clock(n_threads), took;
        run(context);
        took = probe_clock(n_threads) - begin;
        best = took < best ? took : best;
        spent += took;
    }
    return best;
}

typedef struct product {
    bench *b;
    rl_tensor out, in, by;
    bool a_t;
    float beta;
} product;

static void run_tiled(void *context) {
    const product *p = context;
    rl_op_matmul(p->b->be, p->out, p->in, p->by, p->a_t, false, p->beta);
}

static void run_whole(void *context) {
    const product *p = context;
    rl_cpu_gemm g = {.m = p->out.shape[0],
                     .n = p->out.shape[1],
                     .k = p->by.shape[0],
                     .a = rl_cpu_f32(p->in),
                     .b = rl_cpu_f32(p->by),
                     .out = rl_cpu_f32(p->out),
                     .a_stride = p->in.stride[0],
                     .b_stride = p->by.stride[0],
                     .out_stride = p->out.stride[0],
                     .a_t = p->a_t,
                     .beta = p->beta};
    rl_cpu_sgemm(&g);
}

static void bench_products(bench *b) {
    static const struct {
        const char *name;
        int64_t m, n, k;
        bool a_t;
    } shape[] = {
        {"dgrad qkv", N, C, 960, false},        {"dgrad o", N, C, C, false},
        {"dgrad gate+up", N, C, 2 * F, false},  {"dgrad down", N, F, C, false},
        {"wgrad qkv", 960, C, N, true},         {"wgrad o", C, C, N, true},
        {"wgrad gate+up", 2 * F, C, N, true},   {"wgrad down", C, F, N, true},
        {"dgrad head", HEAD_ROWS, C, V, false}, {"wgrad head", V, C, HEAD_ROWS, true},
    };
    printf("\n%-16s %12s %12s %12s %12s\n", "product, GFLOP/s", "untiled 1T", "tiled", "of untiled",
           "of peak");
    for (size_t i = 0; i < sizeof shape / sizeof shape[0]; i++) {
        int64_t m = shape[i].m, n = shape[i].n, k = shape[i].k;
        double flops = 2.0 * (double)m * (double)n * (double)k, whole, tiled;
        product p = {.b = b, .a_t = shape[i].a_t, .beta = shape[i].a_t ? 1 : 0};
        b->used = 0;
        p.out = take(b, m, n);
        p.in = shape[i].a_t ? take(b, k, m) : take(b, m, k);
        p.by = take(b, k, n);
        whole = flops / best_of(run_whole, &p, 1) * 1e-9;
        tiled = flops / best_of(run_tiled, &p, b->n_threads) * 1e-9;
        printf("%-16s %12.0f %12.0f %11.0f%% %11.0f%%\n", shape[i].name, whole, tiled,
               100 * tiled / whole / b->n_threads, 1e11 * tiled / b->peak);
    }
}

typedef struct rows_task {
    bench *b;
    int which;
    rl_tensor t[5], token;
    rl_attn_plan plan;
} rows_task;

enum { COPY, SWIGLU, RMS_NORM, LOGPROB, EMBED, ADAMW, SUM_SQUARES, ATTENTION, N_TASKS };

static void run_rows(void *context) {
    const rows_task *r = context;
    rl_backend *be = r->b->be;
    const rl_tensor *t = r->t;
    rl_adamw hyper = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .grad_scale = 1};
    hyper.step = 1;
    switch (r->which) {
    case COPY:
        rl_op_copy(be, t[0], t[1]);
        break;
    case SWIGLU:
        rl_op_swiglu_back(be, t[0], t[1], t[2]);
        break;
    case RMS_NORM:
        rl_op_rms_norm_back(be, t[0], flat(rl_tensor_rows(t[3], 0, 1)), t[1], t[2],
                            flat(rl_tensor_rows(t[3], 1, 2)), flat(t[4]));
        break;
    case LOGPROB:
        rl_op_logprob_back(be, t[0], flat(t[1]), (rl_tensor){0}, t[0], r->token, 1);
        break;
    case EMBED:
        rl_op_embed_back(be, t[0], t[1], r->token);
        break;
    case ADAMW:
        rl_op_adamw(be, t[0], t[1], t[2], t[3], &hyper);
        break;
    case SUM_SQUARES:
        rl_op_sum_squares(be, t[0]);
        break;
    default:
        rl_op_attention_back(be, t[0], rl_tensor_cols(t[2], 0, 192), rl_tensor_cols(t[2], 192, 384),
                             t[1], t[3], rl_tensor_cols(t[4], 0, 192),
                             rl_tensor_cols(t[4], 192, 384), &r->plan);
        break;
    }
}

static void set_shapes(rows_task *r, const int64_t shape[5][2]) {
    static const int32_t all_0[N];
    r->b->used = 0;
    for (int i = 0; i < 5; i++) {
        r->t[i] = take(r->b, shape[i][0], shape[i][1]);
    }
    r->token = rl_tensor_1d(RL_DTYPE_I32, r->b->buffer, r->b->used, N);
    rl_tensor_put(r->b->be, r->token, all_0);
}

static void bench_rows(bench *b) {
    static const struct {
        const char *name;
        int64_t shape[5][2];
        double n_bytes; // read and written
    } row[N_TASKS - 1] = {
        [COPY] = {"copy", {{N, V / 2}, {N, V / 2}}, 4.0 * N * V},
        [SWIGLU] = {"swiglu_back", {{N, 2 * F}, {N, F}, {N, 2 * F}}, 4.0 * N * 5 * F},
        [RMS_NORM] = {"rms_norm_back", {{N, C}, {N, C}, {N, C}, {2, C}, {1, N}}, 4.0 * N * 4 * C},
        [LOGPROB] = {"logprob_back", {{HEAD_ROWS, V}, {1, HEAD_ROWS}}, 8.0 * HEAD_ROWS * V},
        [EMBED] = {"embed_back", {{V, C}, {N, C}}, 4.0 * N * 3 * C},
        [ADAMW] = {"adamw", {{V, C}, {V, C}, {V, C}, {V, C}}, 28.0 * V * C},
        [SUM_SQUARES] = {"sum_squares", {{V, C}}, 4.0 * V * C},
    };
    printf("\n%-16s %10s %10s %12s\n", "operation", "ms", "GB/s", "of reading");
    for (int i = 0; i < N_TASKS - 1; i++) {
        rows_task r = {.b = b, .which = i};
        double took;
        set_shapes(&r, row[i].shape);
        if (i == LOGPROB) {
            r.token = rl_tensor_rows(r.token, 0, HEAD_ROWS);
        }
        took = best_of(run_rows, &r, b->n_threads);
        printf("%-16s %10.3f %10.1f %11.0f%%\n", row[i].name, took * 1e3,
               row[i].n_bytes / took * 1e-9, 100 * row[i].n_bytes / took / b->read);
    }
}

/* Two trees of a prompt of 128 tokens and four completions of 96 each. */
static void bench_attention(bench *b) {
    enum { PROMPT = 128, TAIL = 96, ITEMS = 10, H = 9, K = 3, D = 64 };
    static const int64_t shape[5][2] = {{N, C}, {N, C}, {N, 384}, {N, C}, {N, 384}};
    rl_attn_item item[ITEMS];
    rl_kv_span span[2 * ITEMS];
    int32_t tree_item[3] = {0, ITEMS / 2, ITEMS}, row = 0;
    double pairs = 0, took;
    rows_task r = {.b = b, .which = ATTENTION};
    for (int32_t i = 0; i < ITEMS; i++) {
        int32_t place = i % (ITEMS / 2), prompt_row = i / (ITEMS / 2) * (PROMPT + 4 * TAIL);
        int32_t n = place == 0 ? PROMPT : TAIL;
        span[2 * i] = (rl_kv_span){.row = prompt_row, .n = PROMPT};
        span[2 * i + 1] = (rl_kv_span){.row = row, .n = n};
        item[i] = (rl_attn_item){.row = row,
                                 .n_rows = n,
                                 .pos = place == 0 ? 0 : PROMPT,
                                 .span_begin = 2 * i,
                                 .span_end = place == 0 ? 2 * i + 1 : 2 * i + 2};
        pairs += (double)n * (item[i].pos + (n + 1) / 2.0);
        row += n;
    }
    RL_ASSERT(row <= N);
    set_shapes(&r, shape);
    r.plan = (rl_attn_plan){.item = item,
                            .n_items = ITEMS,
                            .span = span,
                            .n_spans = 2 * ITEMS,
                            .tree_item = tree_item,
                            .n_trees = 2,
                            .max_keys = PROMPT + TAIL,
                            .n_heads = H,
                            .n_kv_heads = K,
                            .head_dim = D,
                            .scale = 0.125f};
    took = best_of(run_rows, &r, b->n_threads);
    printf("%-16s %10.3f %10.1f GFLOP/s of the causal half, %.0f%% of peak\n", "attention_back",
           took * 1e3, pairs * H * D * 10 / took * 1e-9, 100 * pairs * H * D * 10 / took / b->peak);
}

typedef struct muon_task {
    rl_backend *be;
    rl_muon_item item[35];
} muon_task;

static void run_muon(void *context) {
    const muon_task *m = context;
    const rl_muon hyper = {.momentum = 0.95, .decay = 1, .grad_scale = 1, .ns_steps = 5};
    rl_op_muon(m->be, m->item, 35, &hyper);
}

/* The matrices of 5 blocks of width 96: a model of half a million weights. */
static void bench_muon(bench *b) {
    static const int64_t shape[7][2] = {{96, 96},  {32, 96},  {32, 96}, {96, 96},
                                        {256, 96}, {256, 96}, {96, 256}};
    muon_task m = {.be = b->be};
    double flops = 0, took;
    b->used = 0;
    for (int i = 0; i < 35; i++) {
        int64_t rows = shape[i % 7][0], cols = shape[i % 7][1];
        double s = (double)(rows < cols ? rows : cols), n = (double)(rows * cols);
        m.item[i] = (rl_muon_item){.param = take(b, rows, cols),
                                   .momentum = take(b, rows, cols),
                                   .grad = take(b, rows, cols),
                                   .rate = 1e-9};
        flops += 5 * (4 * s * n + 2 * s * s * s);
    }
    took = best_of(run_muon, &m, b->n_threads);
    printf("%-16s %10.3f %10.1f GFLOP/s, %.0f%% of peak: 35 matrices of 0.5 M weights\n", "muon",
           took * 1e3, flops / took * 1e-9, 100 * flops / took / b->peak);
}

int main(int argc, char **argv) {
    bench b = {.n_threads = argc > 1 ? (int32_t)strtol(argv[1], NULL, 10) : rl_cpu_count()};
    rl_err err = {"threads wanted"};
    rl_blas_choose_core(argv);
    if (b.n_threads < 1 || rl_pool_new(b.n_threads, true, &b.pool, &err) != RL_OK ||
        rl_cpu_open(RL_KERNELS_AUTO, b.pool, &b.be, &err) != RL_OK ||
        rl_buffer_alloc(b.be, (size_t)800 << 20, &b.buffer, &err) != RL_OK) {
        fprintf(stderr, "bench_back: %s\n", err.text);
        return 2;
    }
    rl_op_fill(b.be,
               rl_tensor_1d(RL_DTYPE_F32, b.buffer, 0, (int64_t)(b.buffer->bytes / sizeof(float))),
               0.01f);
    b.peak = probe_peak(b.pool, b.n_threads, rl_cpu_of(b.be)->kernels);
    b.read = probe_read(b.pool, b.n_threads, b.buffer->host, (int64_t)b.buffer->bytes);
    printf("%s; peak %.0f GFLOP/s, memory read %.1f GB/s\n", rl_cpu_describe(b.be), b.peak * 1e-9,
           b.read * 1e-9);
    bench_products(&b);
    bench_rows(&b);
    bench_attention(&b);
    bench_muon(&b);
    rl_buffer_free(b.be, b.buffer);
    rl_cpu_close(b.be);
    rl_pool_free(b.pool);
    return 0;
}
