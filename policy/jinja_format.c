/* "%s is %d" % values, the filter format, and str.format without format specifications. */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

/* One conversion: "%-08.3f" taken apart. */
typedef struct conversion {
    bool left, zero, plus, space;
    int width, precision; // precision -1: none
    char kind;
} conversion;

// Up to three digits at *at.
static int small_number(text t, size_t *at) {
    int n = 0;
    for (int k = 0; k < 3 && *at < t.len && t.ptr[*at] >= '0' && t.ptr[*at] <= '9'; k++) {
        n = n * 10 + (t.ptr[(*at)++] - '0');
    }
    return n;
}

static conversion read_conversion(text t, size_t *at) {
    conversion c = {.precision = -1};
    for (; *at < t.len && t.ptr[*at] != '\0' && strchr("-0+ #", t.ptr[*at]) != NULL; (*at)++) {
        c.left |= t.ptr[*at] == '-';
        c.zero |= t.ptr[*at] == '0';
        c.plus |= t.ptr[*at] == '+';
        c.space |= t.ptr[*at] == ' ';
    }
    c.width = small_number(t, at);
    if (*at < t.len && t.ptr[*at] == '.') {
        (*at)++;
        c.precision = small_number(t, at);
    }
    c.kind = *at < t.len ? t.ptr[(*at)++] : '\0';
    return c;
}

// The digits of a number, with its sign in front where there is one.
static rl_status number_text(rl_jinja_run *run, conversion c, const value *v, char *out,
                             size_t cap) {
    if (!rl_jinja_is_number(v)) {
        return v->type == RL_JINJA_UNDEFINED ? rl_jinja_fail_undefined(run, v)
                                             : rl_jinja_fail(run, "'%%%c' wants a number, not a %s",
                                                             c.kind, rl_jinja_type_name(v));
    }
    double real = v->type == RL_JINJA_FLOAT  ? v->as.real
                  : v->type == RL_JINJA_BOOL ? (double)v->as.truth
                                             : (double)v->as.integer;
    int64_t whole = v->type == RL_JINJA_INT           ? v->as.integer
                    : v->type == RL_JINJA_BOOL        ? (int64_t)v->as.truth
                    : real > -9.2e18 && real < 9.2e18 ? (int64_t)real
                                                      : 0;
    int precision = c.precision < 0 ? 6 : c.precision > 60 ? 60 : c.precision;
    const char *sign = c.plus ? "+" : c.space ? " " : "";
    if (c.kind == 'd' || c.kind == 'i' || c.kind == 'u') {
        snprintf(out, cap, "%s%lld", whole < 0 ? "" : sign, (long long)whole);
    } else if (c.kind == 'x' || c.kind == 'X' || c.kind == 'o') {
        unsigned long long size =
            whole < 0 ? 0ULL - (unsigned long long)whole : (unsigned long long)whole;
        const char *minus = whole < 0 ? "-" : sign;
        if (c.kind == 'o') {
            snprintf(out, cap, "%s%llo", minus, size);
        } else if (c.kind == 'x') {
            snprintf(out, cap, "%s%llx", minus, size);
        } else {
            snprintf(out, cap, "%s%llX", minus, size);
        }
    } else if (c.kind == 'f' || c.kind == 'F') {
        snprintf(out, cap, "%s%.*f", real < 0 ? "" : sign, precision, real);
    } else if (c.kind == 'e' || c.kind == 'E') {
        snprintf(out, cap, "%s%.*e", real < 0 ? "" : sign, precision, real);
    } else {
        snprintf(out, cap, "%s%.*g", real < 0 ? "" : sign, precision, real);
    }
    return RL_OK;
}

static rl_status pad(rl_jinja_run *run, rl_jinja_builder *to, const char *with, size_t n) {
    rl_status status = RL_OK;
    for (; n > 0 && status == RL_OK; n--) {
        status = rl_jinja_append_c(run, to, with);
    }
    return status;
}

