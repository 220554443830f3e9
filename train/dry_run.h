/* What dry runs of all objectives say alike. Private to train/. */
#ifndef RL_TRAIN_DRY_RUN_H
#define RL_TRAIN_DRY_RUN_H

#include <stdio.h>

#include "train/setup.h"

/* Something that a run keeps in memory beside the model. */
typedef struct dry_run_extra {
    double bytes;
    const char *name; // "key-value cache"
    const char *note; // put after its size, "" for none
    const char
        *keys; // to lower where memory runs out, beside compute.micro_tokens; ends in a blank
} dry_run_extra;

/* The line of the memory estimate, and a word where this machine has less. */
void dry_run_memory(const setup *s, const dry_run_extra *extra, FILE *to);

#endif
