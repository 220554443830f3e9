#include "tests/support/support.h"

#include <math.h>
#include <stdlib.h>

#include "core/json_scan.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/rng.h"

typedef struct bad_row {
    const char *text;
    size_t len; // 0: to the NUL
    const char *sentence;
} bad_row;

#define TEXT(literal) (literal), sizeof(literal) - 1

static const bad_row bad[] = {
    {"", 0, "line 1, column 1: expected a value, found the end of the text"},
    {" \n", 0, "line 2, column 1: expected a value, found the end of the text"},
    {"{\"a\": 1,}", 0, "line 1, column 9: a comma before the closing '}'"},
    {"[1, 2,\n]", 0, "line 2, column 1: a comma before the closing ']'"},
    {"[1 2]", 0, "line 1, column 4: expected ',' or ']', found '2'"},
    {"{\"a\" 1}", 0, "line 1, column 6: expected ':' after a key, found '1'"},
    {"{a: 1}", 0, "line 1, column 2: expected a key in double quotes, found 'a'"},
    {"{'a': 1}", 0, "line 1, column 2: expected a key in double quotes, found '''"},
    {"{\"a\": 1", 0, "line 1, column 8: expected ',' or '}', found the end of the text"},
    {"[1}", 0, "line 1, column 3: expected ',' or ']', found '}'"},
    {"[,1]", 0, "line 1, column 2: expected a value, found ','"},
    {"{} {}", 0, "line 1, column 4: expected nothing more after the value, found '{'"},
    {"1 // one", 0, "line 1, column 3: expected nothing more after the value, found '/'"},
    {"[True]", 0, "line 1, column 2: 'True' is not a JSON value"},
    {"NaN", 0, "line 1, column 1: 'NaN' is not a JSON value"},
    {"truely", 0, "line 1, column 5: expected nothing more after the value, found 'l'"},
    {"nul", 0, "line 1, column 1: 'nul' is not a JSON value"},
    {"01", 0, "line 1, column 1: a number may not begin with 0"},
    {"-012", 0, "line 1, column 2: a number may not begin with 0"},
    {"+1", 0, "line 1, column 1: expected a value, found '+'"},
    {".5", 0, "line 1, column 1: expected a value, found '.'"},
    {"1.", 0, "line 1, column 3: expected a digit after the point, found the end of the text"},
    {"1.e3", 0, "line 1, column 3: expected a digit after the point, found 'e'"},
    {"1e+", 0, "line 1, column 4: expected a digit in the exponent, found the end of the text"},
    {"-", 0, "line 1, column 2: expected a digit, found the end of the text"},
    {"0x10", 0, "line 1, column 2: expected nothing more after the value, found 'x'"},
    {"1e999", 0, "line 1, column 1: number '1e999' is too large"},
    {"1234567890123456789012345678901234567890123456789012345678901234", 0,
     "line 1, column 1: a number of more than 63 characters"},
    {"\"a\nb\"", 0, "line 1, column 3: control character 0x0a inside a text; write it as \\u000a"},
    {TEXT("\"a\0b\""),
     "line 1, column 3: control character 0x00 inside a text; write it as \\u0000"},
    {TEXT("[1]\0"), "line 1, column 4: expected nothing more after the value, found byte 0x00"},
    {"\"abc", 0, "line 1, column 1: a text begins here and never ends"},
    {"\"abc\\", 0,
     "line 1, column 6: expected one of \" \\ / b f n r t u after a backslash, found the end of "
     "the "
     "text"},
    {"\"\\x41\"", 0,
     "line 1, column 3: expected one of \" \\ / b f n r t u after a backslash, found 'x'"},
    {"\"\\u12g4\"", 0, "line 1, column 2: '\\u' wants four hexadecimal digits"},
    {"\"\\u12", 0, "line 1, column 2: '\\u' wants four hexadecimal digits"},
    {"\"x\\u0000\"", 0,
     "line 1, column 3: '\\u0000' is refused: a text may not hold a NUL character"},
    {"\"\\ud800\"", 0, "line 1, column 2: '\\ud800' is half of a surrogate pair without the other"},
    {"\"\\ud800\\u0041\"", 0,
     "line 1, column 2: '\\ud800' is half of a surrogate pair without the other"},
    {"\"\\udc00\\ud800\"", 0,
     "line 1, column 2: '\\udc00' is half of a surrogate pair without the other"},
    {"\"\xC3\xA9\xFF\"", 0, "line 1, column 3: bytes that are not UTF-8, beginning with 0xff"},
    {"\"\xED\xA0\x80\"", 0, "line 1, column 2: bytes that are not UTF-8, beginning with 0xed"},
    {"\"\xC0\x80\"", 0, "line 1, column 2: bytes that are not UTF-8, beginning with 0xc0"},
    {"\xEF\xBB\xBF{}", 0,
     "line 1, column 1: a byte order mark; save the file as UTF-8 without one"},
    {"{\"a\": 1,\n \"b\": 2, \"a\": 3}", 0, "line 2, column 10: duplicate key 'a'"},
    {"{\"a\": 1, \"\\u0061\": 3}", 0, "line 1, column 10: duplicate key 'a'"},
    {"[{\"x\": {\"y\": 1, \"y\": 2}}]", 0, "line 1, column 17: duplicate key 'y'"},
};

