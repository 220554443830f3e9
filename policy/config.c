#include "rl/policy/config.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/config_parts.h"
#include "policy/family.h"
#include "rl/core/assert.h"

/* Reads keys of one object; the first failure stays, later calls do nothing. */
typedef struct reader {
    const rl_json *object;
    const char *where; // "config.json"
    rl_status status;
    rl_err *err;
} reader;

const char *const rl_activation_names[] = {"silu", "gelu_pytorch_tanh"};

/* Every name that transformers has for them. */
static const struct {
    rl_activation is;
    const char *name;
} activations[] = {
    {RL_ACT_SILU, "silu"},
    {RL_ACT_SILU, "swish"},
    {RL_ACT_GELU_TANH, "gelu_pytorch_tanh"},
    {RL_ACT_GELU_TANH, NULL},
};

bool rl_layer_set_has(const rl_layer_set *set, int32_t layer) {
    return (set->bits[layer / 64] >> layer % 64 & 1) != 0;
}

void rl_layer_set_add(rl_layer_set *set, int32_t layer) {
    RL_ASSERT(layer >= 0 && layer < RL_MAX_LAYERS);
    set->bits[layer / 64] |= (uint64_t)1 << layer % 64;
}

int32_t rl_layer_window(const rl_model_config *config, int32_t layer) {
    return rl_layer_set_has(&config->sliding, layer) ? config->window : 0;
}

int32_t rl_layer_rope(const rl_model_config *config, int32_t layer) {
    if (rl_layer_set_has(&config->still, layer)) {
        return -1;
    }
    return config->n_ropes == 2 && rl_layer_set_has(&config->sliding, layer);
}

static bool is_null(const rl_json *value) {
    return value == NULL || rl_json_type_of(value) == RL_JSON_NULL;
}

static bool is_said(const rl_json *object, const char *key) {
    return rl_json_get(object, key) != NULL; // null counts
}

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

rl_status rl_config_add_eos(rl_model_config *out, int64_t id, const char *where, rl_err *err) {
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
        (void)rl_json_integer(item, &id); // stays -1, which is refused
        r->status = rl_config_add_eos(out, id, r->where, r->err);
    }
}

/* A member of a rope object that its type does not read would change nothing, unlike what whoever
 * wrote it expects. */
static void check_rope_keys(reader *r, const rl_json *settings, const char *type,
                            const char *const *known) {
    const rl_json *item = rl_json_first(settings);
    for (; item != NULL && r->status == RL_OK; item = rl_json_next(item)) {
        static const char *const always[] = {"rope_type", "type", "rope_theta",
                                             "partial_rotary_factor", NULL};
        const char *key = rl_json_key(item);
        bool is_known = is_null(item);
        for (const char *const *name = always; *name != NULL; name++) {
            is_known |= strcmp(key, *name) == 0;
        }
        for (const char *const *name = known; *name != NULL; name++) {
            is_known |= strcmp(key, *name) == 0;
        }
        if (!is_known) {
            r->status = rl_fail(r->err, RL_UNSUPPORTED,
                                "'%.60s' in the rope settings of %s is not supported with rope "
                                "type '%s'",
                                key, r->where, type);
        }
    }
}

/* The newer name, else the older, else "default". */
static const char *read_rope_type(reader *r, const rl_json *settings) {
    const rl_json *type = rl_json_get(settings, "rope_type");
    type = is_null(type) ? rl_json_get(settings, "type") : type;
    if (r->status == RL_OK && !is_null(type) && rl_json_type_of(type) != RL_JSON_TEXT) {
        r->status = rl_fail(r->err, RL_IO, "'rope_type' in %s must be a text", r->where);
    }
    return rl_json_text(type, "default");
}

