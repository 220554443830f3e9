/*
 * Where the tokens of a text stand in it, told by decoding: byte-level pieces one by one, pieces
 * that only make sense together (a character cut into bytes, a leading space that the decoder
 * strips) by decoding them together. Private to rollout/.
 */
#ifndef RL_ROLLOUT_PLACING_H
#define RL_ROLLOUT_PLACING_H

#include "rl/core/str.h"
#include "rl/policy/tokenizer.h"

/* What decoding has told so far. tokenizer is borrowed. */
typedef struct rl_placing {
    const rl_tokenizer *tokenizer;
    rl_str text;     // pieces seen, one after the other
    int64_t *begin;  // [vocab] where each token's piece stands in text; -1 before it is seen
    int32_t *length; // [vocab] its bytes; -1 where it is no text by itself
    rl_str joined;   // scratch
} rl_placing;

rl_placing rl_placing_begin(const rl_tokenizer *tokenizer);
void rl_placing_release(rl_placing *p); // the zero value too

/*
 * at[i] gets the byte of text where the character begins that token i begins in. False when the
 * tokens do not decode to the text, as with a tokenizer that rewrites it.
 */
bool rl_placing_find(rl_placing *p, const char *text, size_t text_len, const int32_t *token,
                     int32_t n_tokens, size_t *at);

#endif
