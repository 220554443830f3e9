#include "rl/policy/policy.h"

#include <math.h>
#include <stdio.h>

#include "policy/model.h"
#include "policy/rope_table.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
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

static const rl_param *layer_param(const rl_policy *policy, int32_t layer, const char *name) {
    char full[96];
    const rl_param *param;
    snprintf(full, sizeof full, "model.layers.%d.%s.weight", (int)layer, name);
    param = rl_params_find(&policy->params, full);
    RL_ASSERT(param != NULL);
    return param;
}

/* One matrix over the parameters that follow each other from `first` on, `rows` rows in all. */
static rl_tensor fused(rl_tensor first, int64_t rows) {
    if (rl_tensor_is_null(first)) {
        return first;
    }
    return rl_tensor_2d(first.dtype, first.buffer, first.offset, rows, first.shape[1]);
}

static void check_follows(rl_tensor a, rl_tensor b) {
    RL_ASSERT(a.buffer == b.buffer && a.offset + rl_tensor_bytes(a) == b.offset);
}

static void check_adjacent(const rl_param *a, const rl_param *b) {
    check_follows(a->value, b->value);
    if (!rl_tensor_is_null(a->grad)) {
        check_follows(a->grad, b->grad);
    }
}

static void bind_block(const rl_policy *policy, int32_t layer, rl_block *block) {
    const rl_param *attn_norm = layer_param(policy, layer, "input_layernorm");
    const rl_param *mlp_norm = layer_param(policy, layer, "post_attention_layernorm");
    const rl_param *q = layer_param(policy, layer, "self_attn.q_proj");
    const rl_param *k = layer_param(policy, layer, "self_attn.k_proj");
    const rl_param *v = layer_param(policy, layer, "self_attn.v_proj");
    const rl_param *o = layer_param(policy, layer, "self_attn.o_proj");
    const rl_param *gate = layer_param(policy, layer, "mlp.gate_proj");
    const rl_param *up = layer_param(policy, layer, "mlp.up_proj");
    const rl_param *down = layer_param(policy, layer, "mlp.down_proj");
    int64_t qkv_rows = rl_qkv_width(&policy->config), mlp = policy->config.mlp;

    check_adjacent(q, k);
    check_adjacent(k, v);
    check_adjacent(gate, up);
    *block = (rl_block){
        .attn_norm = attn_norm->value,
        .mlp_norm = mlp_norm->value,
        .qkv = fused(q->value, qkv_rows),
        .o = o->value,
        .gate_up = fused(gate->value, 2 * mlp),
        .down = down->value,
        .d_attn_norm = attn_norm->grad,
        .d_mlp_norm = mlp_norm->grad,
        .d_qkv = fused(q->grad, qkv_rows),
        .d_o = o->grad,
        .d_gate_up = fused(gate->grad, 2 * mlp),
        .d_down = down->grad,
    };
}

static void bind(rl_policy *policy) {
    const rl_param *embed = rl_params_find(&policy->params, "model.embed_tokens.weight");
    const rl_param *norm = rl_params_find(&policy->params, "model.norm.weight");
    const rl_param *head =
        policy->config.tied ? embed : rl_params_find(&policy->params, "lm_head.weight");
    int32_t i;
    RL_ASSERT(embed != NULL && norm != NULL && head != NULL);
    policy->embed = embed->value;
    policy->d_embed = embed->grad;
    policy->final_norm = norm->value;
    policy->d_final_norm = norm->grad;
    policy->head = head->value;
    policy->d_head = head->grad;
    for (i = 0; i < policy->config.n_layers; i++) {
        bind_block(policy, i, &policy->block[i]);
    }
}

static rl_tensor carve_packed(rl_policy *policy, rl_carver *carver, rl_tensor weight) {
    return rl_carve_1d(carver, RL_DTYPE_F32,
                       rl_packed_len(policy->be, weight.shape[0], weight.shape[1]));
}

static void carve_all_packed(rl_policy *policy, rl_carver *carver) {
    int32_t i;
    for (i = 0; i < policy->config.n_layers; i++) {
        rl_block *block = &policy->block[i];
        block->p_qkv = carve_packed(policy, carver, block->qkv);
        block->p_o = carve_packed(policy, carver, block->o);
        block->p_gate_up = carve_packed(policy, carver, block->gate_up);
        block->p_down = carve_packed(policy, carver, block->down);
    }
    policy->p_head = carve_packed(policy, carver, policy->head);
}

static rl_status make_rope_table(rl_policy *policy, rl_err *err) {
    const rl_model_config *config = &policy->config;
    size_t row_bytes = (size_t)config->head_dim * sizeof(float);
    enum { BLOCK = 1024 };
    int32_t begin;
    float *host;
    rl_status status =
        rl_buffer_alloc(policy->be, (size_t)config->max_positions * row_bytes, &policy->rope, err);
    if (status != RL_OK) {
        return rl_fail(err, status, "no memory for the rotary table of %d positions",
                       config->max_positions);
    }
    policy->rope_table =
        rl_tensor_2d(RL_DTYPE_F32, policy->rope, 0, config->max_positions, config->head_dim);
    host = rl_alloc(BLOCK, row_bytes);
    for (begin = 0; begin < config->max_positions; begin += BLOCK) {
        int32_t end = config->max_positions - begin > BLOCK ? begin + BLOCK : config->max_positions;
        rl_rope_rows(config, begin, end, host);
        rl_tensor_put(policy->be, rl_tensor_rows(policy->rope_table, begin, end), host);
    }
    rl_free(host);
    return RL_OK;
}

