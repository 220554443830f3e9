/*
 * Runs untrusted programs. The trainer never forks after it has threads: jobs go over a socket to
 * rl-jail, a small helper started first, which forks, contains, runs and reports.
 */
#ifndef RL_SANDBOX_SANDBOX_H
#define RL_SANDBOX_SANDBOX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/schema.h"
#include "rl/core/status.h"

typedef struct rl_arena rl_arena;
typedef struct rl_sandbox rl_sandbox;

typedef enum rl_exit_kind {
    RL_EXIT_CLEAN,
    RL_EXIT_CODE, // left with a non-zero code
    RL_EXIT_SIGNAL,
    RL_EXIT_TIMEOUT, // processor or wall time
    RL_EXIT_MEMORY,  // more memory, or in plain mode more processes, than allowed
    RL_EXIT_OUTPUT,  // wrote more than allowed
    RL_EXIT_BROKEN,  // the sandbox itself failed; says nothing about the program
} rl_exit_kind;

typedef struct rl_limits {
    int64_t cpu_ms, wall_ms, mem_bytes, out_bytes;
    int32_t processes;
} rl_limits;

typedef struct rl_job {
    const char *const *argv; // NULL-terminated; argv[0] is a path inside the jail
    const char *input;       // becomes standard input
    size_t input_len;
    bool wants_result; // descriptor 3 is a pipe whose bytes come back in report.result
    rl_limits limits;
} rl_job;

typedef struct rl_report {
    rl_exit_kind kind;
    int32_t code; // exit code or signal number
    int64_t cpu_ms, wall_ms, peak_bytes;
    const char *out, *err; // in the caller's arena, cut at limits.out_bytes
    size_t out_len, err_len;
    const char *result; // what the job wrote to descriptor 3; NULL unless job.wants_result
    size_t result_len;
} rl_report;

/* The `sandbox` section of a recipe. */
typedef enum rl_sandbox_mode { RL_SANDBOX_JAIL, RL_SANDBOX_PLAIN } rl_sandbox_mode;
typedef struct rl_sandbox_opts {
    rl_sandbox_mode
        mode;        // jail refuses to start where namespaces are denied; plain is chosen by name
    int32_t workers; // slots, each running one job at a time; 0 for one per processor
    int32_t cpu_ms, wall_ms, mem_mb, out_kb, processes; // limits of one job
    const char *python; // interpreter inside the jail; "" finds the system's python3
} rl_sandbox_opts;
extern const rl_section rl_sandbox_section;

/* Starts rl-jail (found beside the running program) and probes what the kernel allows. */
rl_status rl_sandbox_open(const rl_sandbox_opts *opts, rl_sandbox **out, rl_err *err) RL_MUST_USE;
void rl_sandbox_close(rl_sandbox *sandbox); // accepts NULL; ends the helper and every job

/* One line for doctor and the log, such as "jail: user mount pid net ipc uts, own uid per slot,
 * ...". */
const char *rl_sandbox_mode_line(const rl_sandbox *sandbox);
int32_t rl_sandbox_workers(const rl_sandbox *sandbox);
const char *rl_sandbox_python(const rl_sandbox *sandbox); // full path inside the jail
rl_limits rl_sandbox_limits(const rl_sandbox *sandbox);   // the recipe's limits

/*
 * Thread-safe; blocks until the job ends or a slot's wall limit passes. out->kind is RL_EXIT_BROKEN
 * exactly when the status is not RL_OK; another try may then succeed, with a new helper if need be.
 */
rl_status rl_sandbox_run(rl_sandbox *sandbox, const rl_job *job, rl_arena *arena, rl_report *out,
                         rl_err *err) RL_MUST_USE;

#endif
