/* Methods of texts: Python's str. */
#include "policy/jinja_methods.h"

#include <string.h>

#include "rl/core/str.h"
#include "rl/core/unicode.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

static rl_status strip(rl_jinja_run *run, const rl_jinja_args *in, bool left, bool right,
                       value *out) {
    text t = in->arg[0].as.text, chars;
    if (in->n < 2 || in->arg[1].type == RL_JINJA_ABSENT || in->arg[1].type == RL_JINJA_NONE) {
        *out = rl_jinja_of_text(rl_jinja_strip(t, left, right));
        return RL_OK;
    }
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "chars", &chars);
    size_t begin = 0, end = t.len;
    const size_t steps = 1 + (status == RL_OK ? chars.len / RL_JINJA_STEP_BYTES : 0);
    while (status == RL_OK && left && begin < end) {
        size_t next = rl_jinja_char_end(t, begin);
        status = rl_jinja_step(run, steps);
        if (rl_jinja_find_part(chars, rl_jinja_cut(t, begin, next), 0) == SIZE_MAX) {
            break;
        }
        begin = next;
    }
    while (status == RL_OK && right && end > begin) {
        size_t at = end - 1;
        status = rl_jinja_step(run, steps);
        while (at > begin && ((unsigned char)t.ptr[at] & 0xC0) == 0x80) {
            at--;
        }
        if (rl_jinja_find_part(chars, rl_jinja_cut(t, at, end), 0) == SIZE_MAX) {
            break;
        }
        end = at;
    }
    *out = rl_jinja_of_text(rl_jinja_cut(t, begin, end));
    return status;
}

static rl_status text_strip(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return strip(run, in, true, true, out);
}

static rl_status text_lstrip(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return strip(run, in, true, false, out);
}

static rl_status text_rstrip(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return strip(run, in, false, true, out);
}

static rl_status push_part(rl_jinja_run *run, value list, text part) {
    rl_jinja_push(run->arena, list, rl_jinja_of_text(part));
    return rl_jinja_charge(run, 2 * sizeof(value));
}

// split() at runs of white space.
static rl_status split_spaces(rl_jinja_run *run, text t, int64_t most, value list) {
    rl_status status = RL_OK;
    t = rl_jinja_strip(t, true, false);
    while (t.len > 0 && status == RL_OK) {
        size_t at = 0;
        uint32_t code;
        if (most-- == 0) {
            return push_part(run, list, t); // the rest, its end unstripped as in Python
        }
        while (at < t.len &&
               !(rl_utf8_decode(t.ptr + at, t.len - at, &code) > 0 && rl_jinja_is_space(code))) {
            at = rl_jinja_char_end(t, at);
        }
        status = push_part(run, list, rl_jinja_cut(t, 0, at));
        t = rl_jinja_strip(rl_jinja_cut(t, at, t.len), true, false);
    }
    return status;
}

static rl_status text_split(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text, sep;
    int64_t most;
    rl_status status = rl_jinja_arg_int(run, &in->arg[2], "maxsplit", -1, &most);
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    if (status != RL_OK) {
        return status;
    }
    if (in->arg[1].type == RL_JINJA_ABSENT || in->arg[1].type == RL_JINJA_NONE) {
        return split_spaces(run, t, most, *out);
    }
    status = rl_jinja_arg_text(run, &in->arg[1], "sep", &sep);
    if (status == RL_OK && sep.len == 0) {
        status = rl_jinja_fail(run, "split at an empty text");
    }
    size_t at = 0;
    while (status == RL_OK && most-- != 0) {
        size_t found = rl_jinja_find_part(t, sep, at);
        if (found == SIZE_MAX) {
            break;
        }
        status = push_part(run, *out, rl_jinja_cut(t, at, found));
        at = found + sep.len;
    }
    return status == RL_OK ? push_part(run, *out, rl_jinja_cut(t, at, t.len)) : status;
}

