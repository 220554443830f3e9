#include "tests/support/support.h"

#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/archive.h"
#include "rl/core/fs.h"

typedef struct saved {
    int64_t step;
    double rate;
    uint8_t block[16];
    char *text;
} saved;

/* One function for both directions, as the header promises. */
static rl_status persist(rl_archive *archive, saved *s, rl_err *err) {
    rl_status status = rl_archive_i64(archive, "step", &s->step, err);
    if (status == RL_OK) {
        status = rl_archive_f64(archive, "rate", &s->rate, err);
    }
    if (status == RL_OK) {
        status = rl_archive_bytes(archive, "block", s->block, sizeof s->block, err);
    }
    if (status == RL_OK) {
        status = rl_archive_text(archive, "recipe", &s->text, err);
    }
    return status;
}

typedef struct place {
    char *folder, path[4200];
    saved original;
} place;

static int set_up(void **state) {
    static char text[] = "{\"a\":1}\n";
    place *p = rl_alloc(1, sizeof *p);
    rl_archive *archive;
    rl_err err;
    p->folder = rl_test_folder();
    snprintf(p->path, sizeof p->path, "%s/state", p->folder);
    p->original = (saved){.step = INT64_MIN + 5, .rate = 0.1, .text = text};
    memcpy(p->original.block, "0123456789abcdef", 16);
    assert_ok(rl_archive_create(p->path, &archive, &err));
    assert_true(rl_archive_writing(archive));
    assert_ok(persist(archive, &p->original, &err));
    assert_false(rl_fs_exists(p->path));
    assert_ok(rl_archive_close(archive, &err));
    *state = p;
    return 0;
}

static int tear_down(void **state) {
    place *p = *state;
    rl_test_drop(p->folder);
    rl_free(p);
    return 0;
}

static rl_status read_back(const char *path, saved *out, rl_err *err) {
    rl_archive *archive;
    rl_status status = rl_archive_open(path, &archive, err);
    *out = (saved){0};
    if (status != RL_OK) {
        return status;
    }
    status = persist(archive, out, err);
    if (status == RL_OK) {
        return rl_archive_close(archive, err);
    }
    rl_archive_abort(archive);
    return status;
}

static void test_round_trip(void **state) {
    place *p = *state;
    saved s;
    rl_err err;
    assert_ok(read_back(p->path, &s, &err));
    assert_true(s.step == p->original.step && s.rate == p->original.rate);
    assert_memory_equal(s.block, p->original.block, sizeof s.block);
    assert_string_equal(s.text, p->original.text);
    rl_free(s.text);
}

/* A file written by other code from the description in archive.c: the format is a promise. */
static void test_known_file(void **state) {
    saved s;
    rl_err err;
    (void)state;
    assert_ok(read_back(RL_SOURCE_DIR "/tests/fuzz/corpus/archive/good", &s, &err));
    assert_true(s.step == 42 && s.rate == 1e-6 && s.block[15] == 15);
    assert_string_equal(s.text, "{\"run\":{\"steps\":3}}");
    rl_free(s.text);
    assert_int_equal(read_back(RL_SOURCE_DIR "/tests/fuzz/corpus/archive/more", &s, &err), RL_IO);
    rl_free(s.text);
}

/* Any byte changed and any cut is noticed; nothing is read beyond the end (ASan watches). */
static void test_damage(void **state) {
    place *p = *state;
    rl_arena *arena = rl_arena_new(0);
    char *bytes, path[4300];
    size_t len;
    rl_err err;
    saved s;
    snprintf(path, sizeof path, "%s-damaged", p->path);
    assert_ok(rl_fs_read(p->path, arena, &bytes, &len, &err));
    for (size_t i = 0; i < len; i++) {
        bytes[i] ^= 0x10;
        assert_ok(rl_fs_write(path, bytes, len, &err));
        assert_int_equal(read_back(path, &s, &err), RL_IO);
        rl_free(s.text);
        bytes[i] ^= 0x10;
        assert_ok(rl_fs_write(path, bytes, i, &err));
        assert_int_equal(read_back(path, &s, &err), RL_IO);
        rl_free(s.text);
    }
    rl_arena_free(arena);
}

static void test_mismatch(void **state) {
    place *p = *state;
    rl_archive *archive;
    rl_err err;
    int64_t value;
    uint8_t block[4];
    assert_ok(rl_archive_open(p->path, &archive, &err));
    assert_false(rl_archive_writing(archive));
    assert_int_equal(rl_archive_i64(archive, "epoch", &value, &err), RL_IO);
    assert_non_null(strstr(err.text, "has record 'step' in the place of 'epoch'; it comes from "
                                     "another version or another recipe"));
    assert_int_equal(rl_archive_bytes(archive, "step", block, 4, &err), RL_IO);
    assert_non_null(strstr(err.text, "has 8 bytes where 4 are wanted"));
    assert_int_equal(rl_archive_close(archive, &err), RL_IO);
    assert_non_null(strstr(err.text, "has a record 'rate' that this run has no use for"));
    assert_int_equal(rl_archive_open(p->folder, &archive, &err), RL_IO);
    assert_null(archive);
}

static void test_asks_for_more(void **state) {
    place *p = *state;
    rl_archive *archive;
    rl_err err;
    int64_t value = 7;
    char path[4300];
    snprintf(path, sizeof path, "%s-short", p->path);
    assert_ok(rl_archive_create(path, &archive, &err));
    assert_ok(rl_archive_i64(archive, "a", &value, &err));
    assert_ok(rl_archive_close(archive, &err));
    assert_ok(rl_archive_open(path, &archive, &err));
    value = 0;
    assert_ok(rl_archive_i64(archive, "a", &value, &err));
    assert_int_equal(value, 7);
    assert_int_equal(rl_archive_i64(archive, "b", &value, &err), RL_IO);
    assert_non_null(strstr(err.text, "has no record 'b'"));
    assert_int_equal(value, 7);
    rl_archive_abort(archive);
}

static void test_abort_leaves_nothing(void **state) {
    place *p = *state;
    rl_archive *archive;
    rl_err err;
    rl_arena *arena = rl_arena_new(0);
    char path[4300], **name;
    size_t n;
    int64_t value = 1;
    snprintf(path, sizeof path, "%s-aborted", p->path);
    assert_ok(rl_archive_create(path, &archive, &err));
    assert_ok(rl_archive_i64(archive, "a", &value, &err));
    rl_archive_abort(archive);
    rl_archive_abort(NULL);
    assert_ok(rl_fs_list(p->folder, arena, &name, &n, &err));
    assert_int_equal(n, 1);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_round_trip, set_up, tear_down),
        cmocka_unit_test(test_known_file),
        cmocka_unit_test_setup_teardown(test_damage, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_mismatch, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_asks_for_more, set_up, tear_down),
        cmocka_unit_test_setup_teardown(test_abort_leaves_nothing, set_up, tear_down),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
