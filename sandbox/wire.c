#include "sandbox/wire.h"

#include <string.h>

#include "rl/core/assert.h"

static const uint8_t mark[4] = {'R', 'L', 'J', '1'};

static void put_u64(uint8_t **at, uint64_t value) {
    for (int i = 0; i < 8; i++) {
        *(*at)++ = (uint8_t)(value >> (8 * i));
    }
}

static void put_bytes(uint8_t **at, const void *bytes, size_t n_bytes) {
    if (n_bytes > 0) {
        memcpy(*at, bytes, n_bytes);
        *at += n_bytes;
    }
}

/* What is left to read; once `bad` is set every read gives zero. */
typedef struct reader {
    const uint8_t *at, *end;
    bool bad;
} reader;

static uint64_t get_u64(reader *r) {
    uint64_t value = 0;
    if (r->bad || r->end - r->at < 8) {
        r->bad = true;
        return 0;
    }
    for (int i = 0; i < 8; i++) {
        value |= (uint64_t)r->at[i] << (8 * i);
    }
    r->at += 8;
    return value;
}

static uint64_t get_at_most(reader *r, uint64_t most) {
    uint64_t value = get_u64(r);
    r->bad = r->bad || value > most;
    return r->bad ? 0 : value;
}

static const char *get_bytes(reader *r, size_t n_bytes) {
    const char *bytes = (const char *)r->at;
    if (r->bad || (size_t)(r->end - r->at) < n_bytes) {
        r->bad = true;
        return "";
    }
    r->at += n_bytes;
    return bytes;
}

static void get_text(reader *r, char text[RL_WIRE_TEXT_MAX + 1]) {
    size_t len = (size_t)get_at_most(r, RL_WIRE_TEXT_MAX);
    const char *bytes = get_bytes(r, len);
    len = r->bad ? 0 : len;
    memcpy(text, bytes, len);
    text[len] = '\0';
}

static bool done(const reader *r) {
    return !r->bad && r->at == r->end;
}

static size_t text_len(const char *text) {
    return text != NULL ? strnlen(text, RL_WIRE_TEXT_MAX) : 0;
}

void rl_wire_head_put(uint8_t head[RL_WIRE_HEAD], rl_wire_kind kind, size_t body_len) {
    RL_ASSERT(body_len <= RL_WIRE_BODY_MAX);
    memcpy(head, mark, 4);
    for (int i = 0; i < 4; i++) {
        head[4 + i] = (uint8_t)((uint32_t)kind >> (8 * i));
        head[8 + i] = (uint8_t)(body_len >> (8 * i));
    }
}

bool rl_wire_head_get(const uint8_t head[RL_WIRE_HEAD], rl_wire_kind *kind, size_t *body_len) {
    uint32_t number = 0, len = 0;
    for (int i = 0; i < 4; i++) {
        number |= (uint32_t)head[4 + i] << (8 * i);
        len |= (uint32_t)head[8 + i] << (8 * i);
    }
    if (memcmp(head, mark, 4) != 0 || number < RL_WIRE_HELLO || number > RL_WIRE_REPORT ||
        len > RL_WIRE_BODY_MAX) {
        return false;
    }
    *kind = (rl_wire_kind)number;
    *body_len = len;
    return true;
}

size_t rl_wire_hello_put(bool ok, const char *text, uint8_t *body) {
    uint8_t *at = body;
    size_t len = text_len(text);
    put_u64(&at, ok);
    put_u64(&at, len);
    put_bytes(&at, text, len);
    return (size_t)(at - body);
}

bool rl_wire_hello_get(const uint8_t *body, size_t body_len, bool *ok,
                       char text[RL_WIRE_TEXT_MAX + 1]) {
    reader r = {.at = body, .end = body + body_len};
    *ok = get_at_most(&r, 1) == 1;
    get_text(&r, text);
    return done(&r);
}

enum { JOB_FIXED = 8 * 8 };

/* The upper bound leaves room for the sums and multiples made of them. */
static bool limits_make_sense(const rl_limits *limits) {
    const int64_t most = INT64_C(1) << 50;
    return limits->cpu_ms > 0 && limits->cpu_ms <= most && limits->wall_ms > 0 &&
           limits->wall_ms <= most && limits->mem_bytes > 0 && limits->mem_bytes <= most &&
           limits->out_bytes >= 0 && limits->out_bytes <= RL_WIRE_OUT_MAX && limits->processes > 0;
}

bool rl_wire_job_size(const rl_job *job, size_t *size) {
    size_t total = JOB_FIXED + job->input_len, n = 0;
    if (job->input_len > RL_WIRE_INPUT_MAX || !limits_make_sense(&job->limits)) {
        return false;
    }
    for (; job->argv[n] != NULL; n++) {
        size_t len = strlen(job->argv[n]) + 1;
        if (n == RL_WIRE_ARGS_MAX || len > RL_WIRE_BODY_MAX - total) {
            return false;
        }
        total += len;
    }
    if (n == 0) {
        return false;
    }
    *size = total;
    return true;
}

