#include "policy/gguf_vocab.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

bool rl_gguf_is_text(const char *text, size_t len) {
    return rl_utf8_valid(text, len) && memchr(text, 0, len) == NULL;
}

size_t rl_gguf_n_tokens(const rl_gguf *file) {
    size_t n = 0;
    double kind;
    (void)rl_gguf_list(file, "tokenizer.ggml.tokens", &n); // stays 0
    while (n > 0 && rl_gguf_list_real(file, "tokenizer.ggml.token_type", n - 1, &kind) &&
           kind == RL_GGUF_KIND_UNUSED) {
        n--;
    }
    return n;
}

rl_status rl_gguf_vocab_read(rl_gguf_vocab *v, const rl_gguf *file, rl_err *err) {
    const char *text;
    size_t len;
    *v = (rl_gguf_vocab){.file = file};
    v->n_tokens = rl_gguf_n_tokens(file);
    if (v->n_tokens == 0 || v->n_tokens > INT32_MAX) {
        return rl_fail(err, RL_IO, "the metadata have no list 'tokenizer.ggml.tokens'");
    }
    v->id = rl_map_new(v->n_tokens);
    for (size_t i = 0; i < v->n_tokens; i++) {
        if (!rl_gguf_list_text(v->file, "tokenizer.ggml.tokens", i, &text, &len) ||
            !rl_gguf_is_text(text, len)) {
            return rl_fail(err, RL_IO, "token %zu of the metadata is not valid text", i);
        }
        if (!rl_map_add(v->id, text, len, (int64_t)i)) {
            return rl_fail(err, RL_IO, "token '%.*s' is twice in the metadata",
                           len < 100 ? (int)len : 100, text);
        }
    }
    return RL_OK;
}

void rl_gguf_vocab_release(rl_gguf_vocab *v) {
    rl_map_free(v->id);
    *v = (rl_gguf_vocab){0};
}

const char *rl_gguf_vocab_token(const rl_gguf_vocab *v, size_t i, size_t *len) {
    const char *text = "";
    *len = 0;
    (void)rl_gguf_list_text(v->file, "tokenizer.ggml.tokens", i, &text, len); // i is in the list
    return text;
}

int rl_gguf_vocab_kind(const rl_gguf_vocab *v, size_t i) {
    double kind;
    bool known = rl_gguf_list_real(v->file, "tokenizer.ggml.token_type", i, &kind) &&
                 kind >= RL_GGUF_KIND_NORMAL && kind <= RL_GGUF_KIND_BYTE;
    return known ? (int)kind : RL_GGUF_KIND_NORMAL;
}

const char *rl_gguf_named_token(const rl_gguf *file, const char *key, int64_t *id, size_t *len) {
    const char *text;
    if (!rl_gguf_integer(file, key, id) || *id < 0 ||
        !rl_gguf_list_text(file, "tokenizer.ggml.tokens", (size_t)*id, &text, len)) {
        return NULL;
    }
    return text;
}

void rl_gguf_put_vocab(const rl_gguf_vocab *v, rl_json_writer *w) {
    rl_str key = {0};
    rl_json_open_object(w, "vocab");
    for (size_t i = 0; i < v->n_tokens; i++) {
        size_t len;
        const char *text = rl_gguf_vocab_token(v, i, &len);
        rl_str_clear(&key);
        rl_str_append_n(&key, text, len);
        rl_json_put_int(w, rl_str_text(&key), (int64_t)i);
    }
    rl_json_close_object(w);
    rl_str_release(&key);
}

// As the metadata have them, "left right", once both and their joint token are known to exist.
rl_status rl_gguf_put_merges(const rl_gguf_vocab *v, rl_json_writer *w, rl_err *err) {
    rl_str joint = {0};
    size_t n;
    rl_status status = RL_OK;
    if (!rl_gguf_list(v->file, "tokenizer.ggml.merges", &n) || n == 0) {
        return rl_fail(err, RL_UNSUPPORTED, "the tokenizer in the metadata has no merges");
    }
    rl_json_open_list(w, "merges");
    for (size_t i = 0; i < n && status == RL_OK; i++) {
        const char *text = "", *space = NULL;
        size_t len = 0, left;
        int64_t id;
        if (rl_gguf_list_text(v->file, "tokenizer.ggml.merges", i, &text, &len) && len > 1) {
            space = memchr(text + 1, ' ', len - 1);
        }
        left = space != NULL ? (size_t)(space - text) : 0;
        rl_str_clear(&joint);
        rl_str_append_n(&joint, text, left);
        rl_str_append_n(&joint, text + left + (space != NULL), len - left - (space != NULL));
        if (space == NULL || !rl_map_get(v->id, text, left, &id) ||
            !rl_map_get(v->id, space + 1, len - left - 1, &id) ||
            !rl_map_get(v->id, joint.ptr, joint.len, &id)) {
            status = rl_fail(err, RL_IO, "merge %zu of the metadata is not in its vocabulary", i);
        } else {
            rl_json_put_text(w, NULL, text, len);
        }
    }
    rl_json_close_list(w);
    rl_str_release(&joint);
    return status;
}

