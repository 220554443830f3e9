/*
 * rl-jail: runs untrusted programs for rl-train.
 *
 * Parties. The client (sandbox.c) starts this helper with one socket per slot, from descriptor
 * RL_JAIL_LOW on, an empty environment and its settings as arguments. The helper is one thread. For
 * each job it starts an init process, which starts the program.
 *
 * Messages. HELLO to the first socket, once. Then per socket: JOB in, REPORT out, again and again.
 * Init tells its end, or why it could not begin, on a status pipe (rl_jail_note).
 *
 * States of a slot are those of jail_slot.h. Transitions: slot_read starts a job when its message
 * is whole; SIGCHLD, read here from a signalfd, leads to slot_reaped; slot_write frees the slot.
 * Every 5 ms slot_tick checks the clock and the memory of running jobs. In plain mode a program can
 * end its init; the helper then inherits what is left of the job and ends it before slot_reaped.
 *
 * Ends. A socket that closes or talks nonsense ends the helper, and every init dies with it (parent
 * death signal), and with an init its whole pid namespace. So neither a crashed trainer nor a
 * killed helper leaves a process behind.
 */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sandbox/jail_slot.h"

enum { SLOTS_MAX = RL_WIRE_WORKERS_MAX, TICK_MS = 5, STRAYS_MS = 1000 };

static rl_jail jail;
static jail_slot slots[SLOTS_MAX];

static rl_status read_arguments(int argc, char **argv, rl_err *err) {
    char *end;
    long workers;
    if (argc != 4) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "rl-jail is started by rl-train; use 'rl-train' instead");
    }
    workers = strtol(argv[2], &end, 10);
    if (*end != '\0' || workers < 1 || workers > SLOTS_MAX) {
        return rl_fail(err, RL_UNSUPPORTED, "rl-jail: '%s' is no number of workers", argv[2]);
    }
    jail.mode = strcmp(argv[1], "plain") == 0 ? RL_SANDBOX_PLAIN : RL_SANDBOX_JAIL;
    jail.workers = (int32_t)workers;
    jail.extra = argv[3][0] != '\0' ? argv[3] : NULL;
    jail.uid = getuid();
    jail.gid = getgid();
    jail.counts_memory = rl_limits_can_count();
    return RL_OK;
}

/* Descriptors 0 to RL_JAIL_LOW become placeholders, those behind the sockets are closed. */
static rl_status tidy_descriptors(rl_err *err) {
    int null = open("/dev/null", O_RDWR | O_CLOEXEC);
    struct rlimit files;
    if (null < 0) {
        return rl_fail(err, RL_IO, "cannot open '/dev/null': %s", strerror(errno));
    }
    for (int fd = 0; fd < RL_JAIL_LOW; fd++) {
        if (fd != null && fd != STDERR_FILENO) {
            dup3(null, fd, O_CLOEXEC);
        }
    }
    for (int fd = RL_JAIL_LOW; fd < RL_JAIL_LOW + jail.workers; fd++) {
        if (fcntl(fd, F_SETFL, O_NONBLOCK) != 0 || fcntl(fd, F_SETFD, FD_CLOEXEC) != 0) {
            return rl_fail(err, RL_IO, "rl-jail was started without its sockets");
        }
    }
    rl_jail_close_from(RL_JAIL_LOW + jail.workers);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    return RL_OK;
}

static rl_status set_up(int argc, char **argv, int *signals, rl_err *err) {
    sigset_t child;
    rl_status status = read_arguments(argc, argv, err);
    status = status == RL_OK ? tidy_descriptors(err) : status;
    if (status != RL_OK) {
        return status;
    }
    // A terminal's interrupt is for the trainer, which decides when to end the jobs.
    (void)setsid();
    (void)signal(SIGPIPE, SIG_IGN);
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    *signals = signalfd(-1, &child, SFD_NONBLOCK | SFD_CLOEXEC);
    if (*signals < 0) {
        return rl_fail(err, RL_IO, "cannot watch for ended processes: %s", strerror(errno));
    }
    if (jail.mode == RL_SANDBOX_PLAIN && prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return rl_fail(err, RL_UNSUPPORTED, "cannot look after orphans: %s", strerror(errno));
    }
    if (jail.uid == 0) {
        (void)setgroups(0, NULL); // or jobs would keep the groups of root
    }
    status = rl_jail_ns_probe(&jail, err);
    return status == RL_OK ? rl_seccomp_make(err) : status;
}

