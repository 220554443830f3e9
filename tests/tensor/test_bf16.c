/*
 * Weights packed as bfloat16: everything that reads them gives the bits of a float32 weight with
 * the rounded values, on every kernel set and number of threads, whatever the batch.
 */
#include "tests/tensor/back_rig.h"

/* One weight, its rounded copy, and both packed in all ways. */
typedef struct layer {
    rl_tensor weight, rounded;
    rl_tensor as_f32, as_bf16;         // of weight
    rl_tensor rounded_f32, rounded_16; // of rounded
} layer;

static rl_tensor packed(rig *r, rl_tensor weight, rl_dtype dtype) {
    int64_t n = rl_packed_len(r->be, weight.shape[0], weight.shape[1]);
    rl_tensor t = rl_tensor_1d(dtype, rig_buffer(r, n), 0, n);
    rl_op_pack(r->be, t, weight);
    return t;
}

static layer make_layer(rig *r, int64_t n_out, int64_t n_in) {
    layer l = {.weight = rig_matrix(r, n_out, n_in, 1), .rounded = rig_matrix(r, n_out, n_in, 1)};
    rl_op_copy(r->be, l.rounded, l.weight);
    rl_op_round_bf16(r->be, l.rounded);
    rig_check_guards(r, l.rounded);
    l.as_f32 = packed(r, l.weight, RL_DTYPE_F32);
    l.as_bf16 = packed(r, l.weight, RL_DTYPE_BF16);
    l.rounded_f32 = packed(r, l.rounded, RL_DTYPE_F32);
    l.rounded_16 = packed(r, l.rounded, RL_DTYPE_BF16);
    return l;
}

static void assert_same(const char *what, const float *got, const float *want, int64_t n) {
    for (int64_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof *got) != 0) {
            fail_msg("%s: element %d is %a, want %a", what, (int)i, (double)got[i],
                     (double)want[i]);
        }
    }
}

/* Rows of a batch that widens as it reads, of one that widens first, and of several tiles. */
static const int64_t shapes[][3] = {{1, 100, 70},  {5, 50, 900}, {15, 97, 33},
                                    {16, 48, 801}, {64, 131, 7}, {600, 77, 450}};

static void linear_reads_rounded_weights(void **state) {
    static const struct {
        rl_kernels kernels;
        int32_t n_threads;
    } ways[] = {
        {RL_KERNELS_REF, 1}, {RL_KERNELS_AVX2, 1}, {RL_KERNELS_AVX512, 1}, {RL_KERNELS_AUTO, 2}};
    (void)state;
    for (size_t w = 0; w < RL_COUNT(ways); w++) {
        if (!rl_cpu_has(ways[w].kernels)) {
            print_message("skipped: no %s here\n", rl_kernels_names[ways[w].kernels]);
            continue;
        }
        for (size_t s = 0; s < RL_COUNT(shapes); s++) {
            int64_t n = shapes[s][0], n_out = shapes[s][1], n_in = shapes[s][2];
            rig r = rig_open(ways[w].kernels, ways[w].n_threads);
            layer l = make_layer(&r, n_out, n_in);
            rl_tensor in = rig_matrix(&r, n, n_in, 1), want = rig_matrix(&r, n, n_out, 1);
            rl_tensor got = rig_matrix(&r, n, n_out, 1), again = rig_matrix(&r, n, n_out, 1);
            rl_op_copy(r.be, got, want);
            rl_op_copy(r.be, again, want);
            rl_op_linear(r.be, want, in, l.rounded_f32, true);
            rl_op_linear(r.be, got, in, l.as_bf16, true);
            rl_op_linear(r.be, again, in, l.rounded_16, true); // rounding twice is rounding once
            assert_same("linear", rig_floats(&r, got), rig_floats(&r, want), n * n_out);
            assert_same("linear", rig_floats(&r, again), rig_floats(&r, want), n * n_out);
            rl_op_linear(r.be, want, in, l.as_f32, false);
            rl_op_linear(r.be, got, in, l.as_bf16, false);
            // And rounding does something: the two are not the same everywhere.
            assert_memory_not_equal(rig_floats(&r, got), rig_floats(&r, want),
                                    (size_t)(n * n_out) * sizeof(float));
            rig_check_guards(&r, got);
            rig_close(&r);
        }
    }
}

