#include "rl/policy/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/family.h"
#include "rl/core/assert.h"

// Sizes beyond these are nonsense; products of any two fit 64 bits.
enum { WIDTH_MAX = 1 << 20, VOCAB_MAX = 1 << 26, LAYERS_MAX = 1 << 12, HEADS_MAX = 1 << 14 };
enum { POSITIONS_MAX = 1 << 22 };

/* Reads keys of one object; the first failure stays, later calls do nothing. */
typedef struct reader {
    const rl_json *object;
    const char *where; // "config.json"
    rl_status status;
    rl_err *err;
} reader;

static bool is_null(const rl_json *value) {
    return value == NULL || rl_json_type_of(value) == RL_JSON_NULL;
}

enum { REQUIRED = -1 }; // as fallback

static int32_t read_int(reader *r, const char *key, int32_t max, int32_t fallback) {
    const rl_json *value = rl_json_get(r->object, key);
    int64_t n = fallback;
    if (r->status != RL_OK || (is_null(value) && fallback != REQUIRED)) {
        return fallback;
    }
    if (is_null(value)) {
        r->status = rl_fail(r->err, RL_IO, "%s has no '%s'", r->where, key);
    } else if (!rl_json_integer(value, &n) || n < 1 || n > max) {
        r->status = rl_fail(r->err, RL_IO, "'%s' in %s must be a whole number in [1, %d]", key,
                            r->where, max);
    }
    return r->status == RL_OK ? (int32_t)n : 1;
}

static double read_real(reader *r, const char *key, double fallback) {
    const rl_json *value = rl_json_get(r->object, key);
    double x;
    if (r->status != RL_OK || (is_null(value) && fallback > 0)) {
        return fallback;
    }
    x = rl_json_number(value, (double)NAN);
    if (!(x > 0) || !isfinite(x)) {
        r->status = rl_fail(r->err, RL_IO, "'%s' in %s must be a number above 0", key, r->where);
        return 1;
    }
    return x;
}

static bool read_bool(reader *r, const char *key, bool fallback) {
    const rl_json *value = rl_json_get(r->object, key);
    if (r->status == RL_OK && !is_null(value) && rl_json_type_of(value) != RL_JSON_BOOL) {
        r->status = rl_fail(r->err, RL_IO, "'%s' in %s must be true or false", key, r->where);
    }
    return rl_json_bool(value, fallback);
}

// -1 where the key is absent, null or, as old files have it, negative.
static int32_t read_token(reader *r, const char *key) {
    const rl_json *value = rl_json_get(r->object, key);
    int64_t id = -1;
    if (r->status == RL_OK && !is_null(value) &&
        (!rl_json_integer(value, &id) || id < -1 || id > INT32_MAX)) {
        r->status = rl_fail(r->err, RL_IO, "'%s' in %s must be a token id", key, r->where);
        return -1;
    }
    return (int32_t)id;
}

static rl_status add_eos(rl_model_config *out, int64_t id, const char *where, rl_err *err) {
    for (int32_t i = 0; i < out->n_eos; i++) {
        if (out->eos[i] == id) {
            return RL_OK;
        }
    }
    if (id < 0 || id > INT32_MAX) {
        return rl_fail(err, RL_IO, "'eos_token_id' in %s must hold token ids", where);
    }
    if (out->n_eos == RL_MAX_EOS) {
        return rl_fail(err, RL_UNSUPPORTED, "%s names more than %d end tokens", where, RL_MAX_EOS);
    }
    out->eos[out->n_eos++] = (int32_t)id;
    return RL_OK;
}

// One id, a list of ids, or null.
static void read_eos(reader *r, rl_model_config *out) {
    const rl_json *value = rl_json_get(r->object, "eos_token_id"), *item = value;
    bool list;
    if (r->status != RL_OK || is_null(value)) {
        return;
    }
    list = rl_json_type_of(value) == RL_JSON_LIST;
    for (item = list ? rl_json_first(value) : value; item != NULL && r->status == RL_OK;
         item = list ? rl_json_next(item) : NULL) {
        int64_t id = -1;
        (void)rl_json_integer(item, &id); // stays -1, which add_eos refuses
        r->status = add_eos(out, id, r->where, r->err);
    }
}

