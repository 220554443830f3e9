/* The helper's life: it is killed, its trainer is killed, it may not start, it is shared by many.
 */
#include "tests/sandbox/jail_test.h"

#include <sched.h>
#include <signal.h>

#include "rl/core/clock.h"
#include "rl/core/pool.h"

/* The process id of this process's only child. */
static pid_t helper_pid(void) {
    char path[64], text[64] = "";
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_non_null(fgets(text, sizeof text, file));
    fclose(file);
    return (pid_t)strtol(text, NULL, 10);
}

/* From a process of its own, which the caller reaps. */
static pid_t kill_helper_soon(pid_t helper) {
    pid_t killer = fork();
    if (killer == 0) {
        rl_clock_sleep_ms(300);
        kill(helper, SIGKILL);
        _exit(0);
    }
    return killer;
}

static bool put(const char *path, const char *text) {
    FILE *file = fopen(path, "we");
    bool ok = file != NULL && fputs(text, file) >= 0;
    return file != NULL && fclose(file) == 0 && ok;
}

static void survives_its_helper(void **state) {
    (void)state;
    const char *argv[] = {"/bin/sleep", "98764", NULL};
    rl_job job = {.argv = argv, .limits = rl_sandbox_limits(jail)};
    rl_report report;
    rl_err err;
    pid_t killer = kill_helper_soon(helper_pid());
    assert_int_equal(rl_sandbox_run(jail, &job, arena, &report, &err), RL_IO);
    assert_int_equal(report.kind, RL_EXIT_BROKEN);
    assert_non_null(strstr(err.text, "died"));
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    // Its jobs died with it, and the next job gets a new helper.
    for (int i = 0; i < 100 && count_processes("98764") > 0; i++) {
        rl_clock_sleep_ms(10);
    }
    assert_int_equal(count_processes("98764"), 0);
    report = shell("echo again");
    assert_int_equal(report.kind, RL_EXIT_CLEAN);
    assert_text(report.out, report.out_len, "again\n");
}

/* Stopped, not dead: its sockets stay open, and only the clock can tell. */
static void gives_up_a_helper_that_hangs(void **state) {
    (void)state;
    const char *argv[] = {"/bin/true", NULL};
    rl_job job = {.argv = argv, .limits = rl_sandbox_limits(jail)};
    rl_report report;
    rl_err err;
    job.limits.wall_ms = 100;
    kill(helper_pid(), SIGSTOP);
    double begin = rl_clock_now();
    assert_int_equal(rl_sandbox_run(jail, &job, arena, &report, &err), RL_IO);
    assert_int_equal(report.kind, RL_EXIT_BROKEN);
    assert_true(rl_clock_now() - begin < 8.0);
    report = shell("echo again");
    assert_text(report.out, report.out_len, "again\n");
}

/* A trainer that is killed leaves neither helper nor job. */
static void dies_with_its_trainer(void **state) {
    (void)state;
    int status;
    pid_t trainer = fork();
    if (trainer == 0) {
        rl_sandbox_opts opts = usual_opts();
        const char *argv[] = {"/bin/sleep", "98761", NULL};
        rl_sandbox *own;
        rl_report report;
        rl_err err;
        opts.workers = 1;
        if (rl_sandbox_open(&opts, &own, &err) == RL_OK) {
            rl_job job = {.argv = argv, .limits = rl_sandbox_limits(own)};
            (void)!rl_sandbox_run(own, &job, arena, &report, &err);
        }
        _exit(1);
    }
    for (int i = 0; i < 500 && count_processes("98761") == 0; i++) {
        rl_clock_sleep_ms(10);
    }
    assert_int_equal(count_processes("98761"), 1);
    kill(trainer, SIGKILL);
    assert_int_equal(waitpid(trainer, &status, 0), trainer);
    assert_true(WIFSIGNALED(status));
    for (int i = 0; i < 100 && count_processes("98761") > 0; i++) {
        rl_clock_sleep_ms(10);
    }
    assert_int_equal(count_processes("98761"), 0);
}

typedef struct crowd {
    int32_t n_clean, n_broken, n_other;
    rl_lock *lock;
} crowd;

static void run_crowd(void *context, int64_t begin, int64_t end, int32_t worker) {
    crowd *all = context;
    rl_arena *own = rl_arena_new(0);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        const char *argv[] = {"/bin/sleep", "0.1", NULL};
        rl_job job = {.argv = argv, .limits = rl_sandbox_limits(jail)};
        rl_report report;
        rl_err err;
        rl_status status = rl_sandbox_run(jail, &job, own, &report, &err);
        rl_lock_take(all->lock);
        all->n_clean += status == RL_OK && report.kind == RL_EXIT_CLEAN;
        all->n_broken += status == RL_IO && report.kind == RL_EXIT_BROKEN;
        all->n_other += (status == RL_OK) == (report.kind == RL_EXIT_BROKEN);
        rl_lock_give(all->lock);
    }
    rl_arena_free(own);
}

