/*
 * The one block of every family, forward and backward, over tensor operations only:
 *
 *   mid = in + norm(o . attention(rope(norm(qkv . norm(in) + bias))))
 *   out = mid + norm(down . act(gate_up . norm(mid)))
 *
 * Every norm but the last of the model, the bias and the rotation are there where the family has
 * them. The backward keeps nothing that one cheap pass can make again: rows that a norm or the
 * activation gives, and rotated queries and keys where they are not what the product gave, are
 * recomputed.
 */
#include "policy/model.h"

#include <math.h>

#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

static int64_t q_width(const rl_model_config *config) {
    return (int64_t)config->n_heads * config->head_dim;
}

static int64_t kv_width(const rl_model_config *config) {
    return (int64_t)config->n_kv_heads * config->head_dim;
}

int64_t rl_qkv_width(const rl_model_config *config) {
    return q_width(config) + 2 * kv_width(config);
}

rl_tensor rl_qkv_q(const rl_model_config *config, rl_tensor qkv) {
    return rl_tensor_cols(qkv, 0, q_width(config));
}

rl_tensor rl_qkv_k(const rl_model_config *config, rl_tensor qkv) {
    return rl_tensor_cols(qkv, q_width(config), q_width(config) + kv_width(config));
}

rl_tensor rl_qkv_v(const rl_model_config *config, rl_tensor qkv) {
    return rl_tensor_cols(qkv, q_width(config) + kv_width(config), rl_qkv_width(config));
}

rl_tensor rl_qkv_qk(const rl_model_config *config, rl_tensor qkv) {
    return rl_tensor_cols(qkv, 0, q_width(config) + kv_width(config));
}

static bool same(rl_tensor a, rl_tensor b) {
    return a.buffer == b.buffer && a.offset == b.offset;
}

static rl_tensor first_rows(rl_tensor t, int64_t n) {
    return rl_tensor_is_null(t) || t.shape[0] == n ? t : rl_tensor_rows(t, 0, n);
}

static rl_tensor some_rows(rl_tensor t, int64_t begin, int64_t end) {
    return rl_tensor_is_null(t) ? t : rl_tensor_rows(t, begin, end);
}

/* x, or its normed rows in out where there is such a norm. */
static rl_tensor normed(const rl_policy *policy, const rl_norm *norm, rl_tensor out, rl_tensor rstd,
                        rl_tensor x) {
    if (!rl_norm_is(norm)) {
        return x;
    }
    rl_op_rms_norm(policy->be, out, rstd, x, norm->used, (float)policy->config.norm_eps);
    return out;
}

static void activate(const rl_policy *policy, rl_tensor hidden, rl_tensor gate_up) {
    switch (policy->family->activation) {
    case RL_ACT_SILU:
        rl_op_swiglu(policy->be, hidden, gate_up);
        break;
    case RL_ACT_GELU_TANH:
        rl_op_geglu(policy->be, hidden, gate_up);
        break;
    }
}

static void activate_back(const rl_policy *policy, rl_tensor d_gate_up, rl_tensor d_hidden,
                          rl_tensor gate_up) {
    switch (policy->family->activation) {
    case RL_ACT_SILU:
        rl_op_swiglu_back(policy->be, d_gate_up, d_hidden, gate_up);
        break;
    case RL_ACT_GELU_TANH:
        rl_op_geglu_back(policy->be, d_gate_up, d_hidden, gate_up);
        break;
    }
}

/* to = from + linear(x), with a norm before the sum where there is one: `before` [n, C] keeps what
 * goes into it, tmp [n, C] is used instead where before is null. */
