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

/* How positions turn queries and keys. */
typedef struct rl_rope {
    rl_rope_kind kind;
    double theta;
    double factor, low_freq, high_freq; // llama3 and linear scaling
    int32_t original;                   // llama3: original_max_position_embeddings
} rl_rope;

enum { RL_MAX_EOS = 8, RL_MAX_LAYERS = 1024 };

typedef struct rl_layer_set {
    uint64_t bits[RL_MAX_LAYERS / 64];
} rl_layer_set;

typedef struct rl_model_config {
    const char *family; // model_type: "llama"; static storage
    int32_t vocab, width, n_layers, n_heads, n_kv_heads, head_dim, mlp;
    int32_t max_positions;
    double norm_eps;
    double init_range;    // standard deviation of weights that are drawn
    rl_rope rope[2];      // the second of layers with a window, where they have one of their own
    int32_t n_ropes;      // 1 or 2
    int32_t window;       // keys that a query sees in layers with a window; 0: there are none
    rl_layer_set sliding; // layers with a window
    rl_layer_set still;   // layers without rotation
    double query_scalar;  // scores are multiplied by its root's inverse; 0: head_dim
    bool tied;            // the head is the embedding
    int32_t bos, pad;     // -1 when absent
    int32_t eos[RL_MAX_EOS];
    int32_t n_eos;
} rl_model_config;

/* generation (generation_config.json) may be NULL; its eos list, when present, is added. */
rl_status rl_model_config_from_json(const rl_json *config, const rl_json *generation,
                                    rl_model_config *out, rl_err *err) RL_MUST_USE;
rl_status rl_model_config_from_gguf(const rl_gguf *file, rl_model_config *out,
                                    rl_err *err) RL_MUST_USE;

bool rl_layer_set_has(const rl_layer_set *set, int32_t layer);
void rl_layer_set_add(rl_layer_set *set, int32_t layer);
int32_t rl_layer_window(const rl_model_config *config, int32_t layer); // 0: sees all before it
/* Which of config->rope turns a layer; -1: none. */
int32_t rl_layer_rope(const rl_model_config *config, int32_t layer);
/* Parameters of the model, tied head counted once. */
int64_t rl_model_config_params(const rl_model_config *config);

#endif
