/*
 * What a run with an adapter relies on: a new one changes nothing, the model's weights have no
 * gradients, every family trains it as the merged model says, and what is saved comes back.
 */
#include "rl/policy/lora.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/rng.h"
#include "rl/policy/optim.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/checkpoints.h"

static const char *const adapters[] = {"lora-llama", "lora-qwen2"};

static const char *file_of(const char *folder, const char *name) {
    char path[128];
    snprintf(path, sizeof path, "models/%s/%s", folder, name);
    return rl_golden(path);
}

static void assert_close(const char *what, int64_t i, double got, double want, double bound) {
    if (!(fabs(got - want) <= bound)) {
        fail_msg("%s [%lld]: got %.9g, want %.9g within %.3g", what, (long long)i, got, want,
                 bound);
    }
}

/* A policy on a golden model with a new adapter, or with one from a folder. */
typedef struct fresh {
    rl_backend *be;
    rl_checkpoint *checkpoint;
    rl_adapter *adapter;
    rl_policy *policy;
} fresh;

static void open_new(fresh *f, rl_backend *be, const char *model, const rl_lora_opts *opts,
                     uint64_t seed) {
    rl_policy_opts how = {.trains = true};
    rl_err err;
    *f = (fresh){.be = be};
    assert_ok(rl_checkpoint_open(file_of(model, ""), &f->checkpoint, &err));
    if (opts != NULL) {
        assert_ok(rl_adapter_new(opts, seed, f->checkpoint, &f->adapter, &err));
    }
    how.adapter = f->adapter;
    assert_ok(rl_policy_open(f->checkpoint, be, &how, &f->policy, &err));
}

static void open_saved(fresh *f, rl_backend *be, const char *folder) {
    rl_policy_opts how = {.trains = true};
    rl_err err;
    *f = (fresh){.be = be};
    assert_ok(rl_adapted_open(folder, NULL, &f->checkpoint, &f->adapter, &err));
    how.adapter = f->adapter;
    assert_ok(rl_policy_open(f->checkpoint, be, &how, &f->policy, &err));
}

static void close_fresh(fresh *f) {
    rl_policy_free(f->policy);
    rl_adapter_close(f->adapter);
    rl_checkpoint_close(f->checkpoint);
}

static const char *const everything[] = {"all-linear"};
static const rl_lora_opts small = {
    .r = 3, .lora_alpha = 5, .target_modules = {.item = everything, .n_items = 1}};

enum { N_TOKENS = 21 };
static const int32_t ids[N_TOKENS] = {1,   7,  99,  254, 3,  17, 80, 41, 5,  6, 290,
                                      211, 12, 140, 9,   66, 18, 33, 77, 52, 4};
static const rl_segment text = {.parent = -1, .wanted = true, .token = ids, .n_tokens = N_TOKENS};

/* Results of the text, and on the way the gradient of sum(c_t * logp_t). */
static void train_text(rl_policy *policy, double logp[N_TOKENS]) {
    double d_logp[N_TOKENS];
    rl_err err;
    for (int t = 0; t < N_TOKENS; t++) {
        d_logp[t] = 0.125 * (double)(t % 5 - 2);
    }
    rl_policy_zero_grad(policy);
    assert_ok(rl_policy_backward(policy, &text, 1, 1, d_logp, NULL, logp, NULL, &err));
}

/* Values for every B, so that the adapter is none that was just begun. */
static void fill_b(fresh *f) {
    rl_params *params = rl_policy_params(f->policy);
    rl_rng rng = {.seed = 11, .purpose = RL_RNG_TEST};
    for (int32_t p = 0; p < params->n_items; p++) {
        rl_tensor value = params->item[p].value;
        float *host = rl_alloc((size_t)rl_tensor_count(value), sizeof *host);
        rng.sample = (uint32_t)p;
        for (int64_t i = 0; i < rl_tensor_count(value); i++) {
            host[i] = (float)(0.1 * rl_rng_normal(&rng, (uint64_t)i));
        }
        if (strstr(params->item[p].name, "lora_B") != NULL) {
            rl_tensor_put(f->be, value, host);
        }
        rl_free(host);
    }
    rl_policy_repack(f->policy);
}

/* A is uniform within 1 / sqrt(inputs), the same for a matrix whatever else is adapted; B is 0, and
 * the model's results keep their bits. */