static rl_status convert(rl_jinja_run *run, conversion c, const value *v, rl_jinja_builder *to) {
    char number[512];
    text t;
    rl_jinja_builder repr = {0};
    rl_status status;
    bool is_text = c.kind == 's' || c.kind == 'r' || c.kind == 'a';
    if (c.kind == 's') {
        status = rl_jinja_str(run, v, &t);
    } else if (is_text) {
        status = rl_jinja_repr(run, &repr, v);
        t = rl_jinja_built(&repr);
    } else if (c.kind != '\0' && strchr("diuxXofFeEgG", c.kind) != NULL) {
        status = number_text(run, c, v, number, sizeof number);
        t = (text){number, status == RL_OK ? strlen(number) : 0, NULL};
    } else {
        return rl_jinja_fail(run, "a format has a conversion that is not covered");
    }
    if (status != RL_OK) {
        return status;
    }
    if (is_text && c.precision >= 0) {
        t = rl_jinja_cut(t, 0, rl_jinja_char_at(t, (size_t)c.precision));
    }
    size_t n = rl_jinja_chars(t), width = (size_t)c.width, missing = width > n ? width - n : 0;
    if (!is_text && c.zero && !c.left && missing > 0) {
        size_t sign = t.ptr[0] == '-' || t.ptr[0] == '+' || t.ptr[0] == ' ';
        status = rl_jinja_append(run, to, rl_jinja_cut(t, 0, sign));
        status = status == RL_OK ? pad(run, to, "0", missing) : status;
        return status == RL_OK ? rl_jinja_append(run, to, rl_jinja_cut(t, sign, t.len)) : status;
    }
    status = c.left ? RL_OK : pad(run, to, " ", missing);
    if (status == RL_OK) {
        status = rl_jinja_append(run, to, t);
    }
    return status == RL_OK && c.left ? pad(run, to, " ", missing) : status;
}

rl_status rl_jinja_format_percent(rl_jinja_run *run, text format, const rl_jinja_args *in,
                                  value *out) {
    rl_jinja_builder made = {0};
    size_t used = 0;
    rl_status status = RL_OK;
    for (size_t at = 0; at < format.len && status == RL_OK;) {
        const char *found = memchr(format.ptr + at, '%', format.len - at);
        size_t end = found != NULL ? (size_t)(found - format.ptr) : format.len;
        status = rl_jinja_append(run, &made, rl_jinja_cut(format, at, end));
        at = end;
        if (status != RL_OK || found == NULL) {
            break;
        }
        at++;
        conversion c = read_conversion(format, &at);
        if (c.kind == '%') {
            status = rl_jinja_append_c(run, &made, "%");
        } else if (c.kind == '(') {
            status = rl_jinja_fail(run, "a format by names is not covered");
        } else if (used >= in->n) {
            status = rl_jinja_fail(run, "a format has too few values");
        } else {
            status = convert(run, c, &in->arg[used++], &made);
        }
    }
    if (status == RL_OK && used < in->n && !(in->n == 1 && in->arg[0].type == RL_JINJA_DICT)) {
        status = rl_jinja_fail(run, "a format has too many values");
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

// The value of "{}", "{0}" or "{name}".
static rl_status field_value(rl_jinja_run *run, text field, const rl_jinja_args *in, size_t *next,
                             value *out) {
    bool digits = field.len > 0 && field.len < 6;
    size_t index = 0;
    for (size_t i = 0; i < field.len; i++) {
        digits = digits && field.ptr[i] >= '0' && field.ptr[i] <= '9';
        index = digits ? index * 10 + (size_t)(field.ptr[i] - '0') : index;
    }
    if (field.len == 0) {
        index = (*next)++;
    }
    if (field.len == 0 || digits) {
        if (index + 1 >= in->n) {
            return rl_jinja_fail(run, "a format has too few values");
        }
        *out = in->arg[index + 1];
        return RL_OK;
    }
    for (size_t i = 0; i < in->n_keywords; i++) {
        if (rl_jinja_text_equal(in->keyword[i].name, field)) {
            *out = in->keyword[i].value;
            return RL_OK;
        }
    }
    return rl_jinja_fail(run, "format has no '%.*s'; specifications are not covered",
                         (int)(field.len < 40 ? field.len : 40), field.ptr);
}

rl_status rl_jinja_format_braces(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text format = in->arg[0].as.text;
    rl_jinja_builder made = {0};
    size_t next = 0;
    rl_status status = RL_OK;
    for (size_t at = 0; at < format.len && status == RL_OK;) {
        char c = format.ptr[at];
        bool twice = at + 1 < format.len && format.ptr[at + 1] == c;
        if (c == '{' && !twice) {
            const char *close = memchr(format.ptr + at, '}', format.len - at);
            value v;
            if (close == NULL) {
                return rl_jinja_fail(run, "a format has '{' without '}'");
            }
            size_t end = (size_t)(close - format.ptr);
            status = field_value(run, rl_jinja_cut(format, at + 1, end), in, &next, &v);
            if (status == RL_OK) {
                status = rl_jinja_print(run, &made, &v);
            }
            at = end + 1;
        } else if (c == '}' && !twice) {
            return rl_jinja_fail(run, "a format has '}' without '{'");
        } else {
            status = rl_jinja_append(run, &made, rl_jinja_cut(format, at, at + 1));
            at += 1 + (twice && (c == '{' || c == '}'));
        }
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}
