#include "tests/support/gguf_build.h"

#include <string.h>

enum { ALIGNMENT = 32, KIND_U32 = 4, KIND_I32 = 5, KIND_F32 = 6, KIND_BOOL = 7, KIND_TEXT = 8 };
enum { KIND_LIST = 9 };

void rl_gguf_put(rl_str *out, uint64_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) {
        rl_str_append_char(out, (char)(uint8_t)(value >> (8 * i)));
    }
}

void rl_gguf_put_string(rl_str *out, const char *text) {
    rl_gguf_put(out, strlen(text), 8);
    rl_str_append(out, text);
}

static void key_and_kind(rl_gguf_build *b, const char *key, uint32_t kind) {
    rl_gguf_put_string(&b->meta, key);
    rl_gguf_put(&b->meta, kind, 4);
    b->n_meta++;
}

void rl_gguf_build_text(rl_gguf_build *b, const char *key, const char *text) {
    key_and_kind(b, key, KIND_TEXT);
    rl_gguf_put_string(&b->meta, text);
}

void rl_gguf_build_u32(rl_gguf_build *b, const char *key, uint32_t value) {
    key_and_kind(b, key, KIND_U32);
    rl_gguf_put(&b->meta, value, 4);
}

void rl_gguf_build_f32(rl_gguf_build *b, const char *key, float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    key_and_kind(b, key, KIND_F32);
    rl_gguf_put(&b->meta, bits, 4);
}

void rl_gguf_build_bool(rl_gguf_build *b, const char *key, bool value) {
    key_and_kind(b, key, KIND_BOOL);
    rl_gguf_put(&b->meta, value, 1);
}

void rl_gguf_build_texts(rl_gguf_build *b, const char *key, const char *const *text, size_t n) {
    key_and_kind(b, key, KIND_LIST);
    rl_gguf_put(&b->meta, KIND_TEXT, 4);
    rl_gguf_put(&b->meta, n, 8);
    for (size_t i = 0; i < n; i++) {
        rl_gguf_put_string(&b->meta, text[i]);
    }
}

void rl_gguf_build_i32s(rl_gguf_build *b, const char *key, const int32_t *value, size_t n) {
    key_and_kind(b, key, KIND_LIST);
    rl_gguf_put(&b->meta, KIND_I32, 4);
    rl_gguf_put(&b->meta, n, 8);
    for (size_t i = 0; i < n; i++) {
        rl_gguf_put(&b->meta, (uint32_t)value[i], 4);
    }
}

static void pad(rl_str *out) {
    while (out->len % ALIGNMENT != 0) {
        rl_str_append_char(out, '\0');
    }
}

void rl_gguf_build_tensor(rl_gguf_build *b, const char *name, uint32_t type, const uint64_t *ne,
                          uint32_t rank, const void *bytes, size_t n_bytes) {
    pad(&b->data);
    rl_gguf_put_string(&b->entries, name);
    rl_gguf_put(&b->entries, rank, 4);
    for (uint32_t i = 0; i < rank; i++) {
        rl_gguf_put(&b->entries, ne[i], 8);
    }
    rl_gguf_put(&b->entries, type, 4);
    rl_gguf_put(&b->entries, b->data.len, 8);
    rl_str_append_n(&b->data, bytes, n_bytes);
    b->n_tensors++;
}

void rl_gguf_build_finish(const rl_gguf_build *b, rl_str *out) {
    rl_str_append(out, "GGUF");
    rl_gguf_put(out, 3, 4);
    rl_gguf_put(out, b->n_tensors, 8);
    rl_gguf_put(out, b->n_meta, 8);
    rl_str_append_n(out, rl_str_text(&b->meta), b->meta.len);
    rl_str_append_n(out, rl_str_text(&b->entries), b->entries.len);
    pad(out);
    rl_str_append_n(out, rl_str_text(&b->data), b->data.len);
}

void rl_gguf_build_release(rl_gguf_build *b) {
    rl_str_release(&b->meta);
    rl_str_release(&b->entries);
    rl_str_release(&b->data);
    *b = (rl_gguf_build){0};
}
