/* What a step leaves behind: its completions as JSON lines and its numbers. Private to train/. */
#ifndef RL_TRAIN_RECORD_H
#define RL_TRAIN_RECORD_H

#include "rl/rollout/rollout.h"
#include "rl/train/metrics.h"

/* One object a sample, in batch order. judge names the rewards. */
void record_completions(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                        int64_t step, rl_str *out);

/* The numbers of samples and groups in the file of one evaluation; zero at its start. */
typedef struct record_numbers {
    rl_retry retry;                    // of the rollout to come
    int32_t first_sample, first_group; // where the first attempts of the last batch begin
    int32_t next_sample, next_group;   // not given yet
} record_numbers;

/*
 * The same objects with "retry" after "turn" (null for first attempts), and null for credit,
 * advantage and kept. A batch begins with its rollout of RL_RETRY_FEEDBACK, which writes the first
 * attempts; those that took them over write what followed.
 */
void record_evaluation(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                       int64_t step, record_numbers *numbers, rl_str *out);

/*
 * Puts what a rollout shows, each name after `prefix` ("" or "eval/<set>/"): reward, reward_std,
 * frac_reward_zero_std, rewards/<name>/mean, completions/..., turnK/... (two turns at least),
 * turns/no_room, sandbox/....
 */
void record_rollout(const rl_rollout_result *result, const rl_judge *judge, int32_t n_judges,
                    const char *prefix, rl_metrics *out);

/* "pass", "partial", "fail", "unreadable" or "unknown". */
const char *record_verdict_name(rl_verdict_kind kind);

#endif
