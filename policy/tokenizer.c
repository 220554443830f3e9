#include "rl/policy/tokenizer.h"

#include <limits.h>
#include <string.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/unicode.h"

rl_tokenizer *rl_tokenizer_new(const char *name) {
    rl_tokenizer *tokenizer = rl_alloc(1, sizeof *tokenizer);
    tokenizer->arena = rl_arena_new(0);
    tokenizer->name = rl_arena_strdup(tokenizer->arena, name);
    tokenizer->bos = tokenizer->eos = -1;
    rl_bpe_init(&tokenizer->bpe, &tokenizer->vocab);
    return tokenizer;
}

void rl_tokenizer_free(rl_tokenizer *tokenizer) {
    if (tokenizer == NULL) {
        return;
    }
    rl_vocab_release(&tokenizer->vocab);
    rl_added_release(&tokenizer->raw);
    rl_added_release(&tokenizer->normalized);
    rl_normalizer_release(&tokenizer->normalizer);
    rl_pretokenizer_release(&tokenizer->pretokenizer);
    rl_bpe_release(&tokenizer->bpe);
    rl_detokenizer_release(&tokenizer->detokenizer);
    rl_ids_release(&tokenizer->frame_before);
    rl_ids_release(&tokenizer->frame_after);
    rl_arena_free(tokenizer->arena);
    rl_free(tokenizer);
}

rl_status rl_tokenizer_add(rl_tokenizer *tokenizer, rl_added added, bool normalized, rl_err *err) {
    if (!normalized) {
        rl_added_put(&tokenizer->raw, added);
        return RL_OK;
    }
    rl_str text = {0};
    rl_status status = rl_normalizer_run(&tokenizer->normalizer, added.text, added.len, &text, err);
    if (status == RL_OK && text.len > 0) {
        added.text = rl_arena_strndup(tokenizer->arena, text.ptr, text.len);
        added.len = text.len;
        rl_added_put(&tokenizer->normalized, added);
        // It also decodes to what it was found as.
        tokenizer->vocab.token[added.id].shown = added.text;
    }
    rl_str_release(&text);
    return status;
}

rl_status rl_tokenizer_ready(rl_tokenizer *tokenizer, rl_err *err) {
    rl_bpe_find_bytes(&tokenizer->bpe);
    if (tokenizer->bpe.byte_level && tokenizer->bpe.byte_fallback) {
        for (int byte = 0; byte < 256; byte++) {
            if (tokenizer->bpe.byte_id[byte] < 0) {
                return rl_fail(err, RL_UNSUPPORTED,
                               "'byte_fallback' in a byte-level tokenizer without all bytes is not "
                               "covered");
            }
        }
    }
    rl_status status = rl_added_ready(&tokenizer->raw, err);
    if (status == RL_OK) {
        status = rl_added_ready(&tokenizer->normalized, err);
    }
    if (status == RL_OK) {
        tokenizer->bpe.words = rl_word_cache_new(); // last: a file that is refused pays nothing
    }
    return status;
}

// One call of encode: buffers shared by its stretches of text.
typedef struct encoder {
    const rl_tokenizer *tokenizer;
    bool specials;
    rl_str norm;
    rl_pieces pieces, spare;
    rl_bpe_work work;
    rl_ids *out;
} encoder;

static rl_status encode_model(encoder *e, const char *text, size_t len, bool at_start,
                              rl_err *err) {
    rl_status status = rl_pretokenizer_run(&e->tokenizer->pretokenizer, text, len, at_start,
                                           &e->pieces, &e->spare, err);
    for (size_t i = 0; status == RL_OK && i < e->pieces.n_spans; i++) {
        size_t piece_len;
        const char *piece = rl_pieces_at(&e->pieces, i, &piece_len);
        rl_bpe_encode(&e->tokenizer->bpe, piece, piece_len, &e->work, e->out);
    }
    return status;
}

// Text without raw added tokens: normalize, find the others, give what lies between to the model.
static rl_status encode_normalized(encoder *e, const char *text, size_t len, bool at_start,
                                   rl_err *err) {
    rl_str_clear(&e->norm);
    rl_status status = rl_normalizer_run(&e->tokenizer->normalizer, text, len, &e->norm, err);
    rl_added_walk walk = {0};
    while (status == RL_OK) {
        size_t floor = walk.floor, begin = e->norm.len;
        int32_t id;
        bool found = rl_added_next(&e->tokenizer->normalized, rl_str_text(&e->norm), e->norm.len,
                                   e->specials, &walk, &begin, &id);
        if (begin > floor) {
            status =
                encode_model(e, e->norm.ptr + floor, begin - floor, at_start && floor == 0, err);
        }
        if (!found) {
            break;
        }
        rl_ids_push(e->out, id);
    }
    return status;
}

