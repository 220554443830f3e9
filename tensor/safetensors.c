/*
 * Layout: a 64-bit little-endian length, that many bytes of JSON, then the data. The JSON maps
 * names to {"dtype", "shape", "data_offsets": [begin, end)}, offsets counted from the start of the
 * data; the tensors must tile the data without overlap, hole or rest, as the format demands.
 */
#include "rl/tensor/safetensors.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/map.h"

enum { HEADER_MAX = 100 * 1000 * 1000, PIECE_BYTES = 1 << 20 }; // the format's own limit

struct rl_safetensors {
    rl_map_file file; // empty when parsed from memory
    rl_arena *arena;  // names and the list
    rl_weight *weight;
    size_t n_weights;
    rl_map *by_name;
};

/* Names of the format; those without bits are newer than this list, and their size is not checked.
 */
static const struct dtype {
    const char *name;
    rl_stored stored;
    int bits;
} dtypes[] = {
    {"F32", RL_STORED_F32, 32},      {"F16", RL_STORED_F16, 16},
    {"BF16", RL_STORED_BF16, 16},    {"F64", RL_STORED_F64, 64},
    {"I32", RL_STORED_I32, 32},      {"I64", RL_STORED_I64, 64},
    {"U8", RL_STORED_U8, 8},         {"BOOL", RL_STORED_OTHER, 8},
    {"I8", RL_STORED_OTHER, 8},      {"I16", RL_STORED_OTHER, 16},
    {"U16", RL_STORED_OTHER, 16},    {"U32", RL_STORED_OTHER, 32},
    {"U64", RL_STORED_OTHER, 64},    {"C64", RL_STORED_OTHER, 64},
    {"F8_E4M3", RL_STORED_OTHER, 8}, {"F8_E5M2", RL_STORED_OTHER, 8},
    {"F8_E8M0", RL_STORED_OTHER, 8}, {"F6_E2M3", RL_STORED_OTHER, 6},
    {"F6_E3M2", RL_STORED_OTHER, 6}, {"F4", RL_STORED_OTHER, 4},
};

static rl_status damaged(rl_err *err, const char *file, const char *fmt, ...) RL_PRINTF(3, 4);

static rl_status damaged(rl_err *err, const char *file, const char *fmt, ...) {
    char what[320];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rl_fail(err, RL_IO, "safetensors file '%.128s' is damaged: %s; try to fetch it again",
                   file, what);
}

// A list of non-negative integers of at most cap items; -1 when it is anything else.
static int read_integers(const rl_json *list, int64_t *out, int cap) {
    int n = 0;
    if (list == NULL || rl_json_type_of(list) != RL_JSON_LIST) {
        return -1;
    }
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        if (n == cap || !rl_json_integer(item, &out[n]) || out[n] < 0) {
            return -1;
        }
        n++;
    }
    return n;
}

// Bytes that shape asks for; false when they do not fit 63 bits or end inside a byte.
static bool bytes_of(const rl_weight *w, int bits, int64_t *out) {
    int64_t n = bits;
    for (int32_t i = 0; i < w->rank; i++) {
        if (__builtin_mul_overflow(n, w->shape[i], &n)) {
            return false;
        }
    }
    *out = n / 8;
    return n % 8 == 0;
}

static rl_status read_entry(rl_arena *arena, const rl_json *entry, const uint8_t *data,
                            size_t data_len, const char *file, rl_weight *out, rl_err *err) {
    const char *name = rl_json_key(entry), *dtype = rl_json_text(rl_json_get(entry, "dtype"), NULL);
    int64_t span[2], want;
    int bits = 0;
    *out = (rl_weight){.name = rl_arena_strdup(arena, name), .stored = RL_STORED_OTHER};
    if (rl_json_type_of(entry) != RL_JSON_OBJECT || dtype == NULL) {
        return damaged(err, file, "tensor '%s' has no dtype", name);
    }
    out->type = rl_arena_strdup(arena, dtype);
    for (size_t i = 0; i < sizeof dtypes / sizeof dtypes[0]; i++) {
        if (strcmp(dtype, dtypes[i].name) == 0) {
            out->stored = dtypes[i].stored;
            bits = dtypes[i].bits;
        }
    }
    out->rank = read_integers(rl_json_get(entry, "shape"), out->shape, 4);
    if (out->rank < 0) {
        return damaged(err, file, "the shape of tensor '%s' is not a list of at most 4 sizes",
                       name);
    }
    if (read_integers(rl_json_get(entry, "data_offsets"), span, 2) != 2 || span[0] > span[1]) {
        return damaged(err, file, "tensor '%s' has no pair of rising data_offsets", name);
    }
    if ((uint64_t)span[1] > data_len) {
        return damaged(err, file, "tensor '%s' ends at byte %lld of %zu bytes of data", name,
                       (long long)span[1], data_len);
    }
    if (!bytes_of(out, bits != 0 ? bits : 8, &want) || (bits != 0 && want != span[1] - span[0])) {
        return damaged(err, file, "tensor '%s' has %lld bytes, which do not fit its shape", name,
                       (long long)(span[1] - span[0]));
    }
    out->bytes = data + span[0];
    out->n_bytes = (size_t)(span[1] - span[0]);
    return RL_OK;
}

