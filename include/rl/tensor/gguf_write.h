/*
 * Writing GGUF version 3: metadata are put one by one, then the whole file is written. Numbers are
 * little-endian, tensors begin at multiples of 32 bytes.
 */
#ifndef RL_TENSOR_GGUF_WRITE_H
#define RL_TENSOR_GGUF_WRITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"
#include "rl/core/str.h"
#include "rl/tensor/stored.h"

/* The zero value is empty. */
typedef struct rl_gguf_meta_out {
    rl_str bytes;
    uint64_t n_keys;
    size_t list; // where the length of the list being put stands
} rl_gguf_meta_out;
void rl_gguf_meta_out_release(rl_gguf_meta_out *meta);

void rl_gguf_put_text(rl_gguf_meta_out *meta, const char *key, const char *text, size_t text_len);
void rl_gguf_put_u32(rl_gguf_meta_out *meta, const char *key, uint32_t value);
void rl_gguf_put_f32(rl_gguf_meta_out *meta, const char *key, float value);
void rl_gguf_put_bool(rl_gguf_meta_out *meta, const char *key, bool value);
/* A list: open it, add its items, all of its kind. */
typedef enum rl_gguf_list_kind {
    RL_GGUF_LIST_I32,
    RL_GGUF_LIST_F32,
    RL_GGUF_LIST_TEXT
} rl_gguf_list_kind;
void rl_gguf_open_list(rl_gguf_meta_out *meta, const char *key, rl_gguf_list_kind kind);
void rl_gguf_add_i32(rl_gguf_meta_out *meta, int32_t value);
void rl_gguf_add_f32(rl_gguf_meta_out *meta, float value);
void rl_gguf_add_text(rl_gguf_meta_out *meta, const char *text, size_t text_len);

/*
 * Tensors have F32, F16, BF16 or Q8_0; of a rl_weight only name, stored, rank and shape (row-major)
 * are read, and a row of Q8_0 is a multiple of 32. fill is asked for rows [begin, end) of tensor i
 * as float32, in order; a tensor of one dimension is one row.
 */
typedef void (*rl_gguf_fill)(void *self, size_t i, int64_t begin, int64_t end, float *out);

/* Appends the file without its data: what a reader of metadata needs. */
void rl_gguf_print_head(const rl_gguf_meta_out *meta, const rl_weight *tensor, size_t n_tensors,
                        rl_str *out);
/* The whole file: aside, synced, renamed. */
rl_status rl_gguf_write(const rl_gguf_meta_out *meta, const rl_weight *tensor, size_t n_tensors,
                        rl_gguf_fill fill, void *self, const char *path, rl_err *err) RL_MUST_USE;

#endif
