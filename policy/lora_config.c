/* The settings of adapters: a recipe's section, and peft's adapter_config.json. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/lora.h"
#include "rl/core/fs.h"

static const rl_key lora_keys[] = {
    RL_KEY_ROW(rl_lora_opts, r, "0", 0, 65536, 0,
               "rank of the adapters; 0 trains the weights themselves"),
    RL_KEY_ROW(rl_lora_opts, lora_alpha, "8", 0, 1e9, RL_KEY_OPEN_MIN,
               "what adapters add is multiplied by lora_alpha / r"),
    RL_KEY_ROW(rl_lora_opts, target_modules, "[\"all-linear\"]", 0, 0, 0,
               "matrices with an adapter, by the ends of their names, such as q_proj, v_proj; "
               "all-linear for all in the blocks"),
    RL_KEY_ROW(rl_lora_opts, use_rslora, "false", 0, 0, 0,
               "divide lora_alpha by the root of r instead (rank-stabilised LoRA)"),
};

static rl_status check_lora(const void *self, rl_err *err) {
    const rl_lora_opts *opts = self;
    if (opts->r > 0 && opts->target_modules.n_items == 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'lora.r' is %d but 'lora.target_modules' is empty; name modules such as "
                       "q_proj, or all-linear",
                       opts->r);
    }
    return RL_OK;
}

const rl_section rl_lora_section = {
    .name = "lora",
    .doc = "low-rank adapters to train instead of the weights, under peft's names; dropout and "
           "trained biases are not there",
    .size = sizeof(rl_lora_opts),
    .keys = lora_keys,
    .n_keys = sizeof lora_keys / sizeof lora_keys[0],
    .check = check_lora,
};

/* What peft has and this program has not, with what to do where it is asked for. */
typedef struct lacking {
    const char *key, *advice;
} lacking;

static const lacking lacks[] = {
    {"lora_dropout", "sampling and training share one forward, without dropout; set it to 0"},
    {"bias", "biases stay as they are; set it to none"},
    {"use_dora", "DoRA is not supported; set it to false"},
    {"rank_pattern", "all adapters have the rank r; leave it out"},
    {"alpha_pattern", "all adapters have the same lora_alpha; leave it out"},
    {"modules_to_save", "no module is trained as a whole beside adapters; leave it out"},
    {"layers_to_transform",
     "target_modules says which layers; name them there: layers.3.self_attn.q_proj"},
    {"exclude_modules", "target_modules says which modules; leave it out"},
    {"lora_bias", "adapters have no biases; set it to false"},
    {"fan_in_fan_out", "no family here keeps its weights transposed; set it to false"},
    {"trainable_token_indices", "the embedding is not trained beside adapters; leave it out"},
    {"target_parameters", "only whole matrices have adapters; leave it out"},
};
enum { N_LACKS = sizeof lacks / sizeof lacks[0] };

const char *const rl_lora_other_keys[] = {"lora_dropout",
                                          "bias",
                                          "use_dora",
                                          "rank_pattern",
                                          "alpha_pattern",
                                          "modules_to_save",
                                          "layers_to_transform",
                                          "exclude_modules",
                                          "lora_bias",
                                          "fan_in_fan_out",
                                          "trainable_token_indices",
                                          "target_parameters",
                                          "task_type",
                                          NULL};

/* Whether a value changes nothing, so that it does not matter who reads it. */
static bool is_idle(const rl_json *value) {
    const char *text = rl_json_text(value, NULL);
    switch (rl_json_type_of(value)) {
    case RL_JSON_NULL:
        return true;
    case RL_JSON_BOOL:
        return !rl_json_bool(value, false);
    case RL_JSON_NUMBER:
        return rl_json_number(value, 1) == 0;
    case RL_JSON_TEXT:
        return text[0] == '\0' || strcmp(text, "none") == 0;
    case RL_JSON_LIST:
    case RL_JSON_OBJECT:
        return rl_json_count(value) == 0;
    }
    return false;
}

static const char *advice_for(const char *key) {
    for (size_t i = 0; i < N_LACKS; i++) {
        if (strcmp(lacks[i].key, key) == 0) {
            return lacks[i].advice;
        }
    }
    return NULL;
}

