/* The tiny Llama checkpoints against numbers of Hugging Face's own code in float64: logits,
 * log-probs, entropies, every gradient, three optimizer steps, greedy text. Bounds are those the
 * makers of the goldens measured for float32, with room. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "policy/decode_batch.h"
#include "policy/kv_cache.h"
#include "policy/model.h"
#include "policy/rope_table.h"
#include "rl/policy/decode.h"
#include "rl/policy/optim.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

enum { N_SEQS = 3 };

typedef struct golden {
    rl_test_model model;
    rl_safetensors *tensors;
    rl_json_doc *doc;
    const rl_json *json;
    rl_arena *arena;
    rl_segment seq[N_SEQS];
    double *weight[N_SEQS], *logp[N_SEQS], *entropy[N_SEQS];
    float *logits[N_SEQS];
    double forward, gradient; // largest differences seen, the latter by the tensor's largest
    int32_t n_greedy;         // tokens equal
} golden;

static float *floats(golden *g, int k, const char *what, int64_t *n) {
    char name[64];
    snprintf(name, sizeof name, "seq%d.%s", k, what);
    return rl_test_floats(g->tensors, name, g->arena, n);
}

static double *doubles(golden *g, int k, const char *what) {
    int64_t n, i;
    float *from = floats(g, k, what, &n);
    double *out = rl_arena_alloc(g->arena, (size_t)n, sizeof *out);
    for (i = 0; i < n; i++) {
        out[i] = (double)from[i];
    }
    return out;
}

/* A path under the goldens' models, here or where larger ones are kept. */
static const char *find(bool shared, const char *folder, const char *file) {
    char path[256];
    snprintf(path, sizeof path, "%smodels/%s/%s", shared ? "golden/" : "", folder, file);
    return shared ? rl_shared(path) : rl_golden(path);
}

/* The checkpoint in folder `model` with the goldens in folder `numbers`. */
static void open_golden(golden *g, bool shared, const char *model, const char *numbers) {
    char path[256];
    rl_err err;
    int k;
    *g = (golden){.arena = rl_arena_new(0)};
    rl_test_model_open(&g->model, find(shared, model, ""), RL_KERNELS_AUTO, 2, true);
    assert_ok(rl_safetensors_open(find(shared, numbers, "golden.safetensors"), &g->tensors, &err));
    assert_ok(rl_json_read(find(shared, numbers, "golden.json"), &g->doc, &err));
    g->json = rl_json_root(g->doc);
    for (k = 0; k < N_SEQS; k++) {
        int64_t n, n_logits;
        snprintf(path, sizeof path, "seq%d.input_ids", k);
        g->seq[k] = (rl_segment){
            .parent = -1, .wanted = true, .token = rl_test_ints(g->tensors, path, g->arena, &n)};
        g->seq[k].n_tokens = (int32_t)n;
        g->weight[k] = doubles(g, k, "weights");
        g->logp[k] = doubles(g, k, "logprobs");
        g->entropy[k] = doubles(g, k, "entropy");
        g->logits[k] = floats(g, k, "logits", &n_logits);
        assert_int_equal(n_logits, n * rl_policy_config(g->model.policy)->vocab);
    }
}

static void close_golden(golden *g) {
    rl_test_model_close(&g->model);
    rl_safetensors_close(g->tensors);
    rl_json_free(g->doc);
    rl_arena_free(g->arena);
}

static void assert_close(const char *what, int64_t i, double got, double want, double bound) {
    if (!(fabs(got - want) <= bound)) {
        fail_msg("%s [%lld]: got %.9g, want %.9g within %.3g", what, (long long)i, got, want,
                 bound);
    }
}

static void check_rope(golden *g) {
    const rl_model_config *config = rl_policy_config(g->model.policy);
    size_t n, i;
    const char *const names[] = {config->n_ropes == 2 ? "full_attention" : "all",
                                 "sliding_attention"};
    for (int32_t k = 0; k < config->n_ropes; k++) {
        double *want = rl_test_numbers(
            rl_json_get(rl_json_get(g->json, "rope_inv_freq_f64"), names[k]), g->arena, &n);
        double *got = rl_arena_alloc(g->arena, (size_t)config->head_dim / 2, sizeof *got);
        assert_int_equal(n, config->head_dim / 2);
        rl_rope_inv_freq(&config->rope[k], config->head_dim, got);
        for (i = 0; i < n; i++) {
            assert_close("inverse frequency", (int64_t)i, got[i], want[i], 4e-15 * want[i]);
        }
    }
}

