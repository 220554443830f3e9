#include "core/json_scan.h"

#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/map.h"
#include "rl/core/str.h"
#include "rl/core/unicode.h"

/* cJSON copies a number into a buffer of 64 bytes; no double needs a longer text. */
enum { NUMBER_MAX = 63 };

/*
 * The scanner is a loop over a stack of open lists and objects, so depth costs no C stack. Keys of
 * all objects share one hash map: a key is stored behind the serial number of its object.
 */
typedef struct frame {
    bool object;
    bool outer;   // the member whose members are looked for
    size_t inner; // 1 + the number of the member looked for that it is; 0: none
    uint64_t serial;
} frame;

typedef struct scanner {
    const char *text;
    size_t len, at;
    const char *name;
    int64_t line; // 0: count
    rl_err *err;

    frame open[RL_JSON_DEPTH];
    int depth;
    uint64_t n_objects;
    rl_map *keys;  // made with the first key
    rl_str string; // the last string read, with escapes resolved, behind 8 bytes for the serial

    const char *outer; // NULL: nothing is looked for
    const char *const *inner;
    size_t n_inner;
    rl_json_span *span;
    frame next; // outer and inner of the value that the last key names
} scanner;

enum { SERIAL_BYTES = 8 };

/* Line and column count from 1; a column is a code point. */
static rl_status fail_at(const scanner *s, size_t at, const char *fmt, ...) RL_PRINTF(3, 4);
static rl_status fail_at(const scanner *s, size_t at, const char *fmt, ...) {
    char what[256];
    int64_t line = 1, column = 1;
    va_list args;
    for (size_t i = 0; i < at; i++) {
        if (s->text[i] == '\n' && s->line == 0) {
            line++;
            column = 1;
        } else if (((unsigned char)s->text[i] & 0xC0) != 0x80) {
            column++;
        }
    }
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rl_fail(s->err, RL_IO, "'%s', line %lld, column %lld: %s", s->name,
                   (long long)(s->line != 0 ? s->line : line), (long long)column, what);
}

/* "expected <what>, found <the character at hand>" */
static rl_status fail_expected(const scanner *s, const char *what) {
    unsigned char c = s->at < s->len ? (unsigned char)s->text[s->at] : 0;
    if (s->at == s->len) {
        return fail_at(s, s->at, "expected %s, found the end of the text", what);
    }
    if (c > ' ' && c < 0x7F) {
        return fail_at(s, s->at, "expected %s, found '%c'", what, c);
    }
    return fail_at(s, s->at, "expected %s, found byte 0x%02x", what, c);
}

static void skip_space(scanner *s) {
    while (s->at < s->len && (s->text[s->at] == ' ' || s->text[s->at] == '\t' ||
                              s->text[s->at] == '\n' || s->text[s->at] == '\r')) {
        s->at++;
    }
}

static bool next_is(const scanner *s, char c) {
    return s->at < s->len && s->text[s->at] == c;
}

static bool at_digit(const scanner *s) {
    return s->at < s->len && s->text[s->at] >= '0' && s->text[s->at] <= '9';
}

static void skip_digits(scanner *s) {
    while (at_digit(s)) {
        s->at++;
    }
}

static rl_status scan_number(scanner *s) {
    size_t begin = s->at, whole;
    bool has_exponent = false;
    char copy[NUMBER_MAX + 1];
    s->at += next_is(s, '-');
    whole = s->at;
    if (!at_digit(s)) {
        return fail_expected(s, "a digit");
    }
    skip_digits(s);
    if (s->text[whole] == '0' && s->at - whole > 1) {
        return fail_at(s, whole, "a number may not begin with 0");
    }
    if (next_is(s, '.')) {
        s->at++;
        if (!at_digit(s)) {
            return fail_expected(s, "a digit after the point");
        }
        skip_digits(s);
    }
    if (next_is(s, 'e') || next_is(s, 'E')) {
        s->at++;
        s->at += next_is(s, '+') || next_is(s, '-');
        if (!at_digit(s)) {
            return fail_expected(s, "a digit in the exponent");
        }
        skip_digits(s);
        has_exponent = true;
    }
    if (s->at - begin > NUMBER_MAX) {
        return fail_at(s, begin, "a number of more than %d characters", NUMBER_MAX);
    }
    if (has_exponent) { // the only way to be too large within that length
        memcpy(copy, s->text + begin, s->at - begin);
        copy[s->at - begin] = '\0';
        if (isinf(strtod(copy, NULL))) {
            return fail_at(s, begin, "number '%s' is too large", copy);
        }
    }
    return RL_OK;
}

