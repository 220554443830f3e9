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

/* \w of Rust's regular expressions, inside brackets: Alphabetic (letters, letter numbers, circled
 * letters), marks, decimal digits, connectors and the two joiners. */
#define RL_PATTERN_WORD                                                                            \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}"                       \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

rl_status rl_pattern_new(const char *pattern, rl_regex **out, rl_err *err) RL_MUST_USE;

#endif
