/*
 * Hostile tokenizer files other than tokenizer.json; the first byte picks the form: merges.txt, a
 * .tiktoken file (after lines for every byte, where it is odd), or SentencePiece's tokenizer.model.
 * Refused with a sentence, or a tokenizer that encodes and decodes, all at once and id by id.
 */
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "policy/tokenizer_forms.h"
#include "rl/core/assert.h"
#include "rl/core/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void use(const rl_tokenizer *tokenizer) {
    static const char text[] = "ab  1a\xc3\xa9 x<s>\n\n--ab \xe4\xb8\xad \xff";
    rl_arena *arena = rl_arena_new(0);
    rl_token_stream *stream = rl_token_stream_new(tokenizer, false);
    rl_str whole = {0}, given = {0};
    rl_err err;
    int32_t *ids, n;
    unsigned flags = RL_ENCODE_SPECIALS | RL_ENCODE_FRAME;
    if (rl_tokenizer_encode(tokenizer, text, strlen(text), flags, arena, &ids, &n, &err) == RL_OK) {
        rl_tokenizer_decode(tokenizer, ids, n, false, &whole);
        for (int32_t i = 0; i < n; i++) {
            RL_ASSERT(ids[i] >= 0 && ids[i] < rl_tokenizer_vocab(tokenizer));
            rl_token_stream_put(stream, ids[i], &given);
        }
        rl_token_stream_end(stream, &given);
        RL_ASSERT(given.len == whole.len);
        RL_ASSERT(memcmp(rl_str_text(&given), rl_str_text(&whole), whole.len) == 0);
        RL_ASSERT(rl_utf8_valid(rl_str_text(&whole), whole.len));
    }
    rl_token_stream_free(stream);
    rl_str_release(&whole);
    rl_str_release(&given);
    rl_arena_free(arena);
}

static rl_status read_merges(rl_tokenizer *tokenizer, const char *text, size_t len, rl_err *err) {
    static const char *const tokens[] = {"a", "b", "ab", " ", "1", "#version:", "0.2", "abab"};
    rl_vocab_init(&tokenizer->vocab, tokenizer->arena, 8);
    for (size_t i = 0; i < sizeof tokens / sizeof tokens[0]; i++) {
        RL_ASSERT(rl_vocab_put(&tokenizer->vocab, (int64_t)i, tokens[i], strlen(tokens[i]),
                               RL_TOKEN_MODEL, err) == RL_OK);
    }
    rl_status status = rl_read_merge_lines(tokenizer, text, len, "merges.txt", err);
    return status == RL_OK ? rl_tokenizer_ready(tokenizer, err) : status;
}

// In front of the input, so that some inputs hold every byte: base64 of one byte and its rank.
static void append_bytes(rl_str *out) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    for (int byte = 0; byte < 256; byte++) {
        rl_str_appendf(out, "%c%c== %d\n", digits[byte >> 2], digits[(byte & 3) << 4], byte);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rl_tokenizer_files files = {.folder = "input"};
    rl_str text = {0};
    rl_err err = {""};
    if (size == 0) {
        return 0;
    }
    rl_tokenizer *tokenizer = rl_tokenizer_new("input");
    rl_status status;
    switch (data[0] % 4) {
    case 0:
        status = read_merges(tokenizer, (const char *)data + 1, size - 1, &err);
        break;
    case 1:
        append_bytes(&text);
        rl_str_append_n(&text, (const char *)data + 1, size - 1);
        status = rl_read_tiktoken_text(tokenizer, text.ptr, text.len, "r50k_base.tiktoken", &err);
        break;
    case 2:
        status = rl_read_tiktoken_text(tokenizer, (const char *)data + 1, size - 1,
                                       "o200k_base.tiktoken", &err);
        break;
    default:
        status = rl_read_sentencepiece_bytes(tokenizer, &files, data + 1, size - 1,
                                             "tokenizer.model", &err);
        break;
    }
    if (status == RL_OK) {
        use(tokenizer);
    } else {
        RL_ASSERT(err.text[0] != '\0');
    }
    rl_str_release(&text);
    rl_tokenizer_free(tokenizer);
    return 0;
}
