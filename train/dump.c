#include "train/dump.h"

#include <string.h>

#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

dump dump_begin(rl_arena *arena, int64_t n_rows, int64_t n_cols) {
    return (dump){.arena = arena, .n_rows = n_rows, .n_cols = n_cols};
}

static void *add(dump *d, const char *name, rl_stored stored, bool by_token) {
    rl_weight *w = &d->tensor[d->n_tensors++];
    RL_ASSERT(d->n_tensors <= DUMP_TENSORS);
    *w = (rl_weight){.name = name,
                     .stored = stored,
                     .rank = by_token ? 2 : 1,
                     .shape = {d->n_rows, by_token ? d->n_cols : 0}};
    w->n_bytes = (size_t)rl_weight_count(w) * rl_stored_block_bytes(stored);
    void *bytes = rl_arena_alloc(d->arena, w->n_bytes, 1);
    w->bytes = bytes;
    return bytes;
}

int32_t *dump_ints(dump *d, const char *name, bool by_token) {
    return add(d, name, RL_STORED_I32, by_token);
}

double *dump_reals(dump *d, const char *name, bool by_token) {
    return add(d, name, RL_STORED_F64, by_token);
}

uint8_t *dump_flags(dump *d, const char *name, bool by_token) {
    return add(d, name, RL_STORED_U8, by_token);
}

typedef struct gradients {
    const rl_params *params;
    rl_backend *be;
    size_t first; // tensors before them
} gradients;

static void fill(void *self, size_t i, size_t begin, size_t n_bytes, void *out) {
    const gradients *g = self;
    rl_tensor grad = g->params->item[i - g->first].grad;
    rl_tensor_get(g->be,
                  rl_tensor_1d(RL_DTYPE_F32, grad.buffer, grad.offset + begin,
                               (int64_t)(n_bytes / sizeof(float))),
                  out);
}

rl_status dump_write(const dump *d, rl_policy *policy, const char *path, rl_err *err) {
    const rl_params *params = rl_policy_params(policy);
    gradients from = {params, rl_policy_backend(policy), d->n_tensors};
    size_t n = d->n_tensors + (size_t)params->n_items;
    rl_weight *all = rl_arena_alloc(d->arena, n, sizeof *all);
    rl_status status = rl_backend_sync(from.be, err);
    memcpy(all, d->tensor, d->n_tensors * sizeof *all);
    for (int32_t i = 0; i < params->n_items; i++) {
        rl_tensor grad = params->item[i].grad;
        rl_weight *w = &all[d->n_tensors + (size_t)i];
        *w = (rl_weight){.name = rl_arena_printf(d->arena, "grad.%s", params->item[i].name),
                         .stored = RL_STORED_F32,
                         .rank = grad.rank,
                         .n_bytes = (size_t)rl_tensor_count(grad) * sizeof(float)};
        memcpy(w->shape, grad.shape, sizeof w->shape);
    }
    return status == RL_OK ? rl_safetensors_write(path, all, n, fill, &from, err) : status;
}
