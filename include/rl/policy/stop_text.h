/*
 * Texts that end a completion, looked for in text that comes piece by piece. What is given back is
 * the text before the first of them, to the byte, however it was cut into pieces; a part that may
 * still become a stop text is held back. First is the one that is complete first; where several
 * are complete at the same byte, the longest. One thread at a time.
 */
#ifndef RL_POLICY_STOP_TEXT_H
#define RL_POLICY_STOP_TEXT_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/str.h"

typedef struct rl_stop_text rl_stop_text;

/* The texts are borrowed, and none is empty; n_texts may be 0. */
rl_stop_text *rl_stop_text_new(const char *const *text, size_t n_texts);
void rl_stop_text_free(rl_stop_text *stop); // accepts NULL
/* Appends to out what comes before any stop text for certain. True once one was found: from then on
 * nothing is appended. */
bool rl_stop_text_put(rl_stop_text *stop, const char *piece, size_t piece_len, rl_str *out);
/* No more text comes: appends what was held back. */
void rl_stop_text_end(rl_stop_text *stop, rl_str *out);

#endif
