/* Finding a regex or a literal text in a piece, shared by normalizers and pre-tokenizers. */
#ifndef RL_POLICY_MATCH_H
#define RL_POLICY_MATCH_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/regex.h"
#include "rl/core/status.h"

/* The first match at or after `from` of regex, or of the literal where regex is NULL. */
rl_status rl_match_next(const rl_regex *regex, const char *literal, const char *text,
                        size_t text_len, size_t from, bool *found, size_t *begin, size_t *end,
                        rl_err *err) RL_MUST_USE;
/* Where the search goes on after a match: one character further when it was empty; may exceed
 * text_len by one, after which rl_match_next finds nothing. */
size_t rl_match_resume(const char *text, size_t text_len, size_t begin, size_t end);

#endif
