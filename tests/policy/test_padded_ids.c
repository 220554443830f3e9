/* Models with more rows in the head than the tokenizer has tokens: the surplus is never drawn, has
 * no probability and no gradient, and sampling and scoring agree on that bit for bit. */
#include <math.h>
#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/policy/decode.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

/* llama3's tiny model has 300 ids and a head of its own; a limit that no block of a sum ends at. */
enum { N_IDS = 271, N_ALL = 300, N_PROMPT = 5, N_NEW = 12, N_SAMPLES = 24 };

static const int32_t prompt_ids[N_PROMPT] = {3, 14, 15, 92, 65};

/* Makes the padding rows loud: unmasked, they would take nearly all the probability. */
static void open_padded(rl_test_model *model, bool trains) {
    rl_param *head;
    float *value;
    int64_t width;
    rl_test_model_open(model, rl_golden("models/llama3"), RL_KERNELS_AUTO, 2, trains);
    width = rl_policy_config(model->policy)->width;
    head = rl_params_find(rl_policy_params(model->policy), "lm_head.weight");
    assert_non_null(head);
    assert_int_equal(head->value.shape[0], N_ALL);
    value = rl_alloc((size_t)(N_ALL * width), sizeof *value);
    rl_tensor_get(model->be, head->value, value);
    for (int64_t i = 0; i < N_ALL * width; i++) {
        value[i] *= i / width >= N_IDS ? 40.0f : 1.0f;
    }
    rl_tensor_put(model->be, head->value, value);
    rl_free(value);
    rl_policy_repack(model->policy);
}

static int32_t count_padding(rl_policy *policy, rl_arena *arena, double temperature,
                             rl_completion *out) {
    rl_rng rng[N_SAMPLES];
    rl_prompt prompt = {.parent = -1, .token = prompt_ids, .n_tokens = N_PROMPT};
    rl_decode_opts opts = {.max_new_tokens = N_NEW, .temperature = temperature};
    rl_decoder *decoder;
    rl_err err;
    int32_t n_padding = 0;
    for (uint64_t i = 0; i < N_SAMPLES; i++) {
        rng[i] = (rl_rng){.seed = 5, .step = (uint32_t)i, .purpose = RL_RNG_TEST};
    }
    prompt.rng = rng;
    prompt.n_samples = N_SAMPLES;
    assert_ok(rl_decoder_new(policy, 7, &decoder, &err));
    assert_ok(rl_decoder_run(decoder, &prompt, 1, &opts, arena, out, &err));
    for (int32_t i = 0; i < N_SAMPLES; i++) {
        for (int32_t t = 0; t < out[i].n_tokens; t++) {
            n_padding += out[i].token[t] >= N_IDS;
        }
    }
    rl_decoder_free(decoder);
    return n_padding;
}

static void test_never_drawn(void **state) {
    static const double temperatures[] = {0, 0.7, 1, 5};
    rl_test_model model;
    rl_completion out[N_SAMPLES];
    rl_arena *arena = rl_arena_new(0);
    (void)state;
    open_padded(&model, false);
    assert_true(count_padding(model.policy, arena, 1, out) > N_SAMPLES); // the test can fail
    rl_policy_limit_ids(model.policy, N_IDS);
    for (size_t i = 0; i < RL_COUNT(temperatures); i++) {
        assert_int_equal(count_padding(model.policy, arena, temperatures[i], out), 0);
    }
    rl_arena_free(arena);
    rl_test_model_close(&model);
}

/* The next token's probabilities over the usable ids sum to 1; the log-prob of a drawn token has
 * the bits that scoring gives. */
static void test_log_probs(void **state) {
    rl_test_model model;
    rl_completion out[N_SAMPLES];
    rl_arena *arena = rl_arena_new(0);
    double logp[N_PROMPT + N_NEW], entropy[N_PROMPT + N_NEW], sum = 0, mean = 0, h = 0;
    int32_t token[N_PROMPT + N_NEW];
    rl_err err;
    (void)state;
    open_padded(&model, false);
    rl_policy_limit_ids(model.policy, N_IDS);
    memcpy(token, prompt_ids, sizeof prompt_ids);
    for (int32_t id = 0; id < N_IDS; id++) {
        rl_segment segment = {
            .parent = -1, .token = token, .n_tokens = N_PROMPT + 1, .wanted = true};
        token[N_PROMPT] = id;
        assert_ok(rl_policy_score(model.policy, &segment, 1, 1.3, logp, entropy, &err));
        sum += exp(logp[N_PROMPT - 1]);
        mean -= exp(logp[N_PROMPT - 1]) * logp[N_PROMPT - 1];
        h = entropy[N_PROMPT - 1];
    }
    assert_true(fabs(sum - 1) < 1e-5);
    assert_true(fabs(mean - h) < 1e-4);

    assert_int_equal(count_padding(model.policy, arena, 1, out), 0);
    for (int32_t i = 0; i < N_SAMPLES; i++) {
        rl_segment segment = {
            .parent = -1, .token = token, .n_tokens = N_PROMPT + out[i].n_tokens, .wanted = true};
        memcpy(token + N_PROMPT, out[i].token, (size_t)out[i].n_tokens * sizeof *token);
        assert_ok(rl_policy_score(model.policy, &segment, 1, 1, logp, entropy, &err));
        assert_memory_equal(logp + N_PROMPT - 1, out[i].logp,
                            (size_t)out[i].n_tokens * sizeof *logp);
        assert_memory_equal(entropy + N_PROMPT - 1, out[i].entropy,
                            (size_t)out[i].n_tokens * sizeof *entropy);
    }
    rl_arena_free(arena);
    rl_test_model_close(&model);
}

