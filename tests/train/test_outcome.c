#include "train/outcome.h"

#include <math.h>

#include "tests/support/support.h"

enum { ATTEMPTS_MAX = 16 };

/* A rollout put together by hand: attempts[i] is one of "+" solved, "-" failed, "?" unknown and
 * "1" failed and not tried again for want of another's feedback. */
typedef struct fixture {
    rl_rollout_result result;
    rl_group group[ATTEMPTS_MAX];
    rl_sample sample[ATTEMPTS_MAX];
    rl_sample_story story[ATTEMPTS_MAX];
} fixture;

typedef struct attempt {
    int32_t parent;
    char what;
    const char *said;
} attempt;

// Two problems of two first attempts each, then what followed, one attempt a group.
static void build(fixture *x, const attempt *a, int32_t n, int32_t n_turns) {
    *x = (fixture){0};
    for (int32_t i = 0; i < n; i++) {
        int32_t parent = a[i].parent;
        x->sample[i] = (rl_sample){.parent = parent,
                                   .group = i < 4 ? i / 2 : i - 2,
                                   .turn = parent < 0 ? 0 : x->sample[parent].turn + 1,
                                   .scored = a[i].what != '?'};
        x->story[i] = (rl_sample_story){.solved = a[i].what == '+',
                                        .lone = a[i].what == '1',
                                        .completion = a[i].said,
                                        .completion_len = strlen(a[i].said)};
        x->group[x->sample[i].group] = (rl_group){
            .parent = parent, .first = i < 4 ? i / 2 * 2 : i, .n_samples = i < 4 ? 2 : 1};
    }
    x->result = (rl_rollout_result){.batch = {.sample = x->sample,
                                              .n_samples = n,
                                              .group = x->group,
                                              .n_groups = n - 2,
                                              .n_turns = n_turns},
                                    .story = x->story};
}

static void is(share s, int64_t n, int64_t of) {
    if (s.n != n || s.of != of) {
        fail_msg("%d of %d, not %d of %d", (int)s.n, (int)s.of, (int)n, (int)of);
    }
}

static void counts_within_attempts(void **state) {
    static const attempt attempts[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '-', "c"},
                                       {-1, '-', "d"}, {1, '+', "b2"}, {2, '-', "c"},
                                       {3, '-', "d2"}, {5, '-', "c"},  {6, '+', "d3"}};
    outcome o[2] = {{0}}, sum = {0};
    fixture x;
    (void)state;
    build(&x, attempts, RL_COUNT(attempts), 3);
    outcome_count(&x.result, RL_RETRY_FEEDBACK, 2, o);
    assert_true(o[0].samples == 2 && o[1].samples == 2);
    is(o[0].iter[0], 1, 2);
    is(o[0].iter[1], 2, 2);
    is(o[0].iter[2], 2, 2);
    is(o[1].iter[0], 0, 2);
    is(o[1].iter[1], 0, 2);
    is(o[1].iter[2], 1, 2);
    is(o[0].fix, 1, 1);
    is(o[1].fix, 0, 2);
    is(o[1].repeat, 1, 2);
    outcome_add(&sum, &o[0]);
    outcome_add(&sum, &o[1]);
    is(sum.iter[1], 2, 4);
    is(sum.control[RL_RETRY_FEEDBACK], 2, 4);
    is(sum.fix, 1, 3);
    is(sum.repeat, 1, 3);
    assert_int_equal(sum.samples, 4);
    assert_int_equal(outcome_left_out(&sum, 3, true), 4); // no control was counted
    assert_int_equal(outcome_left_out(&sum, 3, false), 0);
}

// What could not be judged is neither a failure nor a success.
static void leaves_the_unknown_out(void **state) {
    static const attempt attempts[] = {{-1, '?', "a"}, {-1, '-', "b"}, {-1, '+', "c"},
                                       {-1, '-', "d"}, {1, '?', "b2"}, {3, '+', "d2"}};
    outcome o[2] = {{0}};
    fixture x;
    (void)state;
    build(&x, attempts, RL_COUNT(attempts), 2);
    outcome_count(&x.result, RL_RETRY_FEEDBACK, 2, o);
    is(o[0].iter[0], 0, 1);
    is(o[0].iter[1], 0, 0);
    is(o[0].fix, 0, 0);
    assert_true(isnan(share_value(o[0].fix)) && isnan(share_value(o[0].iter[1])));
    assert_int_equal(outcome_left_out(&o[0], 2, false), 2);
    is(o[1].iter[0], 1, 2);
    is(o[1].iter[1], 2, 2);
    is(o[1].repeat, 0, 1);
    assert_true(share_value(o[1].iter[0]) == 0.5);
}

// The controls have their own second attempts and count nothing twice.
static void counts_controls(void **state) {
    static const attempt own[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '-', "c"}, {-1, '-', "d"},
                                  {1, '+', "e"},  {2, '+', "f"},  {3, '-', "g"}};
    static const attempt fresh[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '-', "c"}, {-1, '-', "d"},
                                    {1, '-', "e"},  {2, '+', "f"},  {3, '?', "g"}};
    // The failures of one problem have nobody's feedback to borrow; one had no room left.
    static const attempt wrong[] = {
        {-1, '+', "a"}, {-1, '-', "b"}, {-1, '1', "c"}, {-1, '-', "d"}, {3, '+', "g"}};
    outcome o[2] = {{0}};
    fixture x;
    (void)state;
    build(&x, own, RL_COUNT(own), 2);
    outcome_count(&x.result, RL_RETRY_FEEDBACK, 2, o);
    build(&x, fresh, RL_COUNT(fresh), 2);
    outcome_count(&x.result, RL_RETRY_FRESH, 2, o);
    build(&x, wrong, RL_COUNT(wrong), 2);
    outcome_count(&x.result, RL_RETRY_WRONG_FEEDBACK, 2, o);
    assert_true(o[0].samples == 2 && o[1].samples == 2);
    is(o[0].iter[0], 1, 2);
    is(o[0].iter[1], 2, 2);
    is(o[0].control[RL_RETRY_FEEDBACK], 2, 2);
    is(o[0].control[RL_RETRY_FRESH], 1, 2);
    is(o[0].control[RL_RETRY_WRONG_FEEDBACK], 1, 2);
    is(o[1].iter[1], 1, 2);
    is(o[1].control[RL_RETRY_FRESH], 1, 1);
    is(o[1].control[RL_RETRY_WRONG_FEEDBACK], 1, 1);
    is(o[1].fix, 1, 2);
    assert_int_equal(outcome_left_out(&o[0], 2, true), 0);
    assert_int_equal(outcome_left_out(&o[1], 2, true), 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_within_attempts),
        cmocka_unit_test(leaves_the_unknown_out),
        cmocka_unit_test(counts_controls),
    };
    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