static void add_product(const rl_policy *policy, const rl_linear *linear, const rl_norm *norm,
                        rl_tensor to, rl_tensor from, rl_tensor x, rl_tensor before, rl_tensor rstd,
                        rl_tensor tmp) {
    rl_backend *be = policy->be;
    if (!same(to, from)) {
        rl_op_copy(be, to, from);
    }
    if (!rl_norm_is(norm)) {
        rl_linear_forward(linear, be, to, x, true);
        return;
    }
    before = rl_tensor_is_null(before) ? tmp : before;
    rl_linear_forward(linear, be, before, x, false);
    rl_op_add(be, to, normed(policy, norm, tmp, rstd, before));
}

/* Queries and keys as attention takes them, normed and turned: in qkv itself, or in tmp where a
 * norm leaves qkv for the backward. */
static rl_tensor turned(const rl_policy *policy, const rl_block *block, rl_tensor position,
                        rl_tensor qkv, rl_tensor tmp, rl_tensor q_rstd, rl_tensor k_rstd) {
    const rl_model_config *config = &policy->config;
    rl_tensor qk = rl_qkv_qk(config, qkv);
    if (rl_norm_is(&block->q)) {
        qk = tmp;
        (void)normed(policy, &block->q, rl_qkv_q(config, qk), q_rstd, rl_qkv_q(config, qkv));
        (void)normed(policy, &block->k, rl_qkv_k(config, qk), k_rstd, rl_qkv_k(config, qkv));
    }
    if (block->rope >= 0) {
        rl_op_rope(policy->be, qk, policy->rope_table[block->rope], position, false);
    }
    return qk;
}

static rl_attn_plan plan_of(const rl_block *block, const rl_rows *rows) {
    rl_attn_plan plan = *rows->plan;
    plan.window = block->window;
    return plan;
}

void rl_block_forward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                      const rl_block_act *act, const rl_block_tmp *tmp, rl_tensor k_cache,
                      rl_tensor v_cache) {
    const rl_model_config *config = &policy->config;
    const rl_block *block = &policy->block[layer];
    const rl_attn_plan plan = plan_of(block, rows);
    rl_backend *be = policy->be;
    int64_t n = act->in.shape[0];
    rl_tensor row = first_rows(tmp->normed, n), hidden = first_rows(tmp->hidden, n), qk, x;

    x = normed(policy, &block->attn, row, act->in_rstd, act->in);
    rl_linear_forward(&block->qkv, be, act->qkv, x, false);
    qk = turned(policy, block, rows->position, act->qkv, first_rows(tmp->qk, n), (rl_tensor){0},
                (rl_tensor){0});
    rl_op_kv_write(be, k_cache, v_cache, rl_qkv_k(config, qk), rl_qkv_v(config, act->qkv),
                   rows->slot, config->n_kv_heads);
    rl_op_attention(be, act->mixed, rl_qkv_q(config, qk), k_cache, v_cache, &plan);
    add_product(policy, &block->o, &block->attn_out, act->mid, act->in, act->mixed, act->attn_out,
                act->attn_out_rstd, row);

    x = normed(policy, &block->mlp, row, act->mid_rstd, act->mid);
    rl_linear_forward(&block->gate_up, be, act->gate_up, x, false);
    if (rl_tensor_is_null(act->out)) {
        RL_ASSERT(!rl_norm_is(&block->mlp_out));
        return;
    }
    activate(policy, hidden, act->gate_up);
    add_product(policy, &block->down, &block->mlp_out, act->out, act->mid, hidden, act->mlp_out,
                act->mlp_out_rstd, row);
}

/* The gradient of what a norm before a sum read, in tmp, or d itself where there is no norm. */
static rl_tensor before_norm(const rl_policy *policy, const rl_norm *norm, rl_tensor tmp,
                             rl_tensor d, rl_tensor before, rl_tensor rstd) {
    if (!rl_norm_is(norm)) {
        return d;
    }
    rl_op_fill(policy->be, tmp, 0);
    rl_op_rms_norm_back(policy->be, tmp, norm->d_weight, d, before, norm->used, rstd);
    return tmp;
}