void rl_lora_check_section(const rl_json *section, rl_errors *errors) {
    for (const rl_json *c = rl_json_first(section); c != NULL; c = rl_json_next(c)) {
        const char *advice = advice_for(rl_json_key(c));
        if (advice != NULL && !is_idle(c)) {
            rl_str value = {0};
            rl_json_print(c, &value);
            rl_errors_add(errors, "'lora.%s' is %.80s, but %s", rl_json_key(c), rl_str_text(&value),
                          advice);
            rl_str_release(&value);
        }
    }
    if (rl_json_count(section) > 0 && rl_json_get(section, "r") == NULL) {
        rl_errors_add(errors, "'lora' has no 'lora.r', the rank of the adapters; set it, or to 0 "
                              "for a run without");
        rl_errors_refuse(errors, "lora.r");
    }
}

/* Of adapter_config.json: what is read below, and what says nothing about the arithmetic. */
static const char *const known_keys[] = {"peft_type",          "r",
                                         "lora_alpha",         "lora_dropout",
                                         "use_rslora",         "target_modules",
                                         "init_lora_weights",  "base_model_name_or_path",
                                         "auto_mapping",       "revision",
                                         "task_type",          "inference_mode",
                                         "peft_version",       "megatron_core",
                                         "qalora_group_size",  "runtime_config",
                                         "ensure_weight_tying"};

static bool is_known(const char *key) {
    for (size_t i = 0; i < sizeof known_keys / sizeof known_keys[0]; i++) {
        if (strcmp(known_keys[i], key) == 0) {
            return true;
        }
    }
    return false;
}

static rl_status refuse_value(const rl_adapter *adapter, const rl_json *value, const char *advice,
                              rl_err *err) {
    rl_str text = {0};
    rl_status status;
    rl_json_print(value, &text);
    status = rl_fail(err, RL_UNSUPPORTED, "adapter '%.200s': '%.60s' is %.80s, but %s",
                     adapter->folder, rl_json_key(value), rl_str_text(&text), advice);
    rl_str_release(&text);
    return status;
}

/* Ways to begin that leave the model's own weights as they are; the others change them. */
static bool begins_apart(const rl_json *value) {
    static const char *const ways[] = {"gaussian", "orthogonal", "eva"};
    const char *text = rl_json_text(value, NULL);
    for (size_t i = 0; text != NULL && i < sizeof ways / sizeof ways[0]; i++) {
        if (strcmp(ways[i], text) == 0) {
            return true;
        }
    }
    return text == NULL;
}

static rl_status check_values(const rl_adapter *adapter, const rl_json *root, rl_err *err) {
    const rl_json *type = rl_json_get(root, "peft_type");
    const rl_json *init = rl_json_get(root, "init_lora_weights");
    if (strcmp(rl_json_text(type, ""), "LORA") != 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "adapter '%.200s' is of peft's type '%.60s'; only LORA is supported",
                       adapter->folder, rl_json_text(type, "none"));
    }
    if (!begins_apart(init)) {
        return refuse_value(adapter, init,
                            "adapters that begin so change the model's weights too; convert it "
                            "with peft's path_initial_model_for_weight_conversion",
                            err);
    }
    for (const rl_json *c = rl_json_first(root); c != NULL; c = rl_json_next(c)) {
        const char *advice = advice_for(rl_json_key(c));
        if (!is_known(rl_json_key(c)) && !is_idle(c)) {
            return refuse_value(adapter, c, advice != NULL ? advice : "that is not supported here",
                                err);
        }
    }
    return RL_OK;
}

static rl_status read_targets(rl_adapter *adapter, const rl_json *value, rl_err *err) {
    const char *whole = rl_json_text(value, NULL), **item;
    size_t n = 0;
    if (whole != NULL && strcmp(whole, "all-linear") != 0) {
        return refuse_value(adapter, value, "patterns are not read; write a list of names", err);
    }
    item = rl_arena_alloc(adapter->arena, 1 + rl_json_count(value), sizeof *item);
    if (whole != NULL) {
        item[n++] = "all-linear";
    }
    for (const rl_json *c = rl_json_first(value); c != NULL; c = rl_json_next(c)) {
        item[n++] = rl_arena_strdup(adapter->arena, rl_json_text(c, ""));
    }
    adapter->opts.target_modules = (rl_text_list){.item = item, .n_items = n};
    return n > 0 ? RL_OK
                 : rl_fail(err, RL_IO, "adapter '%.200s' has no 'target_modules'", adapter->folder);
}

