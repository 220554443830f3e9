/* rl_tokenizer_from_gguf: the tokenizer.ggml.* metadata, as llama.cpp reads it. */
#include <string.h>

#include "policy/gguf_pre.h"
#include "policy/gguf_vocab.h"
#include "policy/pattern.h"
#include "policy/tokenizer_forms.h"
#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

// The text of a key in the tokenizer's arena, or NULL.
static const char *text_of(rl_tokenizer *tokenizer, const rl_gguf *file, const char *key) {
    const char *text;
    size_t len;
    return rl_gguf_text(file, key, &text, &len) ? rl_arena_strndup(tokenizer->arena, text, len)
                                                : NULL;
}

static int64_t kind_of(const rl_gguf *file, size_t i) {
    double kind;
    bool known = rl_gguf_list_real(file, "tokenizer.ggml.token_type", i, &kind);
    return known && kind >= 0 && kind <= RL_GGUF_KIND_BYTE ? (int64_t)kind : RL_GGUF_KIND_NORMAL;
}

// `scored`: SentencePiece, where control tokens, bytes and the unknown never come out of the model.
static rl_status read_tokens(rl_tokenizer *tokenizer, const rl_gguf *file, bool scored,
                             rl_err *err) {
    size_t n = 0, n_kinds;
    if (!rl_gguf_list(file, "tokenizer.ggml.tokens", &n) || rl_gguf_n_tokens(file) == 0) {
        return rl_fail(err, RL_IO, "there is no list 'tokenizer.ggml.tokens'");
    }
    if (rl_gguf_list(file, "tokenizer.ggml.token_type", &n_kinds) && n_kinds != n) {
        return rl_fail(err, RL_IO, "there are %zu tokens but %zu token types", n, n_kinds);
    }
    n = rl_gguf_n_tokens(file);
    rl_vocab_init(&tokenizer->vocab, tokenizer->arena, n);
    for (size_t i = 0; i < n; i++) {
        const char *text;
        size_t len;
        if (!rl_gguf_list_text(file, "tokenizer.ggml.tokens", i, &text, &len) ||
            !rl_utf8_valid(text, len) || memchr(text, '\0', len) != NULL) {
            return rl_fail(err, RL_IO, "token %zu is not valid text", i);
        }
        int64_t kind = kind_of(file, i);
        bool special = kind == RL_GGUF_KIND_CONTROL || kind == RL_GGUF_KIND_UNKNOWN;
        bool model = !scored || (!special && kind != RL_GGUF_KIND_BYTE);
        unsigned flags = (model ? RL_TOKEN_MODEL : 0u) | (special ? RL_TOKEN_SPECIAL : 0u);
        rl_status status = rl_vocab_put(&tokenizer->vocab, (int64_t)i, text, len, flags, err);
        if (status == RL_OK && len > 0 &&
            (kind == RL_GGUF_KIND_CONTROL || kind == RL_GGUF_KIND_USER)) {
            rl_added added = {.text = tokenizer->vocab.token[i].text,
                              .len = len,
                              .id = (int32_t)i,
                              .special = special};
            status = rl_tokenizer_add(tokenizer, added, false, err);
        }
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

static rl_status read_merges(rl_tokenizer *tokenizer, const rl_gguf *file, rl_err *err) {
    size_t n;
    if (!rl_gguf_list(file, "tokenizer.ggml.merges", &n) || n == 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the tokenizer has no merges; only BPE tokenizers with merges are covered");
    }
    rl_str made = {0};
    rl_status status = RL_OK;
    rl_bpe_expect(&tokenizer->bpe, n);
    for (size_t i = 0; i < n && status == RL_OK; i++) {
        const char *text = NULL, *space = NULL;
        size_t len = 0;
        if (rl_gguf_list_text(file, "tokenizer.ggml.merges", i, &text, &len) && len > 1) {
            space = memchr(text + 1, ' ', len - 1);
        }
        if (space == NULL) {
            status = rl_fail(err, RL_IO, "merge %zu is not a pair of tokens", i);
            break;
        }
        size_t left_len = (size_t)(space - text), right_len = len - left_len - 1;
        rl_str_clear(&made);
        rl_str_append_n(&made, text, left_len);
        rl_str_append_n(&made, space + 1, right_len);
        int32_t a = rl_vocab_find(&tokenizer->vocab, text, left_len);
        int32_t b = rl_vocab_find(&tokenizer->vocab, space + 1, right_len);
        int32_t ab = rl_vocab_find(&tokenizer->vocab, made.ptr, made.len);
        if (a < 0 || b < 0 || ab < 0) {
            status = rl_fail(err, RL_IO, "merge %zu, '%.*s', is not in the vocabulary", i,
                             len < 80 ? (int)len : 80, text);
            break;
        }
        rl_bpe_add(&tokenizer->bpe, a, b, (int32_t)i, ab);
    }
    rl_str_release(&made);
    return status;
}

static rl_status read_byte_level(rl_tokenizer *tokenizer, const rl_gguf *file, bool *add_bos,
                                 rl_err *err) {
    const char *name = text_of(tokenizer, file, "tokenizer.ggml.pre");
    name = name != NULL ? name : "default";
    const rl_gguf_pre *pre = rl_gguf_pre_find(name, strlen(name));
    if (pre == NULL) {
        return rl_fail(err, RL_UNSUPPORTED, "pre-tokenizer '%s' is not covered", name);
    }
    rl_status status = read_tokens(tokenizer, file, false, err);
    if (status == RL_OK) {
        status = read_merges(tokenizer, file, err);
    }
    for (size_t i = 0; i < RL_GGUF_PRE_MAX && pre->pattern[i] != NULL && status == RL_OK; i++) {
        rl_pre_step step = {
            .is_split = true, .how = RL_SPLIT_ISOLATED, .scan = rl_scan_of(pre->pattern[i])};
        status = rl_pattern_new(pre->pattern[i], &step.regex, err);
        if (status == RL_OK) {
            rl_pretokenizer_add(&tokenizer->pretokenizer, step);
        }
    }
    tokenizer->bpe.byte_level = true;
    tokenizer->bpe.ignore_merges = pre->ignore_merges;
    rl_detokenizer_add(&tokenizer->detokenizer, (rl_detoken_stage){.kind = RL_DETOKEN_BYTE_LEVEL});
    *add_bos = pre->add_bos;
    return status;
}

static rl_status read_scores(rl_tokenizer *tokenizer, const rl_gguf *file, rl_err *err) {
    int32_t n = tokenizer->vocab.n_tokens;
    size_t n_scores;
    if (!rl_gguf_list(file, "tokenizer.ggml.scores", &n_scores) || n_scores < (size_t)n) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the tokenizer has neither merges nor a score for every token");
    }
    double *score = rl_alloc((size_t)n, sizeof *score);
    rl_status status = RL_OK;
    for (int32_t i = 0; i < n; i++) {
        if (!rl_gguf_list_real(file, "tokenizer.ggml.scores", (size_t)i, &score[i]) ||
            score[i] != score[i]) {
            status = rl_fail(err, RL_IO, "the score of token %d is not a number", (int)i);
            break;
        }
    }
    if (status == RL_OK) {
        rl_bpe_rank_by_score(&tokenizer->bpe, score);
    }
    rl_free(score);
    return status;
}

static rl_status read_sentencepiece(rl_tokenizer *tokenizer, const rl_gguf *file, rl_err *err) {
    bool prefix = true;
    rl_gguf_bool(file, "tokenizer.ggml.add_space_prefix", &prefix);
    rl_status status = read_tokens(tokenizer, file, true, err);
    if (status == RL_OK) {
        status = read_scores(tokenizer, file, err);
    }
    tokenizer->bpe.byte_fallback = true; // llama.cpp asks no setting
    int64_t unk = -1;
    if (status == RL_OK && rl_gguf_integer(file, "tokenizer.ggml.unknown_token_id", &unk) &&
        unk >= 0 && unk < tokenizer->vocab.n_tokens) {
        tokenizer->bpe.unk = (int32_t)unk;
    }
    rl_add_sentencepiece_rules(tokenizer, prefix);
    return status;
}

static int32_t named_token(const rl_tokenizer *tokenizer, const rl_gguf *file, const char *key) {
    int64_t id;
    return rl_gguf_integer(file, key, &id) && id >= 0 && id < tokenizer->vocab.n_tokens
               ? (int32_t)id
               : -1;
}

static void read_named(rl_tokenizer *tokenizer, const rl_gguf *file) {
    static const rl_named_token parts[] = {
        {"unk_token", "tokenizer.ggml.unknown_token_id"},
        {"sep_token", "tokenizer.ggml.seperator_token_id"}, // as the format spells it
        {"pad_token", "tokenizer.ggml.padding_token_id"},
        {"cls_token", "tokenizer.ggml.cls_token_id"},
        {"mask_token", "tokenizer.ggml.mask_token_id"},
    };
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        int32_t id = named_token(tokenizer, file, parts[i].text);
        if (id >= 0 && tokenizer->vocab.token[id].text != NULL) {
            tokenizer->named[tokenizer->n_named++] =
                (rl_named_token){parts[i].name, tokenizer->vocab.token[id].text};
        }
    }
}

