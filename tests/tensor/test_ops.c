/*
 * The forward operations: against sums in double, and against themselves on other kernel sets,
 * thread counts, batch splits and cache layouts, where the bits must be the same.
 */
#include "rl/core/alloc.h"
#include "tests/tensor/back_rig.h"

static const struct {
    rl_kernels kernels;
    int32_t n_threads;
} ways[] = {
    {RL_KERNELS_REF, 1},  {RL_KERNELS_REF, 2},    {RL_KERNELS_AVX2, 1},
    {RL_KERNELS_AVX2, 3}, {RL_KERNELS_AVX512, 1}, {RL_KERNELS_AVX512, 2},
};

/* A packed weight and the plain one it came from. */
typedef struct layer {
    rl_tensor weight, packed;
} layer;

static layer make_layer(rig *r, int64_t n_out, int64_t n_in) {
    int64_t n = rl_packed_len(r->be, n_out, n_in);
    layer l = {.weight = rig_matrix(r, n_out, n_in, 1)};
    l.packed = rl_tensor_1d(RL_DTYPE_F32, rig_buffer(r, n), 0, n);
    rl_op_pack(r->be, l.packed, l.weight);
    return l;
}

/* Results of a run, one array after the other. */
typedef struct record {
    float *x;
    int64_t n;
} record;

static void keep(rig *r, record *rec, rl_tensor t) {
    if (t.dtype == RL_DTYPE_I32) {
        const int32_t *ints = rig_ints(r, t);
        for (int64_t i = 0; i < rl_tensor_count(t); i++) {
            rec->x[rec->n++] = (float)ints[i];
        }
        return;
    }
    memcpy(rec->x + rec->n, rig_floats(r, t), rl_tensor_bytes(t));
    rec->n += rl_tensor_count(t);
}

static void assert_same_bits(const char *what, const float *got, const float *want, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof(float)) != 0) {
            fail_msg("%s: element %d is %a, want %a", what, (int)i, (double)got[i],
                     (double)want[i]);
        }
    }
}

static void assert_near(const char *what, const float *got, const double *want, int64_t n,
                        double tolerance) {
    for (int64_t i = 0; i < n; i++) {
        if (!(fabs((double)got[i] - want[i]) <= tolerance * (1 + fabs(want[i])))) {
            fail_msg("%s: element %d is %.9g, want %.9g", what, (int)i, (double)got[i], want[i]);
        }
    }
}

/* Gives every item of a plan cache slots of its own and stores the keys there. */
typedef struct cache {
    rl_tensor k, v, slot;
} cache;

static cache fill_cache(rig *r, rl_attn_plan *plan, rl_tensor k, rl_tensor v) {
    int64_t n_rows = k.shape[0], n_slots = 0, n;
    rl_kv_span *span = rl_arena_alloc(r->arena, (size_t)plan->n_spans, sizeof *span);
    int32_t *slot = rl_arena_alloc(r->arena, (size_t)n_rows, sizeof *slot);
    cache c;
    for (int32_t i = 0; i < plan->n_items; i++) {
        const rl_attn_item *item = &plan->item[i];
        for (int32_t t = 0; t < item->n_rows; t++) {
            slot[item->row + t] = (int32_t)n_slots + t;
        }
        n_slots += (item->n_rows + RL_KV_BLOCK - 1) / RL_KV_BLOCK * RL_KV_BLOCK + RL_KV_BLOCK;
    }
    for (int32_t s = 0; s < plan->n_spans; s++) {
        span[s] = plan->span[s];
        span[s].slot = span[s].n > 0 ? slot[span[s].row] : 0;
    }
    plan->span = span;
    n = rl_kv_len(r->be, n_slots, plan->n_kv_heads, plan->head_dim);
    c.k = rl_tensor_1d(RL_DTYPE_F32, rig_buffer(r, n), 0, n);
    c.v = rl_tensor_1d(RL_DTYPE_F32, rig_buffer(r, n), 0, n);
    rl_op_fill(r->be, c.k, NAN); // slots never written must not matter
    rl_op_fill(r->be, c.v, NAN);
    c.slot = rl_tensor_1d(RL_DTYPE_I32, rig_buffer(r, n_rows), 0, n_rows);
    rl_tensor_put(r->be, c.slot, slot);
    rl_op_kv_write(r->be, c.k, c.v, k, v, c.slot, plan->n_kv_heads);
    return c;
}

