/*
 * A backward that computes its layers again gives the log-probs and the gradients of one that kept
 * them, bit for bit, in less memory.
 */
#include "rl/core/rng.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

/* More rows than a chunk of the forward and than one of the backward. */
enum { LENGTH = 40, SEQUENCES = 30, RESULTS = SEQUENCES * (LENGTH - 1) };

typedef struct outcome {
    double logp[RESULTS], entropy[RESULTS];
    float *grad;
    int64_t n_values;
} outcome;

static void run(const char *path, const rl_policy_opts *opts, rl_arena *arena, outcome *out) {
    static int32_t token[SEQUENCES * LENGTH];
    static double d_logp[RESULTS], d_entropy[RESULTS];
    rl_segment segment[SEQUENCES];
    rl_rng rng = {.seed = 11, .purpose = RL_RNG_TEST};
    rl_test_model model;
    rl_params *params;
    rl_err err;
    int32_t i;
    rl_test_model_open_as(&model, path, RL_KERNELS_AUTO, 2, opts);
    for (i = 0; i < SEQUENCES * LENGTH; i++) {
        token[i] = 3 + (int32_t)rl_rng_below(&rng, (uint64_t)i, 250);
    }
    for (i = 0; i < SEQUENCES; i++) {
        segment[i] = (rl_segment){.parent = -1,
                                  .n_tokens = LENGTH,
                                  .token = token + (ptrdiff_t)i * LENGTH,
                                  .wanted = true};
    }
    for (i = 0; i < RESULTS; i++) {
        d_logp[i] = i % 7 < 2 ? 0 : 0.01 * (i % 13 - 6);
        d_entropy[i] = 0.001 * (i % 3);
    }
    params = rl_policy_params(model.policy);
    out->n_values = params->n_values;
    out->grad = rl_arena_alloc(arena, (size_t)params->n_values, sizeof *out->grad);
    rl_policy_zero_grad(model.policy);
    assert_ok(rl_policy_backward(model.policy, segment, SEQUENCES, 0.9, d_logp, d_entropy,
                                 out->logp, out->entropy, &err));
    rl_tensor_get(model.be, rl_tensor_1d(RL_DTYPE_F32, params->grad, 0, params->n_values),
                  out->grad);
    rl_test_model_close(&model);
}

static void check_same(const char *name, rl_weights weights) {
    static outcome kept, again;
    rl_arena *arena = rl_arena_new(0);
    const char *path = rl_golden(rl_arena_printf(arena, "models/%s", name));
    rl_policy_opts opts = {.trains = true, .weights = weights};
    double squares = 0;
    run(path, &opts, arena, &kept);
    opts.recompute = RL_RECOMPUTE_LAYERS;
    run(path, &opts, arena, &again);
    assert_int_equal(kept.n_values, again.n_values);
    assert_memory_equal(kept.logp, again.logp, sizeof kept.logp);
    assert_memory_equal(kept.entropy, again.entropy, sizeof kept.entropy);
    for (int64_t i = 0; i < kept.n_values; i++) {
        squares += (double)kept.grad[i] * (double)kept.grad[i];
        if (memcmp(&kept.grad[i], &again.grad[i], sizeof(float)) != 0) {
            fail_msg("%s in %s: gradient %d is %a kept and %a computed again", name,
                     rl_weights_names[weights], (int)i, (double)kept.grad[i],
                     (double)again.grad[i]);
        }
    }
    assert_true(squares > 0);
    rl_arena_free(arena);
}

static void test_same_gradients(void **state) {
    static const char *const names[] = {"llama", "llama3",     "mistral",   "qwen2",
                                        "qwen3", "olmo2",      "smollm3",   "gemma3",
                                        "phi3",  "lora-llama", "lora-qwen2"};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        check_same(names[i], RL_WEIGHTS_F32);
        check_same(names[i], RL_WEIGHTS_BF16);
    }
}

/* What a layer costs: its input alone, instead of all it leaves. */
static void test_less_memory(void **state) {
    rl_model_config config = {.family = "llama",
                              .vocab = 1000,
                              .width = 64,
                              .n_layers = 4,
                              .n_heads = 4,
                              .n_kv_heads = 2,
                              .head_dim = 16,
                              .mlp = 192,
                              .max_positions = 4096};
    int64_t n = 2048, row = n * (int64_t)sizeof(float), kept[2], again[2];
    (void)state;
    for (int k = 0; k < 2; k++) {
        kept[k] = rl_policy_train_bytes(&config, RL_RECOMPUTE_NONE, n);
        again[k] = rl_policy_train_bytes(&config, RL_RECOMPUTE_LAYERS, n);
        config.n_layers++;
    }
    assert_int_equal(again[1] - again[0], 64 * row);
    // in, mid, qkv, mixed, gate and up, and a reciprocal root for each of two norms
    assert_int_equal(kept[1] - kept[0], (64 + 64 + 128 + 64 + 384 + 2) * row);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_gradients),
        cmocka_unit_test(test_less_memory),
    };
    return cmocka_run_group_tests_name("recompute", tests, NULL, NULL);
}
