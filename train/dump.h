/*
 * One step as a safetensors file, for comparison with another implementation (log.dump_step): its
 * sequences with what the objective knows of them, and the gradient of every parameter that trains,
 * before clipping, as "grad.<name>". Private to train/.
 */
#ifndef RL_TRAIN_DUMP_H
#define RL_TRAIN_DUMP_H

#include "rl/core/arena.h"
#include "rl/policy/policy.h"
#include "rl/tensor/safetensors.h"

enum { DUMP_TENSORS = 8 };
typedef struct dump {
    rl_arena *arena;
    int64_t n_rows, n_cols; // sequences, and tokens of the longest
    rl_weight tensor[DUMP_TENSORS];
    size_t n_tensors;
} dump;

dump dump_begin(rl_arena *arena, int64_t n_rows, int64_t n_cols);
/* A new tensor for the caller to fill, all zero: [n_rows, n_cols] by token, else [n_rows]. name is
 * borrowed. */
int32_t *dump_ints(dump *d, const char *name, bool by_token);
double *dump_reals(dump *d, const char *name, bool by_token);
uint8_t *dump_flags(dump *d, const char *name, bool by_token);
rl_status dump_write(const dump *d, rl_policy *policy, const char *path, rl_err *err) RL_MUST_USE;

#endif
