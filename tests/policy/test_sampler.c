/* Filters against a plain account of what transformers does, and the decoder that uses them. */
#include "rl/policy/sampler.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "rl/policy/decode.h"
#include "rl/policy/score.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

enum { N = 8 };

typedef struct filter_case {
    rl_filter filter;
    double temperature;
    double weight[N]; // probabilities at temperature 1, up to a factor
    const char *kept; // one character a token: x stays
} filter_case;

static const filter_case cases[] = {
    {{0}, 1, {1, 2, 3, 4, 5, 6, 7, 8}, "xxxxxxxx"},
    {{.top_k = 1}, 1, {1, 2, 3, 4, 5, 6, 7, 8}, ".......x"},
    {{.top_k = 3}, 1, {8, 2, 3, 4, 5, 6, 7, 1}, "x....xx."},
    {{.top_k = 8}, 1, {1, 2, 3, 4, 5, 6, 7, 8}, "xxxxxxxx"},
    {{.top_k = 100}, 1, {1, 2, 3, 4, 5, 6, 7, 8}, "xxxxxxxx"},
    // Ties with the k-th stay.
    {{.top_k = 2}, 1, {4, 1, 2, 2, 2, 1, 1, 1}, "x.xxx..."},
    {{.top_k = 1}, 1, {3, 3, 3, 3, 3, 3, 3, 3}, "xxxxxxxx"},
    // The token that reaches top_p stays.
    {{.top_p = 0.5}, 1, {40, 30, 20, 6, 1, 1, 1, 1}, "xx......"},
    {{.top_p = 0.399}, 1, {40, 30, 20, 6, 1, 1, 1, 1}, "x......."},
    {{.top_p = 0.401}, 1, {40, 30, 20, 6, 1, 1, 1, 1}, "xx......"},
    {{.top_p = 0.9601}, 1, {1, 30, 20, 6, 40, 1, 1, 1}, "xxxxx..."},
    {{.top_p = 1e-9}, 1, {1, 2, 3, 4, 5, 6, 7, 8}, ".......x"},
    {{.top_p = 1}, 1, {1, 2, 3, 4, 5, 6, 7, 8}, "xxxxxxxx"},
    // Lowest ids first among equals.
    {{.top_p = 0.26}, 1, {1, 1, 1, 1, 1, 1, 1, 1}, "xxx....."},
    // The share is of what top_k left: 40 of 70, not of 100.
    {{.top_k = 2, .top_p = 0.5}, 1, {40, 30, 20, 6, 1, 1, 1, 1}, "x......."},
    // A temperature of 0.5 squares the ratios: 16 : 9 : 4 : ...
    {{.top_p = 0.7}, 0.5, {4, 3, 2, 1, 1e-3, 1e-3, 1e-3, 1e-3}, "xx......"},
    {{.top_p = 0.69}, 1, {4, 3, 2, 1, 1e-3, 1e-3, 1e-3, 1e-3}, "xx......"},
    {{.top_p = 0.71}, 1, {4, 3, 2, 1, 1e-3, 1e-3, 1e-3, 1e-3}, "xxx....."},
    {{.min_p = 0.26}, 1, {8, 2, 3, 4, 1, 1, 1, 1}, "x.xx...."},
    {{.min_p = 0.24}, 1, {8, 2, 3, 4, 1, 1, 1, 1}, "xxxx...."},
    {{.min_p = 0.26}, 0.5, {8, 2, 3, 4.1, 1, 1, 1, 1}, "x..x...."},
    {{.min_p = 1}, 1, {8, 8, 7.9, 4, 1, 1, 1, 1}, "xx......"},
    {{.top_k = 3, .top_p = 0.8, .min_p = 0.6}, 1, {40, 30, 20, 6, 1, 1, 1, 1}, "xx......"},
};

static void test_table(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        float logit[N], given[N];
        int32_t heap[N];
        for (int t = 0; t < N; t++) {
            logit[t] = given[t] = (float)log(cases[i].weight[t]) + 3;
        }
        rl_filter_row(&cases[i].filter, cases[i].temperature, logit, N, heap);
        for (int t = 0; t < N; t++) {
            bool kept = cases[i].kept[t] == 'x';
            if (kept ? logit[t] != given[t] : logit[t] != -INFINITY) {
                fail_msg("case %zu, token %d: %g, but '%s'", i, t, (double)logit[t], cases[i].kept);
            }
        }
    }
}

static void test_odd_rows(void **state) {
    const rl_filter filter = {.top_k = 1, .top_p = 0.5, .min_p = 0.5};
    float none[3] = {-INFINITY, -INFINITY, -INFINITY}, nan_row[3] = {1, NAN, 2}, one[1] = {-4};
    float masked[3] = {-INFINITY, 1, 0};
    int32_t heap[3];
    (void)state;
    rl_filter_row(&filter, 1, none, 3, heap);
    assert_true(none[0] == -INFINITY);
    rl_filter_row(&filter, 1, nan_row, 3, heap);
    assert_true(nan_row[0] == 1 && isnan(nan_row[1]) && nan_row[2] == 2);
    rl_filter_row(&filter, 1, one, 1, heap);
    assert_true(one[0] == -4);
    rl_filter_row(&filter, 1, masked, 3, heap);
    assert_true(masked[1] == 1 && masked[2] == -INFINITY);
    assert_false(rl_filter_is_on(&(rl_filter){.top_p = 1}));
    assert_true(rl_filter_is_on(&(rl_filter){.top_p = 0.999}));
}

