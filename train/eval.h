/* Evaluation: the rollout of training on held-out problems, with one attempt a turn. Private to
 * train/. */
#ifndef RL_TRAIN_EVAL_H
#define RL_TRAIN_EVAL_H

#include <signal.h>

#include "rl/train/metrics.h"
#include "train/setup.h"

/*
 * Puts step and eval/... . A problem that is failed is tried again with its feedback, as often as
 * rollout.turns allows; eval/solved is the share of problems solved at any turn. Problems are taken
 * rollout.prompts times rollout.group_size at a time, so an evaluation needs no more cache than a
 * step; between them a nonzero *stop (may be NULL) ends it with RL_INTERRUPTED. Resets arena.
 */
rl_status eval_run(const setup *s, int64_t step, const volatile sig_atomic_t *stop, rl_arena *arena,
                   rl_metrics *out, rl_err *err) RL_MUST_USE;

#endif
