/* What tests of checkpoints share: a backend, opening and comparing. */
#ifndef RL_TESTS_CHECKPOINTS_H
#define RL_TESTS_CHECKPOINTS_H

#include "rl/core/pool.h"
#include "rl/policy/hf.h"
#include "tests/support/support.h"

/* CMocka group set-up and tear-down; *state is the rl_backend. */
int rl_test_backend_open(void **state);
int rl_test_backend_close(void **state);

/* Opens a checkpoint and reads it into new parameters with gradients. */
rl_checkpoint *rl_test_checkpoint(rl_backend *be, const char *path, rl_params *params);
void rl_test_checkpoint_drop(rl_backend *be, rl_checkpoint *checkpoint, rl_params *params);
/* The values of a parameter; free with rl_free. */
float *rl_test_values(rl_backend *be, const rl_param *param);
/* Every parameter has the bits of the tensor of its name in a safetensors file, and the file has
 * no other. */
void rl_test_same_as_file(rl_backend *be, const rl_params *params, const char *path);
void rl_test_same_config(const rl_model_config *a, const rl_model_config *b);
/* Saves, opens what was saved, compares config and every bit. The new folder is the caller's to
 * drop. */
char *rl_test_round_trip(rl_backend *be, const rl_checkpoint *checkpoint, const rl_params *params);

/* A file of a folder as text, in the arena. */
char *rl_test_text(rl_arena *arena, const char *folder, const char *name);
/* The sentence holds this part. */
void rl_test_says(const rl_err *err, const char *part);

#endif
