/* Builds small GGUF files in memory for tests. Zero value to start; finish, then release. */
#ifndef RL_TESTS_GGUF_BUILD_H
#define RL_TESTS_GGUF_BUILD_H

#include <stddef.h>
#include <stdint.h>

#include "rl/core/str.h"

typedef struct rl_gguf_build {
    rl_str meta, entries, data;
    uint64_t n_meta, n_tensors;
} rl_gguf_build;

/* ggml's numbers of the tensor types that we read. */
enum { RL_GGML_F32 = 0, RL_GGML_F16 = 1, RL_GGML_Q4_0 = 2, RL_GGML_Q4_1 = 3, RL_GGML_Q8_0 = 8 };
enum { RL_GGML_Q6_K = 14, RL_GGML_F64 = 28, RL_GGML_BF16 = 30 };

/* Little-endian pieces. */
void rl_gguf_put(rl_str *out, uint64_t value, int n_bytes);
void rl_gguf_put_string(rl_str *out, const char *text);

void rl_gguf_build_text(rl_gguf_build *b, const char *key, const char *text);
void rl_gguf_build_u32(rl_gguf_build *b, const char *key, uint32_t value);
void rl_gguf_build_f32(rl_gguf_build *b, const char *key, float value);
void rl_gguf_build_bool(rl_gguf_build *b, const char *key, bool value);
void rl_gguf_build_texts(rl_gguf_build *b, const char *key, const char *const *text, size_t n);
void rl_gguf_build_i32s(rl_gguf_build *b, const char *key, const int32_t *value, size_t n);
/* ne counts the fastest dimension first, as the file does. */
void rl_gguf_build_tensor(rl_gguf_build *b, const char *name, uint32_t type, const uint64_t *ne,
                          uint32_t rank, const void *bytes, size_t n_bytes);
/* The whole file, version 3, appended to out. */
void rl_gguf_build_finish(const rl_gguf_build *b, rl_str *out);
void rl_gguf_build_release(rl_gguf_build *b);

#endif