rl_status rl_tokenizer_encode_part(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                                   unsigned flags, bool at_start, rl_ids *out, rl_err *err) {
    if (text_len > INT32_MAX / 4) {
        return rl_fail(err, RL_UNSUPPORTED, "a text of %zu bytes is too long to tokenize",
                       text_len);
    }
    encoder e = {.tokenizer = tokenizer, .specials = (flags & RL_ENCODE_SPECIALS) != 0, .out = out};
    rl_str repaired = {0};
    if (!rl_utf8_valid(text, text_len)) {
        rl_utf8_repair(text, text_len, &repaired);
        text = repaired.ptr;
        text_len = repaired.len;
    }
    rl_status status = RL_OK;
    rl_added_walk walk = {0};
    while (status == RL_OK) {
        size_t floor = walk.floor, begin = text_len;
        int32_t id;
        bool found = rl_added_next(&tokenizer->raw, text, text_len, e.specials, &walk, &begin, &id);
        if (begin > floor) {
            status =
                encode_normalized(&e, text + floor, begin - floor, at_start && floor == 0, err);
        }
        if (!found) {
            break;
        }
        rl_ids_push(out, id);
    }
    rl_str_release(&repaired);
    rl_str_release(&e.norm);
    rl_pieces_release(&e.pieces);
    rl_pieces_release(&e.spare);
    rl_bpe_work_release(&e.work);
    return status;
}

static void push_all(rl_ids *to, const rl_ids *from) {
    for (size_t i = 0; i < from->len; i++) {
        rl_ids_push(to, from->ptr[i]);
    }
}

rl_status rl_tokenizer_encode(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                              unsigned flags, rl_arena *arena, int32_t **out, int32_t *n_out,
                              rl_err *err) {
    rl_ids ids = {0};
    bool frame = (flags & RL_ENCODE_FRAME) != 0;
    if (frame) {
        push_all(&ids, &tokenizer->frame_before);
    }
    rl_status status = rl_tokenizer_encode_part(tokenizer, text, text_len, flags, true, &ids, err);
    if (status == RL_OK) {
        if (frame) {
            push_all(&ids, &tokenizer->frame_after);
        }
        *out = rl_arena_alloc(arena, ids.len, sizeof **out);
        *n_out = (int32_t)ids.len;
        if (ids.len > 0) {
            memcpy(*out, ids.ptr, ids.len * sizeof **out);
        }
    }
    rl_ids_release(&ids);
    return status;
}

const char *rl_tokenizer_shown(const rl_tokenizer *tokenizer, int32_t id, bool skip_special,
                               size_t *len) {
    if (id < 0 || id >= tokenizer->vocab.n_tokens) {
        return NULL;
    }
    const rl_token *token = &tokenizer->vocab.token[id];
    if (token->text == NULL || (skip_special && (token->flags & RL_TOKEN_SPECIAL) != 0)) {
        return NULL;
    }
    *len = token->shown != NULL ? strlen(token->shown) : token->len;
    return token->shown != NULL ? token->shown : token->text;
}

void rl_tokenizer_decode(const rl_tokenizer *tokenizer, const int32_t *token, int32_t n_tokens,
                         bool skip_special, rl_str *out) {
    rl_pieces tokens = {0}, spare = {0};
    for (int32_t i = 0; i < n_tokens; i++) {
        size_t begin = tokens.text.len, len;
        const char *text = rl_tokenizer_shown(tokenizer, token[i], skip_special, &len);
        if (text != NULL) {
            rl_str_append_n(&tokens.text, text, len);
            rl_pieces_put(&tokens, begin, tokens.text.len);
        }
    }
    rl_detokenizer_run(&tokenizer->detokenizer, &tokens, &spare, out);
    rl_pieces_release(&tokens);
    rl_pieces_release(&spare);
}

int32_t rl_tokenizer_id(const rl_tokenizer *tokenizer, const char *text) {
    return rl_vocab_find(&tokenizer->vocab, text, strlen(text));
}

int32_t rl_tokenizer_vocab(const rl_tokenizer *tokenizer) {
    return tokenizer->vocab.n_tokens;
}

int32_t rl_tokenizer_eos(const rl_tokenizer *tokenizer) {
    return tokenizer->eos;
}

int32_t rl_tokenizer_bos(const rl_tokenizer *tokenizer) {
    return tokenizer->bos;
}

const char *rl_tokenizer_chat_template(const rl_tokenizer *tokenizer) {
    return tokenizer->chat_template;
}
