/*
 * Ids of pieces that BPE has seen before: words repeat, and a look-up costs a fraction of merging.
 * Slots are filled once and never change, so readers take no lock; a full neighbourhood keeps what
 * it has. What is found is what BPE would give, so results do not depend on the cache. Thread-safe.
 */
#ifndef RL_POLICY_WORD_CACHE_H
#define RL_POLICY_WORD_CACHE_H

#include <stddef.h>
#include <stdint.h>

typedef struct rl_word_cache rl_word_cache;

enum { RL_WORD_MAX = 48 }; // bytes; longer pieces hardly repeat

/* The zero value of a slot is empty; memory is at most some megabytes. */
rl_word_cache *rl_word_cache_new(void);
void rl_word_cache_free(rl_word_cache *cache); // accepts NULL

/* Where a piece of 1 to RL_WORD_MAX bytes belongs: rl_word_find's way to rl_word_keep. */
uint64_t rl_word_hash(const char *text, size_t text_len);
/* The ids in the cache's own memory, NULL when they are not there. */
const int32_t *rl_word_find(const rl_word_cache *cache, uint64_t hash, const char *text,
                            size_t text_len, size_t *n_ids);
void rl_word_keep(rl_word_cache *cache, uint64_t hash, const char *text, size_t text_len,
                  const int32_t *ids, size_t n_ids);

#endif
