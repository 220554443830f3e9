/*
 * Patterns of tokenizer files. They are written for Oniguruma; core/regex.h runs PCRE2. Where the
 * two read the same text differently the pattern is rewritten, and what cannot be rewritten is
 * refused by name.
 */
#ifndef RL_POLICY_PATTERN_H
#define RL_POLICY_PATTERN_H

#include "rl/core/regex.h"
#include "rl/core/status.h"

/* Digits, letters and the rest as GPT-2 splits them. */
#define RL_PATTERN_GPT2                                                                            \
    "'(?:[sdmt]|ll|ve|re)| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"

rl_status rl_pattern_new(const char *pattern, rl_regex **out, rl_err *err) RL_MUST_USE;

#endif