/* One object of rotary settings; theta is what it says or else `theta`. */
static void read_rope(reader *r, const rl_json *settings, double theta, rl_rope *out) {
    static const char *const none[] = {NULL}, *const linear[] = {"factor", NULL};
    static const char *const llama3[] = {"factor", "low_freq_factor", "high_freq_factor",
                                         "original_max_position_embeddings", NULL};
    reader sub = {.object = settings, .where = r->where, .status = r->status, .err = r->err};
    const char *type;
    *out = (rl_rope){.theta = theta, .factor = 1};
    if (r->status != RL_OK) {
        return;
    }
    if (!is_null(settings) && rl_json_type_of(settings) != RL_JSON_OBJECT) {
        r->status = rl_fail(r->err, RL_IO, "the rope settings in %s are not an object", r->where);
        return;
    }
    type = read_rope_type(&sub, settings);
    out->theta = read_real(&sub, "rope_theta", theta);
    if (read_real(&sub, "partial_rotary_factor", 1) != 1) {
        sub.status = rl_fail(r->err, RL_UNSUPPORTED,
                             "'partial_rotary_factor' other than 1 is not supported");
    } else if (strcmp(type, "linear") == 0) {
        out->kind = RL_ROPE_LINEAR;
        out->factor = read_real(&sub, "factor", REQUIRED);
        check_rope_keys(&sub, settings, type, linear);
    } else if (strcmp(type, "llama3") == 0) {
        out->kind = RL_ROPE_LLAMA3;
        out->factor = read_real(&sub, "factor", REQUIRED);
        out->low_freq = read_real(&sub, "low_freq_factor", REQUIRED);
        out->high_freq = read_real(&sub, "high_freq_factor", REQUIRED);
        out->original = read_int(&sub, "original_max_position_embeddings", POSITIONS_MAX, REQUIRED);
        check_rope_keys(&sub, settings, type, llama3);
        if (sub.status == RL_OK && out->low_freq >= out->high_freq) {
            sub.status =
                rl_fail(r->err, RL_IO, "'low_freq_factor' in %s must be below 'high_freq_factor'",
                        r->where);
        }
    } else if (sub.status == RL_OK && strcmp(type, "default") != 0) {
        sub.status =
            rl_fail(r->err, RL_UNSUPPORTED,
                    "rope type '%s' is not supported; supported: default, linear, llama3", type);
    } else {
        check_rope_keys(&sub, settings, type, none);
    }
    r->status = sub.status;
}

/* rope_parameters of a family with two rotations: an object each, and nothing beside them. */
static void read_two_ropes(reader *r, const rl_json *parameters, const double theta[2],
                           rl_model_config *out) {
    static const char *const names[] = {"full_attention", "sliding_attention"};
    const rl_json *item = rl_json_first(parameters);
    if (r->status == RL_OK && rl_json_type_of(parameters) != RL_JSON_OBJECT) {
        r->status = rl_fail(r->err, RL_IO, "the rope settings in %s are not an object", r->where);
    }
    for (; item != NULL && r->status == RL_OK; item = rl_json_next(item)) {
        if (strcmp(rl_json_key(item), names[0]) != 0 && strcmp(rl_json_key(item), names[1]) != 0) {
            r->status = rl_fail(r->err, RL_UNSUPPORTED,
                                "'%.60s' in 'rope_parameters' of %s is not supported for model "
                                "type '%s'; supported: %s, %s",
                                rl_json_key(item), r->where, out->family, names[0], names[1]);
        }
    }
    for (int i = 0; i < 2; i++) {
        read_rope(r, rl_json_get(parameters, names[i]), theta[i], &out->rope[i]);
    }
}

/* Rotary keys: one object rope_parameters (new), in which layers with and without a window may have
 * objects of their own, or rope_theta beside rope_scaling (old). Where a file has both, readers
 * differ in which counts. */
