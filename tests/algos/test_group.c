#include "algos/shared.h"
#include "rl/core/json.h"
#include "tests/algos/forest.h"

typedef struct expectation {
    const char *what;
    rl_algo_opts opts;
    forest_group group;
    double advantage[8], tolerance;
} expectation;

static const rl_algo_opts trl = {.std_eps = 1e-4};

// Worked examples as printed: six decimals.
static const expectation worked[] = {
    {"T1.1 population, eps 0",
     {.std = RL_STD_POPULATION},
     {-1, 4, {1, 1, 0.5, 0}},
     {0.904534, 0.904534, -0.301511, -1.507557},
     5e-7},
    {"T1.1 sample, eps 1e-4",
     {.std_eps = 1e-4},
     {-1, 4, {1, 1, 0.5, 0}},
     {0.783186, 0.783186, -0.261062, -1.305310},
     5e-7},
    {"T1.2",
     {.std_eps = 1e-4},
     {-1, 4, {1, 0.475, 0.29375, 0}},
     {1.327063, 0.078063, -0.353140, -1.051986},
     5e-7},
    {"T1.4 group of #2",
     {.std_eps = 1e-4},
     {-1, 4, {1, 0.5, 0.5, 0}},
     {1.224445, 0, 0, -1.224445},
     5e-7},
    {"T1.4 group of #3",
     {.std_eps = 1e-4},
     {-1, 4, {0.5, 0.5, 0.25, 0.25}},
     {0.865426, 0.865426, -0.865426, -0.865426},
     5e-7},
    {"T6.1 verl grpo",
     {.std_eps = 1e-6},
     {-1, 4, {1, 0, 0.5, 0}},
     {1.305580, -0.783348, 0.261116, -0.783348},
     5e-7},
    {"T6.1 TRL",
     {.std_eps = 1e-4},
     {-1, 4, {1, 0, 0.5, 0}},
     {1.305310, -0.783186, 0.261062, -0.783186},
     5e-7},
    {"T6.1 Dr.GRPO",
     {.scale_rewards = RL_SCALE_NONE},
     {-1, 4, {1, 0, 0.5, 0}},
     {0.625, -0.375, 0.125, -0.375},
     0},
    // Flat groups and groups of one are exactly 0, without noise from values such as 0.1.
    {"flat, sample", {.std_eps = 1e-4}, {-1, 3, {0.1, 0.1, 0.1}}, {0, 0, 0}, 0},
    {"flat, population, eps 0", {.std = RL_STD_POPULATION}, {-1, 3, {0.1, 0.1, 0.1}}, {0, 0, 0}, 0},
    {"flat, no scale", {.scale_rewards = RL_SCALE_NONE}, {-1, 3, {0.1, 0.1, 0.1}}, {0, 0, 0}, 0},
    {"one, sample", {.std_eps = 1e-4}, {-1, 1, {0.7}}, {0}, 0},
    {"one, sample, eps 0", {.std_eps = 0}, {-1, 1, {0.7}}, {0}, 0},
    {"one, population, eps 0", {.std = RL_STD_POPULATION}, {-1, 1, {0.7}}, {0}, 0},
    // Unscored members are not there.
    {"unscored",
     {.scale_rewards = RL_SCALE_NONE},
     {-1, 4, {1, NO_NUMBER, 0, NO_NUMBER}},
     {0.5, 0, -0.5, 0},
     0},
    {"one scored", {.std_eps = 1e-4}, {-1, 3, {NO_NUMBER, 1, NO_NUMBER}}, {0, 0, 0}, 0},
    {"none scored", {.std_eps = 0}, {-1, 2, {NO_NUMBER, NO_NUMBER}}, {0, 0}, 0},
};

