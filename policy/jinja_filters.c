/* Filters of texts and numbers; those of lists are in jinja_filters_list.c. */
#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policy/jinja_methods.h"
#include "rl/core/unicode.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

// Calls the method of texts that a filter is, on the input as text.
static rl_status by_method(rl_jinja_run *run, const char *name, const rl_jinja_args *in,
                           value *out) {
    value arg[4];
    text t;
    rl_jinja_args args = {.arg = arg, .n = in->n};
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    arg[0] = rl_jinja_of_text(t);
    for (size_t i = 1; i < in->n && i < 4; i++) {
        arg[i] = in->arg[i];
    }
    if (status != RL_OK) {
        return status;
    }
    const rl_jinja_func *method = rl_jinja_find_method(&arg[0], (text){name, strlen(name), NULL});
    return method->call(run, &args, out);
}

static rl_status filter_trim(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return by_method(run, "strip", in, out);
}

static rl_status filter_upper(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return by_method(run, "upper", in, out);
}

static rl_status filter_lower(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return by_method(run, "lower", in, out);
}

static rl_status filter_capitalize(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return by_method(run, "capitalize", in, out);
}

static rl_status filter_replace(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return by_method(run, "replace", in, out);
}

static rl_status filter_title(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t;
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    return status == RL_OK ? rl_jinja_title(run, t, true, out) : status;
}

static rl_status filter_string(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t;
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    *out = rl_jinja_of_text(t);
    return status;
}

