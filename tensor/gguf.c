/*
 * Layout (all little-endian): "GGUF", version, number of tensors, number of metadata; the metadata,
 * each a key, a type and a value; for each tensor its name, sizes (fastest first), type and offset;
 * then, at the next multiple of general.alignment, the data that offsets count from.
 *
 * Invariant: nothing is allocated for a count before the file is known to be long enough for it.
 */
#include "rl/tensor/gguf.h"

#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/core/map.h"
#include "tensor/gguf_meta.h"

struct rl_gguf {
    rl_map_file file; // empty when parsed from memory
    rl_arena *arena;
    rl_gguf_meta meta;
    rl_weight *weight;
    size_t n_weights;
    rl_map *by_name;
};

/* ggml's tensor types by number; those we cannot read are here to be refused by name and size. */
static const struct ggml_type {
    const char *name;
    rl_stored stored;
    int32_t block, block_bytes;
} ggml_types[] = {
    [0] = {"F32", RL_STORED_F32, 1, 4},           [1] = {"F16", RL_STORED_F16, 1, 2},
    [2] = {"Q4_0", RL_STORED_Q4_0, 32, 18},       [3] = {"Q4_1", RL_STORED_Q4_1, 32, 20},
    [6] = {"Q5_0", RL_STORED_OTHER, 32, 22},      [7] = {"Q5_1", RL_STORED_OTHER, 32, 24},
    [8] = {"Q8_0", RL_STORED_Q8_0, 32, 34},       [9] = {"Q8_1", RL_STORED_OTHER, 32, 36},
    [10] = {"Q2_K", RL_STORED_OTHER, 256, 84},    [11] = {"Q3_K", RL_STORED_OTHER, 256, 110},
    [12] = {"Q4_K", RL_STORED_OTHER, 256, 144},   [13] = {"Q5_K", RL_STORED_OTHER, 256, 176},
    [14] = {"Q6_K", RL_STORED_Q6_K, 256, 210},    [15] = {"Q8_K", RL_STORED_OTHER, 256, 292},
    [16] = {"IQ2_XXS", RL_STORED_OTHER, 256, 66}, [17] = {"IQ2_XS", RL_STORED_OTHER, 256, 74},
    [18] = {"IQ3_XXS", RL_STORED_OTHER, 256, 98}, [19] = {"IQ1_S", RL_STORED_OTHER, 256, 50},
    [20] = {"IQ4_NL", RL_STORED_OTHER, 32, 18},   [21] = {"IQ3_S", RL_STORED_OTHER, 256, 110},
    [22] = {"IQ2_S", RL_STORED_OTHER, 256, 82},   [23] = {"IQ4_XS", RL_STORED_OTHER, 256, 136},
    [24] = {"I8", RL_STORED_OTHER, 1, 1},         [25] = {"I16", RL_STORED_OTHER, 1, 2},
    [26] = {"I32", RL_STORED_I32, 1, 4},          [27] = {"I64", RL_STORED_I64, 1, 8},
    [28] = {"F64", RL_STORED_F64, 1, 8},          [29] = {"IQ1_M", RL_STORED_OTHER, 256, 56},
    [30] = {"BF16", RL_STORED_BF16, 1, 2},        [34] = {"TQ1_0", RL_STORED_OTHER, 256, 54},
    [35] = {"TQ2_0", RL_STORED_OTHER, 256, 66},   [39] = {"MXFP4", RL_STORED_OTHER, 32, 17},
};

enum { ENTRY_MIN = 8 + 4 + 4 + 8 }; // least bytes of one tensor's entry

static rl_status read_sizes(rl_gguf_cursor *c, rl_weight *w, rl_err *err) {
    uint32_t rank = rl_gguf_u32(c);
    if (c->ended || rank > 4) {
        return rl_gguf_damaged(c, err, "tensor '%s' has more than 4 dimensions", w->name);
    }
    w->rank = (int32_t)rank;
    for (uint32_t d = 0; d < rank; d++) {
        uint64_t size = rl_gguf_u64(c);
        if (c->ended || size < 1 || size > INT64_MAX) {
            return rl_gguf_damaged(c, err, "tensor '%s' has a dimension of %llu", w->name,
                                   (unsigned long long)size);
        }
        w->shape[rank - 1 - d] = (int64_t)size;
    }
    return RL_OK;
}

