/* The filter tojson: json.dumps() as transformers calls it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "policy/jinja_run.h"
#include "rl/core/unicode.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

/* json.dumps and how it was asked to write. */
typedef struct dumper {
    rl_jinja_run *run;
    rl_jinja_builder *to;
    text indent, comma, colon;
    bool is_indented, ascii, sorted;
    int level;
} dumper;

static rl_status dump(dumper *d, const value *v);

static rl_status dump_text(dumper *d, text t) {
    rl_status status = rl_jinja_append_c(d->run, d->to, "\"");
    for (size_t at = 0, end; at < t.len && status == RL_OK; at = end) {
        static const char plain[] = "\"\\\n\r\t\f\b", letter[] = "\"\\nrtfb";
        char escaped[16] = "";
        uint32_t code;
        end = rl_jinja_char_end(t, at);
        const char *known = t.ptr[at] != '\0' ? strchr(plain, t.ptr[at]) : NULL;
        int32_t n = rl_utf8_decode(t.ptr + at, end - at, &code);
        if (known != NULL) {
            snprintf(escaped, sizeof escaped, "\\%c", letter[known - plain]);
        } else if (n > 0 && code < 0x20) {
            snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)code);
        } else if (n > 0 && d->ascii && code >= 0x7F) {
            if (code >= 0x10000) {
                snprintf(escaped, sizeof escaped, "\\u%04x\\u%04x",
                         (unsigned)(0xD800 + ((code - 0x10000) >> 10)),
                         (unsigned)(0xDC00 + ((code - 0x10000) & 0x3FF)));
            } else if (code > 0x7F) {
                snprintf(escaped, sizeof escaped, "\\u%04x", (unsigned)code);
            }
        }
        status = escaped[0] != '\0' ? rl_jinja_append_as(d->run, d->to, t, at, escaped)
                                    : rl_jinja_append(d->run, d->to, rl_jinja_cut(t, at, end));
    }
    return status == RL_OK ? rl_jinja_append_c(d->run, d->to, "\"") : status;
}

static rl_status new_line(dumper *d) {
    rl_status status = d->is_indented ? rl_jinja_append_c(d->run, d->to, "\n") : RL_OK;
    for (int i = 0; d->is_indented && i < d->level && status == RL_OK; i++) {
        status = rl_jinja_append(d->run, d->to, d->indent);
    }
    return status;
}

// Keys that are not text are written as JSON writes their values.
static rl_status dump_key(dumper *d, const value *key) {
    rl_jinja_builder made = {0};
    dumper inner = *d;
    if (key->type == RL_JINJA_TEXT) {
        return dump_text(d, key->as.text);
    }
    if (key->type == RL_JINJA_LIST) {
        return rl_jinja_fail(d->run, "a key of tojson is a tuple");
    }
    inner.to = &made;
    rl_status status = dump(&inner, key);
    return status == RL_OK ? dump_text(d, rl_jinja_built(&made)) : status;
}

static rl_status separator(dumper *d, bool first) {
    rl_status status = first ? RL_OK : rl_jinja_append(d->run, d->to, d->comma);
    return status == RL_OK ? new_line(d) : status;
}

static rl_status dump_list(dumper *d, const rl_jinja_list *list) {
    if (list->kind == RL_JINJA_IS_LAZY) {
        return rl_jinja_fail(d->run, "tojson cannot write a generator; use '| list' before it");
    }
    rl_status status = rl_jinja_append_c(d->run, d->to, "[");
    d->level++;
    for (size_t i = 0; i < list->n && status == RL_OK; i++) {
        status = separator(d, i == 0);
        if (status == RL_OK) {
            status = dump(d, &list->item[i]);
        }
    }
    d->level--;
    if (status == RL_OK && list->n > 0) {
        status = new_line(d);
    }
    return status == RL_OK ? rl_jinja_append_c(d->run, d->to, "]") : status;
}

static int by_key(const void *a, const void *b) {
    const text x = (*(const rl_jinja_entry *const *)a)->key.as.text;
    const text y = (*(const rl_jinja_entry *const *)b)->key.as.text;
    size_t n = x.len < y.len ? x.len : y.len;
    int order = n > 0 ? memcmp(x.ptr, y.ptr, n) : 0;
    return order != 0 ? order : (x.len > y.len) - (x.len < y.len);
}

