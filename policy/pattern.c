#include "policy/pattern.h"

#include <stdbool.h>
#include <string.h>

#include "rl/core/str.h"

// White space as Unicode and Oniguruma have it; PCRE2's own \s adds U+180E.
#define SPACE "\\t-\\r\\x{85}\\p{Z}"

static bool is_hex(char c) {
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

static rl_status refuse(const char *what, size_t len, rl_err *err) {
    return rl_fail(err, RL_UNSUPPORTED, "'%.*s' in a pattern is not covered", (int)len, what);
}

// One escape, text[0] being the backslash; *used is its length.
static rl_status escape(const char *text, bool in_class, rl_str *out, size_t *used, rl_err *err) {
    char c = text[1];
    *used = 2;
    switch (c) {
    case 's':
        rl_str_append(out, in_class ? SPACE : "[" SPACE "]");
        return RL_OK;
    case 'S':
        if (in_class) {
            return refuse(text, 2, err);
        }
        rl_str_append(out, "[^" SPACE "]");
        return RL_OK;
    case 'd':
        rl_str_append(out, "\\p{Nd}");
        return RL_OK;
    case 'D':
        rl_str_append(out, "\\P{Nd}");
        return RL_OK;
    case 'v':
        rl_str_append(out, "\\x0b");
        return RL_OK;
    case 'u':
        for (size_t i = 2; i < 6; i++) {
            if (!is_hex(text[i])) {
                return refuse(text, 2, err);
            }
        }
        rl_str_appendf(out, "\\x{%.4s}", text + 2);
        *used = 6;
        return RL_OK;
    case 'p':
    case 'P':
    case 'x':
        *used += text[2] == '{' ? strcspn(text + 2, "}") + 1 : 0;
        if (*used > strlen(text)) {
            return rl_fail(err, RL_IO, "braces in a pattern do not end: '%.40s'", text);
        }
        rl_str_append_n(out, text, *used);
        return RL_OK;
    case '\0':
        return refuse(text, 1, err);
    default:
        if (((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z')) && strchr("rntfaeAzZ", c) == NULL) {
            return refuse(text, 2, err);
        }
        rl_str_append_n(out, text, 2);
        return RL_OK;
    }
}

// A bracketed class from text[0] = '['; nested classes and intersections are Oniguruma's alone.
static rl_status bracket(const char *text, rl_str *out, size_t *used, rl_err *err) {
    size_t i = 1;
    rl_str_append_char(out, '[');
    if (text[i] == '^') {
        rl_str_append_char(out, text[i++]);
    }
    for (bool first = true; text[i] != ']' || first; first = false) {
        if (text[i] == '\0') {
            return rl_fail(err, RL_IO, "a class in a pattern does not end: '%.40s'", text);
        }
        if (text[i] == '[' || (text[i] == '&' && text[i + 1] == '&')) {
            return refuse(text + i, text[i] == '[' ? 1 : 2, err);
        }
        if (text[i] == '\\') {
            size_t len;
            rl_status status = escape(text + i, true, out, &len, err);
            if (status != RL_OK) {
                return status;
            }
            i += len;
        } else {
            rl_str_append_char(out, text[i++]);
        }
    }
    rl_str_append_char(out, ']');
    *used = i + 1;
    return RL_OK;
}

// What may follow "(?": a plain group, a look-around, or options that mean the same in both.
static bool is_known_group(const char *text) {
    if (*text != '\0' && strchr(":=!>", *text) != NULL) {
        return true;
    }
    if (*text == '<') {
        return text[1] == '=' || text[1] == '!';
    }
    size_t n = strspn(text, "i-");
    return n > 0 && (text[n] == ':' || text[n] == ')');
}

static rl_status translate(const char *text, rl_str *out, rl_err *err) {
    while (*text != '\0') {
        size_t used = 1;
        rl_status status = RL_OK;
        if (*text == '\\') {
            status = escape(text, false, out, &used, err);
        } else if (*text == '[') {
            status = bracket(text, out, &used, err);
        } else if (*text == '^' || *text == '$') {
            rl_str_appendf(out, "(?m:%c)", *text); // they are about lines in Oniguruma
        } else if (text[0] == '(' && text[1] == '?' && !is_known_group(text + 2)) {
            status = refuse(text, strnlen(text, 4), err);
        } else if (text[0] == '(' && text[1] == '*') {
            status = refuse(text, 2, err); // PCRE2's verbs
        } else if (text[0] == '}' && text[1] == '+') {
            status = refuse(text, 2, err); // possessive there, a second repeat here
        } else {
            rl_str_append_char(out, *text);
        }
        if (status != RL_OK) {
            return status;
        }
        text += used;
    }
    return RL_OK;
}

rl_status rl_pattern_new(const char *pattern, rl_regex **out, rl_err *err) {
    rl_str text = {0};
    rl_status status = translate(pattern, &text, err);
    if (status == RL_OK) {
        status = rl_regex_new(rl_str_text(&text), out, err);
    }
    rl_str_release(&text);
    return status;
}
