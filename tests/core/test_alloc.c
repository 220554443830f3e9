#include "tests/support/support.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rl/core/alloc.h"

static void test_small(void **state) {
    uint64_t before = rl_alloc_count();
    int *a = rl_alloc(10, sizeof *a);
    char *text;
    (void)state;
    assert_true(rl_alloc_count() > before);
    assert_int_equal(a[9], 0);
    a[9] = 5;
    a = rl_realloc(a, 1000, sizeof *a);
    assert_int_equal(a[9], 5);
    rl_free(a);
    a = rl_alloc(0, 8);
    assert_non_null(a);
    rl_free(a);
    a = rl_realloc(NULL, 0, 1);
    assert_non_null(a);
    rl_free(a);
    text = rl_strndup("abcdef", 3);
    assert_string_equal(text, "abc");
    rl_free(text);
    text = rl_strndup(NULL, 0);
    assert_string_equal(text, "");
    rl_free(text);
    rl_free(NULL);
}

static void test_large(void **state) {
    size_t bytes = ((size_t)3 << 20) + 5;
    uint8_t *ptr;
    rl_err err;
    (void)state;
    assert_ok(rl_try_alloc(bytes, "model.path", (void **)&ptr, &err));
    assert_int_equal((uintptr_t)ptr % (2 << 20), 0);
    assert_int_equal(ptr[0] + ptr[bytes - 1], 0);
    memset(ptr, 1, bytes);
    assert_true(rl_peak_rss() > (int64_t)bytes);
    rl_free_large(ptr, bytes);
    rl_free_large(NULL, 7);
    assert_ok(rl_try_alloc(0, "k", (void **)&ptr, &err));
    rl_free_large(ptr, 0);
}

static void test_too_large(void **state) {
    static const size_t bytes[] = {(size_t)1 << 60, SIZE_MAX, SIZE_MAX - (2 << 20)};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(bytes); i++) {
        void *ptr = &ptr;
        rl_err err = {""};
        assert_int_equal(rl_try_alloc(bytes[i], "rollout.prompts", &ptr, &err), RL_MEMORY);
        assert_null(ptr);
        assert_non_null(strstr(err.text, "try a smaller 'rollout.prompts'"));
    }
}

/* A small block that does not fit ends the process, saying who wanted it. */
static void test_exhausted(void **state) {
    int out[2], status;
    char text[256];
    ssize_t n;
    pid_t pid;
    (void)state;
    assert_int_equal(pipe(out), 0);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        dup2(out[1], STDERR_FILENO);
        signal(SIGABRT, SIG_DFL);
        rl_free(rl_realloc(NULL, SIZE_MAX, 2));
        _exit(0);
    }
    close(out[1]);
    n = read(out[0], text, sizeof text - 1);
    close(out[0]);
    assert_true(n > 0);
    text[n] = '\0';
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
    assert_non_null(strstr(text, "rl-train: out of memory: "));
    assert_non_null(strstr(text, "wanted by 'test_exhausted'"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_small),
        cmocka_unit_test(test_large),
        cmocka_unit_test(test_too_large),
        cmocka_unit_test(test_exhausted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
