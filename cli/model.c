#include "cli/model.h"

#include <string.h>

#include "rl/core/fs.h"

static rl_status find_kernels(const char *name, rl_kernels *out, rl_err *err) {
    *out = RL_KERNELS_AUTO;
    for (int i = 0; name != NULL && rl_kernels_names[i] != NULL; i++) {
        if (strcmp(rl_kernels_names[i], name) == 0) {
            *out = (rl_kernels)i;
            return RL_OK;
        }
    }
    return name == NULL ? RL_OK
                        : rl_fail(err, RL_BAD_RECIPE,
                                  "unknown kernels '%s'; known: auto, ref, avx2, avx512", name);
}

rl_status model_open(const args *a, model *m, rl_err *err) {
    return rl_adapted_open(a->subject, a->adapter, &m->checkpoint, &m->adapter, err);
}

rl_status model_open_tokenizer(model *m, rl_err *err) {
    const rl_gguf *gguf = rl_checkpoint_gguf(m->checkpoint);
    const char *path = rl_checkpoint_path(m->checkpoint);
    rl_status status = gguf != NULL ? rl_tokenizer_from_gguf(gguf, &m->tokenizer, err)
                                    : rl_tokenizer_load(path, &m->tokenizer, err);
    int32_t n_rows = rl_checkpoint_config(m->checkpoint)->vocab;
    if (status == RL_OK && rl_tokenizer_vocab(m->tokenizer) > n_rows) {
        status = rl_fail(err, RL_BAD_RECIPE, "tokenizer of '%s' has %d tokens, the model only %d",
                         path, rl_tokenizer_vocab(m->tokenizer), n_rows);
        rl_tokenizer_free(m->tokenizer);
        m->tokenizer = NULL;
    }
    return status;
}

static void add_stop(model *m, int32_t id) {
    for (int32_t i = 0; i < m->n_stop; i++) {
        if (m->stop[i] == id) {
            return;
        }
    }
    if (id >= 0) {
        m->stop[m->n_stop++] = id;
    }
}

rl_status model_open_text(const args *a, model *m, rl_err *err) {
    const rl_model_config *config = rl_checkpoint_config(m->checkpoint);
    rl_status status = model_open_tokenizer(m, err);
    if (status == RL_OK && !a->sample.raw) {
        status = rl_chat_new(m->tokenizer, &m->chat, err);
    }
    if (status == RL_OK) {
        add_stop(m, m->chat != NULL ? rl_chat_stop(m->chat) : -1);
        add_stop(m, rl_tokenizer_eos(m->tokenizer));
        for (int32_t i = 0; i < config->n_eos; i++) {
            add_stop(m, config->eos[i]);
        }
    }
    return status;
}

rl_status model_open_weights(const args *a, model *m, rl_err *err) {
    rl_policy_opts opts = {.adapter = m->adapter, .fixed = true};
    rl_kernels kernels;
    rl_status status = find_kernels(a->kernels, &kernels, err);
    if (status == RL_OK) {
        status = rl_pool_new(a->threads > 0 ? a->threads : rl_cpu_count(), true, &m->pool, err);
    }
    if (status == RL_OK) {
        status = rl_cpu_open(kernels, m->pool, &m->backend, err);
    }
    if (status == RL_OK) {
        status = rl_policy_open(m->checkpoint, m->backend, &opts, &m->policy, err);
    }
    if (status == RL_OK && m->tokenizer != NULL) {
        rl_policy_limit_ids(m->policy, rl_tokenizer_vocab(m->tokenizer));
    }
    return status;
}

void model_close(model *m) {
    rl_policy_free(m->policy);
    rl_cpu_close(m->backend);
    rl_pool_free(m->pool);
    rl_chat_free(m->chat);
    rl_tokenizer_free(m->tokenizer);
    rl_adapter_close(m->adapter);
    rl_checkpoint_close(m->checkpoint);
    *m = (model){0};
}

rl_status model_check_absent(const char *path, rl_err *err) {
    return rl_fs_exists(path)
               ? rl_fail(
                     err, RL_BAD_RECIPE,
                     "'%s' is there already and nothing is replaced; name another, or remove it",
                     path)
               : RL_OK;
}

// Aside first, so that a folder under its own name is whole.
rl_status model_write_folder(const rl_checkpoint *checkpoint, const rl_params *params,
                             rl_backend *be, rl_save_dtype dtype, const char *out, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char *folder = rl_path_absolute(arena, out), *aside = rl_arena_printf(arena, "%s.tmp", folder);
    rl_status status = model_check_absent(folder, err);
    if (status == RL_OK) {
        status = model_check_absent(aside, err);
    }
    if (status == RL_OK) {
        rl_err ignored;
        status = rl_fs_mkdirs(aside, err);
        if (status == RL_OK) {
            status = rl_checkpoint_write(checkpoint, params, be, dtype, aside, err);
        }
        if (status == RL_OK) {
            status = rl_fs_rename(aside, folder, err);
        }
        if (status != RL_OK) {
            (void)!rl_fs_remove(aside, &ignored);
        }
    }
    rl_arena_free(arena);
    return status;
}
