#include "rl/tensor/ops.h"

#include "rl/core/assert.h"

static bool is_row_major(rl_tensor t) {
    return t.rank == 1 ? t.shape[0] <= 1 || t.stride[0] == 1
                       : t.rank == 2 && (t.shape[1] <= 1 || t.stride[1] == 1) &&
                             (t.shape[0] <= 1 || t.stride[0] >= t.shape[1]);
}

static bool is_matrix(rl_tensor t, int64_t rows, int64_t cols) {
    return !rl_tensor_is_null(t) && t.dtype == RL_DTYPE_F32 && t.rank == 2 && t.shape[0] == rows &&
           t.shape[1] == cols && is_row_major(t);
}

static bool is_vector(rl_tensor t, int64_t n) {
    return !rl_tensor_is_null(t) && t.dtype == RL_DTYPE_F32 && t.rank == 1 && t.shape[0] == n &&
           is_row_major(t);
}

static bool is_packed(rl_tensor t, int64_t n) {
    return !rl_tensor_is_null(t) && (t.dtype == RL_DTYPE_F32 || t.dtype == RL_DTYPE_BF16) &&
           t.rank == 1 && t.shape[0] == n && is_row_major(t);
}

static bool is_index(rl_tensor t, int64_t n) {
    return !rl_tensor_is_null(t) && t.dtype == RL_DTYPE_I32 && t.rank == 1 && t.shape[0] == n &&
           is_row_major(t);
}

static bool is_vector_or_null(rl_tensor t, int64_t n) {
    return rl_tensor_is_null(t) || is_vector(t, n);
}

static bool is_floats(rl_tensor t) {
    return !rl_tensor_is_null(t) && t.dtype == RL_DTYPE_F32 && is_row_major(t);
}

static bool same_shape(rl_tensor a, rl_tensor b) {
    return a.rank == b.rank && a.shape[0] == b.shape[0] &&
           (a.rank == 1 || a.shape[1] == b.shape[1]);
}

/* A row of `in` is one or more widths of the weight. */
static bool is_groups(rl_tensor in, rl_tensor weight) {
    return is_vector(weight, weight.shape[0]) && weight.shape[0] >= 1 && in.shape[1] >= 1 &&
           in.shape[1] % weight.shape[0] == 0;
}

/* Any two parameters of one optimizer step: the same number of elements, without gaps. */
static bool is_flat(rl_tensor t, int64_t n) {
    return is_floats(t) && rl_tensor_dense(t) && rl_tensor_count(t) == n;
}

int64_t rl_packed_len(const rl_backend *be, int64_t n_out, int64_t n_in) {
    RL_ASSERT(n_out >= 1 && n_in >= 1);
    return be->compute->packed_len(be, n_out, n_in);
}

void rl_op_pack(rl_backend *be, rl_tensor packed, rl_tensor weight) {
    RL_ASSERT(weight.rank == 2 && is_matrix(weight, weight.shape[0], weight.shape[1]));
    RL_ASSERT(is_packed(packed, rl_packed_len(be, weight.shape[0], weight.shape[1])));
    be->compute->pack(be, packed, weight);
}

void rl_op_linear(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor packed, bool add) {
    RL_ASSERT(is_matrix(in, in.shape[0], in.shape[1]));
    RL_ASSERT(is_matrix(out, in.shape[0], out.shape[1]));
    RL_ASSERT(is_packed(packed, rl_packed_len(be, out.shape[1], in.shape[1])));
    be->compute->linear(be, out, in, packed, add);
}

void rl_op_linear_back(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor packed,
                       bool add) {
    RL_ASSERT(is_matrix(d_out, d_out.shape[0], d_out.shape[1]));
    RL_ASSERT(is_matrix(d_in, d_out.shape[0], d_in.shape[1]));
    RL_ASSERT(is_packed(packed, packed.shape[0]));
    RL_ASSERT(packed.shape[0] >= rl_packed_len(be, d_out.shape[1], d_in.shape[1]));
    be->compute->linear_back(be, d_in, d_out, packed, add);
}

