#include "rl/core/unicode.h"

#include <string.h>
#include <utf8proc.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

/*
 * Bytes of the sequence at text, from 1; *valid says whether they are a code point. Bytes that are
 * not are the longest beginning of one (or one byte): what a WHATWG decoder replaces by one U+FFFD.
 */
static size_t sequence(const char *text, size_t text_len, uint32_t *code, bool *valid) {
    const unsigned char *at = (const unsigned char *)text;
    unsigned lead = at[0], low = 0x80, high = 0xBF;
    size_t need;
    *valid = false;
    if (lead < 0x80) {
        *code = lead;
        *valid = true;
        return 1;
    }
    if (lead < 0xC2 || lead > 0xF4) {
        return 1;
    }
    need = lead < 0xE0 ? 1 : lead < 0xF0 ? 2 : 3;
    *code = lead & (0x3Fu >> need);
    // The second byte alone decides about overlong forms, surrogates and the end of Unicode.
    low = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : low;
    high = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : high;
    for (size_t i = 1; i <= need; i++) {
        if (i == text_len || at[i] < low || at[i] > high) {
            return i;
        }
        *code = *code << 6 | (at[i] & 0x3Fu);
        low = 0x80;
        high = 0xBF;
    }
    *valid = true;
    return need + 1;
}

int32_t rl_utf8_decode(const char *text, size_t text_len, uint32_t *code) {
    bool valid;
    size_t n;
    if (text_len == 0) {
        return 0;
    }
    n = sequence(text, text_len, code, &valid);
    return valid ? (int32_t)n : 0;
}

void rl_utf8_append(rl_str *out, uint32_t code) {
    char byte[4];
    size_t n = 0;
    RL_ASSERT(code <= 0x10FFFF && (code < 0xD800 || code > 0xDFFF));
    if (code < 0x80) {
        byte[n++] = (char)code;
    } else if (code < 0x800) {
        byte[n++] = (char)(0xC0 | code >> 6);
    } else if (code < 0x10000) {
        byte[n++] = (char)(0xE0 | code >> 12);
    } else {
        byte[n++] = (char)(0xF0 | code >> 18);
    }
    if (code >= 0x10000) {
        byte[n++] = (char)(0x80 | (code >> 12 & 0x3F));
    }
    if (code >= 0x800) {
        byte[n++] = (char)(0x80 | (code >> 6 & 0x3F));
    }
    if (code >= 0x80) {
        byte[n++] = (char)(0x80 | (code & 0x3F));
    }
    rl_str_append_n(out, byte, n);
}

size_t rl_utf8_valid_prefix(const char *text, size_t text_len) {
    size_t at = 0;
    while (at < text_len) {
        uint32_t code;
        uint64_t eight = 0;
        bool valid;
        if (at + 8 <= text_len) {
            memcpy(&eight, text + at, 8);
            if ((eight & 0x8080808080808080u) == 0) { // ASCII, most of the time
                at += 8;
                continue;
            }
        }
        size_t n = sequence(text + at, text_len - at, &code, &valid);
        if (!valid) {
            break;
        }
        at += n;
    }
    return at;
}

bool rl_utf8_valid(const char *text, size_t text_len) {
    return rl_utf8_valid_prefix(text, text_len) == text_len;
}

size_t rl_utf8_whole(const char *text, size_t text_len) {
    for (size_t n = 1; n <= 3 && n <= text_len; n++) {
        const char *at = text + text_len - n;
        uint32_t code;
        bool valid;
        if ((unsigned char)*at >= 0xC2 && (unsigned char)*at <= 0xF4) {
            return sequence(at, n, &code, &valid) == n && !valid ? text_len - n : text_len;
        }
    }
    return text_len;
}

void rl_utf8_repair(const char *text, size_t text_len, rl_str *out) {
    while (text_len > 0) {
        size_t good = rl_utf8_valid_prefix(text, text_len), bad = 0;
        rl_str_append_n(out, text, good);
        if (good < text_len) {
            uint32_t code;
            bool valid;
            bad = sequence(text + good, text_len - good, &code, &valid);
            rl_utf8_append(out, 0xFFFD);
        }
        text += good + bad;
        text_len -= good + bad;
    }
}

