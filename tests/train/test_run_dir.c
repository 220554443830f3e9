#include "rl/train/run_dir.h"

#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "tests/support/support.h"

static char *folder;

static int make_folder(void **state) {
    (void)state;
    folder = rl_test_folder();
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    rl_test_drop(folder);
    return 0;
}

static const char *in(const char *name) {
    static char path[4096];
    snprintf(path, sizeof path, "%s/run/%s", folder, name);
    return path;
}

static void put(const char *name) {
    rl_err err;
    assert_ok(rl_fs_mkdirs(in(""), &err));
    assert_ok(rl_fs_write(in(name), "x", 1, &err));
}

static void a_run_is_not_overwritten_unasked(void **state) {
    rl_str recipe = {0};
    rl_run_dir *dir = NULL;
    rl_err err;
    (void)state;
    rl_str_append(&recipe, "{}\n");
    assert_ok(rl_run_dir_open(in(""), false, &recipe, &dir, &err));
    assert_ok(rl_run_dir_metrics(dir, &recipe, &err));
    rl_run_dir_close(dir);
    assert_true(rl_fs_exists(in("recipe.effective.json")));

    assert_int_equal(rl_run_dir_open(in(""), false, &recipe, &dir, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "--overwrite"));
    assert_true(rl_fs_exists(in("metrics.jsonl")));

    put("checkpoint-3");
    assert_ok(rl_run_dir_open(in(""), true, &recipe, &dir, &err));
    rl_run_dir_close(dir);
    assert_false(rl_fs_exists(in("metrics.jsonl")));
    assert_false(rl_fs_exists(in("checkpoint-3")));
    rl_str_release(&recipe);
}

static void one_run_at_a_time(void **state) {
    rl_str recipe = {0};
    rl_run_dir *first = NULL, *second = NULL;
    rl_err err;
    (void)state;
    rl_str_append(&recipe, "{}\n");
    assert_ok(rl_run_dir_open(in(""), true, &recipe, &first, &err));
    assert_ok(rl_run_dir_metrics(first, &recipe, &err));
    assert_int_equal(rl_run_dir_open(in(""), true, &recipe, &second, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "in use by another run"));
    assert_true(rl_fs_exists(in("metrics.jsonl")));
    rl_run_dir_close(first);
    assert_ok(rl_run_dir_open(in(""), true, &recipe, &second, &err));
    rl_run_dir_close(second);
    rl_str_release(&recipe);
}

// What a run leaves, by name, may go with --overwrite; what only looks like it may not.
static void knows_its_files(void **state) {
    static const char *const ours[] = {
        "metrics.jsonl", "completions.jsonl", "eval.jsonl",          "eval_completions-40.jsonl",
        "plot.txt",      "plot.svg",          "failed-batch-3.jsonl"};
    static const char *const others[] = {"eval.json", "plot.png", "my_eval.jsonl"};
    rl_str lines = {0};
    rl_run_dir *dir = NULL;
    char *text;
    size_t len;
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    (void)state;
    rl_str_append(&lines, "{}\n");
    for (size_t i = 0; i < RL_COUNT(ours); i++) {
        put(ours[i]);
    }
    assert_int_equal(rl_run_dir_check(in(""), false, &err), RL_BAD_RECIPE);
    assert_ok(rl_run_dir_open(in(""), true, &lines, &dir, &err));
    for (size_t i = 0; i < RL_COUNT(ours); i++) {
        assert_false(rl_fs_exists(in(ours[i])));
    }
    assert_ok(rl_run_dir_append(dir, "eval.jsonl", &lines, &err));
    assert_ok(rl_run_dir_append(dir, "eval.jsonl", &lines, &err));
    assert_ok(rl_fs_read(in("eval.jsonl"), arena, &text, &len, &err));
    assert_string_equal(text, "{}\n{}\n");
    rl_run_dir_close(dir);
    for (size_t i = 0; i < RL_COUNT(others); i++) {
        put(others[i]);
        assert_int_equal(rl_run_dir_check(in(""), true, &err), RL_BAD_RECIPE);
        assert_ok(rl_fs_remove(in(others[i]), &err));
    }
    assert_ok(rl_run_dir_check(in(""), true, &err));
    rl_arena_free(arena);
    rl_str_release(&lines);
}

static bool holds_run(void) {
    rl_err err;
    return rl_run_dir_check(in(""), false, &err) != RL_OK;
}

// A file in parts is not there before it is published, and no run.
static void parts_appear_at_once(void **state) {
    static const char name[] = "eval_completions-0.jsonl";
    rl_str lines = {0};
    rl_run_dir *dir = NULL;
    rl_arena *arena = rl_arena_new(0);
    char *text, **names;
    size_t n;
    rl_err err;
    (void)state;
    rl_str_append(&lines, "{}\n");
    assert_ok(rl_run_dir_open(in(""), true, &lines, &dir, &err));
    assert_ok(rl_run_dir_append_part(dir, name, &lines, &err));
    assert_ok(rl_run_dir_append_part(dir, name, &lines, &err));
    assert_false(rl_fs_exists(in(name)));
    assert_false(holds_run());
    rl_run_dir_close(dir); // killed here
    assert_ok(rl_run_dir_open(in(""), false, &lines, &dir, &err));
    assert_ok(rl_fs_list(in(""), arena, &names, &n, &err));
    assert_int_equal(n, 1);
    assert_ok(rl_run_dir_append_part(dir, name, &lines, &err));
    assert_ok(rl_run_dir_drop_part(dir, name, &err));
    assert_ok(rl_run_dir_drop_part(dir, name, &err));
    assert_ok(rl_run_dir_append_part(dir, name, &lines, &err));
    assert_ok(rl_run_dir_publish(dir, name, &err));
    assert_ok(rl_fs_read(in(name), arena, &text, &n, &err));
    assert_string_equal(text, "{}\n");
    assert_true(holds_run());
    assert_ok(rl_run_dir_metrics(dir, &lines, &err));
    put("notes.txt");
    assert_ok(rl_run_dir_forget(dir, &err));
    assert_true(rl_fs_exists(in("notes.txt")) && rl_fs_exists(in("recipe.effective.json")));
    assert_ok(rl_fs_remove(in("notes.txt"), &err));
    assert_false(holds_run());
    rl_run_dir_close(dir);
    rl_arena_free(arena);
    rl_str_release(&lines);
}

static void strange_files_are_never_removed(void **state) {
    rl_str recipe = {0};
    rl_run_dir *dir = NULL;
    rl_err err;
    (void)state;
    put("thesis.tex");
    assert_int_equal(rl_run_dir_check(in(""), true, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "'thesis.tex'"));
    assert_int_equal(rl_run_dir_open(in(""), true, &recipe, &dir, &err), RL_BAD_RECIPE);
    assert_null(dir);
    assert_true(rl_fs_exists(in("thesis.tex")));
    assert_int_equal(rl_run_dir_check(in("thesis.tex"), true, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "names a file"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_is_not_overwritten_unasked),
        cmocka_unit_test(one_run_at_a_time),
        cmocka_unit_test(knows_its_files),
        cmocka_unit_test(parts_appear_at_once),
        cmocka_unit_test(strange_files_are_never_removed),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
