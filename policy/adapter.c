/* Adapters as folders: which matrices they name, opening and saving. */
#include <stdio.h>
#include <string.h>

#include "policy/checkpoint.h"
#include "policy/lora.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"

void rl_lora_module_name(rl_place place, char out[RL_NAME_MAX]) {
    rl_place_hf_name(place, out);
    out[strlen(out) - strlen(".weight")] = '\0';
}

void rl_lora_tensor_name(rl_place place, rl_lora_half half, char out[RL_NAME_MAX]) {
    char module[RL_NAME_MAX];
    rl_lora_module_name(place, module);
    snprintf(out, RL_NAME_MAX, "base_model.model.%.60s.lora_%c.weight", module,
             half == RL_LORA_A ? 'A' : 'B');
}

/* peft's rule for a list: the whole name, or its end after a dot. */
static bool names(const char *target, const char *module) {
    size_t len = strlen(module), n = strlen(target);
    return n <= len && n > 0 && strcmp(module + len - n, target) == 0 &&
           (n == len || module[len - n - 1] == '.');
}

/* "q_proj" of "self_attn.q_proj.weight". */
static void short_name(const rl_tensor_row *row, char out[RL_NAME_MAX]) {
    const char *end = row->hf + strlen(row->hf) - strlen(".weight"), *at = end;
    while (at > row->hf && at[-1] != '.') {
        at--;
    }
    snprintf(out, RL_NAME_MAX, "%.*s", (int)(end - at), at);
}

static rl_status unknown_target(const rl_adapter *adapter, const char *target, rl_err *err) {
    enum { MOST = 16 };
    char name[MOST][RL_NAME_MAX];
    const char *known[MOST], *near, *last = strrchr(target, '.');
    rl_str list = {0};
    rl_status status;
    size_t n = 0;
    for (size_t i = 0; i < adapter->family->n_layer && n < MOST; i++) {
        if (rl_lora_takes(&adapter->family->layer[i])) {
            short_name(&adapter->family->layer[i], name[n]);
            rl_str_appendf(&list, n > 0 ? ", %s" : "%s", name[n]);
            known[n] = name[n];
            n++;
        }
    }
    near = rl_text_nearest(last != NULL ? last + 1 : target, known, n);
    status = near != NULL && (last == NULL || strcmp(near, last + 1) != 0)
                 ? rl_fail(err, RL_BAD_RECIPE,
                           "no matrix in the blocks of this %s model is named '%.80s', as "
                           "'target_modules' wants; did you mean '%s'?",
                           adapter->family->model_type, target, near)
                 : rl_fail(err, RL_BAD_RECIPE,
                           "no matrix in the blocks of this %s model is named '%.80s', as "
                           "'target_modules' wants; there are %s in layers 0 to %d",
                           adapter->family->model_type, target, rl_str_text(&list),
                           adapter->config->n_layers - 1);
    rl_str_release(&list);
    return status;
}

/* "all-linear" stands for the names that the family has. */
static void spell_out(rl_adapter *adapter) {
    rl_text_list *targets = &adapter->opts.target_modules;
    const char **item;
    bool all = false;
    size_t n = 0;
    for (size_t t = 0; t < targets->n_items; t++) {
        all = all || strcmp(targets->item[t], "all-linear") == 0;
    }
    if (!all) {
        return;
    }
    item = rl_arena_alloc(adapter->arena, adapter->family->n_layer, sizeof *item);
    for (size_t i = 0; i < adapter->family->n_layer; i++) {
        if (rl_lora_takes(&adapter->family->layer[i])) {
            char name[RL_NAME_MAX];
            short_name(&adapter->family->layer[i], name);
            item[n++] = rl_arena_strdup(adapter->arena, name);
        }
    }
    *targets = (rl_text_list){.item = item, .n_items = n};
}

static rl_status find_sites(rl_adapter *adapter, rl_err *err) {
    const rl_text_list *targets = &adapter->opts.target_modules;
    int32_t n = rl_family_count(adapter->family, adapter->config);
    bool *used;
    spell_out(adapter);
    used = rl_arena_alloc(adapter->arena, targets->n_items, sizeof *used);
    adapter->site = rl_arena_alloc(adapter->arena, (size_t)n, sizeof *adapter->site);
    for (int32_t i = 0; i < n; i++) {
        rl_place place = rl_family_place(adapter->family, adapter->config, i);
        char module[RL_NAME_MAX];
        bool wanted = false;
        if (place.layer < 0 || !rl_lora_takes(place.row)) {
            continue;
        }
        rl_lora_module_name(place, module);
        for (size_t t = 0; t < targets->n_items; t++) {
            bool this = names(targets->item[t], module);
            used[t] = used[t] || this;
            wanted = wanted || this;
        }
        if (wanted) {
            adapter->site[adapter->n_sites++] = i;
        }
    }
    for (size_t t = 0; t < targets->n_items; t++) {
        if (!used[t]) {
            return unknown_target(adapter, targets->item[t], err);
        }
    }
    return RL_OK;
}

