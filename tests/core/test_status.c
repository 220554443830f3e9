#include "tests/support/support.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rl/core/assert.h"
#include "rl/core/clock.h"
#include "rl/core/log.h"

static void test_fail(void **state) {
    rl_err err;
    char big[1000];
    (void)state;
    assert_int_equal(rl_fail(&err, RL_IO, "no '%s' in %d", "x", 3), RL_IO);
    assert_string_equal(err.text, "no 'x' in 3");
    assert_int_equal(rl_fail(NULL, RL_MEMORY, "unheard"), RL_MEMORY);
    memset(big, 'a', sizeof big - 1);
    big[sizeof big - 1] = '\0';
    assert_int_equal(rl_fail(&err, RL_UNSUPPORTED, "%s", big), RL_UNSUPPORTED);
    assert_int_equal(strlen(err.text), sizeof err.text - 1);
    assert_string_equal(rl_status_text(RL_OK), "ok");
    assert_string_equal(rl_status_text(RL_INTERRUPTED), "interrupted");
    assert_string_equal(rl_status_text((rl_status)99), "unknown status");
}

static void test_log(void **state) {
    FILE *sink = tmpfile();
    char text[512];
    size_t n;
    (void)state;
    assert_non_null(sink);
    rl_log_setup(sink, RL_LOG_INFO);
    rl_log(RL_LOG_DEBUG, "hidden");
    rl_log(RL_LOG_INFO, "step %d", 3);
    rl_log(RL_LOG_WARN, "careful");
    rl_log(RL_LOG_ERROR, "broken");
    rl_log_setup(NULL, RL_LOG_INFO);
    rewind(sink);
    n = fread(text, 1, sizeof text - 1, sink);
    text[n] = '\0';
    fclose(sink);
    assert_string_equal(text, "step 3\nwarning: careful\nerror: broken\n");
}

// A line is never cut.
static void test_log_is_whole(void **state) {
    static const size_t len[] = {0, 2038, 2039, 2047, 2048, 100000};
    static char said[100001], text[100064];
    (void)state;
    for (size_t i = 0; i < RL_COUNT(len); i++) {
        FILE *sink = tmpfile();
        size_t n;
        assert_non_null(sink);
        memset(said, 'a', len[i]);
        said[len[i]] = '\0';
        rl_log_setup(sink, RL_LOG_INFO);
        rl_log(RL_LOG_WARN, "%s|%d", said, 7);
        rl_log_setup(NULL, RL_LOG_INFO);
        rewind(sink);
        n = fread(text, 1, sizeof text - 1, sink);
        text[n] = '\0';
        fclose(sink);
        assert_int_equal(n, strlen("warning: ") + len[i] + strlen("|7\n"));
        assert_memory_equal(text + strlen("warning: "), said, len[i]);
        assert_string_equal(text + n - strlen("|7\n"), "|7\n");
    }
}

static void test_sentences_are_printable(void **state) {
    rl_err err;
    (void)state;
    assert_int_equal(rl_fail(&err, RL_IO, "tensor '%s'", "a\033[2Jb\n\tc\177"), RL_IO);
    assert_string_equal(err.text, "tensor 'a?[2Jb??c?'");
}

static void test_assert(void **state) {
    int status;
    pid_t pid;
    (void)state;
    RL_ASSERT(1 + 1 == 2);
    pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        fclose(stderr);
        signal(SIGABRT, SIG_DFL);
        RL_ASSERT(1 + 1 == 3);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

static void test_clock(void **state) {
    double before = rl_clock_now();
    int64_t before_ms = rl_clock_ms();
    (void)state;
    rl_clock_sleep_ms(12);
    assert_true(rl_clock_now() - before >= 0.012);
    assert_true(rl_clock_ms() - before_ms >= 11);
    assert_true(rl_clock_wall() > 1.6e9);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fail),   cmocka_unit_test(test_sentences_are_printable),
        cmocka_unit_test(test_log),    cmocka_unit_test(test_log_is_whole),
        cmocka_unit_test(test_assert), cmocka_unit_test(test_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