static void test_worked(void **state) {
    for (size_t c = 0; c < RL_COUNT(worked); c++) {
        const expectation *e = &worked[c];
        rl_algo_run run = {.opts = &e->opts};
        rl_batch *batch = forest_new(*state, &e->group, 1, 1);
        rl_credit_own(&run, batch);
        rl_advantage_group(&run, batch);
        for (int32_t i = 0; i < batch->n_samples; i++) {
            assert_near(batch->sample[i].advantage, e->advantage[i], e->tolerance, e->what);
        }
    }
}

static void test_groups_are_apart(void **state) {
    static const forest_group table[] = {
        {-1, 2, {1, 0}}, {-1, 3, {0.5, 0.5, 0.5}}, {-1, 2, {0.25, 0.75}}};
    rl_algo_opts none = {.scale_rewards = RL_SCALE_NONE};
    rl_algo_run run = {.opts = &none};
    double want[] = {0.5, -0.5, 0, 0, 0, -0.25, 0.25};
    rl_batch *batch = forest_new(*state, table, RL_COUNT(table), 1);
    rl_credit_own(&run, batch);
    rl_advantage_group(&run, batch);
    for (int32_t i = 0; i < batch->n_samples; i++) {
        assert_true(batch->sample[i].advantage == want[i]);
    }
}

// What is pruned is not trained, but its siblings are still compared with it.
static void test_not_kept(void **state) {
    static const forest_group table[] = {{-1, 3, {1, 0.5, 0}}};
    rl_algo_run run = {.opts = &trl};
    rl_batch *batch = forest_new(*state, table, 1, 1);
    rl_credit_own(&run, batch);
    batch->sample[2].keep = false;
    rl_advantage_group(&run, batch);
    assert_near(batch->sample[0].advantage, 0.5 / (0.5 + 1e-4), 1e-12, "kept");
    assert_true(batch->sample[1].advantage == 0);
    assert_true(batch->sample[2].advantage == 0);
}

static void test_golden(void **state) {
    static const char *const scales[] = {"group", "batch", "none"};
    rl_json_doc *doc;
    rl_err err;
    int32_t n = 0;
    assert_ok(rl_json_read(rl_golden("algos/trl_advantage.json"), &doc, &err));
    const rl_json *cases = rl_json_get(rl_json_root(doc), "cases");
    for (const rl_json *c = rl_json_first(cases); c != NULL; c = rl_json_next(c), n++) {
        const rl_json *reward = rl_json_get(c, "rewards"),
                      *advantage = rl_json_get(c, "advantages");
        const char *scale = rl_json_text(rl_json_get(c, "scale_rewards"), "");
        int32_t size = (int32_t)rl_json_number(rl_json_get(c, "group_size"), 0), i = 0;
        forest_group table[8] = {0};
        rl_algo_opts opts = trl;
        rl_algo_run run = {.opts = &opts};
        for (unsigned k = 0; k < RL_COUNT(scales); k++) {
            opts.scale_rewards = strcmp(scales[k], scale) == 0 ? (rl_scale)k : opts.scale_rewards;
        }
        for (const rl_json *r = rl_json_first(reward); r != NULL; r = rl_json_next(r), i++) {
            table[i / size].parent = -1;
            table[i / size].n_samples = size;
            table[i / size].reward[i % size] = rl_json_number(r, NO_NUMBER);
        }
        rl_batch *batch = forest_new(*state, table, i / size, 1);
        rl_credit_own(&run, batch);
        rl_advantage_group(&run, batch);
        assert_int_equal(rl_json_count(advantage), i);
        i = 0;
        for (const rl_json *a = rl_json_first(advantage); a != NULL; a = rl_json_next(a), i++) {
            assert_near(batch->sample[i].advantage, rl_json_number(a, NO_NUMBER), 1e-9,
                        rl_json_text(rl_json_get(c, "id"), "?"));
        }
    }
    assert_true(n >= 15);
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
        cmocka_unit_test(test_worked),
        cmocka_unit_test(test_groups_are_apart),
        cmocka_unit_test(test_not_kept),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests_name("group", tests, setup, teardown);
}
