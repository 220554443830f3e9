#include "rl/policy/hf.h"

#include <math.h>
#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/pool.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"
#include "tests/support/gguf_build.h"
#include "tests/support/support.h"

typedef struct bench {
    rl_pool *pool;
    rl_backend *be;
} bench;

static int open_backend(void **state) {
    static bench b;
    rl_err err;
    assert_ok(rl_pool_new(1, false, &b.pool, &err));
    assert_ok(rl_cpu_open(RL_KERNELS_REF, b.pool, &b.be, &err));
    *state = &b;
    return 0;
}

static int close_backend(void **state) {
    bench *b = *state;
    rl_cpu_close(b->be);
    rl_pool_free(b->pool);
    return 0;
}

// The values of a parameter, on the heap.
static float *values_of(rl_backend *be, const rl_param *param) {
    float *out = rl_alloc((size_t)rl_tensor_count(param->value), sizeof *out);
    rl_tensor_get(be, param->value, out);
    return out;
}

static rl_checkpoint *open_and_read(rl_backend *be, const char *path, rl_params *params) {
    rl_checkpoint *cp;
    rl_err err;
    assert_ok(rl_checkpoint_open(path, &cp, &err));
    assert_ok(rl_params_init(params, rl_checkpoint_config(cp), be, true, &err));
    assert_ok(rl_checkpoint_read(cp, params, be, &err));
    return cp;
}

static void assert_same_as_file(rl_backend *be, const rl_params *params, const char *path) {
    rl_safetensors *file;
    rl_err err;
    int64_t n_values = 0;
    assert_ok(rl_safetensors_open(path, &file, &err));
    assert_int_equal(rl_safetensors_count(file), params->n_items);
    for (int32_t i = 0; i < params->n_items; i++) {
        const rl_param *p = &params->item[i];
        const rl_weight *w = rl_safetensors_find(file, p->name);
        float *got, *want;
        assert_non_null(w);
        assert_int_equal(w->rank, p->value.rank);
        assert_int_equal(p->decay, w->rank == 2);
        assert_int_equal(rl_weight_count(w), rl_tensor_count(p->value));
        got = values_of(be, p);
        want = rl_alloc((size_t)rl_weight_count(w), sizeof *want);
        rl_weight_to_f32(w, want);
        assert_memory_equal(got, want, (size_t)rl_weight_count(w) * sizeof *want);
        n_values += rl_weight_count(w);
        rl_free(got);
        rl_free(want);
    }
    assert_int_equal(n_values, params->n_values);
    rl_safetensors_close(file);
}

static void tiny_checkpoints(void **state) {
    static const char *const folders[][2] = {
        {"models/llama", "models/llama/model.safetensors"},
        {"models/llama3", "models/llama3/model.safetensors"},
        {"models/llama-sharded", "models/llama/model.safetensors"},
    };
    const bench *b = *state;
    for (size_t i = 0; i < RL_COUNT(folders); i++) {
        rl_params params;
        rl_checkpoint *cp = open_and_read(b->be, rl_golden(folders[i][0]), &params);
        assert_null(rl_checkpoint_gguf(cp));
        assert_string_equal(rl_checkpoint_path(cp), rl_golden(folders[i][0]));
        assert_same_as_file(b->be, &params, rl_golden(folders[i][1]));
        rl_params_release(&params, b->be);
        rl_checkpoint_close(cp);
    }
}

// The forward reads q, k, v and gate, up as one matrix each.
static void neighbours_in_memory(void **state) {
    static const char *const runs[][3] = {
        {"model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj.weight",
         "model.layers.1.self_attn.v_proj.weight"},
        {"model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.up_proj.weight", NULL},
    };
    const bench *b = *state;
    rl_params params;
    rl_checkpoint *cp = open_and_read(b->be, rl_golden("models/llama"), &params);
    for (size_t i = 0; i < RL_COUNT(runs); i++) {
        for (size_t k = 1; k < 3 && runs[i][k] != NULL; k++) {
            const rl_param *left = rl_params_find(&params, runs[i][k - 1]);
            const rl_param *right = rl_params_find(&params, runs[i][k]);
            assert_int_equal(left->value.offset + rl_tensor_bytes(left->value),
                             right->value.offset);
            assert_int_equal(left->grad.offset + rl_tensor_bytes(left->grad), right->grad.offset);
            assert_ptr_equal(left->value.buffer, right->value.buffer);
        }
    }
    assert_null(rl_params_find(&params, "lm_head.weight")); // tied
    rl_params_release(&params, b->be);
    rl_checkpoint_close(cp);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_checkpoints),
        cmocka_unit_test(neighbours_in_memory),
    };
    return cmocka_run_group_tests(tests, open_backend, close_backend);
}
