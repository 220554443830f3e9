#include "tests/support/support.h"

#include "rl/core/alloc.h"
#include "rl/core/str.h"

static void test_grows(void **state) {
    rl_str s = {0};
    char *taken;
    (void)state;
    assert_string_equal(rl_str_text(&s), "");
    rl_str_append(&s, "one");
    rl_str_append_char(&s, ',');
    rl_str_appendf(&s, "%d-%s", 42, "x");
    rl_str_append_n(&s, "\0z", 2);
    assert_int_equal(s.len, 10);
    assert_memory_equal(s.ptr, "one,42-x\0z", 11);
    rl_str_clear(&s);
    assert_string_equal(rl_str_text(&s), "");
    for (int i = 0; i < 10000; i++) {
        rl_str_appendf(&s, "%04d", i);
    }
    assert_int_equal(s.len, 40000);
    assert_memory_equal(s.ptr + 4 * 1234, "1234", 4);
    assert_int_equal(s.ptr[s.len], '\0');
    taken = rl_str_take(&s);
    assert_null(s.ptr);
    assert_int_equal(strlen(taken), 40000);
    rl_free(taken);
    taken = rl_str_take(&s);
    assert_string_equal(taken, "");
    rl_free(taken);
    rl_str_release(&s);
    rl_str_release(&s);
}

static void test_compare(void **state) {
    (void)state;
    assert_true(rl_text_starts("abc", "ab"));
    assert_true(rl_text_starts("abc", ""));
    assert_false(rl_text_starts("ab", "abc"));
    assert_true(rl_text_ends("a.gguf", ".gguf"));
    assert_false(rl_text_ends("gguf", ".gguf"));
    assert_true(rl_text_equal(NULL, NULL));
    assert_false(rl_text_equal(NULL, ""));
    assert_true(rl_text_equal("a", "a"));
    assert_false(rl_text_equal("a", "A"));
}

static void test_distance(void **state) {
    static const struct {
        const char *a, *b;
        int distance;
    } row[] = {
        {"", "", 0},
        {"", "abc", 3},
        {"credit", "credits", 1},
        {"credit", "cerdit", 1},
        {"kitten", "sitting", 3},
        {"ab", "ba", 1},
        {"a", "b", 1},
        {"turns", "turn", 1},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        assert_int_equal(rl_text_distance(row[i].a, row[i].b), row[i].distance);
        assert_int_equal(rl_text_distance(row[i].b, row[i].a), row[i].distance);
    }
}

static void test_nearest(void **state) {
    static const char *const keys[] = {"group_size", "turns", "temperature", "max_new_tokens"};
    char word[200];
    (void)state;
    assert_string_equal(rl_text_nearest("group_sise", keys, 4), "group_size");
    assert_string_equal(rl_text_nearest("turn", keys, 4), "turns");
    assert_string_equal(rl_text_nearest("temprature", keys, 4), "temperature");
    assert_null(rl_text_nearest("xyzzy", keys, 4));
    assert_null(rl_text_nearest("turns", keys, 0));
    memset(word, 't', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    assert_null(rl_text_nearest(word, keys, 4)); // a hostile long key has no neighbour
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_grows),
        cmocka_unit_test(test_compare),
        cmocka_unit_test(test_distance),
        cmocka_unit_test(test_nearest),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
