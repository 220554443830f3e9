/* Walking over a part of a JSON text that rl_json_scan_find has found to be well-formed. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/json.h"
#include "rl/core/unicode.h"

static uint32_t hex4(const char *at) {
    uint32_t value = 0;
    for (int i = 0; i < 4; i++) {
        char c = at[i];
        value = value * 16 + (uint32_t)(c <= '9' ? c - '0' : (c & 0x1F) + 9);
    }
    return value;
}

/* Appends what the escape at `at` stands for, the backslash; returns its length. */
static size_t unescape(const char *at, rl_str *out) {
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    if (at[1] != 'u') {
        const char *found = strchr(from, at[1]);
        RL_ASSERT(found != NULL);
        rl_str_append_char(out, to[found - from]);
        return 2;
    }
    uint32_t code = hex4(at + 2);
    if (code < 0xD800 || code > 0xDFFF) {
        rl_utf8_append(out, code);
        return 6;
    }
    rl_utf8_append(out, 0x10000 + ((code - 0xD800) << 10) + (hex4(at + 8) - 0xDC00));
    return 12;
}

/* From the opening quote; leaves the walk behind the closing one. */
static void read_text(rl_json_walk *walk) {
    const char *at = walk->at + 1, *begin = at;
    while (*at != '"' && *at != '\\') {
        at++;
    }
    if (*at == '"') {
        walk->text = begin;
        walk->text_len = (size_t)(at - begin);
        walk->at = at + 1;
        return;
    }
    rl_str_clear(&walk->copy);
    while (*at != '"') {
        rl_str_append_n(&walk->copy, begin, (size_t)(at - begin));
        at += unescape(at, &walk->copy);
        for (begin = at; *at != '"' && *at != '\\';) {
            at++;
        }
    }
    rl_str_append_n(&walk->copy, begin, (size_t)(at - begin));
    walk->text = rl_str_text(&walk->copy);
    walk->text_len = walk->copy.len;
    walk->at = at + 1;
}

static bool is_gap(char c) {
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == ',' || c == ':';
}

rl_json_event rl_json_walk_next(rl_json_walk *walk) {
    while (walk->at < walk->end && is_gap(*walk->at)) {
        walk->at++;
    }
    if (walk->at == walk->end) {
        return RL_JSON_AT_END;
    }
    const char *begin = walk->at;
    switch (*begin) {
    case '{':
    case '[':
        walk->at++;
        return RL_JSON_AT_OPEN;
    case '}':
    case ']':
        walk->at++;
        return RL_JSON_AT_CLOSE;
    case '"':
        read_text(walk);
        for (begin = walk->at; is_gap(*begin) && *begin != ',' && *begin != ':';) {
            begin++; // the span ends with a bracket, so this ends too
        }
        return *begin == ':' ? RL_JSON_AT_KEY : RL_JSON_AT_TEXT;
    default:
        while (!is_gap(*walk->at) && *walk->at != '}' && *walk->at != ']') {
            walk->at++;
        }
        walk->text = begin;
        walk->text_len = (size_t)(walk->at - begin);
        return *begin == '-' || (*begin >= '0' && *begin <= '9') ? RL_JSON_AT_NUMBER
                                                                 : RL_JSON_AT_WORD;
    }
}

bool rl_json_walk_integer(const rl_json_walk *walk, int64_t *out) {
    char copy[64] = {0}; // the scanner lets no number be longer
    size_t n = walk->text_len, i = 0;
    int64_t whole = 0;
    for (; i < n && i < 15 && walk->text[i] >= '0' && walk->text[i] <= '9'; i++) {
        whole = whole * 10 + (walk->text[i] - '0');
    }
    if (i == n) {
        *out = whole;
        return true;
    }
    RL_ASSERT(n < sizeof copy);
    memcpy(copy, walk->text, n);
    double number = strtod(copy, NULL);
    if (!(fabs(number) <= 0x1p53) || number != floor(number)) {
        return false;
    }
    *out = (int64_t)number;
    return true;
}

void rl_json_walk_release(rl_json_walk *walk) {
    rl_str_release(&walk->copy);
    *walk = (rl_json_walk){0};
}