// The last place of part that ends at or before `end`: Knuth, Morris and Pratt's search from
// behind.
static rl_status find_last(rl_jinja_run *run, text t, text part, size_t end, size_t *out) {
    *out = part.len == 0 ? end : SIZE_MAX;
    if (part.len == 0 || part.len > end) {
        return RL_OK;
    }
    rl_status status = rl_jinja_charge(run, part.len * sizeof(size_t));
    if (status != RL_OK) {
        return status;
    }
    // border[i]: how much of part's last i + 1 bytes is, read from behind, their own beginning.
    size_t *border = rl_arena_alloc(run->arena, part.len, sizeof *border), n = 0;
    const char *last = part.ptr + part.len - 1;
    for (size_t i = 1; i < part.len; i++) {
        while (n > 0 && *(last - i) != *(last - n)) {
            n = border[n - 1];
        }
        n += *(last - i) == *(last - n);
        border[i] = n;
    }
    n = 0;
    for (size_t at = end; at-- > 0 && *out == SIZE_MAX;) {
        while (n > 0 && t.ptr[at] != *(last - n)) {
            n = border[n - 1];
        }
        n += t.ptr[at] == *(last - n);
        if (n == part.len) {
            *out = at;
        }
    }
    return RL_OK;
}

static rl_status text_rsplit(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text, sep;
    int64_t most;
    size_t end = t.len;
    value parts = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    rl_status status = rl_jinja_arg_int(run, &in->arg[2], "maxsplit", -1, &most);
    if (status == RL_OK && (in->arg[1].type == RL_JINJA_ABSENT || most < 0)) {
        return most < 0 ? text_split(run, in, out)
                        : rl_jinja_fail(run, "rsplit with a count wants a separator");
    }
    if (status == RL_OK) {
        status = rl_jinja_arg_text(run, &in->arg[1], "sep", &sep);
    }
    if (status == RL_OK && sep.len == 0) {
        status = rl_jinja_fail(run, "split at an empty text");
    }
    while (status == RL_OK && most-- > 0) {
        size_t found;
        status = find_last(run, t, sep, end, &found);
        if (status != RL_OK || found == SIZE_MAX) {
            break;
        }
        status = push_part(run, parts, rl_jinja_cut(t, found + sep.len, end));
        end = found;
    }
    *out = rl_jinja_new_list(run->arena, parts.as.list->n + 1, RL_JINJA_IS_LIST);
    if (status == RL_OK) {
        status = push_part(run, *out, rl_jinja_cut(t, 0, end));
    }
    for (size_t i = parts.as.list->n; i > 0; i--) {
        rl_jinja_push(run->arena, *out, parts.as.list->item[i - 1]);
    }
    return status;
}

static rl_status text_splitlines(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text;
    bool keeps = rl_jinja_arg_flag(&in->arg[1], false);
    rl_status status = RL_OK;
    *out = rl_jinja_new_list(run->arena, 0, RL_JINJA_IS_LIST);
    for (size_t at = 0, end, next; at < t.len && status == RL_OK; at = next) {
        uint32_t code = 0;
        for (end = at; end < t.len; end = rl_jinja_char_end(t, end)) {
            if (rl_utf8_decode(t.ptr + end, t.len - end, &code) > 0 &&
                rl_jinja_char_is(code, RL_JINJA_LINE_ENDS)) {
                break;
            }
        }
        bool both = end + 1 < t.len && t.ptr[end] == '\r' && t.ptr[end + 1] == '\n';
        next = end < t.len ? rl_jinja_char_end(t, end) + both : end;
        status = push_part(run, *out, rl_jinja_cut(t, at, keeps ? next : end));
    }
    return status;
}

static bool has_end(text t, text part, bool at_start) {
    return part.len <= t.len && (part.len == 0 || memcmp(t.ptr + (at_start ? 0 : t.len - part.len),
                                                         part.ptr, part.len) == 0);
}

