#include "algos/shared.h"
#include "rl/core/json.h"
#include "rl/core/rng.h"
#include "tests/algos/forest.h"

// The tree of algorithms T1.1 to T1.4: sample 0 is solved, the others are tried again.
static const forest_group two_turns[] = {
    {-1, 4, {1.0, 0.5, 0.25, 0.0}},
    {1, 4, {1.0, 0.5, 0.5, 0.0}},
    {2, 4, {0.5, 0.5, 0.25, 0.25}},
    {3, 4, {0.0, 0.0, 0.0, 0.0}},
};
// T1.5: a -> a1 -> {.5, 1}, a -> a2 -> {0, .5}; b solved at once.
static const forest_group three_turns[] = {
    {-1, 2, {0.0, 1.0}},
    {0, 2, {0.5, 0.0}},
    {2, 2, {0.5, 1.0}},
    {3, 2, {0.0, 0.5}},
};

static void check_credits(const rl_batch *batch, const double *want, int32_t n, const char *what) {
    for (int32_t i = 0; i < n; i++) {
        assert_near(batch->sample[i].credit, want[i], 1e-12, what);
    }
}

static void test_max(void **state) {
    rl_arena *arena = *state;
    rl_batch *batch = forest_new(arena, two_turns, RL_COUNT(two_turns), 2);
    rl_credit_max(batch);
    check_credits(batch, (double[]){1, 1, 0.5, 0, 1, 0.5, 0.5, 0}, 8, "T1.1");
    batch = forest_new(arena, three_turns, RL_COUNT(three_turns), 3);
    rl_credit_max(batch);
    check_credits(batch, (double[]){1, 1, 1, 0.5, 0.5, 1, 0, 0.5}, 8, "T1.5 max");
}

static void test_mean(void **state) {
    rl_arena *arena = *state;
    rl_batch *batch = forest_new(arena, two_turns, RL_COUNT(two_turns), 2);
    rl_credit_mean(batch, 0.9);
    check_credits(batch, (double[]){1, 0.475, 0.29375, 0}, 4, "T1.2");
    batch = forest_new(arena, three_turns, RL_COUNT(three_turns), 3);
    rl_credit_mean(batch, 0.9);
    check_credits(batch, (double[]){0.21, 1, 0.5875, 0.1125, 0.5, 1, 0, 0.5}, 8, "T1.5 mean");
}

static void test_all_solved(void **state) {
    static const forest_group solved[] = {{-1, 3, {1, 1, 1}}};
    rl_batch *batch = forest_new(*state, solved, 1, 2);
    rl_credit_max(batch);
    check_credits(batch, (double[]){1, 1, 1}, 3, "T1.8 max");
    rl_credit_mean(batch, 0.9);
    check_credits(batch, (double[]){1, 1, 1}, 3, "T1.8 mean");
}

static void test_unscored_children_pay_nothing(void **state) {
    static const forest_group table[] = {
        {-1, 2, {0.25, 0.5}},
        {0, 2, {NO_NUMBER, 0.75}},
        {1, 2, {NO_NUMBER, NO_NUMBER}},
    };
    rl_batch *batch = forest_new(*state, table, RL_COUNT(table), 2);
    batch->sample[2].reward = 7; // whatever an unscored sample holds is not read
    rl_credit_max(batch);
    check_credits(batch, (double[]){0.75, 0.5, 0, 0.75, 0, 0}, 6, "max");
    rl_credit_mean(batch, 0.5);
    check_credits(batch, (double[]){(0.25 + 0.5 * 0.75) / 2, 0.5, 0, 0.75, 0, 0}, 6, "mean");
}

// A random tree of up to three turns.
static rl_batch *random_tree(rl_arena *arena, uint64_t seed, uint32_t round) {
    rl_rng rng = {.seed = seed, .step = round, .purpose = RL_RNG_TEST};
    forest_group table[40] = {{-1, 3, {0}}};
    int32_t n_groups = 1, turn[200] = {0}, first = 0;
    for (int32_t g = 0; g < n_groups; g++) {
        table[g].n_samples = 1 + (int32_t)rl_rng_below(&rng, (uint64_t)g, 4);
        for (int32_t i = 0; i < table[g].n_samples; i++) {
            int32_t at = first + i;
            uint64_t reward = rl_rng_below(&rng, 100 + (uint64_t)at, 5);
            table[g].reward[i] = (double)reward / 4;
            turn[at] = table[g].parent < 0 ? 0 : turn[table[g].parent] + 1;
            if (reward < 4 && turn[at] < 2 && n_groups < 40) {
                table[n_groups++] = (forest_group){.parent = at};
            }
        }
        first += table[g].n_samples;
    }
    return forest_new(arena, table, n_groups, 3);
}

