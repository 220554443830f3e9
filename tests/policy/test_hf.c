#include "rl/policy/hf.h"

#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/tensor/ops.h"
#include "rl/tensor/safetensors.h"
#include "tests/support/checkpoints.h"

static void tiny_checkpoints(void **state) {
    static const char *const folders[][2] = {
        {"models/llama", "models/llama/model.safetensors"},
        {"models/llama3", "models/llama3/model.safetensors"},
        {"models/llama-sharded", "models/llama/model.safetensors"},
    };
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(folders); i++) {
        rl_params params;
        rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden(folders[i][0]), &params);
        assert_null(rl_checkpoint_gguf(cp));
        assert_string_equal(rl_checkpoint_path(cp), rl_golden(folders[i][0]));
        rl_test_same_as_file(be, &params, rl_golden(folders[i][1]));
        rl_test_checkpoint_drop(be, cp, &params);
    }
}

// The forward reads q, k, v and gate, up as one matrix each.
static void neighbours_in_memory(void **state) {
    static const char *const runs[][3] = {
        {"model.layers.1.self_attn.q_proj.weight", "model.layers.1.self_attn.k_proj.weight",
         "model.layers.1.self_attn.v_proj.weight"},
        {"model.layers.1.mlp.gate_proj.weight", "model.layers.1.mlp.up_proj.weight", NULL},
    };
    rl_backend *be = *state;
    rl_params params;
    rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/llama"), &params);
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
    rl_test_checkpoint_drop(be, cp, &params);
}

/* A folder whose files a test spoils: the tiny llama, its weights as a list that can be changed. */
typedef struct spoilt {
    char *folder;
    rl_arena *arena;
    rl_safetensors *source;
    rl_weight weight[40];
    size_t n;
} spoilt;

static void put_file(const spoilt *s, const char *name, const char *text) {
    rl_err err;
    assert_ok(rl_fs_write(rl_path_join(s->arena, s->folder, name), text, strlen(text), &err));
}

static void spoil_begin(spoilt *s) {
    rl_err err;
    s->folder = rl_test_folder();
    s->arena = rl_arena_new(0);
    put_file(s, "config.json", rl_test_text(s->arena, rl_golden("models/llama"), "config.json"));
    assert_ok(rl_safetensors_open(rl_golden("models/llama/model.safetensors"), &s->source, &err));
    s->n = rl_safetensors_count(s->source);
    for (size_t i = 0; i < s->n; i++) {
        s->weight[i] = *rl_safetensors_at(s->source, i);
    }
}

static void spoil_end(spoilt *s) {
    rl_safetensors_close(s->source);
    rl_test_drop(s->folder);
    rl_arena_free(s->arena);
}

static rl_weight *spoilt_weight(spoilt *s, const char *name) {
    for (size_t i = 0; i < s->n; i++) {
        if (strcmp(s->weight[i].name, name) == 0) {
            return &s->weight[i];
        }
    }
    fail_msg("no '%s'", name);
    return NULL;
}

static rl_status read_spoilt(const spoilt *s, rl_backend *be, rl_err *err) {
    rl_params params;
    rl_checkpoint *cp;
    rl_status status;
    assert_int_equal(rl_safetensors_write(rl_path_join(s->arena, s->folder, "model.safetensors"),
                                          s->weight, s->n, NULL, NULL, err),
                     RL_OK);
    status = rl_checkpoint_open(s->folder, &cp, err);
    if (status != RL_OK) {
        return status;
    }
    status = rl_params_init(&params, rl_checkpoint_config(cp), be, false, err);
    assert_int_equal(status, RL_OK);
    assert_true(rl_tensor_is_null(params.item[0].grad));
    status = rl_checkpoint_read(cp, &params, be, err);
    rl_params_release(&params, be);
    rl_checkpoint_close(cp);
    return status;
}

