/*
 * vocab.json and merges.txt, the form of transformers' slow byte-level tokenizers. These files hold
 * no pipeline: it belongs to the class that tokenizer_config.json names.
 */
#include <string.h>

#include "policy/pattern.h"
#include "policy/tokenizer_forms.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"

typedef struct pipeline {
    const char *class, *model_type; // of tokenizer_config.json, else of config.json
    const char *pattern;
    bool nfc;
    const char *end; // the special token of a class that needs no config
} pipeline;

static const pipeline pipelines[] = {
    {"GPT2Tokenizer", "gpt2", RL_PATTERN_GPT2, false, "<|endoftext|>"},
    {"CodeGenTokenizer", "codegen", RL_PATTERN_GPT2, false, "<|endoftext|>"},
    {"Qwen2Tokenizer", "qwen2", RL_PATTERN_QWEN, true, "<|endoftext|>"},
    {"Qwen2Tokenizer", "qwen3", RL_PATTERN_QWEN, true, "<|endoftext|>"},
};

// The class without the "Fast" that some files have.
static bool is_class(const char *name, const char *class) {
    size_t len = strlen(class);
    return strncmp(name, class, len) == 0 && (name[len] == '\0' || strcmp(name + len, "Fast") == 0);
}

static rl_status find_pipeline(rl_arena *arena, const rl_tokenizer_files *files,
                               const pipeline **out, rl_err *err) {
    const char *class = rl_json_text(rl_tokenizer_setting(files, "tokenizer_class"), "");
    const char *path = rl_path_join(arena, files->folder, "config.json");
    const char *model_type = "";
    rl_json_doc *doc = NULL;
    if (class[0] == '\0' && rl_fs_exists(path)) {
        rl_status status = rl_json_read(path, &doc, err);
        if (status != RL_OK) {
            return status;
        }
        model_type = rl_json_text(rl_json_get(rl_json_root(doc), "model_type"), "");
    }
    *out = NULL;
    for (size_t i = 0; i < sizeof pipelines / sizeof pipelines[0] && *out == NULL; i++) {
        bool same = class[0] != '\0' ? is_class(class, pipelines[i].class)
                                     : strcmp(model_type, pipelines[i].model_type) == 0;
        *out = same ? &pipelines[i] : NULL;
    }
    rl_status status =
        *out != NULL
            ? RL_OK
            : rl_fail(
                  err, RL_UNSUPPORTED,
                  "vocab.json and merges.txt of tokenizer class '%.60s', model type '%.60s', are "
                  "not covered; covered: GPT2Tokenizer, CodeGenTokenizer, Qwen2Tokenizer; save "
                  "the tokenizer with its fast form",
                  class, model_type);
    rl_json_free(doc);
    return status;
}

static rl_status read_vocab(rl_tokenizer *tokenizer, const char *path, rl_err *err) {
    rl_json_doc *doc = NULL;
    rl_status status = rl_json_read(path, &doc, err);
    if (status != RL_OK) {
        return status;
    }
    const rl_json *root = rl_json_root(doc), *item = rl_json_first(root);
    if (rl_json_type_of(root) != RL_JSON_OBJECT || item == NULL) {
        status = rl_fail(err, RL_IO, "'%s' is not a vocabulary", path);
    }
    rl_vocab_init(&tokenizer->vocab, tokenizer->arena, rl_json_count(root));
    for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
        const char *text = rl_json_key(item);
        int64_t id;
        status = rl_json_integer(item, &id)
                     ? rl_vocab_put(&tokenizer->vocab, id, text, strlen(text), RL_TOKEN_MODEL, err)
                     : rl_fail(err, RL_IO, "the id of token '%.100s' is not an integer", text);
    }
    rl_json_free(doc);
    return status;
}

