#include "rl/policy/params.h"

#include <string.h>

#include "policy/family.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

_Static_assert(sizeof(((rl_param *)0)->name) == RL_NAME_MAX, "a parameter holds any name");

static rl_tensor view(const rl_model_config *config, const rl_tensor_row *row, rl_buffer *buffer,
                      int64_t at) {
    int64_t rows = rl_dim_size(config, row->rows);
    size_t offset = (size_t)at * sizeof(float);
    return row->cols == RL_DIM_NONE
               ? rl_tensor_1d(RL_DTYPE_F32, buffer, offset, rows)
               : rl_tensor_2d(RL_DTYPE_F32, buffer, offset, rows, rl_dim_size(config, row->cols));
}

rl_status rl_params_init(rl_params *params, const rl_model_config *config, rl_backend *be,
                         bool trains, rl_err *err) {
    const rl_family *family = rl_family_find(config->family);
    int64_t at = 0;
    size_t n_bytes;
    rl_status status;
    RL_ASSERT(family != NULL);
    *params = (rl_params){.n_items = rl_family_count(family, config),
                          .n_values = rl_model_config_params(config)};
    n_bytes = (size_t)params->n_values * sizeof(float);
    status = rl_buffer_alloc(be, n_bytes, &params->value, err);
    if (status == RL_OK && trains) {
        status = rl_buffer_alloc(be, n_bytes, &params->grad, err);
    }
    if (status != RL_OK) {
        const char *what = params->value == NULL ? "weights" : "gradients";
        long long n_values = params->n_values;
        rl_params_release(params, be);
        return rl_fail(err, status,
                       "no memory for the %s of %lld parameters (%.0f MiB); choose a smaller model",
                       what, n_values, (double)n_bytes / 1048576.0);
    }
    params->item = rl_alloc((size_t)params->n_items, sizeof *params->item);
    for (int32_t i = 0; i < params->n_items; i++) {
        rl_param *item = &params->item[i];
        rl_place place = rl_family_place(family, config, i);
        rl_place_hf_name(place, item->name);
        item->value = view(config, place.row, params->value, at);
        item->grad = trains ? view(config, place.row, params->grad, at) : (rl_tensor){0};
        item->decay = place.row->cols != RL_DIM_NONE;
        item->hidden = item->decay && place.layer >= 0;
        at += rl_tensor_count(item->value);
    }
    RL_ASSERT(at == params->n_values);
    return RL_OK;
}

void rl_params_release(rl_params *params, rl_backend *be) {
    rl_buffer_free(be, params->value);
    rl_buffer_free(be, params->grad);
    rl_free(params->item);
    *params = (rl_params){0};
}

rl_param *rl_params_find(const rl_params *params, const char *name) {
    for (int32_t i = 0; i < params->n_items; i++) {
        if (strcmp(params->item[i].name, name) == 0) {
            return &params->item[i];
        }
    }
    return NULL;
}