static rl_status read_root(rl_adapter *adapter, const rl_json *root, rl_err *err) {
    int64_t r = 0;
    double alpha = rl_json_number(rl_json_get(root, "lora_alpha"), 0);
    rl_status status = check_values(adapter, root, err);
    if (status != RL_OK) {
        return status;
    }
    if (!rl_json_integer(rl_json_get(root, "r"), &r) || r < 1 || r > 65536 || !isfinite(alpha) ||
        alpha <= 0) {
        return rl_fail(err, RL_IO,
                       "adapter '%.200s': 'r' must be a whole number from 1 to 65536 and "
                       "'lora_alpha' a number above 0",
                       adapter->folder);
    }
    adapter->opts.r = (int32_t)r;
    adapter->opts.lora_alpha = alpha;
    adapter->opts.use_rslora = rl_json_bool(rl_json_get(root, "use_rslora"), false);
    adapter->dropout = rl_json_number(rl_json_get(root, "lora_dropout"), 0);
    return read_targets(adapter, rl_json_get(root, "target_modules"), err);
}

rl_status rl_lora_read_config(rl_adapter *adapter, rl_err *err) {
    rl_json_doc *doc = NULL;
    rl_status status = rl_json_read(
        rl_path_join(adapter->arena, adapter->folder, "adapter_config.json"), &doc, err);
    if (status == RL_OK) {
        status = read_root(adapter, rl_json_root(doc), err);
    }
    rl_json_free(doc);
    return status;
}

static void put_text(rl_json_writer *w, const char *key, const char *text) {
    rl_json_put_text(w, key, text, strlen(text));
}

static void put_empty(rl_json_writer *w, const char *key) {
    rl_json_open_object(w, key);
    rl_json_close_object(w);
}

static int by_bytes(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Sorted, as peft writes them. */
static void put_targets(rl_json_writer *w, const rl_adapter *adapter) {
    const rl_text_list *targets = &adapter->opts.target_modules;
    rl_arena *arena = rl_arena_new(0);
    const char **item = rl_arena_alloc(arena, targets->n_items, sizeof *item);
    for (size_t i = 0; i < targets->n_items; i++) {
        item[i] = targets->item[i];
    }
    qsort(item, targets->n_items, sizeof *item, by_bytes);
    rl_json_open_list(w, "target_modules");
    for (size_t i = 0; i < targets->n_items; i++) {
        put_text(w, NULL, item[i]);
    }
    rl_json_close_list(w);
    rl_arena_free(arena);
}

/* Keys that every peft since rank_pattern (0.5) knows: older ones refuse what they do not. */
void rl_lora_print_config(const rl_adapter *adapter, const char *model, rl_str *out) {
    rl_json_writer w = {.out = out};
    rl_json_open_object(&w, NULL);
    put_text(&w, "peft_type", "LORA");
    put_text(&w, "task_type", "CAUSAL_LM");
    put_text(&w, "base_model_name_or_path", model);
    rl_json_put_int(&w, "r", adapter->opts.r);
    rl_json_put_number(&w, "lora_alpha", adapter->opts.lora_alpha);
    rl_json_put_number(&w, "lora_dropout", 0);
    put_targets(&w, adapter);
    put_text(&w, "bias", "none");
    if (adapter->opts.use_rslora) {
        rl_json_put_bool(&w, "use_rslora", true);
    }
    rl_json_put_bool(&w, "fan_in_fan_out", false);
    rl_json_put_bool(&w, "inference_mode", true);
    rl_json_put_bool(&w, "init_lora_weights", true);
    rl_json_put_null(&w, "modules_to_save");
    rl_json_put_null(&w, "layers_to_transform");
    rl_json_put_null(&w, "layers_pattern");
    put_empty(&w, "rank_pattern");
    put_empty(&w, "alpha_pattern");
    rl_json_close_object(&w);
    rl_str_append_char(out, '\n');
}
