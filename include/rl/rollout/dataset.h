/*
 * Problems from JSON-lines files: MBPP, HumanEval and TRL prompt-only records, told apart by their
 * keys. Everything stays in memory for the run. A line that is not JSON, or a record without what
 * its shape needs (a prompt; tests where code is checked), is refused with file, line and reason.
 */
#ifndef RL_ROLLOUT_DATASET_H
#define RL_ROLLOUT_DATASET_H

#include "rl/core/batch.h"
#include "rl/core/problem.h"
#include "rl/core/schema.h"

typedef enum rl_over_long { RL_OVER_LONG_SKIP, RL_OVER_LONG_REFUSE } rl_over_long;

typedef struct rl_data_opts {
    const char *train, *eval; // paths; "" is none (eval)
    const char *eval_loss;    // conversations whose loss is measured; "" is none
    const char *system;       // system message put before every prompt; "" leaves it out
    int32_t max_prompt_tokens;
    bool shuffle;
    rl_over_long over_long; // what happens to prompts over max_prompt_tokens
} rl_data_opts;
extern const rl_section rl_data_section;

typedef struct rl_dataset rl_dataset;
rl_status rl_dataset_load(const char *path, const char *system, rl_dataset **out,
                          rl_err *err) RL_MUST_USE;
void rl_dataset_free(rl_dataset *dataset); // accepts NULL
int32_t rl_dataset_size(const rl_dataset *dataset);
const rl_problem *rl_dataset_at(const rl_dataset *dataset, int32_t i);
/* Refuses, with file and line, a problem without tests: for recipes whose reward runs code. */
rl_status rl_dataset_require_tests(const rl_dataset *dataset, rl_err *err) RL_MUST_USE;
rl_tag_counts rl_dataset_tags(const rl_dataset *dataset);
/* Leaves problem i out of the order (an over-long prompt). */
void rl_dataset_skip(rl_dataset *dataset, int32_t i);
bool rl_dataset_is_skipped(const rl_dataset *dataset, int32_t i);
int32_t rl_dataset_skipped(const rl_dataset *dataset);

/*
 * Problem number `n` of an endless reading in epochs, each epoch in an order of its own drawn from
 * seed (file order when shuffle is false). Skipped problems do not occur. Pure: the cursor is n.
 */
int32_t rl_dataset_pick(rl_dataset *dataset, uint64_t seed, bool shuffle, int64_t n);

#endif
