#include "sandbox/jail_slot.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { KEEP_BYTES = 1 << 20, GRACE_MS = 2000, CHUNK = 1 << 16 };

int64_t jail_now_ms(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static bool buf_reserve(jail_buf *buf, size_t want) {
    size_t cap = buf->cap > 0 ? buf->cap : CHUNK;
    void *ptr;
    if (want <= buf->cap) {
        return true;
    }
    while (cap < want) {
        cap *= 2;
    }
    ptr = buf->ptr == NULL
              ? mmap(NULL, cap, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
              : mremap(buf->ptr, buf->cap, cap, MREMAP_MAYMOVE);
    if (ptr == MAP_FAILED) {
        return false;
    }
    buf->ptr = ptr;
    buf->cap = cap;
    return true;
}

static void buf_drop(jail_buf *buf) {
    if (buf->cap > KEEP_BYTES) {
        munmap(buf->ptr, buf->cap);
        *buf = (jail_buf){0};
    }
    buf->len = 0;
}

static void drop_fd(int *fd) {
    if (*fd >= 0) {
        close(*fd);
        *fd = -1;
    }
}

/* A pipe whose helper end does not block; the child's end is an ordinary one. */
static bool open_pipe(int *ours, int *theirs, bool we_read) {
    int fd[2];
    if (pipe2(fd, O_CLOEXEC) != 0) {
        return false;
    }
    *ours = fd[we_read ? 0 : 1];
    *theirs = fd[we_read ? 1 : 0];
    (void)fcntl(*ours, F_SETFL, O_NONBLOCK);
    return true;
}

static void begin_reply(jail_slot *slot, const rl_report *report, const char *text) {
    size_t size = rl_wire_report_size(report, text);
    if (!buf_reserve(&slot->message, RL_WIRE_HEAD + size)) {
        static const rl_report broken = {.kind = RL_EXIT_BROKEN};
        report = &broken;
        text = "rl-jail is out of memory";
        size = rl_wire_report_size(report, text); // fits what any job left behind
    }
    rl_wire_head_put(slot->message.ptr, RL_WIRE_REPORT, size);
    rl_wire_report_put(report, text, slot->message.ptr + RL_WIRE_HEAD);
    slot->message.len = RL_WIRE_HEAD + size;
    slot->at = 0;
    slot->state = SLOT_REPLYING;
}

static void close_job(jail_slot *slot) {
    drop_fd(&slot->in_fd);
    drop_fd(&slot->status_fd);
    drop_fd(&slot->out.fd);
    drop_fd(&slot->err.fd);
    drop_fd(&slot->result.fd);
    slot->init = 0;
}

static void stream_begin(jail_stream *stream, size_t cap) {
    stream->kept.len = 0;
    stream->cap = cap;
    stream->over = false;
}

static void start_job(jail_slot *slot) {
    const rl_job *job = &slot->job.job;
    rl_jail_start start = {.jail = slot->jail,
                           .job = job,
                           .slot = slot->index,
                           .in = -1,
                           .out = -1,
                           .err = -1,
                           .result = -1,
                           .status = -1,
                           .go = -1,
                           .folder = slot->folder};
    int go = -1;
    rl_err err;
    rl_status status = RL_OK;
    stream_begin(&slot->out, (size_t)job->limits.out_bytes);
    stream_begin(&slot->err, (size_t)job->limits.out_bytes);
    stream_begin(&slot->result, RL_WIRE_RESULT_MAX);
    slot->in_at = 0;
    slot->peak_bytes = 0;
    slot->killed = RL_EXIT_CLEAN;
    slot->begin_ms = jail_now_ms();
    slot->deadline_ms =
        job->limits.wall_ms < INT64_MAX / 2 ? slot->begin_ms + job->limits.wall_ms : INT64_MAX;
    if (!open_pipe(&slot->in_fd, &start.in, false) || !open_pipe(&slot->out.fd, &start.out, true) ||
        !open_pipe(&slot->err.fd, &start.err, true) ||
        !open_pipe(&slot->status_fd, &start.status, true) || !open_pipe(&go, &start.go, false) ||
        (job->wants_result && !open_pipe(&slot->result.fd, &start.result, true))) {
        status = rl_fail(&err, RL_IO, "rl-jail cannot make pipes: %s", strerror(errno));
    }
    if (status == RL_OK) {
        status = slot->jail->mode == RL_SANDBOX_JAIL
                     ? rl_jail_ns_start(&start, &slot->init, &err)
                     : rl_jail_plain_start(&start, &slot->init, &err);
    }
    drop_fd(&start.in);
    drop_fd(&start.out);
    drop_fd(&start.err);
    drop_fd(&start.result);
    drop_fd(&start.status);
    drop_fd(&start.go);
    drop_fd(&go);
    if (status != RL_OK) {
        rl_report report = {.kind = RL_EXIT_BROKEN};
        close_job(slot);
        begin_reply(slot, &report, err.text);
        return;
    }
    slot->state = SLOT_RUNNING;
}

bool slot_read(jail_slot *slot) {
    rl_wire_kind kind;
    size_t want = RL_WIRE_HEAD, body = 0;
    for (;;) {
        ssize_t n;
        if (slot->at >= RL_WIRE_HEAD) {
            if (!rl_wire_head_get(slot->message.ptr, &kind, &body) || kind != RL_WIRE_JOB) {
                return false;
            }
            want = RL_WIRE_HEAD + body;
        }
        if (slot->at == want) {
            break;
        }
        if (!buf_reserve(&slot->message, want)) {
            return false;
        }
        n = read(slot->sock, slot->message.ptr + slot->at, want - slot->at);
        if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
            return true;
        }
        if (n <= 0) {
            return false;
        }
        slot->at += (size_t)n;
    }
    if (!rl_wire_job_get(slot->message.ptr + RL_WIRE_HEAD, body, &slot->job)) {
        return false;
    }
    start_job(slot);
    return true;
}

bool slot_write(jail_slot *slot) {
    while (slot->at < slot->message.len) {
        ssize_t n = send(slot->sock, slot->message.ptr + slot->at, slot->message.len - slot->at,
                         MSG_NOSIGNAL);
        if (n < 0) {
            return errno == EAGAIN || errno == EINTR;
        }
        slot->at += (size_t)n;
    }
    slot->at = 0;
    buf_drop(&slot->message);
    buf_drop(&slot->out.kept);
    buf_drop(&slot->err.kept);
    buf_drop(&slot->result.kept);
    slot->state = SLOT_READING;
    return true;
}

/* Reads what is there, keeps what fits. True when there may be more at once. */
static bool drain(jail_stream *stream) {
    static uint8_t chunk[CHUNK];
    ssize_t n = read(stream->fd, chunk, sizeof chunk);
    size_t room = stream->cap - stream->kept.len, keep;
    if (n <= 0) {
        if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            drop_fd(&stream->fd);
        }
        return false;
    }
    keep = (size_t)n < room ? (size_t)n : room;
    stream->over = stream->over || keep < (size_t)n;
    if (keep > 0 && buf_reserve(&stream->kept, stream->kept.len + keep)) {
        memcpy(stream->kept.ptr + stream->kept.len, chunk, keep);
        stream->kept.len += keep;
    }
    return true;
}