/* More threads than slots, and the helper dies among them: a few jobs are lost, none hangs. */
static void serves_many_threads(void **state) {
    (void)state;
    enum { JOBS = 24 };
    crowd all = {.lock = rl_lock_new()};
    rl_pool *pool;
    rl_err err;
    pid_t killer = kill_helper_soon(helper_pid());
    assert_ok(rl_pool_new(5, false, &pool, &err));
    rl_pool_run(pool, JOBS, 1, run_crowd, &all);
    rl_pool_free(pool);
    rl_lock_free(all.lock);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_int_equal(all.n_other, 0);
    assert_int_equal(all.n_clean + all.n_broken, JOBS);
    assert_in_range(all.n_broken, 1, 2);
}

/*
 * In a user namespace that may have no further ones. The exit status of the child says how it went.
 */
static void refuses_where_namespaces_are_denied(void **state) {
    (void)state;
    enum { FINE, CANNOT_TRY, STARTED, NO_WORD, PLAIN_FAILED };
    int status;
    pid_t pid = fork();
    if (pid == 0) {
        rl_sandbox_opts opts = usual_opts();
        rl_sandbox *sandbox;
        rl_err err;
        char map[64];
        bool root = geteuid() == 0;
        snprintf(map, sizeof map, "0 %d 1", (int)geteuid());
        if (unshare(CLONE_NEWUSER) != 0 || !put("/proc/self/uid_map", map) ||
            !put("/proc/sys/user/max_user_namespaces", "0")) {
            _exit(CANNOT_TRY);
        }
        if (rl_sandbox_open(&opts, &sandbox, &err) != RL_UNSUPPORTED) {
            _exit(STARTED);
        }
        if (root) {
            _exit(strstr(err.text, "root") != NULL ? FINE : NO_WORD);
        }
        if (strstr(err.text, "denies new namespaces") == NULL ||
            strstr(err.text, "\"plain\"") == NULL) {
            _exit(NO_WORD);
        }
        opts.mode = RL_SANDBOX_PLAIN;
        if (rl_sandbox_open(&opts, &sandbox, &err) != RL_OK) {
            _exit(PLAIN_FAILED);
        }
        rl_sandbox_close(sandbox);
        _exit(FINE);
    }
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    if (WEXITSTATUS(status) == CANNOT_TRY) {
        print_message("skipped: namespaces cannot be denied here\n");
        return;
    }
    assert_int_equal(WEXITSTATUS(status), FINE);
}

static void runs_plain_by_name(void **state) {
    (void)state;
    rl_sandbox_opts opts = usual_opts();
    rl_sandbox *plain;
    rl_err err;
    opts.mode = RL_SANDBOX_PLAIN;
    opts.wall_ms = 1000;
    assert_ok(rl_sandbox_open(&opts, &plain, &err));
    assert_non_null(strstr(rl_sandbox_mode_line(plain), "plain"));
    const char *hello[] = {"/bin/sh", "-c", "echo hi; (setsid sleep 98763 &); exit 3", NULL};
    rl_report r = run_in(plain, hello, NULL, false, NULL);
    assert_int_equal(r.kind, RL_EXIT_CODE);
    assert_int_equal(r.code, 3);
    assert_text(r.out, r.out_len, "hi\n");
    assert_int_equal(count_processes("98763"), 0);
    const char *tree[] = {"/bin/sh", "-c", "setsid sleep 98762 & sleep 98762", NULL};
    r = run_in(plain, tree, NULL, false, NULL);
    assert_int_equal(r.kind, RL_EXIT_TIMEOUT);
    assert_int_equal(count_processes("98762"), 0);
    // Other processes of the same user do not count against the limit, those of the job do.
    const char *bomb[] = {"/bin/sh", "-c", "while :; do sleep 98761 & done", NULL};
    r = run_in(plain, bomb, NULL, false, NULL);
    assert_true(r.kind == RL_EXIT_MEMORY || r.kind == RL_EXIT_TIMEOUT);
    assert_int_equal(count_processes("98761"), 0);
    rl_sandbox_close(plain);
}

static void says_what_is_missing(void **state) {
    (void)state;
    rl_sandbox_opts opts = usual_opts();
    rl_sandbox *none;
    rl_err err;
    opts.python = "/no/such/python";
    assert_int_equal(rl_sandbox_open(&opts, &none, &err), RL_BAD_RECIPE);
    assert_null(none);
    assert_non_null(strstr(err.text, "sandbox.python"));
    opts.python = "/etc/passwd";
    assert_int_equal(rl_sandbox_open(&opts, &none, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "/etc"));
    opts.python = "/usr/bin";
    assert_int_equal(rl_sandbox_open(&opts, &none, &err), RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "sandbox.python"));
    opts.python = "/bin/false";
    assert_int_equal(rl_sandbox_open(&opts, &none, &err), RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "sandbox.python"));
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_its_helper),
        cmocka_unit_test(gives_up_a_helper_that_hangs),
        cmocka_unit_test(dies_with_its_trainer),
        cmocka_unit_test(serves_many_threads),
        cmocka_unit_test(refuses_where_namespaces_are_denied),
        cmocka_unit_test(runs_plain_by_name),
        cmocka_unit_test(says_what_is_missing),
    };
    return run_twice(tests, RL_COUNT(tests));
}