/* Four hexadecimal digits at text[at]; -1 when they are not. */
static int32_t hex4(const scanner *s, size_t at) {
    int32_t value = 0;
    if (s->len - at < 4) {
        return -1;
    }
    for (size_t i = at; i < at + 4; i++) {
        char c = s->text[i];
        if (c >= '0' && c <= '9') {
            value = value * 16 + (c - '0');
        } else if ((c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F')) {
            value = value * 16 + ((c & 0x1F) + 9);
        } else {
            return -1;
        }
    }
    return value;
}

/* text[at] is the 'u' of an escape whose backslash is one before. */
static rl_status scan_unicode_escape(scanner *s) {
    size_t begin = s->at - 1;
    int32_t code = hex4(s, s->at + 1), low = -1;
    if (code < 0) {
        return fail_at(s, begin, "'\\u' wants four hexadecimal digits");
    }
    if (code == 0) {
        return fail_at(s, begin, "'\\u0000' is refused: a text may not hold a NUL character");
    }
    s->at += 5;
    if (code >= 0xD800 && code <= 0xDFFF) {
        if (code < 0xDC00 && next_is(s, '\\') && s->at + 1 < s->len && s->text[s->at + 1] == 'u') {
            low = hex4(s, s->at + 2);
        }
        if (low < 0xDC00 || low > 0xDFFF) {
            return fail_at(s, begin, "'\\u%04x' is half of a surrogate pair without the other",
                           (unsigned)code);
        }
        code = 0x10000 + ((code - 0xD800) << 10) + (low - 0xDC00);
        s->at += 6;
    }
    rl_utf8_append(&s->string, (uint32_t)code);
    return RL_OK;
}

static rl_status scan_escape(scanner *s) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *found;
    s->at++;
    if (next_is(s, 'u')) {
        return scan_unicode_escape(s);
    }
    found = s->at < s->len && s->text[s->at] != '\0' ? strchr(from, s->text[s->at]) : NULL;
    if (found == NULL) {
        return fail_expected(s, "one of \" \\ / b f n r t u after a backslash");
    }
    rl_str_append_char(&s->string, to[found - from]);
    s->at++;
    return RL_OK;
}

/* keep: what stands in it is wanted; a text that is only checked costs half. */
static rl_status scan_string(scanner *s, bool keep) {
    static const char room[SERIAL_BYTES];
    size_t begin = s->at++;
    rl_str_clear(&s->string);
    rl_str_append_n(&s->string, room, SERIAL_BYTES);
    while (s->at < s->len && s->text[s->at] != '"') {
        size_t plain = s->at;
        while (s->at < s->len && (unsigned char)s->text[s->at] >= ' ' && s->text[s->at] != '"' &&
               s->text[s->at] != '\\') {
            s->at++;
        }
        if (s->at > plain) {
            size_t good = rl_utf8_valid_prefix(s->text + plain, s->at - plain);
            if (good < s->at - plain) {
                return fail_at(s, plain + good, "bytes that are not UTF-8, beginning with 0x%02x",
                               (unsigned char)s->text[plain + good]);
            }
            if (keep) {
                rl_str_append_n(&s->string, s->text + plain, s->at - plain);
            }
        } else if (s->text[s->at] == '\\') {
            rl_status status = scan_escape(s);
            if (status != RL_OK) {
                return status;
            }
        } else {
            return fail_at(s, s->at, "control character 0x%02x inside a text; write it as \\u%04x",
                           (unsigned char)s->text[s->at], (unsigned char)s->text[s->at]);
        }
    }
    if (s->at == s->len) {
        return fail_at(s, begin, "a text begins here and never ends");
    }
    s->at++;
    return RL_OK;
}

static rl_status scan_word(scanner *s) {
    static const char *const word[] = {"true", "false", "null"};
    size_t n = 0;
    for (size_t i = 0; i < sizeof word / sizeof word[0]; i++) {
        n = strlen(word[i]);
        if (s->len - s->at >= n && memcmp(s->text + s->at, word[i], n) == 0) {
            s->at += n;
            return RL_OK;
        }
    }
    for (n = 0; s->at + n < s->len && n < 20; n++) {
        char c = s->text[s->at + n];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z'))) {
            break;
        }
    }
    if (n < 2) {
        return fail_expected(s, "a value");
    }
    return fail_at(s, s->at, "'%.*s' is not a JSON value", (int)n, s->text + s->at);
}

static bool key_is(const scanner *s, const char *name) {
    size_t len = strlen(name);
    return s->string.len == len + SERIAL_BYTES &&
           memcmp(s->string.ptr + SERIAL_BYTES, name, len) == 0;
}

/* What the value of the key just read is to those who look for members. */
static frame follow(const scanner *s) {
    frame next = {.outer = s->outer != NULL && s->depth == 1 && key_is(s, s->outer)};
    for (size_t i = 0; s->open[s->depth - 1].outer && i < s->n_inner; i++) {
        if (key_is(s, s->inner[i])) {
            next.inner = i + 1;
        }
    }
    return next;
}