static void read_ropes(reader *r, const rl_family *family, rl_model_config *out) {
    const rl_json *parameters = rl_json_get(r->object, "rope_parameters");
    const rl_json *scaling = rl_json_get(r->object, "rope_scaling");
    double theta[2] = {read_real(r, "rope_theta", family->absent.rope_theta), 0};
    if (read_real(r, "partial_rotary_factor", 1) != 1) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "'partial_rotary_factor' other than 1 is not supported");
    }
    if (r->status == RL_OK && !is_null(parameters) && !is_null(scaling)) {
        r->status = rl_fail(r->err, RL_UNSUPPORTED,
                            "%s has both 'rope_parameters' and 'rope_scaling'; leave one of them "
                            "out",
                            r->where);
    }
    out->n_ropes = family->local_theta != NULL ? 2 : 1;
    if (out->n_ropes == 2) {
        theta[1] = read_real(r, family->local_theta, 10000);
    }
    if (out->n_ropes == 2 && !is_null(parameters)) {
        read_two_ropes(r, parameters, theta, out);
        return;
    }
    read_rope(r, !is_null(parameters) ? parameters : scaling, theta[0], &out->rope[0]);
    if (out->n_ropes == 2) {
        read_rope(r, NULL, theta[1], &out->rope[1]);
    }
}

/* layer_types: "full_attention" or "sliding_attention" for each layer. */
static void read_layer_types(reader *r, const rl_json *types, int32_t n_layers,
                             rl_layer_set *sliding) {
    const rl_json *item = rl_json_first(types);
    if (rl_json_type_of(types) != RL_JSON_LIST || rl_json_count(types) != (size_t)n_layers) {
        r->status =
            rl_fail(r->err, RL_IO, "'layer_types' in %s must name %d layers", r->where, n_layers);
    }
    for (int32_t i = 0; i < n_layers && r->status == RL_OK; i++, item = rl_json_next(item)) {
        const char *type = rl_json_text(item, NULL);
        if (type == NULL) {
            r->status = rl_fail(r->err, RL_IO, "'layer_types' in %s must be texts", r->where);
        } else if (strcmp(type, "sliding_attention") == 0) {
            rl_layer_set_add(sliding, i);
        } else if (strcmp(type, "full_attention") != 0) {
            r->status = rl_fail(r->err, RL_UNSUPPORTED,
                                "layer type '%s' is not supported; supported: full_attention, "
                                "sliding_attention",
                                type);
        }
    }
}

/* Keys from which families derive what a layer does: null or a whole number from min up. */
static void check_layer_keys(reader *r) {
    static const struct {
        const char *key;
        double min;
    } keys[] = {{"max_window_layers", 0},
                {"no_rope_layer_interval", 1},
                {"sliding_window_pattern", 1},
                {"_sliding_window_pattern", 1}};
    for (size_t i = 0; i < sizeof keys / sizeof keys[0] && r->status == RL_OK; i++) {
        const rl_json *value = rl_json_get(r->object, keys[i].key);
        double number = rl_json_number(value, -1);
        if (!is_null(value) && (number < keys[i].min || floor(number) != number)) {
            r->status = rl_fail(r->err, RL_IO, "'%s' in %s must be a whole number from %g up",
                                keys[i].key, r->where, keys[i].min);
        }
    }
}

/* no_rope_layers: 0 or 1 for each layer. */
static void check_still_list(reader *r, const rl_model_config *out) {
    const rl_json *list = rl_json_get(r->object, "no_rope_layers");
    const rl_json *item = rl_json_first(list);
    bool is_right = is_null(list) || (rl_json_type_of(list) == RL_JSON_LIST &&
                                      rl_json_count(list) == (size_t)out->n_layers);
    for (; is_right && item != NULL; item = rl_json_next(item)) {
        double number = rl_json_number(item, -1);
        is_right = number == 0 || number == 1;
    }
    if (r->status == RL_OK && !is_right) {
        r->status = rl_fail(r->err, RL_IO, "'no_rope_layers' in %s must say 0 or 1 for %d layers",
                            r->where, out->n_layers);
    }
}

