#include "policy/vocab.h"

#include <string.h>

#include "policy/word_cache.h"
#include "rl/core/alloc.h"

enum { TEXT_BLOCK = 1 << 16 }; // texts share blocks: an arena aligns every piece widely

void rl_vocab_init(rl_vocab *vocab, rl_arena *arena, size_t expected) {
    *vocab = (rl_vocab){
        .limit = (int32_t)(expected < 1u << 28 ? 2 * expected + 4096 : 1u << 29),
        .n_slots = 64,
        .arena = arena,
    };
    while (vocab->n_slots < 2 * expected) {
        vocab->n_slots *= 2;
    }
    vocab->slot = rl_alloc(vocab->n_slots, sizeof *vocab->slot);
    memset(vocab->slot, 0xff, vocab->n_slots * sizeof *vocab->slot);
}

void rl_vocab_release(rl_vocab *vocab) {
    rl_free(vocab->token);
    rl_free(vocab->slot);
    *vocab = (rl_vocab){0};
}

// The slot that holds the text's id, or the free one where it belongs.
static int32_t *slot_of(const rl_vocab *vocab, const char *text, size_t text_len, uint32_t hash) {
    for (size_t i = hash & (vocab->n_slots - 1);; i = (i + 1) & (vocab->n_slots - 1)) {
        int32_t id = vocab->slot[i];
        if (id < 0) {
            return &vocab->slot[i];
        }
        const rl_token *token = &vocab->token[id];
        if (token->hash == hash && token->len == text_len &&
            (text_len == 0 || memcmp(token->text, text, text_len) == 0)) {
            return &vocab->slot[i];
        }
    }
}

static void double_slots(rl_vocab *vocab) {
    vocab->n_slots *= 2;
    rl_free(vocab->slot);
    vocab->slot = rl_alloc(vocab->n_slots, sizeof *vocab->slot);
    memset(vocab->slot, 0xff, vocab->n_slots * sizeof *vocab->slot);
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        const rl_token *token = &vocab->token[id];
        if (token->text != NULL) {
            *slot_of(vocab, token->text, token->len, token->hash) = id;
        }
    }
}

static const char *keep(rl_vocab *vocab, const char *text, size_t text_len) {
    if (text_len >= TEXT_BLOCK / 4) {
        return rl_arena_strndup(vocab->arena, text, text_len);
    }
    if (vocab->block_left <= text_len) {
        vocab->block = rl_arena_alloc(vocab->arena, TEXT_BLOCK, 1);
        vocab->block_left = TEXT_BLOCK;
    }
    char *kept = vocab->block;
    if (text_len > 0) {
        memcpy(kept, text, text_len);
    }
    kept[text_len] = '\0';
    vocab->block += text_len + 1;
    vocab->block_left -= text_len + 1;
    return kept;
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
    uint32_t hash = (uint32_t)rl_word_hash(text, text_len);
    if (vocab->n_used >= vocab->n_slots / 2) {
        double_slots(vocab);
    }
    int32_t *slot = slot_of(vocab, text, text_len, hash);
    if (*slot >= 0) {
        return rl_fail(err, RL_IO, "token '%.*s' has two ids, %d and %lld", show, text, (int)*slot,
                       (long long)id);
    }
    if (id >= vocab->n_tokens) {
        grow(vocab, (int32_t)id + 1);
    }
    *slot = (int32_t)id;
    vocab->n_used++;
    vocab->token[id] = (rl_token){.text = keep(vocab, text, text_len),
                                  .len = (uint32_t)text_len,
                                  .hash = hash,
                                  .flags = flags};
    if (vocab->max_len < text_len) {
        vocab->max_len = (uint32_t)text_len;
    }
    return RL_OK;
}

int32_t rl_vocab_find(const rl_vocab *vocab, const char *text, size_t text_len) {
    return *slot_of(vocab, text, text_len, (uint32_t)rl_word_hash(text, text_len));
}

int32_t rl_vocab_find_near(const rl_vocab *vocab, const char *text, size_t text_len,
                           int32_t guess) {
    if (guess >= 0 && guess < vocab->n_tokens) {
        const rl_token *token = &vocab->token[guess];
        if (token->text != NULL && token->len == text_len && text_len > 0 &&
            memcmp(token->text, text, text_len) == 0) {
            return guess;
        }
    }
    return rl_vocab_find(vocab, text, text_len);
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
