/*
 * The system calls a job may make. Everything that is not listed answers ENOSYS, as a kernel
 * without it would, so that programs take their fallback; a foreign architecture (32-bit, x32)
 * kills. Left out with intent: io_uring, ptrace and reading other processes, keys, bpf, perf,
 * userfaultfd, mounting, namespaces, modules, clocks, memfd and System V memory (both hold memory
 * that no limit sees), clone3 (its flags lie behind a pointer), limits of other processes (init
 * has the program's user id).
 */
#include "sandbox/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <sched.h>
#include <seccomp.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#ifndef SECCOMP_MODE_FILTER
#define SECCOMP_MODE_FILTER 2
#endif

static const char *const allowed[] = {
    // files
    "access",
    "chdir",
    "chmod",
    "chown",
    "close",
    "close_range",
    "copy_file_range",
    "creat",
    "dup",
    "dup2",
    "dup3",
    "faccessat",
    "faccessat2",
    "fadvise64",
    "fallocate",
    "fchdir",
    "fchmod",
    "fchmodat",
    "fchown",
    "fchownat",
    "fcntl",
    "fdatasync",
    "fgetxattr",
    "flistxattr",
    "flock",
    "fstat",
    "fstatfs",
    "fsync",
    "ftruncate",
    "futimesat",
    "getcwd",
    "getdents",
    "getdents64",
    "getxattr",
    "lchown",
    "lgetxattr",
    "link",
    "linkat",
    "listxattr",
    "llistxattr",
    "lseek",
    "lstat",
    "mkdir",
    "mkdirat",
    "mknod",
    "newfstatat",
    "open",
    "openat",
    "pread64",
    "preadv",
    "preadv2",
    "pwrite64",
    "pwritev",
    "pwritev2",
    "read",
    "readahead",
    "readlink",
    "readlinkat",
    "readv",
    "rename",
    "renameat",
    "renameat2",
    "rmdir",
    "sendfile",
    "splice",
    "stat",
    "statfs",
    "statx",
    "symlink",
    "symlinkat",
    "sync_file_range",
    "tee",
    "truncate",
    "umask",
    "unlink",
    "unlinkat",
    "utime",
    "utimensat",
    "utimes",
    "vmsplice",
    "write",
    "writev",
    // waiting and events
    "epoll_create",
    "epoll_create1",
    "epoll_ctl",
    "epoll_pwait",
    "epoll_pwait2",
    "epoll_wait",
    "eventfd",
    "eventfd2",
    "inotify_add_watch",
    "inotify_init",
    "inotify_init1",
    "inotify_rm_watch",
    "pause",
    "pipe",
    "pipe2",
    "poll",
    "ppoll",
    "pselect6",
    "select",
    "signalfd",
    "signalfd4",
    "timerfd_create",
    "timerfd_gettime",
    "timerfd_settime",
    // memory
    "brk",
    "madvise",
    "mincore",
    "mlock",
    "mlock2",
    "mmap",
    "mprotect",
    "mremap",
    "msync",
    "munlock",
    "munmap",
    "membarrier",
    "get_mempolicy",
    "rseq",
    "pkey_alloc",
    "pkey_free",
    "pkey_mprotect",
    // processes and threads
    "arch_prctl",
    "execve",
    "execveat",
    "exit",
    "exit_group",
    "fork",
    "futex",
    "futex_waitv",
    "get_robust_list",
    "getcpu",
    "getpgid",
    "getpgrp",
    "getpid",
    "getppid",
    "getpriority",
    "getrandom",
    "getrlimit",
    "getrusage",
    "getsid",
    "gettid",
    "kill",
    "pidfd_open",
    "pidfd_send_signal",
    "prctl",
    "restart_syscall",
    "rt_sigaction",
    "rt_sigpending",
    "rt_sigprocmask",
    "rt_sigqueueinfo",
    "rt_sigreturn",
    "rt_sigsuspend",
    "rt_sigtimedwait",
    "rt_tgsigqueueinfo",
    "sched_get_priority_max",
    "sched_get_priority_min",
    "sched_getaffinity",
    "sched_getattr",
    "sched_getparam",
    "sched_getscheduler",
    "sched_rr_get_interval",
    "sched_setaffinity",
    "sched_yield",
    "set_robust_list",
    "set_tid_address",
    "setpgid",
    "setpriority",
    "setrlimit",
    "setsid",
    "sigaltstack",
    "tgkill",
    "tkill",
    "vfork",
    "wait4",
    "waitid",
    // identity; there are no capabilities to gain
    "capget",
    "getegid",
    "geteuid",
    "getgid",
    "getgroups",
    "getresgid",
    "getresuid",
    "getuid",
    "setfsgid",
    "setfsuid",
    "setgid",
    "setregid",
    "setresgid",
    "setresuid",
    "setreuid",
    "setuid",
    "setgroups",
    // time
    "alarm",
    "clock_getres",
    "clock_gettime",
    "clock_nanosleep",
    "getitimer",
    "gettimeofday",
    "nanosleep",
    "setitimer",
    "time",
    "timer_create",
    "timer_delete",
    "timer_getoverrun",
    "timer_gettime",
    "timer_settime",
    "times",
    // sockets; which families is decided below
    "accept",
    "accept4",
    "bind",
    "connect",
    "getpeername",
    "getsockname",
    "getsockopt",
    "listen",
    "recvfrom",
    "recvmmsg",
    "recvmsg",
    "sendmmsg",
    "sendmsg",
    "sendto",
    "setsockopt",
    "shutdown",
    // System V semaphores and queues, in a namespace of the job's own
    "semctl",
    "semget",
    "semop",
    "semtimedop",
    "msgctl",
    "msgget",
    "msgrcv",
    "msgsnd",
    // the machine
    "sysinfo",
    "uname",
};

