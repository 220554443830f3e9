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

// Allocates for n_values of the parameters.
static rl_status allocate(rl_params *params, const rl_model_config *config, rl_backend *be,
                          int64_t n_values, bool trains, rl_err *err) {
    const rl_family *family = rl_family_find(config->family);
    size_t n_bytes = (size_t)n_values * sizeof(float);
    rl_status status;
    RL_ASSERT(family != NULL);
    *params = (rl_params){.n_items = rl_family_count(family, config),
                          .n_values = rl_model_config_params(config)};
    status = rl_buffer_alloc(be, n_bytes, &params->value, err);
    if (status == RL_OK && trains) {
        status = rl_buffer_alloc(be, n_bytes, &params->grad, err);
    }
    if (status != RL_OK) {
        const char *what = params->value == NULL ? "weights" : "gradients";
        rl_params_release(params, be);
        return rl_fail(err, status,
                       "no memory for the %s of %lld parameters (%.0f MiB); choose a smaller model",
                       what, (long long)n_values, (double)n_bytes / 1048576.0);
    }
    params->item = rl_alloc((size_t)params->n_items, sizeof *params->item);
    return RL_OK;
}

static void place_item(rl_params *params, const rl_model_config *config, int32_t i, int64_t at) {
    rl_param *item = &params->item[i];
    rl_place place = rl_family_place(rl_family_find(config->family), config, i);
    rl_place_hf_name(place, item->name);
    item->value = view(config, place.row, params->value, at);
    if (params->grad != NULL) {
        item->grad = view(config, place.row, params->grad, at);
    }
    item->decay = place.row->cols != RL_DIM_NONE;
    item->hidden = item->decay && place.layer >= 0;
}

rl_status rl_params_init(rl_params *params, const rl_model_config *config, rl_backend *be,
                         bool trains, rl_err *err) {
    int64_t at = 0;
    rl_status status = allocate(params, config, be, rl_model_config_params(config), trains, err);
    if (status != RL_OK) {
        return status;
    }
    for (int32_t i = 0; i < params->n_items; i++) {
        place_item(params, config, i, at);
        at += rl_tensor_count(params->item[i].value);
    }
    RL_ASSERT(at == params->n_values);
    return RL_OK;
}

// Values of a parameter, and whether it is in the common place: a matrix, and not the embedding.
static int64_t count_of(const rl_model_config *config, int32_t i, bool *passes, int32_t *layer) {
    rl_place place = rl_family_place(rl_family_find(config->family), config, i);
    *passes = place.row->cols != RL_DIM_NONE && place.row->role != RL_ROLE_EMBEDDING;
    *layer = place.layer;
    return rl_dim_size(config, place.row->rows) *
           (place.row->cols != RL_DIM_NONE ? rl_dim_size(config, place.row->cols) : 1);
}

rl_status rl_params_init_passing(rl_params *params, const rl_model_config *config, rl_backend *be,
                                 rl_err *err) {
    int32_t n_items = rl_family_count(rl_family_find(config->family), config), layer, last = -1;
    int64_t stays = 0, most = 0, at_stays = 0, at_passes = 0;
    bool passes;
    for (int32_t i = 0; i < n_items; i++) {
        int64_t n = count_of(config, i, &passes, &layer);
        at_passes = layer == last ? at_passes : 0;
        last = layer;
        stays += passes ? 0 : n;
        at_passes += passes ? n : 0;
        most = at_passes > most ? at_passes : most;
    }
    rl_status status = allocate(params, config, be, stays + most, false, err);
    last = -1;
    for (int32_t i = 0; status == RL_OK && i < n_items; i++) {
        int64_t n = count_of(config, i, &passes, &layer);
        at_passes = layer == last ? at_passes : 0;
        last = layer;
        place_item(params, config, i, passes ? stays + at_passes : at_stays);
        *(passes ? &at_passes : &at_stays) += n;
    }
    return status;
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