static void test_new_adapter(void **state) {
    static const char *const two[] = {"self_attn.v_proj", "layers.1.mlp.down_proj"};
    static const rl_lora_opts few = {
        .r = 3, .lora_alpha = 5, .target_modules = {.item = two, .n_items = 2}};
    double logp[N_TOKENS], plain[N_TOKENS], base[N_TOKENS];
    fresh all, some, other, without;
    const rl_params *params;
    rl_err err;
    open_new(&all, *state, "llama", &small, 7);
    open_new(&some, *state, "llama", &few, 7);
    open_new(&other, *state, "llama", &small, 8);
    open_new(&without, *state, "llama", NULL, 0);
    params = rl_policy_params(all.policy);
    assert_int_equal(params->n_items, 3 * 7 * 2);
    assert_int_equal(rl_policy_params(some.policy)->n_items, (3 + 1) * 2);
    assert_int_equal(params->n_values, rl_adapter_values(all.adapter));
    for (int32_t p = 0; p < params->n_items; p++) {
        const rl_param *param = &params->item[p];
        const rl_param *same = rl_params_find(rl_policy_params(some.policy), param->name);
        bool is_a = strstr(param->name, ".lora_A.weight") != NULL;
        double bound = is_a ? 1 / sqrt((double)param->value.shape[1]) : 0, most = 0;
        float *x = rl_test_values(all.be, param), *y;
        y = rl_test_values(all.be, &rl_policy_params(other.policy)->item[p]);
        assert_true(is_a == (param->value.shape[0] == 3));
        assert_true(is_a == (memcmp(x, y, rl_tensor_bytes(param->value)) != 0));
        for (int64_t i = 0; i < rl_tensor_count(param->value); i++) {
            most = fmax(most, fabs((double)x[i]));
        }
        assert_true(most <= bound && most >= 0.9 * bound);
        rl_free(y);
        if (same != NULL) {
            y = rl_test_values(all.be, same);
            assert_memory_equal(x, y, rl_tensor_bytes(param->value));
            rl_free(y);
        }
        rl_free(x);
    }
    assert_ok(rl_policy_score(all.policy, &text, 1, 1, logp, NULL, &err));
    assert_ok(rl_policy_score_reference(all.policy, &text, 1, 1, plain, NULL, &err));
    assert_ok(rl_policy_score(without.policy, &text, 1, 1, base, NULL, &err));
    assert_memory_equal(logp, base, (N_TOKENS - 1) * sizeof *logp);
    assert_memory_equal(plain, base, (N_TOKENS - 1) * sizeof *logp);
    fill_b(&all); // off is off for any adapter
    assert_ok(rl_policy_score(all.policy, &text, 1, 1, logp, NULL, &err));
    assert_ok(rl_policy_score_reference(all.policy, &text, 1, 1, plain, NULL, &err));
    assert_memory_not_equal(logp, base, (N_TOKENS - 1) * sizeof *logp);
    assert_memory_equal(plain, base, (N_TOKENS - 1) * sizeof *logp);
    train_text(all.policy, plain);
    assert_memory_equal(plain, logp, (N_TOKENS - 1) * sizeof *logp);
    close_fresh(&all);
    close_fresh(&some);
    close_fresh(&other);
    close_fresh(&without);
}

/* The model's weights have no gradients, and the optimizer keeps moments of the adapter alone. */
static void test_memory(void **state) {
    rl_optim_opts opts = {.lr = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8};
    rl_arena *arena = rl_arena_new(0);
    char *folder = rl_test_folder(), *path = rl_path_join(arena, folder, "state");
    rl_archive *archive;
    const rl_params *weights;
    rl_optim *optim;
    fresh f;
    rl_err err;
    open_new(&f, *state, "llama", &small, 1);
    weights = rl_policy_weights(f.policy);
    assert_null(weights->grad);
    for (int32_t p = 0; p < weights->n_items; p++) {
        assert_true(rl_tensor_is_null(weights->item[p].grad));
    }
    assert_ok(rl_optim_new(&opts, f.policy, &optim, &err));
    assert_ok(rl_archive_create(path, &archive, &err));
    assert_ok(rl_optim_persist(optim, archive, &err));
    assert_ok(rl_archive_close(archive, &err));
    assert_true(rl_fs_size(path) >= 8 * rl_adapter_values(f.adapter));
    assert_true(rl_fs_size(path) < 8 * rl_adapter_values(f.adapter) + 256 * 42);
    rl_optim_free(optim);
    close_fresh(&f);
    rl_test_drop(folder);
    rl_arena_free(arena);
}

