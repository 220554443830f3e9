#include "policy/gguf_tokenizer.h"

#include <string.h>

#include "policy/gguf_pre.h"
#include "policy/gguf_vocab.h"
#include "policy/pattern.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/json.h"

#define MARK "\xe2\x96\x81" // U+2581, SentencePiece's space

static void put(rl_json_writer *w, const char *key, const char *text) {
    rl_json_put_text(w, key, text, strlen(text));
}

static void put_added_tokens(const rl_gguf_vocab *v, rl_json_writer *w) {
    static const char *const no[] = {"single_word", "lstrip", "rstrip", "normalized"};
    rl_json_open_list(w, "added_tokens");
    for (size_t i = 0; i < v->n_tokens; i++) {
        int kind = rl_gguf_vocab_kind(v, i);
        size_t len;
        const char *text = rl_gguf_vocab_token(v, i, &len);
        if (len == 0 || (kind != RL_GGUF_KIND_CONTROL && kind != RL_GGUF_KIND_USER)) {
            continue;
        }
        rl_json_open_object(w, NULL);
        rl_json_put_int(w, "id", (int64_t)i);
        rl_json_put_text(w, "content", text, len);
        for (size_t k = 0; k < sizeof no / sizeof no[0]; k++) {
            rl_json_put_bool(w, no[k], false);
        }
        rl_json_put_bool(w, "special", kind == RL_GGUF_KIND_CONTROL);
        rl_json_close_object(w);
    }
    rl_json_close_list(w);
}

static void put_byte_level(rl_json_writer *w, const char *key, bool use_regex) {
    rl_json_open_object(w, key);
    put(w, "type", "ByteLevel");
    rl_json_put_bool(w, "add_prefix_space", false);
    rl_json_put_bool(w, "trim_offsets", true);
    rl_json_put_bool(w, "use_regex", use_regex);
    rl_json_close_object(w);
}

static void put_split(rl_json_writer *w, const char *pattern) {
    rl_json_open_object(w, NULL);
    if (strcmp(pattern, RL_GGUF_PRE_DIGIT) == 0) {
        put(w, "type", "Digits");
        rl_json_put_bool(w, "individual_digits", true);
    } else {
        put(w, "type", "Split");
        rl_json_open_object(w, "pattern");
        put(w, "Regex", pattern);
        rl_json_close_object(w);
        put(w, "behavior", "Isolated");
        rl_json_put_bool(w, "invert", false);
    }
    rl_json_close_object(w);
}

// The cuts in their order; ByteLevel, always last, makes GPT-2's own cut if that is the last one.
static void put_pretokenizer(const rl_gguf_pre *pre, rl_json_writer *w) {
    size_t n = 0;
    bool gpt2;
    while (n < RL_GGUF_PRE_MAX && pre->pattern[n] != NULL) {
        n++;
    }
    RL_ASSERT(n > 0);
    gpt2 = strcmp(pre->pattern[n - 1], RL_PATTERN_GPT2) == 0;
    rl_json_open_object(w, "pre_tokenizer");
    put(w, "type", "Sequence");
    rl_json_open_list(w, "pretokenizers");
    for (size_t i = 0; i < n - (gpt2 ? 1 : 0); i++) {
        put_split(w, pre->pattern[i]);
    }
    put_byte_level(w, NULL, gpt2);
    rl_json_close_list(w);
    rl_json_close_object(w);
}

static void put_replace(rl_json_writer *w, const char *key, const char *from, const char *to) {
    rl_json_open_object(w, key);
    put(w, "type", "Replace");
    rl_json_open_object(w, "pattern");
    put(w, "String", from);
    rl_json_close_object(w);
    put(w, "content", to);
    rl_json_close_object(w);
}

// SentencePiece: spaces become a mark, with one put before the text if `prefix`; and back.
static void put_marks(rl_json_writer *w, bool prefix) {
    rl_json_open_object(w, "normalizer");
    put(w, "type", "Sequence");
    rl_json_open_list(w, "normalizers");
    if (prefix) {
        rl_json_open_object(w, NULL);
        put(w, "type", "Prepend");
        put(w, "prepend", MARK);
        rl_json_close_object(w);
    }
    put_replace(w, NULL, " ", MARK);
    rl_json_close_list(w);
    rl_json_close_object(w);
    rl_json_put_null(w, "pre_tokenizer");
    rl_json_open_object(w, "decoder");
    put(w, "type", "Sequence");
    rl_json_open_list(w, "decoders");
    put_replace(w, NULL, MARK, " ");
    rl_json_open_object(w, NULL);
    put(w, "type", "ByteFallback");
    rl_json_close_object(w);
    rl_json_open_object(w, NULL);
    put(w, "type", "Fuse");
    rl_json_close_object(w);
    if (prefix) {
        rl_json_open_object(w, NULL);
        put(w, "type", "Strip");
        put(w, "content", " ");
        rl_json_put_int(w, "start", 1);
        rl_json_put_int(w, "stop", 0);
        rl_json_close_object(w);
    }
    rl_json_close_list(w);
    rl_json_close_object(w);
}