static rl_status filter_escape(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    static const char special[] = "&<>'\"";
    static const char *const named[] = {"&amp;", "&lt;", "&gt;", "&#39;", "&#34;"};
    rl_jinja_builder made = {0};
    text t;
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    for (size_t i = 0; status == RL_OK && i < t.len; i++) {
        const char *found = t.ptr[i] != '\0' ? strchr(special, t.ptr[i]) : NULL;
        status = found != NULL ? rl_jinja_append_as(run, &made, t, i, named[found - special])
                               : rl_jinja_append(run, &made, rl_jinja_cut(t, i, i + 1));
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

static rl_status filter_default(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    (void)run;
    bool by_truth = rl_jinja_arg_flag(&in->arg[2], false);
    bool missing =
        in->arg[0].type == RL_JINJA_UNDEFINED || (by_truth && !rl_jinja_is_true(&in->arg[0]));
    *out = !missing                             ? in->arg[0]
           : in->arg[1].type == RL_JINJA_ABSENT ? rl_jinja_literal("")
                                                : in->arg[1];
    return RL_OK;
}

// A text as Python's int() and float() read it: spaces around, underscores between digits.
static bool read_number(text t, char *out, size_t cap) {
    size_t n = 0;
    t = rl_jinja_strip(t, true, true);
    for (size_t i = 0; i < t.len; i++) {
        bool between = i > 0 && i + 1 < t.len && t.ptr[i - 1] != '_';
        if (t.ptr[i] == '_' && between) {
            continue;
        }
        if (n + 1 == cap || t.ptr[i] == '\0') {
            return false;
        }
        out[n++] = t.ptr[i];
    }
    out[n] = '\0';
    return n > 0;
}

// Python's int(). *large: there is one, but 64 bits do not hold it.
static bool to_integer(const value *v, int base, int64_t *out, bool *large) {
    char digits[400], *end;
    double real = 0;
    *large = false;
    switch (v->type) {
    case RL_JINJA_BOOL:
        *out = v->as.truth;
        return true;
    case RL_JINJA_INT:
        *out = v->as.integer;
        return true;
    case RL_JINJA_FLOAT:
        *large = fabs(v->as.real) >= 9.2e18;
        if (*large || v->as.real != v->as.real) {
            return false;
        }
        *out = (int64_t)v->as.real;
        return true;
    case RL_JINJA_TEXT:
        if (!read_number(v->as.text, digits, sizeof digits)) {
            return false;
        }
        errno = 0;
        *out = strtoll(digits, &end, base);
        *large = errno == ERANGE && *end == '\0';
        if (*large) {
            return false;
        }
        if (*end != '\0' && base == 10) { // int("3.7") fails, but jinja2 then tries float
            real = strtod(digits, &end);
            if (*end != '\0' || !isfinite(real) || strpbrk(digits, "xXpP") != NULL) {
                return false;
            }
            *large = fabs(real) >= 9.2e18;
            if (*large) {
                return false;
            }
            *out = (int64_t)real;
        }
        return *end == '\0' && end != digits;
    case RL_JINJA_ABSENT:
    case RL_JINJA_UNDEFINED:
    case RL_JINJA_NONE:
    case RL_JINJA_LIST:
    case RL_JINJA_DICT:
    case RL_JINJA_NAMESPACE:
    case RL_JINJA_LOOP:
    case RL_JINJA_CALLABLE:
        break;
    }
    return false;
}

static rl_status filter_int(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    int64_t made, base;
    bool large;
    rl_status status = rl_jinja_arg_int(run, &in->arg[2], "base", 10, &base);
    if (status == RL_OK && base != 0 && (base < 2 || base > 36)) {
        status = rl_jinja_fail(run, "a number has no base %lld", (long long)base);
    }
    if (status != RL_OK || in->arg[0].type == RL_JINJA_UNDEFINED) {
        return status == RL_OK ? rl_jinja_fail_undefined(run, &in->arg[0]) : status;
    }
    bool read = to_integer(&in->arg[0], (int)base, &made, &large);
    if (large) {
        return rl_jinja_fail(run, "an integer is too large; 64 bits are covered");
    }
    *out = read                                 ? rl_jinja_int(made)
           : in->arg[1].type == RL_JINJA_ABSENT ? rl_jinja_int(0)
                                                : in->arg[1];
    return RL_OK;
}

static rl_status filter_float(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value *v = &in->arg[0];
    char digits[400], *end = digits;
    *out = in->arg[1].type == RL_JINJA_ABSENT ? rl_jinja_real(0) : in->arg[1];
    if (v->type == RL_JINJA_UNDEFINED) {
        return rl_jinja_fail_undefined(run, v);
    }
    if (v->type == RL_JINJA_FLOAT) {
        *out = *v;
    } else if (rl_jinja_is_number(v)) {
        *out = rl_jinja_real(v->type == RL_JINJA_INT ? (double)v->as.integer : (double)v->as.truth);
    } else if (v->type == RL_JINJA_TEXT && read_number(v->as.text, digits, sizeof digits) &&
               strpbrk(digits, "xXpP(") == NULL) {
        double real = strtod(digits, &end);
        *out = *end == '\0' && end != digits ? rl_jinja_real(real) : *out;
    }
    return RL_OK;
}

static rl_status need_number(rl_jinja_run *run, const value *v) {
    return rl_jinja_is_number(v) ? RL_OK
           : v->type == RL_JINJA_UNDEFINED
               ? rl_jinja_fail_undefined(run, v)
               : rl_jinja_fail(run, "a %s is no number", rl_jinja_type_name(v));
}

static rl_status filter_abs(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    const value *v = &in->arg[0], zero = rl_jinja_int(0);
    rl_status status = need_number(run, v);
    if (status == RL_OK && v->type == RL_JINJA_FLOAT) {
        *out = rl_jinja_real(fabs(v->as.real));
        return RL_OK;
    }
    bool negative = status == RL_OK && v->type == RL_JINJA_INT && v->as.integer < 0;
    return status == RL_OK
               ? rl_jinja_binary(run, negative ? RL_JINJA_SUB : RL_JINJA_ADD, &zero, v, out)
               : status;
}

// Through decimal text, which is how Python rounds: halves that are exact go to the even digit.
static double rounded(double x, int digits) {
    char decimal[400];
    if (digits < 0) {
        double unit = pow(10, -digits);
        return nearbyint(x / unit) * unit;
    }
    snprintf(decimal, sizeof decimal, "%.*f", digits, x);
    return strtod(decimal, NULL);
}

// To a multiple of 10 to the power of `zeros`, halves to the even one: as Python, without loss.
static rl_status round_integer(rl_jinja_run *run, int64_t x, int zeros, value *out) {
    uint64_t size = x < 0 ? 0 - (uint64_t)x : (uint64_t)x, unit = 1, rest;
    for (int i = 0; i < zeros && i < 19; i++) {
        unit *= 10;
    }
    rest = zeros < 20 ? size % unit : size;
    size -= rest;
    if (zeros < 20 && (rest > unit - rest || (rest == unit - rest && size / unit % 2 == 1))) {
        size += unit;
    }
    if (size > (uint64_t)INT64_MAX) {
        return rl_jinja_fail(run, "an integer is too large; 64 bits are covered");
    }
    *out = rl_jinja_int(x < 0 ? -(int64_t)size : (int64_t)size);
    return RL_OK;
}

static rl_status filter_round(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    int64_t digits;
    text method = {"common", 6, NULL};
    rl_status status = need_number(run, &in->arg[0]);
    if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[1], "precision", 0, &digits);
    }
    if (status == RL_OK && in->arg[2].type != RL_JINJA_ABSENT) {
        status = rl_jinja_arg_text(run, &in->arg[2], "method", &method);
    }
    if (status == RL_OK && (digits < -20 || digits > 20)) {
        status = rl_jinja_fail(run, "round to %lld digits is not covered", (long long)digits);
    }
    if (status != RL_OK) {
        return status;
    }
    const value *v = &in->arg[0];
    double x = v->type == RL_JINJA_FLOAT ? v->as.real
               : v->type == RL_JINJA_INT ? (double)v->as.integer
                                         : (double)v->as.truth;
    double unit = pow(10, (double)digits);
    if (rl_jinja_text_is(method, "common") && v->type != RL_JINJA_FLOAT && digits < 0) {
        int64_t whole = v->type == RL_JINJA_INT ? v->as.integer : (int64_t)v->as.truth;
        status = round_integer(run, whole, (int)-digits, out);
    } else if (rl_jinja_text_is(method, "common")) {
        // round() of an integer stays one.
        *out =
            v->type != RL_JINJA_FLOAT && digits >= 0 ? *v : rl_jinja_real(rounded(x, (int)digits));
    } else if (rl_jinja_text_is(method, "ceil") || rl_jinja_text_is(method, "floor")) {
        bool up = rl_jinja_text_is(method, "ceil");
        *out = rl_jinja_real((up ? ceil(x * unit) : floor(x * unit)) / unit);
    } else {
        status = rl_jinja_fail(run, "'method' of round is common, ceil or floor");
    }
    return status;
}

