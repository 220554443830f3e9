/*
 * The operations, checked. Each entry verifies shapes and dtypes (a mismatch is our bug:
 * RL_ASSERT), then dispatches to the backend. Letters: N rows, C width, O and I a linear layer's
 * outputs and inputs, H heads, K kv heads, D head size, F mlp size, V vocabulary, R rows of a
 * block. F32 unless said; token, row, slot and position are I32. Matrices are row-major and may
 * have a row stride.
 *
 * Forward operations keep the one-forward promise: each output row depends on its own input row and
 * the weights only, with the same bits on every kernel set, thread count and batch split
 * (docs/architecture.md, section 0). Backward operations are deterministic for a given shape on one
 * CPU kind, whatever the number of threads. "adds" means the output is accumulated into, not
 * overwritten.
 */
#ifndef RL_TENSOR_OPS_H
#define RL_TENSOR_OPS_H

#include "rl/tensor/tensor.h"

/*
 * Elements of the packed form of a weight [O, I]; packed is of rank 1 with that many elements, F32
 * or BF16. Packing as BF16 rounds to nearest, ties to even; everything that reads it computes as if
 * it were F32 with these values.
 */
int64_t rl_packed_len(const rl_backend *be, int64_t n_out, int64_t n_in);
void rl_op_pack(rl_backend *be, rl_tensor packed, rl_tensor weight);
/* out[N, O] = in[N, I] . weight[O, I]^T, or out += when add (the product is formed first, then
 * added). */
void rl_op_linear(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor packed, bool add);
/*
 * d_in[N, I] = d_out[N, O] . weight, or d_in += when add, with the weight taken from its packed
 * form. d_out may have fewer columns than the weight has outputs: those of the first outputs.
 */
void rl_op_linear_back(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor packed, bool add);
/* out = op(a) . op(b) + beta * out, for gradients only (BLAS, outside the one-forward promise). */
void rl_op_matmul(rl_backend *be, rl_tensor out, rl_tensor a, rl_tensor b, bool a_t, bool b_t,
                  float beta);

void rl_op_embed(rl_backend *be, rl_tensor out, rl_tensor table, rl_tensor token);
void rl_op_round_bf16(rl_backend *be, rl_tensor x); // every element to the nearest BF16 value
void rl_op_embed_back(rl_backend *be, rl_tensor d_table, rl_tensor d_out, rl_tensor token); // adds

/*
 * Every G neighbours of the weight's width W in a row are normed on their own: out[N, G * W] = in /
 * sqrt(mean(in^2) + eps) * weight[W]; rstd[N * G] keeps the reciprocal roots (may be null). G is 1
 * for a whole row and the number of heads for a norm per head. out may be in.
 */
void rl_op_rms_norm(rl_backend *be, rl_tensor out, rl_tensor rstd, rl_tensor in, rl_tensor weight,
                    float eps);
/* Adds to d_in and to d_weight, which may be null; d_in is none of the others. */
void rl_op_rms_norm_back(rl_backend *be, rl_tensor d_in, rl_tensor d_weight, rl_tensor d_out,
                         rl_tensor in, rl_tensor weight, rl_tensor rstd);

/*
 * Rotates x[N, heads * D] in place, half-split pairs (d, d + D/2). table[max_pos, D] holds D/2
 * cosines, then D/2 sines a row. back turns the other way (the gradient).
 */
void rl_op_rope(rl_backend *be, rl_tensor x, rl_tensor table, rl_tensor position, bool back);

/* Elements of one cache (k or v) of n_slots slots (a multiple of RL_KV_BLOCK); layout is the
 * backend's. */
int64_t rl_kv_len(const rl_backend *be, int64_t n_slots, int64_t n_kv_heads, int64_t head_dim);
/* Stores k and v [N, K * D] of each row at its slot[N]. */
void rl_op_kv_write(rl_backend *be, rl_tensor k_cache, rl_tensor v_cache, rl_tensor k, rl_tensor v,
                    rl_tensor slot, int32_t n_kv_heads);
/* out[N, H * D] for q[N, H * D]; query head h reads kv head h / (H / K). */
void rl_op_attention(rl_backend *be, rl_tensor out, rl_tensor q, rl_tensor k_cache,
                     rl_tensor v_cache, const rl_attn_plan *plan);
