/*
 * The safetensors container: reading (single file) and writing. The header is outside data: every
 * offset, shape, dtype and overlap is checked before a tensor is shown. Reading maps the file;
 * tensors point into the mapping and live until the file is closed. Thread-safe once open.
 */
#ifndef RL_TENSOR_SAFETENSORS_H
#define RL_TENSOR_SAFETENSORS_H

#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"

/* How numbers lie in a file. */
typedef enum rl_stored {
    RL_STORED_F32,
    RL_STORED_F16,
    RL_STORED_BF16,
    RL_STORED_F64,
    RL_STORED_I32,
    RL_STORED_I64,
    RL_STORED_U8, // not weights: read by name only
    RL_STORED_Q8_0,
    RL_STORED_Q4_0,
    RL_STORED_Q4_1,
    RL_STORED_Q6_K // GGUF blocks
} rl_stored;
const char *rl_stored_name(rl_stored stored);

/* One tensor in a container, row-major shape (outermost first). */
typedef struct rl_weight {
    const char *name;
    rl_stored stored;
    int32_t rank;
    int64_t shape[4];
    const void *bytes;
    size_t n_bytes;
} rl_weight;

/* Elements of w as float32, exact for every stored kind of weight; out has rl_weight_count(w)
 * places. */
void rl_weight_to_f32(const rl_weight *w, float *out);
int64_t rl_weight_count(const rl_weight *w);

typedef struct rl_safetensors rl_safetensors;
rl_status rl_safetensors_open(const char *path, rl_safetensors **out, rl_err *err) RL_MUST_USE;
void rl_safetensors_close(rl_safetensors *file); // accepts NULL
size_t rl_safetensors_count(const rl_safetensors *file);
const rl_weight *rl_safetensors_at(const rl_safetensors *file, size_t i);
const rl_weight *rl_safetensors_find(const rl_safetensors *file,
                                     const char *name); // NULL when absent

/* Writes a complete file (aside, synced, renamed) with metadata {"format":"pt"}; offsets 8-byte
 * aligned. */
rl_status rl_safetensors_write(const char *path, const rl_weight *weights, size_t n_weights,
                               rl_err *err) RL_MUST_USE;

#endif