// indent(width=4, first=False, blank=False): every line but the first, blank ones left alone.
static rl_status filter_indent(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_builder made = {0}, pad = {0};
    bool first = rl_jinja_arg_flag(&in->arg[2], false);
    bool blank = rl_jinja_arg_flag(&in->arg[3], false);
    int64_t width = 0;
    text t;
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    if (status == RL_OK && in->arg[1].type == RL_JINJA_TEXT) {
        status = rl_jinja_append(run, &pad, in->arg[1].as.text);
    } else if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[1], "width", 4, &width);
        for (; width > 0 && status == RL_OK; width--) {
            status = rl_jinja_append_c(run, &pad, " ");
        }
    }
    for (size_t at = 0; at <= t.len && status == RL_OK;) {
        const char *newline = at < t.len ? memchr(t.ptr + at, '\n', t.len - at) : NULL;
        size_t end = newline != NULL ? (size_t)(newline - t.ptr) : t.len;
        bool pads = at == 0 ? first : blank || end > at;
        if (pads) {
            status = rl_jinja_append(run, &made, rl_jinja_built(&pad));
        }
        if (status == RL_OK) {
            status =
                rl_jinja_append(run, &made, rl_jinja_cut(t, at, newline != NULL ? end + 1 : end));
        }
        at = end + 1;
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

static rl_status filter_wordcount(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t;
    int64_t n = 0;
    bool inside = false;
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    for (size_t at = 0, end; status == RL_OK && at < t.len; at = end) {
        uint32_t code = 0;
        end = rl_jinja_char_end(t, at);
        bool word = rl_utf8_decode(t.ptr + at, end - at, &code) > 0 &&
                    (code == '_' || rl_jinja_char_is(code, RL_JINJA_WORDS));
        n += word && !inside;
        inside = word;
    }
    *out = rl_jinja_int(n);
    return status;
}

static rl_status filter_format(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t;
    rl_status status = rl_jinja_str(run, &in->arg[0], &t);
    rl_jinja_args rest = {.arg = in->arg + 1, .n = in->n - 1};
    return status == RL_OK ? rl_jinja_format_percent(run, t, &rest, out) : status;
}

static const rl_jinja_func filters[] = {
    {"abs", "", filter_abs},
    {"capitalize", "", filter_capitalize},
    {"d", "| default_value boolean", filter_default},
    {"default", "| default_value boolean", filter_default},
    {"e", "", filter_escape},
    {"escape", "", filter_escape},
    {"float", "| default", filter_float},
    {"forceescape", "", filter_escape},
    {"format", "*", filter_format},
    {"indent", "| width first blank", filter_indent},
    {"int", "| default base", filter_int},
    {"lower", "", filter_lower},
    {"replace", "old new | count", filter_replace},
    {"round", "| precision method", filter_round},
    {"safe", "", filter_string},
    {"string", "", filter_string},
    {"title", "", filter_title},
    {"tojson", "| ensure_ascii indent separators sort_keys", rl_jinja_filter_tojson},
    {"trim", "| chars", filter_trim},
    {"upper", "", filter_upper},
    {"wordcount", "", filter_wordcount},
};

const rl_jinja_func *rl_jinja_find_filter(text name) {
    const rl_jinja_func *found =
        rl_jinja_find_in(filters, sizeof filters / sizeof filters[0], name);
    return found != NULL ? found : rl_jinja_find_list_filter(name);
}
