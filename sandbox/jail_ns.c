/*
 * Containment by namespaces: how a job's processes come to be, in order.
 *
 * helper   clone with new user, pid, mount, network, ipc and uts namespaces -> init (pid 1 inside)
 *          write the id maps of init's user namespace, then let init go on
 * init     1 die_with_helper    first, so that nothing below can outlive the helper
 *          2 take_ids           the mapped user: never the host's uid 0, which would own /proc/sys
 *          3 rl_mounts_enter    needs capabilities in the user namespace, so before they go
 *          4 name_host
 *          5 drop_capabilities  all of them, from every set; the program inherits none
 *          6 hide               not dumpable: nothing may look into init, a copy of the helper
 *          fork -> program; wait for it; report its end; exit. The kernel then ends every process
 *          left in the pid namespace before the helper can reap init.
 * program  jail_exec.c: session, limits, no new privileges, filter, exec; the filter comes last
 *          since it forbids what the steps before it do
 */
#include "sandbox/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum { INSIDE_ID = 1000, SPARE_ID = 200000 };

static rl_status write_proc(pid_t pid, const char *name, const char *text, rl_err *err) {
    char path[64];
    size_t len = strlen(text);
    int fd;
    ssize_t n = -1;
    snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, name);
    fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd >= 0) {
        n = write(fd, text, len);
    }
    if (n != (ssize_t)len) {
        rl_fail(err, RL_UNSUPPORTED, "cannot write the '%s' of a user namespace: %s", name,
                strerror(errno));
    }
    if (fd >= 0) {
        close(fd);
    }
    return n == (ssize_t)len ? RL_OK : RL_UNSUPPORTED;
}

static rl_status map_ids(const rl_jail_start *start, pid_t init, rl_err *err) {
    const rl_jail *jail = start->jail;
    uint32_t spare = jail->uid_base + (uint32_t)start->slot;
    char uids[64], gids[64];
    snprintf(uids, sizeof uids, "%d %u 1\n", INSIDE_ID, jail->own_uid ? spare : jail->uid);
    snprintf(gids, sizeof gids, "%d %u 1\n", INSIDE_ID, jail->own_uid ? spare : jail->gid);
    if (write_proc(init, "setgroups", "deny", err) != RL_OK ||
        write_proc(init, "uid_map", uids, err) != RL_OK) {
        return RL_UNSUPPORTED;
    }
    return write_proc(init, "gid_map", gids, err);
}

static rl_status die_with_helper(const rl_jail_start *start, rl_err *err) {
    struct pollfd helper = {.fd = start->status};
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) {
        return rl_fail(err, RL_IO, "cannot tie the job to rl-jail: %s", strerror(errno));
    }
    // The helper holds the other end; it may have died before the line above.
    if (poll(&helper, 1, 0) < 0 || (helper.revents & POLLERR) != 0) {
        return rl_fail(err, RL_IO, "rl-jail has gone");
    }
    return RL_OK;
}

static rl_status take_ids(rl_err *err) {
    if (setresgid(INSIDE_ID, INSIDE_ID, INSIDE_ID) != 0 ||
        setresuid(INSIDE_ID, INSIDE_ID, INSIDE_ID) != 0) {
        return rl_fail(err, RL_IO, "cannot become the job's user: %s", strerror(errno));
    }
    return RL_OK;
}

static rl_status name_host(rl_err *err) {
    if (sethostname("jail", 4) != 0) {
        return rl_fail(err, RL_IO, "cannot name the host: %s", strerror(errno));
    }
    return RL_OK;
}

static rl_status drop_capabilities(rl_err *err) {
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct none[2] = {{0}, {0}};
    for (int cap = 0; cap < 64 && prctl(PR_CAPBSET_READ, cap) >= 0; cap++) {
        if (prctl(PR_CAPBSET_DROP, cap) != 0) {
            return rl_fail(err, RL_IO, "cannot drop capability %d: %s", cap, strerror(errno));
        }
    }
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0 ||
        syscall(SYS_capset, &head, none) != 0) {
        return rl_fail(err, RL_IO, "cannot drop capabilities: %s", strerror(errno));
    }
    return RL_OK;
}

static rl_status hide(rl_err *err) {
    if (prctl(PR_SET_DUMPABLE, 0) != 0) {
        return rl_fail(err, RL_IO, "cannot hide the job's init: %s", strerror(errno));
    }
    return RL_OK;
}

static rl_status contain(const rl_jail_start *start, rl_err *err) {
    rl_status status = die_with_helper(start, err);
    status = status == RL_OK ? take_ids(err) : status;
    status = status == RL_OK ? die_with_helper(start, err) : status; // new ids cleared it
    status = status == RL_OK ? rl_mounts_enter(start->jail, err) : status;
    status = status == RL_OK ? name_host(err) : status;
    status = status == RL_OK ? drop_capabilities(err) : status;
    status = status == RL_OK ? hide(err) : status;
    return status;
}

static _Noreturn void be_init(rl_jail_start start) {
    rl_err err;
    char byte;
    rl_jail_keep(&start);
    while (read(start.go, &byte, 1) < 0 && errno == EINTR) {
    }
    close(start.go);
    if (contain(&start, &err) != RL_OK) {
        rl_jail_give_up(&start, &err);
    }
    (void)rl_jail_run_program(&start);
    _exit(0);
}

rl_status rl_jail_ns_start(const rl_jail_start *start, pid_t *init, rl_err *err) {
    const unsigned long flags = CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET |
                                CLONE_NEWIPC | CLONE_NEWUTS | SIGCHLD;
    // The bare call behaves as fork does, with the new namespaces in one go.
    long pid = syscall(SYS_clone, flags, 0, 0, 0, 0);
    if (pid == 0) {
        be_init(*start);
    }
    if (pid < 0) {
        return rl_fail(err, RL_UNSUPPORTED, "the kernel denies new namespaces: %s",
                       strerror(errno));
    }
    *init = (pid_t)pid;
    if (map_ids(start, *init, err) != RL_OK) {
        kill(*init, SIGKILL);
        (void)waitpid(*init, NULL, 0);
        return RL_UNSUPPORTED;
    }
    // When the machine runs out of memory, jobs go first; nothing is lost where that is refused.
    (void)write_proc(*init, "oom_score_adj", "1000", NULL);
    return RL_OK;
}

/* The map of this process's user namespace: which ids exist, and whether 0 is the host's. */
rl_status rl_jail_ns_probe(rl_jail *jail, rl_err *err) {
    FILE *map = fopen("/proc/self/uid_map", "re");
    unsigned long inside, outside, count, need = (unsigned long)jail->workers;
    bool host_root = false;
    if (map == NULL) {
        return rl_fail(err, RL_UNSUPPORTED, "no '/proc' to set up namespaces with");
    }
    while (fscanf(map, "%lu %lu %lu", &inside, &outside, &count) == 3) {
        host_root = host_root || (inside == 0 && outside == 0);
        if (jail->uid == 0 && !jail->own_uid && inside + count > need + INSIDE_ID) {
            unsigned long last = inside + count - need, base = last < SPARE_ID ? last : SPARE_ID;
            if (base > INSIDE_ID && base >= inside) {
                jail->own_uid = true;
                jail->uid_base = (uint32_t)base;
            }
        }
    }
    fclose(map);
    if (host_root && jail->uid == 0 && !jail->own_uid) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "started as root without a spare user id; start it as an ordinary user");
    }
    return RL_OK;
}
