#include "tensor/gguf_meta.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"

/* Value types by their number in the file. */
typedef enum kind {
    KIND_U8,
    KIND_I8,
    KIND_U16,
    KIND_I16,
    KIND_U32,
    KIND_I32,
    KIND_F32,
    KIND_BOOL,
    KIND_TEXT,
    KIND_LIST,
    KIND_U64,
    KIND_I64,
    KIND_F64,
    N_KINDS
} kind;

static const uint8_t kind_bytes[N_KINDS] = {
    [KIND_U8] = 1,  [KIND_I8] = 1,   [KIND_U16] = 2, [KIND_I16] = 2, [KIND_U32] = 4, [KIND_I32] = 4,
    [KIND_F32] = 4, [KIND_BOOL] = 1, [KIND_U64] = 8, [KIND_I64] = 8, [KIND_F64] = 8, // text, list:
                                                                                     // 0
};

/* Points at the value's bytes: at the number, at the text's first byte, at a list's first item. */
struct rl_gguf_value {
    kind type, item; // item: of a list
    const uint8_t *at;
    uint64_t len;    // of a text in bytes, of a list in items
    uint64_t *start; // list of texts: offset of each length from `at`
};

enum { VALUE_MIN = 8 + 1 + 4 + 1 }; // least bytes of one key, type and value

static bool take(rl_gguf_cursor *c, size_t n, const uint8_t **out) {
    if (c->ended || n > c->len - c->at) {
        c->ended = true;
        return false;
    }
    *out = c->bytes + c->at;
    c->at += n;
    return true;
}

static uint64_t unsigned_at(const uint8_t *p, size_t n_bytes) {
    uint64_t x = 0;
    for (size_t i = n_bytes; i-- > 0;) {
        x = x << 8 | p[i];
    }
    return x;
}

uint32_t rl_gguf_u32(rl_gguf_cursor *c) {
    const uint8_t *p;
    return take(c, 4, &p) ? (uint32_t)unsigned_at(p, 4) : 0;
}

uint64_t rl_gguf_u64(rl_gguf_cursor *c) {
    const uint8_t *p;
    return take(c, 8, &p) ? unsigned_at(p, 8) : 0;
}

bool rl_gguf_string(rl_gguf_cursor *c, const char **out, size_t *out_len) {
    uint64_t len = rl_gguf_u64(c);
    const uint8_t *p;
    if (c->ended || len > c->len || !take(c, (size_t)len, &p)) {
        c->ended = true;
        return false;
    }
    *out = (const char *)p;
    *out_len = (size_t)len;
    return true;
}

bool rl_gguf_is_name(const char *text, size_t text_len) {
    for (size_t i = 0; i < text_len; i++) {
        if ((unsigned char)text[i] < 0x20 || text[i] == 0x7f) {
            return false;
        }
    }
    return text_len >= 1 && text_len <= 255;
}

rl_status rl_gguf_damaged(const rl_gguf_cursor *c, rl_err *err, const char *fmt, ...) {
    char what[320];
    va_list args;
    if (c->ended) { // whatever was found out of place, this is why
        return rl_fail(
            err, RL_IO,
            "GGUF file '%.128s' is damaged: it ends early, after %zu bytes; try to fetch "
            "it again",
            c->name, c->len);
    }
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rl_fail(err, RL_IO, "GGUF file '%.128s' is damaged: %s; try to fetch it again", c->name,
                   what);
}

static rl_status read_list(rl_gguf_cursor *c, rl_gguf_value *v, const char *key, rl_err *err) {
    uint32_t item = rl_gguf_u32(c);
    const uint8_t *p;
    v->len = rl_gguf_u64(c);
    if (c->ended || item >= N_KINDS || item == KIND_LIST) {
        return rl_gguf_damaged(c, err, "metadata '%s' is a list of unknown type %u", key, item);
    }
    v->item = (kind)item;
    v->at = c->bytes + c->at;
    // A text takes 8 bytes at least, so this also bounds the index below by the file's size.
    if (v->len > (c->len - c->at) / (item == KIND_TEXT ? 8 : kind_bytes[item])) {
        c->ended = true;
        return rl_gguf_damaged(c, err, "metadata '%s' is too long", key);
    }
    if (item != KIND_TEXT) {
        (void)take(c, (size_t)v->len * kind_bytes[item], &p); // fits: checked above
        return RL_OK;
    }
    v->start = rl_alloc((size_t)v->len, sizeof *v->start);
    for (uint64_t i = 0; i < v->len; i++) {
        const char *text;
        size_t text_len;
        v->start[i] = (uint64_t)(c->bytes + c->at - v->at);
        if (!rl_gguf_string(c, &text, &text_len)) {
            return rl_gguf_damaged(c, err, "metadata '%s' is too long", key);
        }
    }
    return RL_OK;
}

static rl_status read_value(rl_gguf_cursor *c, rl_gguf_value *v, const char *key, rl_err *err) {
    uint32_t type = rl_gguf_u32(c);
    const char *text;
    size_t text_len;
    if (c->ended || type >= N_KINDS) {
        return rl_gguf_damaged(c, err, "metadata '%s' has unknown type %u", key, type);
    }
    v->type = (kind)type;
    if (type == KIND_LIST) {
        return read_list(c, v, key, err);
    }
    if (type == KIND_TEXT) {
        if (!rl_gguf_string(c, &text, &text_len)) {
            return rl_gguf_damaged(c, err, "metadata '%s' is too long", key);
        }
        v->at = (const uint8_t *)text;
        v->len = text_len;
        return RL_OK;
    }
    if (!take(c, kind_bytes[type], &v->at) || (type == KIND_BOOL && *v->at > 1)) {
        return rl_gguf_damaged(c, err, "metadata '%s' is neither true nor false", key);
    }
    return RL_OK;
}