/* Adds to d the gradient that reaches x through norm (where there is one) and linear. */
static void through_norm(const rl_policy *policy, const rl_linear *linear, const rl_norm *norm,
                         rl_tensor d, rl_tensor d_out, rl_tensor x, rl_tensor rstd, rl_tensor row,
                         rl_tensor d_row) {
    rl_backend *be = policy->be;
    if (!rl_norm_is(norm)) {
        rl_linear_backward(linear, be, d, d_out, x, true);
        return;
    }
    (void)normed(policy, norm, row, (rl_tensor){0}, x);
    rl_linear_backward(linear, be, d_row, d_out, row, false);
    rl_op_rms_norm_back(be, d, norm->d_weight, d_row, x, norm->used, rstd);
}

/* One chunk of rows of the MLP: d_x turns from the gradient of out into that of mid. Then that of
 * the heads' output, which is left in d_mixed; d_x stays, since mid = in + ... */
static void mlp_and_o_backward(const rl_policy *policy, const rl_block *block,
                               const rl_block_act *all, const rl_block_back_tmp *tmp, rl_tensor d_x,
                               int64_t begin, int64_t end) {
    rl_backend *be = policy->be;
    int64_t n = end - begin;
    rl_block_act act = rl_block_act_rows(all, begin, end);
    rl_tensor d = rl_tensor_rows(d_x, begin, end), d_sum;
    rl_tensor hidden = first_rows(tmp->hidden, n), d_hidden = first_rows(tmp->d_hidden, n);
    rl_tensor d_gate_up = first_rows(tmp->d_gate_up, n);
    rl_tensor row = first_rows(tmp->normed, n), d_row = first_rows(tmp->d_normed, n);

    activate(policy, hidden, act.gate_up);
    d_sum = before_norm(policy, &block->mlp_out, d_row, d, act.mlp_out, act.mlp_out_rstd);
    rl_linear_backward(&block->down, be, d_hidden, d_sum, hidden, false);
    activate_back(policy, d_gate_up, d_hidden, act.gate_up);
    through_norm(policy, &block->gate_up, &block->mlp, d, d_gate_up, act.mid, act.mid_rstd, row,
                 d_row);

    d_sum = before_norm(policy, &block->attn_out, d_row, d, act.attn_out, act.attn_out_rstd);
    rl_linear_backward(&block->o, be, rl_tensor_rows(tmp->d_mixed, begin, end), d_sum, act.mixed,
                       false);
}

/* All rows from the gradient of the heads' output to that of the product, in tmp->d_qkv. */
static void attention_backward(const rl_policy *policy, const rl_block *block, const rl_rows *rows,
                               const rl_block_act *act, const rl_block_back_tmp *tmp) {
    const rl_model_config *config = &policy->config;
    const rl_attn_plan plan = plan_of(block, rows);
    rl_backend *be = policy->be;
    bool has_norm = rl_norm_is(&block->q);
    rl_tensor qk = rl_qkv_qk(config, act->qkv), d_qk = rl_qkv_qk(config, tmp->d_qkv);
    if (has_norm) {
        qk = turned(policy, block, rows->position, act->qkv, tmp->qk, tmp->q_rstd, tmp->k_rstd);
        d_qk = tmp->d_qk;
        rl_op_fill(be, d_qk, 0);
    }
    rl_op_fill(be, tmp->d_qkv, 0);
    rl_op_attention_back(be, rl_qkv_q(config, d_qk), rl_qkv_k(config, d_qk),
                         rl_qkv_v(config, tmp->d_qkv), tmp->d_mixed, rl_qkv_q(config, qk),
                         rl_qkv_k(config, qk), rl_qkv_v(config, act->qkv), &plan);
    if (block->rope >= 0) {
        rl_op_rope(be, d_qk, policy->rope_table[block->rope], rows->position, true);
    }
    if (has_norm) {
        rl_op_rms_norm_back(be, rl_qkv_q(config, tmp->d_qkv), block->q.d_weight,
                            rl_qkv_q(config, d_qk), rl_qkv_q(config, act->qkv), block->q.used,
                            tmp->q_rstd);
        rl_op_rms_norm_back(be, rl_qkv_k(config, tmp->d_qkv), block->k.d_weight,
                            rl_qkv_k(config, d_qk), rl_qkv_k(config, act->qkv), block->k.used,
                            tmp->k_rstd);
    }
}

