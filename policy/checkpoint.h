/* An opened checkpoint, as hf_load.c makes it and init.c and hf_save.c read it; private to
 * policy/. */
#ifndef RL_POLICY_CHECKPOINT_H
#define RL_POLICY_CHECKPOINT_H

#include <stddef.h>

#include "policy/family.h"
#include "rl/core/arena.h"
#include "rl/policy/hf.h"
#include "rl/tensor/safetensors.h"

/* Either gguf, or config_text and shards; no shards where weights are drawn. */
struct rl_checkpoint {
    rl_arena *arena; // path, texts, lists
    const char *path;
    rl_model_config config;
    const rl_family *family;

    rl_gguf *gguf;

    bool drawn; // weights come from seed
    uint64_t seed;

    bool has_tokenizer;      // tokenizer.json lay in the folder when it was opened
    const char *config_text; // config.json as it is written in the folder
    size_t config_text_len;
    rl_safetensors **shard;
    const char **shard_name;
    size_t n_shards;
};

/* rl_checkpoint_read in two parts, for a checkpoint that is not `drawn`: whether all is there and
 * fits, and parameters [begin, end). */
rl_status rl_checkpoint_check(const rl_checkpoint *checkpoint, const rl_params *params,
                              rl_err *err) RL_MUST_USE;
void rl_checkpoint_fill(const rl_checkpoint *checkpoint, rl_params *params, int32_t begin,
                        int32_t end, rl_backend *be);
/* Draws every parameter of a checkpoint that is `drawn`. */
void rl_draw_weights(const rl_checkpoint *checkpoint, rl_params *params, rl_backend *be);

/* Parts of a written folder: the tokenizer's files, and parameters as one safetensors file. */
rl_status rl_save_tokenizer(const rl_checkpoint *source, const char *folder,
                            rl_err *err) RL_MUST_USE;
rl_status rl_save_params(const rl_params *params, rl_backend *be, rl_save_dtype dtype,
                         const char *path, rl_err *err) RL_MUST_USE;
/*
 * All parameters as model.safetensors; where that would be larger than shard_bytes, as
 * model-00001-of-0000N.safetensors and so on, filled in order, with model.safetensors.index.json. A
 * tensor is never cut: one that is larger has a file of its own.
 */
#define RL_SHARD_BYTES INT64_C(5000000000) // as transformers 4 cuts
rl_status rl_save_shards(const rl_params *params, rl_backend *be, rl_save_dtype dtype,
                         int64_t shard_bytes, const char *folder, rl_err *err) RL_MUST_USE;
/* Refuses a parameter with a value that numbers of that kind cannot hold. */
rl_status rl_check_fits(const rl_params *params, rl_backend *be, rl_stored stored,
                        rl_err *err) RL_MUST_USE;
const char *rl_save_dtype_torch(rl_save_dtype dtype); // as config.json names it

#endif
