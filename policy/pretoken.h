/*
 * The pre-tokenizer: cuts normalized text into the pieces that BPE sees one by one. Every kind in a
 * tokenizer file comes down to two steps: a split by matches, and a rewrite of spaces with a
 * prefix.
 */
#ifndef RL_POLICY_PRETOKEN_H
#define RL_POLICY_PRETOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "policy/scan.h"
#include "rl/core/regex.h"
#include "rl/core/status.h"
#include "rl/core/str.h"

/* What happens to a match, in Hugging Face's words. */
typedef enum rl_split_how {
    RL_SPLIT_ISOLATED,             // a piece of its own
    RL_SPLIT_REMOVED,              // dropped
    RL_SPLIT_MERGED_WITH_PREVIOUS, // joined to what precedes it
    RL_SPLIT_MERGED_WITH_NEXT,     // joined to what follows it
    RL_SPLIT_CONTIGUOUS,           // a piece together with adjacent matches
} rl_split_how;

typedef enum rl_prefix_where {
    RL_PREFIX_NEVER,
    RL_PREFIX_FIRST, // only the piece at the very start of the text
    RL_PREFIX_ALWAYS,
} rl_prefix_where;

typedef struct rl_pre_step {
    bool is_split;
    // A split.
    rl_scan_kind scan;   // a known pattern; else
    rl_regex *regex;     // owned; or NULL and
    const char *literal; // this text, not empty
    rl_split_how how;
    bool invert; // matches and what lies between them change places
    // A rewrite of every piece.
    const char *space;  // what ' ' becomes, or NULL
    const char *prefix; // put in front of pieces that do not begin with it
    rl_prefix_where where;
} rl_pre_step;

/* The zero value leaves the text in one piece. Texts belong to the tokenizer's arena. */
typedef struct rl_pretokenizer {
    rl_pre_step *step; // [n_steps]
    size_t n_steps;
} rl_pretokenizer;

void rl_pretokenizer_add(rl_pretokenizer *pre, rl_pre_step step); // takes the regex
void rl_pretokenizer_release(rl_pretokenizer *pre);

typedef struct rl_span {
    size_t begin, end;
} rl_span;

/* Text and the pieces it is cut into; the zero value is empty. */
typedef struct rl_pieces {
    rl_str text;
    rl_span *span; // [n_spans], in order
    size_t n_spans, cap;
} rl_pieces;
void rl_pieces_add(rl_pieces *pieces, size_t begin, size_t end); // leaves out empty ones
/* Also an empty one: among decoded tokens even that one stands between its neighbours. */
void rl_pieces_put(rl_pieces *pieces, size_t begin, size_t end);
/* The i-th piece, not terminated; never NULL, also where nothing but empty pieces was put. */
const char *rl_pieces_at(const rl_pieces *pieces, size_t i, size_t *len);
void rl_pieces_clear(rl_pieces *pieces);
void rl_pieces_release(rl_pieces *pieces);

/* Replaces the content of `pieces` by the pieces of text. at_start: the text is the very beginning
 * of what is being encoded. `spare` is scratch. */
rl_status rl_pretokenizer_run(const rl_pretokenizer *pre, const char *text, size_t text_len,
                              bool at_start, rl_pieces *pieces, rl_pieces *spare,
                              rl_err *err) RL_MUST_USE;

#endif
