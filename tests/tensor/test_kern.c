/*
 * Every row of the wider kernel sets against kern_ref, bit for bit: lengths of all residues, odd
 * addresses, and guard bytes around what is written.
 */
#include "tests/support/support.h"

#include <math.h>

#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "rl/tensor/cpu.h"
#include "tensor/bf16.h"
#include "tensor/cpu/kern.h"

enum { ARRAY = 1 << 16, GUARD = 64, N_ARRAYS = 4 };

/* Inputs and the output of one call; offset is in floats, so addresses need not be aligned. */
typedef struct bench_top {
    float *in[N_ARRAYS];
    float *out; // begins GUARD floats after the block's start, plus offset
    float *block;
} bench_top;

typedef void run_row(const rl_kern *kern, const bench_top *top, int64_t n);

static void fill_random(float *x, int64_t n, rl_rng *rng, float size) {
    for (int64_t i = 0; i < n; i++) {
        x[i] = (float)rl_rng_normal(rng, (uint64_t)i) * size;
    }
    rng->sample++;
}

/* n is the number of rows; the rest varies with it. */
static rl_kern_panel panel_plain(const bench_top *top, int64_t n) {
    return (rl_kern_panel){
        .in = top->in[0],
        .in_stride = 70,
        .weight = top->in[1],
        .n_k = 3 + n * 7 % 61,
        .out = top->out,
        .out_stride = 53,
        .n_rows = (int32_t)(n % 27 + 1),
        .n_out = (int32_t)(n % 48 + 1),
        .n_ahead = ARRAY / 2,
    };
}

static rl_kern_panel panel_full(const bench_top *top, int64_t n) {
    return (rl_kern_panel){
        .in = top->in[0],
        .in_stride = 130,
        .weight = top->in[1],
        .n_k = 128,
        .out = top->out,
        .out_stride = 48,
        .n_rows = (int32_t)(n % 27 + 1),
        .n_out = 48,
    };
}

/* Continues from one place and adds into another. */
static rl_kern_panel panel_on(const bench_top *top, int64_t n) {
    return (rl_kern_panel){
        .in = top->in[0],
        .in_stride = 70,
        .weight = top->in[1],
        .n_k = 1 + n % 64,
        .from = top->in[2],
        .from_stride = 51,
        .out = top->out,
        .out_stride = 49,
        .add = true,
        .n_rows = (int32_t)(n % 23 + 1),
        .n_out = (int32_t)(48 - n % 48),
    };
}

static void run_panel_plain(const rl_kern *kern, const bench_top *top, int64_t n) {
    rl_kern_panel p = panel_plain(top, n);
    kern->panel(&p);
}

static void run_panel_full(const rl_kern *kern, const bench_top *top, int64_t n) {
    rl_kern_panel p = panel_full(top, n);
    kern->panel(&p);
}

static void run_panel_on(const rl_kern *kern, const bench_top *top, int64_t n) {
    rl_kern_panel p = panel_on(top, n);
    kern->panel(&p);
}

/* The same over halves, at an odd address where n is odd. */
static void run_in_halves(const rl_kern *kern, rl_kern_panel p, int64_t n) {
    static uint16_t half[128 * RL_PANEL + 1];
    const float *weight = p.weight;
    uint16_t *to = half + n % 2;
    assert_true(p.n_k <= 128);
    for (int64_t i = 0; i < p.n_k * RL_PANEL; i++) {
        to[i] = rl_bf16_of(weight[i]);
    }
    p.weight = to;
    kern->panel_bf16(&p);
}

static void run_panel_bf16_plain(const rl_kern *kern, const bench_top *top, int64_t n) {
    run_in_halves(kern, panel_plain(top, n), n);
}

static void run_panel_bf16_full(const rl_kern *kern, const bench_top *top, int64_t n) {
    run_in_halves(kern, panel_full(top, n), n);
}

static void run_panel_bf16_on(const rl_kern *kern, const bench_top *top, int64_t n) {
    run_in_halves(kern, panel_on(top, n), n);
}

static void run_widen(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->widen(top->out, (const uint16_t *)(const void *)top->in[3] + n % 2, n);
}

/* Ends of the range, and NaN of either sign whose rounding would carry. */
static void run_narrow(const rl_kern *kern, const bench_top *top, int64_t n) {
    static const uint32_t nans[] = {0x7f800001u, 0xff800001u, 0x7fffffffu, 0xffffffffu};
    uint16_t *out = (uint16_t *)(void *)top->out;
    kern->narrow(out + n % 2, top->in[3], n);
    kern->narrow(out + n + 64, (const float *)(const void *)nans, 4);
    kern->narrow(out + n + 128, top->in[0], n);
}

static void run_score(const rl_kern *kern, const bench_top *top, int64_t n) {
    int32_t dim = (int32_t)(n % 80 + 1), n_vec = (int32_t)(n % 26 + 1);
    kern->attn_score(top->out, 61, top->in[0], dim + 1, n_vec, top->in[1], 5000,
                     (int32_t)(n % 3 + 1) * 16, dim);
}

