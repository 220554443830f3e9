/*
 * Supervised fine-tuning: conversations that are given, each token with its weight. There is
 * nothing to credit or to compare, so the row is its options; the step is train/sft.c.
 */
#include "rl/algos/sft.h"

#include "algos/shared.h"

static const rl_key keys[] = {
    RL_KEY_ROW(rl_sft_opts, batch_size, "32", 1, 1e6, 0, "conversations of an update"),
    RL_KEY_ROW(rl_sft_opts, prompt_loss_weight, "0", 0, 1, 0,
               "weight of tokens that the assistant did not say; 0 trains on completions alone, 1 "
               "on all tokens alike"),
    RL_KEY_ROW(rl_sft_opts, max_tokens, "0", 0, 1 << 24, 0,
               "longest conversation trained on, 0 for the model's positions; data.over_long says "
               "what happens to longer ones, and none is cut"),
};

static const rl_section section = {
    .name = "algo.sft",
    .doc = "supervised training on conversations that are given",
    .size = sizeof(rl_sft_opts),
    .keys = keys,
    .n_keys = sizeof keys / sizeof keys[0],
};

const rl_algo rl_algo_sft = {
    .name = "sft",
    .objective = RL_OBJECTIVE_SUPERVISED,
    .options = &section,
};