void rl_wire_job_put(const rl_job *job, uint8_t *body) {
    uint8_t *at = body;
    size_t n = 0;
    while (job->argv[n] != NULL) {
        n++;
    }
    put_u64(&at, (uint64_t)job->limits.cpu_ms);
    put_u64(&at, (uint64_t)job->limits.wall_ms);
    put_u64(&at, (uint64_t)job->limits.mem_bytes);
    put_u64(&at, (uint64_t)job->limits.out_bytes);
    put_u64(&at, (uint64_t)job->limits.processes);
    put_u64(&at, job->wants_result);
    put_u64(&at, n);
    put_u64(&at, job->input_len);
    for (size_t i = 0; i < n; i++) {
        put_bytes(&at, job->argv[i], strlen(job->argv[i]) + 1);
    }
    put_bytes(&at, job->input, job->input_len);
}

bool rl_wire_job_get(const uint8_t *body, size_t body_len, rl_wire_job *out) {
    reader r = {.at = body, .end = body + body_len};
    rl_job *job = &out->job;
    size_t n;
    *out = (rl_wire_job){0};
    job->limits.cpu_ms = (int64_t)get_at_most(&r, INT64_MAX);
    job->limits.wall_ms = (int64_t)get_at_most(&r, INT64_MAX);
    job->limits.mem_bytes = (int64_t)get_at_most(&r, INT64_MAX);
    job->limits.out_bytes = (int64_t)get_at_most(&r, RL_WIRE_OUT_MAX);
    job->limits.processes = (int32_t)get_at_most(&r, INT32_MAX);
    job->wants_result = get_at_most(&r, 1) == 1;
    n = (size_t)get_at_most(&r, RL_WIRE_ARGS_MAX);
    job->input_len = (size_t)get_at_most(&r, RL_WIRE_INPUT_MAX);
    if (r.bad || n == 0 || !limits_make_sense(&job->limits)) {
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *nul = memchr(r.at, 0, (size_t)(r.end - r.at));
        if (nul == NULL) {
            return false;
        }
        out->argv[i] = (const char *)r.at;
        r.at = nul + 1;
    }
    job->argv = out->argv;
    job->input = get_bytes(&r, job->input_len);
    return done(&r);
}

enum { REPORT_FIXED = 9 * 8 };

size_t rl_wire_report_size(const rl_report *report, const char *text) {
    return REPORT_FIXED + text_len(text) + report->out_len + report->err_len + report->result_len;
}

void rl_wire_report_put(const rl_report *report, const char *text, uint8_t *body) {
    uint8_t *at = body;
    size_t len = text_len(text);
    put_u64(&at, (uint64_t)report->kind);
    put_u64(&at, (uint32_t)report->code);
    put_u64(&at, (uint64_t)report->cpu_ms);
    put_u64(&at, (uint64_t)report->wall_ms);
    put_u64(&at, (uint64_t)report->peak_bytes);
    put_u64(&at, len);
    put_bytes(&at, text, len);
    put_u64(&at, report->out_len);
    put_bytes(&at, report->out, report->out_len);
    put_u64(&at, report->err_len);
    put_bytes(&at, report->err, report->err_len);
    put_u64(&at, report->result_len);
    put_bytes(&at, report->result, report->result_len);
}

bool rl_wire_report_get(const uint8_t *body, size_t body_len, rl_report *out,
                        char text[RL_WIRE_TEXT_MAX + 1]) {
    reader r = {.at = body, .end = body + body_len};
    *out = (rl_report){0};
    out->kind = (rl_exit_kind)get_at_most(&r, RL_EXIT_BROKEN);
    out->code = (int32_t)get_at_most(&r, UINT32_MAX);
    out->cpu_ms = (int64_t)get_at_most(&r, INT64_MAX);
    out->wall_ms = (int64_t)get_at_most(&r, INT64_MAX);
    out->peak_bytes = (int64_t)get_at_most(&r, INT64_MAX);
    get_text(&r, text);
    out->out_len = (size_t)get_at_most(&r, RL_WIRE_OUT_MAX);
    out->out = get_bytes(&r, out->out_len);
    out->err_len = (size_t)get_at_most(&r, RL_WIRE_OUT_MAX);
    out->err = get_bytes(&r, out->err_len);
    out->result_len = (size_t)get_at_most(&r, RL_WIRE_RESULT_MAX);
    out->result = get_bytes(&r, out->result_len);
    return done(&r);
}
