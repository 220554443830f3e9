/*
 * Muon with AdamW beside it, on a toy model: against torch, by threads, and through a file. The
 * policy is a stand-in, defined here, so that matrices may have any shape.
 */
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/json.h"
#include "rl/core/pool.h"
#include "rl/policy/optim.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"

// As tests/golden/muon/make.py has it: the first two are not Muon's; no columns is a vector.
static const int64_t shape[][2] = {{10, 6}, {6, 0}, {12, 20}, {20, 12}, {16, 16}, {9, 1}};
enum {
    N_PARAMS = RL_COUNT(shape),
    N_OTHERS = 2,
    N_STEPS = 3,
    N_VALUES = 60 + 6 + 240 + 240 + 256 + 9
};

struct rl_policy {
    rl_pool *pool;
    rl_backend *be;
    rl_params params;
};

rl_params *rl_policy_params(rl_policy *policy) {
    return &policy->params;
}

rl_backend *rl_policy_backend(const rl_policy *policy) {
    return policy->be;
}

void rl_policy_repack(rl_policy *policy) {
    (void)policy;
}

static uint32_t mix(uint32_t x) {
    x = (x ^ x >> 16) * 0x7feb352du;
    x = (x ^ x >> 15) * 0x846ca68bu;
    return x ^ x >> 16;
}

// make.py's numbers(): step 0 is the parameter, later ones its gradients.
static void put_numbers(rl_policy *p, int32_t i, uint32_t step) {
    rl_tensor t = step == 0 ? p->params.item[i].value : p->params.item[i].grad;
    int64_t n = rl_tensor_count(t);
    float *value = rl_alloc((size_t)n, sizeof *value);
    for (int64_t k = 0; k < n; k++) {
        uint32_t at = ((uint32_t)i * 16 + step) * 65536 + (uint32_t)k;
        value[k] = (float)(mix(at) >> 8) * 0x1p-24f - 0.5f;
    }
    rl_tensor_put(p->be, t, value);
    rl_free(value);
}

static rl_tensor tensor_at(rl_buffer *buffer, size_t at, int32_t i) {
    return shape[i][1] > 0 ? rl_tensor_2d(RL_DTYPE_F32, buffer, at, shape[i][0], shape[i][1])
                           : rl_tensor_1d(RL_DTYPE_F32, buffer, at, shape[i][0]);
}

static rl_policy policy_open(int32_t n_threads) {
    rl_err err;
    rl_policy p = {.params = {.n_items = N_PARAMS, .n_values = N_VALUES}};
    size_t at = 0;
    assert_ok(rl_pool_new(n_threads, true, &p.pool, &err));
    assert_ok(rl_cpu_open(RL_KERNELS_AUTO, p.pool, &p.be, &err));
    assert_ok(rl_buffer_alloc(p.be, N_VALUES * sizeof(float), &p.params.value, &err));
    assert_ok(rl_buffer_alloc(p.be, N_VALUES * sizeof(float), &p.params.grad, &err));
    p.params.item = rl_alloc(N_PARAMS, sizeof *p.params.item);
    for (int32_t i = 0; i < N_PARAMS; i++) {
        rl_param *param = &p.params.item[i];
        *param = (rl_param){.value = tensor_at(p.params.value, at, i),
                            .grad = tensor_at(p.params.grad, at, i),
                            .decay = shape[i][1] > 0,
                            .hidden = i >= N_OTHERS};
        snprintf(param->name, sizeof param->name, "tensor.%d.weight", (int)i);
        put_numbers(&p, i, 0);
        at += rl_tensor_bytes(param->value);
    }
    assert_int_equal(at, N_VALUES * sizeof(float));
    return p;
}

static void policy_close(rl_policy *p) {
    rl_buffer_free(p->be, p->params.value);
    rl_buffer_free(p->be, p->params.grad);
    rl_free(p->params.item);
    rl_cpu_close(p->be);
    rl_pool_free(p->pool);
}

static void step(rl_policy *p, rl_optim *optim, const rl_optim_opts *opts, uint32_t t) {
    for (int32_t i = 0; i < N_PARAMS; i++) {
        put_numbers(p, i, t);
    }
    rl_optim_step(optim, opts->lr / t, rl_optim_grad_norm(optim));
}

static rl_optim_opts opts_of(const rl_json *run) {
    const char *adjust = rl_json_text(rl_json_get(run, "adjust"), "");
    return (rl_optim_opts){
        .name = RL_OPTIMIZER_MUON,
        .lr = rl_json_number(rl_json_get(run, "lr"), -1),
        .beta1 = 0.9,
        .beta2 = 0.99,
        .eps = 1e-6,
        .weight_decay = rl_json_number(rl_json_get(run, "weight_decay"), -1),
        .max_grad_norm = rl_json_number(rl_json_get(run, "max_grad_norm"), -1),
        .muon_momentum = rl_json_number(rl_json_get(run, "momentum"), -1),
        .muon_ns_steps = (int32_t)rl_json_number(rl_json_get(run, "ns_steps"), -1),
        .muon_adjust = strcmp(adjust, "original") == 0 ? RL_MUON_ORIGINAL : RL_MUON_MATCH_RMS_ADAMW,
        .muon_adamw_lr = rl_json_number(rl_json_get(run, "adamw_lr"), -1),
    };
}

static void check_params(rl_policy *p, const rl_json *after) {
    const rl_json *list = rl_json_first(after);
    for (int32_t i = 0; i < N_PARAMS; i++, list = rl_json_next(list)) {
        int64_t n = rl_tensor_count(p->params.item[i].value), k = 0;
        float *got = rl_alloc((size_t)n, sizeof *got);
        double worst = 0;
        rl_tensor_get(p->be, p->params.item[i].value, got);
        for (const rl_json *x = rl_json_first(list); x != NULL; x = rl_json_next(x), k++) {
            worst = fmax(worst, fabs((double)got[k] - rl_json_number(x, 1e9)));
        }
        rl_free(got);
        assert_int_equal(k, n);
        print_message("tensor %d: differs by at most %.1e\n", (int)i, worst);
        assert_true(worst <= 3e-7);
    }
    assert_null(list);
}

