/* The helper's life: it is killed, its trainer is killed, it may not start, it is shared by many.
 */
#include "tests/sandbox/jail_test.h"

#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>

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
        skip();
        return;
    }
    assert_int_equal(WEXITSTATUS(status), FINE);
}

/* The first child of pid, waited for; 0 when none comes. */
static pid_t child_of(pid_t pid) {
    char path[64], text[64];
    snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)pid, (int)pid);
    for (int i = 0; i < 500; i++) {
        FILE *file = fopen(path, "re");
        bool some = file != NULL && fgets(text, sizeof text, file) != NULL;
        if (file != NULL) {
            fclose(file);
        }
        if (some) {
            return (pid_t)strtol(text, NULL, 10);
        }
        rl_clock_sleep_ms(10);
    }
    return 0;
}

/* An init that ends while its program runs is the program's failure, not the sandbox's. */
static void blames_the_program_for_its_init(void **state) {
    (void)state;
    pid_t helper = helper_pid(), killer = fork();
    if (killer == 0) {
        pid_t init = child_of(helper), program = init > 0 ? child_of(init) : 0;
        rl_clock_sleep_ms(300); // until the exec
        _exit(program > 0 && kill(init, SIGKILL) == 0 ? 0 : 1);
    }
    rl_report r = shell("sleep 98759");
    int status;
    assert_int_equal(waitpid(killer, &status, 0), killer);
    assert_int_equal(status, 0);
    assert_int_equal(r.kind, RL_EXIT_SIGNAL);
    assert_int_equal(r.code, SIGKILL);
    assert_int_equal(count_processes("98759"), 0);
}

/* In plain mode a program can end its init, but neither its verdict nor its folder outlives it. */
static void ends_what_ends_its_init(rl_sandbox *plain, const char *code, int sig) {
    const char *argv[] = {"/bin/sh", "-c", code, NULL};
    char folder[64];
    double begin = rl_clock_now();
    rl_report r = run_in(plain, argv, NULL, false, NULL);
    assert_true(rl_clock_now() - begin < 4.0);
    assert_int_equal(r.kind, RL_EXIT_SIGNAL);
    assert_int_equal(r.code, sig);
    assert_int_equal(count_processes("98758"), 0);
    const char *eol = memchr(r.out, '\n', r.out_len);
    assert_non_null(eol);
    snprintf(folder, sizeof folder, "%.*s", (int)(eol - r.out), r.out);
    assert_int_equal(strncmp(folder, "/tmp/rl-jail-", 13), 0);
    for (int i = 0; i < 200 && access(folder, F_OK) == 0; i++) {
        rl_clock_sleep_ms(10);
    }
    assert_int_not_equal(access(folder, F_OK), 0);
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
    ends_what_ends_its_init(plain,
                            "pwd; mkdir a; touch a/b; (setsid sleep 98758 &) ; (setsid yes 98758 "
                            "&) ; sleep 0.2; kill -KILL $PPID; sleep 98758",
                            SIGKILL);
    ends_what_ends_its_init(plain, "pwd; touch a; kill -TERM $PPID; sleep 98758", SIGTERM);
    r = run_in(plain, hello, NULL, false, NULL);
    assert_int_equal(r.code, 3);
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

static void copy_file(const char *from, const char *to) {
    static char piece[1 << 16];
    size_t n;
    FILE *in = fopen(from, "re"), *out = fopen(to, "we");
    assert_non_null(in);
    assert_non_null(out);
    while ((n = fread(piece, 1, sizeof piece, in)) > 0) {
        assert_int_equal(fwrite(piece, 1, n, out), n);
    }
    fclose(in);
    assert_int_equal(fclose(out), 0);
    assert_int_equal(chmod(to, 0755), 0);
}

/* What a program sees of the parent of its interpreter's folder. */
static void expect_beside(const char *parent, const char *folder, bool beside) {
    char path[128], code[256], secret[128];
    rl_sandbox_opts opts = usual_opts();
    rl_sandbox *own;
    rl_err err;
    snprintf(secret, sizeof secret, "%s/secret", parent);
    snprintf(path, sizeof path, "%s/%s", parent, folder);
    assert_int_equal(mkdir(path, 0755), 0);
    snprintf(path, sizeof path, "%s/%s/python3", parent, folder);
    copy_file(rl_sandbox_python(jail), path);
    assert_true(put(secret, "x"));
    opts.python = path;
    assert_ok(rl_sandbox_open(&opts, &own, &err));
    snprintf(code, sizeof code, "import posix\nprint('secret' in posix.listdir('%s'))", parent);
    const char *argv[] = {path, "-I", "-S", "-c", code, NULL};
    rl_report r = run_in(own, argv, NULL, false, NULL);
    assert_text(r.out, r.out_len, beside ? "True\n" : "False\n");
    rl_sandbox_close(own);
    assert_int_equal(unlink(path), 0);
    *strrchr(path, '/') = '\0';
    assert_int_equal(rmdir(path), 0);
    assert_int_equal(unlink(secret), 0);
}

static void shows_the_folder_of_its_interpreter(void **state) {
    (void)state;
    char parent[] = "/var/tmp/rl-test-XXXXXX"; // the jail has a /tmp of its own
    if (mkdtemp(parent) == NULL) {
        print_message("skipped: no '/var/tmp' to write to\n");
        skip();
        return;
    }
    assert_int_equal(chmod(parent, 0755), 0);
    expect_beside(parent, "bin", true); // and so its lib
    expect_beside(parent, "alice", false);
    expect_beside(parent, "cabin", false);
    assert_int_equal(rmdir(parent), 0);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(survives_its_helper),
        cmocka_unit_test(gives_up_a_helper_that_hangs),
        cmocka_unit_test(dies_with_its_trainer),
        cmocka_unit_test(serves_many_threads),
        cmocka_unit_test(refuses_where_namespaces_are_denied),
        cmocka_unit_test(blames_the_program_for_its_init),
        cmocka_unit_test(runs_plain_by_name),
        cmocka_unit_test(shows_the_folder_of_its_interpreter),
        cmocka_unit_test(says_what_is_missing),
    };
    return run_twice(tests, RL_COUNT(tests));
}
