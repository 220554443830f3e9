/* Values as text: Python's str() and repr(). */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policy/jinja_run.h"
#include "rl/core/unicode.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

// The shortest digits that read back, laid out as Python's repr: 1e16 and 0.0001 are the borders.
static void real_text(double x, char *out, size_t cap) {
    char digits[40];
    int precision = 0, power;
    if (!isfinite(x)) {
        snprintf(out, cap, "%s", isnan(x) ? "nan" : x > 0 ? "inf" : "-inf");
        return;
    }
    do {
        snprintf(digits, sizeof digits, "%.*e", precision, x);
    } while (strtod(digits, NULL) != x && ++precision < 17);
    power = (int)strtol(strchr(digits, 'e') + 1, NULL, 10);
    if (power < -4 || power >= 16) {
        snprintf(out, cap, "%.*e", precision, x);
    } else {
        snprintf(out, cap, "%.*f", precision - power > 1 ? precision - power : 1, x);
    }
}

rl_status rl_jinja_append_number(rl_jinja_run *run, rl_jinja_builder *to, const value *v) {
    char number[400];
    if (v->type == RL_JINJA_INT) {
        snprintf(number, sizeof number, "%lld", (long long)v->as.integer);
    } else {
        real_text(v->as.real, number, sizeof number);
    }
    return rl_jinja_append_c(run, to, number);
}

// Characters that Python's repr escapes: controls, and separators and formats other than space.
static bool is_printable(uint32_t c) {
    return !(c < 0x20 || (c >= 0x7F && c <= 0xA0) || c == 0xAD || c == 0x61C || c == 0x1680 ||
             c == 0x180E || (c >= 0x2000 && c <= 0x200F) || (c >= 0x2028 && c <= 0x202F) ||
             (c >= 0x205F && c <= 0x206F) || c == 0x3000 || (c >= 0xE000 && c <= 0xF8FF) ||
             c == 0xFEFF || (c >= 0xFFF0 && c <= 0xFFFB) || c == 0xFFFE || c == 0xFFFF ||
             c >= 0xE0000);
}

// An escape keeps the mark of the byte it stands for.
rl_status rl_jinja_append_as(rl_jinja_run *run, rl_jinja_builder *to, text from, size_t at,
                             const char *escaped) {
    uint8_t mark[16];
    text t = {escaped, strlen(escaped), NULL};
    if (from.mark != NULL) {
        memset(mark, from.mark[at], sizeof mark);
        t.mark = mark;
    }
    return rl_jinja_append(run, to, t);
}

static rl_status append_quoted(rl_jinja_run *run, rl_jinja_builder *to, text t) {
    bool has_single = t.len > 0 && memchr(t.ptr, '\'', t.len) != NULL;
    bool has_double = t.len > 0 && memchr(t.ptr, '"', t.len) != NULL;
    const char *quote = has_single && !has_double ? "\"" : "'";
    rl_status status = rl_jinja_append_c(run, to, quote);
    for (size_t at = 0, end; at < t.len && status == RL_OK; at = end) {
        char escaped[16] = "";
        uint32_t code;
        end = rl_jinja_char_end(t, at);
        int32_t n = rl_utf8_decode(t.ptr + at, end - at, &code);
        if (n > 0 && (code == '\\' || code == (uint32_t)*quote)) {
            snprintf(escaped, sizeof escaped, "\\%c", (char)code);
        } else if (n > 0 && (code == '\n' || code == '\r' || code == '\t')) {
            snprintf(escaped, sizeof escaped, "\\%c",
                     code == '\n'   ? 'n'
                     : code == '\r' ? 'r'
                                    : 't');
        } else if (n > 0 && !is_printable(code)) {
            snprintf(escaped, sizeof escaped,
                     code < 0x100     ? "\\x%02x"
                     : code < 0x10000 ? "\\u%04x"
                                      : "\\U%08x",
                     (unsigned)code);
        }
        status = escaped[0] != '\0' ? rl_jinja_append_as(run, to, t, at, escaped)
                                    : rl_jinja_append(run, to, rl_jinja_cut(t, at, end));
    }
    return status == RL_OK ? rl_jinja_append_c(run, to, quote) : status;
}

