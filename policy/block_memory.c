/* Memory of a block: what it keeps of n rows, and what it needs while it runs. */
#include "policy/model.h"

static rl_tensor matrix(rl_carver *carver, int64_t rows, int64_t cols) {
    return rl_carve(carver, RL_DTYPE_F32, rows, cols);
}

static rl_tensor vector(rl_carver *carver, int64_t n) {
    return rl_carve_1d(carver, RL_DTYPE_F32, n);
}

static bool has(const rl_model_config *config, rl_role role) {
    return rl_family_has(rl_family_find(config->family), role);
}

static int64_t qk_width(const rl_model_config *config) {
    return (int64_t)(config->n_heads + config->n_kv_heads) * config->head_dim;
}

void rl_block_act_carve(rl_block_act *act, const rl_model_config *config, rl_carver *carver,
                        int64_t n, bool trains) {
    act->qkv = matrix(carver, n, rl_qkv_width(config));
    act->mixed = matrix(carver, n, (int64_t)config->n_heads * config->head_dim);
    act->gate_up = matrix(carver, n, 2 * (int64_t)config->mlp);
    if (!trains) {
        return;
    }
    act->in_rstd = vector(carver, n);
    act->mid_rstd = vector(carver, n);
    if (has(config, RL_ROLE_ATTN_OUT_NORM)) {
        act->attn_out = matrix(carver, n, config->width);
        act->attn_out_rstd = vector(carver, n);
    }
    if (has(config, RL_ROLE_MLP_OUT_NORM)) {
        act->mlp_out = matrix(carver, n, config->width);
        act->mlp_out_rstd = vector(carver, n);
    }
}

static rl_tensor some_rows(rl_tensor t, int64_t begin, int64_t end) {
    return rl_tensor_is_null(t) ? t : rl_tensor_rows(t, begin, end);
}

rl_block_act rl_block_act_rows(const rl_block_act *act, int64_t begin, int64_t end) {
    return (rl_block_act){
        .in = rl_tensor_rows(act->in, begin, end),
        .mid = rl_tensor_rows(act->mid, begin, end),
        .out = some_rows(act->out, begin, end),
        .in_rstd = some_rows(act->in_rstd, begin, end),
        .mid_rstd = some_rows(act->mid_rstd, begin, end),
        .qkv = rl_tensor_rows(act->qkv, begin, end),
        .mixed = rl_tensor_rows(act->mixed, begin, end),
        .gate_up = rl_tensor_rows(act->gate_up, begin, end),
        .attn_out = some_rows(act->attn_out, begin, end),
        .mlp_out = some_rows(act->mlp_out, begin, end),
        .attn_out_rstd = some_rows(act->attn_out_rstd, begin, end),
        .mlp_out_rstd = some_rows(act->mlp_out_rstd, begin, end),
    };
}

void rl_block_tmp_carve(rl_block_tmp *tmp, const rl_model_config *config, rl_carver *carver,
                        int64_t n) {
    *tmp = (rl_block_tmp){.normed = matrix(carver, n, config->width),
                          .hidden = matrix(carver, n, config->mlp)};
    if (has(config, RL_ROLE_Q_NORM)) {
        tmp->qk = matrix(carver, n, qk_width(config));
    }
}

/* How many groups a row of heads is normed in. */
static int64_t groups(const rl_model_config *config, rl_role role, int64_t n_heads) {
    const rl_family *family = rl_family_find(config->family);
    for (size_t i = 0; i < family->n_layer; i++) {
        if (family->layer[i].role == role) {
            return n_heads * config->head_dim / rl_dim_size(config, family->layer[i].rows);
        }
    }
    return 0;
}

void rl_block_back_tmp_carve(rl_block_back_tmp *tmp, const rl_model_config *config,
                             rl_carver *carver, int64_t n, int64_t chunk) {
    int64_t c = n < chunk ? n : chunk, width = config->width, mlp = config->mlp;
    *tmp = (rl_block_back_tmp){.normed = matrix(carver, c, width),
                               .hidden = matrix(carver, c, mlp),
                               .d_normed = matrix(carver, c, width),
                               .d_hidden = matrix(carver, c, mlp),
                               .d_gate_up = matrix(carver, c, 2 * mlp),
                               .d_qkv = matrix(carver, n, rl_qkv_width(config)),
                               .d_mixed =
                                   matrix(carver, n, (int64_t)config->n_heads * config->head_dim),
                               .chunk = chunk};
    if (has(config, RL_ROLE_Q_NORM)) {
        tmp->qk = matrix(carver, n, qk_width(config));
        tmp->d_qk = matrix(carver, n, qk_width(config));
        tmp->q_rstd = vector(carver, n * groups(config, RL_ROLE_Q_NORM, config->n_heads));
        tmp->k_rstd = vector(carver, n * groups(config, RL_ROLE_K_NORM, config->n_kv_heads));
    }
}
