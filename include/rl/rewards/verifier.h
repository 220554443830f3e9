/*
 * A verifier judges one answer to one problem. Open once per run; verify is called from many
 * threads at the same time on the same object, hence const.
 */
#ifndef RL_REWARDS_VERIFIER_H
#define RL_REWARDS_VERIFIER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/schema.h"
#include "rl/core/status.h"

typedef struct rl_arena rl_arena;
typedef struct rl_sandbox rl_sandbox;
typedef struct rl_problem rl_problem;

typedef enum rl_verdict_kind {
    RL_VERDICT_PASS,
    RL_VERDICT_PARTIAL,
    RL_VERDICT_FAIL,
    RL_VERDICT_UNREADABLE, // no answer could be extracted; the model's fault
    RL_VERDICT_UNKNOWN,    // no judgement could be made; our fault, never a reward
} rl_verdict_kind;

typedef struct rl_verdict {
    rl_verdict_kind kind;
    double score;          // in [0, 1]; meaningless for UNKNOWN
    int32_t passed, total; // unit tests, where there are any
    bool timed_out;        // the answer's program was stopped by a time limit; kind is not UNKNOWN
    // What a later turn may be shown, such as failing tests; in the caller's arena, NULL when there
    // is nothing to say. rollout/feedback.c adds passed and total and the words around it.
    const char *feedback;
    size_t feedback_len;
} rl_verdict;

typedef struct rl_verifier {
    const char *name;
    const rl_section *options;
    bool runs_tests; // needs the sandbox, and problems with tests

    // sandbox is borrowed for the life of *self and may be NULL if nothing runs code.
    rl_status (*open)(void **self, const void *opts, rl_sandbox *sandbox, rl_err *err);

    // A status other than RL_OK always comes with kind UNKNOWN, the cause in err. Out is always
    // filled.
    rl_status (*verify)(const void *self, const rl_problem *problem, const char *answer,
                        size_t answer_len, rl_arena *arena, rl_verdict *out, rl_err *err);
    void (*close)(void *self);
} rl_verifier;

const rl_verifier *rl_verifier_find(const char *name);     // NULL when unknown
const rl_verifier *const *rl_verifier_list(size_t *count); // the whole registry, for help and docs

#endif
