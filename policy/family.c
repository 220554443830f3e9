#include "policy/family.h"

#include <stdio.h>
#include <string.h>

#include "rl/core/assert.h"

static const rl_family *const families[] = {
    &rl_family_llama, &rl_family_mistral, &rl_family_qwen2,  &rl_family_qwen3,
    &rl_family_olmo2, &rl_family_smollm3, &rl_family_gemma3, &rl_family_phi3,
};
enum { N_FAMILIES = sizeof families / sizeof families[0] };

const rl_family *rl_family_find(const char *model_type) {
    for (size_t i = 0; i < N_FAMILIES; i++) {
        if (strcmp(families[i]->model_type, model_type) == 0) {
            return families[i];
        }
    }
    return NULL;
}

const rl_family *rl_family_of_gguf(const char *architecture, size_t architecture_len) {
    for (size_t i = 0; i < N_FAMILIES; i++) {
        const char *name = families[i]->gguf;
        if (name != NULL && strlen(name) == architecture_len &&
            memcmp(name, architecture, architecture_len) == 0) {
            return families[i];
        }
    }
    return NULL;
}

bool rl_family_has(const rl_family *family, rl_role role) {
    for (size_t i = 0; i < family->n_layer; i++) {
        if (family->layer[i].role == role) {
            return true;
        }
    }
    return false;
}

static void append_name(rl_str *out, const char *name) {
    rl_str_append(out, out->len > 0 ? ", " : "");
    rl_str_append(out, name);
}

void rl_family_names(rl_str *out) {
    for (size_t i = 0; i < N_FAMILIES; i++) {
        append_name(out, families[i]->model_type);
    }
}

void rl_family_gguf_names(rl_str *out) {
    for (size_t i = 0; i < N_FAMILIES; i++) {
        // Llama's name stands for what has Llama's block.
        if (families[i]->gguf != NULL &&
            rl_family_of_gguf(families[i]->gguf, strlen(families[i]->gguf)) == families[i]) {
            append_name(out, families[i]->gguf);
        }
    }
}

bool rl_slides_all(const rl_json *config, const rl_model_config *out, int32_t layer) {
    (void)config;
    (void)out;
    (void)layer;
    return true;
}

bool rl_slides_above(const rl_json *config, const rl_model_config *out, int32_t layer) {
    (void)out;
    return layer >= rl_json_number(rl_json_get(config, "max_window_layers"), 28);
}

int64_t rl_dim_size(const rl_model_config *config, rl_dim dim) {
    switch (dim) {
    case RL_DIM_NONE:
        return 1;
    case RL_DIM_WIDTH:
        return config->width;
    case RL_DIM_HEAD:
        return config->head_dim;
    case RL_DIM_Q:
        return (int64_t)config->n_heads * config->head_dim;
    case RL_DIM_KV:
        return (int64_t)config->n_kv_heads * config->head_dim;
    case RL_DIM_QKV:
        return (int64_t)(config->n_heads + 2 * config->n_kv_heads) * config->head_dim;
    case RL_DIM_MLP:
        return config->mlp;
    case RL_DIM_GATE_UP:
        return 2 * (int64_t)config->mlp;
    case RL_DIM_VOCAB:
        return config->vocab;
    }
    RL_ASSERT(!"a dimension of the table");
    return 0;
}

int32_t rl_family_count(const rl_family *family, const rl_model_config *config) {
    return (int32_t)family->n_layer * config->n_layers + (config->tied ? 2 : 3);
}

rl_place rl_family_place(const rl_family *family, const rl_model_config *config, int32_t i) {
    int32_t per_layer = (int32_t)family->n_layer, n_in_layers = per_layer * config->n_layers;
    if (i == 0) {
        return (rl_place){&family->embedding, -1};
    }
    i -= 1;
    if (i < n_in_layers) {
        return (rl_place){&family->layer[i % per_layer], i / per_layer};
    }
    return (rl_place){i == n_in_layers ? &family->norm : &family->head, -1};
}

void rl_place_hf_name(rl_place place, char out[RL_NAME_MAX]) {
    if (place.layer < 0) {
        snprintf(out, RL_NAME_MAX, "%s", place.row->hf);
    } else {
        snprintf(out, RL_NAME_MAX, "model.layers.%d.%s", place.layer, place.row->hf);
    }
}

void rl_place_gguf_name(rl_place place, char out[RL_NAME_MAX]) {
    if (place.layer < 0) {
        snprintf(out, RL_NAME_MAX, "%s", place.row->gguf);
    } else {
        snprintf(out, RL_NAME_MAX, "blk.%d.%s", place.layer, place.row->gguf);
    }
}