static void steps_are_torchs(void **state) {
    rl_err err;
    rl_json_doc *doc;
    int32_t n_runs = 0;
    (void)state;
    assert_ok(rl_json_read(rl_golden("muon/muon.json"), &doc, &err));
    const rl_json *run = rl_json_first(rl_json_get(rl_json_root(doc), "runs"));
    for (; run != NULL; run = rl_json_next(run), n_runs++) {
        rl_optim_opts opts = opts_of(run);
        rl_policy p = policy_open(1);
        rl_optim *optim;
        assert_ok(rl_optim_new(&opts, &p, &optim, &err));
        for (uint32_t t = 1; t <= N_STEPS; t++) {
            step(&p, optim, &opts, t);
        }
        check_params(&p, rl_json_get(run, "after"));
        rl_optim_free(optim);
        policy_close(&p);
    }
    assert_int_equal(n_runs, 2);
    rl_json_free(doc);
}

static const rl_optim_opts plain = {.name = RL_OPTIMIZER_MUON,
                                    .lr = 0.02,
                                    .beta1 = 0.9,
                                    .beta2 = 0.99,
                                    .eps = 1e-8,
                                    .weight_decay = 0.1,
                                    .max_grad_norm = 1,
                                    .muon_momentum = 0.95,
                                    .muon_ns_steps = 5};

/* Three steps; after the second, state goes through a file into another optimizer if asked to. */
static void three_steps(int32_t n_threads, const char *path, float *got) {
    rl_err err;
    rl_policy p = policy_open(n_threads);
    rl_optim *optim;
    rl_archive *archive;
    assert_ok(rl_optim_new(&plain, &p, &optim, &err));
    for (uint32_t t = 1; t <= N_STEPS; t++) {
        step(&p, optim, &plain, t);
        if (path != NULL && t == 2) {
            assert_ok(rl_archive_create(path, &archive, &err));
            assert_ok(rl_optim_persist(optim, archive, &err));
            assert_ok(rl_archive_close(archive, &err));
            rl_optim_free(optim);
            assert_ok(rl_optim_new(&plain, &p, &optim, &err));
            assert_ok(rl_archive_open(path, &archive, &err));
            assert_ok(rl_optim_persist(optim, archive, &err));
            assert_ok(rl_archive_close(archive, &err));
        }
    }
    rl_tensor_get(p.be, rl_tensor_1d(RL_DTYPE_F32, p.params.value, 0, N_VALUES), got);
    rl_optim_free(optim);
    policy_close(&p);
}

static void threads_change_nothing(void **state) {
    float one[N_VALUES], two[N_VALUES], seven[N_VALUES];
    (void)state;
    three_steps(1, NULL, one);
    three_steps(2, NULL, two);
    three_steps(7, NULL, seven);
    assert_memory_equal(one, two, sizeof one);
    assert_memory_equal(one, seven, sizeof one);
}

static void saved_state_goes_on_bit_for_bit(void **state) {
    char *folder = rl_test_folder(), path[4096];
    float straight[N_VALUES], resumed[N_VALUES];
    (void)state;
    snprintf(path, sizeof path, "%s/optim", folder);
    three_steps(2, NULL, straight);
    three_steps(2, path, resumed);
    assert_memory_equal(straight, resumed, sizeof straight);
    rl_test_drop(folder);
}

// Without any gradient the direction is 0 over its floor, not a division by 0.
static void no_gradient_is_no_update(void **state) {
    rl_optim_opts opts = plain;
    rl_err err;
    rl_policy p = policy_open(1);
    rl_optim *optim;
    rl_tensor all = rl_tensor_1d(RL_DTYPE_F32, p.params.value, 0, N_VALUES);
    float before[N_VALUES], after[N_VALUES];
    (void)state;
    opts.weight_decay = 0;
    rl_tensor_get(p.be, all, before);
    rl_op_fill(p.be, rl_tensor_1d(RL_DTYPE_F32, p.params.grad, 0, N_VALUES), 0);
    assert_ok(rl_optim_new(&opts, &p, &optim, &err));
    rl_optim_step(optim, 0.1, rl_optim_grad_norm(optim));
    rl_tensor_get(p.be, all, after);
    assert_memory_equal(before, after, sizeof before);
    rl_optim_free(optim);
    policy_close(&p);
}

static void keys(void **state) {
    rl_arena *arena = rl_arena_new(0);
    rl_optim_opts opts;
    rl_err err = {""};
    (void)state;
    rl_section_defaults(&rl_optim_section, arena, &opts);
    assert_true(opts.name == RL_OPTIMIZER_ADAMW && opts.muon_adjust == RL_MUON_MATCH_RMS_ADAMW);
    assert_true(opts.muon_momentum == 0.95 && opts.muon_ns_steps == 5 && opts.muon_adamw_lr == 0);
    opts.muon_adamw_lr = 0.1;
    opts.lr = 0;
    assert_ok(rl_optim_section.check(&opts, &err));
    opts.name = RL_OPTIMIZER_MUON;
    assert_int_equal(rl_optim_section.check(&opts, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "'optim.muon_adamw_lr' is 0.1 but 'optim.lr'"));
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_torchs),
        cmocka_unit_test(threads_change_nothing),
        cmocka_unit_test(saved_state_goes_on_bit_for_bit),
        cmocka_unit_test(no_gradient_is_no_update),
        cmocka_unit_test(keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