static rl_adapter *new_adapter(const rl_checkpoint *model) {
    rl_adapter *adapter = rl_alloc(1, sizeof *adapter);
    adapter->arena = rl_arena_new(0);
    adapter->config = rl_checkpoint_config(model);
    adapter->family = rl_family_find(adapter->config->family);
    return adapter;
}

rl_status rl_adapter_new(const rl_lora_opts *opts, uint64_t seed, const rl_checkpoint *model,
                         rl_adapter **out, rl_err *err) {
    rl_adapter *adapter = new_adapter(model);
    const char **item = rl_arena_alloc(adapter->arena, opts->target_modules.n_items, sizeof *item);
    rl_status status;
    adapter->opts = *opts;
    adapter->seed = seed;
    for (size_t i = 0; i < opts->target_modules.n_items; i++) {
        item[i] = rl_arena_strdup(adapter->arena, opts->target_modules.item[i]);
    }
    adapter->opts.target_modules.item = item;
    status = find_sites(adapter, err);
    if (status != RL_OK) {
        rl_adapter_close(adapter);
        adapter = NULL;
    }
    *out = adapter;
    return status;
}

static rl_status check_half(const rl_adapter *adapter, rl_place place, rl_lora_half half,
                            rl_err *err) {
    char name[RL_NAME_MAX];
    int64_t rows =
        half == RL_LORA_A ? adapter->opts.r : rl_dim_size(adapter->config, place.row->rows);
    int64_t cols =
        half == RL_LORA_A ? rl_dim_size(adapter->config, place.row->cols) : adapter->opts.r;
    const rl_weight *w;
    rl_lora_tensor_name(place, half, name);
    w = rl_safetensors_find(adapter->file, name);
    if (w == NULL) {
        return rl_fail(err, RL_IO, "adapter '%.200s' lacks tensor '%s'", adapter->folder, name);
    }
    if (!rl_stored_is_weight(w->stored)) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "adapter '%.200s': tensor '%s' is stored as %s, which is not supported; "
                       "supported: F32, F16, BF16, F64",
                       adapter->folder, name, w->type);
    }
    if (w->rank != 2 || w->shape[0] != rows || w->shape[1] != cols) {
        return rl_fail(err, RL_IO,
                       "adapter '%.200s': tensor '%s' is not [%lld, %lld], as 'r' and the model "
                       "ask for",
                       adapter->folder, name, (long long)rows, (long long)cols);
    }
    return RL_OK;
}

/* The file has the tensors of every site, and no others. */
static rl_status check_file(const rl_adapter *adapter, rl_err *err) {
    size_t n = rl_safetensors_count(adapter->file);
    for (int32_t i = 0; i < adapter->n_sites; i++) {
        rl_place place = rl_family_place(adapter->family, adapter->config, adapter->site[i]);
        for (int half = RL_LORA_A; half <= RL_LORA_B; half++) {
            rl_status status = check_half(adapter, place, (rl_lora_half)half, err);
            if (status != RL_OK) {
                return status;
            }
        }
    }
    for (size_t k = 0; k < n && n != 2 * (size_t)adapter->n_sites; k++) {
        const char *name = rl_safetensors_at(adapter->file, k)->name;
        bool known = false;
        for (int32_t i = 0; i < 2 * adapter->n_sites && !known; i++) {
            char own[RL_NAME_MAX];
            rl_lora_tensor_name(
                rl_family_place(adapter->family, adapter->config, adapter->site[i / 2]),
                i % 2 == 0 ? RL_LORA_A : RL_LORA_B, own);
            known = strcmp(own, name) == 0;
        }
        if (!known) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "adapter '%.200s': tensor '%.100s' belongs to none of its "
                           "'target_modules' in the blocks of this model",
                           adapter->folder, name);
        }
    }
    return RL_OK;
}

