/*
 * Decoding as ids come. Three ways, by the decoder's stages:
 *
 *   bytes    byte-level alone: bytes wait until they are whole characters
 *   windows  ids wait while the last of them is a byte token, whose run is judged as a whole; then
 *            the window is decoded behind ids before it, its context, so that what is special about
 *            the beginning of a text does not happen again
 *   whole    a later stage looks at all of the text: nothing can be given before the end
 */
#include <string.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

typedef enum way { BYTES, WINDOWS, WHOLE } way;

struct rl_token_stream {
    const rl_tokenizer *tokenizer;
    bool skip_special;
    way way;
    size_t n_stripped; // WINDOWS: most characters that go off the beginning of the whole text
    rl_str bytes;      // BYTES: what waits
    rl_ids window;     // otherwise: ids, of which the first n_given only give context
    size_t n_given;
    rl_str text, before; // scratch
};

enum { STRIPPED_MAX = 64 }; // beyond it a context would be long

static way way_of(const rl_detokenizer *detoken, size_t *n_stripped) {
    bool joined = false;
    *n_stripped = 0;
    if (detoken->n_stages == 1 && detoken->stage[0].kind == RL_DETOKEN_BYTE_LEVEL) {
        return BYTES;
    }
    for (size_t i = 0; i < detoken->n_stages; i++) {
        const rl_detoken_stage *stage = &detoken->stage[i];
        bool at_end = joined && (stage->kind == RL_DETOKEN_REPLACE ||
                                 (stage->kind == RL_DETOKEN_STRIP && stage->stop > 0));
        if (stage->kind == RL_DETOKEN_BYTE_LEVEL || at_end) {
            return WHOLE;
        }
        joined |= stage->kind == RL_DETOKEN_FUSE;
        if (joined && stage->kind == RL_DETOKEN_STRIP) {
            if (stage->start > STRIPPED_MAX - *n_stripped) {
                return WHOLE;
            }
            *n_stripped += stage->start;
        }
    }
    return WINDOWS;
}

rl_token_stream *rl_token_stream_new(const rl_tokenizer *tokenizer, bool skip_special) {
    rl_token_stream *stream = rl_alloc(1, sizeof *stream);
    stream->tokenizer = tokenizer;
    stream->skip_special = skip_special;
    stream->way = way_of(&tokenizer->detokenizer, &stream->n_stripped);
    return stream;
}

void rl_token_stream_free(rl_token_stream *stream) {
    if (stream != NULL) {
        rl_str_release(&stream->bytes);
        rl_ids_release(&stream->window);
        rl_str_release(&stream->text);
        rl_str_release(&stream->before);
        rl_free(stream);
    }
}

static void give_bytes(rl_token_stream *stream, size_t n, rl_str *out) {
    size_t left = stream->bytes.len - n;
    if (n == 0) {
        return;
    }
    rl_utf8_repair(stream->bytes.ptr, n, out);
    memmove(stream->bytes.ptr, stream->bytes.ptr + n, left);
    stream->bytes.len = left;
}

static void decode(const rl_token_stream *stream, const int32_t *id, size_t n, rl_str *out) {
    rl_str_clear(out);
    rl_tokenizer_decode(stream->tokenizer, id, (int32_t)n, stream->skip_special, out);
}

// Whether ids say nothing wherever they stand: not behind as many of themselves as could be
// stripped either.
static bool says_nothing(rl_token_stream *stream, const int32_t *id, size_t n) {
    rl_ids many = {0};
    for (size_t i = 0; i < (stream->n_stripped + 2) * n; i++) {
        rl_ids_push(&many, id[i % n]);
    }
    decode(stream, many.ptr, many.len, &stream->text);
    rl_ids_release(&many);
    return stream->text.len == 0;
}

// Makes the window the context of the next. Any of its ends that has a text will do, for then
// stripping is over; while there is none all ids stay but those that say nothing. Thus no more stay
// than can be stripped, and a long text takes no more than its length.
static void keep_context(rl_token_stream *stream) {
    rl_ids *window = &stream->window;
    for (size_t n = 1; n < window->len; n *= 2) {
        decode(stream, &window->ptr[window->len - n], n, &stream->text);
        if (stream->text.len > 0) {
            memmove(window->ptr, &window->ptr[window->len - n], n * sizeof *window->ptr);
            window->len = n;
            break;
        }
    }
    if (stream->n_given > 0 && window->len > stream->n_given && stream->text.len == 0 &&
        says_nothing(stream, &window->ptr[stream->n_given], window->len - stream->n_given)) {
        window->len = stream->n_given;
    }
    stream->n_given = window->len;
}

// Appends what the window says beyond its context.
static void give_window(rl_token_stream *stream, rl_str *out) {
    rl_ids *window = &stream->window;
    decode(stream, window->ptr, stream->n_given, &stream->before);
    decode(stream, window->ptr, window->len, &stream->text);
    if (stream->text.len > stream->before.len) {
        rl_str_append_n(out, stream->text.ptr + stream->before.len,
                        stream->text.len - stream->before.len);
    }
    if (window->len > 0) {
        keep_context(stream);
    }
}

void rl_token_stream_put(rl_token_stream *stream, int32_t id, rl_str *out) {
    size_t len;
    const char *text = rl_tokenizer_shown(stream->tokenizer, id, stream->skip_special, &len);
    if (text == NULL) {
        return;
    }
    if (stream->way == BYTES) {
        rl_detoken_append_bytes(text, len, &stream->bytes);
        give_bytes(stream, rl_utf8_whole(rl_str_text(&stream->bytes), stream->bytes.len), out);
        return;
    }
    rl_ids_push(&stream->window, id);
    if (stream->way == WINDOWS && rl_detoken_byte(text, len) < 0) {
        give_window(stream, out);
    }
}

void rl_token_stream_end(rl_token_stream *stream, rl_str *out) {
    if (stream->way == BYTES) {
        give_bytes(stream, stream->bytes.len, out);
        return;
    }
    give_window(stream, out);
    stream->window.len = stream->n_given = 0;
}
