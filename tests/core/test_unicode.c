#include "tests/support/support.h"

#include "rl/core/unicode.h"

/* Every code point goes out and comes back; surrogates and what lies beyond do not exist. */
static void test_all_code_points(void **state) {
    rl_str out = {0};
    (void)state;
    for (uint32_t c = 0; c <= 0x10FFFF; c++) {
        uint32_t back = 0;
        if (c >= 0xD800 && c <= 0xDFFF) {
            continue;
        }
        rl_str_clear(&out);
        rl_utf8_append(&out, c);
        assert_int_equal(rl_utf8_decode(out.ptr, out.len, &back), out.len);
        assert_int_equal(back, c);
        assert_int_equal(rl_utf8_decode(out.ptr, out.len - 1, &back), 0);
    }
    rl_str_release(&out);
}

static void test_repair(void **state) {
    static const struct {
        const char *text, *want;
        size_t good; // bytes of the valid prefix
    } row[] = {
        {"", "", 0},
        {"abc", "abc", 3},
        {"a\xFFz", "a\xEF\xBF\xBDz", 1},
        {"\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD", 0},
        {"\xC0\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD", 0},                                 // overlong
        {"\xE0\x80\xAF", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 0},                 // overlong
        {"\xED\xA0\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 0},                 // surrogate
        {"\xF4\x90\x80\x80", "\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD", 0}, // > 10FFFF
        {"\xF5", "\xEF\xBF\xBD", 0},
        // A cut sequence is one mistake: the Unicode standard's table 3-8.
        {"\x61\xF1\x80\x80\xE1\x80\xC2\x62\x80\x63\x80\xBF\x64",
         "a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD"
         "b\xEF\xBF\xBD"
         "c\xEF\xBF\xBD\xEF\xBF\xBD"
         "d",
         1},
        {"\xC3\xA9\xE2\x82", "\xC3\xA9\xEF\xBF\xBD", 2},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        rl_str out = {0};
        size_t len = strlen(row[i].text);
        rl_utf8_repair(row[i].text, len, &out);
        assert_string_equal(rl_str_text(&out), row[i].want);
        assert_int_equal(rl_utf8_valid_prefix(row[i].text, len), row[i].good);
        assert_int_equal(rl_utf8_valid(row[i].text, len), row[i].good == len);
        assert_true(rl_utf8_valid(rl_str_text(&out), out.len));
        rl_str_release(&out);
    }
    assert_true(rl_utf8_valid("a\0b", 3));
}

static void test_normalize(void **state) {
    static const struct {
        rl_unicode_form form;
        const char *text, *want;
    } row[] = {
        {RL_UNICODE_NFC, "e\xCC\x81", "\xC3\xA9"},
        {RL_UNICODE_NFD, "\xC3\xA9", "e\xCC\x81"},
        {RL_UNICODE_NFC, "\xEF\xAC\x81", "\xEF\xAC\x81"}, // a ligature stays in NFC
        {RL_UNICODE_NFKC, "\xEF\xAC\x81", "fi"},
        {RL_UNICODE_NFKD, "\xEF\xBC\xA1\xC3\xA9", "Ae\xCC\x81"},
        {RL_UNICODE_NFC, "plain\n", "plain\n"},
        {RL_UNICODE_NFD, "\xEA\xB0\x81", "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8"}, // Hangul
        {RL_UNICODE_NFC, "\xE1\x84\x80\xE1\x85\xA1\xE1\x86\xA8", "\xEA\xB0\x81"},
        // Marks are put in order of their class.
        {RL_UNICODE_NFD, "a\xCC\x81\xCC\xA3", "a\xCC\xA3\xCC\x81"},
        {RL_UNICODE_NFC, "\xE2\x84\xAB", "\xC3\x85"}, // the sign of angstrom
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        rl_str out = {0};
        rl_err err;
        rl_str_append(&out, "[");
        assert_ok(rl_unicode_normalize(row[i].form, row[i].text, strlen(row[i].text), &out, &err));
        assert_string_equal(out.ptr + 1, row[i].want);
        assert_int_equal(out.ptr[0], '[');
        rl_str_release(&out);
    }
}

static void test_normalize_refuses(void **state) {
    rl_str out = {0};
    rl_err err = {""};
    (void)state;
    assert_int_equal(rl_unicode_normalize(RL_UNICODE_NFC, "a\xFF", 2, &out, &err), RL_UNSUPPORTED);
    assert_true(rl_text_starts(err.text, "text cannot be normalized: "));
    rl_str_release(&out);
}

static void test_case_and_decimals(void **state) {
    (void)state;
    assert_int_equal(rl_unicode_case_of('A'), RL_CASE_UPPER);
    assert_int_equal(rl_unicode_case_of(0xC9), RL_CASE_UPPER);
    assert_int_equal(rl_unicode_case_of(0xDF), RL_CASE_LOWER);
    assert_int_equal(rl_unicode_case_of(0x1C5), RL_CASE_TITLE);
    assert_int_equal(rl_unicode_case_of(0x4E2D), RL_CASE_NONE);
    assert_true(rl_unicode_is_decimal('0') && rl_unicode_is_decimal(0x663));
    assert_false(rl_unicode_is_decimal(0xB2) || rl_unicode_is_decimal('a'));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_code_points),   cmocka_unit_test(test_repair),
        cmocka_unit_test(test_normalize),         cmocka_unit_test(test_normalize_refuses),
        cmocka_unit_test(test_case_and_decimals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
