/*
 * Hugging Face folders and GGUF files: reading a model into a policy's config and parameters, and
 * writing a complete folder that transformers loads.
 */
#ifndef RL_POLICY_HF_H
#define RL_POLICY_HF_H

#include "rl/policy/config.h"
#include "rl/policy/params.h"
#include "rl/policy/tokenizer.h"

/* An opened checkpoint: a folder (config.json, model.safetensors or shards with an index) or a
 * .gguf file. */
typedef struct rl_checkpoint rl_checkpoint;
rl_status rl_checkpoint_open(const char *path, rl_checkpoint **out, rl_err *err) RL_MUST_USE;
/*
 * A folder that gives its config.json and tokenizer only: rl_checkpoint_read draws the weights, as
 * transformers does for a new model: matrices normal with standard deviation initializer_range,
 * norms 1. The same seed draws the same weights. A .gguf file is refused.
 */
rl_status rl_checkpoint_open_random(const char *path, uint64_t seed, rl_checkpoint **out,
                                    rl_err *err) RL_MUST_USE;
void rl_checkpoint_close(rl_checkpoint *checkpoint); // accepts NULL
const rl_model_config *rl_checkpoint_config(const rl_checkpoint *checkpoint);
const rl_gguf *rl_checkpoint_gguf(const rl_checkpoint *checkpoint); // NULL for a folder
const char *rl_checkpoint_path(const rl_checkpoint *checkpoint);

/*
 * Fills every parameter; a missing, surplus or misshapen tensor is refused by name. GGUF q and k
 * rows are put back into Hugging Face's order.
 */
rl_status rl_checkpoint_read(const rl_checkpoint *checkpoint, rl_params *params, rl_backend *be,
                             rl_err *err) RL_MUST_USE;

/* Numbers of written weights; F16 and BF16 round to nearest with ties to even. A weight too large
 * for F16 is refused by name. */
typedef enum rl_save_dtype { RL_SAVE_F32, RL_SAVE_BF16, RL_SAVE_F16 } rl_save_dtype;
extern const char *const rl_save_dtype_names[]; // in enumerator order, NULL-terminated

/*
 * Writes config.json, generation_config.json, the weights (in shards above 5 GB) and the tokenizer
 * files into an existing empty folder. The tokenizer files are copied from the source folder, or
 * made from the GGUF's metadata. config.json tells the dtype.
 */
rl_status rl_checkpoint_write(const rl_checkpoint *source, const rl_params *params, rl_backend *be,
                              rl_save_dtype dtype, const char *folder, rl_err *err) RL_MUST_USE;
/*
 * Writes a GGUF file as llama.cpp reads it, matrices as F32, F16, BF16 or Q8_0, vectors as F32.
 * What GGUF cannot say of a model or of its tokenizer is refused. Read again, an F32 file gives the
 * same weights to the bit. tokenizer NULL: a file without one.
 */
rl_status rl_checkpoint_write_gguf(const rl_checkpoint *source, const rl_tokenizer *tokenizer,
                                   const rl_params *params, rl_backend *be, rl_stored stored,
                                   const char *path, rl_err *err) RL_MUST_USE;

#endif
