#include "tests/support/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"

void rl_assert_ok(rl_status status, const rl_err *err, const char *call, const char *file,
                  int line) {
    if (status != RL_OK) {
        print_error("%s: %s: %s\n", call, rl_status_text(status), err->text);
        _fail(file, line);
    }
}

char *rl_test_folder(void) {
    const char *base = getenv("TMPDIR");
    char path[4096];
    snprintf(path, sizeof path, "%s/rl-test-XXXXXX", base != NULL ? base : "/tmp");
    if (mkdtemp(path) == NULL) {
        fail_msg("no temporary folder at '%s'", path);
    }
    return rl_strdup(path);
}

void rl_test_drop(char *folder) {
    rl_err err;
    assert_ok(rl_fs_remove(folder, &err));
    rl_free(folder);
}

static const char *numbered(const char *folder, const char *name) {
    static char path[8][4096];
    static unsigned next;
    char *out = path[next++ % 8];
    snprintf(out, sizeof path[0], "%s/%s", folder, name);
    return out;
}

const char *rl_golden(const char *name) {
    return numbered(RL_GOLDEN_DIR, name);
}

const char *rl_shared(const char *name) {
    const char *path = numbered(RL_SHARED_DIR, name);
    return access(path, R_OK) == 0 ? path : NULL;
}

static bool is_lacking;

void rl_test_lacks_shared(const char *name) {
    print_message("skipped: '%s' is not beside the project\n", name);
    is_lacking = true;
}

void rl_test_skip_lacking(void) {
    if (is_lacking) {
        is_lacking = false;
        skip();
    }
}

void rl_test_skip_shared(const char *name) {
    rl_test_lacks_shared(name);
    rl_test_skip_lacking();
}

uint64_t rl_test_seed(void) {
    const char *text = getenv("RL_TEST_SEED");
    uint64_t seed = text != NULL ? strtoull(text, NULL, 10) : 20251126;
    print_message("seed %llu (set RL_TEST_SEED to repeat)\n", (unsigned long long)seed);
    return seed;
}
