/*
 * Text to ids and back, exactly as the implementation that a tokenizer comes from does it. A
 * tokenizer is loaded once and then only read; all functions are thread-safe on it.
 *
 *   rl_tokenizer *tokenizer;
 *   status = rl_tokenizer_load("models/smollm2", &tokenizer, err);
 *   status = rl_tokenizer_encode(tokenizer, text, len, RL_ENCODE_SPECIALS, arena, &ids, &n, err);
 *   rl_tokenizer_decode(tokenizer, ids, n, true, &back);
 *   rl_tokenizer_free(tokenizer);
 *
 * The model is BPE, byte-level or over characters with byte fallback and marks for spaces
 * (SentencePiece). It is read from the first of these that a folder holds:
 *
 *   tokenizer.json             with the pipeline it describes
 *   vocab.json, merges.txt     of GPT2Tokenizer, CodeGenTokenizer or Qwen2Tokenizer
 *   encoder.json, vocab.bpe    the same under OpenAI's names
 *   tokenizer.model            SentencePiece, BPE without a normalisation table
 *   NAME.tiktoken              r50k_base, p50k_base, cl100k_base, o200k_base
 *
 * with tokenizer_config.json, special_tokens_map.json, added_tokens.json and chat_template.jinja
 * beside it; or from the metadata of a GGUF file, models "gpt2" and "llama". Covered sections of
 * tokenizer.json: normalizers NFC, NFD, NFKC, NFKD, Lowercase, Strip, StripAccents, Prepend,
 * Replace; pre-tokenizers Split, ByteLevel, Digits, Metaspace, Whitespace, WhitespaceSplit,
 * Punctuation, CharDelimiterSplit; decoders ByteLevel, ByteFallback, Replace, Fuse, Strip,
 * Metaspace; post-processors TemplateProcessing, ByteLevel, RobertaProcessing, BertProcessing; and
 * Sequence of each. Anything else, WordPiece, Unigram and dropout among it, is refused by its name
 * when loading.
 *
 * Bytes that are not UTF-8 have a meaning: each longest beginning of a character that does not go
 * on, and each byte that begins none, is U+FFFD (the WHATWG rule), on the way in before anything
 * else sees the text, on the way out where ids give bytes that are no character. So a byte-level
 * tokenizer gives back every valid text byte for byte, and a damaged one with its damage marked.
 * Letters and digits are those of the utf8proc in use; characters newer than it count as other
 * signs.
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

/* A folder as above, or the path of a .tiktoken file. */
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
/* Appends the text of ids; invalid UTF-8 becomes U+FFFD. skip_special leaves out special tokens.
 * Spaces before punctuation stay, whatever clean_up_tokenization_spaces says (loading warns): a
 * completion is judged by the text that its ids stand for, not by a prettier one. */
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
/* One more than the largest id. Models may have more rows: see rl_policy_limit_ids. */
int32_t rl_tokenizer_vocab(const rl_tokenizer *tokenizer);
/* Ids that end a turn by the tokenizer's own account (eos_token); -1 when it names none. */
int32_t rl_tokenizer_eos(const rl_tokenizer *tokenizer);
int32_t rl_tokenizer_bos(const rl_tokenizer *tokenizer);
/* The chat template as written in the files, or NULL. */
const char *rl_tokenizer_chat_template(const rl_tokenizer *tokenizer);

#endif
