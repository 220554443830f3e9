/*
 * An algorithm: what a step of training is made of. Under the policy objective, how rewards become
 * advantages, and which loss they weigh; under the supervised one, options alone (sft.h).
 *
 * Per step train sets keep from scored, calls credit, select, advantage, modulate, in that order,
 * then surrogate. Hooks are arithmetic on the batch: no I/O, no clock, no random draws, no heap.
 * What must survive the step lives in the state block, which persist reads or writes so that a
 * resumed run continues exactly.
 */
#ifndef RL_ALGOS_ALGO_H
#define RL_ALGOS_ALGO_H

#include <stddef.h>

#include "rl/algos/surrogate.h"
#include "rl/core/batch.h"
#include "rl/core/schema.h"
#include "rl/core/status.h"

typedef struct rl_archive rl_archive;
typedef struct rl_arena rl_arena;

/* What a hook works with. Lives as long as the run; scratch is reset between hooks. */
typedef struct rl_algo_run {
    void *state;       // the algorithm's own, NULL when state_size is 0
    const void *opts;  // the struct its section filled
    rl_arena *scratch; // for temporaries inside one hook
} rl_algo_run;

/* Where the gradient of a step comes from. */
typedef enum rl_objective {
    RL_OBJECTIVE_POLICY,    // completions that the policy samples, and their rewards
    RL_OBJECTIVE_SUPERVISED // conversations that are given
} rl_objective;

typedef struct rl_algo {
    const char *name; // as written in a recipe
    rl_objective objective;
    const rl_section *options; // its keys
    size_t state_size;         // 0 when nothing outlives a step
    int32_t min_turns;         // least rollout.turns that it learns from; 0 for any

    // What follows is of the policy objective; a row of another one leaves it NULL.

    // Zeroed state in, usable state out; sizes per-task tables from the data set's tag counts.
    rl_status (*init)(const rl_algo_run *run, const rl_tag_counts *tags, rl_err *err);
    void (*release)(const rl_algo_run *run);

    // Sets sample.credit from the rewards of the sample and of its later turns.
    void (*credit)(const rl_algo_run *run, rl_batch *batch);

    // Clears sample.keep where training would waste or harm. Never sets it.
    void (*select)(const rl_algo_run *run, rl_batch *batch);

    // Sets sample.advantage within groups; samples not kept get 0.
    void (*advantage)(const rl_algo_run *run, rl_batch *batch);

    // Rescales advantages across groups. The only hook that may change state.
    void (*modulate)(const rl_algo_run *run, rl_batch *batch);

    // Describes the loss; the arithmetic is shared.
    void (*surrogate)(const rl_algo_run *run, rl_surrogate *out);

    // One function for both directions, so save and load cannot drift apart.
    rl_status (*persist)(const rl_algo_run *run, rl_archive *archive, rl_err *err);
} rl_algo;

const rl_algo *rl_algo_find(const char *name);     // NULL when unknown
const rl_algo *const *rl_algo_list(size_t *count); // the whole registry, for help and docs

#endif
