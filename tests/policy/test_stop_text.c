/* Stop texts: cut to the byte, however the text comes in pieces. */
#include "rl/policy/stop_text.h"

#include "rl/core/rng.h"
#include "tests/support/support.h"

typedef struct stop_case {
    const char *stop[4];
    const char *text, *out;
    bool found;
} stop_case;

static const stop_case cases[] = {
    {{NULL}, "all of it", "all of it", false},
    {{"\n\n"}, "one\ntwo\n\nthree", "one\ntwo", true},
    {{"END"}, "ENENEND", "ENEN", true},
    {{"END"}, "ENENEN", "ENENEN", false},
    {{"aab"}, "aaab", "a", true},
    {{"abab", "bc"}, "ababc", "", true},
    {{"abcd", "bc"}, "abcd", "a", true}, // complete first
    {{"bc", "abc"}, "xabc", "x", true},  // longest of two
    {{"x"}, "", "", false},
    {{"x"}, "xyz", "", true},
    {{"é"}, "caf\xc3\xa9!", "caf", true},
    {{"</s>", "User:"}, "a </ User :< User:", "a </ User :< ", true},
};

static void check(const stop_case *c, size_t index, const rl_rng *rng) {
    size_t n_stop = 0, len = strlen(c->text);
    rl_stop_text *stop;
    rl_str out = {0};
    bool found = false;
    while (c->stop[n_stop] != NULL) {
        n_stop++;
    }
    stop = rl_stop_text_new(c->stop, n_stop);
    for (size_t at = 0, piece; at < len; at += piece) {
        piece = rng != NULL ? rl_rng_below(rng, at, 4) : len;
        piece = piece < len - at ? piece : len - at;
        found = rl_stop_text_put(stop, c->text + at, piece, &out);
        if (piece == 0) {
            at++;
            found = rl_stop_text_put(stop, c->text + at - 1, 1, &out);
        }
    }
    rl_stop_text_end(stop, &out);
    if (strcmp(rl_str_text(&out), c->out) != 0 || found != c->found) {
        fail_msg("case %zu: '%s', %d", index, rl_str_text(&out), found);
    }
    rl_str_release(&out);
    rl_stop_text_free(stop);
}

static void test_cases(void **state) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(cases); i++) {
        check(&cases[i], i, NULL);
        for (rng.step = 0; rng.step < 50; rng.step++) {
            check(&cases[i], i, &rng);
        }
    }
}

/* Text that cannot become a stop text is given at once. */
static void test_prompt(void **state) {
    static const char *const texts[] = {"stop"};
    rl_stop_text *stop = rl_stop_text_new(texts, 1);
    rl_str out = {0};
    (void)state;
    assert_false(rl_stop_text_put(stop, "go", 2, &out));
    assert_string_equal(rl_str_text(&out), "go");
    assert_false(rl_stop_text_put(stop, " sto", 4, &out));
    assert_string_equal(rl_str_text(&out), "go ");
    assert_false(rl_stop_text_put(stop, "re", 2, &out));
    assert_string_equal(rl_str_text(&out), "go store");
    rl_str_release(&out);
    rl_stop_text_free(stop);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_cases), cmocka_unit_test(test_prompt)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