/* With W' = W + s B A, dB = s dW' A^T and dA = s B^T dW': the gradient of the merged model, trained
 * as a whole, tells that of the adapter. */
static void check_against_merged(const fresh *f, const rl_params *merged) {
    const rl_params *params = rl_policy_params(f->policy);
    double s = rl_adapter_opts(f->adapter)->lora_alpha / rl_adapter_opts(f->adapter)->r;
    for (int32_t p = 0; p < params->n_items; p++) {
        const rl_param *a = &params->item[p], *b, *w;
        char name[128], *at;
        int64_t r = a->value.shape[0], n_in = a->value.shape[1], n_out;
        float *va, *vb, *ga, *gb, *gw;
        double diff = 0, sum = 0;
        at = strstr(a->name, ".lora_A.weight");
        if (at == NULL) {
            continue;
        }
        snprintf(name, sizeof name, "%.*s.lora_B.weight", (int)(at - a->name), a->name);
        b = rl_params_find(params, name);
        snprintf(name, sizeof name, "%.*s.weight", (int)(at - a->name) - 17, a->name + 17);
        w = rl_params_find(merged, name);
        assert_non_null(b);
        assert_non_null(w);
        n_out = b->value.shape[0];
        va = rl_test_values(f->be, a);
        vb = rl_test_values(f->be, b);
        ga = rl_alloc((size_t)(r * n_in), sizeof *ga);
        gb = rl_alloc((size_t)(r * n_out), sizeof *gb);
        gw = rl_alloc((size_t)(n_out * n_in), sizeof *gw);
        rl_tensor_get(f->be, a->grad, ga);
        rl_tensor_get(f->be, b->grad, gb);
        rl_tensor_get(f->be, w->grad, gw);
        for (int64_t k = 0; k < r; k++) {
            for (int64_t o = 0; o < n_out; o++) {
                double want = 0;
                for (int64_t i = 0; i < n_in; i++) {
                    want += s * (double)gw[o * n_in + i] * (double)va[k * n_in + i];
                }
                diff += (want - (double)gb[o * r + k]) * (want - (double)gb[o * r + k]);
                sum += want * want;
            }
            for (int64_t i = 0; i < n_in; i++) {
                double want = 0;
                for (int64_t o = 0; o < n_out; o++) {
                    want += s * (double)gw[o * n_in + i] * (double)vb[o * r + k];
                }
                diff += (want - (double)ga[k * n_in + i]) * (want - (double)ga[k * n_in + i]);
                sum += want * want;
            }
        }
        assert_true(sum > 0);
        assert_close(a->name, 0, sqrt(diff / sum), 0, 2e-5);
        rl_free(va);
        rl_free(vb);
        rl_free(ga);
        rl_free(gb);
        rl_free(gw);
    }
}

/* Every family: an adapter on all matrices trains as the merged model says, comes back from its
 * folder with the same bits, and gives the merged model's results. */
static void test_families(void **state) {
    static const char *const names[] = {"llama", "mistral", "qwen2",  "qwen3",
                                        "olmo2", "smollm3", "gemma3", "phi3"};
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        double logp[N_TOKENS], merged[N_TOKENS], again[N_TOKENS], worst = 0;
        char *folder = rl_test_folder();
        fresh f, whole, back;
        rl_err err;
        open_new(&f, *state, names[i], &small, 3);
        fill_b(&f);
        train_text(f.policy, logp);
        assert_ok(rl_policy_save(f.policy, f.checkpoint, RL_SAVE_F32, folder, &err));
        open_saved(&back, *state, folder);
        assert_ok(rl_policy_score(back.policy, &text, 1, 1, again, NULL, &err));
        assert_memory_equal(logp, again, (N_TOKENS - 1) * sizeof *logp);
        open_new(&whole, *state, names[i], NULL, 0);
        assert_ok(rl_adapter_merge(back.adapter, rl_policy_params(whole.policy), whole.be, &err));
        rl_policy_repack(whole.policy);
        train_text(whole.policy, merged);
        for (int t = 0; t < N_TOKENS - 1; t++) {
            worst = fmax(worst, fabs(merged[t] - logp[t]));
        }
        assert_close("merged", 0, worst, 0, 1e-5);
        check_against_merged(&f, rl_policy_params(whole.policy));
        print_message("adapters: %s, merged within %.1e\n", names[i], worst);
        close_fresh(&back);
        close_fresh(&whole);
        close_fresh(&f);
        rl_test_drop(folder);
    }
}

