/* For tests that run programs in the sandbox: started as root they run twice, as root and as an
 * ordinary user. */
#ifndef RL_TESTS_SANDBOX_JAIL_TEST_H
#define RL_TESTS_SANDBOX_JAIL_TEST_H

#include "tests/support/support.h"

#include <grp.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rl/core/fs.h"
#include "rl/sandbox/sandbox.h"

static rl_sandbox *jail;
static rl_arena *arena;

static inline rl_sandbox_opts usual_opts(void) {
    return (rl_sandbox_opts){.mode = RL_SANDBOX_JAIL,
                             .workers = 2,
                             .cpu_ms = 2000,
                             .wall_ms = 3000,
                             .mem_mb = 128,
                             .out_kb = 16,
                             .processes = 12,
                             .python = ""};
}

static inline rl_report run_in(rl_sandbox *sandbox, const char *const *argv, const char *input,
                               bool wants_result, const rl_limits *limits) {
    rl_job job = {.argv = argv,
                  .input = input,
                  .input_len = input != NULL ? strlen(input) : 0,
                  .wants_result = wants_result,
                  .limits = limits != NULL ? *limits : rl_sandbox_limits(sandbox)};
    rl_report report;
    rl_err err;
    assert_ok(rl_sandbox_run(sandbox, &job, arena, &report, &err));
    return report;
}

static inline rl_report python(const char *code) {
    const char *argv[] = {rl_sandbox_python(jail), "-I", "-S", "-c", code, NULL};
    return run_in(jail, argv, NULL, false, NULL);
}

static inline rl_report shell(const char *code) {
    const char *argv[] = {"/bin/sh", "-c", code, NULL};
    return run_in(jail, argv, NULL, false, NULL);
}

static inline void assert_text(const char *text, size_t len, const char *wanted) {
    if (len != strlen(wanted) || memcmp(text, wanted, len) != 0) {
        fail_msg("got '%.*s', wanted '%s'", (int)len, text, wanted);
    }
}

/* Processes of this machine whose command line holds the word. */
static inline int count_processes(const char *word) {
    rl_err err;
    char **name = NULL;
    size_t n = 0;
    int found = 0;
    assert_ok(rl_fs_list("/proc", arena, &name, &n, &err));
    for (size_t i = 0; i < n; i++) {
        char path[320], line[4096];
        size_t len;
        snprintf(path, sizeof path, "/proc/%.64s/cmdline", name[i]);
        FILE *file = fopen(path, "re");
        if (file == NULL) {
            continue;
        }
        len = fread(line, 1, sizeof line - 1, file);
        fclose(file);
        line[len] = '\0';
        found += len > strlen(word) && memmem(line, len, word, strlen(word)) != NULL;
    }
    return found;
}

static inline int set_up(void **state) {
    rl_sandbox_opts opts = usual_opts();
    rl_err err;
    (void)state;
    arena = rl_arena_new(0);
    if (rl_sandbox_open(&opts, &jail, &err) != RL_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    print_message("%s\n", rl_sandbox_mode_line(jail));
    return 0;
}

static inline int tear_down(void **state) {
    (void)state;
    rl_sandbox_close(jail);
    rl_arena_free(arena);
    return 0;
}

/* Runs this program again as an ordinary user; its exit status, or 0 where that cannot be tried. */
static inline int run_as_nobody(char *self) {
    enum { NOBODY = 65534, CANNOT = 77 };
    int status = 0;
    pid_t pid = fork();
    if (pid == 0) {
        char *argv[] = {self, NULL};
        if (setgroups(0, NULL) != 0 || setresgid(NOBODY, NOBODY, NOBODY) != 0 ||
            setresuid(NOBODY, NOBODY, NOBODY) != 0) {
            _exit(CANNOT);
        }
        execv(self, argv);
        _exit(CANNOT);
    }
    if (pid < 0 || waitpid(pid, &status, 0) != pid) {
        return 1;
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == CANNOT) {
        print_message("skipped: an ordinary user cannot reach this program\n");
        return 0;
    }
    return WIFEXITED(status) ? WEXITSTATUS(status) : 1;
}

static inline int run_twice(const struct CMUnitTest *tests, size_t n_tests) {
    int failed = 0;
    char self[4096];
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (geteuid() == 0 && n > 0) {
        self[n] = '\0';
        failed += run_as_nobody(self);
    }
    return failed + _cmocka_run_group_tests("sandbox", tests, n_tests, set_up, tear_down);
}

#endif
