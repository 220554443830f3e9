/* Evaluation: the rollout of training on held-out problems, with one attempt a turn. Private to
 * train/. */
#ifndef RL_TRAIN_EVAL_H
#define RL_TRAIN_EVAL_H

#include "rl/train/metrics.h"
#include "train/setup.h"

/*
 * Puts step and eval/... . A problem that is failed is tried again with its feedback, as often as
 * rollout.turns allows; eval/solved is the share of problems solved at any turn. Resets arena.
 */
rl_status eval_run(const setup *s, int64_t step, rl_arena *arena, rl_metrics *out,
                   rl_err *err) RL_MUST_USE;

#endif
