#include "rl/core/json.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/unicode.h"

static void append_text(rl_str *out, const char *text, size_t text_len) {
    static const char escaped[] = "\"\\\b\f\n\r\t", letter[] = "\"\\bfnrt";
    size_t begin = 0;
    rl_str_append_char(out, '"');
    for (size_t i = 0; i < text_len; i++) {
        unsigned char c = (unsigned char)text[i];
        const char *found;
        if (c >= ' ' && c != '"' && c != '\\') {
            continue;
        }
        rl_str_append_n(out, text + begin, i - begin);
        begin = i + 1;
        found = c != '\0' ? strchr(escaped, c) : NULL;
        if (found != NULL) {
            rl_str_append_char(out, '\\');
            rl_str_append_char(out, letter[found - escaped]);
        } else {
            rl_str_appendf(out, "\\u%04x", c);
        }
    }
    rl_str_append_n(out, text + begin, text_len - begin);
    rl_str_append_char(out, '"');
}

static void append_any_text(rl_str *out, const char *text, size_t text_len) {
    rl_str repaired = {0};
    if (rl_utf8_valid(text, text_len)) {
        append_text(out, text, text_len);
        return;
    }
    rl_utf8_repair(text, text_len, &repaired);
    append_text(out, repaired.ptr, repaired.len);
    rl_str_release(&repaired);
}

/*
 * A decimal of up to 15 digits survives the way to a double and back, so the shortest form of a
 * normal number has 15 digits (less the zeros that %g drops), 16 or 17. Subnormal numbers hold
 * fewer digits and are tried from 1.
 */
static void append_number(rl_str *out, double value) {
    char text[40];
    int digits = fabs(value) < DBL_MIN ? 1 : 15;
    if (!isfinite(value)) {
        rl_str_append(out, "null");
        return;
    }
    do {
        snprintf(text, sizeof text, "%.*g", digits, value);
    } while (strtod(text, NULL) != value && ++digits <= 17);
    rl_str_append(out, text);
}

/* What goes before a value: a comma and the key, as needed. */
static void lead(rl_json_writer *w, const char *key) {
    if (w->needs_comma) {
        rl_str_append_char(w->out, ',');
    }
    w->needs_comma = true;
    if (key != NULL) {
        append_any_text(w->out, key, strlen(key));
        rl_str_append_char(w->out, ':');
    }
}

void rl_json_open_object(rl_json_writer *w, const char *key) {
    lead(w, key);
    rl_str_append_char(w->out, '{');
    w->needs_comma = false;
}

void rl_json_close_object(rl_json_writer *w) {
    rl_str_append_char(w->out, '}');
    w->needs_comma = true;
}

void rl_json_open_list(rl_json_writer *w, const char *key) {
    lead(w, key);
    rl_str_append_char(w->out, '[');
    w->needs_comma = false;
}

void rl_json_close_list(rl_json_writer *w) {
    rl_str_append_char(w->out, ']');
    w->needs_comma = true;
}

void rl_json_put_null(rl_json_writer *w, const char *key) {
    lead(w, key);
    rl_str_append(w->out, "null");
}

void rl_json_put_bool(rl_json_writer *w, const char *key, bool value) {
    lead(w, key);
    rl_str_append(w->out, value ? "true" : "false");
}

void rl_json_put_int(rl_json_writer *w, const char *key, int64_t value) {
    lead(w, key);
    rl_str_appendf(w->out, "%lld", (long long)value);
}

void rl_json_put_number(rl_json_writer *w, const char *key, double value) {
    lead(w, key);
    append_number(w->out, value);
}

void rl_json_put_text(rl_json_writer *w, const char *key, const char *text, size_t text_len) {
    lead(w, key);
    if (text == NULL) {
        rl_str_append(w->out, "null");
    } else {
        append_any_text(w->out, text, text_len);
    }
}

void rl_json_put_value(rl_json_writer *w, const char *key, const rl_json *value) {
    lead(w, key);
    rl_json_print(value, w->out);
}

void rl_json_print(const rl_json *value, rl_str *out) {
    rl_json_writer w = {.out = out};
    const char *text;
    switch (rl_json_type_of(value)) {
    case RL_JSON_NULL:
        rl_json_put_null(&w, NULL);
        break;
    case RL_JSON_BOOL:
        rl_json_put_bool(&w, NULL, rl_json_bool(value, false));
        break;
    case RL_JSON_NUMBER:
        rl_json_put_number(&w, NULL, rl_json_number(value, 0.0));
        break;
    case RL_JSON_TEXT:
        text = rl_json_text(value, "");
        rl_json_put_text(&w, NULL, text, strlen(text));
        break;
    case RL_JSON_LIST:
        rl_json_open_list(&w, NULL);
        for (const rl_json *c = rl_json_first(value); c != NULL; c = rl_json_next(c)) {
            rl_json_put_value(&w, NULL, c);
        }
        rl_json_close_list(&w);
        break;
    case RL_JSON_OBJECT:
        rl_json_open_object(&w, NULL);
        for (const rl_json *c = rl_json_first(value); c != NULL; c = rl_json_next(c)) {
            rl_json_put_value(&w, rl_json_key(c), c);
        }
        rl_json_close_object(&w);
        break;
    }
}