// startswith and endswith take a text or a tuple of texts.
static rl_status has_ends(rl_jinja_run *run, const rl_jinja_args *in, bool at_start, value *out) {
    const value *part = &in->arg[1];
    bool holds = false;
    size_t n = part->type == RL_JINJA_LIST ? part->as.list->n : 1;
    rl_status status = RL_OK;
    for (size_t i = 0; i < n && !holds && status == RL_OK; i++) {
        text one = {"", 0, NULL};
        const value *v = part->type == RL_JINJA_LIST ? &part->as.list->item[i] : part;
        status = rl_jinja_arg_text(run, v, at_start ? "prefix" : "suffix", &one);
        if (status == RL_OK && part->type == RL_JINJA_LIST) {
            status = rl_jinja_step(run, 1 + one.len / RL_JINJA_STEP_BYTES);
        }
        holds = status == RL_OK && has_end(in->arg[0].as.text, one, at_start);
    }
    *out = rl_jinja_bool(holds);
    return status;
}

static rl_status text_startswith(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return has_ends(run, in, true, out);
}

static rl_status text_endswith(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return has_ends(run, in, false, out);
}

static rl_status remove_end(rl_jinja_run *run, const rl_jinja_args *in, bool at_start, value *out) {
    text t = in->arg[0].as.text, part = {"", 0, NULL};
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "part", &part);
    if (status == RL_OK && has_end(t, part, at_start)) {
        t = at_start ? rl_jinja_cut(t, part.len, t.len) : rl_jinja_cut(t, 0, t.len - part.len);
    }
    *out = rl_jinja_of_text(t);
    return status;
}

static rl_status text_removeprefix(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return remove_end(run, in, true, out);
}

static rl_status text_removesuffix(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return remove_end(run, in, false, out);
}

