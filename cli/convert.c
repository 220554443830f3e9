/* From one form of a model to another: Hugging Face folders, GGUF files, and llama2.c's models in.
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/model.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"
#include "rl/policy/llama2c.h"

static const struct {
    const char *name;
    rl_stored stored;
    rl_save_dtype save; // of a folder
    bool folder;
} dtypes[] = {
    {"f32", RL_STORED_F32, RL_SAVE_F32, true},
    {"f16", RL_STORED_F16, RL_SAVE_F16, true},
    {"bf16", RL_STORED_BF16, RL_SAVE_BF16, true},
    {"q8_0", RL_STORED_Q8_0, RL_SAVE_F32, false},
};
enum { N_DTYPES = sizeof dtypes / sizeof dtypes[0] };

static bool is_gguf(const char *path) {
    return rl_text_ends(path, ".gguf");
}

static rl_status find_dtype(const args *a, size_t *out, rl_err *err) {
    *out = 0;
    while (a->dtype != NULL && *out < N_DTYPES && strcmp(dtypes[*out].name, a->dtype) != 0) {
        (*out)++;
    }
    if (*out == N_DTYPES) {
        return rl_fail(err, RL_BAD_RECIPE, "unknown dtype '%s'; known: f32, f16, bf16, q8_0",
                       a->dtype);
    }
    if (!dtypes[*out].folder && !is_gguf(a->out)) {
        return rl_fail(err, RL_BAD_RECIPE, "a folder has no dtype '%s'; name a .gguf file",
                       a->dtype);
    }
    return RL_OK;
}

// A folder without any file of a tokenizer is a model to score ids with; one whose files cannot be
// read is refused.
static bool has_tokenizer(const model *m) {
    static const char *const names[] = {"tokenizer.json", "vocab.json", "encoder.json",
                                        "tokenizer.model"};
    const char *path = rl_checkpoint_path(m->checkpoint), *text;
    const rl_gguf *gguf = rl_checkpoint_gguf(m->checkpoint);
    rl_arena *arena = rl_arena_new(0);
    char **all = NULL;
    size_t n = 0, len;
    rl_err ignored;
    bool found = gguf != NULL && rl_gguf_text(gguf, "tokenizer.ggml.model", &text, &len) &&
                 !(len == 4 && memcmp(text, "none", 4) == 0);
    if (gguf == NULL && rl_fs_list(path, arena, &all, &n, &ignored) != RL_OK) {
        n = 0;
    }
    for (size_t i = 0; i < n && !found; i++) {
        found = rl_text_ends(all[i], ".tiktoken");
        for (size_t k = 0; k < sizeof names / sizeof names[0]; k++) {
            found = found || strcmp(all[i], names[k]) == 0;
        }
    }
    rl_arena_free(arena);
    return found;
}

static rl_status write(const args *a, size_t dtype, model *m, const rl_params *params,
                       rl_err *err) {
    rl_status status = RL_OK;
    if (!is_gguf(a->out)) {
        return model_write_folder(m->checkpoint, params, m->backend, dtypes[dtype].save, a->out,
                                  err);
    }
    if (has_tokenizer(m)) {
        status = model_open_tokenizer(m, err);
    } else {
        rl_log(RL_LOG_WARN, "'%s' has no tokenizer, and so has the GGUF file", a->subject);
    }
    return status == RL_OK ? rl_checkpoint_write_gguf(m->checkpoint, m->tokenizer, params,
                                                      m->backend, dtypes[dtype].stored, a->out, err)
                           : status;
}

static rl_status convert(const args *a, size_t dtype, const char *from, rl_err *err) {
    model m = {0};
    rl_params params = {0};
    rl_status status = rl_adapted_open(from, a->adapter, &m.checkpoint, &m.adapter, err);
    if (status == RL_OK) {
        status = rl_cpu_open(RL_KERNELS_AUTO, NULL, &m.backend, err);
    }
    if (status == RL_OK) {
        status = rl_params_init(&params, rl_checkpoint_config(m.checkpoint), m.backend, false, err);
    }
    if (status == RL_OK) {
        status = rl_checkpoint_read(m.checkpoint, &params, m.backend, err);
    }
    if (status == RL_OK && m.adapter != NULL) {
        status = rl_adapter_merge(m.adapter, &params, m.backend, err);
    }
    if (status == RL_OK) {
        status = write(a, dtype, &m, &params, err);
    }
    if (status == RL_OK) {
        printf("%s: %lld weights as %s%s\n", a->out, (long long)params.n_values, dtypes[dtype].name,
               m.adapter != NULL ? ", with the adapter merged" : "");
    }
    rl_params_release(&params, m.backend);
    model_close(&m);
    return status;
}

// llama2.c's model becomes a GGUF file first, beside the result.
static rl_status convert_bin(const args *a, size_t dtype, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char *aside = rl_arena_printf(arena, "%s.tmp.gguf", a->out);
    rl_err ignored;
    rl_status status = model_check_absent(aside, err);
    if (status == RL_OK) {
        status = rl_llama2c_to_gguf(a->subject, a->tokenizer, aside, err);
        if (status == RL_OK) {
            status = convert(a, dtype, aside, err);
        }
        (void)!rl_fs_remove(aside, &ignored);
    }
    rl_arena_free(arena);
    return status;
}

int command_convert(const args *a) {
    size_t dtype;
    rl_err err = {""};
    rl_status status = find_dtype(a, &dtype, &err);
    if (status == RL_OK) {
        status = model_check_absent(a->out, &err); // before anything is read
    }
    if (status == RL_OK) {
        bool bin = rl_text_ends(a->subject, ".bin") && !rl_fs_is_dir(a->subject);
        status = bin ? convert_bin(a, dtype, &err) : convert(a, dtype, a->subject, &err);
    }
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
