/* A model's config from the metadata of a GGUF file. */
#include "rl/policy/config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/config_parts.h"
#include "policy/family.h"
#include "policy/rope_table.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"

/* Reads keys "<architecture>.<key>"; the first failure stays, later calls do nothing. */
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

// The number that was meant: 1e-5 was rounded to a float32 on its way into the file.
static double shortest(double x) {
    float narrow = (float)x;
    char digits[32];
    if ((double)narrow != x) {
        return x;
    }
    for (int n = 6; n <= 9; n++) {
        snprintf(digits, sizeof digits, "%.*g", n, x);
        if (strtof(digits, NULL) == narrow) {
            return strtod(digits, NULL);
        }
    }
    return x;
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
    return shortest(x);
}

static void gguf_rope(gguf_reader *r, rl_model_config *out) {
    char key[96];
    const char *type = "none";
    size_t type_len = 4;
    double factor = gguf_real(r, "rope.scale_linear", 1); // the spelling before scaling.type
    snprintf(key, sizeof key, "%s.rope.scaling.type", r->prefix);
    (void)rl_gguf_text(r->file, key, &type, &type_len); // stays "none"
    out->rope[0].theta = gguf_real(r, "rope.freq_base", 10000.0);
    if (type_len == 6 && memcmp(type, "linear", 6) == 0) {
        factor = gguf_real(r, "rope.scaling.factor", REQUIRED);
    } else if (r->status == RL_OK && !(type_len == 4 && memcmp(type, "none", 4) == 0)) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "rope scaling '%.*s' is not supported; supported: none, linear",
                            type_len < 100 ? (int)type_len : 100, type);
    }
    out->rope[0].factor = 1;
    if (factor != 1) {
        out->rope[0].kind = RL_ROPE_LINEAR;
        out->rope[0].factor = factor;
    }
    if (r->status == RL_OK &&
        (gguf_int(r, "rope.dimension_count", WIDTH_MAX, out->head_dim) != out->head_dim ||
         gguf_int(r, "attention.value_length", WIDTH_MAX, out->head_dim) != out->head_dim)) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "rotary or value sizes other than the head size %d are not supported",
                            out->head_dim);
    }
}

/* Turns per position divided by the scaled ones, as files of Llama 3.1 and later hold them. */
static bool are_factors(const rl_model_config *out, const rl_rope *rope, const float *factor) {
    enum { MOST = 512 };
    double plain[MOST], scaled[MOST];
    rl_rope base = {.theta = rope->theta};
    int32_t half = out->head_dim / 2;
    if (half > MOST) {
        return false;
    }
    rl_rope_inv_freq(&base, out->head_dim, plain);
    rl_rope_inv_freq(rope, out->head_dim, scaled);
    for (int32_t i = 0; i < half; i++) {
        if (!(fabs(plain[i] / scaled[i] - (double)factor[i]) <= 1e-4 * (double)factor[i])) {
            return false;
        }
    }
    return true;
}

/* The converter writes what config.json calls "llama3" as a tensor of factors. Every model so far
 * has the same bounds; other factors are refused, since no config.json could say them again. */
