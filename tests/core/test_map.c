#include "tests/support/support.h"

#include "rl/core/map.h"
#include "rl/core/rng.h"

static void test_add_set_get(void **state) {
    rl_map *map = rl_map_new(0);
    int64_t value = -1;
    (void)state;
    assert_false(rl_map_get(map, "a", 1, &value));
    assert_int_equal(value, -1);
    assert_true(rl_map_add(map, "a", 1, 10));
    assert_false(rl_map_add(map, "a", 1, 11));
    assert_true(rl_map_get(map, "a", 1, &value));
    assert_int_equal(value, 10);
    rl_map_set(map, "a", 1, 12);
    rl_map_set(map, "b", 1, 13);
    assert_true(rl_map_get(map, "a", 1, &value));
    assert_int_equal(value, 12);
    // A key is its bytes: a prefix, a NUL inside and the empty key are keys of their own.
    assert_false(rl_map_get(map, "a\0", 2, &value));
    assert_true(rl_map_add(map, "a\0b", 3, 14));
    assert_true(rl_map_add(map, NULL, 0, 15));
    assert_true(rl_map_get(map, "", 0, &value));
    assert_int_equal(value, 15);
    assert_int_equal(rl_map_size(map), 4);
    rl_map_free(map);
    rl_map_free(NULL);
}

static void test_many(void **state) {
    enum { N = 150000 };
    rl_map *map = rl_map_new(10);
    (void)state;
    for (int64_t i = 0; i < N; i++) {
        char key[32];
        int len = snprintf(key, sizeof key, "token %lld", (long long)i);
        assert_true(rl_map_add(map, key, (size_t)len, i));
    }
    assert_int_equal(rl_map_size(map), N);
    for (int64_t i = 0; i < N + 10; i++) {
        char key[32];
        int64_t value = -1;
        int len = snprintf(key, sizeof key, "token %lld", (long long)i);
        assert_int_equal(rl_map_get(map, key, (size_t)len, &value), i < N);
        assert_int_equal(value, i < N ? i : -1);
    }
    rl_map_free(map);
}

/* Hashes are in files and address random picks, so they must never change. */
static void test_hash_is_stable(void **state) {
    (void)state;
    assert_int_equal(rl_hash("", 0), 0xefd01f60ba992926);
    assert_int_equal(rl_hash("a", 1), 0x82a2a958a9bece5b);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_add_set_get),
        cmocka_unit_test(test_many),
        cmocka_unit_test(test_hash_is_stable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