static void put_template_item(rl_json_writer *w, const char *kind, const char *id, size_t id_len,
                              int type_id) {
    rl_json_open_object(w, NULL);
    rl_json_open_object(w, kind);
    rl_json_put_text(w, "id", id, id_len);
    rl_json_put_int(w, "type_id", type_id);
    rl_json_close_object(w);
    rl_json_close_object(w);
}

// bos and eos around each sequence, where the metadata ask for them.
static void put_frame(const rl_gguf_vocab *v, bool add_bos, rl_json_writer *w) {
    static const char *const keys[2] = {"tokenizer.ggml.bos_token_id",
                                        "tokenizer.ggml.eos_token_id"};
    static const char *const forms[2] = {"single", "pair"}, *const sequence[2] = {"A", "B"};
    const char *text[2] = {NULL, NULL};
    size_t len[2] = {0, 0};
    int64_t id[2];
    bool add[2] = {add_bos, false};
    (void)rl_gguf_bool(v->file, "tokenizer.ggml.add_bos_token", &add[0]); // stay as they are
    (void)rl_gguf_bool(v->file, "tokenizer.ggml.add_eos_token", &add[1]); // where absent
    for (int i = 0; i < 2; i++) {
        text[i] = add[i] ? rl_gguf_named_token(v->file, keys[i], &id[i], &len[i]) : NULL;
    }
    rl_json_open_object(w, "post_processor");
    put(w, "type", "TemplateProcessing");
    for (int form = 0; form < 2; form++) {
        rl_json_open_list(w, forms[form]);
        for (int s = 0; s <= form; s++) {
            if (text[0] != NULL) {
                put_template_item(w, "SpecialToken", text[0], len[0], s);
            }
            put_template_item(w, "Sequence", sequence[s], 1, s);
            if (text[1] != NULL) {
                put_template_item(w, "SpecialToken", text[1], len[1], s);
            }
        }
        rl_json_close_list(w);
    }
    rl_json_open_object(w, "special_tokens");
    for (int i = 0; i < 2; i++) {
        if (text[i] != NULL && !(i == 1 && text[0] != NULL && id[0] == id[1])) {
            char *key = rl_strndup(text[i], len[i]);
            rl_json_open_object(w, key);
            rl_json_put_text(w, "id", text[i], len[i]);
            rl_json_open_list(w, "ids");
            rl_json_put_int(w, NULL, id[i]);
            rl_json_close_list(w);
            rl_json_open_list(w, "tokens");
            rl_json_put_text(w, NULL, text[i], len[i]);
            rl_json_close_list(w);
            rl_json_close_object(w);
            rl_free(key);
        }
    }
    rl_json_close_object(w);
    rl_json_close_object(w);
}

static rl_status put_model(const rl_gguf_vocab *v, const rl_gguf_pre *pre, rl_json_writer *w,
                           rl_err *err) {
    int64_t id;
    size_t len;
    const char *unk =
        pre == NULL ? rl_gguf_named_token(v->file, "tokenizer.ggml.unknown_token_id", &id, &len)
                    : NULL;
    rl_status status;
    rl_json_open_object(w, "model");
    put(w, "type", "BPE");
    rl_json_put_null(w, "dropout");
    if (unk != NULL) {
        rl_json_put_text(w, "unk_token", unk, len);
    } else {
        rl_json_put_null(w, "unk_token");
    }
    rl_json_put_null(w, "continuing_subword_prefix");
    rl_json_put_null(w, "end_of_word_suffix");
    rl_json_put_bool(w, "fuse_unk", pre == NULL);
    rl_json_put_bool(w, "byte_fallback", pre == NULL);
    rl_json_put_bool(w, "ignore_merges", pre != NULL && pre->ignore_merges);
    rl_gguf_put_vocab(v, w);
    status = pre != NULL ? rl_gguf_put_merges(v, w, err) : rl_gguf_put_merges_of_scores(v, w, err);
    rl_json_close_object(w);
    return status;
}

