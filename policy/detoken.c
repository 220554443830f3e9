#include "policy/detoken.h"

#include <stdlib.h>
#include <string.h>

#include "policy/vocab.h"
#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

void rl_detokenizer_add(rl_detokenizer *detoken, rl_detoken_stage stage) {
    size_t n = detoken->n_stages++;
    detoken->stage = rl_realloc(detoken->stage, n + 1, sizeof stage);
    detoken->stage[n] = stage;
}

void rl_detokenizer_release(rl_detokenizer *detoken) {
    for (size_t i = 0; i < detoken->n_stages; i++) {
        rl_regex_free(detoken->stage[i].replace.regex);
    }
    rl_free(detoken->stage);
    *detoken = (rl_detokenizer){0};
}

void rl_detoken_append_bytes(const char *text, size_t len, rl_str *out) {
    size_t begin = out->len;
    for (size_t i = 0; i < len;) {
        uint32_t code;
        int32_t n = rl_utf8_decode(text + i, len - i, &code);
        int32_t byte = n > 0 ? rl_char_to_byte(code) : -1;
        if (byte < 0) {
            out->len = begin;
            rl_str_append_n(out, text, len);
            return;
        }
        rl_str_append_char(out, (char)byte);
        i += (size_t)n;
    }
}

static void byte_level(const rl_pieces *in, rl_pieces *out) {
    rl_str bytes = {0};
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t len;
        const char *text = rl_pieces_at(in, i, &len);
        rl_detoken_append_bytes(text, len, &bytes);
    }
    rl_utf8_repair(rl_str_text(&bytes), bytes.len, &out->text);
    rl_pieces_put(out, 0, out->text.len);
    rl_str_release(&bytes);
}

static int hex_digit(char c) {
    if (c >= '0' && c <= '9') {
        return c - '0';
    }
    if (c >= 'A' && c <= 'F') {
        return c - 'A' + 10;
    }
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

int rl_detoken_byte(const char *text, size_t len) {
    if (len != 6 || memcmp(text, "<0x", 3) != 0 || text[5] != '>') {
        return -1;
    }
    int high = hex_digit(text[3]), low = hex_digit(text[4]);
    return high >= 0 && low >= 0 ? 16 * high + low : -1;
}

// A run of bytes is a text when all of it is UTF-8, else every byte is a U+FFFD.
static void flush_bytes(rl_str *bytes, rl_pieces *out) {
    size_t begin = out->text.len;
    if (rl_utf8_valid(rl_str_text(bytes), bytes->len)) {
        rl_str_append_n(&out->text, rl_str_text(bytes), bytes->len);
    } else {
        for (size_t i = 0; i < bytes->len; i++) {
            rl_utf8_append(&out->text, 0xfffd);
        }
    }
    rl_pieces_add(out, begin, out->text.len);
    rl_str_clear(bytes);
}

static void byte_fallback(const rl_pieces *in, rl_pieces *out) {
    rl_str bytes = {0};
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t len;
        const char *text = rl_pieces_at(in, i, &len);
        int byte = rl_detoken_byte(text, len);
        if (byte >= 0) {
            rl_str_append_char(&bytes, (char)byte);
            continue;
        }
        flush_bytes(&bytes, out);
        size_t begin = out->text.len;
        rl_str_append_n(&out->text, text, len);
        rl_pieces_put(out, begin, out->text.len);
    }
    flush_bytes(&bytes, out);
    rl_str_release(&bytes);
}

static void strip(const rl_detoken_stage *stage, const rl_pieces *in, rl_pieces *out) {
    size_t len = strlen(stage->content);
    rl_str_append_n(&out->text, rl_str_text(&in->text), in->text.len);
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t begin = in->span[i].begin, end = in->span[i].end;
        const char *text = rl_str_text(&in->text);
        for (size_t n = 0; n < stage->start && end - begin >= len &&
                           memcmp(text + begin, stage->content, len) == 0;
             n++) {
            begin += len;
        }
        for (size_t n = 0; n < stage->stop && end - begin >= len &&
                           memcmp(text + end - len, stage->content, len) == 0;
             n++) {
            end -= len;
        }
        rl_pieces_put(out, begin, end);
    }
}

static void metaspace(const rl_detoken_stage *stage, const rl_pieces *in, rl_pieces *out) {
    size_t len = strlen(stage->content);
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t begin = out->text.len;
        for (size_t j = in->span[i].begin; j < in->span[i].end;) {
            if (in->span[i].end - j >= len && memcmp(in->text.ptr + j, stage->content, len) == 0) {
                if (i > 0 || stage->start == 0) {
                    rl_str_append_char(&out->text, ' ');
                }
                j += len;
            } else {
                rl_str_append_char(&out->text, in->text.ptr[j++]);
            }
        }
        rl_pieces_put(out, begin, out->text.len);
    }
}

static void replace(const rl_detoken_stage *stage, const rl_pieces *in, rl_pieces *out) {
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t begin = out->text.len, len;
        const char *text = rl_pieces_at(in, i, &len);
        // A token is short; where its pattern still runs into a limit it is left as it is.
        if (rl_rewrite_run(&stage->replace, text, len, &out->text, NULL) != RL_OK) {
            out->text.len = begin;
            rl_str_append_n(&out->text, text, len);
        }
        rl_pieces_put(out, begin, out->text.len);
    }
}

static void fuse(const rl_pieces *in, rl_pieces *out) {
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t len;
        const char *text = rl_pieces_at(in, i, &len);
        rl_str_append_n(&out->text, text, len);
    }
    rl_pieces_put(out, 0, out->text.len);
}

void rl_detokenizer_run(const rl_detokenizer *detoken, rl_pieces *tokens, rl_pieces *spare,
                        rl_str *out) {
    for (size_t i = 0; i < detoken->n_stages; i++) {
        const rl_detoken_stage *stage = &detoken->stage[i];
        rl_pieces_clear(spare);
        switch (stage->kind) {
        case RL_DETOKEN_BYTE_LEVEL:
            byte_level(tokens, spare);
            break;
        case RL_DETOKEN_BYTE_FALLBACK:
            byte_fallback(tokens, spare);
            break;
        case RL_DETOKEN_REPLACE:
            replace(stage, tokens, spare);
            break;
        case RL_DETOKEN_FUSE:
            fuse(tokens, spare);
            break;
        case RL_DETOKEN_STRIP:
            strip(stage, tokens, spare);
            break;
        case RL_DETOKEN_METASPACE:
            metaspace(stage, tokens, spare);
            break;
        }
        rl_pieces swap = *tokens;
        *tokens = *spare;
        *spare = swap;
    }
    for (size_t i = 0; i < tokens->n_spans; i++) {
        if (i > 0 && detoken->n_stages == 0) {
            rl_str_append_char(out, ' ');
        }
        size_t len;
        const char *text = rl_pieces_at(tokens, i, &len);
        rl_str_append_n(out, text, len);
    }
}
