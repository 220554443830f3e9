#include "rl/tensor/tensor.h"

#include "rl/core/assert.h"

size_t rl_dtype_size(rl_dtype dtype) {
    switch (dtype) {
    case RL_DTYPE_F32:
        return 4;
    case RL_DTYPE_BF16:
        return 2;
    case RL_DTYPE_I32:
        return 4;
    }
    RL_ASSERT(!"a dtype");
    return 0;
}

const char *rl_dtype_name(rl_dtype dtype) {
    switch (dtype) {
    case RL_DTYPE_F32:
        return "f32";
    case RL_DTYPE_BF16:
        return "bf16";
    case RL_DTYPE_I32:
        return "i32";
    }
    RL_ASSERT(!"a dtype");
    return "";
}

int64_t rl_tensor_count(rl_tensor t) {
    int64_t n = t.rank > 0 ? 1 : 0;
    for (int32_t i = 0; i < t.rank; i++) {
        n *= t.shape[i];
    }
    return n;
}

size_t rl_tensor_bytes(rl_tensor t) {
    return (size_t)rl_tensor_count(t) * rl_dtype_size(t.dtype);
}

bool rl_tensor_is_null(rl_tensor t) {
    return t.buffer == NULL;
}

bool rl_tensor_dense(rl_tensor t) {
    int64_t want = 1;
    for (int32_t i = t.rank - 1; i >= 0; i--) {
        // The stride of a dimension of one element is never used.
        if (t.shape[i] > 1 && t.stride[i] != want) {
            return false;
        }
        want *= t.shape[i];
    }
    return true;
}

rl_tensor rl_tensor_1d(rl_dtype dtype, rl_buffer *buffer, size_t offset, int64_t n) {
    RL_ASSERT(n >= 0);
    return (rl_tensor){
        .dtype = dtype, .rank = 1, .shape = {n}, .stride = {1}, .buffer = buffer, .offset = offset};
}

rl_tensor rl_tensor_2d(rl_dtype dtype, rl_buffer *buffer, size_t offset, int64_t rows,
                       int64_t cols) {
    RL_ASSERT(rows >= 0 && cols >= 0);
    return (rl_tensor){.dtype = dtype,
                       .rank = 2,
                       .shape = {rows, cols},
                       .stride = {cols, 1},
                       .buffer = buffer,
                       .offset = offset};
}

rl_tensor rl_tensor_rows(rl_tensor t, int64_t begin, int64_t end) {
    RL_ASSERT(t.rank == 1 || t.rank == 2);
    RL_ASSERT(0 <= begin && begin <= end && end <= t.shape[0]);
    t.offset += (size_t)(begin * t.stride[0]) * rl_dtype_size(t.dtype);
    t.shape[0] = end - begin;
    return t;
}

rl_tensor rl_tensor_cols(rl_tensor t, int64_t begin, int64_t end) {
    RL_ASSERT(t.rank == 2);
    RL_ASSERT(0 <= begin && begin <= end && end <= t.shape[1]);
    t.offset += (size_t)begin * rl_dtype_size(t.dtype);
    t.shape[1] = end - begin;
    return t;
}

rl_tensor rl_tensor_reshape(rl_tensor t, int64_t rows, int64_t cols) {
    RL_ASSERT(rl_tensor_dense(t) && rl_tensor_count(t) == rows * cols);
    return rl_tensor_2d(t.dtype, t.buffer, t.offset, rows, cols);
}