static void test_max_properties(void **state) {
    uint64_t seed = rl_test_seed();
    for (uint32_t round = 0; round < 200; round++) {
        rl_batch *batch = random_tree(*state, seed, round);
        rl_credit_max(batch);
        for (int32_t i = 0; i < batch->n_samples; i++) {
            const rl_sample *s = &batch->sample[i];
            assert_true(s->credit >= s->reward && s->credit <= 1);
            if (s->parent >= 0) {
                assert_true(batch->sample[s->parent].credit >= s->credit);
            }
        }
        rl_credit_mean(batch, 0.9);
        for (int32_t i = 0; i < batch->n_samples; i++) {
            assert_true(batch->sample[i].credit >= 0 && batch->sample[i].credit <= 1);
        }
        rl_arena_reset(*state);
    }
}

static rl_batch *golden_tree(rl_arena *arena, const rl_json *tree) {
    const rl_json *groups = rl_json_get(tree, "groups");
    int32_t n_samples = (int32_t)rl_json_count(rl_json_get(tree, "parent")), g = 0, first = 0;
    rl_batch *batch = forest_empty(arena, (int32_t)rl_json_count(groups), n_samples,
                                   (int32_t)rl_json_number(rl_json_get(tree, "turns"), 0));
    rl_group *group = rl_arena_alloc(arena, (size_t)batch->n_groups, sizeof *group);
    batch->group = group;
    for (const rl_json *at = rl_json_first(groups); at != NULL; at = rl_json_next(at), g++) {
        int32_t n = (int32_t)rl_json_count(rl_json_get(at, "nodes"));
        forest_add(batch, group, g, (int32_t)rl_json_number(rl_json_get(at, "parent"), -2), first,
                   n);
        first += n;
    }
    g = 0;
    for (const rl_json *r = rl_json_first(rl_json_get(tree, "reward")); r; r = rl_json_next(r)) {
        batch->sample[g++].reward = rl_json_number(r, NO_NUMBER);
    }
    assert_null(rl_batch_check(batch));
    return batch;
}

static void check_list(const rl_batch *batch, const rl_json *want, bool credit, const char *what) {
    int32_t i = 0;
    assert_int_equal(rl_json_count(want), batch->n_samples);
    for (const rl_json *w = rl_json_first(want); w != NULL; w = rl_json_next(w), i++) {
        const rl_sample *s = &batch->sample[i];
        assert_near(credit ? s->credit : s->advantage, rl_json_number(w, NO_NUMBER), 1e-9, what);
    }
}

static void test_golden(void **state) {
    rl_arena *arena = *state;
    rl_algo_opts trl = {.std_eps = 1e-4}, population = {.std = RL_STD_POPULATION};
    rl_algo_run as_trl = {.opts = &trl}, as_population = {.opts = &population};
    rl_json_doc *doc;
    rl_err err;
    int32_t n = 0;
    assert_ok(rl_json_read(rl_golden("algos/murphy.json"), &doc, &err));
    const rl_json *trees = rl_json_get(rl_json_root(doc), "trees");
    for (const rl_json *tree = rl_json_first(trees); tree; tree = rl_json_next(tree), n++) {
        const char *name = rl_json_text(rl_json_get(tree, "name"), "?");
        const rl_json *credit = rl_json_get(tree, "credit");
        const rl_json *advantage = rl_json_get(tree, "advantage");
        rl_batch *batch = golden_tree(arena, tree);
        rl_credit_max(batch);
        check_list(batch, rl_json_get(credit, "mars"), true, name);
        rl_advantage_group(&as_trl, batch);
        check_list(batch, rl_json_get(advantage, "mars"), false, name);
        rl_advantage_group(&as_population, batch);
        check_list(batch, rl_json_get(rl_json_get(tree, "advantage_population_eps0"), "mars"),
                   false, name);
        rl_credit_mean(batch, rl_json_number(rl_json_get(tree, "gamma"), NO_NUMBER));
        check_list(batch, rl_json_get(credit, "mers_Ap"), true, name);
        rl_advantage_group(&as_trl, batch);
        check_list(batch, rl_json_get(advantage, "mers_Ap"), false, name);
    }
    assert_int_equal(n, 30);
    rl_json_free(doc);
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
        cmocka_unit_test(test_max),
        cmocka_unit_test(test_mean),
        cmocka_unit_test(test_all_solved),
        cmocka_unit_test(test_unscored_children_pay_nothing),
        cmocka_unit_test(test_max_properties),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests_name("credit", tests, setup, teardown);
}
