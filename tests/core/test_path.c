#include "tests/support/support.h"

#include <limits.h>
#include <unistd.h>

#include "rl/core/fs.h"

static void test_join_dir_base(void **state) {
    rl_arena *arena = rl_arena_new(0);
    static const struct {
        const char *path, *dir, *base;
    } row[] = {
        {"a", ".", "a"},   {"a/b", "a", "b"},   {"/a", "/", "a"},
        {"/", "/", ""},    {"a//b", "a", "b"},  {"a/b/", "a", ""},
        {"", ".", ""},     {"/a/b", "/a", "b"}, {"../x.json", "..", "x.json"},
        {"//a", "/", "a"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        assert_string_equal(rl_path_dir(arena, row[i].path), row[i].dir);
        assert_string_equal(rl_path_base(row[i].path), row[i].base);
    }
    assert_string_equal(rl_path_join(arena, "a", "b"), "a/b");
    assert_string_equal(rl_path_join(arena, "a/", "b"), "a/b");
    assert_string_equal(rl_path_join(arena, "/", "b"), "/b");
    assert_string_equal(rl_path_join(arena, "", "b"), "b");
    assert_string_equal(rl_path_join(arena, "a", "/b"), "/b");
    rl_arena_free(arena);
}

static void test_absolute(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char current[PATH_MAX], *want;
    static const char *const row[][2] = {
        {"/a/./b/../c//d/", "/a/c/d"},
        {"/", "/"},
        {"/..", "/"},
        {"/../../a", "/a"},
        {"/a/..", "/"},
        {"/a/b/../..", "/"},
        {"/...", "/..."},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        assert_string_equal(rl_path_absolute(arena, row[i][0]), row[i][1]);
    }
    assert_non_null(getcwd(current, sizeof current));
    want = rl_path_join(arena, current, "x/y");
    assert_string_equal(rl_path_absolute(arena, "./x/z/../y"), want);
    assert_string_equal(rl_path_absolute(arena, "."), current);
    rl_arena_free(arena);
}

static void test_program_dir(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char *folder;
    rl_err err;
    (void)state;
    assert_ok(rl_path_program_dir(arena, &folder, &err));
    assert_true(rl_fs_exists(rl_path_join(arena, folder, "test_core_path")));
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_join_dir_base),
        cmocka_unit_test(test_absolute),
        cmocka_unit_test(test_program_dir),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