enum { PROGRAM_MAX = 4096 };

static struct sock_filter program[PROGRAM_MAX];
static unsigned short program_len;

static int allow_names(scmp_filter_ctx filter) {
    int rc = 0;
    for (size_t i = 0; i < sizeof allowed / sizeof allowed[0] && rc == 0; i++) {
        int number = seccomp_syscall_resolve_name(allowed[i]);
        // Names this machine or this libseccomp does not have stay refused.
        if (number >= 0) {
            rc = seccomp_rule_add(filter, SCMP_ACT_ALLOW, number, 0);
        }
    }
    return rc;
}

/* Allows a call whose argument, under the mask, is one of the values. */
static int allow_values(scmp_filter_ctx filter, int number, unsigned arg, uint64_t mask,
                        const uint64_t *value, size_t n_values) {
    int rc = 0;
    for (size_t i = 0; i < n_values && rc == 0; i++) {
        const struct scmp_arg_cmp test = {
            .arg = arg, .op = SCMP_CMP_MASKED_EQ, .datum_a = mask, .datum_b = value[i]};
        rc = seccomp_rule_add_array(filter, SCMP_ACT_ALLOW, number, 1, &test);
    }
    return rc;
}

static int allow_by_argument(scmp_filter_ctx filter) {
    // Of the internet families only their own loopback would be there, and that is down.
    static const uint64_t families[] = {AF_UNIX, AF_INET, AF_INET6}, unix_alone[] = {AF_UNIX};
    // Terminal input cannot be forged, even where a terminal was inherited.
    static const uint64_t requests[] = {TCGETS,  TIOCGWINSZ, FIONREAD, FIONBIO,
                                        FIOCLEX, FIONCLEX,   TCSETS,   TIOCGPGRP};
    static const uint64_t namespaces = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
                                       CLONE_NEWUTS | CLONE_NEWNS | CLONE_NEWCGROUP,
                          none[] = {0};
    const uint64_t int_bits = 0xffffffff; // also of a pid: the kernel ignores the upper half
    int rc = allow_values(filter, SCMP_SYS(socket), 0, int_bits, families, 3);
    rc = rc == 0 ? allow_values(filter, SCMP_SYS(socketpair), 0, int_bits, unix_alone, 1) : rc;
    rc = rc == 0 ? allow_values(filter, SCMP_SYS(clone), 0, namespaces, none, 1) : rc;
    rc = rc == 0 ? allow_values(filter, SCMP_SYS(prlimit64), 0, int_bits, none, 1) : rc;
    rc = rc == 0 ? allow_values(filter, SCMP_SYS(ioctl), 1, int_bits, requests,
                                sizeof requests / sizeof requests[0])
                 : rc;
    return rc;
}

static int export_program(scmp_filter_ctx filter) {
    int fd = memfd_create("seccomp", MFD_CLOEXEC), rc;
    ssize_t n;
    if (fd < 0) {
        return -errno;
    }
    rc = seccomp_export_bpf(filter, fd);
    n = rc == 0 ? pread(fd, program, sizeof program, 0) : 0;
    close(fd);
    if (rc == 0 && (n <= 0 || n == (ssize_t)sizeof program)) {
        return -E2BIG;
    }
    program_len = (unsigned short)((size_t)n / sizeof program[0]);
    return rc;
}

rl_status rl_seccomp_make(rl_err *err) {
    scmp_filter_ctx filter = seccomp_init(SCMP_ACT_ERRNO(ENOSYS));
    int rc = filter == NULL ? -ENOMEM : 0;
    if (rc == 0) {
        rc = seccomp_attr_set(filter, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    }
    if (rc == 0) {
        (void)seccomp_attr_set(filter, SCMP_FLTATR_CTL_OPTIMIZE, 2); // a tree; needs 2.5
        rc = allow_names(filter);
    }
    rc = rc == 0 ? allow_by_argument(filter) : rc;
    rc = rc == 0 ? export_program(filter) : rc;
    if (filter != NULL) {
        seccomp_release(filter);
    }
    if (rc != 0) {
        return rl_fail(err, RL_UNSUPPORTED, "cannot make the system call filter: %s",
                       strerror(-rc));
    }
    return RL_OK;
}

rl_status rl_seccomp_load(rl_err *err) {
    struct sock_fprog load = {.len = program_len, .filter = program};
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &load) != 0) {
        return rl_fail(err, RL_UNSUPPORTED, "cannot load the system call filter: %s",
                       strerror(errno));
    }
    return RL_OK;
}