static void missing_tensors(void **state) {
    rl_backend *be = *state;
    rl_err err = {""};
    spoilt s;
    spoil_begin(&s);
    *spoilt_weight(&s, "model.norm.weight") = s.weight[s.n - 1];
    s.n--;
    if (strcmp(s.weight[s.n - 1].name, s.weight[s.n].name) == 0) {
        fail_msg("the last tensor was the norm");
    }
    assert_int_equal(read_spoilt(&s, be, &err), RL_IO);
    rl_test_says(&err, "lacks tensor 'model.norm.weight'");
    s.n -= 3;
    assert_int_equal(read_spoilt(&s, be, &err), RL_IO);
    rl_test_says(&err, "and 3 more");
    spoil_end(&s);
}

static void surplus_and_misshapen_tensors(void **state) {
    rl_backend *be = *state;
    rl_err err = {""};
    spoilt s;
    rl_weight *w, *k;
    int64_t rows;
    spoil_begin(&s);
    w = &s.weight[s.n++]; // a bias that a llama does not have
    *w = *spoilt_weight(&s, "model.norm.weight");
    w->name = "model.layers.0.self_attn.q_proj.bias";
    assert_int_equal(read_spoilt(&s, be, &err), RL_UNSUPPORTED);
    rl_test_says(&err,
                 "tensor 'model.layers.0.self_attn.q_proj.bias' has no place in a llama model");
    w->name = "model.layers.0.self_attn.rotary_emb.inv_freq"; // a table, not a weight
    assert_int_equal(read_spoilt(&s, be, &err), RL_OK);
    s.n--;
    k = spoilt_weight(&s, "model.layers.2.self_attn.k_proj.weight");
    rows = k->shape[0];
    k->shape[0] = k->shape[1];
    k->shape[1] = rows;
    assert_int_equal(read_spoilt(&s, be, &err), RL_IO);
    rl_test_says(&err, "tensor 'model.layers.2.self_attn.k_proj.weight' has shape [48, 16] but its "
                       "config asks for [16, 48]");
    k->shape[0] = rows * 48; // the right number of values in one dimension
    k->rank = 1;
    assert_int_equal(read_spoilt(&s, be, &err), RL_IO);
    rl_test_says(&err, "has shape [768]");
    k->shape[0] = 16;
    k->shape[1] = 48;
    k->rank = 2;
    k->stored = RL_STORED_I32;
    assert_int_equal(read_spoilt(&s, be, &err), RL_UNSUPPORTED);
    rl_test_says(&err, "is stored as I32, which is not supported");
    spoil_end(&s);
}

static void tied_head_stored_twice(void **state) {
    rl_backend *be = *state;
    rl_err err = {""};
    spoilt s;
    rl_weight *head;
    float *other;
    spoil_begin(&s);
    head = &s.weight[s.n++];
    *head = *spoilt_weight(&s, "model.embed_tokens.weight");
    head->name = "lm_head.weight";
    assert_int_equal(read_spoilt(&s, be, &err), RL_OK);
    other = rl_alloc(head->n_bytes, 1);
    head->bytes = other;
    assert_int_equal(read_spoilt(&s, be, &err), RL_IO);
    rl_test_says(&err, "ties the head to the embedding, but tensor 'lm_head.weight' differs");
    rl_free(other);
    spoil_end(&s);
}

static rl_status open_only(const char *folder, rl_err *err) {
    rl_checkpoint *cp;
    rl_status status = rl_checkpoint_open(folder, &cp, err);
    if (status == RL_OK) {
        rl_checkpoint_close(cp);
    } else {
        assert_null(cp);
    }
    return status;
}

