/* Which parameters each block multiplies by: the rows of the family, by their roles. */
#include <math.h>

#include "policy/model.h"
#include "rl/core/assert.h"

static void check_follows(rl_tensor a, rl_tensor b) {
    RL_ASSERT(a.buffer == b.buffer && a.offset + rl_tensor_bytes(a) == b.offset);
}

/* b's rows under a's; a may be null. */
static rl_tensor joined(rl_tensor a, rl_tensor b) {
    if (rl_tensor_is_null(a) || rl_tensor_is_null(b)) {
        return b;
    }
    check_follows(a, b);
    a.shape[0] += b.shape[0];
    return a;
}

/* The layer's tensors with a role in [first, last] as one; null where there is none. */
static void find(const rl_policy *policy, int32_t layer, rl_role first, rl_role last,
                 rl_tensor *value, rl_tensor *grad) {
    const rl_family *family = policy->family;
    const rl_param *item = policy->params.item + 1 + (size_t)layer * family->n_layer;
    *value = *grad = (rl_tensor){0};
    for (size_t i = 0; i < family->n_layer; i++) {
        if (family->layer[i].role >= first && family->layer[i].role <= last) {
            *value = joined(*value, item[i].value);
            *grad = joined(*grad, item[i].grad);
        }
    }
}

static rl_norm norm_of(const rl_policy *policy, int32_t layer, rl_role role) {
    rl_norm norm = {.offset = policy->family->norm_offset};
    find(policy, layer, role, role, &norm.weight, &norm.d_weight);
    return norm;
}

static rl_linear linear_of(const rl_policy *policy, int32_t layer, rl_role first, rl_role last) {
    rl_linear linear = {0};
    find(policy, layer, first, last, &linear.weight, &linear.d_weight);
    RL_ASSERT(!rl_tensor_is_null(linear.weight));
    return linear;
}

static void bind_block(const rl_policy *policy, int32_t layer, rl_block *block) {
    *block = (rl_block){
        .attn = norm_of(policy, layer, RL_ROLE_ATTN_NORM),
        .attn_out = norm_of(policy, layer, RL_ROLE_ATTN_OUT_NORM),
        .mlp = norm_of(policy, layer, RL_ROLE_MLP_NORM),
        .mlp_out = norm_of(policy, layer, RL_ROLE_MLP_OUT_NORM),
        .q = norm_of(policy, layer, RL_ROLE_Q_NORM),
        .k = norm_of(policy, layer, RL_ROLE_K_NORM),
        .qkv = linear_of(policy, layer, RL_ROLE_Q, RL_ROLE_QKV),
        .o = linear_of(policy, layer, RL_ROLE_O, RL_ROLE_O),
        .gate_up = linear_of(policy, layer, RL_ROLE_GATE, RL_ROLE_GATE_UP),
        .down = linear_of(policy, layer, RL_ROLE_DOWN, RL_ROLE_DOWN),
        .rope = rl_layer_rope(&policy->config, layer),
        .window = rl_layer_window(&policy->config, layer),
    };
    find(policy, layer, RL_ROLE_Q_BIAS, RL_ROLE_V_BIAS, &block->qkv.bias, &block->qkv.d_bias);
    RL_ASSERT(rl_norm_is(&block->q) == rl_norm_is(&block->k));
    RL_ASSERT(block->qkv.weight.shape[0] == rl_qkv_width(&policy->config));
    RL_ASSERT(block->gate_up.weight.shape[0] == 2 * (int64_t)policy->config.mlp);
}

void rl_policy_bind(rl_policy *policy) {
    const rl_model_config *config = &policy->config;
    const rl_param *embed = policy->params.item;
    const rl_param *norm = embed + 1 + (size_t)config->n_layers * policy->family->n_layer;
    const rl_param *head = config->tied ? embed : norm + 1;
    policy->embed = embed->value;
    policy->d_embed = embed->grad;
    policy->embed_scale = policy->family->scales_embedding ? sqrtf((float)config->width) : 1;
    policy->final_norm = (rl_norm){
        .weight = norm->value, .d_weight = norm->grad, .offset = policy->family->norm_offset};
    policy->head = (rl_linear){.weight = head->value, .d_weight = head->grad};
    for (int32_t i = 0; i < config->n_layers; i++) {
        rl_linear *linear[] = RL_BLOCK_LINEARS(&policy->block[i]);
        bind_block(policy, i, &policy->block[i]);
        for (int32_t k = 0; policy->lora != NULL && k < RL_LORA_MATRICES; k++) {
            const rl_lora_matrix *m = &policy->lora->matrix[i * RL_LORA_MATRICES + k];
            linear[k]->lora = m->n_parts > 0 ? m : NULL;
        }
    }
}
