#include "algos/shared.h"
#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "tests/algos/forest.h"

static void *defaults(const rl_algo *algo, rl_arena *arena) {
    void *opts = rl_arena_alloc(arena, 1, algo->options->size);
    rl_section_defaults(algo->options, arena, opts);
    return opts;
}

static void test_rows_are_full(void **state) {
    size_t n;
    const rl_algo *const *list = rl_algo_list(&n);
    (void)state;
    assert_true(n >= 2);
    for (size_t i = 0; i < n; i++) {
        const rl_algo *a = list[i];
        assert_ptr_equal(rl_algo_find(a->name), a);
        assert_non_null(a->options);
        if (a->objective == RL_OBJECTIVE_POLICY) {
            assert_true(a->init && a->release && a->credit && a->select && a->advantage);
            assert_true(a->modulate && a->surrogate && a->persist);
        } else {
            assert_true(a->init == NULL && a->credit == NULL && a->surrogate == NULL);
            assert_int_equal(a->min_turns, 0);
        }
    }
    assert_int_equal(rl_algo_find("murphy")->min_turns, 2);
    assert_int_equal(rl_algo_find("grpo")->min_turns, 0);
    assert_null(rl_algo_find("grp"));
    assert_null(rl_algo_find(""));
}

static void test_defaults_are_trl(void **state) {
    static const char *const names[] = {"grpo", "murphy"};
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        const rl_algo *algo = rl_algo_find(names[i]);
        const rl_algo_opts *o = defaults(algo, *state);
        rl_algo_run run = {.opts = o};
        rl_surrogate spec;
        assert_int_equal(o->scale_rewards, RL_SCALE_GROUP);
        assert_int_equal(o->std, RL_STD_SAMPLE);
        assert_true(o->std_eps == 1e-4);
        algo->surrogate(&run, &spec);
        assert_int_equal(spec.loss_type, RL_LOSS_DAPO);
        assert_int_equal(spec.ratio, RL_RATIO_TOKEN);
        assert_true(spec.clip_low == 0.2 && spec.clip_high == 0.2);
        assert_true(spec.kl_coef == 0 && spec.entropy_coef == 0 && spec.divisor == 0);
    }
}

static void test_keys(void **state) {
    static const char text[] =
        "{\"epsilon\": 0.1, \"loss_type\": \"dr_grpo\", \"divisor\": 64, \"std\": \"population\","
        "\"scale_rewards\": \"none\", \"importance_sampling_level\": \"sequence\"}";
    const rl_algo *algo = rl_algo_find("murphy");
    void *opts = rl_arena_alloc(*state, 1, algo->options->size);
    rl_algo_run run = {.opts = opts};
    rl_errors errors = {0};
    rl_surrogate spec;
    rl_json_doc *doc;
    rl_err err;
    assert_ok(rl_json_parse(text, strlen(text), "test", &doc, &err));
    rl_section_read(algo->options, rl_json_root(doc), NULL, *state, opts, &errors);
    assert_int_equal(errors.count, 0);
    algo->surrogate(&run, &spec);
    assert_true(spec.clip_low == 0.1 && spec.clip_high == 0.1); // epsilon_high follows epsilon
    assert_true(spec.divisor == 64 && spec.loss_type == RL_LOSS_DR_GRPO);
    assert_int_equal(spec.ratio, RL_RATIO_SEQUENCE);
    rl_json_free(doc);
}

static void test_bad_keys(void **state) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"beta\": 0.04}", "reference model"},
        {"{\"epsilon\": 0}", "epsilon"},
        {"{\"gamma\": 1.5}", "gamma"},
        {"{\"credit\": \"maximum\"}", "credit"},
        {"{\"loss_typ\": \"dapo\"}", "loss_type"},
    };
    const rl_algo *algo = rl_algo_find("murphy");
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_errors errors = {0};
        rl_json_doc *doc;
        rl_err err;
        assert_ok(rl_json_parse(bad[i].text, strlen(bad[i].text), "test", &doc, &err));
        rl_section_read(algo->options, rl_json_root(doc), NULL, *state,
                        rl_arena_alloc(*state, 1, algo->options->size), &errors);
        assert_int_equal(errors.count, 1);
        assert_non_null(strstr(rl_str_text(&errors.text), bad[i].says));
        rl_errors_release(&errors);
        rl_json_free(doc);
    }
}

