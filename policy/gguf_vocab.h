/* The vocabulary in a GGUF file's metadata and what merges its tokens; private to policy/, for
 * gguf_tokenizer.c. */
#ifndef RL_POLICY_GGUF_VOCAB_H
#define RL_POLICY_GGUF_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/json.h"
#include "rl/core/map.h"
#include "rl/core/status.h"
#include "rl/tensor/gguf.h"

/* Values of "tokenizer.ggml.token_type". */
typedef enum rl_gguf_kind {
    RL_GGUF_KIND_NORMAL = 1,
    RL_GGUF_KIND_UNKNOWN = 2,
    RL_GGUF_KIND_CONTROL = 3,
    RL_GGUF_KIND_USER = 4,
    RL_GGUF_KIND_UNUSED = 5,
    RL_GGUF_KIND_BYTE = 6
} rl_gguf_kind;

typedef struct rl_gguf_vocab {
    const rl_gguf *file;
    size_t n_tokens;
    rl_map *id; // by text
} rl_gguf_vocab;

/* How many tokens the list has without the unused ones at its end, which stand for rows of the
 * embedding beyond the tokenizer; 0 where there is no list. */
size_t rl_gguf_n_tokens(const rl_gguf *file);
/* Every token is valid text and there once. Release also after a failure. */
rl_status rl_gguf_vocab_read(rl_gguf_vocab *v, const rl_gguf *file, rl_err *err) RL_MUST_USE;
void rl_gguf_vocab_release(rl_gguf_vocab *v);
/* i is below n_tokens. Texts are not terminated. */
const char *rl_gguf_vocab_token(const rl_gguf_vocab *v, size_t i, size_t *len);
int rl_gguf_vocab_kind(const rl_gguf_vocab *v, size_t i);

/* Valid UTF-8 without zero bytes: what JSON carries. */
bool rl_gguf_is_text(const char *text, size_t len);
/* The text of the token whose id stands under key; NULL when there is none. */
const char *rl_gguf_named_token(const rl_gguf *file, const char *key, int64_t *id, size_t *len);

/* Members "vocab" and "merges" of tokenizer.json. SentencePiece has scores instead of merges: they
 * are made of them. */
void rl_gguf_put_vocab(const rl_gguf_vocab *v, rl_json_writer *w);
rl_status rl_gguf_put_merges(const rl_gguf_vocab *v, rl_json_writer *w, rl_err *err) RL_MUST_USE;
rl_status rl_gguf_put_merges_of_scores(const rl_gguf_vocab *v, rl_json_writer *w,
                                       rl_err *err) RL_MUST_USE;

#endif
