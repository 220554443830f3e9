/*
 * Model families as rows of data, private to policy/. A family says which tensors a model has, in
 * the order in which they lie in memory, under their Hugging Face and GGUF names, and what each
 * does in the block (block.c). Which tensors there are is what makes the block: a norm that has no
 * row is not computed, a matrix without a bias row has none. docs/add-a-model-family.md adds one.
 */
#ifndef RL_POLICY_FAMILY_H
#define RL_POLICY_FAMILY_H

#include <stddef.h>

#include "rl/core/json.h"
#include "rl/policy/config.h"

typedef enum rl_dim {
    RL_DIM_NONE, // a vector has no columns
    RL_DIM_WIDTH,
    RL_DIM_HEAD, // head_dim
    RL_DIM_Q,    // n_heads * head_dim
    RL_DIM_KV,   // n_kv_heads * head_dim
    RL_DIM_QKV,  // q, then k, then v
    RL_DIM_MLP,
    RL_DIM_GATE_UP, // gate, then up
    RL_DIM_VOCAB
} rl_dim;
int64_t rl_dim_size(const rl_model_config *config, rl_dim dim);

/* What a tensor does. Parts of one matrix or bias are neighbours here, and in the rows. */
typedef enum rl_role {
    RL_ROLE_EMBEDDING,
    RL_ROLE_HEAD,
    RL_ROLE_FINAL_NORM,
    RL_ROLE_ATTN_NORM,     // of what attention reads
    RL_ROLE_ATTN_OUT_NORM, // of what attention gives, before it is added
    RL_ROLE_MLP_NORM,
    RL_ROLE_MLP_OUT_NORM,
    RL_ROLE_Q_NORM, // before rotation; of a head or of all heads together, as its length says
    RL_ROLE_K_NORM,
    RL_ROLE_Q,
    RL_ROLE_K,
    RL_ROLE_V,
    RL_ROLE_QKV, // the three in one
    RL_ROLE_Q_BIAS,
    RL_ROLE_K_BIAS,
    RL_ROLE_V_BIAS,
    RL_ROLE_O,
    RL_ROLE_GATE,
    RL_ROLE_UP,
    RL_ROLE_GATE_UP, // the two in one
    RL_ROLE_DOWN
} rl_role;

/* One tensor; names of a layer's tensors follow "model.layers.N." and "blk.N.". */
typedef struct rl_tensor_row {
    rl_role role;
    const char *hf, *gguf;
    rl_dim rows, cols;
} rl_tensor_row;

/* Of the gate: out = act(gate) * up. */
typedef enum rl_activation { RL_ACT_SILU, RL_ACT_GELU_TANH } rl_activation;
extern const char *const rl_activation_names[]; // in enumerator order

/* What transformers takes where config.json is silent. */
typedef struct rl_family_absent {
    int32_t n_kv_heads; // 0: as many as heads
    int32_t head_dim;   // 0: width / heads
    int32_t max_positions;
    int32_t window; // 0: none
    double norm_eps, rope_theta;
    bool tied;
} rl_family_absent;

typedef struct rl_family {
    const char *model_type;   // in config.json; also the family's name
    const char *architecture; // "LlamaForCausalLM"
    const char *gguf;         // general.architecture and prefix of its keys; NULL: folders only
    bool gguf_pairs;          // GGUF's q and k rows keep rotary pairs as neighbours, not in halves

    /* In order of memory: embedding, the layers, norm, head (untied only). */
    rl_tensor_row embedding, norm, head;
    const rl_tensor_row *layer;
    size_t n_layer;

    rl_activation activation;
    const char *activation_key; // in config.json
    float norm_offset;          // a norm multiplies by offset + weight
    bool scales_embedding;      // by the root of the width
    rl_family_absent absent;

    /*
     * Windows: `slides` says which layers have one where config.json has no layer_types; NULL: the
     * family knows no windows. window_switch, where given, must be true for there to be any.
     * `ropes` says which layers rotate; NULL: all. config is NULL for a GGUF file.
     */
    bool (*slides)(const rl_json *config, const rl_model_config *out, int32_t layer);
    const char *window_switch;
    bool layer_types; // is read
    bool (*ropes)(const rl_json *config, const rl_model_config *out, int32_t layer);
    const char *local_theta;  // older key of the second rotary base, that of layers with a window
    const char *query_scalar; // key of config->query_scalar; NULL: head_dim
} rl_family;

