/* Parameters as safetensors files: one, or shards with an index. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/checkpoint.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"

const char *const rl_save_dtype_names[] = {"f32", "bf16", "f16", NULL};

/* In enumerator order. */
static const struct {
    const char *torch; // in config.json
    rl_stored stored;
} dtypes[] = {{"float32", RL_STORED_F32}, {"bfloat16", RL_STORED_BF16}, {"float16", RL_STORED_F16}};

const char *rl_save_dtype_torch(rl_save_dtype dtype) {
    return dtypes[dtype].torch;
}

/* Some parameters on their way into a file. */
typedef struct values {
    const rl_param *item;
    rl_backend *be;
    rl_stored stored;
} values;

static void fill(void *self, size_t i, size_t begin, size_t n_bytes, void *out) {
    const values *from = self;
    rl_tensor value = from->item[i].value;
    size_t size = rl_stored_block_bytes(from->stored);
    rl_tensor part =
        rl_tensor_1d(RL_DTYPE_F32, value.buffer, value.offset + begin / size * sizeof(float),
                     (int64_t)(n_bytes / size));
    float *wide;
    if (from->stored == RL_STORED_F32) {
        rl_tensor_get(from->be, part, out);
        return;
    }
    wide = rl_alloc((size_t)part.shape[0], sizeof *wide);
    rl_tensor_get(from->be, part, wide);
    rl_f32_to_stored(from->stored, wide, part.shape[0], out);
    rl_free(wide);
}

static int64_t bytes_of(const rl_param *item, rl_stored stored) {
    return rl_tensor_count(item->value) * (int64_t)rl_stored_block_bytes(stored);
}

static rl_status write_items(const rl_param *item, int32_t n, rl_backend *be, rl_stored stored,
                             const char *path, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_weight *weights = rl_arena_alloc(arena, (size_t)n, sizeof *weights);
    values from = {.item = item, .be = be, .stored = stored};
    rl_status status;
    for (int32_t i = 0; i < n; i++) {
        weights[i] = (rl_weight){.name = item[i].name,
                                 .stored = stored,
                                 .rank = item[i].value.rank,
                                 .n_bytes = (size_t)bytes_of(&item[i], stored)};
        memcpy(weights[i].shape, item[i].value.shape, sizeof weights[i].shape);
    }
    status = rl_safetensors_write(path, weights, (size_t)n, fill, &from, err);
    rl_arena_free(arena);
    return status;
}

// The first parameter with a value beyond F16's range, or NULL.
static const char *too_large(const rl_params *params, rl_backend *be) {
    const char *name = NULL;
    for (int32_t i = 0; i < params->n_items && name == NULL; i++) {
        const rl_param *item = &params->item[i];
        int64_t n = rl_tensor_count(item->value);
        float *x = rl_alloc((size_t)n, sizeof *x);
        rl_tensor_get(be, item->value, x);
        for (int64_t k = 0; k < n && name == NULL; k++) {
            name = fabsf(x[k]) >= 65520.0f && isfinite(x[k]) ? item->name : NULL;
        }
        rl_free(x);
    }
    return name;
}

rl_status rl_check_fits(const rl_params *params, rl_backend *be, rl_stored stored, rl_err *err) {
    rl_status status = rl_backend_sync(be, err);
    const char *name = status == RL_OK && stored == RL_STORED_F16 ? too_large(params, be) : NULL;
    return name == NULL
               ? status
               : rl_fail(err, RL_UNSUPPORTED,
                         "'%s' has a value that F16 cannot hold; save as bf16 or f32", name);
}

rl_status rl_save_params(const rl_params *params, rl_backend *be, rl_save_dtype dtype,
                         const char *path, rl_err *err) {
    rl_status status = rl_check_fits(params, be, dtypes[dtype].stored, err);
    return status == RL_OK
               ? write_items(params->item, params->n_items, be, dtypes[dtype].stored, path, err)
               : status;
}

// Where the shard that begins with item `begin` ends.
static int32_t shard_end(const rl_params *params, rl_stored stored, int64_t shard_bytes,
                         int32_t begin) {
    int64_t bytes = bytes_of(&params->item[begin], stored);
    int32_t end = begin + 1;
    while (end < params->n_items && bytes + bytes_of(&params->item[end], stored) <= shard_bytes) {
        bytes += bytes_of(&params->item[end++], stored);
    }
    return end;
}

static void print_index(const rl_params *params, rl_stored stored, int64_t shard_bytes,
                        int32_t n_shards, rl_str *out) {
    rl_json_writer w = {.out = out};
    char name[64];
    rl_json_open_object(&w, NULL);
    rl_json_open_object(&w, "metadata");
    rl_json_put_int(&w, "total_parameters", params->n_values);
    rl_json_put_int(&w, "total_size", params->n_values * (int64_t)rl_stored_block_bytes(stored));
    rl_json_close_object(&w);
    rl_json_open_object(&w, "weight_map");
    for (int32_t begin = 0, end, shard = 1; begin < params->n_items; begin = end, shard++) {
        end = shard_end(params, stored, shard_bytes, begin);
        snprintf(name, sizeof name, "model-%05d-of-%05d.safetensors", shard, n_shards);
        for (int32_t i = begin; i < end; i++) {
            rl_json_put_text(&w, params->item[i].name, name, strlen(name));
        }
    }
    rl_json_close_object(&w);
    rl_json_close_object(&w);
}

rl_status rl_save_shards(const rl_params *params, rl_backend *be, rl_save_dtype dtype,
                         int64_t shard_bytes, const char *folder, rl_err *err) {
    rl_stored stored = dtypes[dtype].stored;
    rl_arena *arena = rl_arena_new(0);
    rl_str index = {0};
    int32_t n_shards = 0;
    rl_status status;
    for (int32_t at = 0; at < params->n_items; n_shards++) {
        at = shard_end(params, stored, shard_bytes, at);
    }
    if (n_shards == 1) {
        status = rl_save_params(params, be, dtype, rl_path_join(arena, folder, "model.safetensors"),
                                err);
        rl_arena_free(arena);
        return status;
    }
    status = rl_check_fits(params, be, stored, err);
    for (int32_t begin = 0, end, shard = 1; begin < params->n_items && status == RL_OK;
         begin = end, shard++) {
        end = shard_end(params, stored, shard_bytes, begin);
        status = write_items(
            params->item + begin, end - begin, be, stored,
            rl_arena_printf(arena, "%s/model-%05d-of-%05d.safetensors", folder, shard, n_shards),
            err);
    }
    if (status == RL_OK) {
        print_index(params, stored, shard_bytes, n_shards, &index);
        status = rl_fs_write(rl_path_join(arena, folder, "model.safetensors.index.json"), index.ptr,
                             index.len, err);
    }
    rl_str_release(&index);
    rl_arena_free(arena);
    return status;
}
