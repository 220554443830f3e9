/*
 * Weights as they lie in a file: one tensor of a container (safetensors.h, gguf.h) and its values
 * as float32. Everything here is a plain value; bytes are borrowed from the container.
 */
#ifndef RL_TENSOR_STORED_H
#define RL_TENSOR_STORED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* How numbers lie in a file. */
typedef enum rl_stored {
    RL_STORED_F32,
    RL_STORED_F16,
    RL_STORED_BF16,
    RL_STORED_F64,
    RL_STORED_Q8_0, // GGUF blocks, from here
    RL_STORED_Q4_0,
    RL_STORED_Q4_1,
    RL_STORED_Q6_K, // to here
    RL_STORED_I32,  // not weights: read by name only
    RL_STORED_I64,
    RL_STORED_U8,
    RL_STORED_OTHER, // listed, never read; rl_weight.type says what it is
} rl_stored;
const char *rl_stored_name(rl_stored stored);
bool rl_stored_is_weight(rl_stored stored); // has float32 values
/* Values and bytes of the smallest piece: 1 and the element's size, or those of a GGUF block. 0
 * and 0 for OTHER. */
int64_t rl_stored_block(rl_stored stored);
size_t rl_stored_block_bytes(rl_stored stored);

/* One tensor in a container, row-major shape (outermost first). */
typedef struct rl_weight {
    const char *name;
    const char *type; // the kind as the file names it: "BF16", "F8_E4M3", "Q5_K"
    rl_stored stored;
    int32_t rank;
    int64_t shape[4];
    const void *bytes; // any alignment
    size_t n_bytes;
} rl_weight;

int64_t rl_weight_count(const rl_weight *w); // elements; 1 for rank 0

/*
 * Elements of w as float32: exact, but for F64, which rounds to nearest. w must be of a weight
 * kind. out has rl_weight_count(w) places, or n for the range [begin, begin + n) of elements in
 * row-major order; begin and n are multiples of rl_stored_block.
 */
void rl_weight_to_f32(const rl_weight *w, float *out);
void rl_weight_range_to_f32(const rl_weight *w, int64_t begin, int64_t n, float *out);
/* n values as BF16 or F16, rounded to nearest with ties to even; NaN stays NaN, and what is too
 * large for F16 becomes infinity. out has 2 n bytes. */
void rl_f32_to_bf16(const float *in, int64_t n, void *out);
void rl_f32_to_f16(const float *in, int64_t n, void *out);
/* The same as Q8_0, bit for bit as ggml's reference quantises; n is a multiple of 32. */
void rl_f32_to_q8_0(const float *in, int64_t n, void *out);
/* n values as F32, F16, BF16 or Q8_0. */
void rl_f32_to_stored(rl_stored stored, const float *in, int64_t n, void *out);

#endif