static rl_status text_replace(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text, old = {"", 0, NULL}, new = {"", 0, NULL};
    rl_jinja_builder made = {0};
    int64_t most;
    size_t at = 0;
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "old", &old);
    if (status == RL_OK) {
        status = rl_jinja_arg_text(run, &in->arg[2], "new", &new);
    }
    if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[3], "count", -1, &most);
    }
    while (status == RL_OK && most-- != 0) {
        size_t found = rl_jinja_find_part(t, old, at);
        if (found == SIZE_MAX) {
            break;
        }
        status = rl_jinja_append(run, &made, rl_jinja_cut(t, at, found));
        if (status == RL_OK) {
            status = rl_jinja_append(run, &made, new);
        }
        at = found + old.len;
        if (old.len == 0) { // an empty text is found before every character and at the end
            if (at >= t.len) {
                at = t.len;
                break;
            }
            size_t next = rl_jinja_char_end(t, at);
            status =
                status == RL_OK ? rl_jinja_append(run, &made, rl_jinja_cut(t, at, next)) : status;
            at = next;
        }
    }
    if (status == RL_OK && made.len == 0 && at == 0) {
        *out = in->arg[0];
        return RL_OK;
    }
    if (status == RL_OK) {
        status = rl_jinja_append(run, &made, rl_jinja_cut(t, at, t.len));
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

/* What becomes of a letter: by its place in its word, or of all. */
typedef enum letters { ALL_UPPER, ALL_LOWER, FIRST_UPPER, TITLE_METHOD, TITLE_FILTER } letters;

static bool begins_word(uint32_t before, letters how) {
    if (how == TITLE_FILTER) {
        return before == '-' || before == '(' || before == '{' || before == '[' || before == '<' ||
               rl_jinja_is_space(before);
    }
    return how == TITLE_METHOD && rl_unicode_to_upper(before) == before &&
           rl_unicode_to_lower(before) == before;
}

static rl_status change_case(rl_jinja_run *run, text t, letters how, value *out) {
    rl_jinja_builder made = {0};
    rl_status status = RL_OK;
    uint32_t before = ' ';
    for (size_t at = 0, end; at < t.len && status == RL_OK; at = end) {
        rl_str changed = {0};
        uint32_t code = 0;
        end = rl_jinja_char_end(t, at);
        if (rl_utf8_decode(t.ptr + at, end - at, &code) > 0) {
            bool upper =
                how == ALL_UPPER || (how != ALL_LOWER && (at == 0 || begins_word(before, how)));
            uint32_t to = upper ? rl_unicode_to_upper(code) : rl_unicode_to_lower(code);
            if (to != code) {
                rl_utf8_append(&changed, to);
            }
        }
        status = changed.len > 0 ? rl_jinja_append_as(run, &made, t, at, rl_str_text(&changed))
                                 : rl_jinja_append(run, &made, rl_jinja_cut(t, at, end));
        rl_str_release(&changed);
        before = code;
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

rl_status rl_jinja_title(rl_jinja_run *run, text t, bool is_filter, value *out) {
    return change_case(run, t, is_filter ? TITLE_FILTER : TITLE_METHOD, out);
}

static rl_status text_upper(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return change_case(run, in->arg[0].as.text, ALL_UPPER, out);
}

static rl_status text_lower(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return change_case(run, in->arg[0].as.text, ALL_LOWER, out);
}

static rl_status text_capitalize(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return change_case(run, in->arg[0].as.text, FIRST_UPPER, out);
}

static rl_status text_title(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return change_case(run, in->arg[0].as.text, TITLE_METHOD, out);
}

// Characters before byte `at`; -1 for SIZE_MAX.
static value char_index(text t, size_t at) {
    return rl_jinja_int(at == SIZE_MAX ? -1 : (int64_t)rl_jinja_chars(rl_jinja_cut(t, 0, at)));
}

static rl_status text_find(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text, part = {"", 0, NULL};
    int64_t start;
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "sub", &part);
    if (status == RL_OK) {
        status = rl_jinja_arg_int(run, &in->arg[2], "start", 0, &start);
    }
    if (status != RL_OK) {
        return status;
    }
    int64_t n = (int64_t)rl_jinja_chars(t);
    start = start < -n ? 0 : start < 0 ? start + n : start;
    *out = start > n
               ? rl_jinja_int(-1)
               : char_index(t, rl_jinja_find_part(t, part, rl_jinja_char_at(t, (size_t)start)));
    return RL_OK;
}

static rl_status text_rfind(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text, part = {"", 0, NULL};
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "sub", &part);
    size_t at = SIZE_MAX;
    if (status == RL_OK) {
        status = find_last(run, t, part, t.len, &at);
    }
    *out = char_index(t, at);
    return status;
}

static rl_status text_index(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_status status = text_find(run, in, out);
    return status == RL_OK && out->as.integer < 0
               ? rl_jinja_fail(run, "'index' does not find its text")
               : status;
}

static rl_status text_count(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    text t = in->arg[0].as.text, part = {"", 0, NULL};
    int64_t n = 0;
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "sub", &part);
    if (status == RL_OK && part.len == 0) {
        n = (int64_t)rl_jinja_chars(t) + 1;
    }
    for (size_t at = 0; status == RL_OK && part.len > 0; n++) {
        at = rl_jinja_find_part(t, part, at);
        if (at == SIZE_MAX) {
            break;
        }
        at += part.len;
    }
    *out = rl_jinja_int(n);
    return status;
}

