/* What a step leaves behind: its completions as JSON lines and its numbers. Private to train/. */
#ifndef RL_TRAIN_RECORD_H
#define RL_TRAIN_RECORD_H

#include "rl/rollout/rollout.h"
#include "rl/train/metrics.h"

/* One object a sample, in batch order. judge names the rewards. */
void record_completions(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                        int64_t step, rl_str *out);

/*
 * Puts what a rollout shows, each name after `prefix` ("" or "eval/"): reward, reward_std,
 * frac_reward_zero_std, rewards/<name>/mean, completions/..., turnK/... (two turns at least),
 * turns/no_room, sandbox/....
 */
void record_rollout(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                    const char *prefix, rl_metrics *out);

/* "pass", "partial", "fail", "unreadable" or "unknown". */
const char *record_verdict_name(rl_verdict_kind kind);

#endif
