#include "train/summary.h"

#include <math.h>

#include "tests/support/support.h"

static void add_step(history *h, int32_t step, double reward, double turn1, double turn2) {
    rl_metrics m = {0};
    rl_metrics_put(&m, step, "step");
    rl_metrics_put(&m, reward, "reward");
    rl_metrics_put(&m, turn1, "turn1/solved");
    rl_metrics_put(&m, turn2, "turn2/solved");
    rl_metrics_put(&m, 0.5 / step, "loss");
    history_add(h, &m);
}

static rl_metrics measured(int32_t step, double iter1, double iter2, bool controls) {
    rl_metrics m = {0};
    rl_metrics_put(&m, step, "step");
    rl_metrics_put(&m, 300, "eval/heldout/problems");
    rl_metrics_put(&m, 1200, "eval/heldout/samples");
    rl_metrics_put(&m, iter1, "eval/heldout/iter1");
    rl_metrics_put(&m, iter2, "eval/heldout/iter2");
    if (controls) {
        rl_metrics_put(&m, iter2 - 0.1, "eval/heldout/iter2_fresh");
        rl_metrics_put(&m, iter2 - 0.125, "eval/heldout/iter2_wrong_feedback");
    }
    return m;
}

static void add_eval(history *h, int32_t step, double iter1, double iter2, bool controls) {
    rl_metrics m = measured(step, iter1, iter2, controls);
    history_add_eval(h, "heldout", &m);
}

static void is_table(const history *h, const char *want) {
    rl_str out = {0};
    summary_table(h, "heldout", &out);
    assert_string_equal(rl_str_text(&out), want);
    rl_str_release(&out);
}

static void tables(void **state) {
    history h = {0};
    (void)state;
    is_table(&h, "");
    for (int32_t step = 1; step <= 200; step++) { // more than the memory had room for at first
        add_step(&h, step, step / 200.0, step / 400.0, step < 11 ? (double)NAN : 0.25);
    }
    assert_true(h.n_steps == 200 && h.step[199] == 200 && h.value[HISTORY_REWARD][99] == 0.5);
    is_table(&h, "mean of 20 steps                      first     last   change\n"
                 "reward                                0.053    0.953   +0.900\n"
                 "solved at turn 1                      0.026    0.476   +0.450\n"
                 "solved at turn 2                      0.250    0.250   +0.000\n"
                 "loss                                  0.090    0.003   -0.087\n");
    add_eval(&h, 0, 0.25, 0.375, true);
    is_table(&h, "solved within one and two attempts   before    after   change\n"
                 "iter-1                                0.250        -        -\n"
                 "iter-2                                0.375        -        -\n"
                 "iter-2, fresh try (control)           0.275        -        -\n"
                 "iter-2, wrong feedback (control)      0.250        -        -\n"
                 "of 1200 first attempts at 300 problems of 'heldout'\n");
    add_eval(&h, 100, 0.5, 0.5, true);
    add_eval(&h, 200, 0.5, 0.75, true);
    is_table(&h, "solved within one and two attempts   before    after   change\n"
                 "iter-1                                0.250    0.500   +0.250\n"
                 "iter-2                                0.375    0.750   +0.375\n"
                 "iter-2, fresh try (control)           0.275    0.650   +0.375\n"
                 "iter-2, wrong feedback (control)      0.250    0.625   +0.375\n"
                 "of 1200 first attempts at 300 problems of 'heldout'\n");
    history_release(&h);
    add_eval(&h, 3, 0.5, 0.75, false);
    is_table(&h, "solved within one and two attempts   before    after   change\n"
                 "iter-1                                    -    0.500        -\n"
                 "iter-2                                    -    0.750        -\n"
                 "of 1200 first attempts at 300 problems of 'heldout'\n");
    history_release(&h);
}

// Pass rates, losses, or both: each has its own heading.
static void tables_of_losses(void **state) {
    history h = {0};
    (void)state;
    for (int32_t step = 0; step <= 5; step += 5) {
        rl_metrics m = {0};
        rl_metrics_put(&m, step, "step");
        rl_metrics_put(&m, step == 0 ? 2.5 : 1.25, "eval/loss");
        history_add_eval(&h, "heldout", &m);
    }
    is_table(&h, "held-out conversations               before    after   change\n"
                 "loss                                  2.500    1.250   -1.250\n");
    history_release(&h);
    for (int32_t step = 0; step <= 5; step += 5) {
        rl_metrics m = measured(step, 0.25, 0.5, false);
        rl_metrics_put(&m, step == 0 ? 2.5 : 1.25, "eval/loss");
        history_add_eval(&h, "heldout", &m);
    }
    is_table(&h, "solved within one and two attempts   before    after   change\n"
                 "iter-1                                0.250    0.250   +0.000\n"
                 "iter-2                                0.500    0.500   +0.000\n"
                 "of 1200 first attempts at 300 problems of 'heldout'\n"
                 "held-out conversations               before    after   change\n"
                 "loss                                  2.500    1.250   -1.250\n");
    history_release(&h);
}

static void tables_of_one_evaluation(void **state) {
    rl_metrics m = measured(0, 0.25, 0.5, true);
    rl_str out = {0};
    (void)state;
    summary_eval(&m, "heldout", &out);
    assert_string_equal(rl_str_text(&out), "of 1200 first attempts at 300 problems of 'heldout'\n"
                                           "iter-1                                0.250\n"
                                           "iter-2                                0.500\n"
                                           "iter-2, fresh try (control)           0.400\n"
                                           "iter-2, wrong feedback (control)      0.375\n");
    rl_str_release(&out);
}

// What is drawn: pass rates with evaluations where there is a reward, else the loss.
static void plots(void **state) {
    history h = {0};
    rl_str out = {0};
    (void)state;
    summary_plot(&h, true, &out);
    assert_int_equal(out.len, 0);
    add_step(&h, 1, 0.5, 0.25, (double)NAN);
    add_eval(&h, 0, 0.25, 0.375, false);
    summary_plot(&h, false, &out);
    assert_non_null(
        strstr(rl_str_text(&out), ". reward   o turn 1 solved   1 held-out iter-1   2 iter-2"));
    assert_null(strstr(rl_str_text(&out), "turn 2"));
    assert_null(strstr(rl_str_text(&out), "mean of")); // nothing is smoothed before 11 steps
    rl_str_clear(&out);
    for (int32_t step = 2; step <= 51; step++) {
        add_step(&h, step, 0.5, 0.25, 0.125);
    }
    summary_plot(&h, false, &out);
    assert_non_null(strstr(rl_str_text(&out), "step (lines: mean of 6 steps)"));
    assert_non_null(strstr(rl_str_text(&out), "* turn 2 solved"));
    rl_str_clear(&out);
    summary_svg(&h, &out);
    assert_non_null(strstr(rl_str_text(&out), ">step (lines: mean of 6 steps)<"));
    assert_non_null(strstr(rl_str_text(&out), ">held-out iter-1<"));
    history_release(&h);
    rl_str_clear(&out);
    add_step(&h, 1, (double)NAN, (double)NAN, (double)NAN);
    summary_plot(&h, false, &out);
    assert_non_null(strstr(rl_str_text(&out), "   * loss\n"));
    history_release(&h);
    rl_str_release(&out);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables),
        cmocka_unit_test(tables_of_losses),
        cmocka_unit_test(tables_of_one_evaluation),
        cmocka_unit_test(plots),
    };
    return cmocka_run_group_tests_name("summary", tests, NULL, NULL);
}