static rl_status append_list(rl_jinja_run *run, rl_jinja_builder *to, const rl_jinja_list *list) {
    bool is_tuple = list->kind == RL_JINJA_IS_TUPLE;
    rl_status status = rl_jinja_append_c(run, to, is_tuple ? "(" : "[");
    for (size_t i = 0; i < list->n && status == RL_OK; i++) {
        status = i > 0 ? rl_jinja_append_c(run, to, ", ") : RL_OK;
        if (status == RL_OK) {
            status = rl_jinja_repr(run, to, &list->item[i]);
        }
    }
    if (status == RL_OK && is_tuple && list->n == 1) {
        status = rl_jinja_append_c(run, to, ",");
    }
    return status == RL_OK ? rl_jinja_append_c(run, to, is_tuple ? ")" : "]") : status;
}

static rl_status append_dict(rl_jinja_run *run, rl_jinja_builder *to, const rl_jinja_dict *dict) {
    rl_status status = rl_jinja_append_c(run, to, "{");
    for (size_t i = 0; i < dict->n && status == RL_OK; i++) {
        status = i > 0 ? rl_jinja_append_c(run, to, ", ") : RL_OK;
        if (status == RL_OK) {
            status = rl_jinja_repr(run, to, &dict->entry[i].key);
        }
        if (status == RL_OK) {
            status = rl_jinja_append_c(run, to, ": ");
        }
        if (status == RL_OK) {
            status = rl_jinja_repr(run, to, &dict->entry[i].value);
        }
    }
    return status == RL_OK ? rl_jinja_append_c(run, to, "}") : status;
}

// A namespace may hold itself: only here can values go round in a circle.
static rl_status append_namespace(rl_jinja_run *run, rl_jinja_builder *to,
                                  const rl_jinja_dict *dict) {
    if (run->depth >= run->limits->depth) {
        return rl_jinja_fail(run, "a namespace that holds itself cannot be printed");
    }
    run->depth += 50; // a level takes as much stack as many of other kinds
    rl_status status = rl_jinja_append_c(run, to, "<Namespace ");
    if (status == RL_OK) {
        status = append_dict(run, to, dict);
    }
    run->depth -= 50;
    return status == RL_OK ? rl_jinja_append_c(run, to, ">") : status;
}

rl_status rl_jinja_repr(rl_jinja_run *run, rl_jinja_builder *to, const value *v) {
    rl_status status = rl_jinja_step(run, 1);
    if (status != RL_OK) {
        return status;
    }
    switch (v->type) {
    case RL_JINJA_ABSENT:
        break;
    case RL_JINJA_UNDEFINED:
        return rl_jinja_append_c(run, to, "Undefined");
    case RL_JINJA_NONE:
        return rl_jinja_append_c(run, to, "None");
    case RL_JINJA_BOOL:
        return rl_jinja_append_c(run, to, v->as.truth ? "True" : "False");
    case RL_JINJA_INT:
    case RL_JINJA_FLOAT:
        return rl_jinja_append_number(run, to, v);
    case RL_JINJA_TEXT:
        return append_quoted(run, to, v->as.text);
    case RL_JINJA_LIST:
        return append_list(run, to, v->as.list);
    case RL_JINJA_DICT:
        return append_dict(run, to, v->as.dict);
    case RL_JINJA_NAMESPACE:
        return append_namespace(run, to, v->as.dict);
    case RL_JINJA_LOOP:
        return rl_jinja_append_c(run, to, "<LoopContext>");
    case RL_JINJA_CALLABLE:
        return rl_jinja_append_c(run, to, "<function>");
    }
    return RL_OK;
}

rl_status rl_jinja_print(rl_jinja_run *run, rl_jinja_builder *to, const value *v) {
    if (v->type == RL_JINJA_TEXT) {
        return rl_jinja_append(run, to, v->as.text);
    }
    return v->type == RL_JINJA_UNDEFINED ? RL_OK : rl_jinja_repr(run, to, v);
}

rl_status rl_jinja_str(rl_jinja_run *run, const value *v, text *out) {
    rl_jinja_builder made = {0};
    if (v->type == RL_JINJA_TEXT) {
        *out = v->as.text;
        return RL_OK;
    }
    rl_status status = rl_jinja_print(run, &made, v);
    *out = rl_jinja_built(&made);
    return status;
}