/* NULL when unknown. The second compares GGUF architectures; text is not terminated. */
const rl_family *rl_family_find(const char *model_type);
const rl_family *rl_family_of_gguf(const char *architecture, size_t architecture_len);
bool rl_family_has(const rl_family *family, rl_role role);

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

/* "llama, qwen2": for sentences; appends. The second names those that GGUF files may hold. */
void rl_family_names(rl_str *out);
void rl_family_gguf_names(rl_str *out);

/* Rules for `slides`: all layers, and layers from max_window_layers on. */
bool rl_slides_all(const rl_json *config, const rl_model_config *out, int32_t layer);
bool rl_slides_above(const rl_json *config, const rl_model_config *out, int32_t layer);

/* Rows that many families share. */
// clang-format off
#define RL_ROWS_OUTSIDE                                                                            \
    .embedding = {RL_ROLE_EMBEDDING, "model.embed_tokens.weight", "token_embd.weight",             \
                  RL_DIM_VOCAB, RL_DIM_WIDTH},                                                     \
    .norm = {RL_ROLE_FINAL_NORM, "model.norm.weight", "output_norm.weight",                        \
             RL_DIM_WIDTH, RL_DIM_NONE},                                                           \
    .head = {RL_ROLE_HEAD, "lm_head.weight", "output.weight", RL_DIM_VOCAB, RL_DIM_WIDTH}
#define RL_ROW_ATTN_NORM                                                                           \
    {RL_ROLE_ATTN_NORM, "input_layernorm.weight", "attn_norm.weight", RL_DIM_WIDTH, RL_DIM_NONE}
#define RL_ROWS_QKV                                                                                \
    {RL_ROLE_Q, "self_attn.q_proj.weight", "attn_q.weight", RL_DIM_Q, RL_DIM_WIDTH},               \
    {RL_ROLE_K, "self_attn.k_proj.weight", "attn_k.weight", RL_DIM_KV, RL_DIM_WIDTH},              \
    {RL_ROLE_V, "self_attn.v_proj.weight", "attn_v.weight", RL_DIM_KV, RL_DIM_WIDTH}
#define RL_ROWS_QK_NORM(of_q, of_k)                                                                \
    {RL_ROLE_Q_NORM, "self_attn.q_norm.weight", "attn_q_norm.weight", of_q, RL_DIM_NONE},          \
    {RL_ROLE_K_NORM, "self_attn.k_norm.weight", "attn_k_norm.weight", of_k, RL_DIM_NONE}
#define RL_ROW_O                                                                                   \
    {RL_ROLE_O, "self_attn.o_proj.weight", "attn_output.weight", RL_DIM_WIDTH, RL_DIM_Q}
#define RL_ROW_MLP_NORM                                                                            \
    {RL_ROLE_MLP_NORM, "post_attention_layernorm.weight", "ffn_norm.weight", RL_DIM_WIDTH,         \
     RL_DIM_NONE}
#define RL_ROWS_GATE_UP                                                                            \
    {RL_ROLE_GATE, "mlp.gate_proj.weight", "ffn_gate.weight", RL_DIM_MLP, RL_DIM_WIDTH},           \
    {RL_ROLE_UP, "mlp.up_proj.weight", "ffn_up.weight", RL_DIM_MLP, RL_DIM_WIDTH}
#define RL_ROW_DOWN                                                                                \
    {RL_ROLE_DOWN, "mlp.down_proj.weight", "ffn_down.weight", RL_DIM_WIDTH, RL_DIM_MLP}
// clang-format on

/* arch_<name>.c */
extern const rl_family rl_family_gemma3, rl_family_llama, rl_family_mistral, rl_family_olmo2;
extern const rl_family rl_family_phi3, rl_family_qwen2, rl_family_qwen3, rl_family_smollm3;

#endif
