/*
 * Regular expressions through PCRE2, UTF-8 with Unicode properties, with match and depth limits so
 * that no pattern or subject can hang the program. Matching on one object is thread-safe.
 */
#ifndef RL_CORE_REGEX_H
#define RL_CORE_REGEX_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/status.h"

typedef struct rl_regex rl_regex;

rl_status rl_regex_new(const char *pattern, rl_regex **out, rl_err *err) RL_MUST_USE;
void rl_regex_free(rl_regex *regex); // accepts NULL

/*
 * First match at or after `from`. found is false when there is none; *begin and *end are byte
 * offsets. The text must be valid UTF-8. A limit reached is RL_UNSUPPORTED.
 */
rl_status rl_regex_find(const rl_regex *regex, const char *text, size_t text_len, size_t from,
                        bool *found, size_t *begin, size_t *end, rl_err *err) RL_MUST_USE;

#endif
