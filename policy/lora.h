/* Adapters in a policy: their parameters and what they add to the products. Private to policy/. */
#ifndef RL_POLICY_LORA_PRIVATE_H
#define RL_POLICY_LORA_PRIVATE_H

#include "policy/family.h"
#include "policy/linear.h"
#include "rl/policy/lora.h"
#include "rl/policy/params.h"
#include "rl/tensor/safetensors.h"

struct rl_adapter {
    rl_arena *arena;
    rl_lora_opts opts; // texts in the arena
    const rl_family *family;
    const rl_model_config *config; // of the model, borrowed
    int32_t *site;                 // [n_sites] which of the model's tensors (rl_family_place)
    int32_t n_sites;

    uint64_t seed; // without a file
    const char *folder;
    rl_safetensors *file;
    double dropout; // it was trained with
};

/* "model.layers.3.self_attn.q_proj", and the names of peft's tensors for it. */
typedef enum rl_lora_half { RL_LORA_A, RL_LORA_B } rl_lora_half;
void rl_lora_module_name(rl_place place, char out[RL_NAME_MAX]);
void rl_lora_tensor_name(rl_place place, rl_lora_half half, char out[RL_NAME_MAX]);
/* Whether a tensor of a family takes adapters. */
bool rl_lora_takes(const rl_tensor_row *row);

/* lora_config.c: reads adapter_config.json, or writes it. */
rl_status rl_lora_read_config(rl_adapter *adapter, rl_err *err) RL_MUST_USE;
void rl_lora_print_config(const rl_adapter *adapter, const char *model, rl_str *out);

/* One tensor of the model inside its matrix. */
typedef struct rl_lora_part {
    rl_tensor b, d_b, packed; // [O of the part, r]
    int64_t row;              // its first of the matrix
} rl_lora_part;

enum { RL_LORA_PARTS = 3 };

/* The adapters of one matrix (rl_linear); their A lie one under the other. */
typedef struct rl_lora_matrix {
    const struct rl_lora *lora;
    rl_tensor a, d_a, packed; // [n_parts * r, I]
    rl_lora_part part[RL_LORA_PARTS];
    int32_t n_parts;
} rl_lora_matrix;

enum { RL_LORA_MATRICES = 4 }; // of a block, in the order of RL_BLOCK_LINEARS

typedef struct rl_lora {
    const rl_adapter *adapter; // borrowed
    rl_params params;          // of each matrix all A, then all B
    rl_lora_matrix *matrix;    // [L * RL_LORA_MATRICES]
    int32_t r;
    float scale;
    bool off; // the products are those of the model alone

    rl_buffer *buffer;
    size_t u, d_u;    // offsets of temporaries [rows, n_parts * r]
    rl_tensor scaled; // A times scale, on its way into panels; of the largest A's size
} rl_lora;

/* Lays out, allocates and fills; panels are not packed yet. `trains` adds gradients. */
rl_status rl_lora_init(rl_lora *lora, const rl_adapter *adapter, rl_backend *be, bool trains,
                       rl_err *err) RL_MUST_USE;
void rl_lora_release(rl_lora *lora, rl_backend *be);
/* Brings what the forward reads up to date with A and B. */
void rl_lora_pack(const rl_lora *lora, rl_backend *be);

/* out += s B (A in). Nothing while the adapter is off. */
void rl_lora_forward(const rl_lora_matrix *matrix, rl_backend *be, rl_tensor out, rl_tensor in);
/* Adds to the gradients of A and B and to d_in. */
void rl_lora_backward(const rl_lora_matrix *matrix, rl_backend *be, rl_tensor d_in, rl_tensor d_out,
                      rl_tensor in);

/* A complete folder as peft writes it, with the tokenizer files of the model. */
rl_status rl_lora_save(const rl_lora *lora, const rl_checkpoint *model, rl_backend *be,
                       rl_save_dtype dtype, const char *folder, rl_err *err) RL_MUST_USE;

#endif
