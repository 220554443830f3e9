#include "tests/support/checkpoints.h"

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"

static rl_pool *pool;

int rl_test_backend_open(void **state) {
    rl_backend *be;
    rl_err err;
    assert_ok(rl_pool_new(1, false, &pool, &err));
    assert_ok(rl_cpu_open(RL_KERNELS_REF, pool, &be, &err));
    *state = be;
    return 0;
}

int rl_test_backend_close(void **state) {
    rl_cpu_close(*state);
    rl_pool_free(pool);
    return 0;
}

rl_checkpoint *rl_test_checkpoint(rl_backend *be, const char *path, rl_params *params) {
    rl_checkpoint *cp;
    rl_err err;
    assert_ok(rl_checkpoint_open(path, &cp, &err));
    assert_ok(rl_params_init(params, rl_checkpoint_config(cp), be, true, &err));
    assert_ok(rl_checkpoint_read(cp, params, be, &err));
    return cp;
}

void rl_test_checkpoint_drop(rl_backend *be, rl_checkpoint *checkpoint, rl_params *params) {
    rl_params_release(params, be);
    rl_checkpoint_close(checkpoint);
}

float *rl_test_values(rl_backend *be, const rl_param *param) {
    float *out = rl_alloc((size_t)rl_tensor_count(param->value), sizeof *out);
    rl_tensor_get(be, param->value, out);
    return out;
}

void rl_test_same_as_file(rl_backend *be, const rl_params *params, const char *path) {
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
        got = rl_test_values(be, p);
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

void rl_test_same_config(const rl_model_config *a, const rl_model_config *b) {
    assert_string_equal(a->family, b->family);
    assert_int_equal(a->vocab, b->vocab);
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->n_layers, b->n_layers);
    assert_int_equal(a->n_heads, b->n_heads);
    assert_int_equal(a->n_kv_heads, b->n_kv_heads);
    assert_int_equal(a->head_dim, b->head_dim);
    assert_int_equal(a->mlp, b->mlp);
    assert_int_equal(a->max_positions, b->max_positions);
    assert_true(a->norm_eps == b->norm_eps);
    assert_int_equal(a->n_ropes, b->n_ropes);
    for (int32_t i = 0; i < a->n_ropes; i++) {
        const rl_rope *x = &a->rope[i], *y = &b->rope[i];
        assert_true(x->kind == y->kind && x->theta == y->theta && x->factor == y->factor);
        assert_true(x->low_freq == y->low_freq && x->high_freq == y->high_freq);
        assert_int_equal(x->original, y->original);
    }
    assert_int_equal(a->window, b->window);
    assert_memory_equal(&a->sliding, &b->sliding, sizeof a->sliding);
    assert_memory_equal(&a->still, &b->still, sizeof a->still);
    assert_true(a->query_scalar == b->query_scalar);
    assert_int_equal(a->tied, b->tied);
    assert_int_equal(a->bos, b->bos);
    assert_int_equal(a->pad, b->pad);
    assert_int_equal(a->n_eos, b->n_eos);
    assert_memory_equal(a->eos, b->eos, sizeof a->eos);
}

char *rl_test_round_trip(rl_backend *be, const rl_checkpoint *checkpoint, const rl_params *params) {
    char *folder = rl_test_folder();
    rl_params again;
    rl_checkpoint *saved;
    rl_err err;
    assert_ok(rl_checkpoint_write(checkpoint, params, be, RL_SAVE_F32, folder, &err));
    saved = rl_test_checkpoint(be, folder, &again);
    rl_test_same_config(rl_checkpoint_config(saved), rl_checkpoint_config(checkpoint));
    assert_int_equal(again.n_values, params->n_values);
    for (int32_t i = 0; i < params->n_items; i++) {
        float *a = rl_test_values(be, &params->item[i]), *b = rl_test_values(be, &again.item[i]);
        assert_string_equal(params->item[i].name, again.item[i].name);
        assert_memory_equal(a, b, rl_tensor_bytes(params->item[i].value));
        rl_free(a);
        rl_free(b);
    }
    rl_test_checkpoint_drop(be, saved, &again);
    return folder;
}

char *rl_test_text(rl_arena *arena, const char *folder, const char *name) {
    char *text;
    size_t len;
    rl_err err;
    assert_ok(rl_fs_read(rl_path_join(arena, folder, name), arena, &text, &len, &err));
    return text;
}

void rl_test_says(const rl_err *err, const char *part) {
    if (strstr(err->text, part) == NULL) {
        fail_msg("wanted '...%s...', got '%s'", part, err->text);
    }
}