static void feed(jail_slot *slot) {
    const rl_job *job = &slot->job.job;
    ssize_t n = job->input_len > slot->in_at
                    ? write(slot->in_fd, job->input + slot->in_at, job->input_len - slot->in_at)
                    : 0;
    if (n > 0) {
        slot->in_at += (size_t)n;
    }
    // Whole, or nobody reads any more: a program need not read its input.
    if (slot->in_at == job->input_len || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        drop_fd(&slot->in_fd);
    }
}

int slot_poll(const jail_slot *slot, struct pollfd fds[SLOT_FDS]) {
    int n = 0;
    fds[n++] = (struct pollfd){.fd = slot->sock,
                               .events = slot->state == SLOT_REPLYING ? POLLOUT : POLLIN};
    if (slot->state == SLOT_RUNNING) {
        fds[n++] = (struct pollfd){.fd = slot->in_fd, .events = POLLOUT};
        fds[n++] = (struct pollfd){.fd = slot->out.fd, .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = slot->err.fd, .events = POLLIN};
        fds[n++] = (struct pollfd){.fd = slot->result.fd, .events = POLLIN};
    }
    return n;
}

bool slot_serve(jail_slot *slot, const struct pollfd *fds, int n_fds) {
    if (fds[0].revents != 0) {
        // A client says nothing while its job runs, so a word then means that it has gone.
        return slot->state == SLOT_READING    ? slot_read(slot)
               : slot->state == SLOT_REPLYING ? slot_write(slot)
                                              : false;
    }
    if (n_fds == SLOT_FDS && slot->state == SLOT_RUNNING) {
        jail_stream *stream[] = {&slot->out, &slot->err, &slot->result};
        if (fds[1].revents != 0) {
            feed(slot);
        }
        for (int i = 0; i < 3; i++) {
            if (fds[2 + i].revents != 0) {
                (void)drain(stream[i]);
            }
        }
    }
    return true;
}

void slot_kill(jail_slot *slot) {
    if (slot->init <= 0) {
        return;
    }
    // In plain mode init stays, to notice the end of its program and clean up.
    if (slot->jail->mode == RL_SANDBOX_PLAIN && jail_now_ms() < slot->deadline_ms + GRACE_MS) {
        (void)rl_limits_kill_below(slot->init);
    } else {
        kill(slot->init, SIGKILL);
    }
}

