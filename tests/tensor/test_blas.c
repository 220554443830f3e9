/* The choice of the BLAS core, seen by programs started with and without one in the environment. */
#include "tests/support/support.h"

#include <stdlib.h>
#include <strings.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rl/tensor/blas.h"
#include "rl/tensor/cpu.h"

static const char core_key[] = "OPENBLAS_CORETYPE";

/* Runs this program as a child that reports through its exit status: see main. */
static int run_child(const char *core) {
    int status = -1;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        char name[] = "test_blas", child[] = "child";
        char *argv[] = {name, child, NULL};
        if (core != NULL) {
            setenv(core_key, core, 1);
        } else {
            unsetenv(core_key);
        }
        execv("/proc/self/exe", argv);
        _exit(99);
    }
    assert_true(waitpid(pid, &status, 0) == pid && WIFEXITED(status));
    return WEXITSTATUS(status);
}

enum { HASWELL = 1, SKYLAKEX = 2, OTHER = 3, WITH_KEY = 10 };

static int report(void) {
    const char *core = rl_blas_core();
    int seen = strcasecmp(core, "Haswell") == 0    ? HASWELL
               : strcasecmp(core, "SkylakeX") == 0 ? SKYLAKEX
                                                   : OTHER;
    return seen + (getenv(core_key) != NULL ? WITH_KEY : 0);
}

static void a_core_in_the_environment_is_obeyed(void **state) {
    (void)state;
    if (!rl_cpu_has(RL_KERNELS_AVX2)) {
        print_message("skipped: this processor has no AVX2\n");
        return;
    }
    assert_int_equal(run_child("Haswell"), HASWELL + WITH_KEY);
}

static void else_the_widest_core_is_taken_and_leaves_no_trace(void **state) {
    int seen = run_child(NULL);
    (void)state;
    if (rl_cpu_has(RL_KERNELS_AVX512)) {
        assert_int_equal(seen, SKYLAKEX);
    } else if (rl_cpu_has(RL_KERNELS_AVX2)) {
        assert_int_equal(seen, HASWELL);
    } else {
        assert_int_equal(seen, OTHER);
    }
}

int main(int argc, char **argv) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_core_in_the_environment_is_obeyed),
        cmocka_unit_test(else_the_widest_core_is_taken_and_leaves_no_trace),
    };
    if (argc > 1 && strcmp(argv[1], "child") == 0) {
        rl_blas_choose_core(argv);
        return report();
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
