#include "train/report.h"

#include "rl/core/log.h"
#include "rl/core/str.h"
#include "tests/support/support.h"

// What report_samples writes of one sample.
static char *shown(rl_arena *arena, const rl_sample *sample, const rl_sample_story *story,
                   size_t *len) {
    enum { MAX = 1 << 17 };
    rl_rollout_result result = {.batch = {.sample = (rl_sample *)(uintptr_t)sample, .n_samples = 1},
                                .story = (rl_sample_story *)(uintptr_t)story};
    report r = report_begin(1);
    FILE *sink = tmpfile();
    char *out = rl_arena_alloc(arena, MAX, 1);
    assert_non_null(sink);
    rl_log_setup(sink, RL_LOG_INFO);
    report_samples(&r, &result, 1);
    rl_log_setup(NULL, RL_LOG_INFO);
    rewind(sink);
    *len = fread(out, 1, MAX, sink);
    fclose(sink);
    return out;
}

// No byte of a model or a data set reaches the terminal as a control character.
static void shows_control_characters(void **state) {
    static const struct {
        const char *bytes;
        size_t len;
        const char *shown;
    } table[] = {
        {"a\n\tb", 4, "a\n\tb"},
        {"\033[2J\033]0;title\a", 14, "\\x1b[2J\\x1b]0;title\\x07"},
        {"a\0b", 3, "a\\x00b"},
        {"over\rwrite\b\x7f", 12, "over\\x0dwrite\\x08\\x7f"},
        {"\xc2\x9b"
         "31m",
         5, "\\u009b31m"},
        {"\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80", 9, "\xc3\xa9\xe2\x82\xac\xf0\x9f\x98\x80"},
        {"\xff\xc2", 2, "\\xff\\xc2"},
        {"", 0, ""},
    };
    rl_arena *arena = rl_arena_new(0);
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_problem problem = {.id = "p\033c"};
        rl_sample sample = {.scored = true, .reward = 0.25, .advantage = -1.5, .turn = 1};
        rl_sample_story story = {.problem = &problem,
                                 .completion = table[i].bytes,
                                 .completion_len = table[i].len,
                                 .verdict = RL_VERDICT_PARTIAL};
        size_t len;
        const char *want = rl_arena_printf(
            arena,
            "--- problem p\\x1bc, turn 2, sample 0: partial, reward 0.250, advantage -1.500\n%s\n",
            table[i].shown);
        assert_string_equal(shown(arena, &sample, &story, &len), want);
        assert_int_equal(len, strlen(want));
    }
    rl_arena_free(arena);
}

static void shows_none_for_the_unscored(void **state) {
    rl_arena *arena = rl_arena_new(0);
    rl_problem problem = {.id = "p"};
    rl_sample sample = {.scored = false};
    rl_sample_story story = {.problem = &problem,
                             .completion = "say",
                             .completion_len = 3,
                             .verdict = RL_VERDICT_UNKNOWN};
    size_t len;
    (void)state;
    assert_string_equal(shown(arena, &sample, &story, &len),
                        "--- problem p, turn 1, sample 0: unknown, reward none, advantage none\n"
                        "say\n");
    rl_arena_free(arena);
}

static void shows_all_of_a_long_answer(void **state) {
    enum { LEN = 60000 };
    rl_arena *arena = rl_arena_new(0);
    char *said = rl_arena_alloc(arena, LEN + 1, 1), *out;
    rl_problem problem = {.id = "p"};
    rl_sample sample = {.scored = true};
    rl_sample_story story = {.problem = &problem, .completion = said, .completion_len = LEN};
    size_t len;
    (void)state;
    memset(said, 'x', LEN);
    said[LEN - 1] = '!';
    out = shown(arena, &sample, &story, &len);
    assert_true(len > LEN + 1);
    assert_memory_equal(out + len - LEN - 1, said, LEN);
    rl_arena_free(arena);
}

