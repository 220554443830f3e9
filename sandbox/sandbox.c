/*
 * The client side of the sandbox: owns the helper rl-jail and hands it jobs.
 *
 * Parties. The helper has one socket per slot; a thread that wants to run a job takes a free slot
 * and has its socket to itself until it gives the slot back, so no message needs an address.
 *
 * States. The helper is alive or dead. It becomes dead when a socket fails or a report is later
 * than any limit allows (fail_helper, which also kills it, so that every other thread's socket
 * fails too). Threads that want a slot then wait until the busy ones are back; the first to find
 * none starts a new helper (start_helper).
 *
 * The lock guards busy, n_busy and dead; sockets belong to who holds the slot. A process id is
 * reaped only under the lock while no slot is busy, so nobody can signal a stranger.
 */
#include "rl/sandbox/sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/core/pool.h"
#include "sandbox/wire.h"

static const char *const mode_names[] = {"jail", "plain", NULL};

static const rl_key sandbox_keys[] = {
    RL_CHOICE_ROW(rl_sandbox_opts, mode, "jail", mode_names, RL_KEY_RESUME_FREE,
                  "how programs are contained; plain is for machines that deny namespaces and for "
                  "trusted models only: files and network of the machine are in reach, and a "
                  "program that looks for the judge can forge its verdict"),
    RL_KEY_ROW(rl_sandbox_opts, workers, "0", 0, RL_WIRE_WORKERS_MAX, RL_KEY_RESUME_FREE,
               "programs run at the same time, 0 for one per processor"),
    RL_KEY_ROW(rl_sandbox_opts, cpu_ms, "5000", 100, 3600000, 0,
               "processor time of one process of a program, in milliseconds, whole seconds up"),
    RL_KEY_ROW(rl_sandbox_opts, wall_ms, "10000", 100, 3600000, 0,
               "time after which a program is stopped, in milliseconds"),
    RL_KEY_ROW(rl_sandbox_opts, mem_mb, "512", 32, 1048576, 0,
               "memory of a program with all its processes, in MiB; files in its /tmp and what its "
               "sockets and pipes buffer are not counted"),
    RL_KEY_ROW(rl_sandbox_opts, out_kb, "64", 0, 32768, 0,
               "output kept of a program, in KiB; more is read and dropped"),
    RL_KEY_ROW(rl_sandbox_opts, processes, "32", 4, 4096, 0,
               "processes and threads a program may have at a time"),
    RL_KEY_ROW(rl_sandbox_opts, python, "", 0, 0, RL_KEY_RESUME_FREE,
               "path of the Python 3 interpreter, empty for the system's"),
};

const rl_section rl_sandbox_section = {
    .name = "sandbox",
    .doc = "where and within which limits model-written programs run",
    .size = sizeof(rl_sandbox_opts),
    .keys = sandbox_keys,
    .n_keys = sizeof sandbox_keys / sizeof sandbox_keys[0],
};

enum { HELLO_MS = 10000, GRACE_MS = 5000 };

struct rl_sandbox {
    rl_sandbox_opts opts;
    char *python, *folder, *helper; // folder: of an interpreter outside the system's folders
    char mode_line[RL_WIRE_TEXT_MAX + 1];
    rl_lock *lock;
    int32_t n_slots, n_busy;
    bool *busy; // [n_slots]
    int *sock;  // [n_slots] -1 when closed
    pid_t pid;  // 0 when none is to be reaped
    bool dead;
};

/* Reads or writes n_bytes before the deadline. */
static rl_status move_bytes(int sock, void *bytes, size_t n_bytes, bool sending, int64_t deadline,
                            rl_err *err) {
    size_t at = 0;
    while (at < n_bytes) {
        struct pollfd wait = {.fd = sock, .events = sending ? POLLOUT : POLLIN};
        int64_t left = deadline - rl_clock_ms();
        ssize_t n;
        int rc = left > 0 ? poll(&wait, 1, left < INT_MAX ? (int)left : INT_MAX) : 0;
        if (rc < 0 && errno == EINTR) {
            continue;
        }
        if (rc == 0 && left > INT_MAX) {
            continue;
        }
        if (rc <= 0) {
            return rl_fail(err, RL_IO, "the sandbox helper does not answer");
        }
        n = sending ? send(sock, (char *)bytes + at, n_bytes - at, MSG_NOSIGNAL | MSG_DONTWAIT)
                    : recv(sock, (char *)bytes + at, n_bytes - at, MSG_DONTWAIT);
        if (n < 0 && (errno == EINTR || errno == EAGAIN)) {
            continue;
        }
        if (n <= 0) {
            return rl_fail(err, RL_IO, "the sandbox helper has died");
        }
        at += (size_t)n;
    }
    return RL_OK;
}

