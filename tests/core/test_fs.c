#include "tests/support/support.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"

typedef struct place {
    rl_arena *arena;
    char *folder;
} place;

static int set_up(void **state) {
    place *p = rl_alloc(1, sizeof *p);
    p->arena = rl_arena_new(0);
    p->folder = rl_test_folder();
    *state = p;
    return 0;
}

static int tear_down(void **state) {
    place *p = *state;
    rl_test_drop(p->folder);
    rl_arena_free(p->arena);
    rl_free(p);
    return 0;
}

static char *in(place *p, const char *name) {
    return rl_path_join(p->arena, p->folder, name);
}

static void assert_holds(place *p, const char *path, const char *want) {
    rl_err err;
    char *text;
    size_t len;
    assert_ok(rl_fs_read(path, p->arena, &text, &len, &err));
    assert_int_equal(len, strlen(want));
    assert_string_equal(text, want);
}

static void assert_fails(place *p, rl_status status, const rl_err *err, const char *verb,
                         const char *path, const char *cause) {
    const char *want = rl_arena_printf(p->arena, "cannot %s '%s': %s", verb, path, cause);
    assert_int_equal(status, RL_IO);
    assert_string_equal(err->text, want);
}

static size_t n_files(place *p, const char *folder) {
    rl_err err;
    char **name;
    size_t n;
    assert_ok(rl_fs_list(folder, p->arena, &name, &n, &err));
    return n;
}

static void test_missing_files_and_neighbours(void **state) {
    place *p = *state;
    rl_err err;
    char *text, cwd[1024];
    size_t len;
    const char *path = in(p, "trian.jsonl");
    rl_status status = rl_fs_read(path, p->arena, &text, &len, &err);
    assert_fails(p, status, &err, "read", path, "no such file; check the path");
    assert_null(rl_fs_nearest(path, p->arena));
    assert_ok(rl_fs_write(in(p, "train.jsonl"), "", 0, &err));
    assert_string_equal(rl_fs_nearest(path, p->arena), "train.jsonl");
    assert_null(rl_fs_nearest(in(p, "none/train.jsonl"), p->arena));
    status = rl_fs_read(path, p->arena, &text, &len, &err);
    assert_fails(p, status, &err, "read", path, "no such file; did you mean 'train.jsonl'?");
    assert_non_null(getcwd(cwd, sizeof cwd));
    assert_int_equal(rl_fs_read("no-folder/none", p->arena, &text, &len, &err), RL_IO);
    assert_string_equal(err.text, rl_arena_printf(p->arena,
                                                  "cannot read 'no-folder/none' from the folder "
                                                  "'%s': no such file; check the path",
                                                  cwd));
    assert_int_equal(rl_fs_mkdirs("/proc/rl-train/run", &err), RL_IO);
    assert_non_null(strstr(err.text, "no folder can be made there"));
}

static void test_write_and_read(void **state) {
    place *p = *state;
    rl_err err;
    char *text;
    size_t len;
    rl_map_file file;
    assert_ok(rl_fs_write(in(p, "a"), "one\0two", 7, &err));
    assert_ok(rl_fs_read(in(p, "a"), p->arena, &text, &len, &err));
    assert_int_equal(len, 7);
    assert_memory_equal(text, "one\0two", 8);
    assert_ok(rl_fs_map(in(p, "a"), &file, &err));
    assert_int_equal(file.len, 7);
    assert_memory_equal(file.ptr, "one\0two", 7);
    rl_fs_map_rest(&file);
    assert_memory_equal(file.ptr, "one\0two", 7);
    rl_fs_unmap(&file);
    rl_fs_map_rest(&file);
    rl_fs_unmap(&file);
    assert_ok(rl_fs_write(in(p, "a"), "", 0, &err));
    assert_holds(p, in(p, "a"), "");
    assert_ok(rl_fs_map(in(p, "a"), &file, &err));
    assert_int_equal(file.len, 0);
    assert_int_equal(rl_fs_size(in(p, "a")), 0);
    assert_ok(rl_fs_read("/proc/self/stat", p->arena, &text, &len, &err));
    assert_true(len > 10);
    assert_int_equal(n_files(p, p->folder), 1); // nothing aside was left
}

static void test_unreadable(void **state) {
    place *p = *state;
    rl_err err;
    char *text, *no = in(p, "no"), *pipe_path = in(p, "pipe");
    size_t len;
    rl_map_file file;
    assert_fails(p, rl_fs_read(no, p->arena, &text, &len, &err), &err, "read", no,
                 "no such file; check the path");
    assert_fails(p, rl_fs_map(no, &file, &err), &err, "read", no, "no such file; check the path");
    assert_fails(p, rl_fs_read(p->folder, p->arena, &text, &len, &err), &err, "read", p->folder,
                 "it is a folder; name a file");
    assert_fails(p, rl_fs_read("/dev/zero", p->arena, &text, &len, &err), &err, "read", "/dev/zero",
                 "it is a device or a pipe; name a file");
    assert_int_equal(mkfifo(pipe_path, 0600), 0);
    assert_fails(p, rl_fs_map(pipe_path, &file, &err), &err, "read", pipe_path,
                 "it is a device or a pipe; name a file");
    assert_false(rl_fs_exists(no));
    assert_int_equal(rl_fs_size(no), -1);
    assert_int_equal(rl_fs_size(p->folder), -1);
}