static rl_status read_folder(rl_adapter *adapter, rl_err *err) {
    char *path = rl_path_join(adapter->arena, adapter->folder, "adapter_model.safetensors");
    rl_status status = rl_lora_read_config(adapter, err);
    if (status == RL_OK) {
        status = find_sites(adapter, err);
    }
    if (status == RL_OK && !rl_fs_exists(path)) {
        status = rl_fail(err, RL_IO, "adapter '%.200s' has no adapter_model.safetensors",
                         adapter->folder);
    }
    if (status == RL_OK) {
        status = rl_safetensors_open(path, &adapter->file, err);
    }
    return status == RL_OK ? check_file(adapter, err) : status;
}

rl_status rl_adapter_open(const char *folder, const rl_checkpoint *model, rl_adapter **out,
                          rl_err *err) {
    rl_adapter *adapter;
    rl_status status;
    *out = NULL;
    if (!rl_adapter_is(folder)) {
        return rl_fail(err, RL_IO,
                       "'%s' is not an adapter: no adapter_config.json there; give a folder that "
                       "peft or rl-train wrote",
                       folder);
    }
    adapter = new_adapter(model);
    adapter->folder = rl_arena_strdup(adapter->arena, folder);
    status = read_folder(adapter, err);
    if (status != RL_OK) {
        rl_adapter_close(adapter);
        return status;
    }
    *out = adapter;
    return RL_OK;
}

void rl_adapter_close(rl_adapter *adapter) {
    if (adapter != NULL) {
        rl_safetensors_close(adapter->file);
        rl_arena_free(adapter->arena);
        rl_free(adapter);
    }
}

const rl_lora_opts *rl_adapter_opts(const rl_adapter *adapter) {
    return &adapter->opts;
}

bool rl_adapter_is(const char *path) {
    rl_arena *arena = rl_arena_new(0);
    bool is = rl_fs_is_dir(path) && rl_fs_exists(rl_path_join(arena, path, "adapter_config.json"));
    rl_arena_free(arena);
    return is;
}

/* Where the model of an adapter's folder lies. */
static rl_status find_model(const char *folder, rl_arena *arena, char **out, rl_err *err) {
    rl_json_doc *doc = NULL;
    rl_status status = rl_json_read(rl_path_join(arena, folder, "adapter_config.json"), &doc, err);
    const char *name = "";
    if (status != RL_OK) {
        return status;
    }
    name = rl_arena_strdup(
        arena, rl_json_text(rl_json_get(rl_json_root(doc), "base_model_name_or_path"), ""));
    rl_json_free(doc);
    *out = rl_path_absolute(arena, rl_path_join(arena, folder, name));
    if (name[0] != '\0' && !rl_fs_exists(*out)) {
        *out = rl_path_absolute(arena, name);
    }
    if (name[0] == '\0' || !rl_fs_exists(*out)) {
        return rl_fail(err, RL_IO,
                       "adapter '%.200s' is for the model '%.200s', which is not a path here; name "
                       "the model and give the folder as its adapter ('model.adapter', --adapter)",
                       folder, name);
    }
    return RL_OK;
}

rl_status rl_adapted_open(const char *path, const char *folder, rl_checkpoint **model,
                          rl_adapter **adapter, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    bool given = folder != NULL && folder[0] != '\0';
    char *base = rl_arena_strdup(arena, path);
    rl_status status = RL_OK;
    *model = NULL;
    *adapter = NULL;
    if (rl_adapter_is(path)) {
        status = given ? rl_fail(err, RL_BAD_RECIPE,
                                 "'%.200s' and '%.200s' are adapters both; give one, and a model",
                                 path, folder)
                       : find_model(path, arena, &base, err);
        folder = path;
        given = true;
    }
    if (status == RL_OK) {
        status = rl_checkpoint_open(base, model, err);
    }
    if (status == RL_OK && given) {
        status = rl_adapter_open(folder, *model, adapter, err);
    }
    if (status != RL_OK) {
        rl_checkpoint_close(*model);
        *model = NULL;
    }
    rl_arena_free(arena);
    return status;
}

rl_status rl_lora_save(const rl_lora *lora, const rl_checkpoint *model, rl_backend *be,
                       rl_save_dtype dtype, const char *folder, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_str config = {0};
    rl_status status;
    rl_lora_print_config(lora->adapter, rl_path_absolute(arena, rl_checkpoint_path(model)),
                         &config);
    status = rl_fs_write(rl_path_join(arena, folder, "adapter_config.json"), rl_str_text(&config),
                         config.len, err);
    if (status == RL_OK) {
        status = rl_save_tokenizer(model, folder, err);
    }
    if (status == RL_OK) {
        status = rl_save_params(&lora->params, be, dtype,
                                rl_path_join(arena, folder, "adapter_model.safetensors"), err);
    }
    rl_str_release(&config);
    rl_arena_free(arena);
    return status;
}
