#include "rl/core/alloc.h"
#include "rl/policy/score.h"
#include "rl/rollout/engine.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

enum { N_SAMPLES = 3, MAX_NEW = 6 };

static void test_find(void **state) {
    (void)state;
    assert_string_equal(rl_engine_find("local")->name, "local");
    assert_null(rl_engine_find("vllm"));
    assert_null(rl_engine_find(""));
    assert_null(rl_engine_find("Local"));
}

// The engine's log-probs are those of scoring, over a context of two turns, bit for bit.
static void check_scores(rl_policy *policy, const int32_t *first, int32_t n_first,
                         const rl_completion *said, const int32_t *more, int32_t n_more,
                         const rl_completion *last) {
    rl_segment segment[] = {{-1, n_first, first, false},
                            {0, said->n_tokens, said->token, true},
                            {1, n_more, more, false},
                            {2, last->n_tokens, last->token, true}};
    double logp[2 * MAX_NEW], entropy[2 * MAX_NEW];
    rl_err err;
    assert_int_equal(rl_score_count(segment, 4), said->n_tokens + last->n_tokens);
    assert_ok(rl_policy_score(policy, segment, 4, 1.0, logp, entropy, &err));
    assert_memory_equal(logp, said->logp, (size_t)said->n_tokens * sizeof *logp);
    assert_memory_equal(logp + said->n_tokens, last->logp, (size_t)last->n_tokens * sizeof *logp);
    assert_memory_equal(entropy, said->entropy, (size_t)said->n_tokens * sizeof *entropy);
}

static void fill_rngs(rl_rng *rng, uint32_t turn) {
    for (uint32_t k = 0; k < N_SAMPLES; k++) {
        rng[k] = (rl_rng){.seed = 3, .sample = k, .turn = turn, .purpose = RL_RNG_SAMPLE};
    }
}

static void test_two_turns(void **state) {
    static const int32_t ask[] = {5, 9, 2, 7}, again[] = {11, 4};
    const rl_engine *engine = rl_engine_find("local");
    rl_arena *arena = rl_arena_new(0);
    rl_test_model model;
    rl_rng rng[N_SAMPLES];
    rl_completion first[N_SAMPLES], second[N_SAMPLES], repeated[N_SAMPLES];
    rl_decode_opts opts = {.max_new_tokens = MAX_NEW, .temperature = 1};
    rl_prompt prompt = {
        .parent = -1, .token = ask, .n_tokens = 4, .n_samples = N_SAMPLES, .rng = rng};
    void *self;
    rl_err err;
    (void)state;
    rl_test_model_open(&model, rl_golden("models/llama"), RL_KERNELS_AUTO, 1, false);
    assert_ok(engine->open(&self, model.policy, 2, &err));
    fill_rngs(rng, 0);
    assert_ok(engine->generate(self, &prompt, 1, &opts, arena, first, &err));
    prompt = (rl_prompt){
        .parent = first[1].node, .token = again, .n_tokens = 2, .n_samples = N_SAMPLES, .rng = rng};
    fill_rngs(rng, 1);
    assert_ok(engine->generate(self, &prompt, 1, &opts, arena, second, &err));
    for (int k = 0; k < N_SAMPLES; k++) {
        assert_int_equal(second[k].n_tokens, MAX_NEW);
        assert_true(second[k].truncated);
        check_scores(model.policy, ask, 4, &first[1], again, 2, &second[k]);
    }
    assert_int_equal(engine->stats(self).decode_tokens > 0, 1);

    // After a step everything is forgotten, and the same address says the same again.
    assert_ok(engine->sync_weights(self, &err));
    prompt =
        (rl_prompt){.parent = -1, .token = ask, .n_tokens = 4, .n_samples = N_SAMPLES, .rng = rng};
    fill_rngs(rng, 0);
    assert_ok(engine->generate(self, &prompt, 1, &opts, arena, repeated, &err));
    for (int k = 0; k < N_SAMPLES; k++) {
        assert_int_equal(first[k].n_tokens, repeated[k].n_tokens);
        assert_memory_equal(first[k].token, repeated[k].token,
                            (size_t)first[k].n_tokens * sizeof(int32_t));
        assert_memory_equal(first[k].logp, repeated[k].logp,
                            (size_t)first[k].n_tokens * sizeof(double));
    }
    engine->close(self);
    rl_test_model_close(&model);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_two_turns),
    };
    return cmocka_run_group_tests_name("engine", tests, NULL, NULL);
}