/* Logits at every position, by the rows of the decoder. */
static void check_logits(golden *g, int k) {
    rl_policy *policy = g->model.policy;
    const rl_model_config *config = rl_policy_config(policy);
    const rl_segment *seq = &g->seq[k];
    int64_t n = seq->n_tokens, n_logits = n * config->vocab, i;
    rl_decode_batch batch = {0};
    rl_kv_cache cache = {0};
    rl_carver carver = {0};
    rl_tensor normed, logits;
    float *got = rl_arena_alloc(g->arena, (size_t)n_logits, sizeof *got);
    int32_t node, slot;
    rl_buffer *buffer;
    rl_err err;
    assert_ok(rl_decode_batch_init(&batch, policy, 64, 1, &err));
    assert_ok(rl_kv_cache_init(&cache, policy, &err));
    assert_ok(rl_buffer_alloc(g->model.be, (size_t)(n_logits + n * config->width) * 4 + 64, &buffer,
                              &err));
    carver.buffer = buffer;
    normed = rl_carve(&carver, RL_DTYPE_F32, n, config->width);
    logits = rl_carve(&carver, RL_DTYPE_F32, n, config->vocab);
    node = rl_kv_node_new(&cache, -1);
    for (i = 0; i < n; i++) {
        assert_ok(rl_kv_append(&cache, node, seq->token[i], &slot, &err));
    }
    rl_decode_batch_push(&batch, &cache, node, (int32_t)n);
    rl_decode_batch_run(&batch, &cache);
    rl_head_forward(policy, logits, normed, (rl_tensor){0}, rl_tensor_rows(batch.act.out, 0, n));
    rl_tensor_get(g->model.be, logits, got);
    for (i = 0; i < n_logits; i++) {
        assert_close("logit", i, (double)got[i], (double)g->logits[k][i], 1e-5);
        g->forward = fmax(g->forward, fabs((double)got[i] - (double)g->logits[k][i]));
    }
    rl_buffer_free(g->model.be, buffer);
    rl_kv_cache_release(&cache);
    rl_decode_batch_release(&batch);
}

/* log softmax(logits / temperature) in double. */
static double logp_at(const golden *g, int k, int64_t t, double temperature, int32_t token) {
    int64_t vocab = rl_policy_config(g->model.policy)->vocab, v;
    const float *row = g->logits[k] + t * vocab;
    double sum = 0;
    for (v = 0; v < vocab; v++) {
        sum += exp((double)row[v] / temperature);
    }
    return (double)row[token] / temperature - log(sum);
}

static void check_scores(golden *g) {
    double logp[128], entropy[128];
    rl_err err;
    int k, t;
    for (k = 0; k < N_SEQS; k++) {
        int32_t n = g->seq[k].n_tokens - 1;
        assert_int_equal(rl_score_count(&g->seq[k], 1), n);
        assert_ok(rl_policy_score(g->model.policy, &g->seq[k], 1, 1, logp, entropy, &err));
        for (t = 0; t < n; t++) {
            assert_close("logp", t, logp[t], g->logp[k][t], 1e-5);
            assert_close("entropy", t, entropy[t], g->entropy[k][t], 1e-5);
        }
        assert_ok(rl_policy_score(g->model.policy, &g->seq[k], 1, 0.7, logp, NULL, &err));
        for (t = 0; t < n; t++) {
            assert_close("logp at 0.7", t, logp[t], logp_at(g, k, t, 0.7, g->seq[k].token[t + 1]),
                         2e-5);
        }
    }
}

/* One backward over the three sequences with the golden's weights times `scale`; the loss is in
 * double from the log-probs of that forward. */
static double backward(golden *g, double scale) {
    double d_logp[256], logp[256], entropy[256], loss = 0;
    int64_t n = rl_score_count(g->seq, N_SEQS), at = 0;
    rl_err err;
    int k, t;
    assert_true(n <= 256);
    for (k = 0; k < N_SEQS; k++) {
        for (t = 0; t < g->seq[k].n_tokens - 1; t++) {
            d_logp[at++] = scale * g->weight[k][t];
        }
    }
    assert_int_equal(at, n);
    rl_policy_zero_grad(g->model.policy);
    assert_ok(
        rl_policy_backward(g->model.policy, g->seq, N_SEQS, 1, d_logp, NULL, logp, entropy, &err));
    for (at = 0; at < n; at++) {
        loss += d_logp[at] * logp[at];
    }
    return loss;
}

