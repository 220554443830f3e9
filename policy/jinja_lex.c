/*
 * White space, as jinja2 treats it with trim_blocks and lstrip_blocks: a newline right behind a
 * block or comment is dropped, and so is white space between the start of a line and a block or
 * comment. '-' beside a delimiter strips all white space on that side; '+' turns both rules off.
 */
#include "policy/jinja_lex.h"

#include <stdlib.h>
#include <string.h>

#include "rl/core/str.h"
#include "rl/core/unicode.h"

typedef struct lexer {
    const char *name, *at, *end;
    int line;
    bool line_start; // at the beginning of a line, as lstrip_blocks sees it
    rl_arena *arena;
    rl_jinja_tokens *out;
    rl_err *err;
} lexer;

static rl_status fail(const lexer *x, int line, const char *what) {
    return rl_fail(x->err, RL_UNSUPPORTED, "%s, line %d: %s", x->name, line, what);
}

static void push(lexer *x, rl_jinja_token token) {
    rl_jinja_tokens *to = x->out;
    if (to->n == to->cap) {
        to->cap = to->cap > 0 ? 2 * to->cap : 64;
        rl_jinja_token *grown = rl_arena_alloc(x->arena, to->cap, sizeof *grown);
        if (to->n > 0) {
            memcpy(grown, to->token, to->n * sizeof *grown);
        }
        to->token = grown;
    }
    to->token[to->n++] = token;
}

static void push_span(lexer *x, rl_jinja_token_kind kind, const char *ptr, size_t len) {
    push(x, (rl_jinja_token){.kind = kind, .line = x->line, .ptr = ptr, .len = len});
}

static bool starts(const char *at, const char *end, const char *what) {
    size_t n = strlen(what);
    return (size_t)(end - at) >= n && memcmp(at, what, n) == 0;
}

static void skip(lexer *x, size_t n) {
    for (; n > 0 && x->at < x->end; n--, x->at++) {
        x->line += *x->at == '\n';
    }
}