/* One message of the wanted kind; its body is in the arena. */
static rl_status receive(int sock, rl_wire_kind wanted, int64_t deadline, rl_arena *arena,
                         uint8_t **body, size_t *body_len, rl_err *err) {
    uint8_t head[RL_WIRE_HEAD];
    rl_wire_kind kind;
    rl_status status = move_bytes(sock, head, sizeof head, false, deadline, err);
    if (status != RL_OK) {
        return status;
    }
    if (!rl_wire_head_get(head, &kind, body_len) || kind != wanted) {
        return rl_fail(err, RL_IO, "the sandbox helper does not keep to the protocol");
    }
    *body = rl_arena_alloc(arena, *body_len, 1);
    return move_bytes(sock, *body, *body_len, false, deadline, err);
}

static void close_sockets(rl_sandbox *sandbox) {
    for (int32_t i = 0; i < sandbox->n_slots; i++) {
        if (sandbox->sock[i] >= 0) {
            close(sandbox->sock[i]);
            sandbox->sock[i] = -1;
        }
    }
}

/* Closing the sockets ends a healthy helper; a broken one is killed. */
static void end_helper(rl_sandbox *sandbox) {
    close_sockets(sandbox);
    if (sandbox->pid > 0) {
        int64_t deadline = rl_clock_ms() + 2000;
        pid_t ended;
        while ((ended = waitpid(sandbox->pid, NULL, WNOHANG)) == 0 && rl_clock_ms() < deadline) {
            rl_clock_sleep_ms(1);
        }
        if (ended == 0) {
            kill(sandbox->pid, SIGKILL);
            (void)waitpid(sandbox->pid, NULL, 0);
        }
        sandbox->pid = 0;
    }
}

static rl_status spawn(rl_sandbox *sandbox, const int *theirs, rl_err *err) {
    char workers[16];
    char name[] = "rl-jail", mode[8], none[] = "", *env[] = {NULL};
    char *folder = sandbox->folder != NULL ? sandbox->folder : none;
    char *argv[] = {name, mode, workers, folder, NULL};
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attr;
    int rc;
    snprintf(workers, sizeof workers, "%d", (int)sandbox->n_slots);
    snprintf(mode, sizeof mode, "%s", mode_names[sandbox->opts.mode]);
    posix_spawn_file_actions_init(&actions);
    posix_spawnattr_init(&attr);
    posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSID);
    for (int32_t i = 0; i < sandbox->n_slots; i++) {
        posix_spawn_file_actions_adddup2(&actions, theirs[i], RL_WIRE_FIRST_FD + i);
    }
    rc = posix_spawn(&sandbox->pid, sandbox->helper, &actions, &attr, argv, env);
    posix_spawn_file_actions_destroy(&actions);
    posix_spawnattr_destroy(&attr);
    if (rc != 0) {
        sandbox->pid = 0;
        return rl_fail(err, RL_IO, "cannot start '%s': %s; rl-jail belongs beside rl-train",
                       sandbox->helper, strerror(rc));
    }
    return RL_OK;
}

/* The helper's ends lie above the numbers they get there, so that none is overwritten. */
static rl_status make_sockets(rl_sandbox *sandbox, int *theirs, rl_err *err) {
    for (int32_t i = 0; i < sandbox->n_slots; i++) {
        int pair[2];
        if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) {
            return rl_fail(err, RL_IO, "cannot make sockets for the sandbox: %s", strerror(errno));
        }
        sandbox->sock[i] = pair[0];
        theirs[i] = fcntl(pair[1], F_DUPFD_CLOEXEC, RL_WIRE_FIRST_FD + sandbox->n_slots);
        close(pair[1]);
        if (theirs[i] < 0) {
            return rl_fail(err, RL_IO, "cannot make sockets for the sandbox: %s", strerror(errno));
        }
    }
    return RL_OK;
}