static rl_status check_metadata(const rl_json *metadata, const char *file, rl_err *err) {
    if (rl_json_type_of(metadata) != RL_JSON_OBJECT) {
        return damaged(err, file, "'__metadata__' is not an object");
    }
    for (const rl_json *item = rl_json_first(metadata); item != NULL; item = rl_json_next(item)) {
        if (rl_json_type_of(item) != RL_JSON_TEXT) {
            return damaged(err, file, "metadata '%s' is not text", rl_json_key(item));
        }
    }
    return RL_OK;
}

static int by_place(const void *left, const void *right) {
    const rl_weight *a = left, *b = right;
    uintptr_t pa = (uintptr_t)a->bytes, pb = (uintptr_t)b->bytes;
    if (pa != pb) {
        return pa < pb ? -1 : 1;
    }
    if (a->n_bytes != b->n_bytes) { // an empty tensor goes before its neighbour
        return a->n_bytes < b->n_bytes ? -1 : 1;
    }
    return strcmp(a->name, b->name);
}

static rl_status check_tiling(const rl_safetensors *st, const uint8_t *data, size_t data_len,
                              const char *file, rl_err *err) {
    size_t at = 0;
    for (size_t i = 0; i < st->n_weights; i++) {
        const rl_weight *w = &st->weight[i];
        size_t begin = (size_t)((const uint8_t *)w->bytes - data);
        if (begin < at) {
            return damaged(err, file, "tensors '%s' and '%s' overlap", st->weight[i - 1].name,
                           w->name);
        }
        if (begin > at) {
            return damaged(err, file, "%zu bytes before tensor '%s' belong to none", begin - at,
                           w->name);
        }
        at = begin + w->n_bytes;
    }
    if (at != data_len) {
        return damaged(err, file, "its last %zu bytes belong to no tensor", data_len - at);
    }
    return RL_OK;
}

static rl_status read_header(rl_safetensors *st, const rl_json *root, const uint8_t *data,
                             size_t data_len, const char *file, rl_err *err) {
    rl_status status;
    if (rl_json_type_of(root) != RL_JSON_OBJECT) {
        return damaged(err, file, "its header is not an object");
    }
    st->weight = rl_arena_alloc(st->arena, rl_json_count(root) + 1, sizeof *st->weight);
    st->by_name = rl_map_new(rl_json_count(root));
    for (const rl_json *entry = rl_json_first(root); entry != NULL; entry = rl_json_next(entry)) {
        if (strcmp(rl_json_key(entry), "__metadata__") == 0) {
            status = check_metadata(entry, file, err);
        } else {
            status = read_entry(st->arena, entry, data, data_len, file,
                                &st->weight[st->n_weights++], err);
        }
        if (status != RL_OK) {
            return status;
        }
    }
    qsort(st->weight, st->n_weights, sizeof *st->weight, by_place);
    for (size_t i = 0; i < st->n_weights; i++) {
        const char *name = st->weight[i].name;
        rl_map_add(st->by_name, name, strlen(name), (int64_t)i); // core/json refuses doubles
    }
    return check_tiling(st, data, data_len, file, err);
}

rl_status rl_safetensors_parse(const void *bytes, size_t n_bytes, const char *name,
                               rl_safetensors **out, rl_err *err) {
    const uint8_t *p = bytes;
    uint64_t header_len = 0;
    rl_json_doc *doc = NULL;
    rl_safetensors *st;
    rl_status status;
    *out = NULL;
    if (n_bytes < 8) {
        return damaged(err, name, "%zu bytes cannot hold a header", n_bytes);
    }
    for (int i = 7; i >= 0; i--) {
        header_len = header_len << 8 | p[i];
    }
    if (header_len > HEADER_MAX) {
        return damaged(err, name, "its first 8 bytes are not the length of a header");
    }
    if (header_len > n_bytes - 8) {
        return damaged(err, name, "its header should have %llu bytes but the file ends after %zu",
                       (unsigned long long)header_len, n_bytes - 8);
    }
    if (header_len == 0 || p[8] != '{') {
        return damaged(err, name, "its header is not JSON");
    }
    status = rl_json_parse((const char *)p + 8, (size_t)header_len, name, &doc, err);
    if (status != RL_OK) {
        return status;
    }
    st = rl_alloc(1, sizeof *st);
    st->arena = rl_arena_new(0);
    status =
        read_header(st, rl_json_root(doc), p + 8 + header_len, n_bytes - 8 - header_len, name, err);
    rl_json_free(doc);
    if (status != RL_OK) {
        rl_safetensors_close(st);
        return status;
    }
    *out = st;
    return RL_OK;
}