static float *values_of(golden *g, rl_tensor t) {
    float *out = rl_arena_alloc(g->arena, (size_t)rl_tensor_count(t), sizeof *out);
    rl_tensor_get(g->model.be, t, out);
    return out;
}

static void check_gradients(golden *g) {
    rl_params *params = rl_policy_params(g->model.policy);
    double loss = backward(g, 1), all = 0;
    int32_t p;
    assert_close("loss", 0, loss, rl_test_number(g->json, "loss"), 5e-5);
    for (p = 0; p < params->n_items; p++) {
        char name[128];
        int64_t n, i;
        double worst = 0, largest = 0, diff = 0, sum = 0;
        float *got = values_of(g, params->item[p].grad), *want;
        snprintf(name, sizeof name, "grad.%s", params->item[p].name);
        want = rl_test_floats(g->tensors, name, g->arena, &n);
        assert_int_equal(n, rl_tensor_count(params->item[p].grad));
        for (i = 0; i < n; i++) {
            double d = (double)got[i] - (double)want[i];
            worst = fmax(worst, fabs(d));
            largest = fmax(largest, fabs((double)want[i]));
            diff += d * d;
            sum += (double)want[i] * (double)want[i];
            all += (double)got[i] * (double)got[i];
        }
        g->gradient = fmax(g->gradient, worst / largest);
        assert_close(name, 0, worst, 0, 2e-5 * largest);
        assert_close(name, 1, sqrt(diff), 0, 2e-5 * sqrt(sum));
    }
    {
        double want = rl_test_number(g->json, "grad_norm_before_clip");
        // The estimate that micro-batches are cut by: short of the padding of keys only.
        int64_t bytes = rl_policy_train_bytes(rl_policy_config(g->model.policy), RL_RECOMPUTE_NONE,
                                              47 + 24 + 9);
        assert_true(g->model.policy->work_bytes <= (size_t)bytes + 16384);
        assert_true(g->model.policy->work_bytes >= (size_t)bytes / 10 * 9);
        assert_close("gradient norm", 0, sqrt(all), want, 1e-5 * want);
    }
}

/* Sampled entries, sum, length and length of the change of every parameter. */
static void check_params(golden *g, const rl_json *want, float *const *start) {
    rl_params *params = rl_policy_params(g->model.policy);
    int32_t p;
    assert_non_null(want);
    for (p = 0; p < params->n_items; p++) {
        const char *name = params->item[p].name;
        const rl_json *entry = rl_json_get(want, name);
        int64_t n = rl_tensor_count(params->item[p].value), i;
        float *got = values_of(g, params->item[p].value);
        double sum = 0, squares = 0, change = 0, l2, delta_l2;
        // A key bias shifts all scores of slow pairs alike, so its gradient there is rounding
        // alone, which Adam makes as large as any.
        double l2_bound = strstr(name, ".k_proj.bias") != NULL ? 1e-3 : 1e-5;
        size_t n_idx, n_val, j;
        double *idx = rl_test_numbers(rl_json_get(entry, "idx"), g->arena, &n_idx);
        double *val = rl_test_numbers(rl_json_get(entry, "val"), g->arena, &n_val);
        for (i = 0; i < n; i++) {
            double d = (double)got[i] - (double)start[p][i];
            sum += (double)got[i];
            squares += (double)got[i] * (double)got[i];
            change += d * d;
        }
        assert_int_equal(n_idx, n_val);
        for (j = 0; j < n_idx; j++) {
            assert_close(name, (int64_t)idx[j], (double)got[(int64_t)idx[j]], val[j], 2e-6);
        }
        l2 = rl_test_number(entry, "l2");
        delta_l2 = rl_test_number(entry, "delta_l2");
        assert_close(name, -1, sum, rl_test_number(entry, "sum"), 1e-3);
        assert_close(name, -2, sqrt(squares), l2, l2_bound * l2);
        assert_close(name, -3, sqrt(change), delta_l2, 1e-3 * delta_l2);
    }
}

/* params_after_3.safetensors has every parameter; only llama comes with it. */
static void check_all_params(golden *g, const char *path) {
    rl_params *params = rl_policy_params(g->model.policy);
    rl_safetensors *file;
    rl_err err;
    double total = 0;
    int32_t p;
    assert_ok(rl_safetensors_open(path, &file, &err));
    for (p = 0; p < params->n_items; p++) {
        int64_t n, i;
        float *got = values_of(g, params->item[p].value);
        float *want = rl_test_floats(file, params->item[p].name, g->arena, &n);
        assert_int_equal(n, rl_tensor_count(params->item[p].value));
        for (i = 0; i < n; i++) {
            assert_close(params->item[p].name, i, (double)got[i], (double)want[i], 1e-3);
            total += fabs((double)got[i] - (double)want[i]);
        }
    }
    assert_close("mean difference", 0, total / (double)params->n_values, 0, 1e-7);
    rl_safetensors_close(file);
}

