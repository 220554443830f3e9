/* What init and program do in both modes: keep their descriptors, wait, report, exec. */
#include "sandbox/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { STATUS_FD = 4, GO_FD = 5, FIRST_FREE_FD = 6 };

#ifndef SYS_close_range
#define SYS_close_range 436
#endif

void rl_jail_close_from(int first) {
    if (syscall(SYS_close_range, first, ~0U, 0) != 0) {
        long most = sysconf(_SC_OPEN_MAX);
        for (int fd = first; fd < most && fd < 65536; fd++) {
            close(fd);
        }
    }
}

/*
 * What init waits for; blocked, so that none is lost between two waits. In a pid namespace the
 * program may send init any signal: one that is neither blocked nor caught is dropped, hence only
 * the one that does no harm is waited for. There the helper's end needs no SIGTERM.
 */
static void init_signals(const rl_jail_start *start, sigset_t *out) {
    sigemptyset(out);
    sigaddset(out, SIGCHLD);
    if (start->jail->mode == RL_SANDBOX_PLAIN) {
        sigaddset(out, SIGTERM);
    }
}

void rl_jail_keep(rl_jail_start *start) {
    sigset_t wanted;
    init_signals(start, &wanted);
    (void)sigprocmask(SIG_BLOCK, &wanted, NULL);
    // The ends lie at RL_JAIL_LOW or above, so none is overwritten before it is moved.
    dup2(start->in, STDIN_FILENO);
    dup2(start->out, STDOUT_FILENO);
    dup2(start->err, STDERR_FILENO);
    close(3);
    if (start->result >= 0) {
        dup2(start->result, 3);
        start->result = 3;
    }
    dup3(start->status, STATUS_FD, O_CLOEXEC);
    dup3(start->go, GO_FD, O_CLOEXEC);
    start->in = STDIN_FILENO;
    start->out = STDOUT_FILENO;
    start->err = STDERR_FILENO;
    start->status = STATUS_FD;
    start->go = GO_FD;
    rl_jail_close_from(FIRST_FREE_FD);
}

static void put_note(const rl_jail_start *start, const rl_jail_note *note) {
    while (write(start->status, note, sizeof *note) < 0 && errno == EINTR) {
    }
}

static void note_end(const rl_jail_start *start, int wait_status) {
    rl_jail_note note = {.kind = RL_JAIL_ENDED, .wait_status = wait_status};
    put_note(start, &note);
}

void rl_jail_give_up(const rl_jail_start *start, const rl_err *err) {
    rl_jail_note note = {.kind = RL_JAIL_FAILED};
    snprintf(note.text, sizeof note.text, "%.*s", RL_WIRE_TEXT_MAX, err->text);
    put_note(start, &note);
    _exit(1);
}

/* Signals as a fresh process has them: the helper blocks some and ignores some. */
static void reset_signals(void) {
    sigset_t none;
    sigemptyset(&none);
    for (int sig = 1; sig < 32; sig++) {
        (void)signal(sig, SIG_DFL);
    }
    (void)sigprocmask(SIG_SETMASK, &none, NULL);
}

static _Noreturn void become_program(const rl_jail_start *start) {
    static const char *const env[] = {"PATH=/usr/local/bin:/usr/bin:/bin",
                                      "HOME=/tmp",
                                      "TMPDIR=/tmp",
                                      "LANG=C.UTF-8",
                                      "PYTHONHASHSEED=0",
                                      NULL};
    const rl_jail_note begun = {.kind = RL_JAIL_BEGUN};
    rl_err err;
    reset_signals();
    if (setsid() < 0) {
        rl_fail(&err, RL_IO, "cannot start a session: %s", strerror(errno));
        rl_jail_give_up(start, &err);
    }
    // Fixed addresses, so that what depends on them by accident comes out the same every time.
    (void)personality(ADDR_NO_RANDOMIZE);
    if (rl_limits_set(start->jail, &start->job->limits, &err) != RL_OK) {
        rl_jail_give_up(start, &err);
    }
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
        rl_fail(&err, RL_IO, "cannot refuse new privileges: %s", strerror(errno));
        rl_jail_give_up(start, &err);
    }
    if (rl_seccomp_load(&err) != RL_OK) {
        rl_jail_give_up(start, &err);
    }
    put_note(start, &begun);
    // execve takes pointers to non-const by tradition; it changes nothing.
    execve(start->job->argv[0], (char *const *)(uintptr_t)start->job->argv,
           (char *const *)(uintptr_t)env);
    rl_fail(&err, RL_IO, "cannot start '%.200s' in the jail: %s", start->job->argv[0],
            strerror(errno));
    rl_jail_give_up(start, &err);
}

bool rl_jail_run_program(const rl_jail_start *start) {
    sigset_t wanted;
    pid_t ended, program = fork();
    int wait_status = 0;
    if (program == 0) {
        become_program(start);
    }
    if (program < 0) {
        rl_err err;
        rl_fail(&err, RL_IO, "cannot start a process: %s", strerror(errno));
        rl_jail_give_up(start, &err);
    }
    for (int fd = 0; fd < STATUS_FD; fd++) {
        close(fd);
    }
    init_signals(start, &wanted);
    for (;;) {
        int sig = sigwaitinfo(&wanted, NULL);
        if (sig == SIGTERM) {
            return false;
        }
        while ((ended = waitpid(-1, &wait_status, WNOHANG)) > 0) {
            if (ended == program) {
                note_end(start, wait_status);
                return true;
            }
        }
    }
}
