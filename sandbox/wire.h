/*
 * The language between the trainer and rl-jail. Each message is a head of RL_WIRE_HEAD bytes (a
 * mark, the kind, the length of the body) and a body; numbers are little-endian. A socket carries
 * one job at a time: the client sends JOB, the helper answers REPORT. HELLO opens the first socket.
 *
 * Both sides check everything they read: a getter answers false for a body that is cut, padded or
 * out of range, and the reader then drops the connection. What a getter gives back points into the
 * body.
 */
#ifndef RL_SANDBOX_WIRE_H
#define RL_SANDBOX_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/sandbox/sandbox.h"

enum {
    RL_WIRE_HEAD = 12,
    RL_WIRE_ARGS_MAX = 64,        // words of a command line
    RL_WIRE_TEXT_MAX = 400,       // a sentence
    RL_WIRE_INPUT_MAX = 64 << 20, // bytes of standard input
    RL_WIRE_OUT_MAX = 32 << 20,   // bytes kept of each output
    RL_WIRE_RESULT_MAX = 4 << 20, // bytes kept of descriptor 3
    RL_WIRE_BODY_MAX = 128 << 20,
    RL_WIRE_WORKERS_MAX = 256, // slots, hence sockets
    RL_WIRE_FIRST_FD = 16,     // where the helper finds the first of its sockets
};

typedef enum rl_wire_kind { RL_WIRE_HELLO = 1, RL_WIRE_JOB, RL_WIRE_REPORT } rl_wire_kind;

void rl_wire_head_put(uint8_t head[RL_WIRE_HEAD], rl_wire_kind kind, size_t body_len);
bool rl_wire_head_get(const uint8_t head[RL_WIRE_HEAD], rl_wire_kind *kind, size_t *body_len);

/* ok and a sentence: the mode line, or why the helper cannot work. */
size_t rl_wire_hello_put(bool ok, const char *text, uint8_t *body); // body: RL_WIRE_TEXT_MAX + 8
bool rl_wire_hello_get(const uint8_t *body, size_t body_len, bool *ok,
                       char text[RL_WIRE_TEXT_MAX + 1]);

/* A job as the helper sees it; argv and job.input point into the body. */
typedef struct rl_wire_job {
    const char *argv[RL_WIRE_ARGS_MAX + 1];
    rl_job job; // job.argv is argv
} rl_wire_job;

/* False when the job is too large or its limits make no sense; then *size is not set. */
bool rl_wire_job_size(const rl_job *job, size_t *size);
void rl_wire_job_put(const rl_job *job, uint8_t *body);
bool rl_wire_job_get(const uint8_t *body, size_t body_len, rl_wire_job *out);

/* A report and, when it is RL_EXIT_BROKEN, the sentence that says why. */
size_t rl_wire_report_size(const rl_report *report, const char *text);
void rl_wire_report_put(const rl_report *report, const char *text, uint8_t *body);
bool rl_wire_report_get(const uint8_t *body, size_t body_len, rl_report *out,
                        char text[RL_WIRE_TEXT_MAX + 1]);

#endif
