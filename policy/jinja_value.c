#include "policy/jinja_value.h"

#include <string.h>

#include "rl/core/unicode.h"

typedef rl_jinja_value value;
typedef rl_jinja_text text;

value rl_jinja_none(void) {
    return (value){.type = RL_JINJA_NONE};
}

value rl_jinja_bool(bool truth) {
    return (value){.type = RL_JINJA_BOOL, .as.truth = truth};
}

value rl_jinja_int(int64_t integer) {
    return (value){.type = RL_JINJA_INT, .as.integer = integer};
}

value rl_jinja_real(double real) {
    return (value){.type = RL_JINJA_FLOAT, .as.real = real};
}

value rl_jinja_of_text(text t) {
    return (value){.type = RL_JINJA_TEXT, .as.text = t};
}

value rl_jinja_literal(const char *ptr) {
    return rl_jinja_of_text((text){ptr, strlen(ptr), NULL});
}

value rl_jinja_marked(rl_arena *arena, const char *ptr, size_t len, uint8_t mark) {
    uint8_t *marks = NULL;
    if (mark != 0 && len > 0) {
        marks = rl_arena_alloc(arena, len, 1);
        memset(marks, mark, len);
    }
    return rl_jinja_of_text((text){ptr, len, marks});
}

value rl_jinja_undefined(const char *name, size_t len, const char *owner) {
    return (value){.type = RL_JINJA_UNDEFINED, .as.missing = {name, len, owner}};
}

value rl_jinja_new_list(rl_arena *arena, size_t cap, rl_jinja_list_kind kind) {
    rl_jinja_list *list = rl_arena_alloc(arena, 1, sizeof *list);
    *list = (rl_jinja_list){.cap = cap, .kind = kind};
    list->item = cap > 0 ? rl_arena_alloc(arena, cap, sizeof *list->item) : NULL;
    return (value){.type = RL_JINJA_LIST, .as.list = list};
}

// Room for twice as many; the old block stays behind in the arena.
static void *grow(rl_arena *arena, const void *old, size_t n, size_t *cap, size_t size) {
    *cap = *cap > 0 ? 2 * *cap : 4;
    void *grown = rl_arena_alloc(arena, *cap, size);
    if (n > 0) {
        memcpy(grown, old, n * size);
    }
    return grown;
}

int rl_jinja_depth(const value *v) {
    return v->type == RL_JINJA_LIST   ? v->as.list->depth + 1
           : v->type == RL_JINJA_DICT ? v->as.dict->depth + 1
                                      : 0;
}

static void deepen(int *depth, const value *child) {
    int below = rl_jinja_depth(child);
    *depth = below > *depth ? below : *depth;
}

void rl_jinja_push(rl_arena *arena, value to, value item) {
    rl_jinja_list *list = to.as.list;
    deepen(&list->depth, &item);
    if (list->n == list->cap) {
        list->item = grow(arena, list->item, list->n, &list->cap, sizeof *list->item);
    }
    list->item[list->n++] = item;
}

value rl_jinja_new_dict(rl_arena *arena, size_t cap) {
    rl_jinja_dict *dict = rl_arena_alloc(arena, 1, sizeof *dict);
    *dict = (rl_jinja_dict){.cap = cap};
    dict->entry = cap > 0 ? rl_arena_alloc(arena, cap, sizeof *dict->entry) : NULL;
    return (value){.type = RL_JINJA_DICT, .as.dict = dict};
}

static rl_jinja_entry *find(const rl_jinja_dict *dict, const value *key) {
    for (size_t i = 0; i < dict->n; i++) {
        if (rl_jinja_same(&dict->entry[i].key, key)) {
            return &dict->entry[i];
        }
    }
    return NULL;
}

void rl_jinja_put(rl_arena *arena, value to, value key, value item) {
    rl_jinja_dict *dict = to.as.dict;
    rl_jinja_entry *entry = find(dict, &key);
    deepen(&dict->depth, &key);
    deepen(&dict->depth, &item);
    if (entry != NULL) {
        entry->value = item;
        return;
    }
    if (dict->n == dict->cap) {
        dict->entry = grow(arena, dict->entry, dict->n, &dict->cap, sizeof *dict->entry);
    }
    dict->entry[dict->n++] = (rl_jinja_entry){key, item};
}

