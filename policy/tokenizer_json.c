/*
 * tokenizer.json. Its vocabulary and merges are most of it, millions of bytes: they are walked over
 * once, the rest is read as a tree.
 */
#include <string.h>

#include "policy/tokenizer_parts.h"
#include "policy/tokenizer_steps.h"
#include "rl/core/alloc.h"
#include "rl/core/json.h"

enum { VOCAB, MERGES, N_PARTS }; // members of "model" that stay out of the tree

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

static rl_status no_merges(rl_err *err) {
    return rl_fail(err, RL_UNSUPPORTED,
                   "the tokenizer has no merges; only BPE tokenizers with merges are covered");
}

static rl_status read_vocab(rl_tokenizer *tokenizer, rl_json_span span, size_t n_added,
                            rl_err *err) {
    rl_json_walk walk = {.at = span.text, .end = span.text + span.len};
    rl_str key = {0};
    rl_status status = RL_OK;
    size_t n = 0;
    // No entry takes less than half of the bytes that this counts for one.
    rl_vocab_init(&tokenizer->vocab, tokenizer->arena, span.len / 12 + n_added);
    (void)rl_json_walk_next(&walk); // the opening brace
    for (; status == RL_OK && rl_json_walk_next(&walk) == RL_JSON_AT_KEY; n++) {
        int64_t id;
        rl_str_clear(&key);
        rl_str_append_n(&key, walk.text, walk.text_len);
        if (rl_json_walk_next(&walk) != RL_JSON_AT_NUMBER || !rl_json_walk_integer(&walk, &id)) {
            status = rl_fail(err, RL_IO, "the id of token '%.100s' is not an integer",
                             rl_str_text(&key));
            break;
        }
        status =
            rl_vocab_put(&tokenizer->vocab, id, rl_str_text(&key), key.len, RL_TOKEN_MODEL, err);
        if (status == RL_OK && tokenizer->vocab.n_used == n) {
            status =
                rl_fail(err, RL_IO, "token '%.100s' is twice in the vocabulary", rl_str_text(&key));
        }
    }
    rl_str_release(&key);
    rl_json_walk_release(&walk);
    return status != RL_OK || n > 0 ? status : rl_fail(err, RL_IO, "the vocabulary is empty");
}

rl_status rl_tokenizer_put_merge(rl_tokenizer *tokenizer, const char *text, size_t left_len,
                                 size_t text_len, int32_t rank, rl_err *err) {
    const rl_vocab *vocab = &tokenizer->vocab;
    int32_t left = rl_vocab_find_model(vocab, text, left_len);
    int32_t right = rl_vocab_find_model(vocab, text + left_len, text_len - left_len);
    // Training made a token a merge, so ids mostly follow the ranks.
    int32_t made = rl_vocab_find_near(vocab, text, text_len, tokenizer->bpe.last_made + 1);
    if (left < 0 || right < 0 || made < 0 || (vocab->token[made].flags & RL_TOKEN_MODEL) == 0) {
        return rl_fail(err, RL_IO, "merge %d, '%.*s' and '%.*s', is not in the vocabulary",
                       (int)rank, (int)(left_len < 60 ? left_len : 60), text,
                       (int)(text_len - left_len < 60 ? text_len - left_len : 60), text + left_len);
    }
    rl_bpe_add(&tokenizer->bpe, left, right, rank, made);
    return RL_OK;
}

// A merge is "left right" or ["left", "right"], `event` being its first; both halves go to `made`.
static bool read_merge(rl_json_walk *walk, rl_json_event event, rl_str *made, size_t *left_len) {
    rl_str_clear(made);
    if (event == RL_JSON_AT_TEXT) {
        const char *space = memchr(walk->text, ' ', walk->text_len);
        size_t len = space != NULL ? (size_t)(space - walk->text) : 0;
        if (space == NULL || memchr(space + 1, ' ', walk->text_len - len - 1) != NULL) {
            return false;
        }
        rl_str_append_n(made, walk->text, len);
        *left_len = len;
        rl_str_append_n(made, space + 1, walk->text_len - len - 1);
        return true;
    }
    for (int i = 0; i < 2; i++) {
        if (event != RL_JSON_AT_OPEN || rl_json_walk_next(walk) != RL_JSON_AT_TEXT) {
            return false;
        }
        *left_len = made->len;
        rl_str_append_n(made, walk->text, walk->text_len);
    }
    return rl_json_walk_next(walk) == RL_JSON_AT_CLOSE;
}