static rl_status scan_key(scanner *s) {
    size_t begin = s->at;
    bool compared = s->open[s->depth - 1].inner == 0;
    uint64_t serial = s->open[s->depth - 1].serial;
    rl_status status;
    if (!next_is(s, '"')) {
        return fail_expected(s, "a key in double quotes");
    }
    status = scan_string(s, compared);
    if (status != RL_OK) {
        return status;
    }
    memcpy(s->string.ptr, &serial, SERIAL_BYTES);
    s->keys = s->keys != NULL ? s->keys : rl_map_new(0);
    if (compared && !rl_map_add(s->keys, s->string.ptr, s->string.len, 0)) {
        return fail_at(s, begin, "duplicate key '%.100s'", s->string.ptr + SERIAL_BYTES);
    }
    skip_space(s);
    if (!next_is(s, ':')) {
        return fail_expected(s, "':' after a key");
    }
    s->at++;
    s->next = follow(s);
    return RL_OK;
}

/* Behind the closing bracket. */
static void close_frame(scanner *s) {
    size_t inner = s->open[--s->depth].inner;
    s->at++;
    if (inner > 0) {
        rl_json_span *span = &s->span[inner - 1];
        span->len = (size_t)(s->text + s->at - span->text);
    }
}

static rl_status open_frame(scanner *s, bool object) {
    if (s->depth == RL_JSON_DEPTH) {
        return fail_at(s, s->at, "nested deeper than %d", RL_JSON_DEPTH);
    }
    s->next.object = object;
    s->next.serial = s->n_objects++;
    s->open[s->depth++] = s->next;
    if (s->next.inner > 0) {
        s->span[s->next.inner - 1].text = s->text + s->at;
    }
    s->next = (frame){0};
    s->at++;
    return RL_OK;
}

/* One value, or the opening of a list or object; *complete says which. */
static rl_status scan_value(scanner *s, bool *complete) {
    *complete = true;
    if (next_is(s, '{') || next_is(s, '[')) {
        char close = next_is(s, '{') ? '}' : ']';
        rl_status status = open_frame(s, close == '}');
        skip_space(s);
        if (status == RL_OK && next_is(s, close)) {
            close_frame(s);
        } else {
            *complete = false;
        }
        return status;
    }
    if (next_is(s, '"')) {
        return scan_string(s, false);
    }
    return next_is(s, '-') || at_digit(s) ? scan_number(s) : scan_word(s);
}

/* After a value: closes what ends here; stops behind a comma, or at depth 0. */
static rl_status scan_after_value(scanner *s) {
    while (s->depth > 0) {
        bool object = s->open[s->depth - 1].object;
        skip_space(s);
        if (next_is(s, ',')) {
            s->at++;
            skip_space(s);
            if (next_is(s, object ? '}' : ']')) {
                return fail_at(s, s->at, "a comma before the closing '%c'", s->text[s->at]);
            }
            return RL_OK;
        }
        if (!next_is(s, object ? '}' : ']')) {
            return fail_expected(s, object ? "',' or '}'" : "',' or ']'");
        }
        close_frame(s);
    }
    return RL_OK;
}

static rl_status scan_text(scanner *s) {
    rl_status status = RL_OK;
    if (s->len >= 3 && memcmp(s->text, "\xEF\xBB\xBF", 3) == 0) {
        return fail_at(s, 0, "a byte order mark; save the file as UTF-8 without one");
    }
    do {
        bool complete = false;
        while (status == RL_OK && !complete) {
            skip_space(s);
            if (s->depth > 0 && s->open[s->depth - 1].object) {
                status = scan_key(s);
                skip_space(s);
            }
            if (status == RL_OK) {
                status = scan_value(s, &complete);
            }
        }
        if (status == RL_OK) {
            status = scan_after_value(s);
        }
    } while (status == RL_OK && s->depth > 0);
    skip_space(s);
    if (status == RL_OK && s->at < s->len) {
        return fail_expected(s, "nothing more after the value");
    }
    return status;
}

rl_status rl_json_scan(const char *text, size_t text_len, const char *name, int64_t line,
                       rl_err *err) {
    scanner s = {.text = text, .len = text_len, .name = name, .line = line, .err = err};
    rl_status status = scan_text(&s);
    rl_map_free(s.keys);
    rl_str_release(&s.string);
    return status;
}

rl_status rl_json_scan_find(const char *text, size_t text_len, const char *name, const char *outer,
                            const char *const *inner, size_t n_inner, rl_json_span *span,
                            rl_err *err) {
    scanner s = {.text = text,
                 .len = text_len,
                 .name = name,
                 .err = err,
                 .outer = outer,
                 .inner = inner,
                 .n_inner = n_inner,
                 .span = span};
    memset(span, 0, n_inner * sizeof *span);
    rl_status status = scan_text(&s);
    rl_map_free(s.keys);
    rl_str_release(&s.string);
    return status;
}
