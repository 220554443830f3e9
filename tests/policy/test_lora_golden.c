/*
 * Adapters against peft's numbers in float64: log-probs, the model alone while the adapter is off,
 * gradients, AdamW steps, merged weights.
 */
#include "rl/policy/lora.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/policy/optim.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/checkpoints.h"
#include "tests/support/model.h"

enum { N_SEQS = 3, MOST = 64 };

static const char *const adapters[] = {"lora-llama", "lora-qwen2"};
static const char *const bases[] = {"llama", "qwen2"};

/* An adapter of the goldens on its model, with the numbers of both. */
typedef struct golden {
    rl_test_model model;
    rl_safetensors *tensors, *base;
    rl_json_doc *doc;
    const rl_json *json;
    rl_arena *arena;
    rl_segment seq[N_SEQS];
    float *weight[N_SEQS];
} golden;

static const char *file_of(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "models/%s/%s", folder, name);
    return rl_golden(path);
}

static float *floats(const golden *g, const rl_safetensors *file, int k, const char *what,
                     int64_t *n) {
    char name[64];
    snprintf(name, sizeof name, "seq%d.%s", k, what);
    return rl_test_floats(file, name, g->arena, n);
}

static void open_golden(golden *g, size_t i) {
    rl_err err;
    *g = (golden){.arena = rl_arena_new(0)};
    rl_test_model_open(&g->model, file_of(adapters[i], ""), RL_KERNELS_AUTO, 2, true);
    assert_non_null(g->model.adapter);
    assert_ok(rl_safetensors_open(file_of(adapters[i], "golden.safetensors"), &g->tensors, &err));
    assert_ok(rl_safetensors_open(file_of(bases[i], "golden.safetensors"), &g->base, &err));
    assert_ok(rl_json_read(file_of(adapters[i], "golden.json"), &g->doc, &err));
    g->json = rl_json_root(g->doc);
    for (int k = 0; k < N_SEQS; k++) {
        char name[64];
        int64_t n, n_weights;
        snprintf(name, sizeof name, "seq%d.input_ids", k);
        g->seq[k] = (rl_segment){
            .parent = -1, .wanted = true, .token = rl_test_ints(g->base, name, g->arena, &n)};
        g->seq[k].n_tokens = (int32_t)n;
        g->weight[k] = floats(g, g->base, k, "weights", &n_weights);
        assert_int_equal(n_weights, n - 1);
    }
}

static void close_golden(golden *g) {
    rl_test_model_close(&g->model);
    rl_safetensors_close(g->tensors);
    rl_safetensors_close(g->base);
    rl_json_free(g->doc);
    rl_arena_free(g->arena);
}

static void assert_close(const char *what, int64_t i, double got, double want, double bound) {
    if (!(fabs(got - want) <= bound)) {
        fail_msg("%s [%lld]: got %.9g, want %.9g within %.3g", what, (long long)i, got, want,
                 bound);
    }
}

/* log softmax(row)[token] in double. */
static double logp_of(const float *row, int64_t vocab, int32_t token) {
    double sum = 0;
    for (int64_t v = 0; v < vocab; v++) {
        sum += exp((double)row[v]);
    }
    return (double)row[token] - log(sum);
}

static void check_scores(golden *g) {
    int64_t vocab = rl_policy_config(g->model.policy)->vocab, n;
    double logp[MOST], entropy[MOST], plain[MOST];
    rl_err err;
    for (int k = 0; k < N_SEQS; k++) {
        const rl_segment *seq = &g->seq[k];
        const float *want = floats(g, g->tensors, k, "logprobs", &n);
        const float *want_entropy = floats(g, g->tensors, k, "entropy", &n);
        const float *off = floats(g, g->tensors, k, "logits_adapter_disabled", &n);
        const float *merged = floats(g, g->tensors, k, "logits_merged", &n);
        double moved = 0;
        assert_ok(rl_policy_score(g->model.policy, seq, 1, 1, logp, entropy, &err));
        assert_ok(rl_policy_score_reference(g->model.policy, seq, 1, 1, plain, NULL, &err));
        for (int32_t t = 0; t < seq->n_tokens - 1; t++) {
            int32_t next = seq->token[t + 1];
            assert_close("logp", t, logp[t], (double)want[t], 1e-5);
            assert_close("entropy", t, entropy[t], (double)want_entropy[t], 1e-5);
            assert_close("merged", t, logp[t], logp_of(merged + t * vocab, vocab, next), 1e-5);
            assert_close("off", t, plain[t], logp_of(off + t * vocab, vocab, next), 1e-5);
            moved = fmax(moved, fabs(logp[t] - plain[t]));
        }
        assert_true(moved > 0.1); // the adapter of the goldens does something
    }
}

static double backward(golden *g) {
    double d_logp[3 * MOST], logp[3 * MOST], loss = 0;
    int32_t at = 0;
    rl_err err;
    for (int k = 0; k < N_SEQS; k++) {
        for (int32_t t = 0; t < g->seq[k].n_tokens - 1; t++) {
            d_logp[at++] = (double)g->weight[k][t];
        }
    }
    rl_policy_zero_grad(g->model.policy);
    assert_ok(
        rl_policy_backward(g->model.policy, g->seq, N_SEQS, 1, d_logp, NULL, logp, NULL, &err));
    for (int32_t i = 0; i < at; i++) {
        loss += d_logp[i] * logp[i];
    }
    return loss;
}

