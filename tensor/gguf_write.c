#include "rl/tensor/gguf_write.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"

enum { ALIGNMENT = 32, PIECE_VALUES = 1 << 16 };

/* The format's numbers for kinds of metadata. */
enum { KIND_U32 = 4, KIND_I32 = 5, KIND_F32 = 6, KIND_BOOL = 7, KIND_TEXT = 8, KIND_LIST = 9 };

static void put_number(rl_str *out, uint64_t value, int n_bytes) {
    for (int i = 0; i < n_bytes; i++) {
        rl_str_append_char(out, (char)(uint8_t)(value >> (8 * i)));
    }
}

static void put_text(rl_str *out, const char *text, size_t text_len) {
    put_number(out, text_len, 8);
    rl_str_append_n(out, text, text_len);
}

static uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void put_key(rl_gguf_meta_out *meta, const char *key, uint32_t kind) {
    put_text(&meta->bytes, key, strlen(key));
    put_number(&meta->bytes, kind, 4);
    meta->n_keys++;
}

void rl_gguf_meta_out_release(rl_gguf_meta_out *meta) {
    rl_str_release(&meta->bytes);
    *meta = (rl_gguf_meta_out){0};
}

void rl_gguf_put_text(rl_gguf_meta_out *meta, const char *key, const char *text, size_t text_len) {
    put_key(meta, key, KIND_TEXT);
    put_text(&meta->bytes, text, text_len);
}

void rl_gguf_put_u32(rl_gguf_meta_out *meta, const char *key, uint32_t value) {
    put_key(meta, key, KIND_U32);
    put_number(&meta->bytes, value, 4);
}

void rl_gguf_put_f32(rl_gguf_meta_out *meta, const char *key, float value) {
    put_key(meta, key, KIND_F32);
    put_number(&meta->bytes, bits_of(value), 4);
}

void rl_gguf_put_bool(rl_gguf_meta_out *meta, const char *key, bool value) {
    put_key(meta, key, KIND_BOOL);
    put_number(&meta->bytes, value, 1);
}

void rl_gguf_open_list(rl_gguf_meta_out *meta, const char *key, rl_gguf_list_kind kind) {
    static const uint32_t kinds[] = {KIND_I32, KIND_F32, KIND_TEXT};
    put_key(meta, key, KIND_LIST);
    put_number(&meta->bytes, kinds[kind], 4);
    meta->list = meta->bytes.len;
    put_number(&meta->bytes, 0, 8);
}

static void count_item(rl_gguf_meta_out *meta) {
    uint8_t *at = (uint8_t *)meta->bytes.ptr + meta->list;
    for (int i = 0; i < 8 && ++at[i] == 0; i++) { // the carry of a little-endian sum
    }
}

void rl_gguf_add_i32(rl_gguf_meta_out *meta, int32_t value) {
    put_number(&meta->bytes, (uint32_t)value, 4);
    count_item(meta);
}

void rl_gguf_add_f32(rl_gguf_meta_out *meta, float value) {
    put_number(&meta->bytes, bits_of(value), 4);
    count_item(meta);
}

void rl_gguf_add_text(rl_gguf_meta_out *meta, const char *text, size_t text_len) {
    put_text(&meta->bytes, text, text_len);
    count_item(meta);
}

static uint32_t ggml_type(rl_stored stored) {
    RL_ASSERT(stored <= RL_STORED_BF16 || stored == RL_STORED_Q8_0);
    return stored == RL_STORED_F32    ? 0
           : stored == RL_STORED_F16  ? 1
           : stored == RL_STORED_BF16 ? 30
                                      : 8;
}

static int64_t row_values(const rl_weight *w) {
    return w->rank > 0 ? w->shape[w->rank - 1] : 1;
}

static size_t row_bytes(const rl_weight *w) {
    RL_ASSERT(row_values(w) % rl_stored_block(w->stored) == 0);
    return (size_t)(row_values(w) / rl_stored_block(w->stored)) * rl_stored_block_bytes(w->stored);
}

static int64_t n_rows(const rl_weight *w) {
    return rl_weight_count(w) / row_values(w);
}

static size_t padding(size_t n) {
    return (ALIGNMENT - n % ALIGNMENT) % ALIGNMENT;
}

void rl_gguf_print_head(const rl_gguf_meta_out *meta, const rl_weight *tensor, size_t n_tensors,
                        rl_str *out) {
    size_t begin = out->len;
    uint64_t offset = 0;
    rl_str_append(out, "GGUF");
    put_number(out, 3, 4);
    put_number(out, n_tensors, 8);
    put_number(out, meta->n_keys, 8);
    rl_str_append_n(out, rl_str_text(&meta->bytes), meta->bytes.len);
    for (size_t i = 0; i < n_tensors; i++) {
        const rl_weight *w = &tensor[i];
        size_t n_bytes = row_bytes(w) * (size_t)n_rows(w);
        put_text(out, w->name, strlen(w->name));
        put_number(out, (uint32_t)w->rank, 4);
        for (int32_t d = w->rank - 1; d >= 0; d--) {
            put_number(out, (uint64_t)w->shape[d], 8);
        }
        put_number(out, ggml_type(w->stored), 4);
        put_number(out, offset, 8);
        offset += n_bytes + padding(n_bytes);
    }
    for (size_t n = padding(out->len - begin); n > 0; n--) {
        rl_str_append_char(out, '\0');
    }
}

static rl_status write_tensor(rl_writer *file, const rl_weight *w, size_t i, rl_gguf_fill fill,
                              void *self, rl_err *err) {
    static const uint8_t zeros[ALIGNMENT];
    int64_t cols = row_values(w), rows = n_rows(w);
    int64_t step = cols < PIECE_VALUES ? PIECE_VALUES / cols : 1;
    step = step < rows ? step : rows;
    float *values = rl_alloc((size_t)(step * cols), sizeof *values);
    uint8_t *bytes = rl_alloc((size_t)step, row_bytes(w));
    rl_status status = RL_OK;
    for (int64_t begin = 0, end; begin < rows && status == RL_OK; begin = end) {
        end = rows - begin > step ? begin + step : rows;
        fill(self, i, begin, end, values);
        rl_f32_to_stored(w->stored, values, (end - begin) * cols, bytes);
        status = rl_writer_put(file, bytes, row_bytes(w) * (size_t)(end - begin), err);
    }
    if (status == RL_OK) {
        status = rl_writer_put(file, zeros, padding(row_bytes(w) * (size_t)rows), err);
    }
    rl_free(values);
    rl_free(bytes);
    return status;
}

rl_status rl_gguf_write(const rl_gguf_meta_out *meta, const rl_weight *tensor, size_t n_tensors,
                        rl_gguf_fill fill, void *self, const char *path, rl_err *err) {
    rl_writer file;
    rl_str head = {0};
    rl_status status = rl_writer_open(path, &file, err);
    if (status != RL_OK) {
        return status;
    }
    rl_gguf_print_head(meta, tensor, n_tensors, &head);
    status = rl_writer_put(&file, head.ptr, head.len, err);
    for (size_t i = 0; i < n_tensors && status == RL_OK; i++) {
        status = write_tensor(&file, &tensor[i], i, fill, self, err);
    }
    if (status == RL_OK) {
        status = rl_writer_commit(&file, err);
    }
    rl_writer_abort(&file);
    rl_str_release(&head);
    return status;
}
