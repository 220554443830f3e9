#include "tests/support/support.h"

#include <math.h>

#include "rl/core/json.h"
#include "rl/policy/optim.h"

static rl_schedule schedule_named(const char *name) {
    static const char *const names[] = {"constant", "linear", "cosine"};
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        if (strcmp(names[i], name) == 0) {
            return (rl_schedule)i;
        }
    }
    fail_msg("no schedule '%s'", name);
    return RL_SCHEDULE_CONSTANT;
}

static void schedules_match_transformers(void **state) {
    rl_err err;
    rl_json_doc *doc;
    int32_t n_rates = 0;
    (void)state;
    assert_ok(rl_json_read(rl_golden("schedules.json"), &doc, &err));
    const rl_json *item = rl_json_first(rl_json_get(rl_json_root(doc), "schedules"));
    for (; item != NULL; item = rl_json_next(item)) {
        rl_optim_opts opts = {
            .lr = rl_json_number(rl_json_get(item, "lr"), -1),
            .schedule = schedule_named(rl_json_text(rl_json_get(item, "schedule"), "")),
            .warmup_steps = (int32_t)rl_json_number(rl_json_get(item, "warmup_steps"), -1),
            .min_lr_ratio = rl_json_number(rl_json_get(item, "min_lr_ratio"), -1),
        };
        int64_t n = (int64_t)rl_json_number(rl_json_get(item, "n_updates"), -1), k = 0;
        const rl_json *rate = rl_json_first(rl_json_get(item, "rate"));
        for (; rate != NULL; rate = rl_json_next(rate), k++) {
            // The golden agrees with the formulas to 1e-18.
            assert_true(fabs(rl_lr_at(&opts, k, n) - rl_json_number(rate, -1)) <= 1e-17);
            n_rates++;
        }
        assert_int_equal(k, n);
        double after = rl_json_number(rl_json_get(item, "rate_after"), -1);
        assert_true(fabs(rl_lr_at(&opts, n, n) - after) <= 1e-17);
        assert_true(rl_lr_at(&opts, n + 5, n) == rl_lr_at(&opts, n, n));
    }
    assert_true(n_rates > 100);
    rl_json_free(doc);
}

static void linear_ends_at_its_least_rate(void **state) {
    rl_optim_opts opts = {.lr = 2, .schedule = RL_SCHEDULE_LINEAR, .min_lr_ratio = 0.25};
    (void)state;
    assert_true(rl_lr_at(&opts, 0, 4) == 2);
    assert_true(rl_lr_at(&opts, 2, 4) == 1.25);
    assert_true(rl_lr_at(&opts, 4, 4) == 0.5);
}

static void warm_up_may_outlast_the_run(void **state) {
    rl_optim_opts opts = {.lr = 1, .schedule = RL_SCHEDULE_COSINE, .warmup_steps = 8};
    (void)state;
    assert_true(rl_lr_at(&opts, 2, 4) == 0.25);
    assert_true(rl_lr_at(&opts, 8, 4) == 1);
    assert_true(rl_lr_at(&opts, 9, 4) == 0);
}

static void defaults_are_trls(void **state) {
    rl_arena *arena = rl_arena_new(0);
    rl_optim_opts opts;
    (void)state;
    rl_section_defaults(&rl_optim_section, arena, &opts);
    assert_true(opts.lr == 1e-6 && opts.beta1 == 0.9 && opts.beta2 == 0.999 && opts.eps == 1e-8);
    assert_true(opts.weight_decay == 0 && opts.max_grad_norm == 1 && opts.min_lr_ratio == 0);
    assert_true(opts.schedule == RL_SCHEDULE_LINEAR && opts.warmup_steps == 0);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_match_transformers),
        cmocka_unit_test(linear_ends_at_its_least_rate),
        cmocka_unit_test(warm_up_may_outlast_the_run),
        cmocka_unit_test(defaults_are_trls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