void slot_tick(jail_slot *slot, int64_t now_ms) {
    if (slot->state != SLOT_RUNNING) {
        return;
    }
    if (slot->killed == RL_EXIT_CLEAN && slot->jail->counts_memory) {
        rl_usage usage = rl_limits_usage(slot->init);
        const rl_limits *limits = &slot->job.job.limits;
        slot->peak_bytes = usage.bytes > slot->peak_bytes ? usage.bytes : slot->peak_bytes;
        if (usage.bytes > limits->mem_bytes || usage.processes > limits->processes) {
            slot->killed = RL_EXIT_MEMORY;
            slot->deadline_ms = now_ms;
        }
    }
    if (slot->killed == RL_EXIT_CLEAN && now_ms >= slot->deadline_ms) {
        slot->killed = RL_EXIT_TIMEOUT;
    }
    if (slot->killed != RL_EXIT_CLEAN) {
        slot_kill(slot);
    }
}

/* How the program ended, from init's note; the helper's own reason to end it comes first. */
static void judge(jail_slot *slot, const rl_jail_note *note, rl_report *report) {
    int end = note->wait_status, sig = WIFSIGNALED(end) ? WTERMSIG(end) : 0;
    const rl_limits *limits = &slot->job.job.limits;
    if (slot->killed != RL_EXIT_CLEAN) {
        report->kind = slot->killed;
    } else if (sig == SIGXCPU || (sig == SIGKILL && report->cpu_ms >= limits->cpu_ms)) {
        report->kind = RL_EXIT_TIMEOUT;
    } else if (sig != 0) {
        report->kind = RL_EXIT_SIGNAL;
        report->code = sig;
    } else if (slot->out.over || slot->err.over) {
        report->kind = RL_EXIT_OUTPUT;
    } else if (WEXITSTATUS(end) != 0) {
        report->kind = RL_EXIT_CODE;
        report->code = WEXITSTATUS(end);
    }
}

/* The first note that says how it went; true when the program had begun. */
static bool read_notes(const jail_slot *slot, rl_jail_note *out) {
    rl_jail_note note;
    bool begun = false;
    *out = (rl_jail_note){0};
    while (read(slot->status_fd, &note, sizeof note) == (ssize_t)sizeof note) {
        if (note.kind == RL_JAIL_BEGUN) {
            begun = true;
            continue;
        }
        note.text[RL_WIRE_TEXT_MAX] = '\0';
        *out = note;
        break;
    }
    return begun;
}

/*
 * What is in the pipe, and no more, should a writer have survived. Every read takes a page's slot
 * of the pipe at least, even where the writer asked for packets.
 */
static void drain_last(jail_stream *stream) {
    int size = stream->fd >= 0 ? fcntl(stream->fd, F_GETPIPE_SZ) : 0;
    for (int left = size / 4096 + 1; left > 0 && stream->fd >= 0 && drain(stream); left--) {
    }
}

void slot_reaped(jail_slot *slot, int init_status, int64_t cpu_ms, int64_t peak_bytes,
                 int64_t now_ms) {
    rl_jail_note note;
    bool begun = read_notes(slot, &note);
    rl_report report = {.cpu_ms = cpu_ms, .wall_ms = now_ms - slot->begin_ms};
    jail_stream *stream[] = {&slot->out, &slot->err, &slot->result};
    report.peak_bytes = peak_bytes > slot->peak_bytes ? peak_bytes : slot->peak_bytes;
    if (note.kind == RL_JAIL_FAILED && slot->killed == RL_EXIT_CLEAN) {
        report.kind = RL_EXIT_BROKEN;
    } else if (note.kind == RL_JAIL_ENDED || slot->killed != RL_EXIT_CLEAN) {
        note.text[0] = '\0';
        judge(slot, &note, &report);
    } else if (begun) {
        // Init was not ended by the helper: that is the program's doing, not ours.
        report.kind = RL_EXIT_SIGNAL;
        report.code = WIFSIGNALED(init_status) ? WTERMSIG(init_status) : SIGTERM;
    } else {
        report.kind = RL_EXIT_BROKEN;
        rl_err err;
        rl_fail(&err, RL_IO, "the job's init ended without a report, status %d", init_status);
        memcpy(note.text, err.text, RL_WIRE_TEXT_MAX);
    }
    for (int i = 0; i < 3; i++) {
        drain_last(stream[i]);
    }
    if (slot->jail->mode == RL_SANDBOX_PLAIN) {
        rl_jail_plain_clean(slot->jail, slot->index, slot->folder);
    }
    report.out = (const char *)slot->out.kept.ptr;
    report.out_len = slot->out.kept.len;
    report.err = (const char *)slot->err.kept.ptr;
    report.err_len = slot->err.kept.len;
    report.result = (const char *)slot->result.kept.ptr;
    report.result_len = slot->result.kept.len;
    close_job(slot);
    begin_reply(slot, &report, note.text);
}
