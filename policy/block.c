/*
 * One Llama block, forward and backward, over tensor operations only:
 *
 *   mid = in + o . attention(rope(qkv . norm(in)))
 *   out = mid + down . swiglu(gate_up . norm(mid))
 *
 * The backward keeps nothing that one cheap pass can make again: normed rows and the output of
 * swiglu are recomputed.
 */
#include "policy/model.h"

#include <math.h>

#include "rl/tensor/ops.h"

int64_t rl_qkv_width(const rl_model_config *config) {
    return (int64_t)(config->n_heads + 2 * config->n_kv_heads) * config->head_dim;
}

rl_tensor rl_qkv_q(const rl_model_config *config, rl_tensor qkv) {
    return rl_tensor_cols(qkv, 0, (int64_t)config->n_heads * config->head_dim);
}

rl_tensor rl_qkv_k(const rl_model_config *config, rl_tensor qkv) {
    int64_t begin = (int64_t)config->n_heads * config->head_dim;
    return rl_tensor_cols(qkv, begin, begin + (int64_t)config->n_kv_heads * config->head_dim);
}

rl_tensor rl_qkv_v(const rl_model_config *config, rl_tensor qkv) {
    int64_t end = rl_qkv_width(config);
    return rl_tensor_cols(qkv, end - (int64_t)config->n_kv_heads * config->head_dim, end);
}

rl_tensor rl_qkv_qk(const rl_model_config *config, rl_tensor qkv) {
    return rl_tensor_cols(qkv, 0,
                          (int64_t)(config->n_heads + config->n_kv_heads) * config->head_dim);
}

static bool same(rl_tensor a, rl_tensor b) {
    return a.buffer == b.buffer && a.offset == b.offset;
}

static rl_tensor first_rows(rl_tensor t, int64_t n) {
    return t.shape[0] == n ? t : rl_tensor_rows(t, 0, n);
}

void rl_block_forward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                      const rl_block_act *act, const rl_block_tmp *tmp, rl_tensor k_cache,
                      rl_tensor v_cache) {
    const rl_model_config *config = &policy->config;
    const rl_block *block = &policy->block[layer];
    rl_backend *be = policy->be;
    float eps = (float)config->norm_eps;
    int64_t n = act->in.shape[0];
    rl_tensor normed = first_rows(tmp->normed, n), hidden = first_rows(tmp->hidden, n);

    rl_op_rms_norm(be, normed, act->in_rstd, act->in, block->attn_norm, eps);
    rl_op_linear(be, act->qkv, normed, block->p_qkv, false);
    rl_op_rope(be, rl_qkv_qk(config, act->qkv), policy->rope_table, rows->position, false);
    rl_op_kv_write(be, k_cache, v_cache, rl_qkv_k(config, act->qkv), rl_qkv_v(config, act->qkv),
                   rows->slot, config->n_kv_heads);
    rl_op_attention(be, act->mixed, rl_qkv_q(config, act->qkv), k_cache, v_cache, rows->plan);
    if (!same(act->mid, act->in)) {
        rl_op_copy(be, act->mid, act->in);
    }
    rl_op_linear(be, act->mid, act->mixed, block->p_o, true);

    rl_op_rms_norm(be, normed, act->mid_rstd, act->mid, block->mlp_norm, eps);
    rl_op_linear(be, act->gate_up, normed, block->p_gate_up, false);
    rl_op_swiglu(be, hidden, act->gate_up);
    if (!same(act->out, act->mid)) {
        rl_op_copy(be, act->out, act->mid);
    }
    rl_op_linear(be, act->out, hidden, block->p_down, true);
}

/* out = mid + down . swiglu(gate_up . norm(mid)), one chunk of rows: d_x turns from the gradient of
 * out into that of mid. */
static void mlp_backward(const rl_policy *policy, const rl_block *block, const rl_block_act *act,
                         const rl_block_back_tmp *tmp, rl_tensor d_x, int64_t begin, int64_t end) {
    rl_backend *be = policy->be;
    rl_tensor d = rl_tensor_rows(d_x, begin, end);
    rl_tensor mid = rl_tensor_rows(act->mid, begin, end);
    rl_tensor rstd = rl_tensor_rows(act->mid_rstd, begin, end);
    rl_tensor gate_up = rl_tensor_rows(act->gate_up, begin, end);
    rl_tensor hidden = first_rows(tmp->hidden, end - begin);
    rl_tensor d_hidden = first_rows(tmp->d_hidden, end - begin);
    rl_tensor d_gate_up = first_rows(tmp->d_gate_up, end - begin);
    rl_tensor normed = first_rows(tmp->normed, end - begin);
    rl_tensor d_normed = first_rows(tmp->d_normed, end - begin);

    rl_op_swiglu(be, hidden, gate_up);
    rl_op_matmul(be, block->d_down, d, hidden, true, false, 1);
    rl_op_matmul(be, d_hidden, d, block->down, false, false, 0);
    rl_op_swiglu_back(be, d_gate_up, d_hidden, gate_up);
    rl_op_rms_norm(be, normed, (rl_tensor){0}, mid, block->mlp_norm,
                   (float)policy->config.norm_eps);
    rl_op_matmul(be, block->d_gate_up, d_gate_up, normed, true, false, 1);
    rl_op_matmul(be, d_normed, d_gate_up, block->gate_up, false, false, 0);
    rl_op_rms_norm_back(be, d, block->d_mlp_norm, d_normed, mid, block->mlp_norm, rstd);
}

