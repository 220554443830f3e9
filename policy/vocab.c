#include "policy/vocab.h"

#include <string.h>

#include "rl/core/alloc.h"

void rl_vocab_init(rl_vocab *vocab, rl_arena *arena, size_t expected) {
    *vocab = (rl_vocab){
        .limit = (int32_t)(expected < 1u << 28 ? 2 * expected + 4096 : 1u << 29),
        .ids = rl_map_new(expected),
        .arena = arena,
    };
}

void rl_vocab_release(rl_vocab *vocab) {
    rl_free(vocab->token);
    rl_map_free(vocab->ids);
    *vocab = (rl_vocab){0};
}

static void grow(rl_vocab *vocab, int32_t n_tokens) {
    // Ids mostly arrive in order; rl_realloc in powers of two keeps that linear.
    size_t cap = 256;
    while (cap < (size_t)n_tokens) {
        cap *= 2;
    }
    size_t old = 256;
    while (old < (size_t)vocab->n_tokens) {
        old *= 2;
    }
    if (vocab->token == NULL || cap > old) {
        vocab->token = rl_realloc(vocab->token, cap, sizeof *vocab->token);
    }
    size_t added = (size_t)(n_tokens - vocab->n_tokens);
    memset(vocab->token + vocab->n_tokens, 0, added * sizeof *vocab->token);
    vocab->n_tokens = n_tokens;
}

rl_status rl_vocab_put(rl_vocab *vocab, int64_t id, const char *text, size_t text_len,
                       unsigned flags, rl_err *err) {
    int show = text_len < 40 ? (int)text_len : 40;
    if (id < 0 || id >= vocab->limit) {
        return rl_fail(err, RL_IO,
                       "id %lld of token '%.*s' is not one of a vocabulary of this size",
                       (long long)id, show, text);
    }
    if (id < vocab->n_tokens && vocab->token[id].text != NULL) {
        rl_token *old = &vocab->token[id];
        if (old->len != text_len || memcmp(old->text, text, text_len) != 0) {
            return rl_fail(err, RL_IO, "id %lld stands for both '%s' and '%.*s'", (long long)id,
                           old->text, show, text);
        }
        old->flags |= flags;
        return RL_OK;
    }
    if (!rl_map_add(vocab->ids, text, text_len, id)) {
        return rl_fail(err, RL_IO, "token '%.*s' has two ids, %lld and %lld", show, text,
                       (long long)rl_vocab_find(vocab, text, text_len), (long long)id);
    }
    if (id >= vocab->n_tokens) {
        grow(vocab, (int32_t)id + 1);
    }
    vocab->token[id] =
        (rl_token){rl_arena_strndup(vocab->arena, text, text_len), (uint32_t)text_len, flags};
    if (vocab->max_len < text_len) {
        vocab->max_len = (uint32_t)text_len;
    }
    return RL_OK;
}

int32_t rl_vocab_find(const rl_vocab *vocab, const char *text, size_t text_len) {
    int64_t id;
    return rl_map_get(vocab->ids, text, text_len, &id) ? (int32_t)id : -1;
}

int32_t rl_vocab_find_model(const rl_vocab *vocab, const char *text, size_t text_len) {
    int32_t id = rl_vocab_find(vocab, text, text_len);
    return id >= 0 && (vocab->token[id].flags & RL_TOKEN_MODEL) != 0 ? id : -1;
}

void rl_ids_push(rl_ids *ids, int32_t id) {
    if (ids->len == ids->cap) {
        ids->cap = ids->cap == 0 ? 64 : 2 * ids->cap;
        ids->ptr = rl_realloc(ids->ptr, ids->cap, sizeof *ids->ptr);
    }
    ids->ptr[ids->len++] = id;
}

void rl_ids_release(rl_ids *ids) {
    rl_free(ids->ptr);
    *ids = (rl_ids){0};
}

// The bytes without a printable character of their own, in order: 0-32, 127-160, 173.
uint32_t rl_byte_to_char(uint8_t byte) {
    if (byte <= 32) {
        return 256u + byte;
    }
    if (byte >= 127 && byte <= 160) {
        return 256u + 33 + (byte - 127u);
    }
    return byte == 173 ? 256u + 67 : byte;
}

int32_t rl_char_to_byte(uint32_t code) {
    if (code < 256) {
        return rl_byte_to_char((uint8_t)code) == code ? (int32_t)code : -1;
    }
    if (code <= 256 + 32) {
        return (int32_t)(code - 256);
    }
    if (code <= 256 + 66) {
        return (int32_t)(code - 256 - 33 + 127);
    }
    return code == 256 + 67 ? 173 : -1;
}
