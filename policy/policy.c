#include "rl/policy/policy.h"

#include <math.h>
#include <stdio.h>

#include "policy/checkpoint.h"
#include "policy/model.h"
#include "policy/rope_table.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

static void carve_all_packed(rl_policy *policy, rl_carver *carver) {
    for (int32_t i = 0; i < policy->config.n_layers; i++) {
        rl_block *block = &policy->block[i];
        rl_norm *norm[] = RL_BLOCK_NORMS(block);
        rl_linear *linear[] = RL_BLOCK_LINEARS(block);
        for (size_t k = 0; k < sizeof linear / sizeof linear[0]; k++) {
            rl_linear_carve(linear[k], policy->be, policy->held, carver);
        }
        for (size_t k = 0; k < sizeof norm / sizeof norm[0]; k++) {
            rl_norm_carve(norm[k], carver);
        }
    }
    rl_norm_carve(&policy->final_norm, carver);
    rl_linear_carve(&policy->head, policy->be, policy->held, carver);
}

static rl_status make_rope_tables(rl_policy *policy, rl_err *err) {
    const rl_model_config *config = &policy->config;
    size_t row_bytes = (size_t)config->head_dim * sizeof(float);
    size_t table_bytes = (size_t)config->max_positions * row_bytes;
    enum { BLOCK = 1024 };
    int32_t i, begin;
    float *host;
    rl_status status =
        rl_buffer_alloc(policy->be, (size_t)config->n_ropes * table_bytes, &policy->rope, err);
    if (status != RL_OK) {
        return rl_fail(err, status, "no memory for the rotary table of %d positions",
                       config->max_positions);
    }
    host = rl_alloc(BLOCK, row_bytes);
    for (i = 0; i < config->n_ropes; i++) {
        rl_tensor table = rl_tensor_2d(RL_DTYPE_F32, policy->rope, (size_t)i * table_bytes,
                                       config->max_positions, config->head_dim);
        for (begin = 0; begin < config->max_positions; begin += BLOCK) {
            int32_t left = config->max_positions - begin,
                    end = begin + (left > BLOCK ? BLOCK : left);
            rl_rope_rows(&config->rope[i], config->head_dim, begin, end, host);
            rl_tensor_put(policy->be, rl_tensor_rows(table, begin, end), host);
        }
        policy->rope_table[i] = table;
    }
    rl_free(host);
    return RL_OK;
}

static rl_status check_supported(rl_backend *be, bool trains, rl_dtype held, rl_err *err) {
    static const char *const forward[] = {
        "linear",  "embed",  "rms_norm", "rope",        "kv_write", "attention", "swiglu", "gather",
        "logprob", "sample", "copy",     "sum_squares", "add",      "fill",      "geglu",  "scale"};
    static const char *const backward[] = {
        "matmul",      "embed_back",   "rms_norm_back", "attention_back", "swiglu_back",
        "scatter_add", "logprob_back", "sum_rows",      "geglu_back",     "adamw"};
    static const char *const in_bf16[] = {"pack", "linear", "linear_back", "round_bf16"};
    size_t i;
    for (i = 0; i < sizeof forward / sizeof forward[0]; i++) {
        if (!be->supports(be, forward[i], RL_DTYPE_F32)) {
            return rl_fail(err, RL_UNSUPPORTED, "backend '%s' lacks the operation '%s'", be->name,
                           forward[i]);
        }
    }
    for (i = 0; held == RL_DTYPE_BF16 && i < sizeof in_bf16 / sizeof in_bf16[0]; i++) {
        if (!be->supports(be, in_bf16[i], RL_DTYPE_BF16)) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "backend '%s' does not hold weights in bf16; set 'compute.weights' to "
                           "f32",
                           be->name);
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

static void pack_layer(rl_policy *policy, int32_t layer) {
    rl_block *block = &policy->block[layer];
    rl_norm *norm[] = RL_BLOCK_NORMS(block);
    rl_linear *linear[] = RL_BLOCK_LINEARS(block);
    for (size_t k = 0; k < sizeof linear / sizeof linear[0]; k++) {
        rl_linear_pack(linear[k], policy->be);
    }
    for (size_t k = 0; k < sizeof norm / sizeof norm[0]; k++) {
        rl_norm_pack(norm[k], policy->be);
    }
}

static void pack_rest(rl_policy *policy) {
    rl_norm_pack(&policy->final_norm, policy->be);
    rl_linear_pack(&policy->head, policy->be);
}

static void pack_weights(rl_policy *policy) {
    for (int32_t i = 0; i < policy->config.n_layers; i++) {
        pack_layer(policy, i);
    }
    pack_rest(policy);
}

// Reads parameters [begin, end) of fixed weights; also looks at them, since most are gone soon.
static void pass_items(rl_policy *policy, const rl_checkpoint *checkpoint, int32_t begin,
                       int32_t end) {
    rl_checkpoint_fill(checkpoint, &policy->params, begin, end, policy->be);
    for (int32_t i = begin; i < end && policy->damaged == NULL; i++) {
        const rl_param *item = &policy->params.item[i];
        policy->damaged = isfinite(rl_op_sum_squares(policy->be, item->value)) ? NULL : item->name;
    }
}

// Reads and packs layer by layer, in the order of the parameters: embedding, layers, the rest.
static void pass_weights(rl_policy *policy, const rl_checkpoint *checkpoint) {
    int32_t n_layer = (int32_t)policy->family->n_layer, at = 1;
    pass_items(policy, checkpoint, 0, 1);
    for (int32_t i = 0; i < policy->config.n_layers; i++, at += n_layer) {
        pass_items(policy, checkpoint, at, at + n_layer);
        pack_layer(policy, i);
    }
    pass_items(policy, checkpoint, at, policy->params.n_items);
    pack_rest(policy);
}

static rl_status fill_policy(rl_policy *policy, const rl_checkpoint *checkpoint, rl_err *err) {
    rl_carver carver = {0};
    rl_status status = check_supported(policy->be, policy->trains, policy->held, err);
    if (status == RL_OK) {
        status = policy->fixed
                     ? rl_params_init_passing(&policy->params, &policy->config, policy->be, err)
                     : rl_params_init(&policy->params, &policy->config, policy->be,
                                      policy->trains && policy->lora == NULL, err);
    }
    if (status == RL_OK) {
        status = policy->fixed ? rl_checkpoint_check(checkpoint, &policy->params, err)
                               : rl_checkpoint_read(checkpoint, &policy->params, policy->be, err);
    }
    if (status != RL_OK) {
        return status;
    }
    rl_policy_bind(policy);
    carve_all_packed(policy, &carver);
    status = rl_buffer_alloc(policy->be, carver.used, &policy->packed, err);
    if (status != RL_OK) {
        return rl_fail(err, status,
                       "no memory for the packed weights (%.0f MiB); choose a smaller model",
                       (double)carver.used / 1048576.0);
    }
    carver = (rl_carver){.buffer = policy->packed};
    carve_all_packed(policy, &carver);
    status = make_rope_tables(policy, err);
    if (status != RL_OK) {
        return status;
    }
    if (policy->fixed) {
        pass_weights(policy, checkpoint);
    } else {
        pack_weights(policy);
    }
    if (policy->lora != NULL) {
        rl_lora_pack(policy->lora, policy->be);
    }
    return rl_backend_sync(policy->be, err);
}

const char *const rl_weights_names[] = {"f32", "bf16", NULL};
const char *const rl_recompute_names[] = {"none", "layers", NULL};

static rl_status open_lora(rl_policy *policy, const rl_adapter *adapter, rl_err *err) {
    rl_status status;
    if (policy->trains && adapter->dropout > 0) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "adapter '%.200s' was trained with 'lora_dropout' %g, which is not there "
                       "when it trains on; set it to 0 in its adapter_config.json to do without",
                       adapter->folder, adapter->dropout);
    }
    policy->lora = rl_alloc(1, sizeof *policy->lora);
    status = rl_lora_init(policy->lora, adapter, policy->be, policy->trains, err);
    if (status != RL_OK) {
        rl_free(policy->lora);
        policy->lora = NULL;
    }
    return status;
}

