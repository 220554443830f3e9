/*
 * Group-relative policy optimisation (DeepSeekMath, arXiv 2402.03300) with TRL's conventions and
 * defaults: an attempt is credited with its own reward, compared with its siblings, and the clipped
 * loss is averaged over all tokens of the step. Other members of the family are settings:
 *   Dr. GRPO  scale_rewards none, loss_type dr_grpo
 *   DAPO      epsilon_high 0.28
 *   GSPO      importance_sampling_level sequence, loss_type grpo, epsilon 3e-4, epsilon_high 4e-4
 */
#include "algos/shared.h"

static const rl_key keys[] = {RL_ALGO_KEYS};

static const rl_section section = {
    .name = "algo.grpo",
    .doc = "attempts at one problem compared with each other",
    .size = sizeof(rl_algo_opts),
    .keys = keys,
    .n_keys = sizeof keys / sizeof keys[0],
    .check = rl_algo_check,
};

const rl_algo rl_algo_grpo = {
    .name = "grpo",
    .options = &section,
    .init = rl_init_nothing,
    .release = rl_release_nothing,
    .credit = rl_credit_own,
    .select = rl_select_all,
    .advantage = rl_advantage_group,
    .modulate = rl_modulate_none,
    .surrogate = rl_surrogate_shared,
    .persist = rl_persist_nothing,
};
