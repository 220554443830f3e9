/*
 * The weighted loss and its gradient: against one conversation at a time through score.h, against
 * finite differences, and over other splits into passes.
 */
#include "train/weighted.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

enum { N_ITEMS = 7, MOST_TOKENS = 60, MOST_STRETCHES = 6 };

/* Random conversations of a few stretches each. */
typedef struct rig {
    rl_test_model model;
    rl_arena *arena;
    int32_t token[N_ITEMS][MOST_TOKENS];
    rl_stretch stretch[N_ITEMS][MOST_STRETCHES];
    rl_conversation item[N_ITEMS];
    const rl_conversation *list[N_ITEMS];
} rig;

static int setup(void **state) {
    static const float weight[] = {0, 1, 0.25f, 8, 0.5f, 0};
    rig *r = rl_alloc(1, sizeof *r);
    rl_test_model_open(&r->model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, 2, true);
    r->arena = rl_arena_new(0);
    for (int i = 0; i < N_ITEMS; i++) {
        rl_rng rng = {.seed = 3, .problem = (uint32_t)i, .purpose = RL_RNG_TEST};
        int32_t n = 0, n_stretches = 2 + (int32_t)rl_rng_below(&rng, 0, MOST_STRETCHES - 1);
        for (int32_t k = 0; k < n_stretches; k++) {
            int32_t more = 1 + (int32_t)rl_rng_below(&rng, (uint64_t)k + 1, 9);
            for (int32_t t = 0; t < more; t++, n++) {
                r->token[i][n] = (int32_t)rl_rng_below(&rng, 100 + (uint64_t)n, 300);
            }
            r->stretch[i][k] =
                (rl_stretch){.end = n, .weight = weight[k], .said = k % 2 == 1 || k == 4};
        }
        r->item[i] = (rl_conversation){.token = r->token[i],
                                       .n_tokens = n,
                                       .stretch = r->stretch[i],
                                       .n_stretches = n_stretches,
                                       .line = i + 1};
        r->list[i] = &r->item[i];
    }
    *state = r;
    return 0;
}

static int teardown(void **state) {
    rig *r = *state;
    rl_test_model_close(&r->model);
    rl_arena_free(r->arena);
    rl_free(r);
    return 0;
}

static float weight_of(const rl_conversation *item, int32_t t, bool *said) {
    int32_t k = 0;
    while (t >= item->stretch[k].end) {
        k++;
    }
    *said = item->stretch[k].said;
    return item->stretch[k].weight;
}

static rl_segment whole(const rl_conversation *item) {
    return (rl_segment){
        .parent = -1, .token = item->token, .n_tokens = item->n_tokens, .wanted = true};
}

static void assert_near(const char *what, double got, double want, double tolerance) {
    if (!(fabs(got - want) <= tolerance * (1 + fabs(want)))) {
        fail_msg("%s is %.15g, not %.15g", what, got, want);
    }
}

// Sums by one conversation at a time and one token at a time; the gradient too where it is wanted.
static weighted_sums by_hand(rig *r, bool with_gradient, double scale) {
    weighted_sums out = {0};
    rl_err err;
    for (int i = 0; i < N_ITEMS; i++) {
        double logp[MOST_TOKENS], entropy[MOST_TOKENS], d[MOST_TOKENS];
        rl_segment segment = whole(&r->item[i]);
        bool said;
        for (int32_t t = 1; t < segment.n_tokens; t++) {
            d[t - 1] = -scale * (double)weight_of(&r->item[i], t, &said);
        }
        if (with_gradient) {
            assert_ok(rl_policy_backward(r->model.policy, &segment, 1, 1.0, d, NULL, logp, entropy,
                                         &err));
        } else {
            assert_ok(rl_policy_score(r->model.policy, &segment, 1, 1.0, logp, entropy, &err));
        }
        for (int32_t t = 1; t < segment.n_tokens; t++) {
            float w = weight_of(&r->item[i], t, &said);
            weighted_mean *part = said ? &out.said : &out.prompt;
            if (w == 0) {
                continue;
            }
            out.loss -= (double)w * logp[t - 1];
            out.weight += (double)w;
            part->sum -= logp[t - 1];
            part->n++;
            out.entropy.sum += entropy[t - 1];
            out.entropy.n++;
            if (w > 1) {
                out.heavy.sum -= logp[t - 1];
                out.heavy.n++;
            }
            if (said && w >= 1) {
                out.said_full.sum -= logp[t - 1];
                out.said_full.n++;
            }
        }
        out.n_tokens += segment.n_tokens;
    }
    return out;
}

