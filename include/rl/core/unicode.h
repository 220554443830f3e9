/* UTF-8 and the Unicode facts that tokenizers need (utf8proc). Pure functions, thread-safe. */
#ifndef RL_CORE_UNICODE_H
#define RL_CORE_UNICODE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"
#include "rl/core/str.h"

/* Bytes of the code point at text (1-4) and its value; 0 when the bytes are not valid UTF-8. */
int32_t rl_utf8_decode(const char *text, size_t text_len, uint32_t *code);
/* Appends a code point. */
void rl_utf8_append(rl_str *out, uint32_t code);
bool rl_utf8_valid(const char *text, size_t text_len);
/* Bytes of a valid prefix of text; equals text_len for valid text. */
size_t rl_utf8_valid_prefix(const char *text, size_t text_len);
/* Bytes of text without the beginning of a character at its end that more bytes could complete. */
size_t rl_utf8_whole(const char *text, size_t text_len);
/* Appends text with each invalid byte sequence replaced by U+FFFD, as WHATWG decoders do. */
void rl_utf8_repair(const char *text, size_t text_len, rl_str *out);

/* The one character that is code in the other case; code itself where there is none. */
uint32_t rl_unicode_to_upper(uint32_t code);
uint32_t rl_unicode_to_lower(uint32_t code);

typedef enum rl_unicode_form {
    RL_UNICODE_NFC,
    RL_UNICODE_NFD,
    RL_UNICODE_NFKC,
    RL_UNICODE_NFKD
} rl_unicode_form;
rl_status rl_unicode_normalize(rl_unicode_form form, const char *text, size_t text_len, rl_str *out,
                               rl_err *err) RL_MUST_USE;

/* What split patterns ask of a character: \p{L}, \p{N}, white space (\p{Z}, U+0009 to U+000D,
 * U+0085), anything else. */
typedef enum rl_char_class {
    RL_CHAR_OTHER,
    RL_CHAR_LETTER,
    RL_CHAR_NUMBER,
    RL_CHAR_SPACE
} rl_char_class;
rl_char_class rl_unicode_class(uint32_t code);
bool rl_unicode_is_mark(uint32_t code);    // nonspacing: \p{Mn}
bool rl_unicode_is_decimal(uint32_t code); // \p{Nd}

/* \p{Lu}, \p{Ll}, \p{Lt}. */
typedef enum rl_unicode_case {
    RL_CASE_NONE,
    RL_CASE_UPPER,
    RL_CASE_LOWER,
    RL_CASE_TITLE
} rl_unicode_case;
rl_unicode_case rl_unicode_case_of(uint32_t code);

/* Appends text with every character in lower case, each on its own (no rule for a final sigma). */
void rl_unicode_lower(const char *text, size_t text_len, rl_str *out);

#endif