static void mode_line(char *line, size_t cap) {
    char ids[64];
    if (jail.own_uid) {
        snprintf(ids, sizeof ids, "own uid per slot from %u", jail.uid_base);
    } else {
        snprintf(ids, sizeof ids, "slots share uid %u", jail.uid);
    }
    if (jail.mode == RL_SANDBOX_JAIL) {
        snprintf(
            line, cap,
            "jail: user mount pid net ipc uts namespaces, seccomp, rlimits, %s%s, %s, %d slots",
            ids, jail.own_uid ? "" : " and are kept apart by their namespaces",
            jail.counts_memory ? "memory polled" : "memory limited per process", (int)jail.workers);
    } else {
        snprintf(line, cap,
                 "plain: for trusted models only, files and network of this machine are in reach "
                 "and a program that looks for the judge can forge its verdict; no namespaces, "
                 "seccomp, rlimits, %s, %d slots",
                 ids, (int)jail.workers);
    }
}

static void say_hello(bool ok, const char *text) {
    uint8_t message[RL_WIRE_HEAD + RL_WIRE_TEXT_MAX + 16];
    size_t len = rl_wire_hello_put(ok, text, message + RL_WIRE_HEAD);
    rl_wire_head_put(message, RL_WIRE_HELLO, len);
    (void)!send(RL_JAIL_LOW, message, RL_WIRE_HEAD + len, MSG_NOSIGNAL);
}

static int64_t milliseconds(struct timeval t) {
    return (int64_t)t.tv_sec * 1000 + t.tv_usec / 1000;
}

/* Ends what jobs left when they ended their init. A killed process may linger in the kernel. */
static void end_strays(void) {
    int64_t until = jail_now_ms() + STRAYS_MS;
    while (rl_limits_kill_strays() > 0 && jail_now_ms() < until) {
        (void)poll(NULL, 0, 1);
    }
}

static void reap(int signals) {
    struct signalfd_siginfo info[16];
    struct rusage usage;
    pid_t pid;
    int status;
    while (read(signals, info, sizeof info) > 0) {
    }
    while ((pid = wait4(-1, &status, WNOHANG, &usage)) > 0) {
        for (int32_t i = 0; i < jail.workers; i++) {
            if (slots[i].state == SLOT_RUNNING && slots[i].init == pid) {
                if (jail.mode == RL_SANDBOX_PLAIN) {
                    end_strays();
                }
                slot_reaped(&slots[i], status,
                            milliseconds(usage.ru_utime) + milliseconds(usage.ru_stime),
                            (int64_t)usage.ru_maxrss * 1024, jail_now_ms());
            }
        }
    }
}

/* One turn of the loop; false when a client has gone. */
static bool turn(int signals) {
    static struct pollfd fds[1 + SLOTS_MAX * SLOT_FDS];
    static int first[SLOTS_MAX + 1];
    int n = 1;
    bool running = false;
    int64_t now;
    fds[0] = (struct pollfd){.fd = signals, .events = POLLIN};
    for (int32_t i = 0; i < jail.workers; i++) {
        first[i] = n;
        n += slot_poll(&slots[i], fds + n);
        running = running || slots[i].state == SLOT_RUNNING;
    }
    first[jail.workers] = n;
    if (poll(fds, (nfds_t)n, running ? TICK_MS : -1) < 0) {
        return errno == EINTR;
    }
    for (int32_t i = 0; i < jail.workers; i++) {
        if (!slot_serve(&slots[i], fds + first[i], first[i + 1] - first[i])) {
            return false;
        }
    }
    if (fds[0].revents != 0) {
        reap(signals);
    }
    now = jail_now_ms();
    static int64_t last_ms;
    if (now - last_ms >= TICK_MS) {
        last_ms = now;
        for (int32_t i = 0; i < jail.workers; i++) {
            slot_tick(&slots[i], now);
        }
    }
    return true;
}

int main(int argc, char **argv) {
    char line[RL_WIRE_TEXT_MAX + 1];
    rl_err err;
    int signals = -1;
    if (set_up(argc, argv, &signals, &err) != RL_OK) {
        if (argc != 4) {
            fprintf(stderr, "%s\n", err.text);
            return 2;
        }
        say_hello(false, err.text);
        return 1;
    }
    for (int32_t i = 0; i < jail.workers; i++) {
        slots[i] = (jail_slot){.jail = &jail,
                               .index = i,
                               .sock = RL_JAIL_LOW + i,
                               .in_fd = -1,
                               .status_fd = -1,
                               .out.fd = -1,
                               .err.fd = -1,
                               .result.fd = -1};
    }
    mode_line(line, sizeof line);
    say_hello(true, line);
    while (turn(signals)) {
    }
    for (int32_t i = 0; i < jail.workers; i++) {
        slot_kill(&slots[i]);
    }
    return 0;
}