/* Overwrites d_q; adds to d_k and d_v [N, K * D]. k and v are the rows that were written to the
 * cache. */
void rl_op_attention_back(rl_backend *be, rl_tensor d_q, rl_tensor d_k, rl_tensor d_v,
                          rl_tensor d_out, rl_tensor q, rl_tensor k, rl_tensor v,
                          const rl_attn_plan *plan);

/* out[N, F] = silu(gate) * up for gate_up[N, 2F] = gate | up. */
void rl_op_swiglu(rl_backend *be, rl_tensor out, rl_tensor gate_up);
void rl_op_swiglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up);
/* The same with gelu in its tanh form: g / 2 (1 + tanh(sqrt(2 / pi) (g + 0.044715 g^3))). */
void rl_op_geglu(rl_backend *be, rl_tensor out, rl_tensor gate_up);
void rl_op_geglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up);

/* out[N, O] += in, of the same shape or one row [O] for all. */
void rl_op_add(rl_backend *be, rl_tensor out, rl_tensor in);
void rl_op_scale(rl_backend *be, rl_tensor x, float by); // x *= by
/* out[O] += the sum of all rows of in[N, O]: the gradient of such a row. */
void rl_op_sum_rows(rl_backend *be, rl_tensor out, rl_tensor in);

void rl_op_gather(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row); // out[R] = in[row]
void rl_op_scatter_add(rl_backend *be, rl_tensor d_in, rl_tensor d_out,
                       rl_tensor row); // d_in[row] += d_out

/*
 * logp[R] = log softmax(logits / temperature)[token]; entropy[R] in nats of the same distribution
 * (may be null). temperature > 0.
 */
void rl_op_logprob(rl_backend *be, rl_tensor logp, rl_tensor entropy, rl_tensor logits,
                   rl_tensor token, float temperature);
/* d_logits may be logits itself. d_entropy may be null. Overwrites. */
void rl_op_logprob_back(rl_backend *be, rl_tensor d_logits, rl_tensor d_logp, rl_tensor d_entropy,
                        rl_tensor logits, rl_tensor token, float temperature);
/*
 * Draws a token a row by inverse distribution at uniform[R] in [0, 1) under logits /
 * temperature[r]; temperature 0 takes the largest logit, lowest id first among equals, and reports
 * logp and entropy at temperature 1. logp and entropy have the bits rl_op_logprob gives. uniform
 * and temperature are on the host.
 */
void rl_op_sample(rl_backend *be, rl_tensor token, rl_tensor logp, rl_tensor entropy,
                  rl_tensor logits, const double *uniform, const float *temperature);

void rl_op_copy(rl_backend *be, rl_tensor out, rl_tensor in);
void rl_op_fill(rl_backend *be, rl_tensor out, float value);
/* In double, over a fixed tree; NaN or infinity in the input shows in the result. Waits for the
 * queue. */
double rl_op_sum_squares(rl_backend *be, rl_tensor in);
void rl_op_adamw(rl_backend *be, rl_tensor param, rl_tensor m, rl_tensor v, rl_tensor grad,
                 const rl_adamw *hyper);
/*
 * For each matrix: momentum += (1 - mu) (grad - momentum); the Nesterov mean of grad and momentum
 * goes through Newton-Schulz, which draws its singular values towards 1; param = decay * param -
 * rate * that.
 */
void rl_op_muon(rl_backend *be, const rl_muon_item *item, int32_t n_items, const rl_muon *hyper);

/* Border crossings and waiting, for symmetry with the above. */
rl_status rl_buffer_alloc(rl_backend *be, size_t bytes, rl_buffer **out, rl_err *err) RL_MUST_USE;
void rl_buffer_free(rl_backend *be, rl_buffer *buffer); // accepts NULL
void rl_tensor_put(rl_backend *be, rl_tensor dst, const void *host);
void rl_tensor_get(rl_backend *be, rl_tensor src, void *host);
rl_status rl_backend_sync(rl_backend *be, rl_err *err) RL_MUST_USE;

#endif