static void test_refused(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_json_doc *doc = NULL;
        rl_err err = {""};
        char want[512];
        size_t len = bad[i].len > 0 ? bad[i].len : strlen(bad[i].text);
        snprintf(want, sizeof want, "'x.json', %s", bad[i].sentence);
        assert_int_equal(rl_json_parse(bad[i].text, len, "x.json", &doc, &err), RL_IO);
        assert_null(doc);
        assert_string_equal(err.text, want);
    }
}

static void test_line_of_a_lines_file(void **state) {
    rl_json_doc *doc;
    rl_err err;
    (void)state;
    assert_int_equal(rl_json_parse_line(TEXT("{\"a\":}"), "train.jsonl", 17, &doc, &err), RL_IO);
    assert_string_equal(err.text, "'train.jsonl', line 17, column 6: expected a value, found '}'");
}

static rl_json_doc *parse(const char *text) {
    rl_json_doc *doc;
    rl_err err;
    assert_ok(rl_json_parse(text, strlen(text), "test", &doc, &err));
    return doc;
}

static void test_tree(void **state) {
    rl_json_doc *doc =
        parse(" {\"n\": -1.5e2, \"t\": \"a\\u00e9\\ud83d\\ude00\\n\\/\", \"l\": [true, false, "
              "null, {}],\n"
              "\"Key\": 1, \"key\": 2, \"\": 3, \"big\": 9007199254740992, \"frac\": 1.25} ");
    const rl_json *root = rl_json_root(doc), *l = rl_json_get(root, "l"), *item;
    int64_t n;
    (void)state;
    assert_int_equal(rl_json_type_of(root), RL_JSON_OBJECT);
    assert_int_equal(rl_json_count(root), 8);
    assert_true(rl_json_number(rl_json_get(root, "n"), 0.0) == -150.0);
    assert_string_equal(rl_json_text(rl_json_get(root, "t"), ""), "a\xC3\xA9\xF0\x9F\x98\x80\n/");
    assert_int_equal(rl_json_count(l), 4);
    item = rl_json_first(l);
    assert_null(rl_json_key(item));
    assert_true(rl_json_bool(item, false));
    item = rl_json_next(item);
    assert_false(rl_json_bool(item, true));
    item = rl_json_next(item);
    assert_int_equal(rl_json_type_of(item), RL_JSON_NULL);
    assert_true(rl_json_bool(item, true));
    assert_null(rl_json_next(rl_json_next(item)));
    assert_true(rl_json_integer(rl_json_get(root, "key"), &n) && n == 2);
    assert_true(rl_json_integer(rl_json_get(root, "Key"), &n) && n == 1);
    assert_null(rl_json_get(root, "KEY"));
    assert_true(rl_json_integer(rl_json_get(root, ""), &n) && n == 3);
    assert_true(rl_json_integer(rl_json_get(root, "big"), &n) && n == (int64_t)1 << 53);
    assert_false(rl_json_integer(rl_json_get(root, "frac"), &n));
    assert_false(rl_json_integer(rl_json_get(root, "t"), &n));
    assert_false(rl_json_integer(NULL, &n));
    assert_null(rl_json_get(rl_json_get(rl_json_get(root, "no"), "way"), "down"));
    assert_null(rl_json_get(l, "x"));
    assert_string_equal(rl_json_text(NULL, "fallback"), "fallback");
    assert_string_equal(rl_json_key(rl_json_first(root)), "n");
    assert_int_equal(rl_json_count(NULL), 0);
    rl_json_free(doc);
    rl_json_free(NULL);
}

static void test_depth(void **state) {
    char text[2 * RL_JSON_DEPTH + 3];
    rl_json_doc *doc;
    rl_err err;
    (void)state;
    for (size_t depth = RL_JSON_DEPTH; depth <= RL_JSON_DEPTH + 1; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        if (depth == RL_JSON_DEPTH) {
            assert_ok(rl_json_parse(text, 2 * depth, "x", &doc, &err));
            rl_json_free(doc);
        } else {
            assert_int_equal(rl_json_parse(text, 2 * depth, "x", &doc, &err), RL_IO);
            assert_string_equal(err.text, "'x', line 1, column 201: nested deeper than 200");
        }
    }
}

