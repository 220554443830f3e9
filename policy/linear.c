#include "policy/linear.h"

#include "policy/lora.h"
#include "rl/tensor/ops.h"

rl_tensor rl_carve(rl_carver *carver, rl_dtype dtype, int64_t rows, int64_t cols) {
    rl_tensor t = rl_tensor_2d(dtype, carver->buffer, carver->used, rows, cols);
    carver->used += (rl_tensor_bytes(t) + 63) / 64 * 64;
    return t;
}

rl_tensor rl_carve_1d(rl_carver *carver, rl_dtype dtype, int64_t n) {
    rl_tensor t = rl_tensor_1d(dtype, carver->buffer, carver->used, n);
    carver->used += (rl_tensor_bytes(t) + 63) / 64 * 64;
    return t;
}

void rl_linear_carve(rl_linear *linear, const rl_backend *be, rl_dtype held, rl_carver *carver) {
    linear->packed = rl_carve_1d(
        carver, held, rl_packed_len(be, linear->weight.shape[0], linear->weight.shape[1]));
}

void rl_linear_pack(const rl_linear *linear, rl_backend *be) {
    rl_op_pack(be, linear->packed, linear->weight);
}

void rl_linear_forward(const rl_linear *linear, rl_backend *be, rl_tensor out, rl_tensor in,
                       bool add) {
    rl_op_linear(be, out, in, linear->packed, add);
    if (!rl_tensor_is_null(linear->bias)) {
        rl_op_add(be, out, linear->bias);
    }
    if (linear->lora != NULL) {
        rl_lora_forward(linear->lora, be, out, in);
    }
}

void rl_linear_backward(const rl_linear *linear, rl_backend *be, rl_tensor d_in, rl_tensor d_out,
                        rl_tensor in, bool add) {
    if (!rl_tensor_is_null(linear->d_weight)) {
        rl_op_matmul(be, linear->d_weight, d_out, in, true, false, 1);
    }
    if (!rl_tensor_is_null(linear->d_bias)) {
        rl_op_sum_rows(be, linear->d_bias, d_out);
    }
    if (linear->packed.dtype == RL_DTYPE_F32) {
        rl_op_matmul(be, d_in, d_out, linear->weight, false, false, add ? 1 : 0);
    } else { // the weight that the forward read, not its master
        rl_op_linear_back(be, d_in, d_out, linear->packed, add);
    }
    if (linear->lora != NULL) {
        rl_lora_backward(linear->lora, be, d_in, d_out, in);
    }
}

bool rl_norm_is(const rl_norm *norm) {
    return !rl_tensor_is_null(norm->weight);
}

void rl_norm_carve(rl_norm *norm, rl_carver *carver) {
    if (rl_norm_is(norm)) {
        norm->used = norm->offset == 0 ? norm->weight
                                       : rl_carve_1d(carver, RL_DTYPE_F32, norm->weight.shape[0]);
    }
}

void rl_norm_pack(const rl_norm *norm, rl_backend *be) {
    if (rl_norm_is(norm) && norm->offset != 0) {
        rl_op_fill(be, norm->used, norm->offset);
        rl_op_add(be, norm->used, norm->weight);
    }
}
