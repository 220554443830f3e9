/*
 * The optimizer on a policy of three parameters, against AdamW and the clip written in double. The
 * policy itself is a stand-in, defined here, so that the test needs no checkpoint.
 */
#include "tests/support/support.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/rng.h"
#include "rl/policy/optim.h"
#include "rl/tensor/cpu.h"
#include "rl/tensor/ops.h"

enum { N_PARAMS = 3, N_VALUES = 7 * 5 + 5 + 33 };

struct rl_policy {
    rl_backend *be;
    rl_params params;
    int32_t n_repacked;
};

rl_params *rl_policy_params(rl_policy *policy) {
    return &policy->params;
}

rl_backend *rl_policy_backend(const rl_policy *policy) {
    return policy->be;
}

void rl_policy_repack(rl_policy *policy) {
    policy->n_repacked++;
}

static rl_policy policy_open(void) {
    static const int64_t shape[N_PARAMS][2] = {{7, 5}, {0, 5}, {11, 3}};
    rl_err err;
    rl_policy p = {.params = {.n_items = N_PARAMS, .n_values = N_VALUES}};
    size_t at = 0;
    assert_ok(rl_cpu_open(RL_KERNELS_AUTO, NULL, &p.be, &err));
    assert_ok(rl_buffer_alloc(p.be, N_VALUES * sizeof(float), &p.params.value, &err));
    assert_ok(rl_buffer_alloc(p.be, N_VALUES * sizeof(float), &p.params.grad, &err));
    p.params.item = rl_alloc(N_PARAMS, sizeof *p.params.item);
    for (int32_t i = 0; i < N_PARAMS; i++) {
        rl_param *param = &p.params.item[i];
        rl_buffer *buffer[2] = {p.params.value, p.params.grad};
        rl_tensor t[2];
        for (int k = 0; k < 2; k++) {
            t[k] = shape[i][0] > 0
                       ? rl_tensor_2d(RL_DTYPE_F32, buffer[k], at, shape[i][0], shape[i][1])
                       : rl_tensor_1d(RL_DTYPE_F32, buffer[k], at, shape[i][1]);
        }
        *param = (rl_param){.value = t[0], .grad = t[1], .decay = shape[i][0] > 0};
        snprintf(param->name, sizeof param->name, "layer.%d.weight", (int)i);
        at += rl_tensor_bytes(t[0]);
    }
    return p;
}

static void policy_close(rl_policy *p) {
    rl_buffer_free(p->be, p->params.value);
    rl_buffer_free(p->be, p->params.grad);
    rl_free(p->params.item);
    rl_cpu_close(p->be);
}

static rl_tensor whole(rl_buffer *buffer) {
    return rl_tensor_1d(RL_DTYPE_F32, buffer, 0, N_VALUES);
}

/* Numbers in (-scale, scale) addressed by step, in a host array and in the buffer. */
static void draw(rl_policy *p, rl_buffer *buffer, uint32_t step, double scale, double *host) {
    rl_rng rng = {.seed = 5, .step = step, .purpose = RL_RNG_TEST};
    float value[N_VALUES];
    for (uint64_t i = 0; i < N_VALUES; i++) {
        value[i] = (float)(scale * (2 * rl_rng_uniform(&rng, i) - 1));
        host[i] = (double)value[i];
    }
    rl_tensor_put(p->be, whole(buffer), value);
}

static void steps_are_adamws_with_the_clip(void **state) {
    // Gradients above the clip, below it, and above it again.
    static const double grad_scale[] = {3, 0.01, 1, 0.5};
    const rl_optim_opts opts = {.lr = 1, // the rate is an argument of the step
                                .beta1 = 0.9,
                                .beta2 = 0.99,
                                .eps = 1e-6,
                                .weight_decay = 0.1,
                                .max_grad_norm = 1};
    rl_err err;
    rl_policy p = policy_open();
    rl_optim *optim;
    double want[N_VALUES], m[N_VALUES] = {0}, v[N_VALUES] = {0}, grad[N_VALUES];
    float got[N_VALUES];
    (void)state;
    draw(&p, p.params.value, 0, 1, want);
    assert_ok(rl_optim_new(&opts, &p, &optim, &err));
    for (uint32_t t = 1; t <= RL_COUNT(grad_scale); t++) {
        double norm = 0, clip, lr = 0.01 / t;
        draw(&p, p.params.grad, t, grad_scale[t - 1], grad);
        for (int32_t i = 0; i < N_VALUES; i++) {
            norm += grad[i] * grad[i];
        }
        norm = sqrt(norm);
        clip = fmin(1, 1 / (norm + 1e-6));
        assert_true((t == 2) == (clip == 1));
        assert_true(fabs(rl_optim_grad_norm(optim) - norm) <= 1e-14 * norm);
        for (int32_t i = 0; i < N_VALUES; i++) {
            double g = grad[i] * clip;
            bool decays = i < 35 || i >= 40; // the second parameter is a vector
            want[i] -= decays ? lr * opts.weight_decay * want[i] : 0;
            m[i] = opts.beta1 * m[i] + (1 - opts.beta1) * g;
            v[i] = opts.beta2 * v[i] + (1 - opts.beta2) * g * g;
            want[i] -= lr / (1 - pow(opts.beta1, t)) * m[i] /
                       (sqrt(v[i]) / sqrt(1 - pow(opts.beta2, t)) + opts.eps);
        }
        rl_optim_step(optim, lr, rl_optim_grad_norm(optim));
        rl_tensor_get(p.be, whole(p.params.value), got);
        for (int32_t i = 0; i < N_VALUES; i++) {
            assert_true(fabs((double)got[i] - want[i]) <= 5e-7); // a rounding near 1 a step
        }
        assert_int_equal(p.n_repacked, t);
    }
    rl_optim_free(optim);
    policy_close(&p);
}

