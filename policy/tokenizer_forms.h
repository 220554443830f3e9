/*
 * The forms in which a folder may hold a tokenizer, and what lies beside each of them. Private to
 * the files that read them:
 *
 *   tokenizer_json.c      tokenizer.json
 *   tokenizer_merges.c    vocab.json and merges.txt (encoder.json and vocab.bpe)
 *   tokenizer_tiktoken.c  NAME.tiktoken
 *   tokenizer_spm.c       tokenizer.model of SentencePiece
 */
#ifndef RL_POLICY_TOKENIZER_FORMS_H
#define RL_POLICY_TOKENIZER_FORMS_H

#include "policy/tokenizer_parts.h"

/* Documents are NULL where the folder has no such file. */
typedef struct rl_tokenizer_files {
    const char *folder;
    rl_json_doc *config;   // tokenizer_config.json
    rl_json_doc *specials; // special_tokens_map.json
    rl_json_doc *added;    // added_tokens.json
} rl_tokenizer_files;

/* A member of tokenizer_config.json, or NULL. */
const rl_json *rl_tokenizer_setting(const rl_tokenizer_files *files, const char *key);

/* Each fills an empty tokenizer, rl_tokenizer_ready included; errors name the file. */
rl_status rl_read_vocab_merges(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                               const char *vocab_path, const char *merges_path,
                               rl_err *err) RL_MUST_USE;
rl_status rl_read_tiktoken(rl_tokenizer *tokenizer, const char *path, rl_err *err) RL_MUST_USE;
rl_status rl_read_sentencepiece(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                const char *path, rl_err *err) RL_MUST_USE;
/* The last three from memory: merges alone, whose vocabulary stands; path is for errors and, with
 * tiktoken, for the encoding's name. */
rl_status rl_read_merge_lines(rl_tokenizer *tokenizer, const char *text, size_t text_len,
                              const char *path, rl_err *err) RL_MUST_USE;
rl_status rl_read_tiktoken_text(rl_tokenizer *tokenizer, const char *text, size_t text_len,
                                const char *path, rl_err *err) RL_MUST_USE;
rl_status rl_read_sentencepiece_bytes(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                      const uint8_t *bytes, size_t n_bytes, const char *path,
                                      rl_err *err) RL_MUST_USE;

/*
 * Tokens that the files beside a vocabulary add: added_tokens_decoder, else added_tokens.json; then
 * every special token that is named and has an id. Also what RL_ENCODE_FRAME adds, by add_bos_token
 * (bos_default where it is absent) and add_eos_token.
 */
rl_status rl_read_listed_tokens(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                bool bos_default, rl_err *err) RL_MUST_USE;

/* How SentencePiece writes spaces, on the way in and out; prefix: one in front of every text. */
void rl_add_sentencepiece_rules(rl_tokenizer *tokenizer, bool prefix);

#endif
