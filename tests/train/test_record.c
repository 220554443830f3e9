#include "train/record.h"

#include <math.h>

#include "tests/support/support.h"

enum { SAMPLES_MAX = 4 };

// A step's result put together by hand: one group of one token a sample, all of turn 1.
typedef struct fixture {
    rl_rollout_result result;
    rl_judge judge;
    rl_problem problem;
    rl_group group;
    rl_sample sample[SAMPLES_MAX];
    rl_sample_story story[SAMPLES_MAX];
    int32_t token[SAMPLES_MAX], prompt_ids[1], n_prompt_ids[1];
    double logp[SAMPLES_MAX], part[SAMPLES_MAX];
    const char *prompt_text[1];
    size_t prompt_text_len[1];
    const int32_t *prompt_token[1];
} fixture;

static void begin(fixture *x, int32_t n_samples) {
    *x = (fixture){.judge = {.name = "tests", .weight = 1},
                   .problem = {.id = "p"},
                   .group = {.parent = -1, .n_samples = n_samples},
                   .n_prompt_ids = {1},
                   .prompt_text = {"ask"},
                   .prompt_text_len = {3}};
    x->prompt_token[0] = x->prompt_ids;
    for (int32_t i = 0; i < n_samples; i++) {
        x->sample[i] = (rl_sample){.parent = -1,
                                   .tok_begin = (uint32_t)i,
                                   .tok_end = (uint32_t)i + 1,
                                   .scored = true,
                                   .keep = true};
        x->story[i] =
            (rl_sample_story){.problem = &x->problem, .completion = "say", .completion_len = 3};
    }
    x->result = (rl_rollout_result){.batch = {.group = &x->group,
                                              .n_groups = 1,
                                              .sample = x->sample,
                                              .n_samples = n_samples,
                                              .token = x->token,
                                              .n_tokens = (uint32_t)n_samples,
                                              .logp_sampled = x->logp,
                                              .reward_part = x->part,
                                              .n_parts = 1,
                                              .n_turns = 1},
                                    .story = x->story,
                                    .prompt_text = x->prompt_text,
                                    .prompt_text_len = x->prompt_text_len,
                                    .prompt_token = x->prompt_token,
                                    .n_prompt_tokens = x->n_prompt_ids};
}

// Texts are written to their ends, whatever bytes they hold.
static void writes_any_bytes(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *json;
    } table[] = {
        {"", 0, "\"\""},
        {"a\0b", 3, "\"a\\u0000b\""},
        {"\0", 1, "\"\\u0000\""},
        {"a\0\0", 3, "\"a\\u0000\\u0000\""},
        {"\033[2J\x7f\"\n", 7, "\"\\u001b[2J\x7f\\\"\\n\""},
        {"a\0\xff", 3, "\"a\\u0000\xef\xbf\xbd\""},
    };
    fixture x;
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        char want[3][64];
        rl_str out = {0};
        begin(&x, 1);
        x.story[0].completion = x.story[0].feedback = x.prompt_text[0] = table[i].bytes;
        x.story[0].completion_len = x.story[0].feedback_len = x.prompt_text_len[0] = table[i].len;
        record_completions(&x.result, &x.judge, 1, 1, &out);
        snprintf(want[0], sizeof want[0], "\"prompt\":%s,", table[i].json);
        snprintf(want[1], sizeof want[1], "\"completion\":%s,", table[i].json);
        snprintf(want[2], sizeof want[2], "\"feedback\":%s,", table[i].json);
        for (int k = 0; k < 3; k++) {
            if (strstr(rl_str_text(&out), want[k]) == NULL) {
                fail_msg("no '%s' in '%s'", want[k], rl_str_text(&out));
            }
        }
        assert_int_equal(strlen(rl_str_text(&out)), out.len);
        rl_str_release(&out);
    }
    begin(&x, 1);
    rl_str out = {0};
    record_completions(&x.result, &x.judge, 1, 1, &out);
    assert_non_null(strstr(rl_str_text(&out), "\"feedback\":null,"));
    rl_str_release(&out);
}

static bool has(const rl_metrics *m, const char *name) {
    for (int32_t i = 0; i < m->n_items; i++) {
        if (rl_text_equal(m->item[i].name, name)) {
            return true;
        }
    }
    return false;
}

// The keys of two turns are always there, null where a turn had no samples; more where more turns
// are allowed.
static void puts_two_turns_at_least(void **state) {
    static const char *const key[] = {"samples", "reward", "solved"};
    fixture x;
    (void)state;
    for (int32_t n_turns = 1; n_turns <= 3; n_turns++) {
        rl_metrics m = {0};
        char name[64];
        begin(&x, 2);
        x.result.batch.n_turns = n_turns;
        x.sample[0].reward = 1;
        x.story[0].solved = true;
        record_rollout(&x.result, &x.judge, 1, "eval/", &m);
        for (int32_t turn = 1; turn <= 4; turn++) {
            for (size_t k = 0; k < RL_COUNT(key); k++) {
                snprintf(name, sizeof name, "eval/turn%d/%s", turn, key[k]);
                assert_int_equal(has(&m, name), turn <= (n_turns > 2 ? n_turns : 2));
            }
        }
        assert_true(rl_metrics_get(&m, "eval/turn1/solved") == 0.5);
        assert_true(rl_metrics_get(&m, "eval/turn2/samples") == 0);
        assert_true(isnan(rl_metrics_get(&m, "eval/turn2/reward")));
        assert_true(isnan(rl_metrics_get(&m, "eval/turn2/solved")));
    }
}

// What a rollout counts is shown, each count under its own name.
static void shows_every_count(void **state) {
    rl_metrics m = {0};
    fixture x;
    (void)state;
    begin(&x, 1);
    x.result.n_ok = 2;
    x.result.n_fail = 3;
    x.result.n_timeout = 5;
    x.result.n_unknown = 7;
    x.result.n_no_room = 11;
    record_rollout(&x.result, &x.judge, 1, "", &m);
    assert_true(rl_metrics_get(&m, "sandbox/ok") == 2);
    assert_true(rl_metrics_get(&m, "sandbox/fail") == 3);
    assert_true(rl_metrics_get(&m, "sandbox/timeout") == 5);
    assert_true(rl_metrics_get(&m, "sandbox/unknown") == 7);
    assert_true(rl_metrics_get(&m, "turns/no_room") == 11);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(writes_any_bytes),
        cmocka_unit_test(puts_two_turns_at_least),
        cmocka_unit_test(shows_every_count),
    };
    return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
