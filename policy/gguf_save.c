/* A model as a GGUF file, under llama.cpp's keys and names. */
#include <stdio.h>
#include <string.h>

#include "policy/checkpoint.h"
#include "policy/gguf_words.h"
#include "policy/rope_table.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/tensor/ops.h"

static void put_text(rl_gguf_meta_out *meta, const char *key, const char *text) {
    rl_gguf_put_text(meta, key, text, strlen(text));
}

// Under "<architecture>.<name>".
static const char *key_of(const rl_family *family, const char *name, char key[96]) {
    snprintf(key, 96, "%s.%s", family->gguf, name);
    return key;
}

static void put_count(rl_gguf_meta_out *meta, const rl_family *family, const char *name,
                      int32_t value) {
    char key[96];
    rl_gguf_put_u32(meta, key_of(family, name, key), (uint32_t)value);
}

static void put_real(rl_gguf_meta_out *meta, const rl_family *family, const char *name,
                     double value) {
    char key[96];
    rl_gguf_put_f32(meta, key_of(family, name, key), (float)value);
}

static void put_rope(rl_gguf_meta_out *meta, const rl_family *family, const rl_rope *rope) {
    char key[96];
    put_real(meta, family, "rope.freq_base", rope->theta);
    switch (rope->kind) {
    case RL_ROPE_DEFAULT:
        break;
    case RL_ROPE_LINEAR:
        put_text(meta, key_of(family, "rope.scaling.type", key), "linear");
        put_real(meta, family, "rope.scaling.factor", rope->factor);
        break;
    case RL_ROPE_LLAMA3: // the rest is the tensor rope_freqs.weight
        put_count(meta, family, "rope.scaling.original_context_length", rope->original);
        break;
    }
}

// general.file_type, as llama.cpp numbers what most tensors are.
static uint32_t file_type(rl_stored stored) {
    return stored == RL_STORED_F32    ? 0
           : stored == RL_STORED_F16  ? 1
           : stored == RL_STORED_Q8_0 ? 7
                                      : 32;
}

static void put_config(const rl_checkpoint *source, rl_stored stored, rl_gguf_meta_out *meta) {
    const rl_model_config *c = &source->config;
    const rl_family *family = source->family;
    put_text(meta, "general.architecture", family->gguf);
    put_text(meta, "general.type", "model");
    put_text(meta, "general.name", rl_path_base(source->path));
    rl_gguf_put_u32(meta, "general.file_type", file_type(stored));
    if (stored == RL_STORED_Q8_0) {
        rl_gguf_put_u32(meta, "general.quantization_version", 2);
    }
    put_count(meta, family, "vocab_size", c->vocab);
    put_count(meta, family, "context_length", c->max_positions);
    put_count(meta, family, "embedding_length", c->width);
    put_count(meta, family, "block_count", c->n_layers);
    put_count(meta, family, "feed_forward_length", c->mlp);
    put_count(meta, family, "attention.head_count", c->n_heads);
    put_count(meta, family, "attention.head_count_kv", c->n_kv_heads);
    put_count(meta, family, "attention.key_length", c->head_dim);
    put_count(meta, family, "attention.value_length", c->head_dim);
    put_count(meta, family, "rope.dimension_count", c->head_dim);
    put_real(meta, family, "attention.layer_norm_rms_epsilon", c->norm_eps);
    put_rope(meta, family, &c->rope[0]);
}

// What no GGUF file of the family can say, so that a reader would compute something else.
static rl_status check_sayable(const rl_checkpoint *source, rl_err *err) {
    const rl_model_config *c = &source->config;
    const rl_family *family = source->family;
    rl_str names = {0};
    rl_status status = RL_OK;
    if (family->gguf == NULL) {
        rl_family_gguf_names(&names);
        status = rl_fail(err, RL_UNSUPPORTED,
                         "models of type '%s' are not written as GGUF; written are: %.300s",
                         c->family, rl_str_text(&names));
        rl_str_release(&names);
        return status;
    }
    for (int32_t i = 0; i < c->n_layers && status == RL_OK; i++) {
        bool turns = family->ropes == NULL || family->ropes(NULL, c, i);
        if (rl_layer_window(c, i) > 0) {
            status = rl_fail(err, RL_UNSUPPORTED,
                             "layer %d has a window of %d positions, and GGUF files of '%s' are "
                             "read without windows",
                             (int)i, (int)c->window, family->gguf);
        } else if (turns != (rl_layer_rope(c, i) >= 0)) {
            status = rl_fail(err, RL_UNSUPPORTED,
                             "layer %d %s its positions, but readers of GGUF files of '%s' take "
                             "the family's own rule, by which it %s",
                             (int)i, turns ? "does not rotate" : "rotates", family->gguf,
                             turns ? "does" : "does not");
        }
    }
    if (status == RL_OK && c->rope[0].kind == RL_ROPE_LLAMA3 &&
        (c->rope[0].low_freq != 1 || c->rope[0].high_freq != 4)) {
        status = rl_fail(err, RL_UNSUPPORTED,
                         "rope scaling 'llama3' with 'low_freq_factor' %g and 'high_freq_factor' "
                         "%g is not written as GGUF; only 1 and 4 are",
                         c->rope[0].low_freq, c->rope[0].high_freq);
    }
    return status;
}

