#include "rl/core/batch.h"
#include "tests/support/support.h"

enum { N_SAMPLES = 5, N_GROUPS = 2, N_TOKENS = 10 };

// Two first attempts, the first of which is tried again by three.
typedef struct fixture {
    rl_sample sample[N_SAMPLES];
    rl_group group[N_GROUPS];
    rl_batch batch;
} fixture;

static void fill(fixture *x) {
    *x = (fixture){0};
    x->group[0] = (rl_group){.parent = -1, .first = 0, .n_samples = 2, .ctx_end = 4};
    x->group[1] = (rl_group){.parent = 0, .first = 2, .n_samples = 3, .ctx_begin = 4, .ctx_end = 7};
    for (int32_t i = 0; i < N_SAMPLES; i++) {
        x->sample[i] = (rl_sample){.group = i >= 2,
                                   .parent = i >= 2 ? 0 : -1,
                                   .turn = i >= 2,
                                   .problem = 7,
                                   .tok_begin = 2 * (uint32_t)i,
                                   .tok_end = 2 * (uint32_t)i + 2,
                                   .scored = true,
                                   .keep = true};
    }
    x->batch = (rl_batch){.sample = x->sample,
                          .n_samples = N_SAMPLES,
                          .group = x->group,
                          .n_groups = N_GROUPS,
                          .n_context_tokens = 7,
                          .n_turns = 2,
                          .n_tokens = N_TOKENS};
}

static void test_good(void **state) {
    fixture x;
    rl_batch empty = {0};
    (void)state;
    fill(&x);
    assert_null(rl_batch_check(&x.batch));
    assert_null(rl_batch_check(&empty));
}

static void parent_after(fixture *x) {
    x->group[1].parent = x->sample[2].parent = 3;
}
static void gap(fixture *x) {
    x->group[1].first = 3;
}
static void too_few_groups(fixture *x) {
    x->batch.n_groups = 1;
}
static void too_many_samples(fixture *x) {
    x->group[1].n_samples = 4;
}
static void empty_group(fixture *x) {
    x->group[0].n_samples = 0;
}
static void other_parent(fixture *x) {
    x->sample[3].parent = 1;
}
static void other_group(fixture *x) {
    x->sample[1].group = 1;
}
static void turn_skipped(fixture *x) {
    x->sample[4].turn = 2;
}
static void turn_not_allowed(fixture *x) {
    x->batch.n_turns = 1;
}
static void other_problem(fixture *x) {
    x->sample[2].problem = 8;
}
static void tokens_outside(fixture *x) {
    x->sample[4].tok_end = N_TOKENS + 1;
}
static void tokens_shared(fixture *x) {
    x->sample[3].tok_begin--;
}
static void context_outside(fixture *x) {
    x->group[1].ctx_end = 8;
}
static void unscored_kept(fixture *x) {
    x->sample[1].scored = false;
}
static void test_broken(void **state) {
    static void (*const breaks[])(fixture *) = {
        parent_after,   gap,           too_few_groups,  too_many_samples, empty_group,
        other_parent,   other_group,   turn_skipped,    turn_not_allowed, other_problem,
        tokens_outside, tokens_shared, context_outside, unscored_kept,
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(breaks); i++) {
        fixture x;
        fill(&x);
        breaks[i](&x);
        if (rl_batch_check(&x.batch) == NULL) {
            fail_msg("rule %zu is not checked", i);
        }
    }
}

// The same attempt continued by two groups: invariant 3.
static void test_children_are_one_group(void **state) {
    rl_group group[] = {{.parent = -1, .first = 0, .n_samples = 1},
                        {.parent = 0, .first = 1, .n_samples = 1},
                        {.parent = 0, .first = 2, .n_samples = 1}};
    rl_sample sample[] = {{.group = 0, .parent = -1},
                          {.group = 1, .parent = 0, .turn = 1},
                          {.group = 2, .parent = 0, .turn = 1}};
    rl_batch batch = {
        .sample = sample, .n_samples = 3, .group = group, .n_groups = 3, .n_turns = 2};
    (void)state;
    assert_string_equal(rl_batch_check(&batch), "the children of an attempt are in two groups");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_good),
        cmocka_unit_test(test_broken),
        cmocka_unit_test(test_children_are_one_group),
    };
    return cmocka_run_group_tests_name("batch", tests, NULL, NULL);
}
