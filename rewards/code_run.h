/* Runs a problem's unit tests against a program in the sandbox. Private to rewards/. */
#ifndef RL_REWARDS_CODE_RUN_H
#define RL_REWARDS_CODE_RUN_H

#include "rl/core/arena.h"
#include "rl/core/problem.h"
#include "rl/core/str.h"
#include "rl/sandbox/sandbox.h"

/* The Python side, sandbox/harness/, compiled by the sandbox's interpreter once per run. */
typedef struct rl_harness {
    char *code; // marshalled, to be released with rl_free
    size_t code_len;
} rl_harness;
rl_status rl_harness_make(rl_sandbox *sandbox, rl_harness *out, rl_err *err) RL_MUST_USE;

/* A text of the harness. A program can make it hold NUL bytes. */
typedef struct rl_said {
    const char *text;
    size_t len;
} rl_said;

typedef struct rl_unit_failure {
    int32_t unit;
    rl_said test, got, error; // empty where there is nothing to say
} rl_unit_failure;

typedef struct rl_code_run {
    rl_exit_kind end; // of the whole job
    int32_t total, passed;
    int32_t next;                   // first unit that gave no result; total when all did
    bool timed_out;                 // stopped by a limit on processor or wall time
    rl_said load_error;             // why the program itself did not run; else its text is NULL
    const rl_unit_failure *failure; // [n_failures]
    int32_t n_failures;             // those reported, at most max_failures
} rl_code_run;

/* Everything a verdict depends on, as the harness reads it, for keeping verdicts. */
void rl_code_key(const rl_problem *problem, const char *program, size_t program_len, rl_str *out);

/*
 * A status other than RL_OK says that no judgement could be made: the sandbox failed (RL_IO, worth
 * another try), or the tests cannot be used (RL_UNSUPPORTED). Texts are cut at max_chars + 1 bytes.
 */
rl_status rl_code_run_tests(rl_sandbox *sandbox, const rl_harness *harness,
                            const rl_problem *problem, const char *program, size_t program_len,
                            int32_t max_failures, int32_t max_chars, rl_arena *arena,
                            rl_code_run *out, rl_err *err) RL_MUST_USE;

#endif