static rl_status hear_hello(rl_sandbox *sandbox, rl_err *err) {
    rl_arena *arena = rl_arena_new(4096);
    uint8_t *body = NULL;
    size_t body_len = 0;
    bool ok = false;
    char text[RL_WIRE_TEXT_MAX + 1];
    rl_status status = receive(sandbox->sock[0], RL_WIRE_HELLO, rl_clock_ms() + HELLO_MS, arena,
                               &body, &body_len, err);
    if (status == RL_OK && !rl_wire_hello_get(body, body_len, &ok, text)) {
        status = rl_fail(err, RL_IO, "the sandbox helper does not keep to the protocol");
    }
    if (status == RL_OK && !ok) {
        status = rl_fail(err, RL_UNSUPPORTED, "the sandbox cannot start: %s", text);
    }
    // Readers of the mode line need no lock, since it is written before any slot is handed out.
    if (status == RL_OK && sandbox->mode_line[0] == '\0') {
        memcpy(sandbox->mode_line, text, sizeof text);
    }
    rl_arena_free(arena);
    return status;
}

static rl_status start_helper(rl_sandbox *sandbox, rl_err *err) {
    int *theirs = rl_alloc((size_t)sandbox->n_slots, sizeof *theirs);
    rl_status status;
    end_helper(sandbox);
    for (int32_t i = 0; i < sandbox->n_slots; i++) {
        theirs[i] = -1;
    }
    status = make_sockets(sandbox, theirs, err);
    status = status == RL_OK ? spawn(sandbox, theirs, err) : status;
    for (int32_t i = 0; i < sandbox->n_slots; i++) {
        if (theirs[i] >= 0) {
            close(theirs[i]);
        }
    }
    rl_free(theirs);
    status = status == RL_OK ? hear_hello(sandbox, err) : status;
    sandbox->dead = status != RL_OK;
    return status;
}

static rl_status take_slot(rl_sandbox *sandbox, int32_t *slot, rl_err *err) {
    rl_status status = RL_OK;
    rl_lock_take(sandbox->lock);
    while (sandbox->n_busy == sandbox->n_slots || (sandbox->dead && sandbox->n_busy > 0)) {
        rl_lock_wait(sandbox->lock);
    }
    if (sandbox->dead) {
        status = start_helper(sandbox, err);
    }
    if (status == RL_OK) {
        int32_t i = 0;
        while (sandbox->busy[i]) {
            i++;
        }
        sandbox->busy[i] = true;
        sandbox->n_busy++;
        *slot = i;
    }
    rl_lock_give(sandbox->lock);
    return status;
}

static void give_slot(rl_sandbox *sandbox, int32_t slot, bool failed) {
    rl_lock_take(sandbox->lock);
    if (failed) {
        sandbox->dead = true;
        if (sandbox->pid > 0) {
            kill(sandbox->pid, SIGKILL);
        }
    }
    sandbox->busy[slot] = false;
    sandbox->n_busy--;
    rl_lock_wake(sandbox->lock);
    rl_lock_give(sandbox->lock);
}

static rl_status exchange(rl_sandbox *sandbox, int32_t slot, const rl_job *job, size_t job_size,
                          rl_arena *arena, rl_report *out, rl_err *err) {
    int64_t deadline = rl_clock_ms() + job->limits.wall_ms + GRACE_MS;
    uint8_t *message = rl_alloc(RL_WIRE_HEAD + job_size, 1), *body = NULL;
    size_t body_len = 0;
    char text[RL_WIRE_TEXT_MAX + 1];
    rl_status status;
    rl_wire_head_put(message, RL_WIRE_JOB, job_size);
    rl_wire_job_put(job, message + RL_WIRE_HEAD);
    status = move_bytes(sandbox->sock[slot], message, RL_WIRE_HEAD + job_size, true, deadline, err);
    rl_free(message);
    status = status == RL_OK ? receive(sandbox->sock[slot], RL_WIRE_REPORT, deadline, arena, &body,
                                       &body_len, err)
                             : status;
    if (status == RL_OK && !rl_wire_report_get(body, body_len, out, text)) {
        status = rl_fail(err, RL_IO, "the sandbox helper does not keep to the protocol");
    }
    give_slot(sandbox, slot, status != RL_OK);
    if (status == RL_OK && out->kind == RL_EXIT_BROKEN) {
        status = rl_fail(err, RL_IO, "the sandbox failed: %s", text);
    }
    return status;
}