/* Which layers have a window: none, those that layer_types names, or those of the family's rule. */
static void read_windows(reader *r, const rl_family *family, const rl_layer_set *named,
                         rl_model_config *out) {
    const rl_json *window = rl_json_get(r->object, "sliding_window");
    bool is_on = family->slides != NULL &&
                 (family->window_switch == NULL || read_bool(r, family->window_switch, false)) &&
                 (window != NULL ? !is_null(window) : family->absent.window > 0);
    if (is_on) {
        out->window = read_int(r, "sliding_window", POSITIONS_MAX, family->absent.window);
    }
    for (int32_t i = 0; r->status == RL_OK && family->slides != NULL && i < out->n_layers; i++) {
        bool slides =
            named != NULL ? rl_layer_set_has(named, i) : family->slides(r->object, out, i);
        if (slides && is_on) {
            rl_layer_set_add(&out->sliding, i);
        } else if (slides && out->n_ropes == 2) {
            r->status = rl_fail(r->err, RL_UNSUPPORTED,
                                "layer %d has a window by its type, but 'sliding_window' in %s is "
                                "null",
                                i, r->where);
        }
    }
}

/* What differs from layer to layer: windows and rotation. */
static void read_layers(reader *r, const rl_family *family, rl_model_config *out) {
    const rl_json *types = rl_json_get(r->object, "layer_types");
    rl_layer_set named = {0};
    check_layer_keys(r);
    if (family->ropes != NULL) {
        check_still_list(r, out);
    }
    if (r->status == RL_OK && !is_null(types)) {
        read_layer_types(r, types, out->n_layers, &named);
    }
    for (int32_t i = 0; r->status == RL_OK && family->ropes != NULL && i < out->n_layers; i++) {
        if (!family->ropes(r->object, out, i)) {
            rl_layer_set_add(&out->still, i);
        }
    }
    if (r->status == RL_OK) {
        read_windows(r, family, family->layer_types && !is_null(types) ? &named : NULL, out);
    }
    for (int32_t i = 0; r->status == RL_OK && !is_null(types) && i < out->n_layers; i++) {
        bool slides = rl_layer_set_has(&out->sliding, i);
        if (rl_layer_set_has(&named, i) != slides) {
            r->status = rl_fail(r->err, RL_UNSUPPORTED,
                                "'layer_types' in %s gives layer %d %s window, the other keys for "
                                "model type '%s' give it %s",
                                r->where, i, slides ? "no" : "a", family->model_type,
                                slides ? "one" : "none");
        }
    }
}

rl_status rl_config_check_sizes(const rl_model_config *c, rl_err *err) {
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

rl_status rl_config_unknown(const char *what, const char *name, int name_len,
                            void (*list)(rl_str *out), rl_err *err) {
    rl_str names = {0};
    rl_status status;
    list(&names);
    status = rl_fail(err, RL_UNSUPPORTED, "%s '%.*s' is not supported; supported: %s", what,
                     name_len < 100 ? name_len : 100, name, rl_str_text(&names));
    rl_str_release(&names);
    return status;
}

/* Refuses what no family's block does, by the key that asks for it. */
static rl_status check_off(const rl_json *config, const rl_family *family, rl_err *err) {
    static const char *const off[] = {
        "attention_bias",
        "mlp_bias",
        "rope_interleaved",
        "attn_logit_softcapping",
        "final_logit_softcapping",
        "use_bidirectional_attention",
        "clip_qkv",
        "num_experts",
        "num_local_experts",
    };
    const rl_json *named = rl_json_get(config, family->activation_key);
    const char *act = rl_json_text(named, NULL);
    rl_status status;
    // Qwen2 has its biases whatever this key says.
    for (size_t i = rl_family_has(family, RL_ROLE_Q_BIAS); i < sizeof off / sizeof off[0]; i++) {
        const rl_json *value = rl_json_get(config, off[i]);
        if (!is_null(value) && rl_json_bool(value, true) && rl_json_number(value, 1) != 0) {
            rl_str text = {0};
            rl_json_print(value, &text);
            status = rl_fail(err, RL_UNSUPPORTED, "'%s' %.60s is not supported for model type '%s'",
                             off[i], rl_str_text(&text), family->model_type);
            rl_str_release(&text);
            return status;
        }
    }
    if (!is_null(named) && act == NULL) {
        return rl_fail(err, RL_IO, "'%s' in config.json must be a text", family->activation_key);
    }
    for (size_t i = 0; act != NULL; i++) {
        if (activations[i].name == NULL) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "%s '%s' is not supported for model type '%s'; supported: %s",
                           family->activation_key, act, family->model_type,
                           rl_activation_names[family->activation]);
        }
        if (activations[i].is == family->activation && rl_text_equal(act, activations[i].name)) {
            break;
        }
    }
    return RL_OK;
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
        return rl_config_unknown("model type", type, (int)strnlen(type, 100), rl_family_names, err);
    }
    if (!is_null(quantised)) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "weights quantised by '%s' are not supported; use the F32, F16 or BF16 "
                       "checkpoint of the model, or a GGUF file",
                       rl_json_text(rl_json_get(quantised, "quant_method"), "an unnamed method"));
    }
    return check_off(config, *out, err);
}

