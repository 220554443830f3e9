/* The hand-written splitters against the regular expressions whose place they take: every code
 * point in several surroundings, and random text made of what the patterns tell apart. */
#include "policy/scan.h"

#include "policy/pattern.h"
#include "rl/core/regex.h"
#include "rl/core/rng.h"
#include "rl/core/str.h"
#include "rl/core/unicode.h"
#include "tests/support/support.h"

#define TAIL(digits)                                                                               \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                                       \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define ANY_CASE "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define ASCII    "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

static const char *const patterns[] = {
    RL_PATTERN_GPT2,
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
    ANY_CASE TAIL("\\p{N}{1,3}"),
    ANY_CASE TAIL("\\p{N}"),
    ASCII TAIL("\\p{N}{1,3}"),
    ASCII TAIL("\\p{N}"),
    "\\p{N}",
};

static rl_regex *compile(const char *pattern) {
    rl_regex *regex = NULL;
    rl_err err;
    assert_ok(rl_pattern_new(pattern, &regex, &err));
    return regex;
}

/* All matches of one text by both ways. */
static void compare(rl_scan_kind kind, const rl_regex *regex, const char *text, size_t len) {
    size_t from = 0, begin = 0, end = 0, at = 0, to = 0;
    bool found = true;
    rl_err err;
    while (found) {
        assert_ok(rl_regex_find(regex, text, len, from, &found, &begin, &end, &err));
        bool same = rl_scan_find(kind, text, len, from, &at, &to) == found &&
                    (!found || (at == begin && to == end));
        if (!same) {
            print_error("pattern %d, from byte %zu of", (int)kind, from);
            for (size_t i = 0; i < len; i++) {
                print_error(" %02x", (unsigned)(uint8_t)text[i]);
            }
            fail_msg(": expected %zu to %zu, got %zu to %zu", begin, end, at, to);
        }
        from = end;
    }
}

static void test_random_text(void **state) {
    static const char *const parts[] = {
        " ",
        "  ",
        "\n",
        "\r\n",
        "\t",
        "a",
        "Zq",
        "'",
        "s",
        "S",
        "t",
        "re",
        "LL",
        "ve",
        "m",
        "D",
        "1",
        "23",
        "\xc2\xb2",
        ".",
        "--",
        "\xc3\xa9",
        "\xe4\xb8\xad",
        "\xc5\xbf",
        "\v",
        "\f",
        "\xe2\x80\xa8",
        "\xc2\x85",
        "\xc2\xa0",
        "\xe3\x80\x80",
        "\xcc\x81",
        "\xf0\x9f\x98\x80",
        "\0",
        "_",
        "\xd9\xa3",
        "/",
    };
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    rl_str text = {0};
    uint64_t draw = 0;
    (void)state;
    for (size_t p = 0; p < RL_COUNT(patterns); p++) {
        rl_scan_kind kind = rl_scan_of(patterns[p]);
        rl_regex *regex = compile(patterns[p]);
        assert_int_not_equal(kind, RL_SCAN_NONE);
        for (int round = 0; round < 4000; round++) {
            uint64_t n = rl_rng_below(&rng, draw++, 14);
            rl_str_clear(&text);
            for (uint64_t i = 0; i < n; i++) {
                const char *part = parts[rl_rng_below(&rng, draw++, RL_COUNT(parts))];
                rl_str_append_n(&text, part, part[0] == '\0' ? 1 : strlen(part));
            }
            compare(kind, regex, rl_str_text(&text), text.len);
        }
        rl_regex_free(regex);
    }
    rl_str_release(&text);
}

/* Characters that PCRE2's older tables do not know yet may differ; there are few, and none of them
 * was assigned when the tokenizers were made. */
static void test_all_characters(void **state) {
    rl_regex *assigned = compile("\\P{Cn}");
    rl_str text = {0};
    rl_err err;
    int n_unknown = 0;
    (void)state;
    for (size_t p = 0; p < RL_COUNT(patterns); p += 3) { // one of each family
        rl_scan_kind kind = rl_scan_of(patterns[p]);
        rl_regex *regex = compile(patterns[p]);
        for (uint32_t code = 1; code < 0x110000; code += code < 0x30000 ? 1 : 97) {
            size_t begin, end;
            bool known;
            if (code >= 0xd800 && code < 0xe000) {
                continue;
            }
            rl_str_clear(&text);
            rl_utf8_append(&text, code);
            assert_ok(rl_regex_find(assigned, text.ptr, text.len, 0, &known, &begin, &end, &err));
            if (!known && rl_unicode_class(code) != RL_CHAR_OTHER) {
                n_unknown++;
                continue;
            }
            rl_str_append(&text, "a ");
            rl_utf8_append(&text, code);
            rl_str_append(&text, "  ");
            rl_utf8_append(&text, code);
            rl_utf8_append(&text, code);
            rl_str_append(&text, "7\n'");
            rl_utf8_append(&text, code);
            compare(kind, regex, text.ptr, text.len);
        }
        rl_regex_free(regex);
    }
    print_message("%d characters are newer than PCRE2's tables\n", n_unknown);
    assert_true(n_unknown < 100000);
    rl_regex_free(assigned);
    rl_str_release(&text);
}

static void test_other_patterns(void **state) {
    size_t begin, end;
    (void)state;
    assert_int_equal(rl_scan_of(""), RL_SCAN_NONE);
    assert_int_equal(rl_scan_of("\\p{L}"), RL_SCAN_NONE);
    assert_int_equal(rl_scan_of(ANY_CASE), RL_SCAN_NONE);
    assert_false(rl_scan_find(RL_SCAN_GPT2, "a", 1, 1, &begin, &end));
    assert_false(rl_scan_find(RL_SCAN_NUMBER, "ab", 2, 0, &begin, &end));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_random_text),
        cmocka_unit_test(test_all_characters),
        cmocka_unit_test(test_other_patterns),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
