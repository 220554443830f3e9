/*
 * Low-rank adapters (LoRA, Hu et al. 2021) on the matrices of the blocks, as peft has them: a
 * matrix W gives W x + s B (A x) with A [r, inputs], B [outputs, r] and s = lora_alpha / r. With an
 * adapter the weights of the model stay as they are, without gradients and moments; A and B are
 * what trains, and what a checkpoint holds. The section `lora` of a recipe.
 */
#ifndef RL_POLICY_LORA_H
#define RL_POLICY_LORA_H

#include "rl/core/arena.h"
#include "rl/core/schema.h"
#include "rl/policy/hf.h"

typedef struct rl_lora_opts {
    int32_t r; // 0: no adapter
    double lora_alpha;
    rl_text_list target_modules; // ends of module names, or "all-linear"
    bool use_rslora;             // s = lora_alpha / sqrt(r)
} rl_lora_opts;
extern const rl_section rl_lora_section;

/* Keys of peft's configuration that may stand in the section (NULL-terminated), but only at the
 * value that changes nothing: rl_lora_check_section has a sentence for each that does not. */
extern const char *const rl_lora_other_keys[];
void rl_lora_check_section(const rl_json *section, rl_errors *errors);

/* An adapter for one model, not yet in memory: a folder that peft or rl-train wrote, or what a new
 * one is drawn from. The model's checkpoint is borrowed. */
typedef struct rl_adapter rl_adapter;
/* A from the seed as peft draws it (uniform within 1 / sqrt(inputs)), B 0. A target that the model
 * does not have is refused with the nearest that it has. */
rl_status rl_adapter_new(const rl_lora_opts *opts, uint64_t seed, const rl_checkpoint *model,
                         rl_adapter **out, rl_err *err) RL_MUST_USE;
/* Refuses by name what of peft's configuration is not covered, and a tensor that is missing,
 * surplus or misshapen. */
rl_status rl_adapter_open(const char *folder, const rl_checkpoint *model, rl_adapter **out,
                          rl_err *err) RL_MUST_USE;
void rl_adapter_close(rl_adapter *adapter); // accepts NULL
const rl_lora_opts *rl_adapter_opts(const rl_adapter *adapter);
int64_t rl_adapter_values(const rl_adapter *adapter); // elements of all A and B

/* Whether path is an adapter's folder. */
bool rl_adapter_is(const char *path);
/*
 * Opens what a path and perhaps an adapter's folder ("" or NULL: none) name: a checkpoint, and the
 * adapter on it or NULL. Where path itself is an adapter's folder, the checkpoint is the one that
 * its base_model_name_or_path names, seen from that folder or else from the current one.
 */
rl_status rl_adapted_open(const char *path, const char *folder, rl_checkpoint **model,
                          rl_adapter **adapter, rl_err *err) RL_MUST_USE;

/* Adds s B A to the weights of the adapter's model: values stay one float32 sum each. */
rl_status rl_adapter_merge(const rl_adapter *adapter, rl_params *weights, rl_backend *be,
                           rl_err *err) RL_MUST_USE;

#endif