/* Three steps that minimise the loss; key is "adamw" or "adamw_scaled". */
static void check_steps(golden *g, const char *key, const double *scale, const char *all) {
    rl_policy *policy = g->model.policy;
    rl_params *params = rl_policy_params(policy);
    const rl_json *want = rl_json_get(g->json, key);
    const rl_json *line = rl_json_first(rl_json_get(want, "log"));
    rl_optim_opts opts = {.lr = 1e-3,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .weight_decay = 0.1,
                          .max_grad_norm = 1,
                          .schedule = RL_SCHEDULE_CONSTANT};
    float **start = rl_arena_alloc(g->arena, (size_t)params->n_items, sizeof *start);
    rl_optim *optim;
    rl_err err;
    int32_t p, step;
    for (p = 0; p < params->n_items; p++) {
        start[p] = values_of(g, params->item[p].value);
    }
    assert_ok(rl_optim_new(&opts, policy, &optim, &err));
    for (step = 0; step < 3; step++, line = rl_json_next(line)) {
        double loss = backward(g, scale[step]), norm = rl_optim_grad_norm(optim);
        double want_norm = rl_test_number(line, "grad_norm_before_clip");
        assert_close(key, step, loss, rl_test_number(line, "loss_before"), 5e-5);
        assert_close(key, step, norm, want_norm, 1e-5 * want_norm);
        assert_null(rl_policy_not_finite(policy, true));
        rl_optim_step(optim, 1e-3, norm);
        if (step == 0 && rl_json_get(want, "params_after_1") != NULL) {
            check_params(g, rl_json_get(want, "params_after_1"), start);
        }
    }
    assert_close(key, 3, backward(g, scale[2]), rl_test_number(line, "loss_after"), 5e-5);
    check_params(g, rl_json_get(want, "params_after_3"), start);
    if (all != NULL) {
        check_all_params(g, all);
    }
    rl_optim_free(optim);
    for (p = 0; p < params->n_items; p++) {
        rl_tensor_put(g->model.be, params->item[p].value, start[p]);
    }
    rl_policy_repack(policy);
}

static void check_greedy(golden *g) {
    const rl_json *greedy = rl_json_get(g->json, "greedy");
    rl_prompt prompt = {.parent = -1, .n_samples = 1};
    rl_decode_opts opts = {0};
    rl_completion out;
    rl_decoder *decoder;
    size_t n_logp;
    double *logp = rl_test_numbers(rl_json_get(greedy, "logprobs"), g->arena, &n_logp);
    int32_t *want = rl_test_ids(rl_json_get(greedy, "tokens"), g->arena, &opts.max_new_tokens);
    rl_err err;
    int32_t t;
    prompt.token = rl_test_ids(rl_json_get(greedy, "prompt"), g->arena, &prompt.n_tokens);
    assert_ok(rl_decoder_new(g->model.policy, 4, &decoder, &err));
    assert_ok(rl_decoder_run(decoder, &prompt, 1, &opts, g->arena, &out, &err));
    assert_int_equal(out.n_tokens, opts.max_new_tokens);
    assert_true(out.truncated);
    g->n_greedy = out.n_tokens;
    for (t = 0; t < out.n_tokens; t++) {
        assert_int_equal(out.token[t], want[t]);
        assert_close("greedy logp", t, out.logp[t], logp[t], 1e-5);
    }
    rl_decoder_free(decoder);
}

static void check_model(bool shared, const char *model, const char *numbers, const char *all) {
    static const double one[] = {1, 1, 1}, scaled[] = {1, 1.0 / 512, 0.25};
    golden g;
    int k;
    open_golden(&g, shared, model, numbers);
    check_rope(&g);
    for (k = 0; k < N_SEQS; k++) {
        check_logits(&g, k);
    }
    check_scores(&g);
    check_gradients(&g);
    check_steps(&g, "adamw", one, all);
    check_steps(&g, "adamw_scaled", scaled, NULL);
    check_greedy(&g);
    // For docs/families.md, see tools/families.sh.
    print_message("families: %s | logits | %.1e\n", model, g.forward);
    print_message("families: %s | gradients | %.1e\n", model, g.gradient);
    print_message("families: %s | AdamW | equal\n", model);
    print_message("families: %s | greedy | %d tokens\n", model, g.n_greedy);
    close_golden(&g);
}