void rl_block_backward(const rl_policy *policy, int32_t layer, const rl_rows *rows,
                       const rl_block_act *act, const rl_block_back_tmp *tmp, rl_tensor d_x) {
    const rl_block *block = &policy->block[layer];
    int64_t n = d_x.shape[0], begin, end;
    for (begin = 0; begin < n; begin = end) {
        end = begin + tmp->chunk < n ? begin + tmp->chunk : n;
        mlp_and_o_backward(policy, block, act, tmp, d_x, begin, end);
    }
    attention_backward(policy, block, rows, act, tmp);
    for (begin = 0; begin < n; begin = end) {
        end = begin + tmp->chunk < n ? begin + tmp->chunk : n;
        through_norm(policy, &block->qkv, &block->attn, rl_tensor_rows(d_x, begin, end),
                     rl_tensor_rows(tmp->d_qkv, begin, end), rl_tensor_rows(act->in, begin, end),
                     some_rows(act->in_rstd, begin, end), first_rows(tmp->normed, end - begin),
                     first_rows(tmp->d_normed, end - begin));
    }
}

void rl_embed_forward(const rl_policy *policy, rl_tensor out, rl_tensor token) {
    rl_op_embed(policy->be, out, policy->embed, token);
    if (policy->held == RL_DTYPE_BF16) {
        rl_op_round_bf16(policy->be, out);
    }
    if (policy->embed_scale != 1) {
        rl_op_scale(policy->be, out, policy->embed_scale);
    }
}

void rl_embed_backward(const rl_policy *policy, rl_tensor d_out, rl_tensor token) {
    if (rl_tensor_is_null(policy->d_embed)) {
        return;
    }
    if (policy->embed_scale != 1) {
        rl_op_scale(policy->be, d_out, policy->embed_scale);
    }
    rl_op_embed_back(policy->be, policy->d_embed, d_out, token);
}

void rl_head_forward(const rl_policy *policy, rl_tensor logits, rl_tensor row, rl_tensor rstd,
                     rl_tensor hidden) {
    (void)normed(policy, &policy->final_norm, row, rstd, hidden);
    rl_linear_forward(&policy->head, policy->be, logits, row, false);
}

void rl_head_backward(const rl_policy *policy, rl_tensor d_hidden, rl_tensor d_row,
                      rl_tensor d_logits, rl_tensor row, rl_tensor rstd, rl_tensor hidden) {
    rl_backend *be = policy->be;
    rl_linear head = policy->head;
    head.weight = rl_tensor_rows(head.weight, 0, policy->n_ids);
    head.d_weight = some_rows(head.d_weight, 0, policy->n_ids);
    rl_linear_backward(&head, be, d_row, d_logits, row, false);
    rl_op_fill(be, d_hidden, 0);
    rl_op_rms_norm_back(be, d_hidden, policy->final_norm.d_weight, d_row, hidden,
                        policy->final_norm.used, rstd);
}

rl_tensor rl_usable_logits(const rl_policy *policy, rl_tensor logits) {
    return rl_tensor_cols(logits, 0, policy->n_ids);
}

void rl_plan_shape(const rl_model_config *config, rl_attn_plan *plan) {
    plan->n_heads = config->n_heads;
    plan->n_kv_heads = config->n_kv_heads;
    plan->head_dim = config->head_dim;
    plan->scale = (float)(1.0 / sqrt(config->query_scalar > 0 ? config->query_scalar
                                                              : (double)config->head_dim));
}
