/*
 * Where completions come from. The row `local` runs the policy in process (policy/decode.c); rows
 * that speak to inference servers come later and must return token ids and log-probs.
 */
#ifndef RL_ROLLOUT_ENGINE_H
#define RL_ROLLOUT_ENGINE_H

#include "rl/policy/decode.h"

typedef struct rl_engine {
    const char *name;
    rl_status (*open)(void **self, rl_policy *policy, int32_t max_batch, rl_err *err);
    // After the weights changed; also forgets every node of the step before.
    rl_status (*sync_weights)(void *self, rl_err *err);
    // As rl_decoder_run.
    rl_status (*generate)(void *self, const rl_prompt *prompt, int32_t n_prompts,
                          const rl_decode_opts *opts, rl_arena *arena, rl_completion *out,
                          rl_err *err);
    rl_decode_stats (*stats)(const void *self);
    void (*close)(void *self);
} rl_engine;

const rl_engine *rl_engine_find(const char *name);

#endif
