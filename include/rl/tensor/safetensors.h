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
#include "rl/tensor/stored.h"

typedef struct rl_safetensors rl_safetensors;
rl_status rl_safetensors_open(const char *path, rl_safetensors **out, rl_err *err) RL_MUST_USE;
/* The same for bytes in memory, which must outlive the file; name appears in errors. */
rl_status rl_safetensors_parse(const void *bytes, size_t n_bytes, const char *name,
                               rl_safetensors **out, rl_err *err) RL_MUST_USE;
void rl_safetensors_close(rl_safetensors *file); // accepts NULL
/* Its bytes may leave memory until they are read again. */
void rl_safetensors_rest(const rl_safetensors *file);
size_t rl_safetensors_count(const rl_safetensors *file);
const rl_weight *rl_safetensors_at(const rl_safetensors *file, size_t i); // in file order
const rl_weight *rl_safetensors_find(const rl_safetensors *file,
                                     const char *name); // NULL when absent

/*
 * Writes a complete file (aside, synced, renamed) with metadata {"format":"pt"}; data starts
 * 8-byte aligned and follows the order of weights. `type` is ignored. Where a weight's bytes are
 * NULL, fill is called for them in pieces, in order: it copies bytes [begin, begin + n_bytes) of
 * weight i to out (begin is a multiple of 8). fill may be NULL when every weight has bytes.
 */
typedef void (*rl_weight_fill)(void *self, size_t i, size_t begin, size_t n_bytes, void *out);
rl_status rl_safetensors_write(const char *path, const rl_weight *weights, size_t n_weights,
                               rl_weight_fill fill, void *self, rl_err *err) RL_MUST_USE;

#endif
