/*
 * What a checkpoint says of its model, read from config.json (old and new spelling of keys) or from
 * GGUF metadata into one plain struct. A model that the family table does not cover is refused by
 * name.
 */
#ifndef RL_POLICY_CONFIG_H
#define RL_POLICY_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "rl/core/json.h"
#include "rl/core/status.h"
#include "rl/tensor/gguf.h"

typedef enum rl_rope_kind { RL_ROPE_DEFAULT, RL_ROPE_LINEAR, RL_ROPE_LLAMA3 } rl_rope_kind;

enum { RL_MAX_EOS = 8 };

typedef struct rl_model_config {
    const char *family; // model_type: "llama"; static storage
    int32_t vocab, width, n_layers, n_heads, n_kv_heads, head_dim, mlp;
    int32_t max_positions;
    double norm_eps;
    double init_range; // standard deviation of weights that are drawn
    double rope_theta;
    rl_rope_kind rope_kind;
    double rope_factor, rope_low_freq, rope_high_freq; // llama3 and linear scaling
    int32_t rope_original;                             // llama3: original_max_position_embeddings
    bool tied;                                         // the head is the embedding
    int32_t bos, pad;                                  // -1 when absent
    int32_t eos[RL_MAX_EOS];
    int32_t n_eos;
} rl_model_config;

/* generation (generation_config.json) may be NULL; its eos list, when present, is added. */
rl_status rl_model_config_from_json(const rl_json *config, const rl_json *generation,
                                    rl_model_config *out, rl_err *err) RL_MUST_USE;
rl_status rl_model_config_from_gguf(const rl_gguf *file, rl_model_config *out,
                                    rl_err *err) RL_MUST_USE;
/* Parameters of the model, tied head counted once. */
int64_t rl_model_config_params(const rl_model_config *config);

#endif