void rl_op_matmul(rl_backend *be, rl_tensor out, rl_tensor a, rl_tensor b, bool a_t, bool b_t,
                  float beta) {
    RL_ASSERT(is_matrix(a, a.shape[0], a.shape[1]) && is_matrix(b, b.shape[0], b.shape[1]));
    RL_ASSERT(a.shape[a_t ? 0 : 1] == b.shape[b_t ? 1 : 0]);
    RL_ASSERT(is_matrix(out, a.shape[a_t ? 1 : 0], b.shape[b_t ? 0 : 1]));
    be->compute->matmul(be, out, a, b, a_t, b_t, beta);
}

void rl_op_embed(rl_backend *be, rl_tensor out, rl_tensor table, rl_tensor token) {
    RL_ASSERT(is_matrix(table, table.shape[0], table.shape[1]));
    RL_ASSERT(is_matrix(out, out.shape[0], table.shape[1]) && is_index(token, out.shape[0]));
    be->compute->embed(be, out, table, token);
}

void rl_op_round_bf16(rl_backend *be, rl_tensor x) {
    RL_ASSERT(is_floats(x) && x.rank == 2);
    be->compute->round_bf16(be, x);
}

void rl_op_embed_back(rl_backend *be, rl_tensor d_table, rl_tensor d_out, rl_tensor token) {
    RL_ASSERT(is_matrix(d_table, d_table.shape[0], d_table.shape[1]));
    RL_ASSERT(is_matrix(d_out, d_out.shape[0], d_table.shape[1]));
    RL_ASSERT(is_index(token, d_out.shape[0]));
    be->compute->embed_back(be, d_table, d_out, token);
}

void rl_op_rms_norm(rl_backend *be, rl_tensor out, rl_tensor rstd, rl_tensor in, rl_tensor weight,
                    float eps) {
    RL_ASSERT(is_matrix(in, in.shape[0], in.shape[1]) && is_matrix(out, in.shape[0], in.shape[1]));
    RL_ASSERT(is_groups(in, weight) && eps >= 0);
    RL_ASSERT(is_vector_or_null(rstd, in.shape[0] * (in.shape[1] / weight.shape[0])));
    be->compute->rms_norm(be, out, rstd, in, weight, eps);
}

void rl_op_rms_norm_back(rl_backend *be, rl_tensor d_in, rl_tensor d_weight, rl_tensor d_out,
                         rl_tensor in, rl_tensor weight, rl_tensor rstd) {
    RL_ASSERT(is_matrix(in, in.shape[0], in.shape[1]) && is_groups(in, weight));
    RL_ASSERT(is_matrix(d_in, in.shape[0], in.shape[1]));
    RL_ASSERT(is_matrix(d_out, in.shape[0], in.shape[1]));
    RL_ASSERT(is_vector_or_null(d_weight, weight.shape[0]));
    RL_ASSERT(is_vector(rstd, in.shape[0] * (in.shape[1] / weight.shape[0])));
    be->compute->rms_norm_back(be, d_in, d_weight, d_out, in, weight, rstd);
}

void rl_op_rope(rl_backend *be, rl_tensor x, rl_tensor table, rl_tensor position, bool back) {
    RL_ASSERT(is_matrix(table, table.shape[0], table.shape[1]) && rl_tensor_dense(table));
    RL_ASSERT(table.shape[1] >= 2 && table.shape[1] % 2 == 0);
    RL_ASSERT(is_matrix(x, x.shape[0], x.shape[1]) && x.shape[1] % table.shape[1] == 0);
    RL_ASSERT(is_index(position, x.shape[0]));
    be->compute->rope(be, x, table, position, back);
}

int64_t rl_kv_len(const rl_backend *be, int64_t n_slots, int64_t n_kv_heads, int64_t head_dim) {
    RL_ASSERT(n_slots >= 0 && n_slots % RL_KV_BLOCK == 0 && n_kv_heads >= 1 && head_dim >= 1);
    return be->compute->kv_len(be, n_slots, n_kv_heads, head_dim);
}