/* A vocabulary is one object with very many keys: looking for duplicates must stay linear. */
static void test_large_object(void **state) {
    enum { N = 150000 };
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    rl_json_doc *doc;
    rl_err err;
    double start;
    (void)state;
    rl_json_open_object(&w, NULL);
    for (int i = 0; i < N; i++) {
        char key[32];
        snprintf(key, sizeof key, "tok\xC4\xA0%d", i);
        rl_json_put_int(&w, key, i);
    }
    rl_json_close_object(&w);
    start = rl_clock_now();
    assert_ok(rl_json_parse(text.ptr, text.len, "vocab", &doc, &err));
    print_message("%d keys in %.3f s\n", N, rl_clock_now() - start);
    assert_true(rl_clock_now() - start < 5.0); // quadratic would take minutes
    assert_int_equal(rl_json_count(rl_json_root(doc)), N);
    rl_json_free(doc);
    rl_str_release(&text);
}

static void test_writer(void **state) {
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    rl_json_doc *doc = parse("{\"k\":[1,{\"z\":null}],\"e\":{}}");
    (void)state;
    rl_json_open_object(&w, NULL);
    rl_json_put_text(&w, "t", TEXT("q\" b\\ n\n t\t c\x01 z\0 u\xC3\xA9 bad\xFF\xC3!"));
    rl_json_put_text(&w, "none", NULL, 0);
    rl_json_put_int(&w, "i", INT64_MIN);
    rl_json_put_bool(&w, "b", true);
    rl_json_put_number(&w, "nan", (double)NAN);
    rl_json_put_number(&w, "inf", (double)-INFINITY);
    rl_json_open_list(&w, "l");
    rl_json_put_number(&w, NULL, 1.0);
    rl_json_put_null(&w, NULL);
    rl_json_open_object(&w, NULL);
    rl_json_close_object(&w);
    rl_json_put_bool(&w, NULL, false);
    rl_json_close_list(&w);
    rl_json_put_value(&w, "v", rl_json_root(doc));
    rl_json_close_object(&w);
    assert_string_equal(text.ptr,
                        "{\"t\":\"q\\\" b\\\\ n\\n t\\t c\\u0001 z\\u0000 u\xC3\xA9 "
                        "bad\xEF\xBF\xBD\xEF\xBF\xBD!\",\"none\":null,"
                        "\"i\":-9223372036854775808,\"b\":true,\"nan\":null,\"inf\":null,"
                        "\"l\":[1,null,{},false],\"v\":{\"k\":[1,{\"z\":null}],\"e\":{}}}");
    rl_json_free(doc);
    rl_str_release(&text);
}

static void print_number(double value, char *to, size_t size) {
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    rl_json_put_number(&w, NULL, value);
    snprintf(to, size, "%s", text.ptr);
    rl_str_release(&text);
}

static void test_numbers_round_trip(void **state) {
    static const struct {
        double value;
        const char *text;
    } row[] = {
        {0.1, "0.1"},
        {1.0 / 3.0, "0.3333333333333333"},
        {-0.0, "-0"},
        {123456789.0, "123456789"},
        {5e-324, "5e-324"},
        {1.7976931348623157e308, "1.7976931348623157e+308"},
        {2.2250738585072014e-308, "2.2250738585072014e-308"},
        {0.30000000000000004, "0.30000000000000004"},
        {1e21, "1e+21"},
    };
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    char text[64];
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        print_number(row[i].value, text, sizeof text);
        assert_string_equal(text, row[i].text);
    }
    for (uint64_t i = 0; i < 20000; i++) {
        uint64_t bits = rl_rng_bits(&rng, i);
        double value, back;
        rl_json_doc *doc;
        memcpy(&value, &bits, sizeof value);
        if (!isfinite(value)) {
            continue;
        }
        print_number(value, text, sizeof text);
        doc = parse(text);
        back = rl_json_number(rl_json_root(doc), 0.0);
        assert_memory_equal(&back, &value, sizeof value);
        rl_json_free(doc);
    }
}

static void test_read(void **state) {
    char *folder = rl_test_folder(), path[4200];
    rl_json_doc *doc;
    rl_err err;
    (void)state;
    snprintf(path, sizeof path, "%s/r.json", folder);
    assert_int_equal(rl_json_read(path, &doc, &err), RL_IO);
    assert_non_null(strstr(err.text, "no such file"));
    assert_ok(rl_fs_write(path, TEXT("{\"a\": 1}"), &err));
    assert_ok(rl_json_read(path, &doc, &err));
    assert_int_equal(rl_json_count(rl_json_root(doc)), 1);
    rl_json_free(doc);
    assert_ok(rl_fs_write(path, "", 0, &err));
    assert_int_equal(rl_json_read(path, &doc, &err), RL_IO);
    assert_non_null(strstr(err.text, "r.json', line 1, column 1: expected a value"));
    rl_test_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_refused),      cmocka_unit_test(test_line_of_a_lines_file),
        cmocka_unit_test(test_tree),         cmocka_unit_test(test_depth),
        cmocka_unit_test(test_large_object), cmocka_unit_test(test_writer),
        cmocka_unit_test(test_read),         cmocka_unit_test(test_numbers_round_trip),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