static void rows_do_not_know_their_batch(void **state) {
    enum { N = 600, OUT = 77, IN = 450 };
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    layer l = make_layer(&r, OUT, IN);
    rl_tensor in = rig_matrix(&r, N, IN, 1), out = rig_matrix(&r, N, OUT, 1);
    rl_tensor part = rig_matrix(&r, N, OUT, 1);
    (void)state;
    rl_op_linear(r.be, out, in, l.as_bf16, false);
    for (int64_t size = 1; size < 64; size += size < 20 ? 1 : 11) {
        for (int64_t at = 0; at < N; at += size) {
            int64_t end = at + size < N ? at + size : N;
            rl_op_linear(r.be, rl_tensor_rows(part, at, end), rl_tensor_rows(in, at, end),
                         l.as_bf16, false);
        }
        assert_same("batches", rig_floats(&r, part), rig_floats(&r, out), (int64_t)N * OUT);
        rl_op_fill(r.be, part, 0);
    }
    rig_close(&r);
}

/* d_in = d_out . weight, for all outputs and for the first `used` of them. */
static void check_back(rig *r, const layer *l, int64_t n, int64_t used, bool add) {
    int64_t n_in = l->weight.shape[1];
    rl_tensor d_out = rig_matrix(r, n, used, 1), got = rig_matrix(r, n, n_in, 1);
    rl_tensor want = rig_matrix(r, n, n_in, 1);
    const struct {
        rl_tensor packed, weight;
    } pair[] = {{l->as_f32, l->weight}, {l->as_bf16, l->rounded}};
    for (size_t k = 0; k < RL_COUNT(pair); k++) {
        const float *g, *x;
        double most = 4e-7 * sqrt((double)used) * (double)used; // of a sum of terms of size 1
        rl_op_copy(r->be, want, got);
        rl_op_matmul(r->be, want, d_out, rl_tensor_rows(pair[k].weight, 0, used), false, false,
                     add ? 1 : 0);
        rl_op_linear_back(r->be, got, d_out, pair[k].packed, add);
        g = rig_floats(r, got);
        x = rig_floats(r, want);
        most = most > 1e-4 ? 1e-4 : most;
        for (int64_t i = 0; i < n * n_in; i++) {
            if (!(fabs((double)g[i] - (double)x[i]) <= most * (1 + fabs((double)x[i])))) {
                fail_msg("linear_back: element %d is %a, want %a", (int)i, (double)g[i],
                         (double)x[i]);
            }
        }
        rig_check_guards(r, got);
    }
}

static void back_multiplies_by_what_was_read(void **state) {
    static const int64_t shape[][3] = {
        {1, 100, 70}, {70, 131, 300}, {300, 50, 900}, {3, 70001, 64}}; // the last in blocks
    (void)state;
    for (size_t s = 0; s < RL_COUNT(shape); s++) {
        rig r = rig_open(RL_KERNELS_AUTO, 2);
        layer l = make_layer(&r, shape[s][1], shape[s][2]);
        check_back(&r, &l, shape[s][0], shape[s][1], false);
        check_back(&r, &l, shape[s][0], shape[s][1], true);
        check_back(&r, &l, shape[s][0], shape[s][1] / 2 + 1, false);
        rig_close(&r);
    }
}

/* The same bits on 1 and 2 threads. */
static void back_does_not_know_threads(void **state) {
    float *one = NULL;
    rl_arena *arena = rl_arena_new(0);
    (void)state;
    for (int32_t n_threads = 1; n_threads <= 2; n_threads++) {
        rig r = rig_open(RL_KERNELS_AUTO, n_threads);
        layer l = make_layer(&r, 1700, 300);
        rl_tensor d_out = rig_matrix(&r, 400, 1700, 1), d_in = rig_matrix(&r, 400, 300, 1);
        rl_op_linear_back(r.be, d_in, d_out, l.as_bf16, true);
        if (one == NULL) {
            one = rl_arena_alloc(arena, 400 * 300, sizeof *one);
            memcpy(one, rig_floats(&r, d_in), 400 * 300 * sizeof *one);
        } else {
            assert_same("threads", rig_floats(&r, d_in), one, 400 * 300);
        }
        rig_close(&r);
    }
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(linear_reads_rounded_weights),
        cmocka_unit_test(rows_do_not_know_their_batch),
        cmocka_unit_test(back_multiplies_by_what_was_read),
        cmocka_unit_test(back_does_not_know_threads),
    };
    return cmocka_run_group_tests_name("bf16", tests, NULL, NULL);
}
