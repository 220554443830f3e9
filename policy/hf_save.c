#include "rl/policy/hf.h"

#include <string.h>

#include "policy/checkpoint.h"
#include "policy/gguf_tokenizer.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"

static rl_status write_text(const char *folder, const char *name, const rl_str *text, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_status status =
        rl_fs_write(rl_path_join(arena, folder, name), rl_str_text(text), text->len, err);
    rl_arena_free(arena);
    return status;
}

// Copies a file of the source folder; *copied says whether it is there.
static rl_status copy_if_there(const rl_checkpoint *source, const char *folder, const char *name,
                               bool *copied, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    const char *from = rl_path_join(arena, source->path, name);
    rl_status status = RL_OK;
    *copied = rl_fs_exists(from);
    if (*copied) {
        status = rl_fs_copy(from, rl_path_join(arena, folder, name), err);
    }
    rl_arena_free(arena);
    return status;
}

static const char *skip_space(const char *p, const char *end) {
    while (p < end && strchr(" \t\r\n", *p) != NULL) {
        p++;
    }
    return p;
}

// p at the opening quote; the result is after the closing one.
static const char *skip_string(const char *p, const char *end) {
    for (p++; p < end && *p != '"'; p++) {
        p += *p == '\\';
    }
    return p + 1;
}

// After any value, nested ones included.
static const char *skip_value(const char *p, const char *end) {
    int depth = 0;
    do {
        if (*p == '"') {
            p = skip_string(p, end);
            continue;
        }
        depth += (*p == '{' || *p == '[') - (*p == '}' || *p == ']');
        p++;
    } while (p < end && (depth > 0 || strchr(",}] \t\r\n", *p) == NULL));
    return p;
}

static bool is_type_key(const char *key, const char *end) {
    size_t len = (size_t)(end - key);
    return (len == 7 && memcmp(key, "\"dtype\"", 7) == 0) ||
           (len == 13 && memcmp(key, "\"torch_dtype\"", 13) == 0);
}

// The source's config.json with its number type set. The text is edited rather than
// printed anew, so that numbers keep their spelling: readers tell 8.0 from 8. It was parsed before,
// so its form is known to be right.
static void retype_config(const char *text, size_t text_len, const char *dtype, rl_str *out) {
    const char *end = text + text_len, *p = skip_space(text, end) + 1, *from = text;
    bool found = false;
    for (p = skip_space(p, end); *p == '"'; p = skip_space(p, end)) {
        const char *key = p, *value;
        p = skip_string(p, end);
        value = skip_space(skip_space(p, end) + 1, end); // over the colon
        if (is_type_key(key, p)) {
            rl_str_append_n(out, from, (size_t)(value - from));
            rl_str_appendf(out, "\"%s\"", dtype);
            found = true;
            from = skip_value(value, end);
        }
        p = skip_space(skip_value(value, end), end);
        p += *p == ',';
    }
    if (!found) { // p is at the closing brace of an object that is not empty
        rl_str_append_n(out, from, (size_t)(p - from));
        rl_str_appendf(out, ", \"torch_dtype\": \"%s\"", dtype);
        from = p;
    }
    rl_str_append_n(out, from, (size_t)(end - from));
}

static void put_text(rl_json_writer *w, const char *key, const char *text) {
    rl_json_put_text(w, key, text, strlen(text));
}

static void put_tokens(rl_json_writer *w, const rl_model_config *c) {
    if (c->bos >= 0) {
        rl_json_put_int(w, "bos_token_id", c->bos);
    }
    if (c->n_eos == 1) {
        rl_json_put_int(w, "eos_token_id", c->eos[0]);
    } else if (c->n_eos > 1) {
        rl_json_open_list(w, "eos_token_id");
        for (int32_t i = 0; i < c->n_eos; i++) {
            rl_json_put_int(w, NULL, c->eos[i]);
        }
        rl_json_close_list(w);
    }
    if (c->pad >= 0) {
        rl_json_put_int(w, "pad_token_id", c->pad);
    }
}

static void put_rope(rl_json_writer *w, const rl_rope *rope) {
    rl_json_put_number(w, "rope_theta", rope->theta);
    if (rope->kind == RL_ROPE_DEFAULT) {
        rl_json_put_null(w, "rope_scaling");
        return;
    }
    rl_json_open_object(w, "rope_scaling");
    put_text(w, "rope_type", rope->kind == RL_ROPE_LINEAR ? "linear" : "llama3");
    rl_json_put_number(w, "factor", rope->factor);
    if (rope->kind == RL_ROPE_LLAMA3) {
        rl_json_put_number(w, "low_freq_factor", rope->low_freq);
        rl_json_put_number(w, "high_freq_factor", rope->high_freq);
        rl_json_put_int(w, "original_max_position_embeddings", rope->original);
    }
    rl_json_close_object(w);
}

// Which layers rotate, where some do not. GGUF files that we read have no windows.
static void put_layers(rl_json_writer *w, const rl_model_config *c) {
    bool some_still = false;
    for (int32_t i = 0; i < c->n_layers; i++) {
        some_still = some_still || rl_layer_rope(c, i) < 0;
    }
    if (some_still) {
        rl_json_open_list(w, "no_rope_layers");
        for (int32_t i = 0; i < c->n_layers; i++) {
            rl_json_put_int(w, NULL, rl_layer_rope(c, i) >= 0);
        }
        rl_json_close_list(w);
    }
}