static bool is_blank(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

static size_t blanks(const char *at, const char *end) {
    rl_jinja_text rest = {at, (size_t)(end - at), NULL};
    return rest.len - rl_jinja_strip(rest, true, false).len;
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool is_digit(char c) {
    return c >= '0' && c <= '9';
}

// Text up to a tag that begins with `sign`, "" at the end of the source.
static void data(lexer *x, const char *end, char sign, bool is_output) {
    const char *stop = end;
    if (sign == '-') {
        rl_jinja_text text = {x->at, (size_t)(end - x->at), NULL};
        stop = x->at + rl_jinja_strip(text, false, true).len;
    } else if (sign != '+' && sign != '\0' && !is_output) {
        const char *line = end;
        while (line > x->at && line[-1] != '\n') {
            line--;
        }
        if ((line > x->at || x->line_start) && blanks(line, end) == (size_t)(end - line)) {
            stop = line;
        }
    }
    if (stop > x->at) {
        push_span(x, RL_JINJA_T_DATA, x->at, (size_t)(stop - x->at));
    }
    skip(x, (size_t)(end - x->at));
}

// The end of a tag at x->at, such as "-%}": bytes it takes with the white space it eats; 0 if none.
static size_t tag_end(const lexer *x, const char *mark, bool trims) {
    const char *at = x->at;
    char sign = *at == '-' || *at == '+' ? *at : '\0';
    if (sign == '+' && !trims) {
        return 0;
    }
    at += sign != '\0';
    if (!starts(at, x->end, mark)) {
        return 0;
    }
    at += 2;
    if (sign == '-') {
        at += blanks(at, x->end);
    } else if (sign == '\0' && trims && at < x->end && *at == '\n') {
        at++;
    }
    return (size_t)(at - x->at);
}

static void leave_tag(lexer *x, size_t n) {
    x->line_start = n > 0 && x->at[n - 1] == '\n';
    skip(x, n);
}

static rl_status comment(lexer *x) {
    int line = x->line;
    skip(x, 2);
    for (; x->at < x->end; skip(x, 1)) {
        size_t n = tag_end(x, "#}", true);
        if (n > 0) {
            leave_tag(x, n);
            return RL_OK;
        }
    }
    return fail(x, line, "a comment has no '#}'");
}

// Bytes of "{% word %}" at `at` up to and with its end, 0 if it is not there.
static size_t bare_tag(const lexer *x, const char *at, const char *word, bool trims, char *sign) {
    const char *from = at;
    if (!starts(at, x->end, "{%")) {
        return 0;
    }
    at += 2;
    *sign = at < x->end && (*at == '-' || *at == '+') ? *at : ' ';
    at += *sign != ' ';
    at += blanks(at, x->end);
    if (!starts(at, x->end, word)) {
        return 0;
    }
    at += strlen(word);
    at += blanks(at, x->end);
    lexer tail = *x;
    tail.at = at;
    if (at == x->end) {
        return 0;
    }
    size_t n = tag_end(&tail, "%}", trims);
    // Only endraw eats the newline behind it.
    return n > 0 ? (size_t)(at - from) + n : 0;
}

static rl_status raw(lexer *x, size_t begin_len) {
    int line = x->line;
    skip(x, begin_len);
    for (const char *at = x->at; at < x->end; at++) {
        char sign;
        size_t n = bare_tag(x, at, "endraw", true, &sign);
        if (n > 0) {
            x->line_start = false;
            data(x, at, sign, false);
            leave_tag(x, n);
            return RL_OK;
        }
    }
    return fail(x, line, "'raw' has no 'endraw'");
}

static int hex(char c) {
    return is_digit(c)            ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

// One escape of a literal at `at`, behind its backslash; the bytes it takes, 0 if it is wrong.
static size_t escape(const char *at, const char *end, rl_str *out) {
    static const char plain[] = "\\'\"nrtabfv", means[] = "\\'\"\n\r\t\a\b\f\v";
    const char *known = *at != '\0' ? strchr(plain, *at) : NULL;
    size_t digits = *at == 'x' ? 2 : *at == 'u' ? 4 : *at == 'U' ? 8 : 0, n = 0;
    uint32_t code = 0;
    if (known != NULL) {
        rl_str_append_char(out, means[known - plain]);
        return 1;
    }
    if (*at == '\n') { // a line that goes on
        return 1;
    }
    if (*at >= '0' && *at <= '7') {
        for (; n < 3 && at + n < end && at[n] >= '0' && at[n] <= '7'; n++) {
            code = code * 8 + (uint32_t)(at[n] - '0');
        }
        rl_utf8_append(out, code);
        return n;
    }
    if (digits == 0) {
        rl_str_append_char(out, '\\');
        rl_str_append_char(out, *at);
        return 1;
    }
    for (n = 1; n <= digits; n++) {
        int digit = at + n < end ? hex(at[n]) : -1;
        if (digit < 0 || code > 0x10FFFF) {
            return 0;
        }
        code = code * 16 + (uint32_t)digit;
    }
    if (code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF)) {
        return 0;
    }
    rl_utf8_append(out, code);
    return n;
}

static rl_status literal(lexer *x) {
    const char quote = *x->at, *at = x->at + 1;
    int line = x->line;
    rl_str text = {0};
    rl_status status = RL_OK;
    while (at < x->end && *at != quote && status == RL_OK) {
        if (*at == '\\' && at + 1 < x->end) {
            size_t n = escape(at + 1, x->end, &text);
            status = n > 0 ? RL_OK : fail(x, line, "a literal has an escape that is not complete");
            at += n + 1;
        } else {
            rl_str_append_char(&text, *at++);
        }
    }
    if (status == RL_OK && at >= x->end) {
        status = fail(x, line, "a literal has no closing quote");
    }
    if (status == RL_OK) {
        const char *copy = rl_arena_strndup(x->arena, rl_str_text(&text), text.len);
        push_span(x, RL_JINJA_T_TEXT, copy, text.len);
        skip(x, (size_t)(at + 1 - x->at));
    }
    rl_str_release(&text);
    return status;
}

// Digits with single underscores between them, copied without.
static size_t digits(const char *at, const char *end, rl_str *out) {
    const char *from = at;
    while (at < end && (is_digit(*at) || (*at == '_' && at > from && at[-1] != '_' &&
                                          at + 1 < end && is_digit(at[1])))) {
        if (*at != '_') {
            rl_str_append_char(out, *at);
        }
        at++;
    }
    return (size_t)(at - from);
}

static int base_of(const char *at, const char *end) {
    if (end - at < 3 || at[0] != '0') {
        return 10;
    }
    int base = (at[1] | 32) == 'x' ? 16 : (at[1] | 32) == 'o' ? 8 : (at[1] | 32) == 'b' ? 2 : 10;
    int digit = hex(at[2]);
    return digit >= 0 && digit < base ? base : 10;
}

static rl_status number(lexer *x) {
    const char *at = x->at;
    rl_jinja_token token = {.kind = RL_JINJA_T_INT, .line = x->line};
    int base = base_of(at, x->end);
    uint64_t value = 0;
    bool fits = true;
    rl_str text = {0};
    if (base != 10) {
        for (at += 2; at < x->end && (hex(*at) >= 0 || *at == '_') && hex(*at) < base; at++) {
            if (*at != '_') {
                fits = fits && value <= (uint64_t)INT64_MAX / (uint64_t)base;
                value = fits ? value * (uint64_t)base + (uint64_t)hex(*at) : value;
            }
        }
    } else {
        at += digits(at, x->end, &text);
        if (x->end - at > 1 && *at == '.' && is_digit(at[1])) {
            token.kind = RL_JINJA_T_FLOAT;
            rl_str_append_char(&text, '.');
            at += 1 + digits(at + 1, x->end, &text);
        }
        const char *power = at + 1;
        power += at < x->end && power < x->end && (*power == '+' || *power == '-');
        if (at < x->end && (*at | 32) == 'e' && power < x->end && is_digit(*power)) {
            token.kind = RL_JINJA_T_FLOAT;
            rl_str_append_n(&text, at, (size_t)(power - at));
            at = power + digits(power, x->end, &text);
        }
        for (size_t i = 0; token.kind == RL_JINJA_T_INT && i < text.len; i++) {
            uint64_t digit = (uint64_t)(text.ptr[i] - '0');
            fits = fits && value <= ((uint64_t)INT64_MAX - digit) / 10;
            value = fits ? value * 10 + digit : value;
        }
        token.real = strtod(rl_str_text(&text), NULL);
    }
    rl_str_release(&text);
    if (!fits || value > INT64_MAX) {
        return fail(x, x->line, "an integer is too large; 64 bits are covered");
    }
    token.integer = (int64_t)value;
    push(x, token);
    skip(x, (size_t)(at - x->at));
    return RL_OK;
}

static size_t operator_at(const lexer *x) {
    static const char *const two[] = {"//", "**", "==", "!=", ">=", "<="};
    for (size_t i = 0; i < sizeof two / sizeof two[0]; i++) {
        if (starts(x->at, x->end, two[i])) {
            return 2;
        }
    }
    return *x->at != '\0' && strchr("+-/*%~[](){}<>=.:|,;", *x->at) != NULL ? 1 : 0;
}

// One token of the inside of a tag.
static rl_status inside(lexer *x, int *open) {
    size_t n;
    if (*x->at == '\'' || *x->at == '"') {
        return literal(x);
    }
    if (is_digit(*x->at)) {
        return number(x);
    }
    if (is_word(*x->at)) {
        for (n = 1; x->at + n < x->end && is_word(x->at[n]); n++) {
        }
        push_span(x, RL_JINJA_T_NAME, x->at, n);
    } else {
        n = operator_at(x);
        if (n == 0) {
            return fail(x, x->line, "a character that no expression has");
        }
        *open += strchr("[({", *x->at) != NULL;
        *open -= strchr("])}", *x->at) != NULL;
        if (*open < 0) {
            return fail(x, x->line, "a bracket closes that was not opened");
        }
        push_span(x, RL_JINJA_T_OPERATOR, x->at, n);
    }
    skip(x, n);
    return RL_OK;
}

static rl_status tag(lexer *x, bool is_output) {
    int open = 0, line = x->line;
    push_span(x, is_output ? RL_JINJA_T_OUTPUT_BEGIN : RL_JINJA_T_BLOCK_BEGIN, x->at, 2);
    skip(x, 2);
    if (x->at < x->end && (*x->at == '-' || *x->at == '+')) {
        skip(x, 1);
    }
    while (x->at < x->end) {
        size_t n = open == 0 ? tag_end(x, is_output ? "}}" : "%}", !is_output) : 0;
        if (n > 0) {
            push_span(x, is_output ? RL_JINJA_T_OUTPUT_END : RL_JINJA_T_BLOCK_END, x->at, n);
            leave_tag(x, n);
            return RL_OK;
        }
        if (is_blank(*x->at)) {
            skip(x, 1);
            continue;
        }
        rl_status status = inside(x, &open);
        if (status != RL_OK) {
            return status;
        }
    }
    return fail(x, line, is_output ? "'{{' has no '}}'" : "'{%' has no '%}'");
}

// All newlines as '\n', one at the very end dropped.
static void copy_source(lexer *x, const char *source, size_t len) {
    char *copy = rl_arena_alloc(x->arena, len + 1, 1);
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        copy[n++] = source[i] == '\r' ? '\n' : source[i];
        i += source[i] == '\r' && i + 1 < len && source[i + 1] == '\n';
    }
    n -= n > 0 && copy[n - 1] == '\n';
    x->at = copy;
    x->end = copy + n;
}

rl_status rl_jinja_lex(const char *name, const char *source, size_t source_len, rl_arena *arena,
                       rl_jinja_tokens *out, rl_err *err) {
    lexer x = {.name = name, .line = 1, .line_start = true, .arena = arena, .out = out, .err = err};
    rl_status status = RL_OK;
    copy_source(&x, source, source_len);
    for (const char *at = x.at; at < x.end && status == RL_OK;) {
        if (*at != '{' || at + 1 == x.end || strchr("{%#", at[1]) == NULL || at[1] == '\0') {
            at++;
            continue;
        }
        char sign = at + 2 < x.end && (at[2] == '-' || at[2] == '+') ? at[2] : ' ';
        bool is_output = at[1] == '{';
        size_t raw_len = bare_tag(&x, at, "raw", false, &sign);
        data(&x, at, sign, is_output);
        status = at[1] == '#' ? comment(&x) : raw_len > 0 ? raw(&x, raw_len) : tag(&x, is_output);
        at = x.at;
    }
    if (status == RL_OK) {
        data(&x, x.end, '\0', false);
        push_span(&x, RL_JINJA_T_END, x.end, 0);
    }
    return status;
}