/* A way to make a token of two others; SentencePiece prefers the token of the highest score. */
typedef struct split {
    double score, left_score, right_score;
    size_t token, left_len;
} split;

static int by_score(const void *left, const void *right) {
    const split *a = left, *b = right;
    const double x[3] = {a->score, a->left_score, a->right_score};
    const double y[3] = {b->score, b->left_score, b->right_score};
    for (int i = 0; i < 3; i++) {
        if (x[i] != y[i]) {
            return x[i] > y[i] ? -1 : 1;
        }
    }
    if (a->token != b->token) {
        return a->token < b->token ? -1 : 1;
    }
    return a->left_len < b->left_len ? -1 : a->left_len > b->left_len;
}

// Pieces of text that the model makes, and so merges: not control tokens, not bytes.
static bool is_piece(const rl_gguf_vocab *v, size_t i) {
    int kind = rl_gguf_vocab_kind(v, i);
    return kind != RL_GGUF_KIND_CONTROL && kind != RL_GGUF_KIND_UNKNOWN &&
           kind != RL_GGUF_KIND_BYTE;
}

static void add_splits(const rl_gguf_vocab *v, size_t i, split **list, size_t *n, size_t *cap) {
    size_t len;
    const char *text = rl_gguf_vocab_token(v, i, &len);
    split s = {.token = i};
    (void)rl_gguf_list_real(v->file, "tokenizer.ggml.scores", i, &s.score); // all are there
    for (s.left_len = 1; s.left_len < len; s.left_len++) {
        int64_t left, right;
        if (((uint8_t)text[s.left_len] & 0xc0) == 0x80 || // within a character
            !rl_map_get(v->id, text, s.left_len, &left) ||
            !rl_map_get(v->id, text + s.left_len, len - s.left_len, &right) ||
            !is_piece(v, (size_t)left) || !is_piece(v, (size_t)right)) {
            continue;
        }
        (void)rl_gguf_list_real(v->file, "tokenizer.ggml.scores", (size_t)left, &s.left_score);
        (void)rl_gguf_list_real(v->file, "tokenizer.ggml.scores", (size_t)right, &s.right_score);
        if (*n == *cap) {
            *cap = *cap == 0 ? 1024 : 2 * *cap;
            *list = rl_realloc(*list, *cap, sizeof **list);
        }
        (*list)[(*n)++] = s;
    }
}

rl_status rl_gguf_put_merges_of_scores(const rl_gguf_vocab *v, rl_json_writer *w, rl_err *err) {
    split *list = NULL;
    size_t n = 0, cap = 0, n_scores;
    if (!rl_gguf_list(v->file, "tokenizer.ggml.scores", &n_scores) || n_scores != v->n_tokens) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the tokenizer in the metadata has neither merges nor scores");
    }
    for (size_t i = 0; i < n_scores; i++) {
        double score;
        if (!rl_gguf_list_real(v->file, "tokenizer.ggml.scores", i, &score) || isnan(score)) {
            return rl_fail(err, RL_IO, "the score of token %zu in the metadata is no number", i);
        }
    }
    for (size_t i = 0; i < v->n_tokens; i++) {
        if (is_piece(v, i)) {
            add_splits(v, i, &list, &n, &cap);
        }
    }
    if (n > 0) {
        qsort(list, n, sizeof *list, by_score);
    }
    rl_json_open_list(w, "merges");
    for (size_t i = 0; i < n; i++) {
        size_t len;
        const char *text = rl_gguf_vocab_token(v, list[i].token, &len);
        rl_json_open_list(w, NULL);
        rl_json_put_text(w, NULL, text, list[i].left_len);
        rl_json_put_text(w, NULL, text + list[i].left_len, len - list[i].left_len);
        rl_json_close_list(w);
    }
    rl_json_close_list(w);
    rl_free(list);
    return RL_OK;
}
