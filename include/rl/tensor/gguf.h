/*
 * The GGUF container (versions 2 and 3, little-endian), reading only: metadata and tensors F32,
 * F16, BF16, Q8_0, Q4_0, Q4_1, Q6_K; tensors of other types are listed but cannot be read. Every
 * count, length, offset and type is checked against the file's size. Reading maps the file; texts
 * and tensors point into the mapping and live until the file is closed. Thread-safe once open.
 */
#ifndef RL_TENSOR_GGUF_H
#define RL_TENSOR_GGUF_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"
#include "rl/tensor/stored.h"

typedef struct rl_gguf rl_gguf;
rl_status rl_gguf_open(const char *path, rl_gguf **out, rl_err *err) RL_MUST_USE;
/* The same for bytes in memory, which must outlive the file; name appears in errors. */
rl_status rl_gguf_parse(const void *bytes, size_t n_bytes, const char *name, rl_gguf **out,
                        rl_err *err) RL_MUST_USE;
void rl_gguf_close(rl_gguf *file); // accepts NULL
/* Its bytes may leave memory until they are read again. */
void rl_gguf_rest(const rl_gguf *file);

size_t rl_gguf_count(const rl_gguf *file);
const rl_weight *rl_gguf_at(const rl_gguf *file, size_t i); // shapes are turned row-major
const rl_weight *rl_gguf_find(const rl_gguf *file, const char *name);

/* Metadata; false when the key is absent or of another kind. Texts point into the mapping, not
 * terminated. */
bool rl_gguf_text(const rl_gguf *file, const char *key, const char **out, size_t *out_len);
bool rl_gguf_integer(const rl_gguf *file, const char *key, int64_t *out);
bool rl_gguf_real(const rl_gguf *file, const char *key, double *out);
bool rl_gguf_bool(const rl_gguf *file, const char *key, bool *out);
bool rl_gguf_list(const rl_gguf *file, const char *key, size_t *n_items);
bool rl_gguf_list_text(const rl_gguf *file, const char *key, size_t i, const char **out,
                       size_t *out_len);
bool rl_gguf_list_real(const rl_gguf *file, const char *key, size_t i, double *out); // integers too

#endif