// Rotary keys: one object rope_parameters (new), or rope_theta beside rope_scaling (old).
static void read_rope(reader *r, rl_model_config *out) {
    const rl_json *parameters = rl_json_get(r->object, "rope_parameters");
    const rl_json *scaling =
        !is_null(parameters) ? parameters : rl_json_get(r->object, "rope_scaling");
    reader sub = {.object = scaling, .where = r->where, .status = r->status, .err = r->err};
    const char *type;
    if (r->status != RL_OK) {
        return;
    }
    if (!is_null(scaling) && rl_json_type_of(scaling) != RL_JSON_OBJECT) {
        r->status = rl_fail(r->err, RL_IO, "the rope settings in %s are not an object", r->where);
        return;
    }
    type = rl_json_text(rl_json_get(scaling, "rope_type"),
                        rl_json_text(rl_json_get(scaling, "type"), "default"));
    out->rope_theta = read_real(r, "rope_theta", 10000.0);
    out->rope_theta = read_real(&sub, "rope_theta", out->rope_theta);
    if (read_real(r, "partial_rotary_factor", 1) != 1 ||
        read_real(&sub, "partial_rotary_factor", 1) != 1) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "'partial_rotary_factor' other than 1 is not supported");
        return;
    }
    if (strcmp(type, "linear") == 0) {
        out->rope_kind = RL_ROPE_LINEAR;
        out->rope_factor = read_real(&sub, "factor", REQUIRED);
    } else if (strcmp(type, "llama3") == 0) {
        out->rope_kind = RL_ROPE_LLAMA3;
        out->rope_factor = read_real(&sub, "factor", REQUIRED);
        out->rope_low_freq = read_real(&sub, "low_freq_factor", REQUIRED);
        out->rope_high_freq = read_real(&sub, "high_freq_factor", REQUIRED);
        out->rope_original =
            read_int(&sub, "original_max_position_embeddings", POSITIONS_MAX, REQUIRED);
        if (sub.status == RL_OK && out->rope_low_freq >= out->rope_high_freq) {
            sub.status =
                rl_fail(r->err, RL_IO, "'low_freq_factor' in %s must be below 'high_freq_factor'",
                        r->where);
        }
    } else if (strcmp(type, "default") != 0) {
        sub.status =
            rl_fail(r->err, RL_UNSUPPORTED,
                    "rope type '%s' is not supported; supported: default, linear, llama3", type);
    }
    r->status = r->status != RL_OK ? r->status : sub.status;
}

static rl_status check_sizes(const rl_model_config *c, rl_err *err) {
    if (c->head_dim < 1 || c->head_dim % 2 != 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "head size %d is not even, which rotary positions do not allow",
                       c->head_dim);
    }
    if (c->n_heads % c->n_kv_heads != 0) {
        return rl_fail(err, RL_IO, "%d attention heads cannot share %d key and value heads",
                       c->n_heads, c->n_kv_heads);
    }
    if (rl_dim_size(c, RL_DIM_Q) > WIDTH_MAX) {
        return rl_fail(err, RL_IO, "%d heads of size %d are too many", c->n_heads, c->head_dim);
    }
    return RL_OK;
}

static rl_status unknown_family(const char *what, const char *name, int name_len, rl_err *err) {
    rl_str names = {0};
    rl_status status;
    rl_family_names(&names);
    status = rl_fail(err, RL_UNSUPPORTED, "%s '%.*s' is not supported; supported: %s", what,
                     name_len < 100 ? name_len : 100, name, rl_str_text(&names));
    rl_str_release(&names);
    return status;
}

static rl_status find_family(const rl_json *config, const rl_family **out, rl_err *err) {
    const char *type = rl_json_text(rl_json_get(config, "model_type"), NULL);
    const rl_json *quantised = rl_json_get(config, "quantization_config");
    if (config == NULL || rl_json_type_of(config) != RL_JSON_OBJECT) {
        return rl_fail(err, RL_IO, "config.json is not an object");
    }
    if (type == NULL) {
        return rl_fail(err, RL_IO, "config.json has no 'model_type'");
    }
    *out = rl_family_find(type);
    if (*out == NULL) {
        return unknown_family("model type", type, (int)strnlen(type, 100), err);
    }
    if (!is_null(quantised)) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "weights quantised by '%s' are not supported; use the F32, F16 or BF16 "
                       "checkpoint of the model, or a GGUF file",
                       rl_json_text(rl_json_get(quantised, "quant_method"), "an unnamed method"));
    }
    return (*out)->check_json != NULL ? (*out)->check_json(config, err) : RL_OK;
}

