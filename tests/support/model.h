/* A policy opened for a test, with the pool and backend under it, and golden numbers to compare
 * with. */
#ifndef RL_TESTS_MODEL_H
#define RL_TESTS_MODEL_H

#include "rl/core/arena.h"
#include "rl/core/json.h"
#include "rl/policy/policy.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/safetensors.h"

typedef struct rl_test_model {
    rl_pool *pool;
    rl_backend *be;
    rl_checkpoint *checkpoint;
    rl_adapter *adapter; // NULL: none
    rl_policy *policy;
} rl_test_model;

/* A checkpoint, or the folder of an adapter. Fails the test when it cannot be opened. One at a
 * time: a process holds one CPU backend. */
void rl_test_model_open(rl_test_model *model, const char *path, rl_kernels kernels,
                        int32_t n_threads, bool trains);
void rl_test_model_open_as(rl_test_model *model, const char *path, rl_kernels kernels,
                           int32_t n_threads, const rl_policy_opts *opts);
void rl_test_model_close(rl_test_model *model);

/* A golden tensor in the arena; fails the test when it is absent or of another type. */
float *rl_test_floats(const rl_safetensors *file, const char *name, rl_arena *arena, int64_t *n);
int32_t *rl_test_ints(const rl_safetensors *file, const char *name, rl_arena *arena, int64_t *n);

/* A number of a JSON object; fails the test when it is none. */
double rl_test_number(const rl_json *object, const char *key);
/* Numbers of a JSON list in the arena; fails the test when it is none. */
double *rl_test_numbers(const rl_json *list, rl_arena *arena, size_t *n);
int32_t *rl_test_ids(const rl_json *list, rl_arena *arena, int32_t *n);

#endif
