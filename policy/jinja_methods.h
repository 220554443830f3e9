/* What methods and filters of texts share. */
#ifndef RL_POLICY_JINJA_METHODS_H
#define RL_POLICY_JINJA_METHODS_H

#include "policy/jinja_run.h"

/* Every word's first letter upper, the others lower. Words of the filter end at spaces, '-' and
 * opening brackets; those of the method at whatever is no letter. */
rl_status rl_jinja_title(rl_jinja_run *run, rl_jinja_text text, bool is_filter,
                         rl_jinja_value *out) RL_MUST_USE;
/* jinja_chars.c: what isdecimal, isdigit, isnumeric, isalpha, isalnum, isspace, isupper, islower
 * and splitlines ask of a character. */
typedef enum rl_jinja_chars_kind {
    RL_JINJA_DECIMALS,
    RL_JINJA_DIGITS,
    RL_JINJA_NUMBERS,
    RL_JINJA_LETTERS,
    RL_JINJA_WORDS,
    RL_JINJA_SPACES,
    RL_JINJA_UPPERS,
    RL_JINJA_LOWERS,
    RL_JINJA_LINE_ENDS
} rl_jinja_chars_kind;
bool rl_jinja_char_is(uint32_t code, rl_jinja_chars_kind kind);
const rl_jinja_func *rl_jinja_find_text_method(rl_jinja_text name);

#endif