// Words of the console are those of the metrics.
static void names_what_it_shows(void **state) {
    rl_metrics m = {0};
    report r = report_begin(2);
    FILE *sink = tmpfile();
    char line[2048];
    size_t n;
    (void)state;
    assert_non_null(sink);
    rl_metrics_put(&m, 1, "step");
    rl_metrics_put(&m, 0.25, "turn1/solved");
    rl_metrics_put(&m, 0.5, "turn2/solved");
    rl_metrics_put(&m, 0.125, "eval/heldout/iter2_fresh");
    rl_metrics_put(&m, 0.75, "eval/heldout/iter2_wrong_feedback");
    rl_log_setup(sink, RL_LOG_INFO);
    report_step(&r, &m);
    report_eval(&r, "heldout", &m);
    rl_log_setup(NULL, RL_LOG_INFO);
    rewind(sink);
    n = fread(line, 1, sizeof line - 1, sink);
    line[n] = '\0';
    fclose(sink);
    assert_non_null(strstr(line, "step 1/2  turn1 0.250  turn2 0.500  left"));
    assert_non_null(
        strstr(line, "eval at step 1  iter2_fresh 0.125  iter2_wrong_feedback 0.750\n"));
}

static void warns_of_what_no_verifier_can_read(void **state) {
    enum { N = 20 };
    rl_sample sample[N] = {{0}};
    rl_sample_story story[N] = {{.verdict = RL_VERDICT_UNREADABLE}};
    rl_rollout_result result = {.batch = {.sample = sample}, .story = story};
    report r = report_begin(1);
    FILE *sink = tmpfile();
    char line[1024];
    (void)state;
    assert_non_null(sink);
    rl_log_setup(sink, RL_LOG_INFO);
    assert_false(report_unreadable(&r, 7, &result)); // there is no completion
    result.batch.n_samples = N;
    for (int32_t i = 1; i < N; i++) {
        story[i].verdict = i < 17 ? RL_VERDICT_UNREADABLE : RL_VERDICT_FAIL;
    }
    assert_false(report_unreadable(&r, 7, &result)); // 17 of 20
    assert_int_equal(ftell(sink), 0);
    story[17].verdict = RL_VERDICT_UNREADABLE;
    assert_true(report_unreadable(&r, 7, &result));
    rl_log_setup(NULL, RL_LOG_INFO);
    rewind(sink);
    line[fread(line, 1, sizeof line - 1, sink)] = '\0';
    fclose(sink);
    assert_non_null(strstr(line, "step 7: the verifier can read no answer in 18 of 20"));
    assert_non_null(strstr(line, "'code' of code_tests"));
}

// The bar: no time before it is known and none after the last step; it falls within a step and is
// not moved by an evaluation.
static void shows_time_only_where_it_is_known(void **state) {
    static const struct {
        int64_t n_steps, done;
        double now;
        const char *shown;
    } table[] = {
        {0, 0, 5, "evaluating"},
        {4, 0, 105, "[>                       ] step 1/4 evaluating"},
        {4, 1, 110, "[======>                 ] step 2/4 evaluating, 30s left"},
        {4, 1, 114, "[======>                 ] step 2/4 evaluating, 26s left"},
        {4, 1, 190, "[======>                 ] step 2/4 evaluating, 0s left"},
        {4, 4, 110, "[========================] evaluating"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        report r = {
            .n_steps = table[i].n_steps, .done = table[i].done, .started = 100, .spent = 10};
        rl_str bar = {0};
        report_bar(&r, table[i].now, "evaluating", &bar);
        assert_string_equal(rl_str_text(&bar), table[i].shown);
        r.started += 50;
        rl_str_clear(&bar);
        report_bar(&r, table[i].now + 50, "evaluating", &bar);
        assert_string_equal(rl_str_text(&bar), table[i].shown);
        rl_str_release(&bar);
    }
}

// Steps count for the time left whether or not they get a line.
static void counts_steps_without_a_line(void **state) {
    report r = {.n_steps = 10, .started = 100};
    rl_str bar = {0};
    (void)state;
    for (int32_t step = 1; step <= 3; step++) {
        report_done(&r, 100 + 10.0 * step);
    }
    report_bar(&r, 130, "sampling", &bar);
    assert_string_equal(rl_str_text(&bar),
                        "[=======>                ] step 4/10 sampling, 1m10s left");
    rl_str_release(&bar);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_what_it_shows),
        cmocka_unit_test(warns_of_what_no_verifier_can_read),
        cmocka_unit_test(shows_time_only_where_it_is_known),
        cmocka_unit_test(counts_steps_without_a_line),
        cmocka_unit_test(shows_control_characters),
        cmocka_unit_test(shows_none_for_the_unscored),
        cmocka_unit_test(shows_all_of_a_long_answer),
    };
    return cmocka_run_group_tests_name("report", tests, NULL, NULL);
}
