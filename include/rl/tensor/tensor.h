/* Shapes and views; no arithmetic. A tensor is a value and owns nothing; its buffer belongs to a
 * backend. */
#ifndef RL_TENSOR_TENSOR_H
#define RL_TENSOR_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/tensor/backend.h"

size_t rl_dtype_size(rl_dtype dtype);
const char *rl_dtype_name(rl_dtype dtype);
int64_t rl_tensor_count(rl_tensor t); // elements
size_t rl_tensor_bytes(rl_tensor t);  // of a dense tensor of this shape
bool rl_tensor_is_null(rl_tensor t);  // the zero value: "no such tensor", where an op allows it
bool rl_tensor_dense(rl_tensor t);    // rows follow each other without gaps

/* Dense tensors at an offset of a buffer. */
rl_tensor rl_tensor_1d(rl_dtype dtype, rl_buffer *buffer, size_t offset, int64_t n);
rl_tensor rl_tensor_2d(rl_dtype dtype, rl_buffer *buffer, size_t offset, int64_t rows,
                       int64_t cols);

/* Rows [begin, end) of a tensor of rank 1 or 2. */
rl_tensor rl_tensor_rows(rl_tensor t, int64_t begin, int64_t end);
/* Columns [begin, end) of a tensor of rank 2; keeps the row stride. */
rl_tensor rl_tensor_cols(rl_tensor t, int64_t begin, int64_t end);
/* The same dense data in another shape of rank 2. */
rl_tensor rl_tensor_reshape(rl_tensor t, int64_t rows, int64_t cols);

#endif