/* What peft wrote, opened and saved: the same tensors, the same settings. */
static void test_round_trip(void **state) {
    for (size_t i = 0; i < RL_COUNT(adapters); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = rl_test_folder();
        rl_adapter *again;
        fresh f;
        rl_err err;
        open_saved(&f, *state, file_of(adapters[i], ""));
        assert_ok(rl_policy_save(f.policy, f.checkpoint, RL_SAVE_F32, folder, &err));
        rl_test_same_as_file(f.be, rl_policy_params(f.policy),
                             rl_path_join(arena, folder, "adapter_model.safetensors"));
        rl_test_same_as_file(f.be, rl_policy_params(f.policy),
                             file_of(adapters[i], "adapter_model.safetensors"));
        assert_ok(rl_adapter_open(folder, f.checkpoint, &again, &err));
        assert_int_equal(rl_adapter_opts(again)->r, 4);
        assert_true(rl_adapter_opts(again)->lora_alpha == 8);
        assert_int_equal(rl_adapter_opts(again)->target_modules.n_items, 7);
        assert_false(rl_fs_exists(rl_path_join(arena, folder, "model.safetensors")));
        assert_non_null(strstr(rl_test_text(arena, folder, "adapter_config.json"),
                               "\"target_modules\":[\"down_proj\",\"gate_proj\",\"k_proj\","));
        rl_adapter_close(again);
        close_fresh(&f);
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

static rl_optim *optimizer(rl_policy *policy, rl_optimizer name) {
    rl_optim_opts opts = {.name = name,
                          .lr = 1e-2,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .eps = 1e-8,
                          .muon_momentum = 0.95,
                          .muon_ns_steps = 5};
    rl_optim *optim;
    rl_err err;
    assert_ok(rl_optim_new(&opts, policy, &optim, &err));
    return optim;
}

static void steps(rl_policy *policy, rl_optim *optim, int n, double logp[N_TOKENS]) {
    for (int i = 0; i < n; i++) {
        train_text(policy, logp);
        rl_optim_step(optim, 1e-2, rl_optim_grad_norm(optim));
        assert_null(rl_policy_not_finite(policy, false));
    }
    train_text(policy, logp);
}

/* Three steps at once, and three with a save of adapter and moments after the second. */
static void test_resumed_optimizer(void **state) {
    for (int name = RL_OPTIMIZER_ADAMW; name <= RL_OPTIMIZER_MUON; name++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = rl_test_folder(), *path = rl_path_join(arena, folder, "state");
        double want[N_TOKENS], got[N_TOKENS], first[N_TOKENS];
        rl_archive *archive;
        rl_optim *optim;
        fresh f, back;
        rl_err err;
        open_new(&f, *state, "llama", &small, 5);
        optim = optimizer(f.policy, (rl_optimizer)name);
        train_text(f.policy, first);
        steps(f.policy, optim, 2, got);
        assert_memory_not_equal(first, got, (N_TOKENS - 1) * sizeof *got);
        assert_ok(rl_archive_create(path, &archive, &err));
        assert_ok(rl_optim_persist(optim, archive, &err));
        assert_ok(rl_archive_close(archive, &err));
        assert_ok(rl_policy_save(f.policy, f.checkpoint, RL_SAVE_F32, folder, &err));
        steps(f.policy, optim, 1, want);
        rl_optim_free(optim);
        open_saved(&back, *state, folder);
        optim = optimizer(back.policy, (rl_optimizer)name);
        assert_ok(rl_archive_open(path, &archive, &err));
        assert_ok(rl_optim_persist(optim, archive, &err));
        assert_ok(rl_archive_close(archive, &err));
        steps(back.policy, optim, 1, got);
        assert_memory_equal(want, got, (N_TOKENS - 1) * sizeof *got);
        rl_optim_free(optim);
        close_fresh(&back);
        close_fresh(&f);
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_new_adapter),       cmocka_unit_test(test_memory),
        cmocka_unit_test(test_families),          cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_resumed_optimizer),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