rl_status rl_model_config_from_json(const rl_json *config, const rl_json *generation,
                                    rl_model_config *out, rl_err *err) {
    reader r = {.object = config, .where = "config.json", .err = err};
    reader g = {.object = generation, .where = "generation_config.json", .err = err};
    const rl_family *family = NULL;
    rl_status status = find_family(config, &family, err);
    *out = (rl_model_config){.rope_factor = 1};
    if (status != RL_OK) {
        return status;
    }
    RL_ASSERT(family != NULL);
    out->family = family->model_type;
    out->vocab = read_int(&r, "vocab_size", VOCAB_MAX, REQUIRED);
    out->width = read_int(&r, "hidden_size", WIDTH_MAX, REQUIRED);
    out->mlp = read_int(&r, "intermediate_size", WIDTH_MAX, REQUIRED);
    out->n_layers = read_int(&r, "num_hidden_layers", LAYERS_MAX, REQUIRED);
    out->n_heads = read_int(&r, "num_attention_heads", HEADS_MAX, REQUIRED);
    out->n_kv_heads = read_int(&r, "num_key_value_heads", HEADS_MAX, out->n_heads);
    if (r.status == RL_OK && is_null(rl_json_get(config, "head_dim")) &&
        out->width % out->n_heads != 0) {
        return rl_fail(err, RL_IO, "'hidden_size' %d is no multiple of 'num_attention_heads' %d",
                       out->width, out->n_heads);
    }
    out->head_dim = read_int(&r, "head_dim", WIDTH_MAX, out->width / out->n_heads);
    out->max_positions = read_int(&r, "max_position_embeddings", POSITIONS_MAX, 2048);
    out->norm_eps = read_real(&r, "rms_norm_eps", 1e-6);
    out->init_range = read_real(&r, "initializer_range", 0.02);
    out->tied = read_bool(&r, "tie_word_embeddings", false);
    read_rope(&r, out);
    out->bos = read_token(&r, "bos_token_id");
    out->pad = read_token(&r, "pad_token_id");
    read_eos(&r, out);
    g.status = r.status;
    out->bos = out->bos >= 0 ? out->bos : read_token(&g, "bos_token_id");
    out->pad = out->pad >= 0 ? out->pad : read_token(&g, "pad_token_id");
    read_eos(&g, out);
    return g.status != RL_OK ? g.status : check_sizes(out, err);
}

/* The same for "<architecture>.<key>" of a GGUF file. */
typedef struct gguf_reader {
    const rl_gguf *file;
    const char *prefix;
    rl_status status;
    rl_err *err;
} gguf_reader;

static int32_t gguf_int(gguf_reader *r, const char *name, int32_t max, int32_t fallback) {
    char key[96];
    int64_t n = 0;
    bool there;
    snprintf(key, sizeof key, "%s.%s", r->prefix, name);
    there = rl_gguf_integer(r->file, key, &n);
    if (r->status != RL_OK || (!there && fallback != REQUIRED)) {
        return fallback;
    }
    if (!there || n < 1 || n > max) {
        r->status =
            rl_fail(r->err, RL_IO, "metadata '%s' must be a whole number in [1, %d]", key, max);
        return 1;
    }
    return (int32_t)n;
}

static double gguf_real(gguf_reader *r, const char *name, double fallback) {
    char key[96];
    double x = 0;
    bool there;
    snprintf(key, sizeof key, "%s.%s", r->prefix, name);
    there = rl_gguf_real(r->file, key, &x);
    if (r->status != RL_OK || (!there && fallback > 0)) {
        return fallback;
    }
    if (!(x > 0) || !isfinite(x)) {
        r->status = rl_fail(r->err, RL_IO, "metadata '%s' must be a number above 0", key);
        return 1;
    }
    return x;
}

