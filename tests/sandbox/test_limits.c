/* The walk over a job's processes, which only the helper makes; hence its file is part of this. */
#include "sandbox/limits.c" // NOLINT

#include "tests/support/support.h"

enum { MANY = 1200 }; // their numbers fill more than one page

static pid_t child[MANY];

static int end_children(int first, int step) {
    int n = 0;
    for (int i = first; i < MANY; i += step) {
        (void)kill(child[i], SIGKILL);
        n += waitpid(child[i], NULL, 0) == child[i];
    }
    return n;
}

static void counts_and_ends_many_children(void **state) {
    (void)state;
    if (!rl_limits_can_count()) {
        print_message("skipped: this kernel does not list children\n");
        skip();
        return;
    }
    for (int i = 0; i < MANY; i++) {
        child[i] = fork();
        if (child[i] == 0) {
            if (i % 2 == 0) {
                (void)setsid();
            }
            pause();
            _exit(0);
        }
        assert_true(child[i] > 0);
    }
    assert_int_equal(rl_limits_usage(getpid()).processes, MANY);
    for (int i = 0; i < MANY; i += 2) {
        while (getsid(child[i]) != child[i]) {
            (void)usleep(1000);
        }
    }
    // The first round may reap some while the list is read, and so skip others.
    int32_t round = 0;
    while (rl_limits_kill_strays() > 0 && round++ < 10000) {
    }
    assert_int_equal(end_children(0, 2), 0);
    assert_int_equal(rl_limits_usage(getpid()).processes, MANY / 2);
    assert_int_equal(rl_limits_kill_below(getpid()), MANY / 2);
    assert_int_equal(end_children(1, 2), MANY / 2);
    assert_int_equal(rl_limits_kill_below(getpid()), 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {cmocka_unit_test(counts_and_ends_many_children)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