static rl_status read_merges(rl_tokenizer *tokenizer, rl_json_span span, rl_err *err) {
    rl_json_walk walk = {.at = span.text, .end = span.text + span.len};
    rl_str made = {0};
    rl_status status = RL_OK;
    int32_t rank = 0;
    rl_bpe_expect(&tokenizer->bpe, span.len / 40);
    (void)rl_json_walk_next(&walk); // the opening bracket
    for (; status == RL_OK; rank++) {
        size_t left_len = 0;
        rl_json_event event = rl_json_walk_next(&walk);
        if (event == RL_JSON_AT_CLOSE) {
            break;
        }
        status = read_merge(&walk, event, &made, &left_len)
                     ? rl_tokenizer_put_merge(tokenizer, rl_str_text(&made), left_len, made.len,
                                              rank, err)
                     : rl_fail(err, RL_IO, "merge %d is not a pair of tokens", (int)rank);
    }
    rl_str_release(&made);
    rl_json_walk_release(&walk);
    return status != RL_OK || rank > 0 ? status : no_merges(err);
}

static rl_status read_model(rl_tokenizer *tokenizer, const rl_json *model, const rl_json_span *part,
                            size_t n_added, rl_err *err) {
    const char *type = rl_json_text(rl_json_get(model, "type"), "BPE");
    if (strcmp(type, "BPE") != 0) {
        return rl_fail(err, RL_UNSUPPORTED, "tokenizer model '%s' is not covered, only 'BPE' is",
                       type);
    }
    if (part[MERGES].text == NULL || part[MERGES].text[0] != '[') {
        return no_merges(err);
    }
    if (part[VOCAB].text == NULL || part[VOCAB].text[0] != '{') {
        return rl_fail(err, RL_IO, "the tokenizer has no vocabulary");
    }
    rl_status status = check_options(model, err);
    if (status == RL_OK) {
        status = read_vocab(tokenizer, part[VOCAB], n_added, err);
    }
    if (status == RL_OK) {
        status = read_merges(tokenizer, part[MERGES], err);
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

rl_status rl_tokenizer_read_added(rl_tokenizer *tokenizer, const rl_json *item, int64_t id,
                                  rl_err *err) {
    const char *text = rl_json_text(rl_json_get(item, "content"), NULL);
    if (text == NULL) {
        return rl_fail(err, RL_IO, "an added token has no 'content'");
    }
    if (*text == '\0') {
        return RL_OK;
    }
    bool special = rl_json_bool(rl_json_get(item, "special"), false);
    rl_status status = rl_vocab_put(&tokenizer->vocab, id, text, strlen(text),
                                    special ? RL_TOKEN_SPECIAL : 0, err);
    if (status != RL_OK) {
        return status;
    }
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
    return rl_tokenizer_add(tokenizer, added, normalized, err);
}

static rl_status read_added(rl_tokenizer *tokenizer, const rl_json *list, rl_err *err) {
    rl_status status = RL_OK;
    const rl_json *item = rl_json_first(list);
    for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
        int64_t id;
        status = rl_json_integer(rl_json_get(item, "id"), &id)
                     ? rl_tokenizer_read_added(tokenizer, item, id, err)
                     : rl_fail(err, RL_IO, "an added token has no 'id'");
    }
    return status;
}

static rl_status read_tokenizer(rl_tokenizer *tokenizer, const rl_json *root,
                                const rl_json_span *part, rl_err *err) {
    const rl_json *added = rl_json_get(root, "added_tokens");
    const rl_json *model = rl_json_get(root, "model");
    if (rl_json_type_of(root) != RL_JSON_OBJECT || model == NULL) {
        return rl_fail(err, RL_IO, "there is no 'model' in it");
    }
    rl_status status = read_model(tokenizer, model, part, rl_json_count(added), err);
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

rl_status rl_tokenizer_from_text(const char *text, size_t text_len, const char *name,
                                 rl_tokenizer **out, rl_err *err) {
    static const char *const inner[] = {[VOCAB] = "vocab", [MERGES] = "merges"};
    rl_json_span part[N_PARTS];
    rl_json_doc *doc = NULL;
    rl_err why = {""};
    *out = NULL;
    rl_status status =
        rl_json_parse_lean(text, text_len, name, "model", inner, N_PARTS, part, &doc, err);
    if (status != RL_OK) {
        return status;
    }
    *out = rl_tokenizer_new(name);
    status = read_tokenizer(*out, rl_json_root(doc), part, &why);
    rl_json_free(doc);
    if (status != RL_OK) {
        rl_fail(err, status, "'%s': %.400s", name, why.text);
        rl_tokenizer_free(*out);
        *out = NULL;
    }
    return status;
}
