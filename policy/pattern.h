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

/* Every number a piece, runs of letters with one sign before them: Qwen 2 to 3, and with digits in
 * threes cl100k, Llama 3 and OLMo 2. */
#define RL_PATTERN_ANY_CASE "(?i:'s|'t|'re|'ve|'m|'ll|'d)"
#define RL_PATTERN_CL100K_TAIL(digits)                                                             \
    "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                                       \
    "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"
#define RL_PATTERN_QWEN   RL_PATTERN_ANY_CASE RL_PATTERN_CL100K_TAIL("\\p{N}")
#define RL_PATTERN_CL100K RL_PATTERN_ANY_CASE RL_PATTERN_CL100K_TAIL("\\p{N}{1,3}")

/* \w of Rust's regular expressions, inside brackets: Alphabetic (letters, letter numbers, circled
 * letters), marks, decimal digits, connectors and the two joiners. */
#define RL_PATTERN_WORD                                                                            \
    "\\p{L}\\p{M}\\p{Nd}\\p{Nl}\\p{Pc}\\x{200c}\\x{200d}\\x{24b6}-\\x{24e9}"                       \
    "\\x{1f130}-\\x{1f149}\\x{1f150}-\\x{1f169}\\x{1f170}-\\x{1f189}"

rl_status rl_pattern_new(const char *pattern, rl_regex **out, rl_err *err) RL_MUST_USE;

#endif