/* A padding id may stand in a context; as a result it is refused by its number. */
static void test_padding_result(void **state) {
    static const int32_t token[] = {3, N_IDS, 5};
    rl_segment segment[] = {{.parent = -1, .token = token, .n_tokens = 2},
                            {.parent = 0, .token = token + 2, .n_tokens = 1, .wanted = true}};
    rl_test_model model;
    double logp[3];
    rl_err err;
    (void)state;
    open_padded(&model, false);
    rl_policy_limit_ids(model.policy, N_IDS);
    assert_ok(rl_policy_score(model.policy, segment, 2, 1, logp, NULL, &err));
    segment[0].wanted = true;
    assert_int_equal(rl_policy_score(model.policy, segment, 2, 1, logp, NULL, &err),
                     RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "token 271 has no probability"));
    rl_test_model_close(&model);
}

/* sum(logp) + sum(entropy) / 4 of a fixed text, with its gradient on request. */
static double loss_of(rl_test_model *model, bool with_gradient) {
    static const int32_t token[] = {3, 14, 15, 92, 65, 35, 89, 79, 32, 38};
    enum { N = RL_COUNT(token) - 1 };
    rl_segment segment = {.parent = -1, .token = token, .n_tokens = N + 1, .wanted = true};
    double logp[N], entropy[N], d_logp[N], d_entropy[N], loss = 0;
    rl_err err;
    for (size_t i = 0; i < N; i++) {
        d_logp[i] = 1;
        d_entropy[i] = 0.25;
    }
    if (with_gradient) {
        rl_policy_zero_grad(model->policy);
        assert_ok(rl_policy_backward(model->policy, &segment, 1, 0.9, d_logp, d_entropy, logp,
                                     entropy, &err));
    } else {
        assert_ok(rl_policy_score(model->policy, &segment, 1, 0.9, logp, entropy, &err));
    }
    for (size_t i = 0; i < N; i++) {
        loss += logp[i] + 0.25 * entropy[i];
    }
    return loss;
}

/* Adds step times its gradient to every parameter of the policy. */
static void move(rl_test_model *model, rl_arena *arena, float *const *start, float *const *grad,
                 double step) {
    rl_params *params = rl_policy_params(model->policy);
    for (int32_t p = 0; p < params->n_items; p++) {
        int64_t n = rl_tensor_count(params->item[p].value);
        float *moved = rl_arena_alloc(arena, (size_t)n, sizeof *moved);
        for (int64_t i = 0; i < n; i++) {
            moved[i] = (float)((double)start[p][i] + step * (double)grad[p][i]);
        }
        rl_tensor_put(model->be, params->item[p].value, moved);
    }
    rl_policy_repack(model->policy);
}

static float *values_of(rl_test_model *model, rl_arena *arena, rl_tensor t) {
    float *out = rl_arena_alloc(arena, (size_t)rl_tensor_count(t), sizeof *out);
    rl_tensor_get(model->be, t, out);
    return out;
}

/* The gradient is that of the limited distribution: zero for padding rows, right along itself. */
static void test_gradient(void **state) {
    rl_test_model model;
    rl_arena *arena = rl_arena_new(0);
    double squares = 0, step, up, down;
    (void)state;
    open_padded(&model, true);
    rl_policy_limit_ids(model.policy, N_IDS);
    rl_params *params = rl_policy_params(model.policy);
    float **start = rl_arena_alloc(arena, (size_t)params->n_items, sizeof *start);
    float **grad = rl_arena_alloc(arena, (size_t)params->n_items, sizeof *grad);
    (void)loss_of(&model, true);
    for (int32_t p = 0; p < params->n_items; p++) {
        const rl_param *param = &params->item[p];
        int64_t n = rl_tensor_count(param->value), cols = param->value.shape[1];
        bool head = strcmp(param->name, "lm_head.weight") == 0;
        start[p] = values_of(&model, arena, param->value);
        grad[p] = values_of(&model, arena, param->grad);
        for (int64_t i = 0; i < n; i++) {
            squares += (double)grad[p][i] * (double)grad[p][i];
            if (head && i / cols >= N_IDS) {
                assert_true(grad[p][i] == 0.0f);
            }
        }
    }
    step = 0.02 / squares;
    move(&model, arena, start, grad, step);
    up = loss_of(&model, false);
    move(&model, arena, start, grad, -step);
    down = loss_of(&model, false);
    double ratio = (up - down) / (2 * step) / squares;
    if (!(fabs(ratio - 1) < 2e-3)) {
        fail_msg("directional derivative is %.6f of the gradient's square", ratio);
    }
    rl_arena_free(arena);
    rl_test_model_close(&model);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_never_drawn),
        cmocka_unit_test(test_log_probs),
        cmocka_unit_test(test_padding_result),
        cmocka_unit_test(test_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
