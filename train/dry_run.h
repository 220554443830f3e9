/* What dry runs of all objectives say alike. Private to train/. */
#ifndef RL_TRAIN_DRY_RUN_H
#define RL_TRAIN_DRY_RUN_H

#include <stdio.h>

#include "train/setup.h"

/* How much of a recipe's largest step is in memory at once. */
typedef struct dry_run_load {
    double pass_tokens;             // of the largest forward and backward
    double kv_tokens, kv_sequences; // sampled and read while sampling; 0: nothing is sampled
} dry_run_load;

/*
 * The peak that is expected, its parts, and the most that the recipe allows; a word where this
 * machine has less. case_text says what is expected, keys what to lower; both may be "".
 */
void dry_run_memory(const setup *s, const dry_run_load *expected, const dry_run_load *most,
                    const char *case_text, const char *keys, FILE *to);

#endif