static rl_status read_alignment(rl_gguf_meta *meta, const rl_gguf_cursor *c, rl_err *err) {
    int64_t n = 32;
    if (meta->n_values > 0) {
        (void)rl_gguf_meta_integer(meta, "general.alignment", &n); // stays 32
    }
    if (n < 1 || n > 1 << 20 || (n & (n - 1)) != 0) {
        return rl_gguf_damaged(c, err, "its alignment is %lld, not a power of two", (long long)n);
    }
    meta->alignment = (size_t)n;
    return RL_OK;
}

rl_status rl_gguf_meta_read(rl_gguf_meta *meta, rl_gguf_cursor *c, uint64_t n_values, rl_err *err) {
    if (n_values > (c->len - c->at) / VALUE_MIN) {
        return rl_gguf_damaged(c, err, "it is too short for %llu metadata",
                               (unsigned long long)n_values);
    }
    meta->value = rl_alloc((size_t)n_values, sizeof *meta->value);
    meta->by_key = rl_map_new((size_t)n_values);
    for (uint64_t i = 0; i < n_values; i++) {
        const char *key;
        size_t key_len;
        char name[256];
        rl_status status;
        if (!rl_gguf_string(c, &key, &key_len) || !rl_gguf_is_name(key, key_len)) {
            return rl_gguf_damaged(c, err, "the key of a metadata value is not readable");
        }
        memcpy(name, key, key_len);
        name[key_len] = '\0';
        status = read_value(c, &meta->value[i], name, err);
        meta->n_values = (size_t)i + 1;
        if (status != RL_OK) {
            return status;
        }
        if (!rl_map_add(meta->by_key, key, key_len, (int64_t)i)) {
            return rl_gguf_damaged(c, err, "metadata '%s' is there twice", name);
        }
    }
    return read_alignment(meta, c, err);
}

void rl_gguf_meta_release(rl_gguf_meta *meta) {
    for (size_t i = 0; i < meta->n_values; i++) {
        rl_free(meta->value[i].start);
    }
    rl_free(meta->value);
    rl_map_free(meta->by_key);
    *meta = (rl_gguf_meta){0};
}

static const rl_gguf_value *find(const rl_gguf_meta *meta, const char *key) {
    int64_t i;
    return rl_map_get(meta->by_key, key, strlen(key), &i) ? &meta->value[i] : NULL;
}

static bool integer_at(kind type, const uint8_t *p, int64_t *out) {
    uint64_t x;
    int shift;
    if (type > KIND_I32 && type != KIND_U64 && type != KIND_I64) {
        return false;
    }
    x = unsigned_at(p, kind_bytes[type]);
    shift = 64 - 8 * kind_bytes[type];
    if (type == KIND_I8 || type == KIND_I16 || type == KIND_I32 || type == KIND_I64) {
        *out = (int64_t)(x << shift) >> shift; // repeats the sign
        return true;
    }
    *out = (int64_t)x;
    return x <= INT64_MAX;
}

static bool real_at(kind type, const uint8_t *p, double *out) {
    uint64_t bits = unsigned_at(p, kind_bytes[type]);
    int64_t n;
    if (type == KIND_F32) {
        uint32_t bits32 = (uint32_t)bits;
        float x;
        memcpy(&x, &bits32, sizeof x);
        *out = (double)x;
        return true;
    }
    if (type == KIND_F64) {
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    if (!integer_at(type, p, &n)) {
        return false;
    }
    *out = (double)n;
    return true;
}

bool rl_gguf_meta_text(const rl_gguf_meta *meta, const char *key, const char **out,
                       size_t *out_len) {
    const rl_gguf_value *v = find(meta, key);
    if (v == NULL || v->type != KIND_TEXT) {
        return false;
    }
    *out = (const char *)v->at;
    *out_len = (size_t)v->len;
    return true;
}

bool rl_gguf_meta_integer(const rl_gguf_meta *meta, const char *key, int64_t *out) {
    const rl_gguf_value *v = find(meta, key);
    return v != NULL && integer_at(v->type, v->at, out);
}

bool rl_gguf_meta_real(const rl_gguf_meta *meta, const char *key, double *out) {
    const rl_gguf_value *v = find(meta, key);
    return v != NULL && real_at(v->type, v->at, out);
}

bool rl_gguf_meta_bool(const rl_gguf_meta *meta, const char *key, bool *out) {
    const rl_gguf_value *v = find(meta, key);
    if (v == NULL || v->type != KIND_BOOL) {
        return false;
    }
    *out = *v->at == 1;
    return true;
}

bool rl_gguf_meta_list(const rl_gguf_meta *meta, const char *key, size_t *n_items) {
    const rl_gguf_value *v = find(meta, key);
    if (v == NULL || v->type != KIND_LIST) {
        return false;
    }
    *n_items = (size_t)v->len;
    return true;
}

bool rl_gguf_meta_list_text(const rl_gguf_meta *meta, const char *key, size_t i, const char **out,
                            size_t *out_len) {
    const rl_gguf_value *v = find(meta, key);
    const uint8_t *p;
    if (v == NULL || v->type != KIND_LIST || v->item != KIND_TEXT || i >= v->len) {
        return false;
    }
    p = v->at + v->start[i];
    *out_len = (size_t)unsigned_at(p, 8);
    *out = (const char *)(p + 8);
    return true;
}

bool rl_gguf_meta_list_real(const rl_gguf_meta *meta, const char *key, size_t i, double *out) {
    const rl_gguf_value *v = find(meta, key);
    if (v == NULL || v->type != KIND_LIST || i >= v->len) {
        return false;
    }
    return real_at(v->item, v->at + i * kind_bytes[v->item], out);
}
