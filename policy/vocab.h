/*
 * The tokens of a tokenizer, by id and by text. Filled while loading, read-only afterwards.
 */
#ifndef RL_POLICY_VOCAB_H
#define RL_POLICY_VOCAB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/arena.h"
#include "rl/core/status.h"

typedef enum rl_token_flags {
    RL_TOKEN_MODEL = 1 << 0,   // may come out of the model: of its characters or of a merge
    RL_TOKEN_SPECIAL = 1 << 1, // a control token: left out by decoding on request
} rl_token_flags;

typedef struct rl_token {
    const char *text;  // NULL where the id is free
    const char *shown; // what it decodes to where that is not its text, else NULL
    uint32_t len, hash;
    unsigned flags;
} rl_token;

typedef struct rl_vocab {
    rl_token *token; // [n_tokens]
    int32_t n_tokens;
    uint32_t max_len; // of the longest text
    int32_t limit;    // ids lie below it, so that one hostile id cannot ask for gigabytes
    int32_t *slot;    // [n_slots] ids by the hash of their text, -1 where free; a power of two
    size_t n_slots, n_used;
    rl_arena *arena; // holds the texts, many to a block
    char *block;
    size_t block_left;
} rl_vocab;

/* Room for about `expected` tokens; ids up to twice as many are taken. */
void rl_vocab_init(rl_vocab *vocab, rl_arena *arena, size_t expected);
void rl_vocab_release(rl_vocab *vocab);
/* Adds a token, or adds flags to one that is there with the same id and text. */
rl_status rl_vocab_put(rl_vocab *vocab, int64_t id, const char *text, size_t text_len,
                       unsigned flags, rl_err *err) RL_MUST_USE;
/* -1 when there is none. */
int32_t rl_vocab_find(const rl_vocab *vocab, const char *text, size_t text_len);
/* rl_vocab_find where the answer is probably `guess`, any number: right guesses cost next to
 * nothing. */
int32_t rl_vocab_find_near(const rl_vocab *vocab, const char *text, size_t text_len, int32_t guess);
/* The same among tokens that the model itself may produce. */
int32_t rl_vocab_find_model(const rl_vocab *vocab, const char *text, size_t text_len);

/* A growable list of ids; the zero value is empty. */
typedef struct rl_ids {
    int32_t *ptr;
    size_t len, cap;
} rl_ids;
void rl_ids_push(rl_ids *ids, int32_t id);
void rl_ids_release(rl_ids *ids);

/*
 * The byte-level alphabet of GPT-2: every byte as one printable character, so that vocabularies are
 * plain text. Bytes that print stand for themselves, the others for U+0100 and on.
 */
uint32_t rl_byte_to_char(uint8_t byte);
int32_t rl_char_to_byte(uint32_t code); // -1 for characters outside the alphabet

#endif