/* transformers' own account of top-k and top-p: sort ascending, remove where the running sum of
 * probabilities is at most 1 - top_p. */
typedef struct ranked {
    float logit;
    int32_t id;
} ranked;

static int ascending(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    return x->logit != y->logit ? (x->logit > y->logit) - (x->logit < y->logit)
                                : (x->id < y->id) - (x->id > y->id);
}

static void reference(const rl_filter *filter, double temperature, float *logit, int32_t n) {
    ranked *order = rl_alloc((size_t)n, sizeof *order);
    double total = 0, below = 0, largest;
    for (int32_t i = 0; i < n; i++) {
        order[i] = (ranked){logit[i], i};
    }
    qsort(order, (size_t)n, sizeof *order, ascending);
    largest = (double)order[n - 1].logit;
    for (int32_t i = 0; i < n; i++) {
        if (filter->top_k > 0 && filter->top_k < n &&
            order[i].logit < order[n - filter->top_k].logit) {
            logit[order[i].id] = -INFINITY;
        } else {
            total += exp(((double)order[i].logit - largest) / temperature);
        }
    }
    for (int32_t i = 0; i < n; i++) {
        double p = exp(((double)order[i].logit - largest) / temperature);
        float *at = &logit[order[i].id];
        if (*at == -INFINITY) {
            continue;
        }
        below += p / total;
        if ((filter->top_p > 0 && filter->top_p < 1 && i < n - 1 && below <= 1 - filter->top_p) ||
            p < filter->min_p) {
            *at = -INFINITY;
        }
    }
    rl_free(order);
}

static void test_reference(void **state) {
    enum { ROUNDS = 400, MOST = 600 };
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    float logit[MOST], expected[MOST];
    int32_t heap[MOST];
    (void)state;
    for (uint32_t round = 0; round < ROUNDS; round++) {
        rl_filter filter = {0};
        double temperature, spread;
        int32_t n;
        rng.step = round;
        n = 2 + (int32_t)rl_rng_below(&rng, 0, MOST - 2);
        temperature = 0.3 + rl_rng_uniform(&rng, 1) * 2;
        spread = rl_rng_uniform(&rng, 2) * 4;
        filter.top_k = round % 2 ? 1 + (int32_t)rl_rng_below(&rng, 3, (uint64_t)n) : 0;
        filter.top_p = round % 3 ? 0.05 + 0.94 * rl_rng_uniform(&rng, 4) : 0;
        filter.min_p = round % 5 == 4 ? rl_rng_uniform(&rng, 5) * 0.2 : 0;
        for (int32_t i = 0; i < n; i++) {
            logit[i] = expected[i] = (float)(rl_rng_normal(&rng, 10 + (uint64_t)i) * spread);
        }
        rl_filter_row(&filter, temperature, logit, n, heap);
        reference(&filter, temperature, expected, n);
        for (int32_t i = 0; i < n; i++) {
            if (logit[i] != expected[i]) {
                fail_msg("round %u, n %d, k %d, p %g, min %g: token %d is %g, not %g", round, n,
                         filter.top_k, filter.top_p, filter.min_p, i, (double)logit[i],
                         (double)expected[i]);
            }
        }
    }
}

/* The tiny llama, sampled. */
enum { DRAWN = 24, SAMPLES = 5 };
typedef struct fixture {
    rl_test_model model;
    rl_decoder *decoder;
    rl_arena *arena;
    rl_rng rng[SAMPLES];
    int32_t token[4];
    rl_completion out[SAMPLES];
} fixture;

static void open_fixture(fixture *f) {
    rl_err err;
    *f = (fixture){.token = {7, 100, 20, 3}};
    rl_test_model_open(&f->model, rl_golden("models/llama"), RL_KERNELS_AUTO, 2, false);
    assert_ok(rl_decoder_new(f->model.policy, 3, &f->decoder, &err));
    f->arena = rl_arena_new(0);
    for (int i = 0; i < SAMPLES; i++) {
        f->rng[i] = (rl_rng){.seed = 5, .sample = (uint32_t)i, .purpose = RL_RNG_SAMPLE};
    }
}

static void close_fixture(fixture *f) {
    rl_arena_free(f->arena);
    rl_decoder_free(f->decoder);
    rl_test_model_close(&f->model);
}

static void run(fixture *f, const rl_decode_opts *opts) {
    rl_prompt prompt = {
        .parent = -1, .token = f->token, .n_tokens = 4, .n_samples = SAMPLES, .rng = f->rng};
    rl_err err;
    rl_decoder_reset(f->decoder);
    assert_ok(rl_decoder_run(f->decoder, &prompt, 1, opts, f->arena, f->out, &err));
}