/* All operations once; what they give goes to rec. */
static void run_all(rig *r, record *rec) {
    static const int32_t length[5] = {21, 17, 3, 40, 33};
    static const int64_t shape[][3] = {{19, 100, 70}, {9, 50, 900}, {1, 97, 33}, {64, 48, 64}};
    static const double uniform[5] = {0, 0.13, 0.5, 0.77, 0.999999};
    static const float temperature[5] = {1, 0.7f, 0, 1.3f, 1};
    rl_backend *be = r->be;
    rl_attn_plan plan = rig_plan(r, length, 6, 2, 24);
    int64_t rows = plan.item[4].row + plan.item[4].n_rows;
    rl_tensor q = rig_matrix(r, rows, (int64_t)6 * 24, 2), k = rig_matrix(r, rows, 48, 2);
    rl_tensor v = rig_matrix(r, rows, 48, 1), out = rig_matrix(r, rows, (int64_t)6 * 24, 1);
    cache c = fill_cache(r, &plan, k, v);
    rl_tensor logits = rig_matrix(r, 5, 3001, 9), logp = rig_vector(r, 5, 1);
    rl_tensor entropy = rig_vector(r, 5, 1), token = rig_index(r, 5, 3001);
    rl_tensor table = rig_matrix(r, 40, 24, 1), position = rig_index(r, rows, 40), dense;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        layer l = make_layer(r, shape[s][1], shape[s][2]);
        rl_tensor in = rig_matrix(r, shape[s][0], shape[s][2], 1);
        rl_tensor to = rig_matrix(r, shape[s][0], shape[s][1], 1);
        rl_op_linear(be, to, in, l.packed, false);
        keep(r, rec, to);
        rl_op_linear(be, to, in, l.packed, true);
        keep(r, rec, to);
        rig_check_guards(r, to);
    }
    rl_op_attention(be, out, q, c.k, c.v, &plan);
    keep(r, rec, out);
    plan.window = 19;
    rl_op_attention(be, out, q, c.k, c.v, &plan);
    keep(r, rec, out);
    rl_op_rms_norm(be, out, rig_vector(r, rows, 1), q, rig_vector(r, q.shape[1], 1), 1e-5f);
    keep(r, rec, out);
    rl_op_rms_norm(be, out, rig_vector(r, rows * 6, 1), out, rig_vector(r, 24, 1), 1e-5f);
    keep(r, rec, out);
    rl_op_add(be, out, q);
    rl_op_add(be, out, rig_vector(r, q.shape[1], 1));
    rl_op_scale(be, out, 0.3f);
    keep(r, rec, out);
    dense = rl_tensor_2d(RL_DTYPE_F32, rig_buffer(r, (int64_t)40 * 24), 0, 40, 24);
    rl_op_copy(be, dense, table);
    rl_op_rope(be, out, dense, position, false);
    keep(r, rec, out);
    rl_op_rope(be, out, dense, position, true);
    keep(r, rec, out);
    rl_op_geglu(be, k, rig_matrix(r, rows, 96, 10));
    keep(r, rec, k);
    rl_op_swiglu(be, k, rig_matrix(r, rows, 96, 20));
    keep(r, rec, k);
    rl_op_embed(be, v, rig_matrix(r, 31, 48, 1), rig_index(r, rows, 31));
    keep(r, rec, v);
    rl_op_gather(be, v, k, rig_index(r, rows, (int32_t)rows));
    keep(r, rec, v);
    rl_op_logprob(be, logp, entropy, logits, token, 0.9f);
    keep(r, rec, logp);
    keep(r, rec, entropy);
    rl_op_sample(be, token, logp, entropy, logits, uniform, temperature);
    keep(r, rec, token);
    keep(r, rec, logp);
    keep(r, rec, entropy);
    rl_op_fill(be, v, 2.5f);
    keep(r, rec, v);
    rig_check_guards(r, out);
    rig_check_guards(r, v);
}

static void same_bits_on_every_set_and_thread_count(void **state) {
    enum { ROOM = 1 << 18 };
    record want = {.x = rl_alloc(ROOM, sizeof(float))};
    (void)state;
    for (size_t w = 0; w < RL_COUNT(ways); w++) {
        record got = {.x = rl_alloc(ROOM, sizeof(float))};
        char what[64];
        rig r;
        if (!rl_cpu_has(ways[w].kernels)) {
            print_message("skipped: no %s here\n", rl_kernels_names[ways[w].kernels]);
            rl_free(got.x);
            continue;
        }
        r = rig_open(ways[w].kernels, ways[w].n_threads);
        run_all(&r, &got);
        snprintf(what, sizeof what, "%s", rl_cpu_describe(r.be));
        rig_close(&r);
        assert_true(got.n < ROOM);
        if (w == 0) {
            rl_free(want.x);
            want = got;
            continue;
        }
        assert_int_equal(got.n, want.n);
        assert_same_bits(what, got.x, want.x, want.n);
        rl_free(got.x);
    }
    rl_free(want.x);
}