void rl_op_kv_write(rl_backend *be, rl_tensor k_cache, rl_tensor v_cache, rl_tensor k, rl_tensor v,
                    rl_tensor slot, int32_t n_kv_heads) {
    RL_ASSERT(is_matrix(k, k.shape[0], k.shape[1]) && is_matrix(v, k.shape[0], k.shape[1]));
    RL_ASSERT(n_kv_heads >= 1 && k.shape[1] % n_kv_heads == 0 && is_index(slot, k.shape[0]));
    RL_ASSERT(is_vector(k_cache, k_cache.shape[0]) && is_vector(v_cache, k_cache.shape[0]));
    be->compute->kv_write(be, k_cache, v_cache, k, v, slot, n_kv_heads);
}

/* Every row of n_rows must belong to at most one item; that is the caller's promise, not checked.
 */
static void check_plan(const rl_attn_plan *plan, int64_t n_rows) {
    RL_ASSERT(plan->n_kv_heads >= 1 && plan->n_heads % plan->n_kv_heads == 0);
    RL_ASSERT(plan->head_dim >= 1 && plan->n_items >= 0 && plan->scale > 0 && plan->window >= 0);
    for (int32_t i = 0; i < plan->n_items; i++) {
        const rl_attn_item *item = &plan->item[i];
        int64_t n_keys = 0;
        RL_ASSERT(item->row >= 0 && item->n_rows >= 0 && item->pos >= 0);
        RL_ASSERT((int64_t)item->row + item->n_rows <= n_rows);
        RL_ASSERT(0 <= item->span_begin && item->span_end <= plan->n_spans);
        for (int32_t s = item->span_begin; s < item->span_end; s++) {
            RL_ASSERT(plan->span[s].n >= 0);
            n_keys += plan->span[s].n;
        }
        RL_ASSERT(n_keys >= (int64_t)item->pos + item->n_rows);
        RL_ASSERT(plan->max_keys >= item->pos + item->n_rows);
    }
}

void rl_op_attention(rl_backend *be, rl_tensor out, rl_tensor q, rl_tensor k_cache,
                     rl_tensor v_cache, const rl_attn_plan *plan) {
    check_plan(plan, q.shape[0]);
    RL_ASSERT(is_matrix(q, q.shape[0], (int64_t)plan->n_heads * plan->head_dim));
    RL_ASSERT(is_matrix(out, q.shape[0], q.shape[1]));
    RL_ASSERT(is_vector(k_cache, k_cache.shape[0]) && is_vector(v_cache, k_cache.shape[0]));
    for (int32_t s = 0; s < plan->n_spans; s++) {
        int64_t end = ((int64_t)plan->span[s].slot + plan->span[s].n + RL_KV_BLOCK - 1) /
                      RL_KV_BLOCK * RL_KV_BLOCK;
        RL_ASSERT(plan->span[s].slot >= 0 && plan->span[s].slot % RL_KV_BLOCK == 0);
        RL_ASSERT(rl_kv_len(be, end, plan->n_kv_heads, plan->head_dim) <= k_cache.shape[0]);
    }
    be->compute->attention(be, out, q, k_cache, v_cache, plan);
}

void rl_op_attention_back(rl_backend *be, rl_tensor d_q, rl_tensor d_k, rl_tensor d_v,
                          rl_tensor d_out, rl_tensor q, rl_tensor k, rl_tensor v,
                          const rl_attn_plan *plan) {
    int64_t kv_width = (int64_t)plan->n_kv_heads * plan->head_dim;
    check_plan(plan, q.shape[0]);
    RL_ASSERT(is_matrix(q, q.shape[0], (int64_t)plan->n_heads * plan->head_dim));
    RL_ASSERT(is_matrix(d_q, q.shape[0], q.shape[1]) && is_matrix(d_out, q.shape[0], q.shape[1]));
    RL_ASSERT(is_matrix(k, k.shape[0], kv_width) && is_matrix(v, k.shape[0], kv_width));
    RL_ASSERT(is_matrix(d_k, k.shape[0], kv_width) && is_matrix(d_v, k.shape[0], kv_width));
    for (int32_t s = 0; s < plan->n_spans; s++) {
        RL_ASSERT(plan->span[s].row >= 0);
        RL_ASSERT((int64_t)plan->span[s].row + plan->span[s].n <= k.shape[0]);
    }
    RL_ASSERT(plan->n_trees >= 0 && (plan->n_trees == 0 || plan->tree_item[0] == 0));
    for (int32_t t = 0; t < plan->n_trees; t++) {
        RL_ASSERT(plan->tree_item[t] <= plan->tree_item[t + 1]);
    }
    RL_ASSERT(plan->n_trees == 0 || plan->tree_item[plan->n_trees] == plan->n_items);
    be->compute->attention_back(be, d_q, d_k, d_v, d_out, q, k, v, plan);
}