/* Leaves the gradient of the heads' output in d_mixed; d_x stays, since mid = in + ... */
static void o_backward(const rl_policy *policy, const rl_block *block, const rl_block_act *act,
                       const rl_block_back_tmp *tmp, rl_tensor d_x, int64_t begin, int64_t end) {
    rl_tensor d = rl_tensor_rows(d_x, begin, end);
    rl_op_matmul(policy->be, block->d_o, d, rl_tensor_rows(act->mixed, begin, end), true, false, 1);
    rl_op_matmul(policy->be, rl_tensor_rows(tmp->d_mixed, begin, end), d, block->o, false, false,
                 0);
}

static void qkv_backward(const rl_policy *policy, const rl_block *block, const rl_block_act *act,
                         const rl_block_back_tmp *tmp, rl_tensor d_x, int64_t begin, int64_t end) {
    rl_backend *be = policy->be;
    rl_tensor in = rl_tensor_rows(act->in, begin, end);
    rl_tensor d_qkv = rl_tensor_rows(tmp->d_qkv, begin, end);
    rl_tensor normed = first_rows(tmp->normed, end - begin);
    rl_tensor d_normed = first_rows(tmp->d_normed, end - begin);

    rl_op_rms_norm(be, normed, (rl_tensor){0}, in, block->attn_norm,
                   (float)policy->config.norm_eps);
    rl_op_matmul(be, block->d_qkv, d_qkv, normed, true, false, 1);
    rl_op_matmul(be, d_normed, d_qkv, block->qkv, false, false, 0);
    rl_op_rms_norm_back(be, rl_tensor_rows(d_x, begin, end), block->d_attn_norm, d_normed, in,
                        block->attn_norm, rl_tensor_rows(act->in_rstd, begin, end));
}

void rl_block_backward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                       const rl_block_act *act, const rl_block_back_tmp *tmp, rl_tensor d_x) {
    const rl_model_config *config = &policy->config;
    const rl_block *block = &policy->block[layer];
    rl_backend *be = policy->be;
    int64_t n = d_x.shape[0], begin;

    for (begin = 0; begin < n; begin += tmp->chunk) {
        int64_t end = begin + tmp->chunk < n ? begin + tmp->chunk : n;
        mlp_backward(policy, block, act, tmp, d_x, begin, end);
        o_backward(policy, block, act, tmp, d_x, begin, end);
    }
    rl_op_fill(be, tmp->d_qkv, 0);
    rl_op_attention_back(be, rl_qkv_q(config, tmp->d_qkv), rl_qkv_k(config, tmp->d_qkv),
                         rl_qkv_v(config, tmp->d_qkv), tmp->d_mixed, rl_qkv_q(config, act->qkv),
                         rl_qkv_k(config, act->qkv), rl_qkv_v(config, act->qkv), rows->plan);
    rl_op_rope(be, rl_qkv_qk(config, tmp->d_qkv), policy->rope_table, rows->position, true);
    for (begin = 0; begin < n; begin += tmp->chunk) {
        int64_t end = begin + tmp->chunk < n ? begin + tmp->chunk : n;
        qkv_backward(policy, block, act, tmp, d_x, begin, end);
    }
}

void rl_head_forward(const rl_policy *policy, rl_tensor logits, rl_tensor normed, rl_tensor rstd,
                     rl_tensor hidden) {
    rl_op_rms_norm(policy->be, normed, rstd, hidden, policy->final_norm,
                   (float)policy->config.norm_eps);
    rl_op_linear(policy->be, logits, normed, policy->p_head, false);
}

rl_tensor rl_usable_logits(const rl_policy *policy, rl_tensor logits) {
    return rl_tensor_cols(logits, 0, policy->n_ids);
}

void rl_plan_shape(const rl_model_config *config, rl_attn_plan *plan) {
    plan->n_heads = config->n_heads;
    plan->n_kv_heads = config->n_kv_heads;
    plan->head_dim = config->head_dim;
    plan->scale = (float)(1.0 / sqrt((double)config->head_dim));
}