static void check_gradients(golden *g) {
    const rl_params *params = rl_policy_params(g->model.policy);
    double all = 0, norm = rl_test_number(g->json, "grad_norm_before_clip");
    assert_close("loss", 0, backward(g), rl_test_number(g->json, "loss"), 5e-5);
    assert_int_equal(params->n_items, rl_test_number(g->json, "trained_tensors"));
    assert_int_equal(params->n_values, rl_test_number(g->json, "trained_entries"));
    for (int32_t p = 0; p < params->n_items; p++) {
        char name[128];
        int64_t n;
        double worst = 0, largest = 0, diff = 0, sum = 0;
        float *got = rl_alloc((size_t)rl_tensor_count(params->item[p].grad), sizeof *got), *want;
        snprintf(name, sizeof name, "grad.%s", params->item[p].name);
        want = rl_test_floats(g->tensors, name, g->arena, &n);
        assert_int_equal(n, rl_tensor_count(params->item[p].grad));
        rl_tensor_get(g->model.be, params->item[p].grad, got);
        for (int64_t i = 0; i < n; i++) {
            double d = (double)got[i] - (double)want[i];
            worst = fmax(worst, fabs(d));
            largest = fmax(largest, fabs((double)want[i]));
            diff += d * d;
            sum += (double)want[i] * (double)want[i];
            all += (double)got[i] * (double)got[i];
        }
        assert_close(name, 0, worst, 0, 2e-5 * largest);
        assert_close(name, 1, sqrt(diff), 0, 2e-5 * sqrt(sum));
        rl_free(got);
    }
    assert_close("gradient norm", 0, sqrt(all), norm, 1e-5 * norm);
}

/* Sum, length and sampled entries of tensors that a golden describes. */
static void check_described(golden *g, const rl_params *params, const rl_json *want) {
    assert_int_equal(rl_json_count(want) > 0, 1);
    for (const rl_json *entry = rl_json_first(want); entry != NULL; entry = rl_json_next(entry)) {
        const rl_param *param = rl_params_find(params, rl_json_key(entry));
        double sum = 0, squares = 0, l2 = rl_test_number(entry, "l2");
        size_t n_idx, n_val;
        double *idx = rl_test_numbers(rl_json_get(entry, "idx"), g->arena, &n_idx);
        double *val = rl_test_numbers(rl_json_get(entry, "val"), g->arena, &n_val);
        float *got;
        assert_non_null(param);
        assert_int_equal(n_idx, n_val);
        got = rl_test_values(g->model.be, param);
        for (int64_t i = 0; i < rl_tensor_count(param->value); i++) {
            sum += (double)got[i];
            squares += (double)got[i] * (double)got[i];
        }
        for (size_t j = 0; j < n_idx; j++) {
            assert_close(param->name, (int64_t)idx[j], (double)got[(int64_t)idx[j]], val[j], 2e-6);
        }
        assert_close(param->name, -1, sum, rl_test_number(entry, "sum"), 1e-3);
        assert_close(param->name, -2, sqrt(squares), l2, 1e-5 * l2);
        rl_free(got);
    }
}

static float *all_weights(golden *g, int64_t *n) {
    rl_params *weights = rl_policy_weights(g->model.policy);
    float *out = rl_arena_alloc(g->arena, (size_t)weights->n_values, sizeof *out);
    *n = weights->n_values;
    rl_tensor_get(g->model.be, rl_tensor_1d(RL_DTYPE_F32, weights->value, 0, *n), out);
    return out;
}

static void check_steps(golden *g) {
    const rl_json *want = rl_json_get(g->json, "adamw");
    const rl_json *line = rl_json_first(rl_json_get(want, "log"));
    rl_optim_opts opts = {.lr = 1e-3,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .weight_decay = 0.1,
                          .max_grad_norm = 1,
                          .schedule = RL_SCHEDULE_CONSTANT};
    rl_policy *policy = g->model.policy;
    int64_t n;
    float *before = all_weights(g, &n), *after;
    rl_optim *optim;
    rl_err err;
    assert_ok(rl_optim_new(&opts, policy, &optim, &err));
    for (int step = 0; step < 3; step++, line = rl_json_next(line)) {
        double loss = backward(g), norm = rl_optim_grad_norm(optim);
        double want_norm = rl_test_number(line, "grad_norm_before_clip");
        assert_close("loss", step, loss, rl_test_number(line, "loss_before"), 5e-5);
        assert_close("norm", step, norm, want_norm, 1e-5 * want_norm);
        rl_optim_step(optim, 1e-3, norm);
        if (step == 0) {
            check_described(g, rl_policy_params(policy), rl_json_get(want, "params_after_1"));
        }
    }
    assert_close("loss", 3, backward(g), rl_test_number(line, "loss_after"), 5e-5);
    check_described(g, rl_policy_params(policy), rl_json_get(want, "params_after_3"));
    rl_optim_free(optim);
    after = all_weights(g, &n);
    assert_memory_equal(before, after, (size_t)n * sizeof *after); // only the adapter moved
}

static void test_goldens(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(adapters); i++) {
        golden g;
        open_golden(&g, i);
        check_scores(&g);
        check_gradients(&g);
        check_steps(&g);
        close_golden(&g);
    }
}

/* The merged weights of the goldens. */
static void test_merge(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(adapters); i++) {
        golden g;
        rl_err err;
        open_golden(&g, i);
        assert_ok(
            rl_adapter_merge(g.model.adapter, rl_policy_weights(g.model.policy), g.model.be, &err));
        check_described(&g, rl_policy_weights(g.model.policy),
                        rl_json_get(g.json, "merged_tensors"));
        close_golden(&g);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_goldens),
        cmocka_unit_test(test_merge),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
