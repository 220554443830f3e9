#include "rollout/placing.h"

#include <string.h>

#include "rl/core/alloc.h"

#define REPLACEMENT "\xef\xbf\xbd"

rl_placing rl_placing_begin(const rl_tokenizer *tokenizer) {
    size_t n = (size_t)rl_tokenizer_vocab(tokenizer);
    rl_placing p = {.tokenizer = tokenizer,
                    .begin = rl_alloc(n, sizeof *p.begin),
                    .length = rl_alloc(n, sizeof *p.length)};
    memset(p.begin, 0xff, n * sizeof *p.begin);
    return p;
}

void rl_placing_release(rl_placing *p) {
    rl_str_release(&p->text);
    rl_str_release(&p->joined);
    rl_free(p->begin);
    rl_free(p->length);
    *p = (rl_placing){0};
}

static void see(rl_placing *p, int32_t id) {
    p->begin[id] = (int64_t)p->text.len;
    rl_tokenizer_decode(p->tokenizer, &id, 1, false, &p->text);
    p->length[id] = (int32_t)(p->text.len - (size_t)p->begin[id]);
    if (p->length[id] > 0 && strstr(p->text.ptr + p->begin[id], REPLACEMENT) != NULL) {
        p->length[id] = -1;
    }
}

// Bytes of the tokens' text if the given one goes on with it, else -1.
static int64_t piece_length(rl_placing *p, int32_t id, const char *text, size_t text_len) {
    if (p->begin[id] < 0) {
        see(p, id);
    }
    int32_t n = p->length[id];
    return n >= 0 && (size_t)n <= text_len &&
                   (n == 0 || memcmp(p->text.ptr + p->begin[id], text, (size_t)n) == 0)
               ? n
               : -1;
}

static void join(rl_placing *p, const int32_t *token, int32_t n_tokens) {
    rl_str_clear(&p->joined);
    if (n_tokens > 0) {
        rl_tokenizer_decode(p->tokenizer, token, n_tokens, false, &p->joined);
    }
}

// Bytes that the joined tokens and the text begin with alike, whole characters.
static size_t alike(const rl_placing *p, const char *text, size_t text_len) {
    size_t n = 0;
    while (n < p->joined.len && n < text_len && p->joined.ptr[n] == text[n]) {
        n++;
    }
    while (n > 0 && n < text_len && ((unsigned char)text[n] & 0xc0) == 0x80) {
        n--;
    }
    return n;
}

/* Tokens from `open` on, if any, wait to be decoded together, beginning at `from`. Where they make
 * text that the given one goes on with, the next token stands behind it; with `resync` false they
 * wait to the end, for decoders that treat the start of a text specially. */
static bool walk(rl_placing *p, const char *text, size_t text_len, const int32_t *token,
                 int32_t n_tokens, bool resync, size_t *at) {
    size_t from = 0;
    int32_t open = resync ? -1 : 0;
    for (int32_t i = 0; i < n_tokens; i++) {
        if (open < 0) {
            int64_t n = piece_length(p, token[i], text + from, text_len - from);
            at[i] = from;
            if (n >= 0) {
                from += (size_t)n;
                continue;
            }
            open = i;
        } else {
            join(p, token + open, i - open);
            at[i] = from + alike(p, text + from, text_len - from);
            // A byte more can undo characters that were whole: byte fallback decodes runs.
            at[i] = i > 0 && at[i] < at[i - 1] ? at[i - 1] : at[i];
        }
        join(p, token + open, i + 1 - open);
        if (resync && alike(p, text + from, text_len - from) == p->joined.len) {
            from += p->joined.len;
            open = -1;
        }
    }
    if (open >= 0) {
        return !resync && p->joined.len == text_len && memcmp(p->joined.ptr, text, text_len) == 0;
    }
    return from == text_len;
}

bool rl_placing_find(rl_placing *p, const char *text, size_t text_len, const int32_t *token,
                     int32_t n_tokens, size_t *at) {
    if (n_tokens == 0) {
        return text_len == 0;
    }
    return walk(p, text, text_len, token, n_tokens, true, at) ||
           walk(p, text, text_len, token, n_tokens, false, at);
}