rl_status rl_policy_open(const rl_checkpoint *checkpoint, rl_backend *be,
                         const rl_policy_opts *opts, rl_policy **out, rl_err *err) {
    rl_policy *policy = rl_alloc(1, sizeof *policy);
    rl_status status = RL_OK;
    policy->config = *rl_checkpoint_config(checkpoint);
    policy->n_ids = policy->config.vocab;
    policy->family = rl_family_find(policy->config.family);
    policy->be = be;
    policy->trains = opts != NULL && opts->trains;
    // Weights that are drawn are drawn all at once.
    policy->fixed = opts != NULL && opts->fixed && !checkpoint->drawn;
    RL_ASSERT(!policy->fixed || !policy->trains);
    policy->recompute = opts != NULL ? opts->recompute : RL_RECOMPUTE_NONE;
    policy->held = opts != NULL && opts->weights == RL_WEIGHTS_BF16 ? RL_DTYPE_BF16 : RL_DTYPE_F32;
    policy->scratch = rl_arena_new(0);
    policy->block = rl_alloc((size_t)policy->config.n_layers, sizeof *policy->block);
    if (opts != NULL && opts->adapter != NULL) {
        status = open_lora(policy, opts->adapter, err);
    }
    if (status == RL_OK) {
        status = fill_policy(policy, checkpoint, err);
    }
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
    if (policy->lora != NULL) {
        rl_lora_release(policy->lora, policy->be);
        rl_free(policy->lora);
    }
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
    RL_ASSERT(!policy->fixed);
    return policy->lora != NULL ? &policy->lora->params : &policy->params;
}

rl_params *rl_policy_weights(rl_policy *policy) {
    RL_ASSERT(!policy->fixed);
    return &policy->params;
}

void rl_policy_repack(rl_policy *policy) {
    RL_ASSERT(!policy->fixed);
    if (policy->lora != NULL) {
        rl_lora_pack(policy->lora, policy->be);
    } else {
        pack_weights(policy);
    }
}

static const char *not_finite(rl_backend *be, const rl_params *params, bool gradients) {
    for (int32_t i = 0; i < params->n_items; i++) {
        const rl_param *param = &params->item[i];
        if (!isfinite(rl_op_sum_squares(be, gradients ? param->grad : param->value))) {
            return param->name;
        }
    }
    return NULL;
}

const char *rl_policy_not_finite(rl_policy *policy, bool gradients) {
    const char *name = NULL;
    RL_ASSERT(policy->trains || !gradients);
    if (policy->fixed) {
        return policy->damaged != NULL || policy->lora == NULL
                   ? policy->damaged
                   : not_finite(policy->be, &policy->lora->params, false);
    }
    if (policy->lora != NULL && !gradients && !policy->weights_finite) {
        name = not_finite(policy->be, &policy->params, false);
        policy->weights_finite = name == NULL;
    }
    return name != NULL ? name : not_finite(policy->be, rl_policy_params(policy), gradients);
}

rl_status rl_policy_save(const rl_policy *policy, const rl_checkpoint *source, rl_save_dtype dtype,
                         const char *folder, rl_err *err) {
    RL_ASSERT(!policy->fixed);
    return policy->lora != NULL
               ? rl_lora_save(policy->lora, source, policy->be, dtype, folder, err)
               : rl_checkpoint_write(source, &policy->params, policy->be, dtype, folder, err);
}
