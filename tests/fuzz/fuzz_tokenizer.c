/*
 * Any bytes as text and as ids: encoding never fails on short text, its ids are in range, plain
 * text holds no special tokens, and valid text comes back from a vocabulary that has every byte.
 */
#include <stdint.h>
#include <string.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/assert.h"
#include "rl/core/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rl_tokenizer *load(const char *folder) {
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    RL_ASSERT(rl_tokenizer_load(folder, &tokenizer, &err) == RL_OK);
    return tokenizer;
}

static void check(const rl_tokenizer *tokenizer, const char *text, size_t len, bool has_all_bytes) {
    rl_arena *arena = rl_arena_new(0);
    rl_str back = {0}, want = {0};
    rl_err err;
    for (unsigned flags = 0; flags <= (RL_ENCODE_SPECIALS | RL_ENCODE_FRAME); flags++) {
        int32_t *ids, n;
        RL_ASSERT(rl_tokenizer_encode(tokenizer, text, len, flags, arena, &ids, &n, &err) == RL_OK);
        for (int32_t i = 0; i < n; i++) {
            RL_ASSERT(ids[i] >= 0 && ids[i] < rl_tokenizer_vocab(tokenizer));
            bool special = (tokenizer->vocab.token[ids[i]].flags & RL_TOKEN_SPECIAL) != 0;
            RL_ASSERT(!special || flags != RL_ENCODE_PLAIN || ids[i] == tokenizer->bpe.unk);
        }
        rl_str_clear(&back);
        rl_tokenizer_decode(tokenizer, ids, n, false, &back);
        RL_ASSERT(rl_utf8_valid(rl_str_text(&back), back.len));
        // U+2581 comes back as a space.
        if (flags == RL_ENCODE_PLAIN && has_all_bytes &&
            memmem(text, len, "\xe2\x96\x81", 3) == NULL) {
            rl_str_clear(&want);
            rl_utf8_repair(text, len, &want);
            RL_ASSERT(back.len == want.len);
            RL_ASSERT(memcmp(rl_str_text(&back), rl_str_text(&want), want.len) == 0);
        }
    }
    rl_str_release(&back);
    rl_str_release(&want);
    rl_arena_free(arena);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static rl_tokenizer *stories, *chatml;
    if (stories == NULL) {
        stories = load(RL_GOLDEN_DIR "/tokenizer/stories260K");
        chatml = load(RL_GOLDEN_DIR "/tokenizer/chatml");
    }
    // Bytes of its own, so that a read past the end is seen; as ids, two bytes each.
    const char *text = (const char *)data;
    check(stories, size > 0 ? text : "", size, true);
    check(chatml, size > 0 ? text : "", size, false);
    rl_str out = {0};
    for (size_t i = 0; i + 1 < size; i += 2) {
        int32_t id = (int32_t)(data[i] | data[i + 1] << 8) - 16;
        rl_tokenizer_decode(stories, &id, 1, (data[i] & 1) != 0, &out);
        rl_tokenizer_decode(chatml, &id, 1, (data[i] & 1) != 0, &out);
    }
    RL_ASSERT(rl_utf8_valid(rl_str_text(&out), out.len));
    rl_str_release(&out);
    return 0;
}