static void without_a_clip_gradients_stay(void **state) {
    const rl_optim_opts opts = {.beta1 = 0, .beta2 = 0, .eps = 1000};
    rl_err err;
    rl_policy p = policy_open();
    rl_optim *optim;
    double before[N_VALUES], grad[N_VALUES];
    float got[N_VALUES];
    (void)state;
    draw(&p, p.params.value, 0, 1, before);
    draw(&p, p.params.grad, 1, 100, grad);
    assert_ok(rl_optim_new(&opts, &p, &optim, &err));
    rl_optim_step(optim, 1, rl_optim_grad_norm(optim));
    rl_tensor_get(p.be, whole(p.params.value), got);
    for (int32_t i = 0; i < N_VALUES; i++) {
        double want = before[i] - grad[i] / (fabs(grad[i]) + 1000);
        assert_true(fabs((double)got[i] - want) <= 3e-7);
    }
    rl_optim_free(optim);
    policy_close(&p);
}

static void a_gradient_that_is_not_finite_shows_in_the_norm(void **state) {
    const rl_optim_opts opts = {.beta1 = 0.9, .beta2 = 0.9, .eps = 1};
    const float bad[] = {NAN};
    rl_err err;
    rl_policy p = policy_open();
    rl_optim *optim;
    (void)state;
    assert_ok(rl_optim_new(&opts, &p, &optim, &err));
    rl_tensor_put(p.be, rl_tensor_rows(whole(p.params.grad), 38, 39), bad);
    assert_true(isnan(rl_optim_grad_norm(optim)));
    rl_optim_free(optim);
    policy_close(&p);
}

/* Three steps; after the second, state goes through a file into another optimizer if asked to. */
static void three_steps(const char *path, float *got) {
    const rl_optim_opts opts = {.beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8, .max_grad_norm = 1};
    rl_err err;
    rl_policy p = policy_open();
    rl_optim *optim;
    rl_archive *archive;
    double ignored[N_VALUES];
    draw(&p, p.params.value, 0, 1, ignored);
    assert_ok(rl_optim_new(&opts, &p, &optim, &err));
    for (uint32_t t = 1; t <= 3; t++) {
        draw(&p, p.params.grad, t, 1, ignored);
        rl_optim_step(optim, 0.01, rl_optim_grad_norm(optim));
        if (path != NULL && t == 2) {
            assert_ok(rl_archive_create(path, &archive, &err));
            assert_ok(rl_optim_persist(optim, archive, &err));
            assert_ok(rl_archive_close(archive, &err));
            rl_optim_free(optim);
            assert_ok(rl_optim_new(&opts, &p, &optim, &err));
            assert_ok(rl_archive_open(path, &archive, &err));
            assert_ok(rl_optim_persist(optim, archive, &err));
            assert_ok(rl_archive_close(archive, &err));
        }
    }
    rl_tensor_get(p.be, whole(p.params.value), got);
    rl_optim_free(optim);
    policy_close(&p);
}

static void saved_state_goes_on_bit_for_bit(void **state) {
    char *folder = rl_test_folder(), path[4096];
    float plain[N_VALUES], resumed[N_VALUES];
    (void)state;
    snprintf(path, sizeof path, "%s/optim", folder);
    three_steps(NULL, plain);
    three_steps(path, resumed);
    assert_memory_equal(plain, resumed, sizeof plain);
    rl_test_drop(folder);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(steps_are_adamws_with_the_clip),
        cmocka_unit_test(without_a_clip_gradients_stay),
        cmocka_unit_test(a_gradient_that_is_not_finite_shows_in_the_norm),
        cmocka_unit_test(saved_state_goes_on_bit_for_bit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
