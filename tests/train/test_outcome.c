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

static void count(const fixture *own, const fixture *fresh, const fixture *wrong, outcome *out) {
    const rl_rollout_result *control[RL_N_RETRIES] = {NULL};
    control[RL_RETRY_FRESH] = fresh != NULL ? &fresh->result : NULL;
    control[RL_RETRY_WRONG_FEEDBACK] = wrong != NULL ? &wrong->result : NULL;
    outcome_count(&own->result, control, 2, out);
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
    count(&x, NULL, NULL, o);
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
    is(sum.control[RL_RETRY_FRESH], 0, 0);
    is(sum.fix, 1, 3);
    is(sum.repeat, 1, 3);
    assert_true(sum.samples == 4 && sum.left_out == 0);
}

// What could not be judged is neither a failure nor a success.
static void leaves_the_unknown_out(void **state) {
    static const attempt attempts[] = {{-1, '?', "a"}, {-1, '-', "b"}, {-1, '+', "c"},
                                       {-1, '-', "d"}, {1, '?', "b2"}, {3, '+', "d2"}};
    outcome o[2] = {{0}};
    fixture x;
    (void)state;
    build(&x, attempts, RL_COUNT(attempts), 2);
    count(&x, NULL, NULL, o);
    is(o[0].iter[0], 0, 1);
    is(o[0].iter[1], 0, 0);
    is(o[0].fix, 0, 0);
    assert_true(isnan(share_value(o[0].fix)) && isnan(share_value(o[0].iter[1])));
    assert_true(o[0].left_out == 2 && o[1].left_out == 0);
    is(o[1].iter[0], 1, 2);
    is(o[1].iter[1], 2, 2);
    is(o[1].repeat, 0, 1);
    assert_true(share_value(o[1].iter[0]) == 0.5);
}

static const attempt own_retries[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '-', "c"},
                                      {-1, '-', "d"}, {1, '+', "e"},  {2, '+', "f"},
                                      {3, '-', "g"}};

// The controls have their own second attempts and count nothing twice.
static void counts_controls(void **state) {
    static const attempt fresh[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '-', "c"}, {-1, '-', "d"},
                                    {1, '-', "e"},  {2, '+', "f"},  {3, '-', "g"}};
    // One had no room left, which is a failure like any other.
    static const attempt wrong[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '-', "c"},
                                    {-1, '-', "d"}, {2, '-', "c2"}, {3, '+', "g"}};
    outcome o[2] = {{0}};
    fixture x, y, z;
    (void)state;
    build(&x, own_retries, RL_COUNT(own_retries), 2);
    build(&y, fresh, RL_COUNT(fresh), 2);
    build(&z, wrong, RL_COUNT(wrong), 2);
    count(&x, &y, &z, o);
    assert_true(o[0].samples == 2 && o[1].samples == 2);
    is(o[0].iter[0], 1, 2);
    is(o[0].iter[1], 2, 2);
    is(o[0].control[RL_RETRY_FRESH], 1, 2);
    is(o[0].control[RL_RETRY_WRONG_FEEDBACK], 1, 2);
    is(o[1].iter[1], 1, 2);
    is(o[1].control[RL_RETRY_FRESH], 1, 2);
    is(o[1].control[RL_RETRY_WRONG_FEEDBACK], 1, 2);
    is(o[1].fix, 1, 2);
    assert_true(o[0].left_out == 0 && o[1].left_out == 0);
}

// Only a failure has a second attempt that can be missing. Were it left out of one share alone,
// that share would rise against the others: second attempts that always fail would beat ones that
// do too.
static void compares_the_same_samples(void **state) {
    static const attempt failing[] = {{-1, '+', "a"}, {-1, '-', "b"}, {-1, '+', "c"},
                                      {-1, '-', "d"}, {1, '-', "e"},  {3, '-', "g"}};
    static const attempt missing[][6] = {
        {{-1, '+', "a"},
         {-1, '-', "b"},
         {-1, '+', "c"},
         {-1, '-', "d"},
         {1, '?', "e"},
         {3, '-', "g"}},
        {{-1, '+', "a"}, {-1, '1', "b"}, {-1, '+', "c"}, {-1, '-', "d"}, {3, '-', "g"}},
    };
    (void)state;
    for (int32_t where = 0; where < 3; where++) {
        for (int32_t what = 0; what < (where == 2 ? 2 : 1); what++) {
            fixture x[3];
            outcome o[2] = {{0}}, sum = {0};
            for (int32_t i = 0; i < 3; i++) {
                if (i == where) {
                    build(&x[i], missing[what], what == 0 ? 6 : 5, 2);
                } else {
                    build(&x[i], failing, RL_COUNT(failing), 2);
                }
            }
            count(&x[0], &x[1], &x[2], o);
            outcome_add(&sum, &o[0]);
            outcome_add(&sum, &o[1]);
            is(sum.iter[0], 2, 4);
            is(sum.iter[1], 2, 3);
            is(sum.control[RL_RETRY_FRESH], 2, 3);
            is(sum.control[RL_RETRY_WRONG_FEEDBACK], 2, 3);
            assert_true(o[0].left_out == 1 && o[1].left_out == 0 && sum.left_out == 1);
        }
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counts_within_attempts),
        cmocka_unit_test(leaves_the_unknown_out),
        cmocka_unit_test(counts_controls),
        cmocka_unit_test(compares_the_same_samples),
    };
    return cmocka_run_group_tests_name("outcome", tests, NULL, NULL);
}
