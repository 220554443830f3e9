#include "sandbox/jail.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

static rl_status set_limit(__rlimit_resource_t which, rlim_t soft, rlim_t hard, const char *name,
                           rl_err *err) {
    struct rlimit limit = {.rlim_cur = soft, .rlim_max = hard};
    if (setrlimit(which, &limit) != 0) {
        return rl_fail(err, RL_IO, "cannot limit '%s': %s", name, strerror(errno));
    }
    return RL_OK;
}

rl_status rl_limits_set(const rl_jail *jail, const rl_limits *limits, rl_err *err) {
    rlim_t cpu_s = (rlim_t)(limits->cpu_ms + 999) / 1000, mem = (rlim_t)limits->mem_bytes;
    // Where the whole job's memory is polled, address space may exceed it: threads reserve much
    // that they never touch.
    rlim_t space = jail->counts_memory ? 2 * mem + (64u << 20) : mem;
    rlim_t processes = jail->mode == RL_SANDBOX_PLAIN && jail->counts_memory
                           ? RLIM_INFINITY
                           : (rlim_t)limits->processes + 1;
    const struct {
        __rlimit_resource_t which;
        rlim_t soft, hard;
        const char *name;
    } table[] = {
        // The hard limit kills; one second earlier SIGXCPU tells it from other kills.
        {RLIMIT_CPU, cpu_s, cpu_s + 1, "cpu"},
        {RLIMIT_AS, space, space, "as"},
        {RLIMIT_FSIZE, RL_JAIL_TMP_BYTES, RL_JAIL_TMP_BYTES, "fsize"},
        {RLIMIT_NOFILE, RL_JAIL_FILES, RL_JAIL_FILES, "nofile"},
        {RLIMIT_CORE, 0, 0, "core"},
        {RLIMIT_STACK, 8u << 20, 64u << 20, "stack"},
        {RLIMIT_MEMLOCK, 0, 0, "memlock"},
        {RLIMIT_MSGQUEUE, 0, 0, "msgqueue"},
        {RLIMIT_SIGPENDING, 256, 256, "sigpending"},
        // Counted per user namespace; the job's init is one of them. Without namespaces it would
        // count everything the user runs, so there the poll counts the job's own (jail_slot.c).
        {RLIMIT_NPROC, processes, processes, "nproc"},
    };
    rl_status status = RL_OK;
    for (size_t i = 0; i < sizeof table / sizeof table[0] && status == RL_OK; i++) {
        struct rlimit now;
        rlim_t soft = table[i].soft, hard = table[i].hard;
        if (getrlimit(table[i].which, &now) == 0 && now.rlim_max < hard) {
            hard = now.rlim_max;
            soft = soft < hard ? soft : hard;
        }
        status = set_limit(table[i].which, soft, hard, table[i].name, err);
    }
    return status;
}

static ssize_t read_file(const char *path, char *buf, size_t cap) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = fd < 0 ? -1 : read(fd, buf, cap - 1);
    if (fd >= 0) {
        close(fd);
    }
    buf[n > 0 ? n : 0] = '\0';
    return n;
}

bool rl_limits_can_count(void) {
    char path[64], buf[16];
    snprintf(path, sizeof path, "/proc/self/task/%d/children", (int)getpid());
    return read_file(path, buf, sizeof buf) >= 0;
}

typedef void visitor(pid_t pid, void *context);

static void walk(pid_t pid, int depth, visitor *visit, void *context);

static void meet(pid_t child, int depth, visitor *visit, void *context) {
    if (depth > 0) {
        walk(child, depth - 1, visit, context);
    }
    visit(child, context);
}

/* The list may be longer than one read gives, and a number may lie across two. */
static void walk_list(const char *path, int depth, visitor *visit, void *context) {
    char piece[4096];
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n;
    pid_t child = 0;
    while (fd >= 0 && (n = read(fd, piece, sizeof piece)) > 0) {
        for (ssize_t i = 0; i < n; i++) {
            if (piece[i] >= '0' && piece[i] <= '9') {
                child = child * 10 + (piece[i] - '0');
            } else if (child > 0) {
                meet(child, depth, visit, context);
                child = 0;
            }
        }
    }
    if (child > 0) {
        meet(child, depth, visit, context);
    }
    if (fd >= 0) {
        close(fd);
    }
}

/*
 * Calls visit for every descendant of pid. A child hangs on the thread that made it, hence the walk
 * over threads; orphans hang on init, hence none is missed but those born or moved meanwhile.
 */
static void walk(pid_t pid, int depth, visitor *visit, void *context) {
    char path[64], name[96];
    DIR *dir;
    struct dirent *entry;
    snprintf(path, sizeof path, "/proc/%d/task", (int)pid);
    dir = opendir(path);
    if (dir == NULL) {
        return;
    }
    while ((entry = readdir(dir)) != NULL) {
        if (entry->d_name[0] != '.') {
            snprintf(name, sizeof name, "/proc/%d/task/%.20s/children", (int)pid, entry->d_name);
            walk_list(name, depth, visit, context);
        }
    }
    closedir(dir);
}

enum { DEPTH_MAX = 64 };

/* A line such as "RssAnon:     1234 kB" of a status file, in bytes. */
static int64_t field(const char *text, const char *name) {
    const char *at = strstr(text, name);
    return at != NULL ? (int64_t)strtoll(at + strlen(name), NULL, 10) * 1024 : 0;
}

static void add_usage(pid_t pid, void *context) {
    rl_usage *usage = context;
    char path[64], text[4096];
    usage->processes++;
    snprintf(path, sizeof path, "/proc/%d/status", (int)pid);
    if (read_file(path, text, sizeof text) > 0) {
        // Shared memory counts: it can be filled like any other. Mapped files do not.
        usage->bytes += field(text, "\nRssAnon:") + field(text, "\nRssShmem:");
    }
}

rl_usage rl_limits_usage(pid_t init) {
    rl_usage usage = {0};
    walk(init, DEPTH_MAX, add_usage, &usage);
    return usage;
}

static void kill_one(pid_t pid, void *context) {
    if (kill(pid, SIGKILL) == 0) {
        *(int32_t *)context += 1;
    }
}

int32_t rl_limits_kill_below(pid_t init) {
    int32_t n = 0;
    walk(init, DEPTH_MAX, kill_one, &n);
    return n;
}

static void end_stray(pid_t pid, void *context) {
    pid_t session = getsid(pid);
    if (session >= 0 && session != getsid(0)) {
        *(int32_t *)context += 1;
        (void)rl_limits_kill_below(pid);
        (void)kill(pid, SIGKILL);
        (void)waitpid(pid, NULL, WNOHANG);
    }
}

int32_t rl_limits_kill_strays(void) {
    int32_t n = 0;
    walk(getpid(), 0, end_stray, &n);
    return n;
}