// *pre is NULL for SentencePiece.
static rl_status find_kind(const rl_gguf *file, const rl_gguf_pre **pre, rl_err *err) {
    const char *model = "", *name = "default";
    size_t model_len = 0, name_len = 7;
    *pre = NULL;
    (void)rl_gguf_text(file, "tokenizer.ggml.model", &model, &model_len); // stays ""
    if (model_len == 5 && memcmp(model, "llama", 5) == 0) {
        return RL_OK;
    }
    if (model_len != 4 || memcmp(model, "gpt2", 4) != 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "tokenizer model '%.*s' is not supported; supported: gpt2, llama",
                       model_len < 100 ? (int)model_len : 100, model);
    }
    (void)rl_gguf_text(file, "tokenizer.ggml.pre", &name, &name_len); // stays "default"
    *pre = rl_gguf_pre_find(name, name_len);
    if (*pre == NULL) {
        return rl_fail(err, RL_UNSUPPORTED, "pre-tokenizer '%.*s' is not supported",
                       name_len < 100 ? (int)name_len : 100, name);
    }
    return RL_OK;
}

bool rl_gguf_has_no_words(const rl_gguf *file) {
    const char *model;
    size_t len;
    return rl_gguf_text(file, "tokenizer.ggml.model", &model, &len) && len == 4 &&
           memcmp(model, "none", 4) == 0;
}

rl_status rl_gguf_tokenizer_json(const rl_gguf *file, rl_str *out, rl_err *err) {
    rl_gguf_vocab v = {0};
    rl_json_writer w = {.out = out};
    const rl_gguf_pre *pre;
    bool prefix = true;
    rl_status status = find_kind(file, &pre, err);
    if (status == RL_OK) {
        status = rl_gguf_vocab_read(&v, file, err);
    }
    if (status == RL_OK) {
        rl_json_open_object(&w, NULL);
        put(&w, "version", "1.0");
        rl_json_put_null(&w, "truncation");
        rl_json_put_null(&w, "padding");
        put_added_tokens(&v, &w);
        if (pre != NULL) {
            rl_json_put_null(&w, "normalizer");
            put_pretokenizer(pre, &w);
            put_byte_level(&w, "decoder", true);
        } else {
            (void)rl_gguf_bool(file, "tokenizer.ggml.add_space_prefix", &prefix); // stays true
            put_marks(&w, prefix);
        }
        put_frame(&v, pre == NULL || pre->add_bos, &w);
        status = put_model(&v, pre, &w, err);
        rl_json_close_object(&w);
    }
    rl_gguf_vocab_release(&v);
    return status;
}

rl_status rl_gguf_tokenizer_config_json(const rl_gguf *file, int32_t max_positions, rl_str *out,
                                        rl_err *err) {
    static const char *const names[][2] = {
        {"bos_token", "tokenizer.ggml.bos_token_id"},
        {"eos_token", "tokenizer.ggml.eos_token_id"},
        {"pad_token", "tokenizer.ggml.padding_token_id"},
        {"unk_token", "tokenizer.ggml.unknown_token_id"},
    };
    rl_json_writer w = {.out = out};
    const char *text;
    size_t len;
    int64_t id;
    rl_json_open_object(&w, NULL);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        text = rl_gguf_named_token(file, names[i][1], &id, &len);
        if (text != NULL && !rl_gguf_is_text(text, len)) {
            return rl_fail(err, RL_IO, "token %lld of the metadata is not valid text",
                           (long long)id);
        }
        if (text != NULL) {
            rl_json_put_text(&w, names[i][0], text, len);
        }
    }
    if (rl_gguf_text(file, "tokenizer.chat_template", &text, &len)) {
        if (!rl_gguf_is_text(text, len)) {
            return rl_fail(err, RL_IO, "the chat template in the metadata is not valid text");
        }
        rl_json_put_text(&w, "chat_template", text, len);
    }
    rl_json_put_bool(&w, "clean_up_tokenization_spaces", false);
    rl_json_put_int(&w, "model_max_length", max_positions);
    put(&w, "tokenizer_class", "PreTrainedTokenizerFast");
    rl_json_close_object(&w);
    return RL_OK;
}