static rl_status text_join(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_builder made = {0};
    rl_jinja_list *items;
    rl_status status = rl_jinja_items(run, &in->arg[1], &items);
    for (size_t i = 0; status == RL_OK && i < items->n; i++) {
        text part = {"", 0, NULL};
        status = rl_jinja_arg_text(run, &items->item[i], "item", &part);
        if (status == RL_OK && i > 0) {
            status = rl_jinja_append(run, &made, in->arg[0].as.text);
        }
        if (status == RL_OK) {
            status = rl_jinja_append(run, &made, part);
        }
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}

// partition(sep): what is before, the separator, what is after.
static rl_status partition(rl_jinja_run *run, const rl_jinja_args *in, bool last, value *out) {
    text t = in->arg[0].as.text, sep = {"", 0, NULL}, part[3] = {t, {"", 0, NULL}, {"", 0, NULL}};
    rl_status status = rl_jinja_arg_text(run, &in->arg[1], "sep", &sep);
    if (status == RL_OK && sep.len == 0) {
        status = rl_jinja_fail(run, "partition at an empty text");
    }
    if (status != RL_OK) {
        return status;
    }
    size_t at = last ? SIZE_MAX : rl_jinja_find_part(t, sep, 0);
    status = last ? find_last(run, t, sep, t.len, &at) : RL_OK;
    if (at != SIZE_MAX) {
        part[0] = rl_jinja_cut(t, 0, at);
        part[1] = rl_jinja_cut(t, at, at + sep.len);
        part[2] = rl_jinja_cut(t, at + sep.len, t.len);
    } else if (last) {
        part[0] = part[1];
        part[2] = t;
    }
    *out = rl_jinja_new_list(run->arena, 3, RL_JINJA_IS_TUPLE);
    for (int i = 0; i < 3 && status == RL_OK; i++) {
        status = push_part(run, *out, part[i]);
    }
    return status;
}

static rl_status text_partition(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return partition(run, in, false, out);
}

static rl_status text_rpartition(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return partition(run, in, true, out);
}

static rl_status all_of(text t, rl_jinja_chars_kind kind, value *out) {
    bool holds = t.len > 0;
    for (size_t at = 0, end; at < t.len && holds; at = end) {
        uint32_t code = 0;
        end = rl_jinja_char_end(t, at);
        holds = rl_utf8_decode(t.ptr + at, end - at, &code) > 0 && rl_jinja_char_is(code, kind);
    }
    *out = rl_jinja_bool(holds);
    return RL_OK;
}

#define ALL_OF(name, kind)                                                                         \
    static rl_status name(rl_jinja_run *run, const rl_jinja_args *in, value *out) {                \
        (void)run;                                                                                 \
        return all_of(in->arg[0].as.text, kind, out);                                              \
    }

ALL_OF(text_isdecimal, RL_JINJA_DECIMALS)
ALL_OF(text_isdigit, RL_JINJA_DIGITS)
ALL_OF(text_isnumeric, RL_JINJA_NUMBERS)
ALL_OF(text_isalpha, RL_JINJA_LETTERS)
ALL_OF(text_isalnum, RL_JINJA_WORDS)
ALL_OF(text_isspace, RL_JINJA_SPACES)

static rl_status text_is_case(rl_jinja_run *run, const rl_jinja_args *in, const char *test,
                              value *out) {
    const rl_jinja_func *func = rl_jinja_find_test((text){test, strlen(test), NULL});
    return func->call(run, in, out);
}

static rl_status text_isupper(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return text_is_case(run, in, "upper", out);
}

static rl_status text_islower(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    return text_is_case(run, in, "lower", out);
}

static const rl_jinja_func text_methods[] = {
    {"strip", "| chars", text_strip},
    {"split", "| sep maxsplit", text_split},
    {"lstrip", "| chars", text_lstrip},
    {"rstrip", "| chars", text_rstrip},
    {"startswith", "prefix", text_startswith},
    {"endswith", "suffix", text_endswith},
    {"replace", "old new | count", text_replace},
    {"upper", "", text_upper},
    {"lower", "", text_lower},
    {"casefold", "", text_lower},
    {"title", "", text_title},
    {"capitalize", "", text_capitalize},
    {"find", "sub | start", text_find},
    {"rfind", "sub", text_rfind},
    {"index", "sub | start", text_index},
    {"count", "sub", text_count},
    {"join", "iterable", text_join},
    {"rsplit", "| sep maxsplit", text_rsplit},
    {"splitlines", "| keepends", text_splitlines},
    {"partition", "sep", text_partition},
    {"rpartition", "sep", text_rpartition},
    {"removeprefix", "prefix", text_removeprefix},
    {"removesuffix", "suffix", text_removesuffix},
    {"isdigit", "", text_isdigit},
    {"isdecimal", "", text_isdecimal},
    {"isnumeric", "", text_isnumeric},
    {"isalpha", "", text_isalpha},
    {"isalnum", "", text_isalnum},
    {"isspace", "", text_isspace},
    {"isupper", "", text_isupper},
    {"islower", "", text_islower},
    {"format", "*", rl_jinja_format_braces},
};

const rl_jinja_func *rl_jinja_find_text_method(text name) {
    return rl_jinja_find_in(text_methods, sizeof text_methods / sizeof text_methods[0], name);
}