/* The parameters in order, then perhaps one more tensor: the rotary factors. */
typedef struct tensors {
    const rl_checkpoint *source;
    const rl_params *params;
    rl_backend *be;
    const float *factor; // [head_dim / 2]
    rl_weight *weight;
    size_t n_weights;
} tensors;

// Row f of the file is this row of the parameter, where heads keep rotary pairs as neighbours.
static int64_t param_row(const rl_model_config *c, int64_t f) {
    int64_t size = c->head_dim, d = f % size;
    return f - d + (d % 2 == 0 ? d / 2 : size / 2 + d / 2);
}

static void fill(void *self, size_t i, int64_t begin, int64_t end, float *out) {
    const tensors *t = self;
    const rl_family *family = t->source->family;
    if (i == (size_t)t->params->n_items) {
        memcpy(out, t->factor, (size_t)t->weight[i].shape[0] * sizeof *out);
        return;
    }
    rl_tensor value = t->params->item[i].value;
    rl_role role = rl_family_place(family, &t->source->config, (int32_t)i).row->role;
    if (value.rank == 1) {
        rl_tensor_get(t->be, value, out);
    } else if (!family->gguf_pairs || (role != RL_ROLE_Q && role != RL_ROLE_K)) {
        rl_tensor_get(t->be, rl_tensor_rows(value, begin, end), out);
    } else {
        for (int64_t f = begin; f < end; f++, out += value.shape[1]) {
            int64_t r = param_row(&t->source->config, f);
            rl_tensor_get(t->be, rl_tensor_rows(value, r, r + 1), out);
        }
    }
}

// Norms and biases stay float32; rows that are no whole number of blocks fall back to F16.
static void list_tensors(tensors *t, rl_stored stored, rl_arena *arena) {
    const rl_checkpoint *source = t->source;
    const rl_rope *rope = &source->config.rope[0];
    int32_t half = source->config.head_dim / 2;
    t->weight = rl_arena_alloc(arena, (size_t)t->params->n_items + 1, sizeof *t->weight);
    for (int32_t i = 0; i < t->params->n_items; i++) {
        rl_tensor value = t->params->item[i].value;
        char *name = rl_arena_alloc(arena, RL_NAME_MAX, 1);
        bool fits = value.rank == 2 && value.shape[1] % rl_stored_block(stored) == 0;
        rl_place_gguf_name(rl_family_place(source->family, &source->config, i), name);
        t->weight[i] = (rl_weight){.name = name,
                                   .rank = value.rank,
                                   .stored = value.rank == 1 ? RL_STORED_F32
                                             : fits          ? stored
                                                             : RL_STORED_F16};
        memcpy(t->weight[i].shape, value.shape, sizeof t->weight[i].shape);
    }
    t->n_weights = (size_t)t->params->n_items;
    if (rope->kind == RL_ROPE_LLAMA3) {
        rl_rope plain = {.theta = rope->theta};
        double *a = rl_arena_alloc(arena, (size_t)half, sizeof *a);
        double *b = rl_arena_alloc(arena, (size_t)half, sizeof *b);
        float *factor = rl_arena_alloc(arena, (size_t)half, sizeof *factor);
        rl_rope_inv_freq(&plain, source->config.head_dim, a);
        rl_rope_inv_freq(rope, source->config.head_dim, b);
        for (int32_t k = 0; k < half; k++) {
            factor[k] = (float)(a[k] / b[k]);
        }
        t->factor = factor;
        t->weight[t->n_weights++] = (rl_weight){
            .name = "rope_freqs.weight", .rank = 1, .shape = {half}, .stored = RL_STORED_F32};
    }
}

rl_status rl_checkpoint_write_gguf(const rl_checkpoint *source, const rl_tokenizer *tokenizer,
                                   const rl_params *params, rl_backend *be, rl_stored stored,
                                   const char *path, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_gguf_meta_out meta = {0};
    tensors t = {.source = source, .params = params, .be = be};
    rl_status status = check_sayable(source, err);
    RL_ASSERT(stored == RL_STORED_F32 || stored == RL_STORED_F16 || stored == RL_STORED_BF16 ||
              stored == RL_STORED_Q8_0);
    if (status == RL_OK) {
        // Blocks scale by an F16, and rows without blocks are F16.
        status = rl_check_fits(params, be, stored == RL_STORED_Q8_0 ? RL_STORED_F16 : stored, err);
    }
    if (status == RL_OK) {
        put_config(source, stored, &meta);
        status = rl_gguf_put_words(tokenizer, &source->config, &meta, err);
    }
    if (status == RL_OK) {
        list_tensors(&t, stored, arena);
        status = rl_gguf_write(&meta, t.weight, t.n_weights, fill, &t, path, err);
    }
    rl_gguf_meta_out_release(&meta);
    rl_arena_free(arena);
    return status;
}