static void test_llama(void **state) {
    (void)state;
    check_model(false, "llama", "llama", rl_golden("models/llama/params_after_3.safetensors"));
}

static void test_llama_sharded(void **state) {
    (void)state;
    check_model(false, "llama-sharded", "llama",
                rl_golden("models/llama/params_after_3.safetensors"));
}

static void test_llama3(void **state) {
    (void)state;
    check_model(false, "llama3", "llama3", NULL);
}

static void test_families(void **state) {
    static const char *const names[] = {"mistral", "qwen2",  "qwen3", "olmo2",
                                        "smollm3", "gemma3", "phi3"};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        check_model(false, names[i], names[i], NULL);
    }
}

/* Weights stored as BF16 are widened exactly. */
static void test_bf16(void **state) {
    (void)state;
    if (rl_shared("golden/models/qwen3-bf16") == NULL) {
        rl_test_skip_shared("golden/models/qwen3-bf16");
        return;
    }
    check_model(true, "qwen3-bf16", "qwen3-bf16", NULL);
}

/* Sum over results of c * entropy + d * logp of the second sequence, and its gradient. */
static double mixed_loss(golden *g, bool with_gradient) {
    double logp[128], entropy[128], d_logp[128], d_entropy[128], loss = 0;
    int32_t n = g->seq[1].n_tokens - 1, t;
    rl_err err;
    for (t = 0; t < n; t++) {
        d_logp[t] = t % 3 == 0 ? 0 : g->weight[1][t];
        d_entropy[t] = t % 2 == 0 ? 0 : 0.5 - g->weight[1][t];
    }
    if (with_gradient) {
        rl_policy_zero_grad(g->model.policy);
        assert_ok(rl_policy_backward(g->model.policy, &g->seq[1], 1, 0.8, d_logp, d_entropy, logp,
                                     entropy, &err));
    } else {
        assert_ok(rl_policy_score(g->model.policy, &g->seq[1], 1, 0.8, logp, entropy, &err));
    }
    for (t = 0; t < n; t++) {
        loss += d_logp[t] * logp[t] + d_entropy[t] * entropy[t];
    }
    return loss;
}

static void add_gradient(golden *g, float *const *start, float *const *grad, double step) {
    rl_params *params = rl_policy_params(g->model.policy);
    int32_t p;
    for (p = 0; p < params->n_items; p++) {
        int64_t n = rl_tensor_count(params->item[p].value), i;
        float *moved = rl_arena_alloc(g->arena, (size_t)n, sizeof *moved);
        for (i = 0; i < n; i++) {
            moved[i] = (float)((double)start[p][i] + step * (double)grad[p][i]);
        }
        rl_tensor_put(g->model.be, params->item[p].value, moved);
    }
    rl_policy_repack(g->model.policy);
}

/* Along the gradient the loss grows by the gradient's squared length: central differences, with
 * entropy and temperature in play, which the goldens leave out. */
static void test_entropy_gradient(void **state) {
    golden g;
    rl_params *params;
    float **start, **grad;
    double squares = 0, step, up, down;
    int32_t p;
    (void)state;
    open_golden(&g, false, "llama3", "llama3");
    params = rl_policy_params(g.model.policy);
    start = rl_arena_alloc(g.arena, (size_t)params->n_items, sizeof *start);
    grad = rl_arena_alloc(g.arena, (size_t)params->n_items, sizeof *grad);
    (void)mixed_loss(&g, true);
    for (p = 0; p < params->n_items; p++) {
        int64_t i;
        start[p] = values_of(&g, params->item[p].value);
        grad[p] = values_of(&g, params->item[p].grad);
        for (i = 0; i < rl_tensor_count(params->item[p].value); i++) {
            squares += (double)grad[p][i] * (double)grad[p][i];
        }
    }
    step = 0.02 / squares; // moves the loss by 0.02, far above float32's noise
    add_gradient(&g, start, grad, step);
    up = mixed_loss(&g, false);
    add_gradient(&g, start, grad, -step);
    down = mixed_loss(&g, false);
    assert_close("directional derivative", 0, (up - down) / (2 * step) / squares, 1, 1e-3);
    close_golden(&g);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_llama),  cmocka_unit_test(test_llama_sharded),
        cmocka_unit_test(test_llama3), cmocka_unit_test(test_families),
        cmocka_unit_test(test_bf16),   cmocka_unit_test(test_entropy_gradient),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