rl_status rl_sandbox_run(rl_sandbox *sandbox, const rl_job *job, rl_arena *arena, rl_report *out,
                         rl_err *err) {
    size_t job_size;
    int32_t slot;
    rl_status status = RL_OK;
    *out = (rl_report){.kind = RL_EXIT_BROKEN, .out = "", .err = ""};
    if (!rl_wire_job_size(job, &job_size)) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "a program with its input is too large for the sandbox");
    }
    status = take_slot(sandbox, &slot, err);
    if (status == RL_OK) {
        status = exchange(sandbox, slot, job, job_size, arena, out, err);
    }
    if (status != RL_OK) {
        *out = (rl_report){.kind = RL_EXIT_BROKEN, .out = "", .err = ""};
    }
    if (!job->wants_result) {
        out->result = NULL;
    }
    return status;
}

static rl_status choose_python(const char *wanted, char real[PATH_MAX], rl_err *err) {
    static const char *const usual[] = {"/usr/bin/python3", "/usr/local/bin/python3"};
    if (wanted[0] != '\0') {
        return realpath(wanted, real) != NULL
                   ? RL_OK
                   : rl_fail(err, RL_BAD_RECIPE, "'sandbox.python' is '%s': %s", wanted,
                             strerror(errno));
    }
    for (size_t i = 0; i < sizeof usual / sizeof usual[0]; i++) {
        if (realpath(usual[i], real) != NULL && access(real, X_OK) == 0) {
            return RL_OK;
        }
    }
    return rl_fail(err, RL_UNSUPPORTED,
                   "no Python at '%s'; try: apt-get install python3, or set 'sandbox.python'",
                   usual[0]);
}

/* The interpreter with links resolved, and its folder where that is not one of the system's. */
static rl_status find_python(rl_sandbox *sandbox, rl_err *err) {
    static const char *const taken[] = {"/tmp/", "/dev/", "/etc/", "/proc/"};
    char real[PATH_MAX];
    rl_status status = choose_python(sandbox->opts.python, real, err);
    if (status != RL_OK) {
        return status;
    }
    sandbox->python = rl_strdup(real);
    if (sandbox->opts.mode == RL_SANDBOX_PLAIN || rl_text_starts(real, "/usr/") ||
        rl_text_starts(real, "/bin/")) {
        return RL_OK;
    }
    for (size_t i = 0; i < sizeof taken / sizeof taken[0]; i++) {
        if (rl_text_starts(real, taken[i])) {
            return rl_fail(err, RL_BAD_RECIPE,
                           "'sandbox.python' is '%s', but the jail has a '%.4s' of its own",
                           sandbox->python, taken[i]);
        }
    }
    // <folder>/bin/python3: the library lies beside bin. Of any other folder nothing beside it is
    // shown, since that may be every home.
    *strrchr(real, '/') = '\0';
    if (strcmp(strrchr(real, '/') != NULL ? strrchr(real, '/') : "", "/bin") == 0) {
        *strrchr(real, '/') = '\0';
    }
    if (real[0] == '\0') {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'sandbox.python' is '%s', which has no folder of its own", sandbox->python);
    }
    sandbox->folder = rl_strdup(real);
    return RL_OK;
}

