/*
 * Model families as rows of data, private to policy/. A row says which tensors a model has, in the
 * order in which they lie in memory, under their Hugging Face and GGUF names, and how its
 * configuration differs from the common keys that config.c reads.
 */
#ifndef RL_POLICY_FAMILY_H
#define RL_POLICY_FAMILY_H

#include <stddef.h>

#include "rl/core/json.h"
#include "rl/policy/config.h"

typedef enum rl_dim {
    RL_DIM_NONE, // a vector has no columns
    RL_DIM_WIDTH,
    RL_DIM_Q,  // n_heads * head_dim
    RL_DIM_KV, // n_kv_heads * head_dim
    RL_DIM_MLP,
    RL_DIM_VOCAB
} rl_dim;
int64_t rl_dim_size(const rl_model_config *config, rl_dim dim);

/* Whose rotary pairs the rows hold: GGUF's llama keeps pairs interleaved, Hugging Face in halves.
 */
typedef enum rl_pairs { RL_PAIRS_NONE, RL_PAIRS_Q, RL_PAIRS_K } rl_pairs;

/* One tensor; names of a layer's tensors follow "model.layers.N." and "blk.N.". */
typedef struct rl_tensor_row {
    const char *hf, *gguf;
    rl_dim rows, cols;
    rl_pairs gguf_pairs;
} rl_tensor_row;

typedef struct rl_family {
    const char *model_type;   // in config.json; also the family's name
    const char *architecture; // "LlamaForCausalLM"
    const char *gguf;         // general.architecture and prefix of its keys

    /* In order of memory: embedding, the layers, norm, head (untied only). q_proj, k_proj, v_proj
     * are neighbours, and so are gate_proj and up_proj: the forward reads each as one matrix. */
    rl_tensor_row embedding, norm, head;
    const rl_tensor_row *layer;
    size_t n_layer;

    /* Refuses by name what the family's forward does not cover; may be NULL. */
    rl_status (*check_json)(const rl_json *config, rl_err *err);
    rl_status (*check_gguf)(const rl_gguf *file, rl_err *err);
} rl_family;

/* NULL when unknown. The second compares GGUF architectures; text is not terminated. */
const rl_family *rl_family_find(const char *model_type);
const rl_family *rl_family_of_gguf(const char *architecture, size_t architecture_len);
/* Tensors of a model, tied head not counted, and the i-th of them in memory's order. */
typedef struct rl_place {
    const rl_tensor_row *row;
    int32_t layer; // -1 outside the layers
} rl_place;
int32_t rl_family_count(const rl_family *family, const rl_model_config *config);
rl_place rl_family_place(const rl_family *family, const rl_model_config *config, int32_t i);
enum { RL_NAME_MAX = 96 };
void rl_place_hf_name(rl_place place, char out[RL_NAME_MAX]);
void rl_place_gguf_name(rl_place place, char out[RL_NAME_MAX]);

/* "llama, qwen2": for sentences; appends. */
void rl_family_names(rl_str *out);

extern const rl_family rl_family_llama; // arch_llama.c

#endif