// Offsets stay relative (in *offset) until the start of the data is known.
static rl_status read_entry(rl_gguf_cursor *c, rl_arena *arena, rl_weight *w, uint64_t *offset,
                            rl_err *err) {
    const struct ggml_type *type;
    const char *name;
    size_t name_len;
    int64_t n = 1;
    uint32_t id;
    rl_status status;
    if (!rl_gguf_string(c, &name, &name_len) || !rl_gguf_is_name(name, name_len)) {
        return rl_gguf_damaged(c, err, "the name of a tensor is not readable");
    }
    w->name = rl_arena_strndup(arena, name, name_len);
    status = read_sizes(c, w, err);
    if (status != RL_OK) {
        return status;
    }
    id = rl_gguf_u32(c);
    *offset = rl_gguf_u64(c);
    if (c->ended) {
        return rl_gguf_damaged(c, err, "it ends within the list of tensors");
    }
    type = id < sizeof ggml_types / sizeof ggml_types[0] ? &ggml_types[id] : NULL;
    if (type == NULL || type->name == NULL) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "GGUF file '%.128s': tensor '%.128s' has unknown type %u", c->name, w->name,
                       id);
    }
    w->type = type->name;
    w->stored = type->stored;
    for (int32_t d = 0; d < w->rank; d++) {
        if (__builtin_mul_overflow(n, w->shape[d], &n)) {
            return rl_gguf_damaged(c, err, "tensor '%s' is larger than any file", w->name);
        }
    }
    if ((w->rank > 0 ? w->shape[w->rank - 1] : 1) % type->block != 0) {
        return rl_gguf_damaged(c, err, "a row of tensor '%s' is no multiple of %d values", w->name,
                               type->block);
    }
    if (__builtin_mul_overflow(n / type->block, type->block_bytes, &n)) {
        return rl_gguf_damaged(c, err, "tensor '%s' is larger than any file", w->name);
    }
    w->n_bytes = (size_t)n;
    return RL_OK;
}

static int by_place(const void *left, const void *right) {
    const rl_weight *a = *(rl_weight *const *)left, *b = *(rl_weight *const *)right;
    uintptr_t pa = (uintptr_t)a->bytes, pb = (uintptr_t)b->bytes;
    return pa < pb ? -1 : pa > pb;
}

static rl_status check_overlap(const rl_gguf *gguf, const rl_gguf_cursor *c, rl_err *err) {
    rl_weight **sorted = rl_alloc(gguf->n_weights, sizeof(rl_weight *));
    rl_status status = RL_OK;
    for (size_t i = 0; i < gguf->n_weights; i++) {
        sorted[i] = &gguf->weight[i];
    }
    qsort(sorted, gguf->n_weights, sizeof(rl_weight *), by_place);
    for (size_t i = 1; i < gguf->n_weights && status == RL_OK; i++) {
        const rl_weight *a = sorted[i - 1], *b = sorted[i];
        if ((const uint8_t *)a->bytes + a->n_bytes > (const uint8_t *)b->bytes) {
            status = rl_gguf_damaged(c, err, "tensors '%s' and '%s' overlap", a->name, b->name);
        }
    }
    rl_free(sorted);
    return status;
}

static rl_status place(const rl_gguf_cursor *c, rl_weight *w, uint64_t offset, size_t data_begin,
                       size_t alignment, rl_err *err) {
    size_t data_len = c->len - data_begin;
    if (offset % alignment != 0) {
        return rl_gguf_damaged(c, err, "tensor '%s' is not aligned to %zu bytes", w->name,
                               alignment);
    }
    if (offset > data_len || w->n_bytes > data_len - offset) {
        return rl_gguf_damaged(c, err,
                               "tensor '%s' should have %zu bytes, but the file ends before",
                               w->name, w->n_bytes);
    }
    w->bytes = c->bytes + data_begin + offset;
    return RL_OK;
}

static rl_status read_tensors(rl_gguf *gguf, rl_gguf_cursor *c, uint64_t n, rl_err *err) {
    uint64_t *offset;
    size_t alignment = gguf->meta.alignment, data_begin;
    rl_status status = RL_OK;
    if (n > (c->len - c->at) / ENTRY_MIN) {
        return rl_gguf_damaged(c, err, "it is too short for %llu tensors", (unsigned long long)n);
    }
    gguf->weight = rl_arena_alloc(gguf->arena, (size_t)n, sizeof *gguf->weight);
    gguf->by_name = rl_map_new((size_t)n);
    offset = rl_alloc((size_t)n, sizeof *offset);
    for (uint64_t i = 0; i < n && status == RL_OK; i++) {
        rl_weight *w = &gguf->weight[i];
        status = read_entry(c, gguf->arena, w, &offset[i], err);
        if (status == RL_OK && !rl_map_add(gguf->by_name, w->name, strlen(w->name), (int64_t)i)) {
            status = rl_gguf_damaged(c, err, "there are two tensors '%s'", w->name);
        }
    }
    gguf->n_weights = (size_t)n;
    data_begin = c->at + (alignment - c->at % alignment) % alignment;
    if (status == RL_OK && n > 0 && data_begin > c->len) {
        status = rl_gguf_damaged(c, err, "it ends before its data");
    }
    for (uint64_t i = 0; i < n && status == RL_OK; i++) {
        status = place(c, &gguf->weight[i], offset[i], data_begin, alignment, err);
    }
    rl_free(offset);
    return status == RL_OK ? check_overlap(gguf, c, err) : status;
}