/* Each reported log-prob and entropy has the bits of scoring at that temperature. */
static void check_scores(fixture *f, double temperature) {
    for (int i = 0; i < SAMPLES; i++) {
        rl_segment segment[2] = {{.parent = -1, .n_tokens = 4, .token = f->token},
                                 {.parent = 0,
                                  .n_tokens = f->out[i].n_tokens,
                                  .token = f->out[i].token,
                                  .wanted = true}};
        double logp[DRAWN], entropy[DRAWN];
        size_t bytes = (size_t)f->out[i].n_tokens * sizeof(double);
        rl_err err;
        assert_ok(rl_policy_score(f->model.policy, segment, 2, temperature, logp, entropy, &err));
        assert_memory_equal(logp, f->out[i].logp, bytes);
        assert_memory_equal(entropy, f->out[i].entropy, bytes);
    }
}

/* A filter that keeps everything draws what no filter draws; any filter reports unfiltered
 * log-probs; top_k of 1 is greedy; and no filter changes greedy decoding. */
static void test_decoder(void **state) {
    rl_decode_opts opts = {.max_new_tokens = DRAWN, .temperature = 0.9};
    rl_completion plain[SAMPLES];
    fixture f;
    (void)state;
    open_fixture(&f);
    run(&f, &opts);
    memcpy(plain, f.out, sizeof plain);
    opts.filter = (rl_filter){.top_k = 300, .min_p = 1e-12};
    run(&f, &opts);
    for (int i = 0; i < SAMPLES; i++) {
        assert_memory_equal(f.out[i].token, plain[i].token, DRAWN * sizeof(int32_t));
        assert_memory_equal(f.out[i].logp, plain[i].logp, DRAWN * sizeof(double));
    }
    opts.filter = (rl_filter){.top_k = 7, .top_p = 0.6, .min_p = 0.01};
    run(&f, &opts);
    check_scores(&f, 0.9);
    opts.filter = (rl_filter){.top_k = 1};
    run(&f, &opts);
    memcpy(plain, f.out, sizeof plain);
    check_scores(&f, 0.9);
    opts.temperature = 0;
    opts.filter = (rl_filter){.top_p = 0.01};
    run(&f, &opts);
    assert_memory_equal(f.out[0].token, plain[4].token, DRAWN * sizeof(int32_t));
    check_scores(&f, 1);
    close_fixture(&f);
}

/* What comes out under a filter is drawn in proportion to what stays. */
static void test_proportions(void **state) {
    enum { ROUNDS = 400 };
    rl_decode_opts opts = {.max_new_tokens = 1, .temperature = 1, .filter = {.top_k = 3}};
    int32_t seen[3] = {-1, -1, -1}, count[3] = {0};
    double p[3] = {0}, total = 0;
    fixture f;
    (void)state;
    open_fixture(&f);
    for (uint32_t round = 0; round < ROUNDS; round++) {
        for (int i = 0; i < SAMPLES; i++) {
            f.rng[i].step = round;
        }
        run(&f, &opts);
        for (int i = 0; i < SAMPLES; i++) {
            int at = 0;
            while (at < 3 && seen[at] != f.out[i].token[0] && seen[at] >= 0) {
                at++;
            }
            assert_true(at < 3); // never a fourth token
            seen[at] = f.out[i].token[0];
            p[at] = exp(f.out[i].logp[0]);
            count[at]++;
        }
        rl_arena_reset(f.arena);
    }
    total = p[0] + p[1] + p[2];
    for (int at = 0; at < 3; at++) {
        double n = ROUNDS * SAMPLES, share = p[at] / total;
        double sigma = sqrt(n * share * (1 - share));
        assert_true(fabs(count[at] - n * share) < 5 * sigma);
    }
    close_fixture(&f);
}

typedef struct watcher {
    int32_t token[SAMPLES][DRAWN], n[SAMPLES];
} watcher;

static bool watch(void *self, int32_t completion, int32_t token) {
    watcher *w = self;
    w->token[completion][w->n[completion]++] = token;
    return completion == 2 && w->n[completion] == 3;
}

static void test_watch(void **state) {
    watcher w = {.n = {0}};
    rl_decode_opts opts = {.max_new_tokens = 9, .temperature = 1, .watch = watch, .watch_self = &w};
    fixture f;
    (void)state;
    open_fixture(&f);
    run(&f, &opts);
    for (int i = 0; i < SAMPLES; i++) {
        int32_t n = i == 2 ? 3 : 9;
        assert_int_equal(w.n[i], n);
        assert_int_equal(f.out[i].n_tokens, n);
        assert_int_equal(f.out[i].truncated, i != 2);
        assert_memory_equal(w.token[i], f.out[i].token, (size_t)n * sizeof(int32_t));
    }
    close_fixture(&f);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),       cmocka_unit_test(test_odd_rows),
        cmocka_unit_test(test_reference),   cmocka_unit_test(test_decoder),
        cmocka_unit_test(test_proportions), cmocka_unit_test(test_watch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