/* A job of nothing, so that what cannot work is told before training starts. */
static rl_status try_job(rl_sandbox *sandbox, rl_err *err) {
    const char *argv[] = {sandbox->python, "-I", "-S", "-c", "pass", NULL};
    rl_job job = {.argv = argv, .limits = rl_sandbox_limits(sandbox)};
    rl_arena *arena = rl_arena_new(0);
    rl_report report;
    rl_err why;
    rl_status status = rl_sandbox_run(sandbox, &job, arena, &report, &why);
    bool python_at_fault = status == RL_OK ? report.kind != RL_EXIT_CLEAN
                                           : strstr(why.text, sandbox->python) != NULL ||
                                                 (sandbox->folder != NULL &&
                                                  strstr(why.text, sandbox->folder) != NULL);
    if (status == RL_OK) {
        const char *eol = memchr(report.err, '\n', report.err_len);
        size_t len = eol != NULL ? (size_t)(eol - report.err) : report.err_len;
        rl_fail(&why, RL_OK, "%.*s", len < 200 ? (int)len : 200, report.err);
    }
    if (python_at_fault) {
        status = rl_fail(err, RL_UNSUPPORTED,
                         "'%s' does not run in the sandbox: %.200s; set 'sandbox.python' to a "
                         "Python 3 that every user may run",
                         sandbox->python, why.text);
    } else if (status != RL_OK && sandbox->opts.mode == RL_SANDBOX_JAIL) {
        status = rl_fail(err, RL_UNSUPPORTED,
                         "programs cannot be jailed here: %.300s; allow user namespaces, or accept "
                         "the weaker 'sandbox.mode' \"plain\"",
                         why.text);
    } else if (status != RL_OK) {
        status = rl_fail(err, RL_UNSUPPORTED, "programs cannot be run here: %.400s", why.text);
    }
    rl_arena_free(arena);
    return status;
}

rl_status rl_sandbox_open(const rl_sandbox_opts *opts, rl_sandbox **out, rl_err *err) {
    rl_sandbox *sandbox = rl_alloc(1, sizeof *sandbox);
    rl_arena *arena = rl_arena_new(0);
    char *folder = NULL;
    rl_status status;
    *out = NULL;
    sandbox->opts = *opts;
    sandbox->n_slots = opts->workers > 0 ? opts->workers : rl_cpu_count();
    sandbox->n_slots =
        sandbox->n_slots < RL_WIRE_WORKERS_MAX ? sandbox->n_slots : RL_WIRE_WORKERS_MAX;
    sandbox->lock = rl_lock_new();
    sandbox->busy = rl_alloc((size_t)sandbox->n_slots, sizeof *sandbox->busy);
    sandbox->sock = rl_alloc((size_t)sandbox->n_slots, sizeof *sandbox->sock);
    for (int32_t i = 0; i < sandbox->n_slots; i++) {
        sandbox->sock[i] = -1;
    }
    status = rl_path_program_dir(arena, &folder, err);
    if (status == RL_OK) {
        sandbox->helper = rl_strdup(rl_path_join(arena, folder, "rl-jail"));
        status = find_python(sandbox, err);
    }
    status = status == RL_OK ? start_helper(sandbox, err) : status;
    status = status == RL_OK ? try_job(sandbox, err) : status;
    rl_arena_free(arena);
    if (status != RL_OK) {
        rl_sandbox_close(sandbox);
        return status;
    }
    *out = sandbox;
    return RL_OK;
}

void rl_sandbox_close(rl_sandbox *sandbox) {
    if (sandbox == NULL) {
        return;
    }
    end_helper(sandbox);
    rl_lock_free(sandbox->lock);
    rl_free(sandbox->busy);
    rl_free(sandbox->sock);
    rl_free(sandbox->python);
    rl_free(sandbox->folder);
    rl_free(sandbox->helper);
    rl_free(sandbox);
}

const char *rl_sandbox_mode_line(const rl_sandbox *sandbox) {
    return sandbox->mode_line;
}

int32_t rl_sandbox_workers(const rl_sandbox *sandbox) {
    return sandbox->n_slots;
}

const char *rl_sandbox_python(const rl_sandbox *sandbox) {
    return sandbox->python;
}

rl_limits rl_sandbox_limits(const rl_sandbox *sandbox) {
    const rl_sandbox_opts *opts = &sandbox->opts;
    return (rl_limits){.cpu_ms = opts->cpu_ms,
                       .wall_ms = opts->wall_ms,
                       .mem_bytes = (int64_t)opts->mem_mb << 20,
                       .out_bytes = (int64_t)opts->out_kb << 10,
                       .processes = opts->processes};
}