static rl_status read_file(rl_tokenizer *tokenizer, const rl_gguf *file, rl_err *err) {
    const char *model = text_of(tokenizer, file, "tokenizer.ggml.model");
    bool add_bos = false, add_eos = false;
    rl_status status;
    if (model == NULL) {
        return rl_fail(err, RL_IO, "it holds no tokenizer");
    }
    if (strcmp(model, "gpt2") == 0) {
        status = read_byte_level(tokenizer, file, &add_bos, err);
    } else if (strcmp(model, "llama") == 0) {
        status = read_sentencepiece(tokenizer, file, err);
        add_bos = true;
    } else {
        status = rl_fail(err, RL_UNSUPPORTED, "tokenizer model '%s' is not covered", model);
    }
    if (status != RL_OK) {
        return status;
    }
    tokenizer->bos = named_token(tokenizer, file, "tokenizer.ggml.bos_token_id");
    tokenizer->eos = named_token(tokenizer, file, "tokenizer.ggml.eos_token_id");
    tokenizer->chat_template = text_of(tokenizer, file, "tokenizer.chat_template");
    const char *template;
    size_t template_len;
    if (rl_gguf_text(file, "tokenizer.chat_template", &template, &template_len) &&
        memchr(template, '\0', template_len) != NULL) {
        return rl_fail(err, RL_IO, "a NUL byte in 'tokenizer.chat_template'");
    }
    read_named(tokenizer, file);
    rl_gguf_bool(file, "tokenizer.ggml.add_bos_token", &add_bos);
    rl_gguf_bool(file, "tokenizer.ggml.add_eos_token", &add_eos);
    if (add_bos && tokenizer->bos >= 0) {
        rl_ids_push(&tokenizer->frame_before, tokenizer->bos);
    }
    if (add_eos && tokenizer->eos >= 0) {
        rl_ids_push(&tokenizer->frame_after, tokenizer->eos);
    }
    return rl_tokenizer_ready(tokenizer, err);
}

rl_status rl_tokenizer_from_gguf(const rl_gguf *file, rl_tokenizer **out, rl_err *err) {
    rl_tokenizer *tokenizer = rl_tokenizer_new("the GGUF file");
    const char *name = text_of(tokenizer, file, "general.name");
    if (name != NULL) {
        tokenizer->name = name;
    }
    rl_err why = {""};
    rl_status status = read_file(tokenizer, file, &why);
    *out = tokenizer;
    if (status != RL_OK) {
        rl_fail(err, status, "tokenizer of '%.80s': %.400s", tokenizer->name, why.text);
        rl_tokenizer_free(tokenizer);
        *out = NULL;
    }
    return status;
}