static void assert_same_mean(const char *what, const weighted_mean *got,
                             const weighted_mean *want) {
    assert_int_equal(got->n, want->n);
    assert_near(what, got->sum, want->sum, 1e-12);
}

static void assert_same_sums(const weighted_sums *got, const weighted_sums *want) {
    assert_near("loss", got->loss, want->loss, 1e-12);
    assert_near("weight", got->weight, want->weight, 1e-12);
    assert_same_mean("said", &got->said, &want->said);
    assert_same_mean("said_full", &got->said_full, &want->said_full);
    assert_same_mean("prompt", &got->prompt, &want->prompt);
    assert_same_mean("heavy", &got->heavy, &want->heavy);
    assert_same_mean("entropy", &got->entropy, &want->entropy);
    assert_int_equal(got->n_tokens, want->n_tokens);
    assert_null(got->broken);
}

static float *gradients(rig *r) {
    const rl_params *params = rl_policy_params(r->model.policy);
    float *out = rl_arena_alloc(r->arena, (size_t)params->n_values, sizeof *out);
    int64_t at = 0;
    for (int32_t p = 0; p < params->n_items; p++) {
        rl_tensor_get(r->model.be, params->item[p].grad, out + at);
        at += rl_tensor_count(params->item[p].grad);
    }
    return out;
}

static float *run(rig *r, double scale, int32_t micro_tokens, weighted_sums *out) {
    rl_err err;
    *out = (weighted_sums){0};
    rl_policy_zero_grad(r->model.policy);
    assert_ok(
        weighted_run(r->model.policy, r->list, N_ITEMS, scale, micro_tokens, r->arena, out, &err));
    return gradients(r);
}

static void assert_same_gradient(rig *r, const float *got, const float *want) {
    int64_t n = rl_policy_params(r->model.policy)->n_values;
    double diff = 0, size = 0;
    for (int64_t i = 0; i < n; i++) {
        diff += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        size += (double)want[i] * (double)want[i];
    }
    assert_true(size > 0);
    if (!(sqrt(diff / size) <= 1e-6)) {
        fail_msg("gradients differ by %g of their size", sqrt(diff / size));
    }
}

static void loss_and_gradient_by_hand(void **state) {
    rig *r = *state;
    double total = weighted_total(r->list, N_ITEMS);
    weighted_sums want, got;
    float *want_grad, *got_grad;
    rl_policy_zero_grad(r->model.policy);
    want = by_hand(r, true, 1 / total);
    want_grad = gradients(r);
    assert_near("total weight", total, want.weight, 1e-12);
    assert_true(want.prompt.n > 0 && want.heavy.n > 0 && want.said_full.n < want.said.n);
    got_grad = run(r, 1 / total, 4096, &got);
    assert_same_sums(&got, &want);
    assert_same_gradient(r, got_grad, want_grad);
    assert_near("mean", weighted_mean_value(&got.said), want.said.sum / (double)want.said.n, 1e-12);
    assert_true(isnan(weighted_mean_value(&(weighted_mean){0})));
}

// From one conversation a pass to all in one; a budget that none fits still passes each whole.
static void splits_change_nothing(void **state) {
    static const int32_t micro[] = {1, 20, 40, 64, 100};
    rig *r = *state;
    double scale = 1 / weighted_total(r->list, N_ITEMS);
    weighted_sums want, got;
    float *all = run(r, scale, 4096, &want);
    for (size_t i = 0; i < RL_COUNT(micro); i++) {
        float *parts = run(r, scale, micro[i], &got);
        assert_same_sums(&got, &want);
        assert_same_gradient(r, parts, all);
    }
}

// Eight conversations of one length in 1, 2, 4 and 8 passes: the sum of weights is the step's.
static void passes_share_one_normaliser(void **state) {
    enum { N = 8, LEN = 24 };
    static int32_t token[N][LEN];
    static rl_stretch stretch[N][2];
    rig *r = *state;
    rl_conversation item[N];
    const rl_conversation *list[N];
    float *one = NULL;
    for (int i = 0; i < N; i++) {
        rl_rng rng = {.seed = 4, .problem = (uint32_t)i, .purpose = RL_RNG_TEST};
        for (int t = 0; t < LEN; t++) {
            token[i][t] = (int32_t)rl_rng_below(&rng, (uint64_t)t, 300);
        }
        // Passes weigh differently, so that a mean of means would be another gradient.
        stretch[i][0] = (rl_stretch){.end = 4 + 2 * i, .weight = 0};
        stretch[i][1] = (rl_stretch){.end = LEN, .weight = (float)(1 + i), .said = true};
        item[i] = (rl_conversation){
            .token = token[i], .n_tokens = LEN, .stretch = stretch[i], .n_stretches = 2};
        list[i] = &item[i];
    }
    for (int32_t n_passes = 1; n_passes <= N; n_passes *= 2) {
        weighted_sums sums = {0};
        float *grad;
        rl_err err;
        rl_policy_zero_grad(r->model.policy);
        assert_ok(weighted_run(r->model.policy, list, N, 1 / weighted_total(list, N),
                               N / n_passes * LEN, r->arena, &sums, &err));
        assert_int_equal(sums.n_passes, n_passes);
        grad = gradients(r);
        one = one == NULL ? grad : one;
        assert_same_gradient(r, grad, one);
    }
}