// core/json.c refuses a key given twice, so entries are appended unseen.
static value from_object(rl_arena *arena, const rl_json *json, uint8_t mark) {
    value out = rl_jinja_new_dict(arena, rl_json_count(json));
    rl_jinja_dict *dict = out.as.dict;
    for (const rl_json *child = rl_json_first(json); child != NULL; child = rl_json_next(child)) {
        const char *key = rl_json_key(child);
        value item = rl_jinja_from_json(arena, child, mark);
        deepen(&dict->depth, &item);
        dict->entry[dict->n++] =
            (rl_jinja_entry){rl_jinja_marked(arena, key, strlen(key), mark), item};
    }
    return out;
}

value rl_jinja_from_json(rl_arena *arena, const rl_json *json, uint8_t mark) {
    switch (rl_json_type_of(json)) {
    case RL_JSON_NULL:
        break;
    case RL_JSON_BOOL:
        return rl_jinja_bool(rl_json_bool(json, false));
    case RL_JSON_NUMBER: {
        int64_t whole;
        return rl_json_integer(json, &whole) ? rl_jinja_int(whole)
                                             : rl_jinja_real(rl_json_number(json, 0));
    }
    case RL_JSON_TEXT: {
        const char *ptr = rl_json_text(json, "");
        return rl_jinja_marked(arena, ptr, strlen(ptr), mark);
    }
    case RL_JSON_LIST: {
        value list = rl_jinja_new_list(arena, rl_json_count(json), RL_JINJA_IS_LIST);
        for (const rl_json *item = rl_json_first(json); item != NULL; item = rl_json_next(item)) {
            rl_jinja_push(arena, list, rl_jinja_from_json(arena, item, mark));
        }
        return list;
    }
    case RL_JSON_OBJECT:
        return from_object(arena, json, mark);
    }
    return rl_jinja_none();
}

bool rl_jinja_is_true(const value *v) {
    switch (v->type) {
    case RL_JINJA_ABSENT:
    case RL_JINJA_UNDEFINED:
    case RL_JINJA_NONE:
        return false;
    case RL_JINJA_BOOL:
        return v->as.truth;
    case RL_JINJA_INT:
        return v->as.integer != 0;
    case RL_JINJA_FLOAT:
        return v->as.real != 0;
    case RL_JINJA_TEXT:
        return v->as.text.len > 0;
    case RL_JINJA_LIST:
        return v->as.list->n > 0 || v->as.list->kind == RL_JINJA_IS_LAZY;
    case RL_JINJA_DICT:
        return v->as.dict->n > 0;
    case RL_JINJA_NAMESPACE:
    case RL_JINJA_LOOP:
    case RL_JINJA_CALLABLE:
        break;
    }
    return true;
}

bool rl_jinja_is_number(const value *v) {
    return v->type == RL_JINJA_BOOL || v->type == RL_JINJA_INT || v->type == RL_JINJA_FLOAT;
}

bool rl_jinja_text_equal(text a, text b) {
    return a.len == b.len && (a.len == 0 || memcmp(a.ptr, b.ptr, a.len) == 0);
}

bool rl_jinja_text_is(text t, const char *other) {
    return rl_jinja_text_equal(t, (text){other, strlen(other), NULL});
}

static bool equal_numbers(const value *a, const value *b) {
    if (a->type == RL_JINJA_FLOAT || b->type == RL_JINJA_FLOAT) {
        double x = a->type == RL_JINJA_FLOAT  ? a->as.real
                   : a->type == RL_JINJA_BOOL ? (double)a->as.truth
                                              : (double)a->as.integer;
        double y = b->type == RL_JINJA_FLOAT  ? b->as.real
                   : b->type == RL_JINJA_BOOL ? (double)b->as.truth
                                              : (double)b->as.integer;
        return x == y;
    }
    int64_t x = a->type == RL_JINJA_BOOL ? a->as.truth : a->as.integer;
    int64_t y = b->type == RL_JINJA_BOOL ? b->as.truth : b->as.integer;
    return x == y;
}

