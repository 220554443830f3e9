/* The normalizer of a tokenizer: a list of rewrites applied in order. Also the text and regex
 * replacement that decoders use. */
#ifndef RL_POLICY_NORMALIZE_H
#define RL_POLICY_NORMALIZE_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/regex.h"
#include "rl/core/status.h"
#include "rl/core/str.h"
#include "rl/core/unicode.h"

typedef enum rl_rewrite_kind {
    RL_REWRITE_FORM,    // a Unicode normal form
    RL_REWRITE_PREPEND, // `content` in front of text that is not empty
    RL_REWRITE_LOWER,   // every character in lower case
    RL_REWRITE_STRIP,   // without white space at the ends that `left` and `right` name
    RL_REWRITE_ACCENTS, // without nonspacing marks
    RL_REWRITE_REPLACE, // every match of regex or literal becomes `content`, taken literally
} rl_rewrite_kind;

typedef struct rl_rewrite {
    rl_rewrite_kind kind;
    rl_unicode_form form;
    const char *literal; // not empty; NULL where regex is given
    const char *content;
    rl_regex *regex; // owned
    bool left, right;
} rl_rewrite;

/* The zero value changes nothing. Texts belong to the tokenizer's arena. */
typedef struct rl_normalizer {
    rl_rewrite *rewrite; // [n_rewrites]
    size_t n_rewrites;
} rl_normalizer;

void rl_normalizer_add(rl_normalizer *normalizer, rl_rewrite rewrite); // takes the regex
void rl_normalizer_release(rl_normalizer *normalizer);
/* Appends valid UTF-8 made from valid UTF-8. */
rl_status rl_normalizer_run(const rl_normalizer *normalizer, const char *text, size_t text_len,
                            rl_str *out, rl_err *err) RL_MUST_USE;
rl_status rl_rewrite_run(const rl_rewrite *rewrite, const char *text, size_t text_len, rl_str *out,
                         rl_err *err) RL_MUST_USE;

#endif
