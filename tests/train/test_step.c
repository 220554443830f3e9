/*
 * A step's gradient in 1, 2, 4 and 8 micro-batches: each normalised by what the whole step has, cut
 * between problems where they fit, and the same on any number of threads.
 */
#include "train/step.h"

#include <math.h>

#include "rl/algos/algo.h"
#include "rl/core/rng.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

/* Every problem has a group of first attempts, and one of two second attempts after the first. */
enum {
    PROBLEMS = 8,
    GROUP = 4,
    AGAIN = 2,
    PROMPT = 10,
    FEEDBACK = 5,
    LENGTH = 6,
    SAMPLES = PROBLEMS * (GROUP + AGAIN),
    CONTEXT = PROBLEMS * (PROMPT + FEEDBACK),
    TREE = PROMPT + GROUP * LENGTH + FEEDBACK + AGAIN * LENGTH // tokens of one problem
};

typedef struct rig {
    rl_batch batch;
    rl_sample sample[SAMPLES];
    rl_group group[2 * PROBLEMS];
    int32_t context[CONTEXT], token[SAMPLES * LENGTH];
    uint8_t trainable[SAMPLES * LENGTH];
    double logp[SAMPLES * LENGTH], entropy[SAMPLES * LENGTH];
} rig;

static void fill(rig *r) {
    rl_rng rng = {.seed = 6, .purpose = RL_RNG_TEST};
    uint64_t drawn = 0;
    for (int32_t i = 0; i < CONTEXT; i++) {
        r->context[i] = 3 + (int32_t)rl_rng_below(&rng, drawn++, 290);
    }
    for (int32_t i = 0; i < SAMPLES * LENGTH; i++) {
        r->token[i] = 3 + (int32_t)rl_rng_below(&rng, drawn++, 290);
        r->trainable[i] = 1;
        r->logp[i] = -5;
        r->entropy[i] = 1;
    }
    for (int32_t g = 0; g < 2 * PROBLEMS; g++) {
        bool first = g < PROBLEMS;
        int32_t at = first ? g * PROMPT : PROBLEMS * PROMPT + (g - PROBLEMS) * FEEDBACK;
        int32_t n = first ? GROUP : AGAIN;
        int32_t begin = first ? g * GROUP : PROBLEMS * GROUP + (g - PROBLEMS) * AGAIN;
        r->group[g] = (rl_group){.parent = first ? -1 : (g - PROBLEMS) * GROUP,
                                 .first = begin,
                                 .n_samples = n,
                                 .ctx_begin = (uint32_t)at,
                                 .ctx_end = (uint32_t)(at + (first ? PROMPT : FEEDBACK))};
        for (int32_t i = begin; i < begin + n; i++) {
            r->sample[i] = (rl_sample){.group = g,
                                       .parent = r->group[g].parent,
                                       .turn = first ? 0 : 1,
                                       .problem = g % PROBLEMS,
                                       .task = -1,
                                       .domain = -1,
                                       .dataset = -1,
                                       .label = -1,
                                       .tok_begin = (uint32_t)(i * LENGTH),
                                       .tok_end = (uint32_t)(i * LENGTH + LENGTH),
                                       .reward = rl_rng_uniform(&rng, drawn++),
                                       .scored = true};
        }
    }
    r->batch = (rl_batch){.sample = r->sample,
                          .n_samples = SAMPLES,
                          .group = r->group,
                          .n_groups = 2 * PROBLEMS,
                          .context_token = r->context,
                          .n_context_tokens = CONTEXT,
                          .n_turns = 2,
                          .max_new_tokens = LENGTH,
                          .token = r->token,
                          .trainable = r->trainable,
                          .logp_sampled = r->logp,
                          .logp_old = r->logp,
                          .entropy = r->entropy,
                          .n_tokens = SAMPLES * LENGTH};
    assert_null(rl_batch_check(&r->batch));
}

/* The gradient of one step, in the arena. */
static float *gradient(const rl_test_model *model, int32_t micro_tokens, rl_arena *arena,
                       step_result *out) {
    const rl_algo *algo = rl_algo_find("grpo");
    rl_params *params = rl_policy_params(model->policy);
    void *opts = rl_arena_alloc(arena, 1, algo->options->size);
    rl_algo_run run = {.opts = opts, .scratch = rl_arena_new(0)};
    rl_tensor all = rl_tensor_1d(RL_DTYPE_F32, params->grad, 0, params->n_values);
    float *grad = rl_arena_alloc(arena, (size_t)params->n_values, sizeof *grad);
    static rig r;
    rl_err err;
    fill(&r);
    rl_section_defaults(algo->options, arena, opts);
    assert_ok(
        step_gradient(algo, &run, &r.batch, model->policy, 1, micro_tokens, arena, out, &err));
    rl_tensor_get(model->be, all, grad);
    rl_arena_free(run.scratch);
    return grad;
}

static void check_near(const float *got, const float *want, int64_t n) {
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

static void micro_batches_agree(void **state) {
    rl_arena *arena = rl_arena_new(0);
    float *on_one[4];
    (void)state;
    for (int32_t n_threads = 1; n_threads <= 2; n_threads++) {
        rl_test_model model;
        size_t n_bytes;
        int64_t n_values;
        rl_test_model_open(&model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, n_threads, true);
        n_values = rl_policy_params(model.policy)->n_values;
        n_bytes = (size_t)n_values * sizeof(float);
        for (int k = 0; k < 4; k++) {
            int32_t n_passes = 1 << k;
            step_result out;
            float *grad = gradient(&model, PROBLEMS / n_passes * TREE, arena, &out);
            assert_int_equal(out.n_passes, n_passes);
            assert_int_equal(out.n_trained, SAMPLES);
            // Cut between problems, nothing is computed twice.
            assert_int_equal(out.n_tokens, PROBLEMS * TREE);
            if (n_threads == 1) {
                on_one[k] = grad;
            } else {
                assert_memory_equal(grad, on_one[k], n_bytes);
            }
            check_near(grad, on_one[0], n_values);
        }
        rl_test_model_close(&model);
    }
    rl_arena_free(arena);
}

/* A problem that does not fit is cut between its samples, and its contexts are computed again. */
static void a_large_problem_is_cut(void **state) {
    rl_arena *arena = rl_arena_new(0);
    rl_test_model model;
    step_result whole, cut;
    float *want, *got;
    (void)state;
    rl_test_model_open(&model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, 2, true);
    want = gradient(&model, PROBLEMS * TREE, arena, &whole);
    got = gradient(&model, TREE / 2, arena, &cut);
    assert_true(cut.n_passes > PROBLEMS && cut.n_tokens > whole.n_tokens);
    assert_int_equal(cut.n_trained, SAMPLES);
    check_near(got, want, rl_policy_params(model.policy)->n_values);
    rl_test_model_close(&model);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(micro_batches_agree),
        cmocka_unit_test(a_large_problem_is_cut),
    };
    return cmocka_run_group_tests_name("step", tests, NULL, NULL);
}