static rl_status read_factors(const rl_gguf *file, const char *prefix, rl_model_config *out,
                              rl_err *err) {
    const rl_weight *weight = rl_gguf_find(file, "rope_freqs.weight");
    rl_rope *rope = &out->rope[0];
    rl_rope scaled = {.kind = RL_ROPE_LLAMA3,
                      .theta = rope->theta,
                      .factor = 1,
                      .low_freq = 1,
                      .high_freq = 4,
                      .original = 8192};
    char key[96];
    int64_t original;
    float *factor;
    bool known;
    if (weight == NULL) {
        return RL_OK;
    }
    if (!rl_stored_is_weight(weight->stored) || weight->rank != 1 ||
        weight->shape[0] != out->head_dim / 2 || rope->kind != RL_ROPE_DEFAULT) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "tensor 'rope_freqs.weight' does not scale %d frequencies alone",
                       out->head_dim / 2);
    }
    snprintf(key, sizeof key, "%s.rope.scaling.original_context_length", prefix);
    if (rl_gguf_integer(file, key, &original) && original >= 1 && original <= POSITIONS_MAX) {
        scaled.original = (int32_t)original;
    }
    factor = rl_alloc((size_t)weight->shape[0], sizeof *factor);
    rl_weight_to_f32(weight, factor);
    for (int64_t i = 0; i < weight->shape[0]; i++) {
        scaled.factor = fmax(scaled.factor, (double)factor[i]);
    }
    known = are_factors(out, &scaled, factor);
    rl_free(factor);
    if (!known) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the factors in 'rope_freqs.weight' are not those of Llama 3's scaling from "
                       "%d positions; use the model's Hugging Face folder, whose config.json "
                       "says how frequencies are scaled",
                       (int)scaled.original);
    }
    if (scaled.factor > 1) {
        *rope = scaled;
    }
    return RL_OK;
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
        rl_status status = id >= 0 ? rl_config_add_eos(out, id, "the metadata", err) : RL_OK;
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

static rl_status check_gguf(const rl_gguf *file, const rl_family *family, rl_err *err) {
    char key[96];
    int64_t n;
    snprintf(key, sizeof key, "%s.expert_count", family->gguf);
    if (rl_gguf_integer(file, key, &n) && n > 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "a mixture of %lld experts is not supported; supported: dense %s",
                       (long long)n, family->gguf);
    }
    snprintf(key, sizeof key, "%s.attention.sliding_window", family->gguf);
    if (rl_gguf_integer(file, key, &n) && n > 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "attention windows are not supported for architecture '%s' in GGUF files; "
                       "use the model's Hugging Face folder",
                       family->gguf);
    }
    return RL_OK;
}

rl_status rl_model_config_from_gguf(const rl_gguf *file, rl_model_config *out, rl_err *err) {
    const char *name;
    size_t name_len;
    const rl_family *family;
    const rl_weight *embedding;
    gguf_reader r = {.file = file, .err = err};
    *out = (rl_model_config){.n_ropes = 1};
    if (!rl_gguf_text(file, "general.architecture", &name, &name_len)) {
        return rl_fail(err, RL_IO, "the metadata have no 'general.architecture'");
    }
    family = rl_family_of_gguf(name, name_len);
    if (family == NULL) {
        return rl_config_unknown("architecture", name, name_len < 100 ? (int)name_len : 100,
                                 rl_family_gguf_names, err);
    }
    r.prefix = family->gguf;
    r.status = check_gguf(file, family, err);
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
    out->n_layers = gguf_int(&r, "block_count", RL_MAX_LAYERS, REQUIRED);
    out->n_heads = gguf_int(&r, "attention.head_count", HEADS_MAX, REQUIRED);
    out->n_kv_heads = gguf_int(&r, "attention.head_count_kv", HEADS_MAX, out->n_heads);
    out->head_dim = gguf_int(&r, "attention.key_length", WIDTH_MAX, out->width / out->n_heads);
    out->max_positions = gguf_int(&r, "context_length", POSITIONS_MAX, REQUIRED);
    out->norm_eps = gguf_real(&r, "attention.layer_norm_rms_epsilon", REQUIRED);
    out->tied = rl_gguf_find(file, family->head.gguf) == NULL;
    gguf_rope(&r, out);
    r.status = r.status == RL_OK ? read_factors(file, family->gguf, out, err) : r.status;
    for (int32_t i = 0; r.status == RL_OK && family->ropes != NULL && i < out->n_layers; i++) {
        if (!family->ropes(NULL, out, i)) {
            rl_layer_set_add(&out->still, i);
        }
    }
    r.status = r.status == RL_OK ? gguf_tokens(file, out, err) : r.status;
    return r.status == RL_OK ? rl_config_check_sizes(out, err) : r.status;
}