// Each index names shards of a folder that holds one good file, one.safetensors.
static void bad_indices(void **state) {
    static const struct {
        const char *index, *part;
    } rows[] = {
        {"{}", "has no 'weight_map'"},
        {"{\"weight_map\": {}}", "has no 'weight_map'"},
        {"{\"weight_map\": {\"a\": \"two.safetensors\"}}", "two.safetensors"},
        {"{\"weight_map\": {\"a\": \"one.safetensors\"}}",
         "the index puts tensor 'a' in 'one.safetensors', which does not have it"},
        {"{\"weight_map\": {\"a\": \"../one.safetensors\"}}", "is not a file of this folder"},
        {"{\"weight_map\": {\"a\": 3}}", "is not a file of this folder"},
        {"{\"weight_map\": [\"one.safetensors\"]}", "has no 'weight_map'"},
        {"{\"weight_map\": {\"model.norm.weight\": \"one.safetensors\", "
         "\"b\": \"copy.safetensors\"}}",
         "which does not have it"},
        {"{\"weight_map\": ", "line 1, column"},
    };
    rl_err err = {""};
    spoilt s;
    (void)state;
    spoil_begin(&s);
    rl_test_says(&err, "");
    assert_int_equal(open_only(s.folder, &err), RL_IO);
    rl_test_says(&err, "has neither model.safetensors nor model.safetensors.index.json");
    put_file(&s, "pytorch_model.bin", "x");
    assert_int_equal(open_only(s.folder, &err), RL_UNSUPPORTED);
    rl_test_says(&err, "pytorch_model.bin only");
    assert_ok(rl_safetensors_write(rl_path_join(s.arena, s.folder, "one.safetensors"), s.weight,
                                   s.n, NULL, NULL, &err));
    assert_ok(rl_safetensors_write(rl_path_join(s.arena, s.folder, "copy.safetensors"), s.weight, 1,
                                   NULL, NULL, &err));
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        put_file(&s, "model.safetensors.index.json", rows[i].index);
        assert_int_equal(open_only(s.folder, &err), RL_IO);
        rl_test_says(&err, rows[i].part);
    }
    put_file(&s, "model.safetensors.index.json",
             rl_arena_printf(s.arena,
                             "{\"weight_map\": {\"%s\": \"one.safetensors\", \"%s\": "
                             "\"copy.safetensors\"}}",
                             s.weight[1].name, s.weight[0].name));
    assert_int_equal(open_only(s.folder, &err), RL_IO);
    rl_test_says(&err, s.weight[0].name);
    spoil_end(&s);
}

static void bad_folders(void **state) {
    char *folder = rl_test_folder();
    rl_arena *arena = rl_arena_new(0);
    rl_err err = {""};
    (void)state;
    assert_int_equal(open_only(rl_path_join(arena, folder, "absent"), &err), RL_IO);
    rl_test_says(&err, "there is no model at");
    assert_int_equal(open_only(folder, &err), RL_IO);
    rl_test_says(&err, "has no config.json");
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "config.json"), "{\"model_type\"", 13, &err));
    assert_int_equal(open_only(folder, &err), RL_IO);
    rl_test_says(&err, "config.json', line 1, column");
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "config.json"),
                          "{\"model_type\": \"mixtral\"}", 25, &err));
    assert_int_equal(open_only(folder, &err), RL_UNSUPPORTED);
    rl_test_says(&err, "model type 'mixtral' is not supported; supported: llama");
    rl_test_says(&err, folder);
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "text.gguf"), "hello", 5, &err));
    assert_int_equal(open_only(rl_path_join(arena, folder, "text.gguf"), &err), RL_IO);
    rl_test_says(&err, "is not a GGUF file");
    rl_arena_free(arena);
    rl_test_drop(folder);
}

static void shared_models(void **state) {
    static const char *const folders[] = {"models/stories260K/hf", "models/random-llama-digits"};
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(folders); i++) {
        const char *path = rl_shared(folders[i]);
        rl_arena *arena;
        rl_params params;
        rl_checkpoint *cp;
        if (path == NULL) {
            rl_test_lacks_shared(folders[i]);
            continue;
        }
        arena = rl_arena_new(0);
        cp = rl_test_checkpoint(be, path, &params);
        rl_test_same_as_file(be, &params, rl_path_join(arena, path, "model.safetensors"));
        rl_test_checkpoint_drop(be, cp, &params);
        rl_arena_free(arena);
    }
    rl_test_skip_lacking();
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(tiny_checkpoints),
        cmocka_unit_test(neighbours_in_memory),
        cmocka_unit_test(missing_tensors),
        cmocka_unit_test(surplus_and_misshapen_tensors),
        cmocka_unit_test(tied_head_stored_twice),
        cmocka_unit_test(bad_indices),
        cmocka_unit_test(bad_folders),
        cmocka_unit_test(shared_models),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
