/*
 * Text to ids and back, exactly as Hugging Face tokenizers does it: BPE, byte-level or with byte
 * fallback, added tokens, normalizer and pre-tokenizer as tokenizer.json or the GGUF metadata say.
 * What is not covered is refused by name when loading. All functions are thread-safe on a loaded
 * tokenizer.
 */
#ifndef RL_POLICY_TOKENIZER_H
#define RL_POLICY_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/arena.h"
#include "rl/core/status.h"
#include "rl/core/str.h"
#include "rl/tensor/gguf.h"

typedef struct rl_tokenizer rl_tokenizer;

/* folder holds tokenizer.json and, if present, tokenizer_config.json. */
rl_status rl_tokenizer_load(const char *folder, rl_tokenizer **out, rl_err *err) RL_MUST_USE;
rl_status rl_tokenizer_from_gguf(const rl_gguf *file, rl_tokenizer **out, rl_err *err) RL_MUST_USE;
void rl_tokenizer_free(rl_tokenizer *tokenizer); // accepts NULL

typedef enum rl_encode_flags {
    RL_ENCODE_PLAIN = 0,         // names of special tokens in the text are plain text
    RL_ENCODE_SPECIALS = 1 << 0, // they become those tokens
    RL_ENCODE_FRAME = 1 << 1,    // add bos/eos as the post-processor says
} rl_encode_flags;

/* ids in the arena. Text is UTF-8; invalid bytes are replaced by U+FFFD first. Added tokens that
 * are not special (runs of spaces, for one) are found under every flag: they belong to the text. */
rl_status rl_tokenizer_encode(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                              unsigned flags, rl_arena *arena, int32_t **out, int32_t *n_out,
                              rl_err *err) RL_MUST_USE;
/* Appends the text of ids; invalid UTF-8 becomes U+FFFD. skip_special leaves out special tokens. */
void rl_tokenizer_decode(const rl_tokenizer *tokenizer, const int32_t *token, int32_t n_tokens,
                         bool skip_special, rl_str *out);

/*
 * The text of ids that come one by one. Each call appends whole characters only, as soon as no
 * later id can change them; with what rl_token_stream_end appends, all of it together is what
 * rl_tokenizer_decode gives for all the ids. One thread at a time.
 */
typedef struct rl_token_stream rl_token_stream;
rl_token_stream *rl_token_stream_new(const rl_tokenizer *tokenizer, bool skip_special);
void rl_token_stream_put(rl_token_stream *stream, int32_t id, rl_str *out);
void rl_token_stream_end(rl_token_stream *stream, rl_str *out); // then it begins anew
void rl_token_stream_free(rl_token_stream *stream);             // accepts NULL

/* Id of a token by its exact text, added tokens included; -1 when there is none. */
int32_t rl_tokenizer_id(const rl_tokenizer *tokenizer, const char *text);
int32_t rl_tokenizer_vocab(const rl_tokenizer *tokenizer);
/* Ids that end a turn by the tokenizer's own account (eos_token); -1 when it names none. */
int32_t rl_tokenizer_eos(const rl_tokenizer *tokenizer);
int32_t rl_tokenizer_bos(const rl_tokenizer *tokenizer);
/* The chat template as written in the files, or NULL. */
const char *rl_tokenizer_chat_template(const rl_tokenizer *tokenizer);

#endif
