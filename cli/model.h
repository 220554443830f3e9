/* A model opened to be asked rather than trained: for score, sample and the like. Private to cli/.
 */
#ifndef RL_CLI_MODEL_H
#define RL_CLI_MODEL_H

#include "cli/args.h"
#include "rl/core/pool.h"
#include "rl/policy/chat.h"
#include "rl/policy/lora.h"
#include "rl/policy/policy.h"
#include "rl/tensor/cpu.h"

/* The zero value is closed. Whatever was opened is closed by model_close. */
typedef struct model {
    rl_checkpoint *checkpoint;
    rl_adapter *adapter; // NULL: none
    rl_tokenizer *tokenizer;
    rl_chat *chat;
    rl_pool *pool;
    rl_backend *backend;
    rl_policy *policy;
    int32_t stop[RL_MAX_EOS + 2]; // ids that end a completion
    int32_t n_stop;
} model;

/* The subject's checkpoint, and its adapter where it names one; cheap. */
rl_status model_open(const args *a, model *m, rl_err *err) RL_MUST_USE;
/* Its tokenizer. */
rl_status model_open_tokenizer(model *m, rl_err *err) RL_MUST_USE;
/* Its tokenizer, chat form and stop ids. */
rl_status model_open_text(const args *a, model *m, rl_err *err) RL_MUST_USE;
/* Its weights, with the threads and kernels that the arguments ask for. With a tokenizer opened
 * before, only its ids can come out. */
rl_status model_open_weights(const args *a, model *m, rl_err *err) RL_MUST_USE;
void model_close(model *m);

/* Nothing that is there is replaced. */
rl_status model_check_absent(const char *path, rl_err *err) RL_MUST_USE;
/* Writes a new Hugging Face folder: aside first, so that one under its own name is whole. */
rl_status model_write_folder(const rl_checkpoint *checkpoint, const rl_params *params,
                             rl_backend *be, rl_save_dtype dtype, const char *out,
                             rl_err *err) RL_MUST_USE;

#endif
