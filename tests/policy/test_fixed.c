/*
 * Weights that are only computed with: of matrices the packed copy alone is kept, and nothing that
 * comes out differs.
 */
#include <math.h>

#include "policy/model.h"
#include "rl/core/alloc.h"
#include "rl/policy/decode.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"
#include "tests/support/checkpoints.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

enum { N_NEW = 12, N_SAMPLES = 2 };

static const char *const names[] = {"models/llama",   "models/llama-sharded", "models/llama3",
                                    "models/mistral", "models/qwen2",         "models/qwen3",
                                    "models/olmo2",   "models/smollm3",       "models/gemma3",
                                    "models/phi3",    "models/lora-llama"};

typedef struct drawn {
    int32_t token[N_SAMPLES][N_NEW];
    double logp[N_SAMPLES][N_NEW], entropy[N_SAMPLES][N_NEW];
} drawn;

static void draw(const char *path, bool fixed, rl_weights weights, drawn *out) {
    static const int32_t prompt_ids[] = {3, 17, 5, 40, 9};
    rl_policy_opts opts = {.fixed = fixed, .weights = weights};
    rl_decode_opts decode = {.max_new_tokens = N_NEW, .temperature = 1};
    rl_rng rng[N_SAMPLES];
    rl_prompt prompt = {
        .parent = -1, .token = prompt_ids, .n_tokens = 5, .n_samples = N_SAMPLES, .rng = rng};
    rl_completion done[N_SAMPLES];
    rl_arena *arena = rl_arena_new(0);
    rl_decoder *decoder;
    rl_test_model model;
    rl_err err;
    for (uint32_t i = 0; i < N_SAMPLES; i++) {
        rng[i] = (rl_rng){.seed = 7, .sample = i, .purpose = RL_RNG_SAMPLE};
    }
    rl_test_model_open_as(&model, path, RL_KERNELS_AUTO, 2, &opts);
    assert_int_equal(model.policy->fixed, fixed);
    assert_null(rl_policy_not_finite(model.policy, false));
    assert_ok(rl_decoder_new(model.policy, N_SAMPLES, &decoder, &err));
    assert_ok(rl_decoder_run(decoder, &prompt, 1, &decode, arena, done, &err));
    for (int i = 0; i < N_SAMPLES; i++) {
        assert_int_equal(done[i].n_tokens, N_NEW);
        memcpy(out->token[i], done[i].token, sizeof out->token[i]);
        memcpy(out->logp[i], done[i].logp, sizeof out->logp[i]);
        memcpy(out->entropy[i], done[i].entropy, sizeof out->entropy[i]);
    }
    rl_decoder_free(decoder);
    rl_arena_free(arena);
    rl_test_model_close(&model);
}

static void same_bits(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        for (int w = 0; w < 2; w++) {
            drawn kept, fixed;
            draw(rl_golden(names[i]), false, (rl_weights)w, &kept);
            draw(rl_golden(names[i]), true, (rl_weights)w, &fixed);
            assert_memory_equal(&fixed, &kept, sizeof kept);
        }
    }
}

/* What is allocated: embedding and vectors once, matrices of one layer. */
static void less_memory(void **state) {
    rl_backend *be = *state;
    rl_params all, passing;
    rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/qwen2"), &all);
    int64_t stays = 0, layer = 0;
    rl_err err;
    assert_ok(rl_params_init_passing(&passing, rl_checkpoint_config(cp), be, &err));
    assert_int_equal(passing.n_items, all.n_items);
    for (int32_t i = 0; i < all.n_items; i++) {
        const rl_param *p = &all.item[i];
        int64_t n = rl_tensor_count(p->value);
        stays += p->hidden ? 0 : n;
        layer += p->hidden && strstr(p->name, ".layers.1.") != NULL ? n : 0;
        assert_string_equal(passing.item[i].name, p->name);
        assert_int_equal(rl_tensor_count(passing.item[i].value), n);
    }
    for (int32_t i = 0; i < all.n_items; i++) {
        rl_tensor value = passing.item[i].value;
        assert_true(value.offset + rl_tensor_bytes(value) <=
                    (size_t)(stays + layer) * sizeof(float));
    }
    assert_true(layer > 0 && stays + layer < all.n_values);
    rl_params_release(&passing, be);
    rl_test_checkpoint_drop(be, cp, &all);
}

/* A weight that is no number is found although its matrix is gone. */
static void damaged(void **state) {
    static const char *const where[] = {
        "model.layers.0.self_attn.k_proj.weight", "model.layers.2.mlp.down_proj.weight",
        "model.layers.1.input_layernorm.weight", "model.embed_tokens.weight"};
    rl_backend *be = *state;
    for (size_t i = 0; i < RL_COUNT(where); i++) {
        rl_policy_opts opts = {.fixed = true};
        rl_params params;
        rl_checkpoint *cp = rl_test_checkpoint(be, rl_golden("models/llama"), &params), *again;
        rl_param *param = rl_params_find(&params, where[i]);
        char *folder = rl_test_folder();
        rl_policy *policy;
        rl_err err;
        assert_non_null(param);
        float *value = rl_test_values(be, param);
        value[3] = NAN;
        rl_tensor_put(be, param->value, value);
        assert_ok(rl_checkpoint_write(cp, &params, be, RL_SAVE_F32, folder, &err));
        assert_ok(rl_checkpoint_open(folder, &again, &err));
        assert_ok(rl_policy_open(again, be, &opts, &policy, &err));
        assert_string_equal(rl_policy_not_finite(policy, false), where[i]);
        rl_policy_free(policy);
        rl_checkpoint_close(again);
        rl_free(value);
        rl_test_drop(folder);
        rl_test_checkpoint_drop(be, cp, &params);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(same_bits),
        cmocka_unit_test(less_memory),
        cmocka_unit_test(damaged),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
