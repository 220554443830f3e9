/*
 * Murphy (arXiv 2511.07833): GRPO over a tree of turns. Failed attempts are shown their feedback
 * and tried again; what the later turns earn is paid back to the attempt they repair; then every
 * group, at every turn, is compared within itself and trained by GRPO's loss.
 *
 * credit max is the paper's MaRS. credit mean is its MeRS in the reading with one division, the
 * average over the remaining turns of the discounted mean reward of each; the normaliser is not
 * confirmed by a published text or code.
 */
#include "algos/shared.h"

typedef enum murphy_credit { MURPHY_CREDIT_MAX, MURPHY_CREDIT_MEAN } murphy_credit;

static const char *const credit_names[] = {"max", "mean", NULL};

typedef struct murphy_opts {
    rl_algo_opts shared;
    murphy_credit credit;
    double gamma;
} murphy_opts;
_Static_assert(offsetof(murphy_opts, shared) == 0, "shared hooks read the options from the start");

static const rl_key keys[] = {
    RL_ALGO_KEYS,
    RL_CHOICE_ROW(
        murphy_opts, credit, "max", credit_names, 0,
        "what an attempt that was tried again is worth, C the credits of its retries: max "
        "is the larger of its own reward and the best C; mean is (own reward + gamma * "
        "mean of C) / 2 with two turns, which can be below its own reward"),
    RL_KEY_ROW(murphy_opts, gamma, "0.9", 0, 1, 0,
               "the factor of the retries in credit mean; max does not use it"),
};

static const rl_section section = {
    .name = "algo.murphy",
    .doc = "credit from later turns over a tree of feedback",
    .size = sizeof(murphy_opts),
    .keys = keys,
    .n_keys = sizeof keys / sizeof keys[0],
    .check = rl_algo_check,
};

static void credit(const rl_algo_run *run, rl_batch *batch) {
    const murphy_opts *opts = run->opts;
    switch (opts->credit) {
    case MURPHY_CREDIT_MAX:
        rl_credit_max(batch);
        break;
    case MURPHY_CREDIT_MEAN:
        rl_credit_mean(batch, opts->gamma);
        break;
    }
}

const rl_algo rl_algo_murphy = {
    .name = "murphy",
    .options = &section,
    .min_turns = 2,
    .init = rl_init_nothing,
    .release = rl_release_nothing,
    .credit = credit,
    .select = rl_select_all,
    .advantage = rl_advantage_group,
    .modulate = rl_modulate_none,
    .surrogate = rl_surrogate_shared,
    .persist = rl_persist_nothing,
};