void rl_op_swiglu(rl_backend *be, rl_tensor out, rl_tensor gate_up) {
    RL_ASSERT(is_matrix(out, out.shape[0], out.shape[1]));
    RL_ASSERT(is_matrix(gate_up, out.shape[0], 2 * out.shape[1]));
    be->compute->swiglu(be, out, gate_up);
}

void rl_op_swiglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up) {
    RL_ASSERT(is_matrix(d_out, d_out.shape[0], d_out.shape[1]));
    RL_ASSERT(is_matrix(gate_up, d_out.shape[0], 2 * d_out.shape[1]));
    RL_ASSERT(is_matrix(d_gate_up, d_out.shape[0], 2 * d_out.shape[1]));
    be->compute->swiglu_back(be, d_gate_up, d_out, gate_up);
}

void rl_op_geglu(rl_backend *be, rl_tensor out, rl_tensor gate_up) {
    RL_ASSERT(is_matrix(out, out.shape[0], out.shape[1]));
    RL_ASSERT(is_matrix(gate_up, out.shape[0], 2 * out.shape[1]));
    be->compute->geglu(be, out, gate_up);
}

void rl_op_geglu_back(rl_backend *be, rl_tensor d_gate_up, rl_tensor d_out, rl_tensor gate_up) {
    RL_ASSERT(is_matrix(d_out, d_out.shape[0], d_out.shape[1]));
    RL_ASSERT(is_matrix(gate_up, d_out.shape[0], 2 * d_out.shape[1]));
    RL_ASSERT(is_matrix(d_gate_up, d_out.shape[0], 2 * d_out.shape[1]));
    be->compute->geglu_back(be, d_gate_up, d_out, gate_up);
}

void rl_op_scale(rl_backend *be, rl_tensor x, float by) {
    RL_ASSERT(is_floats(x));
    be->compute->scale(be, x, by);
}

void rl_op_add(rl_backend *be, rl_tensor out, rl_tensor in) {
    RL_ASSERT(is_floats(out) && is_floats(in));
    RL_ASSERT(same_shape(out, in) || (out.rank == 2 && is_vector(in, out.shape[1])));
    be->compute->add(be, out, in);
}

void rl_op_sum_rows(rl_backend *be, rl_tensor out, rl_tensor in) {
    RL_ASSERT(is_matrix(in, in.shape[0], in.shape[1]) && is_vector(out, in.shape[1]));
    be->compute->sum_rows(be, out, in);
}

void rl_op_gather(rl_backend *be, rl_tensor out, rl_tensor in, rl_tensor row) {
    RL_ASSERT(is_matrix(in, in.shape[0], in.shape[1]));
    RL_ASSERT(is_matrix(out, out.shape[0], in.shape[1]) && is_index(row, out.shape[0]));
    be->compute->gather(be, out, in, row);
}

void rl_op_scatter_add(rl_backend *be, rl_tensor d_in, rl_tensor d_out, rl_tensor row) {
    RL_ASSERT(is_matrix(d_in, d_in.shape[0], d_in.shape[1]));
    RL_ASSERT(is_matrix(d_out, d_out.shape[0], d_in.shape[1]) && is_index(row, d_out.shape[0]));
    be->compute->scatter_add(be, d_in, d_out, row);
}

void rl_op_logprob(rl_backend *be, rl_tensor logp, rl_tensor entropy, rl_tensor logits,
                   rl_tensor token, float temperature) {
    RL_ASSERT(is_matrix(logits, logits.shape[0], logits.shape[1]) && logits.shape[1] >= 1);
    RL_ASSERT(is_vector(logp, logits.shape[0]) && is_vector_or_null(entropy, logits.shape[0]));
    RL_ASSERT(is_index(token, logits.shape[0]) && temperature > 0);
    be->compute->logprob(be, logp, entropy, logits, token, temperature);
}

