/* The decoder of a tokenizer: stages that turn the texts of tokens back into text. */
#ifndef RL_POLICY_DETOKEN_H
#define RL_POLICY_DETOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/normalize.h"
#include "policy/pretoken.h"
#include "rl/core/str.h"

typedef enum rl_detoken_kind {
    RL_DETOKEN_BYTE_LEVEL,    // characters back to bytes, everything joined
    RL_DETOKEN_BYTE_FALLBACK, // runs of <0xXX> to characters
    RL_DETOKEN_REPLACE,       // in every token
    RL_DETOKEN_FUSE,          // everything joined
    RL_DETOKEN_STRIP,         // up to `start` and `stop` of `content` off the ends of every token
    RL_DETOKEN_METASPACE,     // `content` back to spaces; dropped from the first token if `start`
} rl_detoken_kind;

typedef struct rl_detoken_stage {
    rl_detoken_kind kind;
    rl_rewrite replace;
    const char *content; // one character
    size_t start, stop;
} rl_detoken_stage;

/* With no stages tokens are joined by single spaces, as Hugging Face does. */
typedef struct rl_detokenizer {
    rl_detoken_stage *stage; // [n_stages]
    size_t n_stages;
} rl_detokenizer;

void rl_detokenizer_add(rl_detokenizer *detoken, rl_detoken_stage stage); // takes replace.regex
void rl_detokenizer_release(rl_detokenizer *detoken);
/* Appends the bytes that the characters of a token stand for; its own bytes if one of them is
 * outside the alphabet (added tokens with spaces, for one). */
void rl_detoken_append_bytes(const char *text, size_t len, rl_str *out);
/* The byte of a token <0xXX>, or -1. */
int rl_detoken_byte(const char *text, size_t len);
/* Appends the text of the tokens, whose spans are taken as they are. Changes both lists. */
void rl_detokenizer_run(const rl_detokenizer *detoken, rl_pieces *tokens, rl_pieces *spare,
                        rl_str *out);

#endif