static rl_status dump_dict(dumper *d, const rl_jinja_dict *dict) {
    const rl_jinja_entry **order = rl_arena_alloc(d->run->arena, dict->n, sizeof *order);
    rl_status status = rl_jinja_charge(d->run, dict->n * sizeof *order);
    for (size_t i = 0; i < dict->n && status == RL_OK; i++) {
        order[i] = &dict->entry[i];
        if (d->sorted && dict->entry[i].key.type != RL_JINJA_TEXT) {
            status = rl_jinja_fail(d->run, "tojson sorts only keys that are text");
        }
    }
    if (status == RL_OK && d->sorted && dict->n > 1) {
        qsort(order, dict->n, sizeof *order, by_key);
    }
    if (status == RL_OK) {
        status = rl_jinja_append_c(d->run, d->to, "{");
    }
    d->level++;
    for (size_t i = 0; i < dict->n && status == RL_OK; i++) {
        status = separator(d, i == 0);
        if (status == RL_OK) {
            status = dump_key(d, &order[i]->key);
        }
        if (status == RL_OK) {
            status = rl_jinja_append(d->run, d->to, d->colon);
        }
        if (status == RL_OK) {
            status = dump(d, &order[i]->value);
        }
    }
    d->level--;
    if (status == RL_OK && dict->n > 0) {
        status = new_line(d);
    }
    return status == RL_OK ? rl_jinja_append_c(d->run, d->to, "}") : status;
}

static rl_status dump(dumper *d, const value *v) {
    rl_status status = rl_jinja_step(d->run, 1);
    if (status != RL_OK) {
        return status;
    }
    switch (v->type) {
    case RL_JINJA_NONE:
        return rl_jinja_append_c(d->run, d->to, "null");
    case RL_JINJA_BOOL:
        return rl_jinja_append_c(d->run, d->to, v->as.truth ? "true" : "false");
    case RL_JINJA_INT:
        return rl_jinja_append_number(d->run, d->to, v);
    case RL_JINJA_FLOAT:
        if (!isfinite(v->as.real)) {
            return rl_jinja_append_c(d->run, d->to,
                                     isnan(v->as.real) ? "NaN"
                                     : v->as.real > 0  ? "Infinity"
                                                       : "-Infinity");
        }
        return rl_jinja_append_number(d->run, d->to, v);
    case RL_JINJA_TEXT:
        return dump_text(d, v->as.text);
    case RL_JINJA_LIST:
        return dump_list(d, v->as.list);
    case RL_JINJA_DICT:
        return dump_dict(d, v->as.dict);
    case RL_JINJA_UNDEFINED:
        return rl_jinja_fail_undefined(d->run, v);
    case RL_JINJA_ABSENT:
    case RL_JINJA_NAMESPACE:
    case RL_JINJA_LOOP:
    case RL_JINJA_CALLABLE:
        break;
    }
    return rl_jinja_fail(d->run, "tojson cannot write a %s", rl_jinja_type_name(v));
}

static rl_status read_separators(dumper *d, const value *v) {
    if (v->type == RL_JINJA_ABSENT || v->type == RL_JINJA_NONE) {
        return RL_OK;
    }
    const rl_jinja_list *pair = v->type == RL_JINJA_LIST ? v->as.list : NULL;
    if (pair == NULL || pair->n != 2 || pair->item[0].type != RL_JINJA_TEXT ||
        pair->item[1].type != RL_JINJA_TEXT) {
        return rl_jinja_fail(d->run, "'separators' of tojson is not a pair of texts");
    }
    d->comma = pair->item[0].as.text;
    d->colon = pair->item[1].as.text;
    return RL_OK;
}

// tojson(ensure_ascii=False, indent=None, separators=None, sort_keys=False)
rl_status rl_jinja_filter_tojson(rl_jinja_run *run, const rl_jinja_args *in, value *out) {
    rl_jinja_builder made = {0};
    dumper d = {.run = run, .to = &made, .colon = {": ", 2, NULL}, .comma = {", ", 2, NULL}};
    const value *indent = &in->arg[2];
    d.ascii = rl_jinja_arg_flag(&in->arg[1], false);
    d.sorted = rl_jinja_arg_flag(&in->arg[4], false);
    d.is_indented = indent->type != RL_JINJA_ABSENT && indent->type != RL_JINJA_NONE;
    if (d.is_indented) {
        d.comma.len = 1;
    }
    if (indent->type == RL_JINJA_TEXT) {
        d.indent = indent->as.text;
    } else {
        static const char spaces[] = "                                ";
        int64_t width;
        rl_status status = rl_jinja_arg_int(run, indent, "indent", 0, &width);
        if (status == RL_OK && width > (int64_t)sizeof spaces - 1) {
            status = rl_jinja_fail(run, "'indent' is over %d", (int)sizeof spaces - 1);
        }
        if (status != RL_OK) {
            return status;
        }
        d.indent = (text){spaces, width > 0 ? (size_t)width : 0, NULL};
    }
    rl_status status = read_separators(&d, &in->arg[3]);
    if (status == RL_OK) {
        status = dump(&d, &in->arg[0]);
    }
    *out = rl_jinja_of_text(rl_jinja_built(&made));
    return status;
}