void rl_op_logprob_back(rl_backend *be, rl_tensor d_logits, rl_tensor d_logp, rl_tensor d_entropy,
                        rl_tensor logits, rl_tensor token, float temperature) {
    RL_ASSERT(is_matrix(logits, logits.shape[0], logits.shape[1]) && logits.shape[1] >= 1);
    RL_ASSERT(is_matrix(d_logits, logits.shape[0], logits.shape[1]));
    RL_ASSERT(is_vector(d_logp, logits.shape[0]) && is_vector_or_null(d_entropy, logits.shape[0]));
    RL_ASSERT(is_index(token, logits.shape[0]) && temperature > 0);
    be->compute->logprob_back(be, d_logits, d_logp, d_entropy, logits, token, temperature);
}

void rl_op_sample(rl_backend *be, rl_tensor token, rl_tensor logp, rl_tensor entropy,
                  rl_tensor logits, const double *uniform, const float *temperature) {
    RL_ASSERT(is_matrix(logits, logits.shape[0], logits.shape[1]) && logits.shape[1] >= 1);
    RL_ASSERT(is_vector(logp, logits.shape[0]) && is_vector_or_null(entropy, logits.shape[0]));
    RL_ASSERT(is_index(token, logits.shape[0]));
    for (int64_t r = 0; r < logits.shape[0]; r++) {
        RL_ASSERT(uniform[r] >= 0 && uniform[r] < 1 && temperature[r] >= 0);
    }
    be->compute->sample(be, token, logp, entropy, logits, uniform, temperature);
}

void rl_op_copy(rl_backend *be, rl_tensor out, rl_tensor in) {
    RL_ASSERT(is_floats(out) && is_floats(in) && same_shape(out, in));
    be->compute->copy(be, out, in);
}

void rl_op_fill(rl_backend *be, rl_tensor out, float value) {
    RL_ASSERT(is_floats(out));
    be->compute->fill(be, out, value);
}

double rl_op_sum_squares(rl_backend *be, rl_tensor in) {
    RL_ASSERT(is_floats(in));
    return be->compute->sum_squares(be, in);
}

void rl_op_adamw(rl_backend *be, rl_tensor param, rl_tensor m, rl_tensor v, rl_tensor grad,
                 const rl_adamw *hyper) {
    int64_t n = rl_tensor_count(param);
    RL_ASSERT(is_flat(param, n) && is_flat(m, n) && is_flat(v, n) && is_flat(grad, n));
    RL_ASSERT(hyper->step >= 1);
    be->compute->adamw(be, param, m, v, grad, hyper);
}

void rl_op_muon(rl_backend *be, const rl_muon_item *item, int32_t n_items, const rl_muon *hyper) {
    for (int32_t i = 0; i < n_items; i++) {
        rl_tensor p = item[i].param;
        RL_ASSERT(p.rank == 2 && is_flat(p, rl_tensor_count(p)));
        RL_ASSERT(same_shape(p, item[i].momentum) && same_shape(p, item[i].grad));
        RL_ASSERT(is_flat(item[i].momentum, rl_tensor_count(p)));
        RL_ASSERT(is_flat(item[i].grad, rl_tensor_count(p)));
    }
    be->compute->muon(be, item, n_items, hyper);
}

rl_status rl_buffer_alloc(rl_backend *be, size_t bytes, rl_buffer **out, rl_err *err) {
    return be->memory->alloc(be, bytes, out, err);
}

void rl_buffer_free(rl_backend *be, rl_buffer *buffer) {
    if (buffer != NULL) {
        (be->memory->free)(be, buffer); // in parentheses: free(...) is a banned macro
    }
}

void rl_tensor_put(rl_backend *be, rl_tensor dst, const void *host) {
    RL_ASSERT(!rl_tensor_is_null(dst) && is_row_major(dst));
    be->memory->put(be, dst, host);
}

void rl_tensor_get(rl_backend *be, rl_tensor src, void *host) {
    RL_ASSERT(!rl_tensor_is_null(src) && is_row_major(src));
    be->memory->get(be, src, host);
}

rl_status rl_backend_sync(rl_backend *be, rl_err *err) {
    return be->memory->sync(be, err);
}
