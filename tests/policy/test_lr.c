#include "tests/support/support.h"

#include <math.h>

#include "rl/core/json.h"
#include "rl/policy/optim.h"

// The number that a choice of the section has by its name.
static int32_t choice(const char *key, const char *name) {
    for (size_t k = 0; k < rl_optim_section.n_keys; k++) {
        const rl_key *row = &rl_optim_section.keys[k];
        for (int32_t i = 0; strcmp(row->name, key) == 0 && row->choices[i] != NULL; i++) {
            if (strcmp(row->choices[i], name) == 0) {
                return i;
            }
        }
    }
    fail_msg("'%s' has no choice '%s'", key, name);
    return 0;
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
            .schedule =
                (rl_schedule)choice("schedule", rl_json_text(rl_json_get(item, "schedule"), "")),
            .decay_steps = (int32_t)rl_json_number(rl_json_get(item, "decay_steps"), 0),
            .decay_type = (rl_decay)choice("decay_type",
                                           rl_json_text(rl_json_get(item, "decay_type"), "linear")),
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
    assert_true(n_rates > 240);
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

static void a_fall_needs_its_length(void **state) {
    rl_optim_opts opts = {.schedule = RL_SCHEDULE_WARMUP_STABLE_DECAY};
    rl_err err = {""};
    (void)state;
    assert_int_equal(rl_optim_section.check(&opts, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "'optim.decay_steps' is 0"));
    opts.decay_steps = 1;
    assert_ok(rl_optim_section.check(&opts, &err));
    opts = (rl_optim_opts){.schedule = RL_SCHEDULE_COSINE};
    assert_ok(rl_optim_section.check(&opts, &err));
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
        cmocka_unit_test(a_fall_needs_its_length),
        cmocka_unit_test(defaults_are_trls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
