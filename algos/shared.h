/*
 * What the algorithms of this folder have in common: options that every row of the GRPO family
 * takes, and the hooks that fill a slot nobody replaced. Private to algos/.
 */
#ifndef RL_ALGOS_SHARED_H
#define RL_ALGOS_SHARED_H

#include "rl/algos/algo.h"

typedef enum rl_std_kind { RL_STD_SAMPLE, RL_STD_POPULATION } rl_std_kind;
typedef enum rl_scale { RL_SCALE_GROUP, RL_SCALE_BATCH, RL_SCALE_NONE } rl_scale;

/* Keys carry TRL's names where TRL has the option. An algorithm with keys of its own puts this
 * struct first in its own, so that the shared hooks read any row's options. */
typedef struct rl_algo_opts {
    rl_scale scale_rewards;
    rl_std_kind std;
    double std_eps;
    rl_loss_type loss_type;
    double divisor;
    rl_ratio importance_sampling_level;
    double epsilon, epsilon_high;
    double beta;
} rl_algo_opts;

extern const char *const rl_scale_names[], *const rl_std_names[], *const rl_loss_type_names[],
                                                                      *const rl_ratio_names[];

/* Rows for the key table of a struct that begins with rl_algo_opts. */
#define RL_ALGO_KEYS                                                                               \
    RL_CHOICE_ROW(rl_algo_opts, scale_rewards, "group", rl_scale_names, 0,                         \
                  "spread that centred credits are divided by"),                                   \
        RL_CHOICE_ROW(rl_algo_opts, std, "sample", rl_std_names, 0,                                \
                      "divisor of the variance: n - 1 (sample) or n (population)"),                \
        RL_KEY_ROW(rl_algo_opts, std_eps, "1e-4", 0, 1, 0, "added to the spread"),                 \
        RL_CHOICE_ROW(rl_algo_opts, loss_type, "dapo", rl_loss_type_names, 0,                      \
                      "how token losses become one number"),                                       \
        RL_KEY_ROW(rl_algo_opts, divisor, "0", 0, 1e6, 0,                                          \
                   "tokens a sample that dr_grpo divides by, 0 for rollout.max_new_tokens"),       \
        RL_CHOICE_ROW(rl_algo_opts, importance_sampling_level, "token", rl_ratio_names, 0,         \
                      "probability ratio of each token, or one of the whole completion"),          \
        RL_KEY_ROW(rl_algo_opts, epsilon, "0.2", 0, 1000, RL_KEY_OPEN_MIN,                         \
                   "ratios below 1 - epsilon are clipped"),                                        \
        RL_KEY_ROW(rl_algo_opts, epsilon_high, "0", 0, 1000, 0,                                    \
                   "ratios above 1 + epsilon_high are clipped, 0 for the value of epsilon"),       \
        RL_KEY_ROW(rl_algo_opts, beta, "0", 0, 1000, 0,                                            \
                   "weight of the KL penalty to a reference model")

/* Rules between the shared keys; every section's check calls it. */
rl_status rl_algo_check(const void *opts, rl_err *err);

rl_status rl_init_nothing(const rl_algo_run *run, const rl_tag_counts *tags, rl_err *err);
void rl_release_nothing(const rl_algo_run *run);
void rl_select_all(const rl_algo_run *run, rl_batch *batch);
void rl_modulate_none(const rl_algo_run *run, rl_batch *batch);
rl_status rl_persist_nothing(const rl_algo_run *run, rl_archive *archive, rl_err *err);
/* The loss that the shared options describe. */
void rl_surrogate_shared(const rl_algo_run *run, rl_surrogate *out);

/*
 * Credit (credit.c). Own: credit = reward. Max and mean pay later turns back to the attempt they
 * continue (Murphy, arXiv 2511.07833); with one turn both equal own, bit for bit.
 */
void rl_credit_own(const rl_algo_run *run, rl_batch *batch);
void rl_credit_max(rl_batch *batch);
void rl_credit_mean(rl_batch *batch, double gamma);

/* Advantage (group.c): centre within the group, then divide as scale_rewards says. */
void rl_advantage_group(const rl_algo_run *run, rl_batch *batch);

extern const rl_algo rl_algo_grpo, rl_algo_murphy, rl_algo_sft;

#endif
