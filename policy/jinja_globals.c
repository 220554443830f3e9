/* Functions a template can call by name: jinja2's, and the two that transformers adds. */
#include <string.h>

#include "policy/jinja_run.h"

typedef rl_jinja_value value;

enum { MOST_ITEMS = 100000 }; // of a range, as in jinja2's sandbox

static rl_status make_range(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    int64_t start, stop, step, n = 0;
    rl_status status = rl_jinja_arg_int(run, &in->arg[1], "start", 0, &start);
    if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[2], "stop", 0, &stop);
    }
    if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[3], "step", 1, &step);
    }
    if (status == RL_OK && step == 0) {
        status = rl_jinja_fail(run, "the step of a range is 0");
    }
    if (status != RL_OK) {
        return status;
    }
    if (in->arg[2].type == RL_JINJA_ABSENT) {
        stop = start;
        start = 0;
    }
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    for (int64_t i = start; step > 0 ? i < stop : i > stop; n++) {
        if (n == MOST_ITEMS) {
            return rl_jinja_fail(run, "a range of over %d items", MOST_ITEMS);
        }
        rl_jinja_push(run->arena, *out, rl_jinja_int(i));
        if (__builtin_add_overflow(i, step, &i)) {
            break;
        }
    }
    return rl_jinja_charge(run, (size_t)n * 2 * sizeof *out);
}

// dict(a=1) and namespace(a=1); both take one dict to begin with.
static rl_status make_dict(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    *out = rl_jinja_new_dict(run->arena, in->n_keywords);
    if (in->n > 2 || (in->n == 2 && in->arg[1].type != RL_JINJA_DICT)) {
        return rl_jinja_fail(run, "dict and namespace take one dict and keywords");
    }
    rl_status status = RL_OK;
    if (in->n == 2) {
        const rl_jinja_dict *from = in->arg[1].as.dict;
        for (size_t i = 0; i < from->n && status == RL_OK; i++) {
            status = rl_jinja_store(run, *out, from->entry[i].key, from->entry[i].value);
        }
    }
    for (size_t i = 0; i < in->n_keywords && status == RL_OK; i++) {
        status =
            rl_jinja_store(run, *out, rl_jinja_of_text(in->keyword[i].name), in->keyword[i].value);
    }
    return status;
}

static rl_status make_namespace(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_status status = make_dict(run, in, out);
    out->type = RL_JINJA_NAMESPACE;
    return status;
}

static rl_status raise_exception(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_text text;
    (void)out;
    rl_status status = rl_jinja_str(run, &in->arg[1], &text);
    return status != RL_OK ? status
                           : rl_jinja_fail(run, "the template refuses: %.*s",
                                           (int)(text.len < 300 ? text.len : 300), text.ptr);
}

// One directive of strftime in the C locale; false when it is not covered.
static bool format_time(const struct tm *t, char directive, char *out, size_t cap) {
    static const char *const days[] = {"Sunday",   "Monday", "Tuesday", "Wednesday",
                                       "Thursday", "Friday", "Saturday"};
    static const char *const months[] = {"January",   "February", "March",    "April",
                                         "May",       "June",     "July",     "August",
                                         "September", "October",  "November", "December"};
    const char *day = days[t->tm_wday % 7], *month = months[t->tm_mon % 12];
    int hour = t->tm_hour % 12 == 0 ? 12 : t->tm_hour % 12;
    switch (directive) {
    case 'Y':
        return snprintf(out, cap, "%d", t->tm_year + 1900) > 0;
    case 'y':
        return snprintf(out, cap, "%02d", t->tm_year % 100) > 0;
    case 'm':
        return snprintf(out, cap, "%02d", t->tm_mon + 1) > 0;
    case 'd':
        return snprintf(out, cap, "%02d", t->tm_mday) > 0;
    case 'e':
        return snprintf(out, cap, "%2d", t->tm_mday) > 0;
    case 'H':
        return snprintf(out, cap, "%02d", t->tm_hour) > 0;
    case 'I':
        return snprintf(out, cap, "%02d", hour) > 0;
    case 'M':
        return snprintf(out, cap, "%02d", t->tm_min) > 0;
    case 'S':
        return snprintf(out, cap, "%02d", t->tm_sec) > 0;
    case 'j':
        return snprintf(out, cap, "%03d", t->tm_yday + 1) > 0;
    case 'p':
        return snprintf(out, cap, "%s", t->tm_hour < 12 ? "AM" : "PM") > 0;
    case 'B':
        return snprintf(out, cap, "%s", month) > 0;
    case 'b':
    case 'h':
        return snprintf(out, cap, "%.3s", month) > 0;
    case 'A':
        return snprintf(out, cap, "%s", day) > 0;
    case 'a':
        return snprintf(out, cap, "%.3s", day) > 0;
    case 'w':
        return snprintf(out, cap, "%d", t->tm_wday) > 0;
    case 'F':
        return snprintf(out, cap, "%04d-%02d-%02d", t->tm_year + 1900, t->tm_mon + 1, t->tm_mday) >
               0;
    case 'T':
        return snprintf(out, cap, "%02d:%02d:%02d", t->tm_hour, t->tm_min, t->tm_sec) > 0;
    case '%':
        return snprintf(out, cap, "%%") > 0;
    default:
        return false;
    }
}

static rl_status strftime_now(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_builder made = {0};
    rl_jinja_text format;
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "format", &format);
    for (size_t at = 0, end; status == RL_OK && at < format.len; at = end) {
        char part[64];
        end = at + 1;
        if (format.ptr[at] != '%') {
            status = rl_jinja_append(run, &made, rl_jinja_cut(format, at, end));
            continue;
        }
        bool bare = end < format.len && format.ptr[end] == '-'; // "%-d": without the leading 0
        end += bare;
        if (end == format.len || !format_time(run->now, format.ptr[end++], part, sizeof part)) {
            return rl_jinja_fail(run, "strftime_now does not cover '%.*s'",
                                 (int)(format.len < 80 ? format.len : 80), format.ptr);
        }
        status = rl_jinja_append_c(run, &made, part + (bare ? strspn(part, "0 ") : 0));
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

static const rl_jinja_func globals[] = {
    {"range", "start | stop step", make_range}, {"dict", "*", make_dict},
    {"namespace", "*", make_namespace},         {"raise_exception", "message", raise_exception},
    {"strftime_now", "format", strftime_now},
};

const rl_jinja_func *rl_jinja_find_global(rl_jinja_text name) {
    return rl_jinja_find_in(globals, sizeof globals / sizeof globals[0], name);
}
