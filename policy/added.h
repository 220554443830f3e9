/*
 * Added tokens: texts that are found in the input before the model sees it, leftmost first and the
 * longest of those that begin at one place.
 */
#ifndef RL_POLICY_ADDED_H
#define RL_POLICY_ADDED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/regex.h"
#include "rl/core/status.h"

typedef struct rl_added {
    const char *text; // as it is looked for; owned by the tokenizer's arena
    size_t len;
    int32_t id;
    bool special;        // a control token: not looked for in plain text
    bool lstrip, rstrip; // takes the white space before, after it along
    bool single_word;    // only where no word character touches it
} rl_added;

/* The zero value finds nothing. Call rl_added_ready once all are in. */
typedef struct rl_added_set {
    rl_added *item; // [n_items] sorted by text
    size_t n_items;
    bool begins[256]; // whether an item begins with that byte
    rl_regex *word;   // one word character; NULL unless some token asks for single_word
} rl_added_set;

void rl_added_put(rl_added_set *set, rl_added item);
rl_status rl_added_ready(rl_added_set *set, rl_err *err) RL_MUST_USE;
void rl_added_release(rl_added_set *set);

/* A walk over a text; begin with the zero value. */
typedef struct rl_added_walk {
    size_t scan;  // where the search goes on
    size_t floor; // end of the last match with its white space
    size_t limit; // where matches end at the latest, without their white space; 0: anywhere
} rl_added_walk;

/*
 * The next match from the walk's place: text[walk->floor, *begin) precedes it, and the walk moves
 * behind it. False at the end. Names of special tokens are text unless `specials`.
 */
bool rl_added_next(const rl_added_set *set, const char *text, size_t text_len, bool specials,
                   rl_added_walk *walk, size_t *begin, int32_t *id);

#endif