rl_status rl_safetensors_open(const char *path, rl_safetensors **out, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    *out = NULL;
    if (status != RL_OK) {
        return status;
    }
    status = rl_safetensors_parse(file.ptr, file.len, path, out, err);
    if (status != RL_OK) {
        rl_fs_unmap(&file);
        return status;
    }
    RL_ASSERT(*out != NULL);
    (*out)->file = file;
    return RL_OK;
}

void rl_safetensors_rest(const rl_safetensors *file) {
    rl_fs_map_rest(&file->file);
}

void rl_safetensors_close(rl_safetensors *file) {
    if (file != NULL) {
        rl_fs_unmap(&file->file);
        rl_map_free(file->by_name);
        rl_arena_free(file->arena);
        rl_free(file);
    }
}

size_t rl_safetensors_count(const rl_safetensors *file) {
    return file->n_weights;
}

const rl_weight *rl_safetensors_at(const rl_safetensors *file, size_t i) {
    RL_ASSERT(i < file->n_weights);
    return &file->weight[i];
}

const rl_weight *rl_safetensors_find(const rl_safetensors *file, const char *name) {
    int64_t i;
    return rl_map_get(file->by_name, name, strlen(name), &i) ? &file->weight[i] : NULL;
}

static void print_header(const rl_weight *weights, size_t n_weights, rl_str *out) {
    rl_json_writer w = {.out = out};
    int64_t at = 0;
    rl_json_open_object(&w, NULL);
    rl_json_open_object(&w, "__metadata__");
    rl_json_put_text(&w, "format", "pt", 2);
    rl_json_close_object(&w);
    for (size_t i = 0; i < n_weights; i++) {
        const char *dtype = rl_stored_name(weights[i].stored);
        RL_ASSERT(rl_stored_block(weights[i].stored) == 1);
        rl_json_open_object(&w, weights[i].name);
        rl_json_put_text(&w, "dtype", dtype, strlen(dtype));
        rl_json_open_list(&w, "shape");
        for (int32_t d = 0; d < weights[i].rank; d++) {
            rl_json_put_int(&w, NULL, weights[i].shape[d]);
        }
        rl_json_close_list(&w);
        rl_json_open_list(&w, "data_offsets");
        rl_json_put_int(&w, NULL, at);
        at += (int64_t)weights[i].n_bytes;
        rl_json_put_int(&w, NULL, at);
        rl_json_close_list(&w);
        rl_json_close_object(&w);
    }
    rl_json_close_object(&w);
    while (out->len % 8 != 0) {
        rl_str_append_char(out, ' ');
    }
}

static rl_status put_weight(rl_writer *to, const rl_weight *weights, size_t i, rl_weight_fill fill,
                            void *self, uint8_t *piece, rl_err *err) {
    rl_status status = RL_OK;
    if (weights[i].bytes != NULL) {
        return rl_writer_put(to, weights[i].bytes, weights[i].n_bytes, err);
    }
    for (size_t at = 0, n; at < weights[i].n_bytes && status == RL_OK; at += n) {
        n = weights[i].n_bytes - at < PIECE_BYTES ? weights[i].n_bytes - at : PIECE_BYTES;
        fill(self, i, at, n, piece);
        status = rl_writer_put(to, piece, n, err);
    }
    return status;
}

rl_status rl_safetensors_write(const char *path, const rl_weight *weights, size_t n_weights,
                               rl_weight_fill fill, void *self, rl_err *err) {
    rl_str header = {0};
    rl_writer to = {0};
    uint8_t length[8], *piece = rl_alloc(PIECE_BYTES, 1);
    rl_status status = rl_writer_open(path, &to, err);
    if (status != RL_OK) {
        goto out;
    }
    print_header(weights, n_weights, &header);
    for (int i = 0; i < 8; i++) {
        length[i] = (uint8_t)((uint64_t)header.len >> (8 * i));
    }
    status = rl_writer_put(&to, length, sizeof length, err);
    if (status == RL_OK) {
        status = rl_writer_put(&to, header.ptr, header.len, err);
    }
    for (size_t i = 0; i < n_weights && status == RL_OK; i++) {
        RL_ASSERT(weights[i].n_bytes ==
                  (size_t)rl_weight_count(&weights[i]) * rl_stored_block_bytes(weights[i].stored));
        status = put_weight(&to, weights, i, fill, self, piece, err);
    }
    if (status == RL_OK) {
        status = rl_writer_commit(&to, err);
    }
out:
    rl_writer_abort(&to);
    rl_str_release(&header);
    rl_free(piece);
    return status;
}