static rl_status read_file(rl_gguf *gguf, rl_gguf_cursor *c, rl_err *err) {
    uint32_t version;
    uint64_t n_tensors, n_meta;
    rl_status status;
    if (c->len < 4 || memcmp(c->bytes, "GGUF", 4) != 0) {
        return rl_fail(err, RL_IO, "'%.200s' is not a GGUF file", c->name);
    }
    c->at = 4;
    version = rl_gguf_u32(c);
    if (!c->ended && version != 2 && version != 3) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "GGUF file '%.200s' has version %u; supported: 2 and 3, little-endian",
                       c->name, version);
    }
    n_tensors = rl_gguf_u64(c);
    n_meta = rl_gguf_u64(c);
    if (c->ended) {
        return rl_gguf_damaged(c, err, "it ends within its header");
    }
    status = rl_gguf_meta_read(&gguf->meta, c, n_meta, err);
    return status == RL_OK ? read_tensors(gguf, c, n_tensors, err) : status;
}

rl_status rl_gguf_parse(const void *bytes, size_t n_bytes, const char *name, rl_gguf **out,
                        rl_err *err) {
    rl_gguf_cursor c = {.bytes = bytes, .len = n_bytes, .name = name};
    rl_gguf *gguf = rl_alloc(1, sizeof *gguf);
    rl_status status;
    *out = NULL;
    gguf->arena = rl_arena_new(0);
    status = read_file(gguf, &c, err);
    if (status != RL_OK) {
        rl_gguf_close(gguf);
        return status;
    }
    *out = gguf;
    return RL_OK;
}

rl_status rl_gguf_open(const char *path, rl_gguf **out, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    *out = NULL;
    if (status != RL_OK) {
        return status;
    }
    status = rl_gguf_parse(file.ptr, file.len, path, out, err);
    if (status != RL_OK) {
        rl_fs_unmap(&file);
        return status;
    }
    RL_ASSERT(*out != NULL);
    (*out)->file = file;
    return RL_OK;
}

void rl_gguf_rest(const rl_gguf *file) {
    rl_fs_map_rest(&file->file);
}

void rl_gguf_close(rl_gguf *file) {
    if (file != NULL) {
        rl_gguf_meta_release(&file->meta);
        rl_fs_unmap(&file->file);
        rl_map_free(file->by_name);
        rl_arena_free(file->arena);
        rl_free(file);
    }
}

size_t rl_gguf_count(const rl_gguf *file) {
    return file->n_weights;
}

const rl_weight *rl_gguf_at(const rl_gguf *file, size_t i) {
    RL_ASSERT(i < file->n_weights);
    return &file->weight[i];
}

const rl_weight *rl_gguf_find(const rl_gguf *file, const char *name) {
    int64_t i;
    return rl_map_get(file->by_name, name, strlen(name), &i) ? &file->weight[i] : NULL;
}

bool rl_gguf_text(const rl_gguf *file, const char *key, const char **out, size_t *out_len) {
    return rl_gguf_meta_text(&file->meta, key, out, out_len);
}

bool rl_gguf_integer(const rl_gguf *file, const char *key, int64_t *out) {
    return rl_gguf_meta_integer(&file->meta, key, out);
}

bool rl_gguf_real(const rl_gguf *file, const char *key, double *out) {
    return rl_gguf_meta_real(&file->meta, key, out);
}

bool rl_gguf_bool(const rl_gguf *file, const char *key, bool *out) {
    return rl_gguf_meta_bool(&file->meta, key, out);
}

bool rl_gguf_list(const rl_gguf *file, const char *key, size_t *n_items) {
    return rl_gguf_meta_list(&file->meta, key, n_items);
}

bool rl_gguf_list_text(const rl_gguf *file, const char *key, size_t i, const char **out,
                       size_t *out_len) {
    return rl_gguf_meta_list_text(&file->meta, key, i, out, out_len);
}

bool rl_gguf_list_real(const rl_gguf *file, const char *key, size_t i, double *out) {
    return rl_gguf_meta_list_real(&file->meta, key, i, out);
}