static void linear_is_the_product(void **state) {
    static const int64_t shape[][3] = {{1, 1, 1}, {7, 48, 31}, {70, 131, 801}, {3, 47, 384}};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        int64_t n = shape[s][0], n_out = shape[s][1], n_in = shape[s][2];
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        layer l = make_layer(&r, n_out, n_in);
        rl_tensor in = rig_matrix(&r, n, n_in, 1), out = rig_matrix(&r, n, n_out, 1);
        const double *x = rig_doubles(&r, in), *w = rig_doubles(&r, l.weight);
        double *want = rig_doubles(&r, out);
        rl_op_linear(r.be, out, in, l.packed, true);
        for (int64_t i = 0; i < n * n_out; i++) {
            for (int64_t k = 0; k < n_in; k++) {
                want[i] += x[i / n_out * n_in + k] * w[i % n_out * n_in + k];
            }
        }
        // A chain of up to 801 products, each at most 1.
        assert_near("linear", rig_floats(&r, out), want, n * n_out, 2e-5);
        rig_check_guards(&r, out);
        rig_close(&r);
    }
}

/* Each row alone, and in batches of odd sizes, as among 600 (more than one tile of rows). */
static void linear_rows_do_not_know_their_batch(void **state) {
    enum { N = 600, OUT = 77, IN = 450 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    layer l = make_layer(&r, OUT, IN);
    rl_tensor in = rig_matrix(&r, N, IN, 1), out = rig_matrix(&r, N, OUT, 1);
    rl_tensor part = rig_matrix(&r, N, OUT, 1);
    const float *want;
    (void)state;
    rl_op_linear(r.be, out, in, l.packed, false);
    want = rig_floats(&r, out);
    for (int64_t size = 1; size < 64; size += size < 9 ? 1 : 11) {
        for (int64_t at = 0; at < N; at += size) {
            int64_t end = at + size < N ? at + size : N;
            rl_op_linear(r.be, rl_tensor_rows(part, at, end), rl_tensor_rows(in, at, end), l.packed,
                         false);
        }
        assert_same_bits("batches", rig_floats(&r, part), want, (int64_t)N * OUT);
        rl_op_fill(r.be, part, 0);
    }
    rig_close(&r);
}

/* Position of each key of an item, as rows of packed k and v. */
static int64_t key_row(const rl_attn_plan *plan, const rl_attn_item *item, int64_t position) {
    for (int32_t s = item->span_begin; s < item->span_end; s++) {
        if (position < plan->span[s].n) {
            return plan->span[s].row + position;
        }
        position -= plan->span[s].n;
    }
    fail_msg("the spans hold too few keys");
    return -1;
}

static void attend_in_double(const rl_attn_plan *plan, const rl_attn_item *item, const double *q,
                             const double *k, const double *v, double *out) {
    int64_t dim = plan->head_dim, width = plan->n_heads * dim, kv_width = plan->n_kv_heads * dim;
    int32_t group = plan->n_heads / plan->n_kv_heads;
    for (int32_t t = 0; t < item->n_rows; t++) {
        for (int32_t h = 0; h < plan->n_heads; h++) {
            int64_t at = (item->row + t) * width + h * dim, n = item->pos + t + 1;
            double sum = 0, max = -1e300, *score = rl_alloc((size_t)n, sizeof *score);
            int64_t from = plan->window > 0 && n > plan->window ? n - plan->window : 0;
            for (int64_t j = from; j < n; j++) {
                const double *key = k + key_row(plan, item, j) * kv_width + h / group * dim;
                for (int64_t d = 0; d < dim; d++) {
                    score[j] += q[at + d] * key[d] * (double)plan->scale;
                }
                max = score[j] > max ? score[j] : max;
            }
            for (int64_t d = 0; d < dim; d++) {
                out[at + d] = 0;
            }
            for (int64_t j = from; j < n; j++) {
                const double *value = v + key_row(plan, item, j) * kv_width + h / group * dim;
                double p = exp(score[j] - max);
                sum += p;
                for (int64_t d = 0; d < dim; d++) {
                    out[at + d] += p * value[d];
                }
            }
            for (int64_t d = 0; d < dim; d++) {
                out[at + d] /= sum;
            }
            rl_free(score);
        }
    }
}

static const struct {
    int32_t length[5], n_heads, n_kv_heads, head_dim, window;
} attn_shape[] = {
    {{1, 1, 1, 1, 1}, 1, 1, 1, 0},         {{6, 5, 4, 4, 7}, 4, 2, 6, 0},
    {{130, 37, 50, 29, 70}, 9, 3, 64, 0},  {{33, 16, 1, 64, 90}, 14, 2, 40, 0},
    {{48, 0, 5, 17, 20}, 30, 1, 72, 0},    {{6, 5, 4, 4, 7}, 4, 2, 6, 1},
    {{130, 37, 50, 29, 70}, 9, 3, 64, 51}, {{33, 16, 1, 64, 90}, 14, 2, 40, 16},
    {{48, 0, 5, 17, 20}, 30, 1, 72, 1000},
};

static void attention_is_softmax_of_products(void **state) {
    (void)state;
    for (size_t s = 0; s < RL_COUNT(attn_shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        rl_attn_plan plan = rig_plan(&r, attn_shape[s].length, attn_shape[s].n_heads,
                                     attn_shape[s].n_kv_heads, attn_shape[s].head_dim);
        plan.window = attn_shape[s].window;
        int64_t rows = plan.item[4].row + plan.item[4].n_rows;
        int64_t width = (int64_t)plan.n_heads * plan.head_dim;
        rl_tensor q = rig_matrix(&r, rows, width, 2), out = rig_matrix(&r, rows, width, 1);
        rl_tensor k = rig_matrix(&r, rows, (int64_t)plan.n_kv_heads * plan.head_dim, 2);
        rl_tensor v = rig_matrix(&r, rows, (int64_t)plan.n_kv_heads * plan.head_dim, 1);
        cache c = fill_cache(&r, &plan, k, v);
        double *want = rig_room(&r, rows * width);
        const double *q64 = rig_doubles(&r, q), *k64 = rig_doubles(&r, k);
        const double *v64 = rig_doubles(&r, v);
        rl_op_attention(r.be, out, q, c.k, c.v, &plan);
        for (int32_t i = 0; i < plan.n_items; i++) {
            attend_in_double(&plan, &plan.item[i], q64, k64, v64, want);
        }
        assert_near("attention", rig_floats(&r, out), want, rows * width, 3e-6);
        rig_check_guards(&r, out);
        rig_close(&r);
    }
}

/* The plan again with every item cut in items of at most n_rows rows (1: decoding). */
static rl_attn_plan cut_items(rig *r, const rl_attn_plan *plan, int64_t rows, int32_t n_rows) {
    rl_attn_item *item = rl_arena_alloc(r->arena, (size_t)rows, sizeof *item);
    rl_attn_plan out = *plan;
    out.item = item;
    out.n_items = 0;
    for (int32_t i = 0; i < plan->n_items; i++) {
        for (int32_t t = 0; t < plan->item[i].n_rows; t += n_rows) {
            int32_t left = plan->item[i].n_rows - t;
            item[out.n_items] = plan->item[i];
            item[out.n_items].row += t;
            item[out.n_items].pos += t;
            item[out.n_items++].n_rows = left < n_rows ? left : n_rows;
        }
    }
    return out;
}

/*
 * One sequence without a shared prefix: the keys an item sees, copied to a cache of their own in
 * one span, and the item's queries.
 */
static void attend_alone(rig *r, const rl_attn_plan *plan, const rl_attn_item *item, rl_tensor out,
                         rl_tensor q, rl_tensor k, rl_tensor v) {
    int64_t n = item->pos + item->n_rows;
    int32_t *row = rl_arena_alloc(r->arena, (size_t)n, sizeof *row);
    rl_tensor index = rl_tensor_1d(RL_DTYPE_I32, rig_buffer(r, n), 0, n);
    rl_tensor own_k = rig_matrix(r, n, k.shape[1], 1), own_v = rig_matrix(r, n, k.shape[1], 1);
    rl_attn_item whole = {.n_rows = (int32_t)n, .span_end = 1}, last = *item;
    rl_kv_span span = {.n = (int32_t)n};
    rl_attn_plan lone = *plan;
    cache c;
    for (int64_t j = 0; j < n; j++) {
        row[j] = (int32_t)key_row(plan, item, j);
    }
    rl_tensor_put(r->be, index, row);
    rl_op_gather(r->be, own_k, k, index);
    rl_op_gather(r->be, own_v, v, index);
    lone.item = &whole;
    lone.span = &span;
    lone.n_items = lone.n_spans = 1;
    c = fill_cache(r, &lone, own_k, own_v);
    last.span_begin = 0;
    last.span_end = 1;
    lone.item = &last;
    rl_op_attention(r->be, out, q, c.k, c.v, &lone);
}

static void attention_does_not_know_how_keys_came(void **state) {
    (void)state;
    for (size_t s = 0; s < RL_COUNT(attn_shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        rl_attn_plan plan = rig_plan(&r, attn_shape[s].length, attn_shape[s].n_heads,
                                     attn_shape[s].n_kv_heads, attn_shape[s].head_dim);
        plan.window = attn_shape[s].window;
        int64_t rows = plan.item[4].row + plan.item[4].n_rows;
        int64_t width = (int64_t)plan.n_heads * plan.head_dim;
        rl_tensor q = rig_matrix(&r, rows, width, 2), out = rig_matrix(&r, rows, width, 1);
        rl_tensor k = rig_matrix(&r, rows, (int64_t)plan.n_kv_heads * plan.head_dim, 2);
        rl_tensor v = rig_matrix(&r, rows, (int64_t)plan.n_kv_heads * plan.head_dim, 1);
        cache c = fill_cache(&r, &plan, k, v);
        const float *want;
        rl_op_attention(r.be, out, q, c.k, c.v, &plan);
        want = rig_floats(&r, out);
        for (int32_t n_rows = 1; n_rows <= 29; n_rows += 7) { // decode, then prefill in chunks
            rl_attn_plan cut = cut_items(&r, &plan, rows, n_rows);
            rl_op_fill(r.be, out, 0);
            rl_op_attention(r.be, out, q, c.k, c.v, &cut);
            assert_same_bits("in chunks", rig_floats(&r, out), want, rows * width);
        }
        rl_op_fill(r.be, out, 0);
        for (int32_t i = 0; i < plan.n_items; i++) {
            attend_alone(&r, &plan, &plan.item[i], out, q, k, v);
        }
        assert_same_bits("without sharing", rig_floats(&r, out), want, rows * width);
        rig_close(&r);
    }
}

/* Keys and values outside every window may be anything, and the rest of the block they lie in. */
static void keys_before_the_window_do_not_matter(void **state) {
    enum { LENGTH = 200, FIRST = 150, WINDOW = 37, SEEN = FIRST + 1 - WINDOW, D = 24 };
    const rl_kernels sets[] = {RL_KERNELS_REF, RL_KERNELS_AUTO};
    (void)state;
    for (size_t s = 0; s < RL_COUNT(sets); s++) {
        rig r = rig_open(sets[s], 2);
        rl_tensor q = rig_matrix(&r, LENGTH, (int64_t)4 * D, 2);
        rl_tensor out = rig_matrix(&r, LENGTH, (int64_t)4 * D, 1);
        rl_tensor k = rig_matrix(&r, LENGTH, (int64_t)2 * D, 2);
        rl_tensor v = rig_matrix(&r, LENGTH, (int64_t)2 * D, 1);
        rl_attn_item item = {.n_rows = LENGTH, .span_end = 1};
        rl_kv_span span = {.n = LENGTH};
        rl_attn_plan plan = {.item = &item,
                             .n_items = 1,
                             .span = &span,
                             .n_spans = 1,
                             .max_keys = LENGTH,
                             .n_heads = 4,
                             .n_kv_heads = 2,
                             .head_dim = D,
                             .scale = 0.3f,
                             .window = WINDOW};
        cache c = fill_cache(&r, &plan, k, v), poor;
        const float *want;
        rl_op_fill(r.be, rl_tensor_rows(k, 0, SEEN), NAN);
        rl_op_fill(r.be, rl_tensor_rows(v, 0, SEEN), NAN);
        poor = fill_cache(&r, &plan, k, v);
        item.row = item.pos = FIRST;
        item.n_rows = LENGTH - FIRST;
        rl_op_attention(r.be, out, q, c.k, c.v, &plan);
        want = rig_floats(&r, out);
        rl_op_fill(r.be, rl_tensor_rows(out, FIRST, LENGTH), 0);
        rl_op_attention(r.be, out, q, poor.k, poor.v, &plan);
        assert_same_bits("masked", rig_floats(&r, out), want, (int64_t)LENGTH * 4 * D);
        rig_close(&r);
    }
}

/* A norm of groups is a norm of each alone; out may be in. */
static void groups_are_normed_alone(void **state) {
    enum { N = 9, GROUPS = 3, W = 20 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor in = rig_matrix(&r, N, GROUPS * W, 3), out = rig_matrix(&r, N, GROUPS * W, 1);
    rl_tensor weight = rig_vector(&r, W, 1), rstd = rig_vector(&r, N * GROUPS, 1);
    rl_tensor one = rig_vector(&r, N, 1);
    const float *got_rstd;
    (void)state;
    rl_op_rms_norm(r.be, out, rstd, in, weight, 1e-5f);
    got_rstd = rig_floats(&r, rstd);
    for (int64_t g = 0; g < GROUPS; g++) {
        rl_tensor part = rl_tensor_cols(in, g * W, (g + 1) * W);
        const float *want_rstd;
        rl_op_rms_norm(r.be, part, one, part, weight, 1e-5f);
        want_rstd = rig_floats(&r, one);
        for (int64_t i = 0; i < N; i++) {
            assert_true(got_rstd[i * GROUPS + g] == want_rstd[i]);
        }
    }
    assert_same_bits("groups", rig_floats(&r, out), rig_floats(&r, in), (int64_t)N * GROUPS * W);
    rig_check_guards(&r, out);
    rig_close(&r);
}

static void adding_and_scaling(void **state) {
    enum { N = 21, C = 37 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor x = rig_matrix(&r, N, C, 1), y = rig_matrix(&r, N, C, 1), row = rig_vector(&r, C, 1);
    const float *a = rig_floats(&r, x), *b = rig_floats(&r, y), *c = rig_floats(&r, row), *got;
    (void)state;
    rl_op_add(r.be, x, y);
    rl_op_add(r.be, x, row);
    rl_op_scale(r.be, x, 0.7f);
    rl_op_add(r.be, row, row);
    got = rig_floats(&r, x);
    for (int i = 0; i < N * C; i++) {
        float sum = a[i] + b[i];
        sum += c[i % C];
        assert_true(got[i] == sum * 0.7f);
    }
    got = rig_floats(&r, row);
    for (int i = 0; i < C; i++) {
        assert_true(got[i] == 2 * c[i]);
    }
    rig_check_guards(&r, x);
    rig_close(&r);
}

static void rows_are_as_in_double(void **state) {
    enum { N = 5, C = 83, F = 45 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor in = rig_matrix(&r, N, C, 3), out = rig_matrix(&r, N, C, 1);
    rl_tensor weight = rig_vector(&r, C, 1), rstd = rig_vector(&r, N, 1), none = {0};
    rl_tensor gate_up = rig_matrix(&r, N, (int64_t)2 * F, 12), act = rig_matrix(&r, N, F, 1);
    const double *x = rig_doubles(&r, in), *w = rig_doubles(&r, weight);
    const double *g = rig_doubles(&r, gate_up);
    double want[N * C], want_rstd[N], want_act[N * F];
    (void)state;
    rl_op_rms_norm(r.be, out, rstd, in, weight, 1e-5f);
    for (int i = 0; i < N; i++) {
        double sum = 0;
        for (int c = 0; c < C; c++) {
            sum += x[i * C + c] * x[i * C + c];
        }
        want_rstd[i] = 1 / sqrt(sum / C + 1e-5);
        for (int c = 0; c < C; c++) {
            want[i * C + c] = x[i * C + c] * want_rstd[i] * w[c];
        }
    }
    assert_near("rstd", rig_floats(&r, rstd), want_rstd, N, 3e-7);
    assert_near("rms_norm", rig_floats(&r, out), want, (int64_t)N * C, 3e-7);
    rl_op_rms_norm(r.be, out, none, in, weight, 1e-5f);
    assert_near("rms_norm", rig_floats(&r, out), want, (int64_t)N * C, 3e-7);
    rl_op_swiglu(r.be, act, gate_up);
    for (int i = 0; i < N * F; i++) {
        double gate = g[i / F * 2 * F + i % F], up = g[i / F * 2 * F + F + i % F];
        want_act[i] = gate / (1 + exp(-gate)) * up;
    }
    assert_near("swiglu", rig_floats(&r, act), want_act, (int64_t)N * F, 4e-7);
    rl_op_geglu(r.be, act, gate_up);
    for (int i = 0; i < N * F; i++) {
        double gate = g[i / F * 2 * F + i % F], up = g[i / F * 2 * F + F + i % F];
        double inner = sqrt(2 / acos(-1)) * (gate + 0.044715 * gate * gate * gate);
        want_act[i] = gate / 2 * (1 + tanh(inner)) * up;
    }
    assert_near("geglu", rig_floats(&r, act), want_act, (int64_t)N * F, 4e-7);
    rig_check_guards(&r, out);
    rig_check_guards(&r, act);
    rig_close(&r);
}

/* Pairs turn by their row's angle; turning back restores them. */
static void rope_turns(void **state) {
    enum { N = 7, HEADS = 3, D = 10, POSITIONS = 20 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor x = rig_matrix(&r, N, (int64_t)HEADS * D, 1), position = rig_index(&r, N, POSITIONS);
    rl_tensor table =
        rl_tensor_2d(RL_DTYPE_F32, rig_buffer(&r, (int64_t)POSITIONS * D), 0, POSITIONS, D);
    const double *before = rig_doubles(&r, x);
    const int32_t *pos = rig_ints(&r, position);
    float angles[POSITIONS * D];
    double want[N * HEADS * D];
    (void)state;
    for (int i = 0; i < POSITIONS * D / 2; i++) {
        double angle = i / (D / 2) * pow(10, -2.0 * (i % (D / 2)) / D);
        angles[i / (D / 2) * D + i % (D / 2)] = (float)cos(angle);
        angles[i / (D / 2) * D + D / 2 + i % (D / 2)] = (float)sin(angle);
    }
    rl_tensor_put(r.be, table, angles);
    rl_op_rope(r.be, x, table, position, false);
    for (int i = 0; i < N * HEADS; i++) {
        for (int d = 0; d < D / 2; d++) {
            double angle = pos[i / HEADS] * pow(10, -2.0 * d / D);
            double a = before[i * D + d], b = before[i * D + D / 2 + d];
            want[i * D + d] = a * cos(angle) - b * sin(angle);
            want[i * D + D / 2 + d] = b * cos(angle) + a * sin(angle);
        }
    }
    assert_near("rope", rig_floats(&r, x), want, (int64_t)N * HEADS * D, 3e-7);
    rl_op_rope(r.be, x, table, position, true);
    assert_near("rope and back", rig_floats(&r, x), before, (int64_t)N * HEADS * D, 4e-7);
    rig_close(&r);
}

static void logprob_and_entropy(void **state) {
    enum { R = 6, V = 2500 };
    static const float temperature[] = {1, 0.6f, 1.7f};
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor logits = rig_matrix(&r, R, V, 15), token = rig_index(&r, R, V);
    rl_tensor logp = rig_vector(&r, R, 1), entropy = rig_vector(&r, R, 1);
    const double *x = rig_doubles(&r, logits);
    const int32_t *t = rig_ints(&r, token);
    (void)state;
    for (size_t i = 0; i < RL_COUNT(temperature); i++) {
        double want_logp[R], want_entropy[R], by = (double)temperature[i];
        rl_op_logprob(r.be, logp, entropy, logits, token, temperature[i]);
        for (int row = 0; row < R; row++) {
            double sum = 0, sum_z = 0;
            for (int v = 0; v < V; v++) {
                sum += exp(x[row * V + v] / by);
                sum_z += exp(x[row * V + v] / by) * x[row * V + v] / by;
            }
            want_logp[row] = x[row * V + t[row]] / by - log(sum);
            want_entropy[row] = log(sum) - sum_z / sum;
        }
        assert_near("logprob", rig_floats(&r, logp), want_logp, R, 3e-7);
        assert_near("entropy", rig_floats(&r, entropy), want_entropy, R, 2e-6);
    }
    rig_close(&r);
}

static void sample_inverts_the_distribution(void **state) {
    enum { R = 400, V = 3000 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor one = rig_matrix(&r, 1, V, 6), logits = rig_matrix(&r, R, V, 1);
    rl_tensor row = rig_index(&r, R, 1), token = rig_index(&r, R, V), none = {0};
    rl_tensor logp = rig_vector(&r, R, 1), again = rig_vector(&r, R, 1);
    double uniform[R], below[V + 1], *x = rig_doubles(&r, one);
    float temperature[R];
    const int32_t *t;
    (void)state;
    rl_op_gather(r.be, logits, one, row);
    for (int i = 0; i < R; i++) {
        uniform[i] = i == R - 1 ? 1 - 0x1p-53 : (double)i / (R - 1);
        temperature[i] = 1.25f;
    }
    rl_op_sample(r.be, token, logp, none, logits, uniform, temperature);
    rl_op_logprob(r.be, again, none, logits, token, 1.25f);
    assert_same_bits("log-prob drawn and scored", rig_floats(&r, logp), rig_floats(&r, again), R);
    below[0] = 0;
    for (int v = 0; v < V; v++) {
        below[v + 1] = below[v] + exp(x[v] / 1.25);
    }
    t = rig_ints(&r, token);
    for (int i = 0; i < R; i++) { // sums in float differ a little from the true ones
        assert_true(uniform[i] >= below[t[i]] / below[V] - 1e-6);
        assert_true(uniform[i] <= below[t[i] + 1] / below[V] + 1e-6);
    }
    rig_close(&r);
}

static void sample_edges(void **state) {
    enum { R = 5, V = 1100 };
    static const double uniform[R] = {0, 1 - 0x1p-53, 0.5, 0.3, 0.9};
    static const float temperature[R] = {1, 1, 0, 1, 0};
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    rl_tensor logits = rl_tensor_2d(RL_DTYPE_F32, rig_buffer(&r, (int64_t)R * V), 0, R, V);
    rl_tensor token = rig_index(&r, R, V), logp = rig_vector(&r, R, 1);
    rl_tensor again = rig_vector(&r, R, 1), entropy = rig_vector(&r, R, 1);
    float *x = rl_arena_alloc(r.arena, (size_t)R * V, sizeof *x);
    const int32_t *t;
    (void)state;
    for (int i = 0; i < R * V; i++) { // only tokens 3 and 1030 to 1039 have any weight
        int v = i % V;
        x[i] = v == 3 || (v >= 1030 && v < 1040) ? 0.5f : -INFINITY;
    }
    x[2 * V + 1035] = 0.75f;
    x[2 * V + 1037] = 0.75f; // as large: the lower id wins
    for (int v = 0; v < V; v++) {
        x[3 * V + v] = v == 700 ? 200.0f : -200.0f; // certain
        x[4 * V + v] = NAN;
    }
    rl_tensor_put(r.be, logits, x);
    rl_op_sample(r.be, token, logp, entropy, logits, uniform, temperature);
    t = rig_ints(&r, token);
    assert_int_equal(t[0], 3);
    assert_int_equal(t[1], 1039);
    assert_int_equal(t[2], 1035);
    assert_int_equal(t[3], 700);
    assert_int_equal(t[4], 0); // what is not a number is seen in the log-prob
    assert_true(isnan(rig_floats(&r, logp)[4]));
    assert_true(rig_floats(&r, logp)[3] == 0 && rig_floats(&r, entropy)[3] == 0);
    assert_near("one of eleven", rig_floats(&r, logp), (double[]){-log(11), -log(11)}, 2, 2e-7);
    rl_op_logprob(r.be, again, entropy, logits, token, 1); // temperature 0 reports at 1
    assert_same_bits("greedy", rig_floats(&r, logp), rig_floats(&r, again), 4);
    rig_close(&r);
}

static void warm_operations_allocate_nothing(void **state) {
    static const int32_t length[5] = {21, 17, 3, 40, 33};
    static const double uniform[4] = {0.1, 0.2, 0.3, 0.4};
    static const float temperature[4] = {1, 1, 1, 1};
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_attn_plan plan = rig_plan(&r, length, 4, 2, 16);
    int64_t rows = plan.item[4].row + plan.item[4].n_rows;
    rl_tensor q = rig_matrix(&r, rows, 64, 1), k = rig_matrix(&r, rows, 32, 1);
    rl_tensor v = rig_matrix(&r, rows, 32, 1), out = rig_matrix(&r, rows, 64, 1), none = {0};
    rl_tensor logits = rig_matrix(&r, 4, 5000, 1), token = rig_index(&r, 4, 5000);
    rl_tensor logp = rig_vector(&r, 4, 1), in = rig_matrix(&r, rows, 1000, 1);
    layer l = make_layer(&r, 64, 1000);
    cache c = fill_cache(&r, &plan, k, v);
    uint64_t before = 0;
    (void)state;
    for (int i = 0; i < 2; i++) {
        before = rl_alloc_count();
        rl_op_linear(r.be, out, in, l.packed, true);
        rl_op_kv_write(r.be, c.k, c.v, k, v, c.slot, 2);
        rl_op_attention(r.be, out, q, c.k, c.v, &plan);
        rl_op_sample(r.be, token, logp, none, logits, uniform, temperature);
        rl_op_logprob(r.be, logp, none, logits, token, 1);
    }
    assert_int_equal(rl_alloc_count(), before);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits_on_every_set_and_thread_count),
        cmocka_unit_test(linear_is_the_product),
        cmocka_unit_test(linear_rows_do_not_know_their_batch),
        cmocka_unit_test(attention_is_softmax_of_products),
        cmocka_unit_test(attention_does_not_know_how_keys_came),
        cmocka_unit_test(keys_before_the_window_do_not_matter),
        cmocka_unit_test(groups_are_normed_alone),
        cmocka_unit_test(adding_and_scaling),
        cmocka_unit_test(rows_are_as_in_double),
        cmocka_unit_test(rope_turns),
        cmocka_unit_test(logprob_and_entropy),
        cmocka_unit_test(sample_inverts_the_distribution),
        cmocka_unit_test(sample_edges),
        cmocka_unit_test(warm_operations_allocate_nothing),
    };
    return cmocka_run_group_tests_name("ops", tests, NULL, NULL);
}
