/*
 * Options of supervised fine-tuning, the section `algo` of a recipe where its name is "sft". The
 * loss of an update is the weighted mean of -log p over the tokens of its conversations: the sum of
 * w * -log p over all of them, divided by the sum of w. Conversations and weights:
 * rollout/corpus.h.
 */
#ifndef RL_ALGOS_SFT_H
#define RL_ALGOS_SFT_H

#include <stdint.h>

typedef struct rl_sft_opts {
    int32_t batch_size;        // conversations an update
    double prompt_loss_weight; // of what the assistant did not say; 0 trains on completions alone
    int32_t max_tokens;        // of a conversation; 0 for the model's positions
} rl_sft_opts;

#endif