static bool is_ascii(const char *text, size_t text_len) {
    for (size_t i = 0; i < text_len; i++) {
        if ((unsigned char)text[i] >= 0x80) {
            return false;
        }
    }
    return true;
}

rl_status rl_unicode_normalize(rl_unicode_form form, const char *text, size_t text_len, rl_str *out,
                               rl_err *err) {
    static const int option[] = {
        [RL_UNICODE_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [RL_UNICODE_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [RL_UNICODE_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [RL_UNICODE_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_option_t how = (utf8proc_option_t)option[form];
    const utf8proc_uint8_t *bytes = (const utf8proc_uint8_t *)text;
    utf8proc_int32_t *code = NULL;
    utf8proc_ssize_t n;
    if (is_ascii(text, text_len)) { // the same in every form
        rl_str_append_n(out, text, text_len);
        return RL_OK;
    }
    n = utf8proc_decompose(bytes, (utf8proc_ssize_t)text_len, NULL, 0, how);
    if (n >= 0) {
        // reencode writes the bytes over the code points and wants room for a final NUL
        code = rl_alloc((size_t)n + 1, sizeof *code);
        n = utf8proc_decompose(bytes, (utf8proc_ssize_t)text_len, code, n, how);
    }
    if (n >= 0) {
        n = utf8proc_reencode(code, n, how);
    }
    if (n >= 0) {
        rl_str_append_n(out, (const char *)code, (size_t)n);
    }
    rl_free(code);
    return n >= 0
               ? RL_OK
               : rl_fail(err, RL_UNSUPPORTED, "text cannot be normalized: %s", utf8proc_errmsg(n));
}

rl_char_class rl_unicode_class(uint32_t code) {
    static const rl_char_class class_of[UTF8PROC_CATEGORY_CO + 1] = {
        [UTF8PROC_CATEGORY_LU] = RL_CHAR_LETTER, [UTF8PROC_CATEGORY_LL] = RL_CHAR_LETTER,
        [UTF8PROC_CATEGORY_LT] = RL_CHAR_LETTER, [UTF8PROC_CATEGORY_LM] = RL_CHAR_LETTER,
        [UTF8PROC_CATEGORY_LO] = RL_CHAR_LETTER, [UTF8PROC_CATEGORY_ND] = RL_CHAR_NUMBER,
        [UTF8PROC_CATEGORY_NL] = RL_CHAR_NUMBER, [UTF8PROC_CATEGORY_NO] = RL_CHAR_NUMBER,
        [UTF8PROC_CATEGORY_ZS] = RL_CHAR_SPACE,  [UTF8PROC_CATEGORY_ZL] = RL_CHAR_SPACE,
        [UTF8PROC_CATEGORY_ZP] = RL_CHAR_SPACE,
    };
    if ((code >= 9 && code <= 13) || code == 0x85) {
        return RL_CHAR_SPACE;
    }
    return class_of[utf8proc_category((utf8proc_int32_t)code)];
}

bool rl_unicode_is_mark(uint32_t code) {
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_MN;
}

bool rl_unicode_is_decimal(uint32_t code) {
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

rl_unicode_case rl_unicode_case_of(uint32_t code) {
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);
    return category == UTF8PROC_CATEGORY_LU   ? RL_CASE_UPPER
           : category == UTF8PROC_CATEGORY_LL ? RL_CASE_LOWER
           : category == UTF8PROC_CATEGORY_LT ? RL_CASE_TITLE
                                              : RL_CASE_NONE;
}

void rl_unicode_lower(const char *text, size_t text_len, rl_str *out) {
    for (size_t at = 0; at < text_len;) {
        uint32_t code;
        int32_t n = rl_utf8_decode(text + at, text_len - at, &code);
        RL_ASSERT(n > 0);
        if (code == 0x130) { // the one character that becomes two
            rl_str_append(out, "i\xCC\x87");
        } else {
            rl_utf8_append(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
        }
        at += (size_t)n;
    }
}

uint32_t rl_unicode_to_upper(uint32_t code) {
    return (uint32_t)utf8proc_toupper((utf8proc_int32_t)code);
}

uint32_t rl_unicode_to_lower(uint32_t code) {
    return (uint32_t)utf8proc_tolower((utf8proc_int32_t)code);
}
