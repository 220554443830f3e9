/* Curves as text and as a picture, against goldens; RL_WRITE_GOLDEN=1 writes them anew. */
#include "train/plot.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "tests/support/support.h"

static void check_golden(const char *name, const rl_str *got) {
    rl_arena *arena = rl_arena_new(0);
    const char *path = rl_golden(rl_arena_printf(arena, "plot/%s", name));
    char *want;
    size_t len;
    rl_err err;
    if (getenv("RL_WRITE_GOLDEN") != NULL) {
        assert_ok(rl_fs_write(path, got->ptr, got->len, &err));
    }
    assert_ok(rl_fs_read(path, arena, &want, &len, &err));
    if (len != got->len || memcmp(want, got->ptr, len) != 0) {
        fail_msg("not as '%s':\n%s", path, rl_str_text(got));
    }
    rl_arena_free(arena);
}

static void check(const char *name, const plot_curve *curve, int32_t n_curves) {
    static const struct {
        const char *ending;
        bool utf8;
    } forms[] = {{"txt", true}, {"ascii.txt", false}};
    rl_str out = {0};
    char file[64];
    for (size_t i = 0; i < RL_COUNT(forms); i++) {
        plot_text(curve, n_curves, "step", forms[i].utf8, &out);
        for (size_t k = 0; k < out.len; k++) {
            assert_true(forms[i].utf8 || (unsigned char)out.ptr[k] < 0x80);
        }
        snprintf(file, sizeof file, "%s.%s", name, forms[i].ending);
        check_golden(file, &out);
        rl_str_clear(&out);
    }
    plot_svg(curve, n_curves, "step", &out);
    snprintf(file, sizeof file, "%s.svg", name);
    check_golden(file, &out);
    rl_str_release(&out);
}

enum { STEPS = 100 };

// A run as it should be: rewards rise, second turns more, evaluations at both ends.
static void draws_a_run(void **state) {
    double step[STEPS], reward[STEPS], turn1[STEPS], turn2[STEPS];
    const double at[] = {0, 50, 100}, iter1[] = {0.25, 0.36, 0.47}, iter2[] = {0.32, 0.55, 0.71};
    (void)state;
    for (int32_t i = 0; i < STEPS; i++) {
        double t = (double)i / STEPS, wave = (double)(i * 37 % 11) / 100;
        step[i] = i + 1;
        reward[i] = 0.2 + 0.5 * t * (2 - t) + wave;
        turn1[i] = 0.2 + 0.3 * t + wave;
        turn2[i] = i % 7 == 3 ? (double)NAN : 0.1 + 0.5 * t + wave;
    }
    plot_smooth(reward, STEPS, 10, reward);
    plot_smooth(turn1, STEPS, 10, turn1);
    plot_smooth(turn2, STEPS, 10, turn2);
    const plot_curve curves[] = {
        {"reward", PLOT_LINE_DOT, step, reward, STEPS},
        {"turn 1", PLOT_LINE_RING, step, turn1, STEPS},
        {"turn 2", PLOT_LINE_DISC, step, turn2, STEPS},
        {"held-out iter-1", PLOT_MARK_DIAMOND, at, iter1, 3},
        {"iter-2", PLOT_MARK_FULL_DIAMOND, at, iter2, 3},
    };
    check("run", curves, RL_COUNT(curves));
}

// Few steps are joined; values below zero have room; one step alone has a place.
static void draws_few_steps(void **state) {
    const double step[] = {1, 2, 3, 4}, reward[] = {-0.5, (double)NAN, 1.5, 0.75};
    const plot_curve few = {"reward", PLOT_LINE_DISC, step, reward, 4};
    const plot_curve one = {"reward", PLOT_LINE_DISC, step, reward + 3, 1};
    (void)state;
    check("few", &few, 1);
    check("one", &one, 1);
}

static void draws_nothing_of_nothing(void **state) {
    const double step[] = {1, 2}, none[] = {(double)NAN, (double)NAN}, zero[] = {0, 0};
    const plot_curve empty = {"reward", PLOT_LINE_DOT, step, none, 2};
    const plot_curve flat = {"reward", PLOT_LINE_DOT, step, zero, 2};
    rl_str out = {0};
    (void)state;
    plot_text(&empty, 1, "step", true, &out);
    plot_text(&empty, 0, "step", true, &out);
    assert_int_equal(out.len, 0);
    plot_svg(&empty, 1, "step", &out);
    assert_non_null(strstr(rl_str_text(&out), "</svg>"));
    assert_null(strstr(rl_str_text(&out), "<text"));
    rl_str_release(&out);
    check("flat", &flat, 1);
}

static void smooths_what_is_finite(void **state) {
    const double y[] = {1, 3, (double)NAN, 5, (double)NAN, (double)NAN};
    const double want[] = {1, 2, 3, 5, 5, (double)NAN};
    double out[6];
    (void)state;
    plot_smooth(y, 6, 2, out);
    for (int32_t i = 0; i < 6; i++) {
        assert_true(out[i] == want[i] || (isnan(out[i]) && isnan(want[i])));
    }
    memcpy(out, y, sizeof y);
    plot_smooth(out, 6, 1, out);
    assert_true(out[1] == 3 && isnan(out[2]) && out[3] == 5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(draws_a_run),
        cmocka_unit_test(draws_few_steps),
        cmocka_unit_test(draws_nothing_of_nothing),
        cmocka_unit_test(smooths_what_is_finite),
    };
    return cmocka_run_group_tests_name("plot", tests, NULL, NULL);
}
