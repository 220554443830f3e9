/* What the files of the rl-jail helper share. The helper is one thread and has no heap. */
#ifndef RL_SANDBOX_JAIL_H
#define RL_SANDBOX_JAIL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#include "rl/core/status.h"
#include "sandbox/wire.h"

enum {
    RL_JAIL_LOW = RL_WIRE_FIRST_FD, // descriptors below are placeholders in the helper
    RL_JAIL_TMP_BYTES = 64 << 20,   // the job's /tmp
    RL_JAIL_TMP_FILES = 4096,
    // Open descriptors of a process. Low, since what sockets and pipes buffer counts for nobody.
    RL_JAIL_FILES = 64,
    RL_JAIL_FOLDER = 32, // bytes of the path of a plain job's folder
};

/* Fixed when the helper starts. */
typedef struct rl_jail {
    rl_sandbox_mode mode;
    int32_t workers;
    const char *extra; // folder made visible beside the system's, such as an interpreter's; or NULL
    bool own_uid;      // slots run as uid_base + slot; else all as the caller's uid
    uint32_t uid_base; // in this process's user namespace
    uint32_t uid, gid; // the caller's
    bool counts_memory; // the kernel lists children, so a whole job's memory can be polled
} rl_jail;

/*
 * What a new process is started with. Descriptors are the child's ends, all at RL_JAIL_LOW or
 * above; rl_jail_keep moves them to 0, 1, 2, 3 and so on and closes everything else.
 */
typedef struct rl_jail_start {
    const rl_jail *jail;
    const rl_job *job;
    int32_t slot;
    int in, out, err, result; // result is -1 unless job->wants_result
    int status;               // takes rl_jail_note records; closed by a successful exec
    int go;                   // end of file once the parent has done its part
    char *folder;             // plain mode: RL_JAIL_FOLDER bytes for the path of the job's folder
} rl_jail_start;

/*
 * One record on the status pipe. BEGUN comes right before the exec of the program; from then on a
 * death of init that leaves no ENDED is what the program did to it. FAILED may follow BEGUN when
 * the exec itself fails; the first of FAILED and ENDED counts.
 */
typedef enum rl_jail_note_kind {
    RL_JAIL_BEGUN = 1,
    RL_JAIL_FAILED,
    RL_JAIL_ENDED
} rl_jail_note_kind;
typedef struct rl_jail_note {
    rl_jail_note_kind kind;
    int32_t wait_status;             // as waitpid gives it; when ENDED
    char text[RL_WIRE_TEXT_MAX + 1]; // when FAILED
} rl_jail_note;

/* jail_exec.c: the steps of a new process that both ways share. */
void rl_jail_close_from(int first);
void rl_jail_keep(rl_jail_start *start);
_Noreturn void rl_jail_give_up(const rl_jail_start *start, const rl_err *err);
/*
 * Forks the program, waits for its end and reports it; orphans are reaped meanwhile. False when
 * SIGTERM came first.
 */
bool rl_jail_run_program(const rl_jail_start *start);

/*
 * Starts the job's first process (its init), which contains itself, starts the program, reports its
 * end on start->status and exits, taking every process of the job with it.
 */
rl_status rl_jail_ns_start(const rl_jail_start *start, pid_t *init, rl_err *err);
/* Also makes the job's folder, which init removes at the end. */
rl_status rl_jail_plain_start(const rl_jail_start *start, pid_t *init, rl_err *err);
/* Removes the folder, in a process of its own if init has left anything in it. */
void rl_jail_plain_clean(const rl_jail *jail, int32_t slot, const char *folder);

/* Chooses the spare user ids; fails when started as the host's root without any. */
rl_status rl_jail_ns_probe(rl_jail *jail, rl_err *err);

/* mounts.c: a new root that holds the system read-only, a few devices and an empty /tmp. */
rl_status rl_mounts_enter(const rl_jail *jail, rl_err *err);

/* seccomp.c: made once; loading it is one call, and cannot be undone. */
rl_status rl_seccomp_make(rl_err *err);
rl_status rl_seccomp_load(rl_err *err);

/* limits.c */
rl_status rl_limits_set(const rl_jail *jail, const rl_limits *limits, rl_err *err);
bool rl_limits_can_count(void);
/* What the descendants of init use, init itself left out; zeros when it is gone. */
typedef struct rl_usage {
    int64_t bytes; // resident
    int32_t processes;
} rl_usage;
rl_usage rl_limits_usage(pid_t init);
/* Sends SIGKILL to the descendants of init; returns how many there were. */
int32_t rl_limits_kill_below(pid_t init);
/*
 * Sends SIGKILL to the children of this process that are in a session other than its own, and to
 * their descendants, and reaps those that have ended; returns how many children there were. A
 * program is in a session of its own and cannot come back; inits stay in the helper's.
 */
int32_t rl_limits_kill_strays(void);

#endif