bool rl_jinja_same(const value *a, const value *b) {
    if (rl_jinja_is_number(a) && rl_jinja_is_number(b)) {
        return equal_numbers(a, b);
    }
    if (a->type != b->type) {
        return false;
    }
    switch (a->type) {
    case RL_JINJA_TEXT:
        return rl_jinja_text_equal(a->as.text, b->as.text);
    case RL_JINJA_LIST:
    case RL_JINJA_DICT:
        return false;
    case RL_JINJA_NAMESPACE:
        return a->as.dict == b->as.dict;
    case RL_JINJA_LOOP:
        return a->as.loop == b->as.loop;
    case RL_JINJA_CALLABLE:
        return a->as.callable == b->as.callable;
    case RL_JINJA_ABSENT:
    case RL_JINJA_UNDEFINED:
    case RL_JINJA_NONE:
    case RL_JINJA_BOOL:
    case RL_JINJA_INT:
    case RL_JINJA_FLOAT:
        break;
    }
    return true;
}

const char *rl_jinja_type_name(const value *v) {
    static const char *const names[] = {
        [RL_JINJA_ABSENT] = "nothing",
        [RL_JINJA_UNDEFINED] = "Undefined object",
        [RL_JINJA_NONE] = "None",
        [RL_JINJA_BOOL] = "bool object",
        [RL_JINJA_INT] = "int object",
        [RL_JINJA_FLOAT] = "float object",
        [RL_JINJA_TEXT] = "str object",
        [RL_JINJA_LIST] = "list object",
        [RL_JINJA_DICT] = "dict object",
        [RL_JINJA_NAMESPACE] = "Namespace object",
        [RL_JINJA_LOOP] = "LoopContext object",
        [RL_JINJA_CALLABLE] = "function object",
    };
    if (v->type == RL_JINJA_LIST && v->as.list->kind != RL_JINJA_IS_LIST) {
        return v->as.list->kind == RL_JINJA_IS_TUPLE ? "tuple object" : "generator object";
    }
    return names[v->type];
}

text rl_jinja_cut(text t, size_t begin, size_t end) {
    if (begin >= end) {
        return (text){"", 0, NULL};
    }
    return (text){t.ptr + begin, end - begin, t.mark != NULL ? t.mark + begin : NULL};
}

static bool continues(char c) {
    return ((unsigned char)c & 0xC0) == 0x80;
}

size_t rl_jinja_chars(text t) {
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++) {
        n += !continues(t.ptr[i]);
    }
    return n;
}

size_t rl_jinja_char_end(text t, size_t at) {
    at++;
    while (at < t.len && continues(t.ptr[at])) {
        at++;
    }
    return at;
}

size_t rl_jinja_char_at(text t, size_t i) {
    size_t at = 0;
    for (; at < t.len && i > 0; i--) {
        at = rl_jinja_char_end(t, at);
    }
    return at;
}

size_t rl_jinja_find_part(text t, text part, size_t from) {
    if (from > t.len || part.len > t.len - from) {
        return SIZE_MAX;
    }
    const char *at = memmem(t.ptr + from, t.len - from, part.ptr, part.len);
    return at != NULL ? (size_t)(at - t.ptr) : SIZE_MAX;
}

bool rl_jinja_is_space(uint32_t c) {
    return (c >= 9 && c <= 13) || (c >= 28 && c <= 32) || c == 0x85 || c == 0xA0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F ||
           c == 0x205F || c == 0x3000;
}

text rl_jinja_strip(text t, bool left, bool right) {
    size_t begin = 0, end = t.len;
    uint32_t code;
    while (left && begin < end) {
        int32_t n = rl_utf8_decode(t.ptr + begin, end - begin, &code);
        if (n == 0 || !rl_jinja_is_space(code)) {
            break;
        }
        begin += (size_t)n;
    }
    while (right && end > begin) {
        size_t at = end - 1;
        while (at > begin && continues(t.ptr[at])) {
            at--;
        }
        if (rl_utf8_decode(t.ptr + at, end - at, &code) == 0 || !rl_jinja_is_space(code)) {
            break;
        }
        end = at;
    }
    return rl_jinja_cut(t, begin, end);
}