// All hooks of a row in train's order.
static void run_hooks(const rl_algo *algo, const rl_algo_run *run, rl_batch *batch) {
    for (int32_t i = 0; i < batch->n_samples; i++) {
        batch->sample[i].keep = batch->sample[i].scored;
    }
    algo->credit(run, batch);
    algo->select(run, batch);
    algo->advantage(run, batch);
    algo->modulate(run, batch);
}

// T1.7: with one turn Murphy is GRPO, bit for bit; and hooks take nothing from the heap.
static void test_one_turn_is_grpo(void **state) {
    const rl_algo *grpo = rl_algo_find("grpo"), *murphy = rl_algo_find("murphy");
    rl_algo_run as_grpo = {.opts = defaults(grpo, *state), .scratch = *state};
    rl_algo_run as_murphy = {.opts = defaults(murphy, *state), .scratch = *state};
    uint64_t seed = rl_test_seed();
    for (uint32_t round = 0; round < 50; round++) {
        rl_rng rng = {.seed = seed, .step = round, .purpose = RL_RNG_TEST};
        forest_group table[6] = {0};
        for (int g = 0; g < 6; g++) {
            table[g] = (forest_group){.parent = -1, .n_samples = 1 + g};
            for (int i = 0; i <= g; i++) {
                double r = rl_rng_uniform(&rng, (uint64_t)(8 * g + i));
                table[g].reward[i] = r < 0.1 ? NO_NUMBER : r;
            }
        }
        rl_batch *a = forest_new(*state, table, 6, 1), *b = forest_new(*state, table, 6, 1);
        uint64_t before = rl_alloc_count();
        run_hooks(grpo, &as_grpo, a);
        run_hooks(murphy, &as_murphy, b);
        assert_true(rl_alloc_count() == before);
        for (int32_t i = 0; i < a->n_samples; i++) {
            assert_memory_equal(&a->sample[i].credit, &b->sample[i].credit, sizeof(double));
            assert_memory_equal(&a->sample[i].advantage, &b->sample[i].advantage, sizeof(double));
        }
    }
    rl_surrogate s1, s2;
    grpo->surrogate(&as_grpo, &s1);
    murphy->surrogate(&as_murphy, &s2);
    assert_memory_equal(&s1, &s2, sizeof s1);
}

// T1.1 and T1.8 through the whole row.
static void test_murphy_row(void **state) {
    static const forest_group tree[] = {
        {-1, 4, {1.0, 0.5, 0.25, 0.0}},
        {1, 4, {1.0, 0.5, 0.5, 0.0}},
        {2, 4, {0.5, 0.5, 0.25, 0.25}},
        {3, 4, {0.0, 0.0, 0.0, 0.0}},
    };
    static const forest_group solved[] = {{-1, 4, {1, 1, 1, 1}}};
    static const double want[] = {0.783186, 0.783186,  -0.261062, -1.305310, 1.224445,  0,
                                  0,        -1.224445, 0.865426,  0.865426,  -0.865426, -0.865426,
                                  0,        0,         0,         0};
    const rl_algo *murphy = rl_algo_find("murphy");
    rl_algo_run run = {.opts = defaults(murphy, *state), .scratch = *state};
    rl_batch *batch = forest_new(*state, tree, RL_COUNT(tree), 2);
    run_hooks(murphy, &run, batch);
    for (int32_t i = 0; i < batch->n_samples; i++) {
        assert_near(batch->sample[i].advantage, want[i], 5e-7, "T1.1");
        assert_true(batch->sample[i].keep);
    }
    batch = forest_new(*state, solved, 1, 2);
    run_hooks(murphy, &run, batch);
    for (int32_t i = 0; i < batch->n_samples; i++) {
        assert_true(batch->sample[i].advantage == 0);
    }
}

static int setup(void **state) {
    *state = rl_arena_new(0);
    return 0;
}

static int teardown(void **state) {
    rl_arena_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows_are_full),
        cmocka_unit_test(test_defaults_are_trl),
        cmocka_unit_test(test_keys),
        cmocka_unit_test(test_bad_keys),
        cmocka_unit_test(test_one_turn_is_grpo),
        cmocka_unit_test(test_murphy_row),
    };
    return cmocka_run_group_tests_name("algos", tests, setup, teardown);
}
