/* rl_tokenizer_load: tokenizer.json with tokenizer_config.json and chat_template.jinja beside it.
 */
#include <string.h>

#include "policy/tokenizer_parts.h"
#include "policy/tokenizer_steps.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"

// Options of the model that change its ids in ways not covered, unless null, false or empty.
static rl_status check_options(const rl_json *model, rl_err *err) {
    static const char *const names[] = {"dropout", "continuing_subword_prefix",
                                        "end_of_word_suffix"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const rl_json *value = rl_json_get(model, names[i]);
        bool is_idle = value == NULL || rl_json_type_of(value) == RL_JSON_NULL ||
                       rl_json_text(value, "x")[0] == '\0' || rl_json_number(value, 1.0) == 0.0;
        if (!is_idle) {
            return rl_fail(err, RL_UNSUPPORTED, "model option '%s' is not covered", names[i]);
        }
    }
    return RL_OK;
}

static rl_status read_vocab(rl_tokenizer *tokenizer, const rl_json *vocab, size_t n_added,
                            rl_err *err) {
    if (rl_json_type_of(vocab) != RL_JSON_OBJECT || rl_json_count(vocab) == 0) {
        return rl_fail(err, RL_IO, "the vocabulary is empty");
    }
    rl_vocab_init(&tokenizer->vocab, tokenizer->arena, rl_json_count(vocab) + n_added);
    for (const rl_json *item = rl_json_first(vocab); item != NULL; item = rl_json_next(item)) {
        const char *text = rl_json_key(item);
        int64_t id;
        if (!rl_json_integer(item, &id)) {
            return rl_fail(err, RL_IO, "the id of token '%s' is not an integer", text);
        }
        rl_status status =
            rl_vocab_put(&tokenizer->vocab, id, text, strlen(text), RL_TOKEN_MODEL, err);
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

// A merge is "left right" or ["left", "right"]; ids of both and of what they make.
static rl_status read_merge(rl_tokenizer *tokenizer, const rl_json *item, int32_t rank,
                            rl_str *made, rl_err *err) {
    const char *left = rl_json_text(item, NULL), *right = NULL;
    size_t left_len = 0;
    if (left != NULL) {
        const char *space = strchr(left, ' ');
        if (space != NULL && strchr(space + 1, ' ') == NULL) {
            left_len = (size_t)(space - left);
            right = space + 1;
        }
    } else if (rl_json_count(item) == 2) {
        const rl_json *first = rl_json_first(item);
        left = rl_json_text(first, NULL);
        right = rl_json_text(rl_json_next(first), NULL);
        left_len = left != NULL ? strlen(left) : 0;
    }
    if (left == NULL || right == NULL) {
        return rl_fail(err, RL_IO, "merge %d is not a pair of tokens", (int)rank);
    }
    rl_str_clear(made);
    rl_str_append_n(made, left, left_len);
    rl_str_append(made, right);
    int32_t a = rl_vocab_find_model(&tokenizer->vocab, left, left_len);
    int32_t b = rl_vocab_find_model(&tokenizer->vocab, right, strlen(right));
    int32_t ab = rl_vocab_find_model(&tokenizer->vocab, rl_str_text(made), made->len);
    if (a < 0 || b < 0 || ab < 0) {
        return rl_fail(err, RL_IO, "merge %d, '%.*s' and '%s', is not in the vocabulary", (int)rank,
                       (int)left_len, left, right);
    }
    rl_bpe_add(&tokenizer->bpe, a, b, rank, ab);
    return RL_OK;
}

static rl_status read_merges(rl_tokenizer *tokenizer, const rl_json *merges, rl_err *err) {
    if (rl_json_type_of(merges) != RL_JSON_LIST || rl_json_count(merges) == 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the tokenizer has no merges; only BPE tokenizers with merges are covered");
    }
    rl_str made = {0};
    rl_status status = RL_OK;
    int32_t rank = 0;
    rl_bpe_expect(&tokenizer->bpe, rl_json_count(merges));
    for (const rl_json *item = rl_json_first(merges); item != NULL && status == RL_OK;
         item = rl_json_next(item)) {
        status = read_merge(tokenizer, item, rank++, &made, err);
    }
    rl_str_release(&made);
    return status;
}

static rl_status read_model(rl_tokenizer *tokenizer, const rl_json *model, size_t n_added,
                            rl_err *err) {
    const char *type = rl_json_text(rl_json_get(model, "type"), "BPE");
    if (strcmp(type, "BPE") != 0) {
        return rl_fail(err, RL_UNSUPPORTED, "tokenizer model '%s' is not covered, only 'BPE' is",
                       type);
    }
    const rl_json *merges = rl_json_get(model, "merges");
    if (merges == NULL) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the tokenizer has no merges; only BPE tokenizers with merges are covered");
    }
    if (rl_json_get(model, "vocab") == NULL) {
        return rl_fail(err, RL_IO, "the tokenizer has no vocabulary");
    }
    rl_status status = check_options(model, err);
    if (status == RL_OK) {
        status = read_vocab(tokenizer, rl_json_get(model, "vocab"), n_added, err);
    }
    if (status == RL_OK) {
        status = read_merges(tokenizer, merges, err);
    }
    if (status != RL_OK) {
        return status;
    }
    const char *unk = rl_json_text(rl_json_get(model, "unk_token"), NULL);
    if (unk != NULL) {
        tokenizer->bpe.unk = rl_vocab_find(&tokenizer->vocab, unk, strlen(unk));
        if (tokenizer->bpe.unk < 0) {
            return rl_fail(err, RL_IO, "unk_token '%s' is not in the vocabulary", unk);
        }
    }
    tokenizer->bpe.fuse_unk = rl_json_bool(rl_json_get(model, "fuse_unk"), false);
    tokenizer->bpe.byte_fallback = rl_json_bool(rl_json_get(model, "byte_fallback"), false);
    tokenizer->bpe.ignore_merges = rl_json_bool(rl_json_get(model, "ignore_merges"), false);
    return RL_OK;
}

static rl_status read_added(rl_tokenizer *tokenizer, const rl_json *list, rl_err *err) {
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        const char *text = rl_json_text(rl_json_get(item, "content"), NULL);
        int64_t id;
        if (text == NULL || !rl_json_integer(rl_json_get(item, "id"), &id)) {
            return rl_fail(err, RL_IO, "an added token has no 'content' or no 'id'");
        }
        if (*text == '\0') {
            continue;
        }
        bool special = rl_json_bool(rl_json_get(item, "special"), false);
        rl_status status = rl_vocab_put(&tokenizer->vocab, id, text, strlen(text),
                                        special ? RL_TOKEN_SPECIAL : 0, err);
        if (status == RL_OK) {
            rl_added added = {
                .text = tokenizer->vocab.token[id].text,
                .len = strlen(text),
                .id = (int32_t)id,
                .special = special,
                .lstrip = rl_json_bool(rl_json_get(item, "lstrip"), false),
                .rstrip = rl_json_bool(rl_json_get(item, "rstrip"), false),
                .single_word = rl_json_bool(rl_json_get(item, "single_word"), false),
            };
            bool normalized = rl_json_bool(rl_json_get(item, "normalized"), !special);
            status = rl_tokenizer_add(tokenizer, added, normalized, err);
        }
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

static rl_status read_tokenizer(rl_tokenizer *tokenizer, const rl_json *root, rl_err *err) {
    const rl_json *added = rl_json_get(root, "added_tokens");
    const rl_json *model = rl_json_get(root, "model");
    if (rl_json_type_of(root) != RL_JSON_OBJECT || model == NULL) {
        return rl_fail(err, RL_IO, "there is no 'model' in it");
    }
    rl_status status = read_model(tokenizer, model, added != NULL ? rl_json_count(added) : 0, err);
    if (status == RL_OK) {
        status = rl_read_normalizer(tokenizer, rl_json_get(root, "normalizer"), err);
    }
    if (status == RL_OK && added != NULL) {
        status = read_added(tokenizer, added, err);
    }
    if (status == RL_OK) {
        status = rl_read_pretokenizer(tokenizer, rl_json_get(root, "pre_tokenizer"), err);
    }
    if (status == RL_OK) {
        status = rl_read_decoder(tokenizer, rl_json_get(root, "decoder"), err);
    }
    if (status == RL_OK) {
        status = rl_read_post_processor(tokenizer, rl_json_get(root, "post_processor"), err);
    }
    return status == RL_OK ? rl_tokenizer_ready(tokenizer, err) : status;
}

// bos_token and the like are a text or an added token written out.
static int32_t named_token(const rl_tokenizer *tokenizer, const rl_json *value) {
    const char *text = rl_json_text(value, rl_json_text(rl_json_get(value, "content"), NULL));
    return text != NULL ? rl_tokenizer_id(tokenizer, text) : -1;
}

// A text, or a list of {"name", "template"} of which the one named "default" counts.
static const char *chat_template(const rl_json *value) {
    const char *text = rl_json_text(value, NULL);
    for (const rl_json *item = rl_json_first(value); item != NULL; item = rl_json_next(item)) {
        if (strcmp(rl_json_text(rl_json_get(item, "name"), ""), "default") == 0) {
            text = rl_json_text(rl_json_get(item, "template"), NULL);
        }
    }
    return text;
}

static rl_status read_config(rl_tokenizer *tokenizer, const char *folder, rl_err *err) {
    const char *path = rl_path_join(tokenizer->arena, folder, "tokenizer_config.json");
    rl_status status = RL_OK;
    if (rl_fs_exists(path)) {
        rl_json_doc *doc = NULL;
        status = rl_json_read(path, &doc, err);
        if (status == RL_OK) {
            const rl_json *root = rl_json_root(doc);
            tokenizer->bos = named_token(tokenizer, rl_json_get(root, "bos_token"));
            tokenizer->eos = named_token(tokenizer, rl_json_get(root, "eos_token"));
            const char *text = chat_template(rl_json_get(root, "chat_template"));
            if (text != NULL) {
                tokenizer->chat_template = rl_arena_strdup(tokenizer->arena, text);
            }
        }
        rl_json_free(doc);
    }
    path = rl_path_join(tokenizer->arena, folder, "chat_template.jinja");
    if (status == RL_OK && rl_fs_exists(path)) {
        char *text;
        size_t len;
        status = rl_fs_read(path, tokenizer->arena, &text, &len, err);
        if (status == RL_OK) {
            tokenizer->chat_template = text;
        }
    }
    return status;
}

rl_status rl_tokenizer_from_json(const rl_json *root, const char *name, rl_tokenizer **out,
                                 rl_err *err) {
    rl_tokenizer *tokenizer = rl_tokenizer_new(name);
    rl_err why = {""};
    rl_status status = read_tokenizer(tokenizer, root, &why);
    *out = tokenizer;
    if (status != RL_OK) {
        rl_fail(err, status, "'%s': %.400s", name, why.text);
        rl_tokenizer_free(tokenizer);
        *out = NULL;
    }
    return status;
}

rl_status rl_tokenizer_load(const char *folder, rl_tokenizer **out, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    const char *path = rl_path_join(arena, folder, "tokenizer.json");
    rl_json_doc *doc = NULL;
    rl_status status;
    *out = NULL;
    if (rl_fs_is_dir(folder) && !rl_fs_exists(path)) {
        status =
            rl_fail(err, RL_IO, "'%s' has no tokenizer.json; save the tokenizer with its fast form",
                    folder);
        goto out;
    }
    status = rl_json_read(path, &doc, err);
    if (status == RL_OK) {
        status = rl_tokenizer_from_json(rl_json_root(doc), path, out, err);
    }
    if (status == RL_OK) {
        (*out)->name = rl_arena_strdup((*out)->arena, folder);
        status = read_config(*out, folder, err);
        if (status != RL_OK) {
            rl_tokenizer_free(*out);
            *out = NULL;
        }
    }
out:
    rl_json_free(doc);
    rl_arena_free(arena);
    return status;
}
