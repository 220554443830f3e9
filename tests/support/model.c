#include "tests/support/model.h"

#include "tests/support/support.h"

void rl_test_model_open(rl_test_model *model, const char *path, rl_kernels kernels,
                        int32_t n_threads, bool trains) {
    rl_policy_opts opts = {.trains = trains};
    rl_test_model_open_as(model, path, kernels, n_threads, &opts);
}

void rl_test_model_open_as(rl_test_model *model, const char *path, rl_kernels kernels,
                           int32_t n_threads, const rl_policy_opts *opts) {
    rl_policy_opts with_adapter = *opts;
    rl_err err;
    assert_ok(rl_pool_new(n_threads, true, &model->pool, &err));
    assert_ok(rl_cpu_open(kernels, model->pool, &model->be, &err));
    assert_ok(rl_adapted_open(path, NULL, &model->checkpoint, &model->adapter, &err));
    with_adapter.adapter = model->adapter;
    assert_ok(rl_policy_open(model->checkpoint, model->be, &with_adapter, &model->policy, &err));
}

void rl_test_model_close(rl_test_model *model) {
    rl_policy_free(model->policy);
    rl_adapter_close(model->adapter);
    rl_checkpoint_close(model->checkpoint);
    rl_cpu_close(model->be);
    rl_pool_free(model->pool);
    *model = (rl_test_model){0};
}

static void *copy_of(const rl_safetensors *file, const char *name, rl_stored stored,
                     rl_arena *arena, int64_t *n) {
    const rl_weight *weight = rl_safetensors_find(file, name);
    void *out;
    if (weight == NULL || weight->stored != stored) {
        fail_msg("no golden tensor '%s' of type %s", name, rl_stored_name(stored));
    }
    *n = rl_weight_count(weight);
    out = rl_arena_alloc(arena, weight->n_bytes, 1);
    memcpy(out, weight->bytes, weight->n_bytes);
    return out;
}

float *rl_test_floats(const rl_safetensors *file, const char *name, rl_arena *arena, int64_t *n) {
    return copy_of(file, name, RL_STORED_F32, arena, n);
}

int32_t *rl_test_ints(const rl_safetensors *file, const char *name, rl_arena *arena, int64_t *n) {
    return copy_of(file, name, RL_STORED_I32, arena, n);
}

static double number_of(const rl_json *value) {
    assert_non_null(value);
    assert_int_equal(rl_json_type_of(value), RL_JSON_NUMBER);
    return rl_json_number(value, 0);
}

double rl_test_number(const rl_json *object, const char *key) {
    return number_of(rl_json_get(object, key));
}

double *rl_test_numbers(const rl_json *list, rl_arena *arena, size_t *n) {
    const rl_json *item;
    double *out;
    size_t i = 0;
    assert_non_null(list);
    assert_int_equal(rl_json_type_of(list), RL_JSON_LIST);
    *n = rl_json_count(list);
    out = rl_arena_alloc(arena, *n, sizeof *out);
    for (item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        out[i++] = number_of(item);
    }
    return out;
}

int32_t *rl_test_ids(const rl_json *list, rl_arena *arena, int32_t *n) {
    size_t count, i;
    double *number = rl_test_numbers(list, arena, &count);
    int32_t *out = rl_arena_alloc(arena, count, sizeof *out);
    for (i = 0; i < count; i++) {
        out[i] = (int32_t)number[i];
    }
    *n = (int32_t)count;
    return out;
}
