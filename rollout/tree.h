/*
 * The tree of turns while it grows: contexts (groups of the batch to be) and attempts (its
 * samples), both in batch order. Everything lives in the step arena. Private to rollout/.
 */
#ifndef RL_ROLLOUT_TREE_H
#define RL_ROLLOUT_TREE_H

#include "rl/rollout/rollout.h"

/* What a group of attempts is drawn from. */
typedef struct rl_context {
    int32_t parent;       // attempt it follows, or -1
    int32_t slot;         // which of the step's problems
    int32_t first;        // its attempts are attempt[first .. first + n_samples)
    int32_t n_samples;    // group_size, or of a later turn the rollout's retries
    uint32_t path;        // root: number of its first attempt; else the parent's path * n_samples
    bool fresh;           // starts anew, though it has a parent
    const int32_t *added; // [n_added] ids it adds to its parent's, or all of them
    int32_t n_added;
    const int32_t *whole; // [n_whole] ids from position 0
    int32_t n_whole;
} rl_context;

typedef struct rl_attempt {
    int32_t context;
    int32_t turn;  // from 0
    uint32_t path; // unique among the attempts at one problem and turn
    rl_completion completion;
    const char *text;          // special tokens left out; may hold NUL bytes
    const rl_verdict *verdict; // [n_judges]
    const rl_verdict *main;    // the one that speaks for it
    const char *feedback;      // message a later turn sees; NULL when solved or unknown
    size_t text_len, feedback_len;
    double reward;
    bool scored, solved;
    bool lone; // not tried again for want of another problem's feedback
} rl_attempt;

typedef struct rl_tree {
    const rl_rollout *rollout;
    const rl_problem *const *problem; // [n_problems]
    int32_t n_problems;
    uint64_t seed;
    uint32_t step;
    rl_arena *arena;

    rl_context *context;
    rl_attempt *attempt;
    int32_t n_contexts, n_attempts;
    int32_t n_taken; // attempts taken over from the rollout's `first`
    int32_t n_no_room;
    const char *unknown_cause; // of the first verdict that could not be reached
    double generate_s, reward_s;
} rl_tree;

/* Fills contexts and attempts, turn by turn. The fields above the gap are the caller's. */
rl_status rl_tree_grow(rl_tree *tree, rl_err *err) RL_MUST_USE;

#endif