static rl_status check_supported(rl_backend *be, bool trains, rl_err *err) {
    static const char *const forward[] = {"linear",   "embed",     "rms_norm", "rope",
                                          "kv_write", "attention", "swiglu",   "gather",
                                          "logprob",  "sample",    "copy",     "sum_squares"};
    static const char *const backward[] = {"matmul",         "embed_back",  "rms_norm_back",
                                           "attention_back", "swiglu_back", "scatter_add",
                                           "logprob_back",   "fill",        "adamw"};
    size_t i;
    for (i = 0; i < sizeof forward / sizeof forward[0]; i++) {
        if (!be->supports(be, forward[i], RL_DTYPE_F32)) {
            return rl_fail(err, RL_UNSUPPORTED, "backend '%s' lacks the operation '%s'", be->name,
                           forward[i]);
        }
    }
    for (i = 0; trains && i < sizeof backward / sizeof backward[0]; i++) {
        if (!be->supports(be, backward[i], RL_DTYPE_F32)) {
            return rl_fail(err, RL_UNSUPPORTED, "backend '%s' lacks the operation '%s'", be->name,
                           backward[i]);
        }
    }
    return RL_OK;
}

static rl_status fill_policy(rl_policy *policy, const rl_checkpoint *checkpoint, rl_err *err) {
    rl_carver carver = {0};
    rl_status status = check_supported(policy->be, policy->trains, err);
    if (status == RL_OK) {
        status = rl_params_init(&policy->params, &policy->config, policy->be, policy->trains, err);
    }
    if (status == RL_OK) {
        status = rl_checkpoint_read(checkpoint, &policy->params, policy->be, err);
    }
    if (status != RL_OK) {
        return status;
    }
    bind(policy);
    carve_all_packed(policy, &carver);
    status = rl_buffer_alloc(policy->be, carver.used, &policy->packed, err);
    if (status != RL_OK) {
        return rl_fail(err, status,
                       "no memory for the packed weights (%.0f MiB); choose a smaller model",
                       (double)carver.used / 1048576.0);
    }
    carver = (rl_carver){.buffer = policy->packed};
    carve_all_packed(policy, &carver);
    status = make_rope_table(policy, err);
    if (status != RL_OK) {
        return status;
    }
    rl_policy_repack(policy);
    return rl_backend_sync(policy->be, err);
}

rl_status rl_policy_open(const rl_checkpoint *checkpoint, rl_backend *be, bool trains,
                         rl_policy **out, rl_err *err) {
    rl_policy *policy = rl_alloc(1, sizeof *policy);
    rl_status status;
    policy->config = *rl_checkpoint_config(checkpoint);
    policy->n_ids = policy->config.vocab;
    policy->be = be;
    policy->trains = trains;
    policy->scratch = rl_arena_new(0);
    policy->block = rl_alloc((size_t)policy->config.n_layers, sizeof *policy->block);
    status = fill_policy(policy, checkpoint, err);
    if (status != RL_OK) {
        rl_policy_free(policy);
        policy = NULL;
    }
    *out = policy;
    return status;
}

void rl_policy_free(rl_policy *policy) {
    if (policy == NULL) {
        return;
    }
    rl_params_release(&policy->params, policy->be);
    rl_buffer_free(policy->be, policy->packed);
    rl_buffer_free(policy->be, policy->rope);
    rl_buffer_free(policy->be, policy->work);
    rl_arena_free(policy->scratch);
    rl_free(policy->block);
    rl_free(policy);
}

const rl_model_config *rl_policy_config(const rl_policy *policy) {
    return &policy->config;
}

rl_backend *rl_policy_backend(const rl_policy *policy) {
    return policy->be;
}

void rl_policy_limit_ids(rl_policy *policy, int32_t n_ids) {
    RL_ASSERT(n_ids > 0 && n_ids <= policy->config.vocab);
    policy->n_ids = n_ids;
}

rl_params *rl_policy_params(rl_policy *policy) {
    return &policy->params;
}

void rl_policy_repack(rl_policy *policy) {
    int32_t i;
    for (i = 0; i < policy->config.n_layers; i++) {
        const rl_block *block = &policy->block[i];
        rl_op_pack(policy->be, block->p_qkv, block->qkv);
        rl_op_pack(policy->be, block->p_o, block->o);
        rl_op_pack(policy->be, block->p_gate_up, block->gate_up);
        rl_op_pack(policy->be, block->p_down, block->down);
    }
    rl_op_pack(policy->be, policy->p_head, policy->head);
}

const char *rl_policy_not_finite(rl_policy *policy, bool gradients) {
    int32_t i;
    RL_ASSERT(policy->trains || !gradients);
    for (i = 0; i < policy->params.n_items; i++) {
        const rl_param *param = &policy->params.item[i];
        if (!isfinite(rl_op_sum_squares(policy->be, gradients ? param->grad : param->value))) {
            return param->name;
        }
    }
    return NULL;
}