static void scoring_leaves_the_gradient(void **state) {
    rig *r = *state;
    double scale = 1 / weighted_total(r->list, N_ITEMS);
    int64_t n = rl_policy_params(r->model.policy)->n_values;
    weighted_sums trained, scored = {0};
    float *before = run(r, scale, 64, &trained), *after;
    rl_err err;
    assert_ok(weighted_run(r->model.policy, r->list, N_ITEMS, 0, 64, r->arena, &scored, &err));
    after = gradients(r);
    assert_memory_equal(before, after, (size_t)n * sizeof *before);
    assert_memory_equal(&scored.loss, &trained.loss, sizeof scored.loss);
    assert_memory_equal(&scored.entropy, &trained.entropy, sizeof scored.entropy);
}

static double loss_at(rig *r, float *value, const rl_param *param, int64_t i, float x) {
    weighted_sums sums = {0};
    float kept = value[i];
    rl_err err;
    value[i] = x;
    rl_tensor_put(r->model.be, param->value, value);
    rl_policy_repack(r->model.policy);
    assert_ok(weighted_run(r->model.policy, r->list, N_ITEMS, 0, 4096, r->arena, &sums, &err));
    value[i] = kept;
    rl_tensor_put(r->model.be, param->value, value);
    rl_policy_repack(r->model.policy);
    return sums.loss / sums.weight;
}

// Along the entry of the largest gradient of every parameter.
static void finite_differences(void **state) {
    rig *r = *state;
    const rl_params *params = rl_policy_params(r->model.policy);
    weighted_sums sums;
    float *grad = run(r, 1 / weighted_total(r->list, N_ITEMS), 4096, &sums);
    int64_t begin = 0;
    for (int32_t p = 0; p < params->n_items; p++) {
        const rl_param *param = &params->item[p];
        int64_t n = rl_tensor_count(param->value), at = 0;
        float *value = rl_arena_alloc(r->arena, (size_t)n, sizeof *value);
        for (int64_t i = 0; i < n; i++) {
            at = fabsf(grad[begin + i]) > fabsf(grad[begin + at]) ? i : at;
        }
        rl_tensor_get(r->model.be, param->value, value);
        float high = value[at] + 1e-2f, low = value[at] - 1e-2f;
        double slope = (loss_at(r, value, param, at, high) - loss_at(r, value, param, at, low)) /
                       ((double)high - (double)low);
        assert_near(param->name, (double)grad[begin + at], slope, 2e-3 * fabs(slope) + 2e-4);
        begin += n;
    }
}

// A weight that is not a number shows, with the first conversation that met it.
static void a_broken_loss_is_named(void **state) {
    rig *r = *state;
    rl_param *norm = rl_params_find(rl_policy_params(r->model.policy), "model.norm.weight");
    weighted_sums sums = {0};
    float value[48], broken[48];
    rl_err err;
    rl_tensor_get(r->model.be, norm->value, value);
    memcpy(broken, value, sizeof broken);
    broken[7] = NAN;
    rl_tensor_put(r->model.be, norm->value, broken);
    rl_policy_repack(r->model.policy);
    assert_ok(
        weighted_run(r->model.policy, r->list + 2, N_ITEMS - 2, 0, 64, r->arena, &sums, &err));
    assert_true(isnan(sums.loss));
    assert_ptr_equal(sums.broken, r->list[2]);
    rl_tensor_put(r->model.be, norm->value, value);
    rl_policy_repack(r->model.policy);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(loss_and_gradient_by_hand),
        cmocka_unit_test(splits_change_nothing),
        cmocka_unit_test(passes_share_one_normaliser),
        cmocka_unit_test(scoring_leaves_the_gradient),
        cmocka_unit_test(finite_differences),
        cmocka_unit_test(a_broken_loss_is_named),
    };
    return cmocka_run_group_tests_name("weighted", tests, setup, teardown);
}
