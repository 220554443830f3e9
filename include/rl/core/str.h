/*
 * A growable byte string. The zero value is an empty string; ptr is NUL-terminated once anything
 * was appended (NULL before); len does not count the NUL. Bytes may be anything, NUL included.
 */
#ifndef RL_CORE_STR_H
#define RL_CORE_STR_H

#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>

#include "rl/core/status.h"

typedef struct rl_str {
    char *ptr;
    size_t len, cap;
} rl_str;

void rl_str_append(rl_str *str, const char *text);
void rl_str_append_n(rl_str *str, const char *text, size_t text_len);
void rl_str_append_char(rl_str *str, char c);
void rl_str_appendf(rl_str *str, const char *fmt, ...) RL_PRINTF(2, 3);
void rl_str_appendv(rl_str *str, const char *fmt, va_list args) RL_PRINTF(2, 0);
/* Empty but keeps its memory. */
void rl_str_clear(rl_str *str);
void rl_str_release(rl_str *str);
/* Moves the memory out (free with rl_free); str is empty afterwards. Never NULL. */
char *rl_str_take(rl_str *str);
/* The text, "" when nothing was appended. Valid until the next change. */
const char *rl_str_text(const rl_str *str);

bool rl_text_starts(const char *text, const char *prefix);
bool rl_text_ends(const char *text, const char *suffix);
bool rl_text_equal(const char *a, const char *b); // NULL equals only NULL
/* Edits (insert, delete, replace, swap of neighbours) between two short words, for "did you mean".
 */
int rl_text_distance(const char *a, const char *b);
/* The candidate nearest to word if near enough to suggest, else NULL. */
const char *rl_text_nearest(const char *word, const char *const *candidates, size_t n_candidates);

#endif
