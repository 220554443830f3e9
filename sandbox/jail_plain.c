/*
 * The weaker way, for machines that deny namespaces and only where the recipe asks for it by name:
 * the same limits and the same system call filter, but the host's files, network and processes
 * stay in sight. The job's init is a subreaper, so daemons stay below it and are ended with it.
 * The job works in a folder of its own under /tmp, removed by init, as the job's user, at the end.
 * A program has its init's user id and can end it; the helper, a subreaper too, then ends what is
 * left and has the folder removed.
 */
#include "sandbox/jail.h"

#include <errno.h>
#include <ftw.h>
#include <grp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/*
 * A process may fork between the walk and its end, so rounds go on until none is left. Each waits
 * for a death, which is sure to come: whatever was found hangs on a child that was sent SIGKILL.
 */
static void end_all(void) {
    for (int round = 0; round < 10000 && rl_limits_kill_below(getpid()) > 0; round++) {
        (void)waitpid(-1, NULL, 0);
        while (waitpid(-1, NULL, WNOHANG) > 0) {
        }
    }
}

static rl_status take_ids(const rl_jail *jail, int32_t slot, rl_err *err) {
    uid_t id = jail->uid_base + (uid_t)slot;
    if (jail->own_uid &&
        (setgroups(0, NULL) != 0 || setresgid(id, id, id) != 0 || setresuid(id, id, id) != 0)) {
        return rl_fail(err, RL_IO, "cannot become the job's user: %s", strerror(errno));
    }
    return RL_OK;
}

static rl_status tie(rl_err *err) {
    if (prctl(PR_SET_PDEATHSIG, SIGTERM) != 0 || prctl(PR_SET_CHILD_SUBREAPER, 1) != 0) {
        return rl_fail(err, RL_IO, "cannot tie the job to rl-jail: %s", strerror(errno));
    }
    return RL_OK;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *where) {
    (void)st;
    (void)kind;
    (void)where;
    (void)remove(path);
    return 0;
}

static _Noreturn void be_init(rl_jail_start start) {
    rl_err err;
    rl_jail_keep(&start);
    close(start.go);
    if (take_ids(start.jail, start.slot, &err) != RL_OK || tie(&err) != RL_OK) {
        rl_jail_give_up(&start, &err);
    }
    if (chdir(start.folder) != 0) {
        rl_fail(&err, RL_IO, "cannot enter '%s': %s", start.folder, strerror(errno));
        rl_jail_give_up(&start, &err);
    }
    // When the helper dies SIGTERM ends the wait, and the job ends all the same.
    (void)rl_jail_run_program(&start);
    end_all();
    (void)nftw(start.folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
    _exit(0);
}

rl_status rl_jail_plain_start(const rl_jail_start *start, pid_t *init, rl_err *err) {
    uid_t id = start->jail->uid_base + (uid_t)start->slot;
    pid_t pid;
    snprintf(start->folder, RL_JAIL_FOLDER, "/tmp/rl-jail-XXXXXX");
    if (mkdtemp(start->folder) == NULL) {
        return rl_fail(err, RL_IO, "cannot make a folder in '/tmp': %s", strerror(errno));
    }
    if (start->jail->own_uid && lchown(start->folder, id, id) != 0) {
        rl_fail(err, RL_IO, "cannot give '%s' to the job: %s", start->folder, strerror(errno));
        (void)rmdir(start->folder);
        return RL_IO;
    }
    pid = fork();
    if (pid == 0) {
        be_init(*start);
    }
    if (pid < 0) {
        rl_fail(err, RL_IO, "cannot start a process: %s", strerror(errno));
        (void)rmdir(start->folder);
        return RL_IO;
    }
    *init = pid;
    return RL_OK;
}

void rl_jail_plain_clean(const rl_jail *jail, int32_t slot, const char *folder) {
    if (rmdir(folder) == 0 || errno == ENOENT) {
        return;
    }
    // As the job's user, for the job chose what is in there; and beside the loop, for it may be
    // much.
    if (fork() == 0) {
        rl_err err;
        rl_jail_close_from(STDERR_FILENO + 1);
        if (take_ids(jail, slot, &err) == RL_OK) {
            (void)nftw(folder, remove_one, 16, FTW_DEPTH | FTW_PHYS);
        }
        _exit(0);
    }
}
