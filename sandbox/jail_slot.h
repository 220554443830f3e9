/* One slot of the helper: its socket and the life of the job that came over it. */
#ifndef RL_SANDBOX_JAIL_SLOT_H
#define RL_SANDBOX_JAIL_SLOT_H

#include <poll.h>

#include "sandbox/jail.h"

/* Pages, grown by remapping and given back when large. */
typedef struct jail_buf {
    uint8_t *ptr;
    size_t len, cap;
} jail_buf;

typedef struct jail_stream {
    int fd; // -1 when closed
    jail_buf kept;
    size_t cap; // bytes to keep
    bool over;  // more was written than kept
} jail_stream;

typedef enum slot_state { SLOT_READING, SLOT_RUNNING, SLOT_REPLYING } slot_state;

/*
 * READING   the body of a job is arriving; slot_read starts the job when it is whole
 * RUNNING   its processes live; ends when slot_reaped is called for its init
 * REPLYING  the report is leaving; slot_write goes back to READING
 */
typedef struct jail_slot {
    const rl_jail *jail;
    int32_t index;
    int sock;
    slot_state state;
    jail_buf message; // the job, then the report
    size_t at;        // bytes read or written of it
    rl_wire_job job;
    pid_t init;
    char folder[RL_JAIL_FOLDER]; // plain mode: the job's
    int in_fd, status_fd;        // -1 when closed
    size_t in_at;
    jail_stream out, err, result;
    int64_t begin_ms, deadline_ms, peak_bytes;
    rl_exit_kind killed; // RL_EXIT_CLEAN unless the helper ended the job, and why
} jail_slot;

enum { SLOT_FDS = 5 };

/* False: the client broke the protocol or has gone, and the helper must end. */
bool slot_read(jail_slot *slot);
bool slot_write(jail_slot *slot);
/* What the slot waits for; returns how many entries were written. */
int slot_poll(const jail_slot *slot, struct pollfd fds[SLOT_FDS]);
bool slot_serve(jail_slot *slot, const struct pollfd *fds, int n_fds);
/* Checks time and memory, and ends the job where needed. */
void slot_tick(jail_slot *slot, int64_t now_ms);
void slot_kill(jail_slot *slot);
/* The job's init was reaped: nothing of the job lives any more. */
void slot_reaped(jail_slot *slot, int init_status, int64_t cpu_ms, int64_t peak_bytes,
                 int64_t now_ms);
int64_t jail_now_ms(void);

#endif