// Lines "left right" by rising rank; the first line may be "#version: 0.2".
rl_status rl_read_merge_lines(rl_tokenizer *tokenizer, const char *text, size_t text_len,
                              const char *path, rl_err *err) {
    const char *at = text, *end = text + text_len;
    rl_status status = RL_OK;
    rl_str made = {0};
    int32_t rank = 0;
    rl_bpe_expect(&tokenizer->bpe, text_len / 8);
    while (status == RL_OK && at < end) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        const char *next = stop != NULL ? stop + 1 : end;
        size_t len = (size_t)((stop != NULL ? stop : end) - at);
        len -= len > 0 && at[len - 1] == '\r';
        bool note = rank == 0 && len >= 8 && memcmp(at, "#version", 8) == 0;
        if (len > 0 && !note) {
            const char *space = memchr(at, ' ', len);
            size_t left = space != NULL ? (size_t)(space - at) : 0;
            if (space == NULL || memchr(space + 1, ' ', len - left - 1) != NULL) {
                status =
                    rl_fail(err, RL_IO, "'%s': merge %d is not a pair of tokens", path, (int)rank);
                break;
            }
            rl_str_clear(&made);
            rl_str_append_n(&made, at, left);
            rl_str_append_n(&made, space + 1, len - left - 1);
            status =
                rl_tokenizer_put_merge(tokenizer, rl_str_text(&made), left, made.len, rank++, err);
        }
        at = next;
    }
    if (status == RL_OK && rank == 0) {
        status = rl_fail(err, RL_IO, "'%s' holds no merges", path);
    }
    rl_str_release(&made);
    return status;
}

static rl_status read_merges(rl_tokenizer *tokenizer, const char *path, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    if (status == RL_OK) {
        status = rl_read_merge_lines(tokenizer, (const char *)file.ptr, file.len, path, err);
        rl_fs_unmap(&file);
    }
    return status;
}

static rl_status add_pipeline(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                              const pipeline *p, rl_err *err) {
    if (p->nfc) {
        rl_normalizer_add(&tokenizer->normalizer,
                          (rl_rewrite){.kind = RL_REWRITE_FORM, .form = RL_UNICODE_NFC});
    }
    if (rl_json_bool(rl_tokenizer_setting(files, "add_prefix_space"), false)) {
        rl_pretokenizer_add(&tokenizer->pretokenizer,
                            (rl_pre_step){.prefix = " ", .where = RL_PREFIX_ALWAYS});
    }
    rl_pre_step split = {
        .is_split = true, .how = RL_SPLIT_ISOLATED, .scan = rl_scan_of(p->pattern)};
    rl_status status = rl_pattern_new(p->pattern, &split.regex, err);
    if (status == RL_OK) {
        rl_pretokenizer_add(&tokenizer->pretokenizer, split);
    }
    tokenizer->bpe.byte_level = true;
    rl_detokenizer_add(&tokenizer->detokenizer, (rl_detoken_stage){.kind = RL_DETOKEN_BYTE_LEVEL});
    return status;
}

// What GPT-2's class itself names where no file does.
static rl_status add_default_end(rl_tokenizer *tokenizer, const char *text, rl_err *err) {
    int32_t id = rl_tokenizer_id(tokenizer, text);
    if (id < 0 || (tokenizer->vocab.token[id].flags & RL_TOKEN_SPECIAL) != 0) {
        return RL_OK;
    }
    tokenizer->vocab.token[id].flags |= RL_TOKEN_SPECIAL;
    tokenizer->bos = tokenizer->eos = id;
    rl_added added = {.text = text, .len = strlen(text), .id = id, .special = true};
    return rl_tokenizer_add(tokenizer, added, false, err);
}

rl_status rl_read_vocab_merges(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                               const char *vocab_path, const char *merges_path, rl_err *err) {
    const pipeline *p;
    rl_status status = find_pipeline(tokenizer->arena, files, &p, err);
    if (status == RL_OK) {
        status = read_vocab(tokenizer, vocab_path, err);
    }
    if (status == RL_OK) {
        status = read_merges(tokenizer, merges_path, err);
    }
    if (status == RL_OK) {
        status = add_pipeline(tokenizer, files, p, err);
    }
    if (status == RL_OK) {
        status = rl_read_listed_tokens(tokenizer, files, false, err);
    }
    if (status == RL_OK && files->config == NULL && files->specials == NULL) {
        status = add_default_end(tokenizer, p->end, err);
    }
    return status == RL_OK ? rl_tokenizer_ready(tokenizer, err) : status;
}