static void run_value(const rl_kern *kern, const bench_top *top, int64_t n) {
    int32_t dim = (int32_t)(n % 140 + 1), n_vec = (int32_t)(n % 26 + 1);
    kern->attn_value(top->out, dim + 3, top->in[0], 61, n_vec, top->in[1], 5000,
                     (int32_t)(n % 48 + 1), dim);
}

static void run_softmax(const rl_kern *kern, const bench_top *top, int64_t n) {
    memcpy(top->out, top->in[0], (size_t)n * sizeof(float));
    top->out[n] = kern->softmax(top->out, n, 0.125f);
}

static void run_sum_squares(const rl_kern *kern, const bench_top *top, int64_t n) {
    top->out[0] = kern->sum_squares(top->in[0], n);
}

static void run_norm(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->norm(top->out, top->in[0], top->in[1], 0.7f, n);
}

static void run_rope(const rl_kern *kern, const bench_top *top, int64_t n) {
    int32_t dim = 2 * (int32_t)(n % 40 + 1);
    memcpy(top->out, top->in[0], (size_t)(3 * dim) * sizeof(float));
    kern->rope(top->out, top->in[1], 3, dim, n % 2 == 0);
}

static void run_swiglu(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->swiglu(top->out, top->in[3], top->in[1], n);
}

static void run_geglu(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->geglu(top->out, top->in[n % 2 == 0 ? 3 : 2], top->in[1], n);
}

static void run_scale(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->scale(top->out, n, 0.3f);
}

static void run_add(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->add(top->out, top->in[0], n);
}

static void run_divide(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->divide(top->out, top->in[0], 3.7f, n);
}

static void run_max(const rl_kern *kern, const bench_top *top, int64_t n) {
    top->out[0] = kern->max(top->in[0], n);
}

static void run_exp(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->exp_over(top->out, top->in[3], 1.0f, 0.0f, n);
}

static void run_exp_over(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->exp_over(top->out, top->in[0], 0.7f, 1.5f, n);
}

static void run_exp_sums(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->exp_sums(top->out, top->in[0], n % 2 == 0 ? 1.0f : 1.3f, 2.0f,
                   n < RL_SUM_BLOCK ? n : RL_SUM_BLOCK);
}

static void run_exp_sums_masked(const rl_kern *kern, const bench_top *top, int64_t n) {
    kern->exp_sums(top->out, top->in[3], 1.0f, 2.0f, n < RL_SUM_BLOCK ? n : RL_SUM_BLOCK);
}

static const struct {
    const char *name;
    run_row *run;
} rows[] = {
    {"panel", run_panel_plain},
    {"panel, full", run_panel_full},
    {"panel, continued and added", run_panel_on},
    {"panel_bf16", run_panel_bf16_plain},
    {"panel_bf16, full", run_panel_bf16_full},
    {"panel_bf16, continued and added", run_panel_bf16_on},
    {"widen", run_widen},
    {"narrow", run_narrow},
    {"attn_score", run_score},
    {"attn_value", run_value},
    {"softmax", run_softmax},
    {"sum_squares", run_sum_squares},
    {"norm", run_norm},
    {"rope", run_rope},
    {"swiglu", run_swiglu},
    {"geglu", run_geglu},
    {"scale", run_scale},
    {"add", run_add},
    {"divide", run_divide},
    {"max", run_max},
    {"exp_over, whole range", run_exp},
    {"exp_over", run_exp_over},
    {"exp_sums", run_exp_sums},
    {"exp_sums, weights of 0", run_exp_sums_masked},
};

static bench_top new_top(rl_rng rng) {
    static const float sizes[N_ARRAYS] = {1.0f, 0.5f, 2.0f, 60.0f};
    static const float edges[] = {0.0f,        -0.0f,       -87.3365479f, -87.336555f, -87.3365f,
                                  88.7228394f, 88.7228470f, 88.72283f,    1e30f,       -1e30f,
                                  INFINITY,    -INFINITY,   1e-40f,       -1e-40f};
    bench_top top;
    for (int32_t i = 0; i < N_ARRAYS; i++) {
        top.in[i] = rl_alloc(ARRAY, sizeof(float));
        fill_random(top.in[i], ARRAY, &rng, sizes[i]);
    }
    for (size_t i = 0; i < ARRAY; i += 5) { // the last array also holds the ends of exp
        top.in[3][i] = edges[i / 5 % RL_COUNT(edges)];
    }
    top.block = rl_alloc(ARRAY, sizeof(float));
    return top;
}

static void free_top(bench_top *top) {
    for (int32_t i = 0; i < N_ARRAYS; i++) {
        rl_free(top->in[i]);
    }
    rl_free(top->block);
}

/* Runs into a block of a known pattern. */
static void run_on(const rl_kern *kern, const bench_top *base, run_row *run, int64_t n,
                   int64_t offset, float *block) {
    bench_top top = *base;
    for (int64_t i = 0; i < ARRAY; i++) {
        block[i] = (float)(i % 1000);
    }
    for (int32_t i = 0; i < N_ARRAYS; i++) {
        top.in[i] += offset;
    }
    top.out = block + GUARD + offset;
    run(kern, &top, n);
}

