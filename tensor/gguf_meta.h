/* Reading the first part of a GGUF file: a cursor that cannot leave the file, and the metadata.
 * Private to tensor/; the public face is rl/tensor/gguf.h. */
#ifndef RL_TENSOR_GGUF_META_H
#define RL_TENSOR_GGUF_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/map.h"
#include "rl/core/status.h"

/* Past the end, reads give 0 and set `ended`, which callers look at before they believe. */
typedef struct rl_gguf_cursor {
    const uint8_t *bytes;
    size_t len, at;
    bool ended;
    const char *name; // for errors
} rl_gguf_cursor;

uint32_t rl_gguf_u32(rl_gguf_cursor *c);
uint64_t rl_gguf_u64(rl_gguf_cursor *c);
/* False when the length leads past the end. The text is not terminated. */
bool rl_gguf_string(rl_gguf_cursor *c, const char **out, size_t *out_len);
/* Keys and tensor names go into sentences: 1 to 255 bytes without control characters. */
bool rl_gguf_is_name(const char *text, size_t text_len);
rl_status rl_gguf_damaged(const rl_gguf_cursor *c, rl_err *err, const char *fmt, ...)
    RL_PRINTF(3, 4);

typedef struct rl_gguf_value rl_gguf_value;
typedef struct rl_gguf_meta {
    rl_gguf_value *value;
    size_t n_values;
    rl_map *by_key;
    size_t alignment; // general.alignment
} rl_gguf_meta;

rl_status rl_gguf_meta_read(rl_gguf_meta *meta, rl_gguf_cursor *c, uint64_t n_values,
                            rl_err *err) RL_MUST_USE;
void rl_gguf_meta_release(rl_gguf_meta *meta);

bool rl_gguf_meta_text(const rl_gguf_meta *meta, const char *key, const char **out,
                       size_t *out_len);
bool rl_gguf_meta_integer(const rl_gguf_meta *meta, const char *key, int64_t *out);
bool rl_gguf_meta_real(const rl_gguf_meta *meta, const char *key, double *out);
bool rl_gguf_meta_bool(const rl_gguf_meta *meta, const char *key, bool *out);
bool rl_gguf_meta_list(const rl_gguf_meta *meta, const char *key, size_t *n_items);
bool rl_gguf_meta_list_text(const rl_gguf_meta *meta, const char *key, size_t i, const char **out,
                            size_t *out_len);
bool rl_gguf_meta_list_real(const rl_gguf_meta *meta, const char *key, size_t i, double *out);

#endif
