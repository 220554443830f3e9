/*
 * Byte-pair encoding of one piece of text: characters (or bytes) become symbols, and the adjacent
 * pair of least rank is merged, leftmost first, until none is left. A heap over a linked list:
 * O(n log n). Two sources of ranks: a table of merges (Hugging Face), or a score for every token,
 * where any two symbols merge whose joined text is a token (SentencePiece).
 */
#ifndef RL_POLICY_BPE_H
#define RL_POLICY_BPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "policy/vocab.h"
#include "policy/word_cache.h"

typedef struct rl_bpe_merge {
    uint64_t pair; // left id in the high half; plus 1, so that 0 is an empty slot
    int32_t rank, id;
} rl_bpe_merge;

/* Filled by the loaders, read-only afterwards. */
typedef struct rl_bpe {
    const rl_vocab *vocab;
    rl_bpe_merge *merge; // open addressing over n_slots, a power of two; NULL when ranked by score
    size_t n_slots, n_merges;
    int32_t last_made;    // by the last merge added
    int32_t *score_rank;  // [vocab->n_tokens] -1: never merged into; NULL when there are merges
    bool byte_level;      // symbols start as bytes, byte_id names their characters
    bool byte_fallback;   // characters without a token become the tokens of their bytes
    int32_t byte_id[256]; // -1 where a byte has no token
    int32_t unk;          // for what has no token at all, or -1: then it vanishes
    bool fuse_unk;        // neighbouring unknowns become one
    bool ignore_merges;   // a piece that is a token is that token, whatever the merges say
    rl_word_cache *words; // of earlier pieces, from rl_tokenizer_ready on; all that changes later
} rl_bpe;

void rl_bpe_init(rl_bpe *bpe, const rl_vocab *vocab);
void rl_bpe_release(rl_bpe *bpe);
/* Room for about n merges; then one call a merge. A repeated pair takes the last rank. */
void rl_bpe_expect(rl_bpe *bpe, size_t n_merges);
void rl_bpe_add(rl_bpe *bpe, int32_t left, int32_t right, int32_t rank, int32_t id);
/* Ranks tokens by falling score; only tokens with RL_TOKEN_MODEL can be merged into. */
void rl_bpe_rank_by_score(rl_bpe *bpe, const double *score);
/* Looks up the tokens of single bytes; call it once vocab and byte_level stand. */
void rl_bpe_find_bytes(rl_bpe *bpe);

/* Memory that calls reuse; the zero value is fine. */
typedef struct rl_bpe_work {
    struct rl_bpe_symbol *symbol;
    struct rl_bpe_candidate *heap;
    size_t n_symbols, symbol_cap, n_heap, heap_cap;
} rl_bpe_work;
void rl_bpe_work_release(rl_bpe_work *work);

/* Appends the ids of a piece of valid UTF-8. Thread-safe. */
void rl_bpe_encode(const rl_bpe *bpe, const char *text, size_t text_len, rl_bpe_work *work,
                   rl_ids *out);

#endif
