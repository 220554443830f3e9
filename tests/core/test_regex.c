#include "tests/support/support.h"

#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/regex.h"

static rl_regex *compile(const char *pattern) {
    rl_regex *regex;
    rl_err err;
    assert_ok(rl_regex_new(pattern, &regex, &err));
    return regex;
}

/* Splits text the way a tokenizer does and joins the pieces with '|'. */
static void assert_splits(const char *pattern, const char *text, const char *want) {
    rl_regex *regex = compile(pattern);
    size_t at = 0, len = strlen(text), used = 0;
    char got[256];
    while (at < len) {
        rl_err err;
        bool found;
        size_t begin, end;
        assert_ok(rl_regex_find(regex, text, len, at, &found, &begin, &end, &err));
        assert_true(found && begin == at && end > begin);
        used += (size_t)snprintf(got + used, sizeof got - used, at > 0 ? "|%.*s" : "%.*s",
                                 (int)(end - begin), text + begin);
        at = end;
    }
    assert_string_equal(got, want);
    rl_regex_free(regex);
}

static void test_tokenizer_patterns(void **state) {
    static const char gpt2[] =
        "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
    static const char llama3[] =
        "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{"
        "1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";
    (void)state;
    assert_splits(gpt2, "I'll go  to 12345 Caf\xC3\xA9s!",
                  "I|'ll| go| | to| 12345| Caf\xC3\xA9s|!");
    assert_splits(llama3, "I'LL pay 12345\n\n  x", "I|'LL| pay| |123|45|\n\n| | x");
    // U+2003 is white space and U+0664 a digit only with Unicode properties.
    assert_splits("\\s+|\\d+|\\w+", "a\xE2\x80\x83\xD9\xA4", "a|\xE2\x80\x83|\xD9\xA4");
}

static void test_find(void **state) {
    rl_regex *regex = compile("b*");
    rl_err err;
    bool found;
    size_t begin, end;
    (void)state;
    assert_ok(rl_regex_find(regex, "abba", 4, 0, &found, &begin, &end, &err));
    assert_true(found && begin == 0 && end == 0);
    assert_ok(rl_regex_find(regex, "abba", 4, 1, &found, &begin, &end, &err));
    assert_true(found && begin == 1 && end == 3);
    assert_ok(rl_regex_find(regex, "", 0, 0, &found, &begin, &end, &err));
    assert_true(found && begin == 0 && end == 0);
    rl_regex_free(regex);
    regex = compile("x");
    assert_ok(rl_regex_find(regex, "abba", 4, 0, &found, &begin, &end, &err));
    assert_false(found);
    rl_regex_free(regex);
    regex = compile("(a)(b)(b)"); // more groups than places kept
    assert_ok(rl_regex_find(regex, "cabb", 4, 0, &found, &begin, &end, &err));
    assert_true(found && begin == 1 && end == 4);
    rl_regex_free(regex);
    rl_regex_free(NULL);
}

static void test_bad_patterns(void **state) {
    rl_regex *regex;
    rl_err err;
    char *nested = rl_alloc(2001, 1);
    (void)state;
    assert_int_equal(rl_regex_new("ab(c", &regex, &err), RL_UNSUPPORTED);
    assert_null(regex);
    assert_string_equal(err.text,
                        "pattern 'ab(c' is not usable at byte 4: missing closing parenthesis");
    assert_int_equal(rl_regex_new("\xFF", &regex, &err), RL_UNSUPPORTED);
    assert_int_equal(rl_regex_new("(?=ab\\K)", &regex, &err), RL_UNSUPPORTED);
    memset(nested, '(', 1000);
    memset(nested + 1000, ')', 1000);
    assert_int_equal(rl_regex_new(nested, &regex, &err), RL_UNSUPPORTED);
    rl_free(nested);
}

/* Patterns that take exponential time or very deep backtracking end with a sentence, soon. */
static void test_limits(void **state) {
    static const struct {
        const char *pattern;
        size_t n;
    } row[] = {{"(a+)+$", 40}, {"(?:a|ab?)*c", 5000000}, {"(a|a)*$", 30}};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        rl_regex *regex = compile(row[i].pattern);
        char *text = rl_alloc(row[i].n + 2, 1);
        double start = rl_clock_now();
        rl_err err = {""};
        bool found;
        size_t begin, end;
        memset(text, 'a', row[i].n);
        text[row[i].n] = '!';
        assert_int_equal(rl_regex_find(regex, text, row[i].n + 1, 0, &found, &begin, &end, &err),
                         RL_UNSUPPORTED);
        assert_non_null(strstr(err.text, "limit exceeded"));
        assert_false(found);
        assert_true(rl_clock_now() - start < 20.0);
        rl_free(text);
        rl_regex_free(regex);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tokenizer_patterns),
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_bad_patterns),
        cmocka_unit_test(test_limits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
