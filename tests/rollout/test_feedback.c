#include "rollout/feedback.h"
#include "tests/support/support.h"

static const rl_rollout_opts words = {.feedback_open = "The tests say:",
                                      .feedback_close = "Try again."};
static const rl_rollout_opts bare = {.feedback_open = "", .feedback_close = ""};

static const struct {
    const rl_rollout_opts *opts;
    rl_verdict verdict;
    const char *feedback, *text;
} cases[] = {
    {&words,
     {.kind = RL_VERDICT_PARTIAL, .passed = 1, .total = 3},
     "assert f(1) == 2: got 3\n",
     "The tests say:\n1/3 tests passed.\nassert f(1) == 2: got 3\n\nTry again."},
    {&words,
     {.kind = RL_VERDICT_FAIL, .total = 2},
     NULL,
     "The tests say:\n0/2 tests passed.\n\nTry again."},
    {&words,
     {.kind = RL_VERDICT_UNREADABLE},
     "No complete python code block was found.",
     "No complete python code block was found.\n\nTry again."},
    {&words, {.kind = RL_VERDICT_UNREADABLE}, NULL, "No answer could be read.\n\nTry again."},
    {&words, {.kind = RL_VERDICT_FAIL}, "", "The answer is not correct.\n\nTry again."},
    {&words, {.kind = RL_VERDICT_PARTIAL}, NULL, "The answer is partly correct.\n\nTry again."},
    {&bare,
     {.kind = RL_VERDICT_FAIL, .passed = 0, .total = 1},
     "NameError: name 'x'\n\n",
     "0/1 tests passed.\nNameError: name 'x'\n"},
};

static void test_wording(void **state) {
    rl_arena *arena = rl_arena_new(0);
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        rl_verdict verdict = cases[i].verdict;
        verdict.feedback = cases[i].feedback;
        verdict.feedback_len = verdict.feedback != NULL ? strlen(verdict.feedback) : 0;
        size_t len;
        assert_string_equal(rl_feedback_text(cases[i].opts, &verdict, arena, &len), cases[i].text);
        assert_int_equal(len, strlen(cases[i].text));
    }
    rl_arena_free(arena);
}

// Only feedback_len bytes are shown, whatever follows.
static void test_length(void **state) {
    rl_arena *arena = rl_arena_new(0);
    static const char whole[] = "The tests say:\n0/1 tests passed.\na\0c\n\nTry again.";
    rl_verdict verdict = {
        .kind = RL_VERDICT_FAIL, .total = 1, .feedback = "abcdef", .feedback_len = 3};
    size_t len;
    const char *text;
    (void)state;
    assert_string_equal(rl_feedback_text(&bare, &verdict, arena, &len), "0/1 tests passed.\nabc\n");
    verdict.feedback = "a\0cdef";
    text = rl_feedback_text(&words, &verdict, arena, &len);
    assert_int_equal(len, sizeof whole - 1);
    assert_memory_equal(text, whole, len);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_wording),
        cmocka_unit_test(test_length),
    };
    return cmocka_run_group_tests_name("feedback", tests, NULL, NULL);
}