rl_status rl_model_config_from_json(const rl_json *config, const rl_json *generation,
                                    rl_model_config *out, rl_err *err) {
    reader r = {.object = config, .where = "config.json", .err = err};
    reader g = {.object = generation, .where = "generation_config.json", .err = err};
    const rl_family *family = NULL;
    rl_status status = find_family(config, &family, err);
    *out = (rl_model_config){.n_ropes = 1};
    if (status != RL_OK) {
        return status;
    }
    RL_ASSERT(family != NULL);
    out->family = family->model_type;
    out->vocab = read_int(&r, "vocab_size", VOCAB_MAX, REQUIRED);
    out->width = read_int(&r, "hidden_size", WIDTH_MAX, REQUIRED);
    out->mlp = read_int(&r, "intermediate_size", WIDTH_MAX, REQUIRED);
    out->n_layers = read_int(&r, "num_hidden_layers", RL_MAX_LAYERS, REQUIRED);
    out->n_heads = read_int(&r, "num_attention_heads", HEADS_MAX, REQUIRED);
    out->n_kv_heads =
        read_int(&r, "num_key_value_heads", HEADS_MAX,
                 family->absent.n_kv_heads == 0 || is_said(config, "num_key_value_heads")
                     ? out->n_heads
                     : family->absent.n_kv_heads);
    if (r.status == RL_OK && is_null(rl_json_get(config, "head_dim")) &&
        family->absent.head_dim == 0 && out->width % out->n_heads != 0) {
        return rl_fail(err, RL_IO, "'hidden_size' %d is no multiple of 'num_attention_heads' %d",
                       out->width, out->n_heads);
    }
    out->head_dim =
        read_int(&r, "head_dim", WIDTH_MAX,
                 family->absent.head_dim > 0 ? family->absent.head_dim : out->width / out->n_heads);
    out->max_positions =
        read_int(&r, "max_position_embeddings", POSITIONS_MAX, family->absent.max_positions);
    out->norm_eps = read_real(&r, "rms_norm_eps", family->absent.norm_eps);
    out->init_range = read_real(&r, "initializer_range", 0.02);
    out->tied = read_bool(&r, "tie_word_embeddings", family->absent.tied);
    read_ropes(&r, family, out);
    read_layers(&r, family, out);
    if (family->query_scalar != NULL) {
        out->query_scalar = read_real(&r, family->query_scalar, 256);
    }
    out->bos = read_token(&r, "bos_token_id");
    out->pad = read_token(&r, "pad_token_id");
    read_eos(&r, out);
    g.status = r.status;
    out->bos = out->bos >= 0 ? out->bos : read_token(&g, "bos_token_id");
    out->pad = out->pad >= 0 ? out->pad : read_token(&g, "pad_token_id");
    read_eos(&g, out);
    return g.status != RL_OK ? g.status : rl_config_check_sizes(out, err);
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
