/*
 * Fault: a disk that fills up while a file is being written. As root on a small tmpfs of its own
 * mount namespace; otherwise with a limit on the size of files, which fails at the same calls.
 */
#include "tests/support/support.h"

#include <sched.h>
#include <signal.h>
#include <sys/mount.h>
#include <sys/resource.h>

#include "rl/core/alloc.h"
#include "rl/core/archive.h"
#include "rl/core/fs.h"

enum { ROOM = 64 << 10, TOO_MUCH = 1 << 20 };

typedef struct disk {
    rl_arena *arena;
    char *folder, *path;
    const char *cause;
    bool mounted;
    uint8_t *bytes;
} disk;

static int set_up(void **state) {
    disk *d = rl_alloc(1, sizeof *d);
    rl_err err;
    d->arena = rl_arena_new(0);
    d->folder = rl_test_folder();
    d->path = rl_path_join(d->arena, d->folder, "metrics");
    d->bytes = rl_arena_alloc(d->arena, TOO_MUCH, 1);
    memset(d->bytes, 'x', TOO_MUCH);
    d->mounted = unshare(CLONE_NEWNS) == 0 && mount("", "/", "", MS_PRIVATE | MS_REC, "") == 0 &&
                 mount("tmpfs", d->folder, "tmpfs", 0, "size=64k") == 0;
    if (d->mounted) {
        d->cause = "no space left on the disk; free some or choose another folder";
    } else {
        struct rlimit limit;
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = ROOM;
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &limit), 0);
        signal(SIGXFSZ, SIG_IGN);
        d->cause = "the file grows past the size limit of this process; raise 'ulimit -f'";
    }
    print_message("%s\n", d->mounted ? "on a small tmpfs" : "with a limit on the size of files");
    assert_ok(rl_fs_write(d->path, "old\n", 4, &err));
    *state = d;
    return 0;
}

static int tear_down(void **state) {
    disk *d = *state;
    if (d->mounted) {
        assert_int_equal(umount(d->folder), 0);
    } else {
        struct rlimit limit;
        getrlimit(RLIMIT_FSIZE, &limit);
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_FSIZE, &limit);
    }
    rl_test_drop(d->folder);
    rl_arena_free(d->arena);
    rl_free(d);
    return 0;
}

/* The sentence is the one, the old file is whole and nothing else is there. */
static void assert_refused(disk *d, rl_status status, const rl_err *e) {
    rl_err err;
    char *text, **name;
    size_t len, n;
    assert_int_equal(status, RL_IO);
    assert_string_equal(e->text,
                        rl_arena_printf(d->arena, "cannot write '%s': %s", d->path, d->cause));
    assert_ok(rl_fs_list(d->folder, d->arena, &name, &n, &err));
    assert_int_equal(n, 1);
    assert_ok(rl_fs_read(d->path, d->arena, &text, &len, &err));
    assert_string_equal(text, "old\n");
}

static void test_whole_file(void **state) {
    disk *d = *state;
    rl_err err;
    assert_refused(d, rl_fs_write(d->path, d->bytes, TOO_MUCH, &err), &err);
}

static void test_pieces(void **state) {
    disk *d = *state;
    rl_err err;
    for (size_t piece = 1000; piece <= TOO_MUCH; piece *= 10) {
        rl_writer writer;
        rl_status status = rl_writer_open(d->path, &writer, &err);
        for (size_t done = 0; status == RL_OK && done < TOO_MUCH; done += piece) {
            status = rl_writer_put(&writer, d->bytes, piece, &err);
        }
        rl_writer_abort(&writer);
        assert_refused(d, status, &err);
    }
}

/* The buffer is first written by commit. */
static void test_commit(void **state) {
    disk *d = *state;
    rl_err err;
    rl_writer writer;
    assert_ok(rl_writer_open(d->path, &writer, &err));
    assert_ok(rl_writer_put(&writer, d->bytes, ROOM + 5, &err));
    assert_refused(d, rl_writer_commit(&writer, &err), &err);
    rl_writer_abort(&writer);
}

static void test_append(void **state) {
    disk *d = *state;
    rl_err err;
    assert_refused(d, rl_fs_append(d->path, d->bytes, TOO_MUCH, &err), &err);
}

static void test_archive(void **state) {
    disk *d = *state;
    rl_err err;
    rl_archive *archive;
    assert_ok(rl_archive_create(d->path, &archive, &err));
    assert_int_equal(rl_archive_bytes(archive, "weights", d->bytes, TOO_MUCH, &err), RL_IO);
    rl_archive_abort(archive);
    assert_refused(d, RL_IO, &err);
    // Closing in spite of the failure must not put half a state in place.
    assert_ok(rl_archive_create(d->path, &archive, &err));
    assert_int_equal(rl_archive_bytes(archive, "weights", d->bytes, TOO_MUCH, &err), RL_IO);
    assert_int_equal(rl_archive_close(archive, NULL), RL_IO);
    assert_refused(d, RL_IO, &err);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_whole_file, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_pieces, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_commit, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_append, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_archive, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
