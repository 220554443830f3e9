/* How failed attempts are tried again: with their feedback, afresh, with another's feedback. */
#include "tests/rollout/tree_rig.h"

// Problem 10: attempt 0 fails. 11: both fail. 12: attempt 1 fails. 13: solved. All second attempts
// but those of 11 succeed.
static const char *retry_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena) {
    static const char *const score[4][2] = {
        {"0", "1"}, {"0.5", "0"}, {"1", "unreadable"}, {"1", "1"}};
    return rl_arena_printf(arena, "p%u n%u t%u score=%s", problem, path, turn,
                           turn == 0       ? score[problem - 10][path % 2]
                           : problem == 11 ? "0.25"
                                           : "1");
}

// First attempts do not depend on how failed ones are tried again; next ones share their streams.
static void test_retries(void **state) {
    // Who failed first, and whose feedback each is shown where it is another's.
    static const int32_t failed[] = {0, 2, 3, 5}, other[] = {2, 5, 5, 0};
    rl_rollout_result r[RL_N_RETRIES];
    fixture x[RL_N_RETRIES];
    (void)state;
    for (int mode = 0; mode < RL_N_RETRIES; mode++) {
        begin(&x[mode], retry_script, 2, 2);
        x[mode].rollout.retry = (rl_retry)mode;
        x[mode].rollout.retries = 1;
        r[mode] = run(&x[mode], 4);
        assert_int_equal(r[mode].batch.n_samples, 8 + 4);
        for (int32_t i = 0; i < 12; i++) {
            const rl_rollout_result *a = &r[0], *b = &r[mode];
            const rl_sample *s = &a->batch.sample[i], *t = &b->batch.sample[i];
            assert_true(s->parent == t->parent && s->turn == t->turn && s->problem == t->problem);
            assert_true(s->tok_begin == t->tok_begin && s->tok_end == t->tok_end);
            assert_string_equal(a->story[i].completion, b->story[i].completion);
        }
        assert_memory_equal(r[0].batch.logp_sampled, r[mode].batch.logp_sampled,
                            r[0].batch.n_tokens * sizeof(double));
        for (int32_t k = 0; k < 4; k++) {
            const rl_group *group = &r[mode].batch.group[4 + k];
            assert_int_equal(group->parent, failed[k]);
            assert_int_equal(group->n_samples, 1);
            assert_int_equal(group->fresh, mode == RL_RETRY_FRESH);
        }
        assert_int_equal(r[mode].n_verdicts, 12);
    }
    check_ids(&x[RL_RETRY_FEEDBACK], &r[RL_RETRY_FEEDBACK]);
    check_ids(&x[RL_RETRY_WRONG_FEEDBACK], &r[RL_RETRY_WRONG_FEEDBACK]);
    for (int32_t k = 0; k < 4; k++) {
        const rl_rollout_result *fresh = &r[RL_RETRY_FRESH], *wrong = &r[RL_RETRY_WRONG_FEEDBACK];
        int32_t root = fresh->batch.sample[failed[k]].group;
        assert_string_equal(fresh->prompt_text[4 + k], fresh->prompt_text[root]);
        assert_non_null(strstr(r[0].prompt_text[4 + k], r[0].story[failed[k]].feedback));
        assert_non_null(strstr(wrong->prompt_text[4 + k], wrong->story[failed[k]].completion));
        assert_non_null(strstr(wrong->prompt_text[4 + k], wrong->story[other[k]].feedback));
        assert_null(strstr(wrong->prompt_text[4 + k], wrong->story[failed[k]].feedback));
    }
    for (int mode = 0; mode < RL_N_RETRIES; mode++) {
        end(&x[mode]);
    }
}

// A fresh context goes on from nothing at every turn; batches of ragged trees stay in order.
static void test_fresh_turns(void **state) {
    fixture x;
    (void)state;
    begin(&x, random_script, 3, 4);
    x.rollout.retry = RL_RETRY_FRESH;
    rl_rollout_result r = run(&x, 4);
    assert_true(r.batch.n_samples > 30);
    for (int32_t g = 4; g < r.batch.n_groups; g++) {
        const rl_group *group = &r.batch.group[g];
        int32_t root = r.batch.sample[group->first].problem - 10;
        assert_true(group->fresh && group->n_samples == 3);
        assert_string_equal(r.prompt_text[g], r.prompt_text[root]);
        assert_int_equal(group->ctx_end - group->ctx_begin, r.n_prompt_tokens[root]);
    }
    end(&x);
}

// Nobody else failed: there is no feedback to borrow, and the attempt is marked.
static void test_no_other_feedback(void **state) {
    fixture x;
    (void)state;
    begin(&x, retry_script, 2, 2);
    x.rollout.retry = RL_RETRY_WRONG_FEEDBACK;
    x.drawn[0] = x.drawn[1]; // both attempts fail, and so do those of its second place
    rl_rollout_result r = run(&x, 2);
    assert_int_equal(r.batch.n_samples, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_true(r.story[i].lone && r.story[i].feedback != NULL);
    }
    assert_int_equal(r.n_no_room, 0);
    end(&x);
}

// Taking first attempts over gives what drawing them again gives, and counts the rest alone.
static void test_first_taken_over(void **state) {
    (void)state;
    for (int mode = 0; mode < RL_N_RETRIES; mode++) {
        fixture x, y;
        begin(&x, random_script, 3, 3);
        x.rollout.retry = (rl_retry)mode;
        rl_rollout_result whole = run(&x, 4);
        begin(&y, random_script, 3, 3);
        y.rollout.retry = RL_RETRY_WRONG_FEEDBACK;
        rl_rollout_result first = run(&y, 4);
        int32_t n_rounds = y.engine.n_rounds;
        y.rollout.retry = (rl_retry)mode;
        y.rollout.first = &first;
        rl_rollout_result again = run(&y, 4);
        assert_int_equal(n_rounds, 3);
        assert_int_equal(y.engine.n_rounds, 5);
        check_same(&whole, &again);
        for (int32_t i = 0; i < whole.batch.n_samples; i++) {
            assert_int_equal(whole.story[i].lone, again.story[i].lone);
        }
        assert_int_equal(again.n_verdicts, whole.n_verdicts - 4 * 3);
        assert_true(again.n_unknown > 0 && again.n_unknown < whole.n_unknown);
        end(&x);
        end(&y);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_retries),
        cmocka_unit_test(test_fresh_turns),
        cmocka_unit_test(test_no_other_feedback),
        cmocka_unit_test(test_first_taken_over),
    };
    return cmocka_run_group_tests_name("retry", tests, setup, teardown);
}
