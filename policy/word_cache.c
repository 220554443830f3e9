#include "policy/word_cache.h"

#include <stdatomic.h>
#include <string.h>

#include "rl/core/alloc.h"

enum {
    N_SLOTS = 1 << 15, // a power of two
    N_PROBES = 4       // neighbours that a word may take
};

typedef struct word {
    uint64_t hash;
    uint16_t text_len, n_ids;
    int32_t id[]; // [n_ids], then the text
} word;

struct rl_word_cache {
    _Atomic(word *) slot[N_SLOTS];
};

rl_word_cache *rl_word_cache_new(void) {
    return rl_alloc(1, sizeof(rl_word_cache));
}

void rl_word_cache_free(rl_word_cache *cache) {
    if (cache != NULL) {
        for (size_t i = 0; i < N_SLOTS; i++) {
            word *w = atomic_load_explicit(&cache->slot[i], memory_order_relaxed);
            if (w != NULL) {
                rl_free(w);
            }
        }
        rl_free(cache);
    }
}

static uint64_t mix(uint64_t h, uint64_t bytes) {
    h = (h ^ bytes) * 0x9e3779b97f4a7c15u;
    return h ^ (h >> 32);
}

uint64_t rl_word_hash(const char *text, size_t text_len) {
    uint64_t h = text_len, tail = 0;
    for (; text_len >= 8; text += 8, text_len -= 8) {
        uint64_t eight;
        memcpy(&eight, text, 8);
        h = mix(h, eight);
    }
    for (size_t i = 0; i < text_len; i++) {
        tail = tail << 8 | (uint8_t)text[i];
    }
    return mix(mix(h, tail), 0x94d049bb133111ebu);
}

const int32_t *rl_word_find(const rl_word_cache *cache, uint64_t hash, const char *text,
                            size_t text_len, size_t *n_ids) {
    for (size_t i = 0; i < N_PROBES; i++) {
        const word *w =
            atomic_load_explicit(&cache->slot[(hash + i) & (N_SLOTS - 1)], memory_order_acquire);
        if (w == NULL) {
            return NULL;
        }
        if (w->hash == hash && w->text_len == text_len &&
            memcmp(w->id + w->n_ids, text, text_len) == 0) {
            *n_ids = w->n_ids;
            return w->id;
        }
    }
    return NULL;
}

void rl_word_keep(rl_word_cache *cache, uint64_t hash, const char *text, size_t text_len,
                  const int32_t *ids, size_t n_ids) {
    word *w = NULL;
    for (size_t i = 0; i < N_PROBES; i++) {
        _Atomic(word *) *slot = &cache->slot[(hash + i) & (N_SLOTS - 1)];
        word *expected = NULL;
        if (atomic_load_explicit(slot, memory_order_relaxed) != NULL) {
            continue;
        }
        if (w == NULL) {
            w = rl_alloc(1, sizeof *w + n_ids * sizeof w->id[0] + text_len);
            w->hash = hash;
            w->text_len = (uint16_t)text_len;
            w->n_ids = (uint16_t)n_ids;
            if (n_ids > 0) {
                memcpy(w->id, ids, n_ids * sizeof w->id[0]);
            }
            memcpy(w->id + n_ids, text, text_len);
        }
        if (atomic_compare_exchange_strong_explicit(slot, &expected, w, memory_order_release,
                                                    memory_order_relaxed)) {
            return;
        }
    }
    rl_free(w); // others were faster
}