static void check_set(rl_kernels kernels, void (*fill)(rl_kern *kern)) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    bench_top top = new_top(rng);
    float *want = rl_alloc(ARRAY, sizeof(float)), *got = rl_alloc(ARRAY, sizeof(float));
    rl_kern ref, wide;
    rl_kern_ref(&ref);
    rl_kern_ref(&wide);
    fill(&wide);
    assert_ptr_not_equal(wide.panel, ref.panel); // the set is there at all
    assert_ptr_not_equal(wide.panel_bf16, ref.panel_bf16);
    assert_ptr_not_equal(wide.widen, ref.widen);
    assert_ptr_not_equal(wide.narrow, ref.narrow);
    for (size_t r = 0; r < RL_COUNT(rows); r++) {
        for (int64_t step = 1; step <= 90; step++) {
            int64_t n = step <= 70 ? step : step * 13 + 5, offset = step % 5;
            run_on(&ref, &top, rows[r].run, n, offset, want);
            run_on(&wide, &top, rows[r].run, n, offset, got);
            if (memcmp(want, got, ARRAY * sizeof(float)) != 0) {
                int64_t i = 0;
                while (memcmp(&want[i], &got[i], sizeof(float)) == 0) {
                    i++;
                }
                fail_msg("%s: row '%s', n %d: out[%d] is %a, ref has %a", rl_kernels_names[kernels],
                         rows[r].name, (int)n, (int)(i - GUARD - offset), (double)got[i],
                         (double)want[i]);
            }
            for (int64_t i = 0; i < GUARD + offset; i++) { // ref itself keeps inside
                assert_true(want[i] == (float)i);
            }
            for (int64_t i = ARRAY - 4096; i < ARRAY; i++) {
                assert_true(want[i] == (float)(i % 1000));
            }
        }
    }
    rl_free(want);
    rl_free(got);
    free_top(&top);
}

static void test_avx2(void **state) {
    (void)state;
    if (!rl_cpu_has(RL_KERNELS_AVX2)) {
        print_message("skipped: this processor has no AVX2\n");
        skip();
    }
    check_set(RL_KERNELS_AVX2, rl_kern_avx2);
}

static void fill_avx512(rl_kern *kern) {
    rl_kern_avx2(kern);
    rl_kern_avx512(kern);
}

static void test_avx512(void **state) {
    (void)state;
    if (!rl_cpu_has(RL_KERNELS_AVX512)) {
        print_message("skipped: this processor has no AVX-512\n");
        skip();
    }
    check_set(RL_KERNELS_AVX512, fill_avx512);
}

/* The definition itself, against the C library in double. */
static void test_exp(void **state) {
    rl_kern ref;
    (void)state;
    rl_kern_ref(&ref);
    for (float x = -87.0f; x < 88.5f; x += 0.0037f) {
        float got;
        double want = exp((double)x);
        ref.exp_over(&got, &x, 1.0f, 0.0f, 1);
        assert_true(fabs((double)got - want) <= 1.2e-7 * want); // two units in the last place
    }
}

/* Every half comes back as itself; between two neighbours the nearer wins, and of two as near the
 * even one. */
static void test_rounding_to_halves(void **state) {
    (void)state;
    for (uint32_t h = 0; h < 0x10000u; h++) {
        uint32_t nan = (h & 0x7fffu) > 0x7f80u, bits[3], want[3];
        assert_int_equal(rl_bf16_of(rl_f32_of_bf16((uint16_t)h)), nan ? h | 0x40u : h);
        if ((h & 0x7fffu) >= 0x7f80u) {
            continue;
        }
        for (uint32_t i = 0; i < 3; i++) { // just below the middle, in it, just above
            float x;
            bits[i] = (h << 16) + 0x7fffu + i;
            want[i] = i == 0 ? h : i == 2 ? h + 1 : h + (h & 1);
            memcpy(&x, &bits[i], sizeof x);
            assert_int_equal(rl_bf16_of(x), want[i]);
        }
    }
}

/* Element i belongs to lane i mod 16 and lanes fold 8, 4, 2, 1: a sum that rounds shows the order.
 */
static void test_order_of_sums(void **state) {
    rl_kern ref;
    float x[33] = {0}, lanes[16] = {0}, want;
    (void)state;
    rl_kern_ref(&ref);
    for (int i = 0; i < 33; i++) {
        x[i] = sqrtf((float)(i * i * i % 101) * 0.37f + 0.011f);
        lanes[i % 16] = fmaf(x[i], x[i], lanes[i % 16]);
    }
    for (int l = 0; l < 8; l++) {
        lanes[l] += lanes[l + 8];
    }
    want = ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) +
           ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
    assert_true(ref.sum_squares(x, 33) == want);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp),           cmocka_unit_test(test_rounding_to_halves),
        cmocka_unit_test(test_order_of_sums), cmocka_unit_test(test_avx2),
        cmocka_unit_test(test_avx512),
    };
    return cmocka_run_group_tests_name("kern", tests, NULL, NULL);
}