static void test_writer(void **state) {
    place *p = *state;
    rl_err err;
    rl_writer writer = {0};
    char *path = in(p, "big"), *text, *large = rl_arena_alloc(p->arena, 600000, 1);
    size_t len;
    rl_writer_abort(&writer);
    memset(large, 'x', 600000);
    assert_ok(rl_fs_write(path, "old", 3, &err));
    assert_ok(rl_writer_open(path, &writer, &err));
    assert_ok(rl_writer_put(&writer, "head", 4, &err));
    assert_ok(rl_writer_put(&writer, large, 600000, &err));
    assert_ok(rl_writer_put(&writer, large, 200000, &err));
    assert_ok(rl_writer_put(&writer, large, 200000, &err));
    assert_ok(rl_writer_put(&writer, "tail", 4, &err));
    assert_holds(p, path, "old");
    assert_ok(rl_writer_commit(&writer, &err));
    rl_writer_abort(&writer);
    assert_ok(rl_fs_read(path, p->arena, &text, &len, &err));
    assert_int_equal(len, 1000008);
    assert_memory_equal(text, "headx", 5);
    assert_memory_equal(text + len - 5, "xtail", 5);

    assert_ok(rl_writer_open(path, &writer, &err));
    assert_ok(rl_writer_put(&writer, "lost", 4, &err));
    rl_writer_abort(&writer);
    assert_int_equal(rl_fs_size(path), 1000008);
    assert_int_equal(n_files(p, p->folder), 1);
}

static void test_unwritable(void **state) {
    place *p = *state;
    rl_err err;
    char *path = in(p, "no/file");
    assert_int_equal(rl_fs_write(path, "x", 1, &err), RL_IO);
    assert_string_equal(
        err.text,
        rl_arena_printf(p->arena, "cannot write '%s': its folder does not exist; make it first",
                        path));
    assert_ok(rl_fs_mkdirs(in(p, "dir"), &err));
    path = in(p, "dir");
    assert_fails(p, rl_fs_write(path, "x", 1, &err), &err, "write", path,
                 "it is a folder; name a file");
    assert_int_equal(n_files(p, p->folder), 1);
}

static void test_append(void **state) {
    place *p = *state;
    rl_err err;
    char *path = in(p, "lines");
    assert_ok(rl_fs_append(path, "a\n", 2, &err));
    assert_ok(rl_fs_append(path, "b\n", 2, &err));
    assert_holds(p, path, "a\nb\n");
    assert_fails(p, rl_fs_append("/dev/full", "x", 1, &err), &err, "write", "/dev/full",
                 "no space left on the disk; free some or choose another folder");
}

static void test_folders(void **state) {
    place *p = *state;
    rl_err err;
    char **name, *link = in(p, "tree/link");
    size_t n;
    assert_ok(rl_fs_mkdirs(in(p, "tree/b//c/"), &err));
    assert_ok(rl_fs_mkdirs(in(p, "tree/b/c"), &err));
    assert_ok(rl_fs_write(in(p, "tree/b/c/file"), "x", 1, &err));
    assert_ok(rl_fs_write(in(p, "tree/Z"), "x", 1, &err));
    assert_ok(rl_fs_write(in(p, "kept"), "x", 1, &err));
    assert_int_equal(rl_fs_mkdirs(in(p, "kept/sub"), &err), RL_IO);
    assert_non_null(strstr(err.text, "a part of the path is not a folder"));
    assert_int_equal(symlink("..", link), 0);
    assert_ok(rl_fs_list(in(p, "tree"), p->arena, &name, &n, &err));
    assert_int_equal(n, 3);
    assert_string_equal(name[0], "Z");
    assert_string_equal(name[1], "b");
    assert_string_equal(name[2], "link");
    assert_true(rl_fs_is_dir(in(p, "tree/b")));
    assert_ok(rl_fs_remove(in(p, "tree/"), &err));
    assert_false(rl_fs_exists(in(p, "tree")));
    assert_true(rl_fs_exists(in(p, "kept"))); // the link was removed, not followed
    assert_ok(rl_fs_remove(in(p, "tree"), &err));
    assert_int_equal(rl_fs_list(in(p, "tree"), p->arena, &name, &n, &err), RL_IO);
}

static void test_rename_and_copy(void **state) {
    place *p = *state;
    rl_err err;
    char *no = in(p, "no");
    assert_ok(rl_fs_write(in(p, "a"), "text", 4, &err));
    assert_ok(rl_fs_copy(in(p, "a"), in(p, "b"), &err));
    assert_ok(rl_fs_rename(in(p, "a"), in(p, "c"), &err));
    assert_holds(p, in(p, "b"), "text");
    assert_holds(p, in(p, "c"), "text");
    assert_fails(p, rl_fs_rename(no, in(p, "d"), &err), &err, "rename", no,
                 "no such file; check the path");
    assert_int_equal(rl_fs_copy(no, in(p, "d"), &err), RL_IO);
    assert_int_equal(n_files(p, p->folder), 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_missing_files_and_neighbours, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_write_and_read, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unreadable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_writer, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_unwritable, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_append, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_folders, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_rename_and_copy, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