// In the older spelling, which old and new readers take.
static void print_config(const rl_checkpoint *source, const char *dtype, rl_str *out) {
    const rl_model_config *c = &source->config;
    rl_json_writer w = {.out = out};
    rl_json_open_object(&w, NULL);
    rl_json_open_list(&w, "architectures");
    put_text(&w, NULL, source->family->architecture);
    rl_json_close_list(&w);
    put_text(&w, "model_type", c->family);
    rl_json_put_int(&w, "vocab_size", c->vocab);
    rl_json_put_int(&w, "hidden_size", c->width);
    rl_json_put_int(&w, "intermediate_size", c->mlp);
    rl_json_put_int(&w, "num_hidden_layers", c->n_layers);
    rl_json_put_int(&w, "num_attention_heads", c->n_heads);
    rl_json_put_int(&w, "num_key_value_heads", c->n_kv_heads);
    rl_json_put_int(&w, "head_dim", c->head_dim);
    rl_json_put_int(&w, "max_position_embeddings", c->max_positions);
    rl_json_put_number(&w, "rms_norm_eps", c->norm_eps);
    put_rope(&w, &c->rope[0]);
    put_layers(&w, c);
    put_text(&w, source->family->activation_key, rl_activation_names[source->family->activation]);
    if (!rl_family_has(source->family, RL_ROLE_Q_BIAS)) {
        rl_json_put_bool(&w, "attention_bias", false);
    }
    rl_json_put_bool(&w, "mlp_bias", false);
    rl_json_put_bool(&w, "tie_word_embeddings", c->tied);
    put_tokens(&w, c);
    put_text(&w, "torch_dtype", dtype);
    rl_json_put_bool(&w, "use_cache", true);
    rl_json_close_object(&w);
}

static rl_status write_configs(const rl_checkpoint *source, const char *dtype, const char *folder,
                               rl_err *err) {
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    bool copied = false;
    rl_status status;
    if (source->gguf != NULL) {
        print_config(source, dtype, &text);
    } else {
        retype_config(source->config_text, source->config_text_len, dtype, &text);
    }
    status = write_text(folder, "config.json", &text, err);
    if (status == RL_OK && source->gguf == NULL) {
        status = copy_if_there(source, folder, "generation_config.json", &copied, err);
    }
    if (status == RL_OK && !copied) {
        rl_str_clear(&text);
        rl_json_open_object(&w, NULL);
        put_tokens(&w, &source->config);
        rl_json_close_object(&w);
        status = write_text(folder, "generation_config.json", &text, err);
    }
    rl_str_release(&text);
    return status;
}

// Byte for byte, whichever of its forms the folder holds it in.
static rl_status copy_tokenizer(const rl_checkpoint *source, const char *folder, rl_err *err) {
    static const char *const names[] = {
        "tokenizer.json",
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "vocab.json",
        "merges.txt",
        "encoder.json",
        "vocab.bpe",
        "tokenizer.model",
        "chat_template.jinja",
        "chat_template.json",
    };
    rl_arena *arena = rl_arena_new(0);
    char **all = NULL;
    size_t n = 0;
    bool copied;
    rl_status status = rl_fs_list(source->path, arena, &all, &n, err);
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == RL_OK; i++) {
        status = copy_if_there(source, folder, names[i], &copied, err);
        if (status == RL_OK && i == 0 && source->has_tokenizer && !copied) {
            status =
                rl_fail(err, RL_IO, "'tokenizer.json' of '%s' was there at the start and is gone",
                        source->path);
        }
    }
    for (size_t i = 0; i < n && status == RL_OK; i++) {
        if (rl_text_ends(all[i], ".tiktoken")) {
            status = copy_if_there(source, folder, all[i], &copied, err);
        }
    }
    rl_arena_free(arena);
    return status;
}

rl_status rl_save_tokenizer(const rl_checkpoint *source, const char *folder, rl_err *err) {
    rl_str text = {0};
    rl_status status;
    if (source->gguf == NULL) {
        return copy_tokenizer(source, folder, err);
    }
    if (rl_gguf_has_no_words(source->gguf)) {
        return RL_OK;
    }
    status = rl_gguf_tokenizer_json(source->gguf, &text, err);
    if (status == RL_OK) {
        status = write_text(folder, "tokenizer.json", &text, err);
    }
    if (status == RL_OK) {
        rl_str_clear(&text);
        status =
            rl_gguf_tokenizer_config_json(source->gguf, source->config.max_positions, &text, err);
    }
    if (status == RL_OK) {
        status = write_text(folder, "tokenizer_config.json", &text, err);
    }
    rl_str_release(&text);
    return status;
}

rl_status rl_checkpoint_write(const rl_checkpoint *source, const rl_params *params, rl_backend *be,
                              rl_save_dtype dtype, const char *folder, rl_err *err) {
    rl_status status = write_configs(source, rl_save_dtype_torch(dtype), folder, err);
    if (status == RL_OK) {
        status = rl_save_tokenizer(source, folder, err);
    }
    return status == RL_OK ? rl_save_shards(params, be, dtype, RL_SHARD_BYTES, folder, err)
                           : status;
}