static void gguf_rope(gguf_reader *r, rl_model_config *out) {
    char key[96];
    const char *type = "none";
    size_t type_len = 4;
    double factor = gguf_real(r, "rope.scale_linear", 1); // the spelling before scaling.type
    snprintf(key, sizeof key, "%s.rope.scaling.type", r->prefix);
    (void)rl_gguf_text(r->file, key, &type, &type_len); // stays "none"
    out->rope_theta = gguf_real(r, "rope.freq_base", 10000.0);
    if (type_len == 6 && memcmp(type, "linear", 6) == 0) {
        factor = gguf_real(r, "rope.scaling.factor", REQUIRED);
    } else if (r->status == RL_OK && !(type_len == 4 && memcmp(type, "none", 4) == 0)) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "rope scaling '%.*s' is not supported; supported: none, linear",
                            type_len < 100 ? (int)type_len : 100, type);
    }
    if (factor != 1) {
        out->rope_kind = RL_ROPE_LINEAR;
        out->rope_factor = factor;
    }
    if (r->status == RL_OK &&
        (gguf_int(r, "rope.dimension_count", WIDTH_MAX, out->head_dim) != out->head_dim ||
         gguf_int(r, "attention.value_length", WIDTH_MAX, out->head_dim) != out->head_dim)) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "rotary or value sizes other than the head size %d are not supported",
                            out->head_dim);
    }
}

static int32_t gguf_token(const rl_gguf *file, const char *key) {
    int64_t id;
    return rl_gguf_integer(file, key, &id) && id >= 0 && id <= INT32_MAX ? (int32_t)id : -1;
}

static rl_status gguf_tokens(const rl_gguf *file, rl_model_config *out, rl_err *err) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    out->bos = gguf_token(file, "tokenizer.ggml.bos_token_id");
    out->pad = gguf_token(file, "tokenizer.ggml.padding_token_id");
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        int32_t id = gguf_token(file, ends[i]);
        rl_status status = id >= 0 ? add_eos(out, id, "the metadata", err) : RL_OK;
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

rl_status rl_model_config_from_gguf(const rl_gguf *file, rl_model_config *out, rl_err *err) {
    const char *name;
    size_t name_len;
    const rl_family *family;
    const rl_weight *embedding;
    gguf_reader r = {.file = file, .err = err};
    *out = (rl_model_config){.rope_factor = 1};
    if (!rl_gguf_text(file, "general.architecture", &name, &name_len)) {
        return rl_fail(err, RL_IO, "the metadata have no 'general.architecture'");
    }
    family = rl_family_of_gguf(name, name_len);
    if (family == NULL) {
        return unknown_family("architecture", name, name_len < 100 ? (int)name_len : 100, err);
    }
    r.status = family->check_gguf != NULL ? family->check_gguf(file, err) : RL_OK;
    r.prefix = family->gguf;
    embedding = rl_gguf_find(file, family->embedding.gguf);
    if (r.status == RL_OK && (embedding == NULL || embedding->rank != 2 ||
                              embedding->shape[0] < 1 || embedding->shape[0] > VOCAB_MAX)) {
        r.status = rl_fail(err, RL_IO, "there is no matrix '%s', so this file is no model",
                           family->embedding.gguf);
    }
    if (r.status != RL_OK) {
        return r.status;
    }
    RL_ASSERT(embedding != NULL);
    out->family = family->model_type;
    out->vocab = (int32_t)embedding->shape[0];
    out->width = gguf_int(&r, "embedding_length", WIDTH_MAX, REQUIRED);
    out->mlp = gguf_int(&r, "feed_forward_length", WIDTH_MAX, REQUIRED);
    out->n_layers = gguf_int(&r, "block_count", LAYERS_MAX, REQUIRED);
    out->n_heads = gguf_int(&r, "attention.head_count", HEADS_MAX, REQUIRED);
    out->n_kv_heads = gguf_int(&r, "attention.head_count_kv", HEADS_MAX, out->n_heads);
    out->head_dim = gguf_int(&r, "attention.key_length", WIDTH_MAX, out->width / out->n_heads);
    out->max_positions = gguf_int(&r, "context_length", POSITIONS_MAX, REQUIRED);
    out->norm_eps = gguf_real(&r, "attention.layer_norm_rms_epsilon", REQUIRED);
    out->tied = rl_gguf_find(file, family->head.gguf) == NULL;
    gguf_rope(&r, out);
    r.status = r.status == RL_OK ? gguf_tokens(file, out, err) : r.status;
    return r.status == RL_OK ? check_sizes(out, err) : r.status;
}

int64_t rl_model_config_params(const rl_model_config *config) {
    const rl_family *family = rl_family_find(config->family);
    int64_t n = 0;
    for (int32_t i = 0; i < rl_family_count(family, config); i++) {
        const rl_tensor_row *row = rl_family_place(family, config, i).row;
        n += rl_dim_size(config, row->rows) * rl_dim_size(config, row->cols);
    }
    return n;
}
