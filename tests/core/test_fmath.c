#include "tests/support/support.h"

#include <float.h>
#include <math.h>

#include "rl/core/fmath.h"
#include "rl/core/rng.h"

/* Distance from the truth in units of the last place of the rounded truth. */
static double error_ulp(double got, long double want) {
    double near = fabs((double)want);
    double unit = nextafter(near, HUGE_VAL) - near;
    return (double)(fabsl((long double)got - want) / (long double)unit);
}

typedef struct draws {
    rl_rng rng;
    uint64_t n;
} draws;

static double between(draws *d, double low, double high) {
    return low + (high - low) * rl_rng_uniform(&d->rng, d->n++);
}

enum { N = 200000 };

/* The 80-bit functions of the C library are the judge; only tests may ask it. */
static void test_exp_and_log(void **state) {
    draws d = {.rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST}};
    (void)state;
    for (int i = 0; i < N; i++) {
        double x = between(&d, -708.0, 709.0), y = exp(between(&d, -300, 300));
        assert_true(error_ulp(rl_exp(x), expl((long double)x)) < 1.0);
        x = between(&d, -1.0, 1.0);
        assert_true(error_ulp(rl_exp(x), expl((long double)x)) < 1.0);
        assert_true(error_ulp(rl_ln(y), logl((long double)y)) < 1.0);
        y = between(&d, 0.5, 2.0);
        assert_true(error_ulp(rl_ln(y), logl((long double)y)) < 1.0);
    }
    for (int k = -1074; k <= 1023; k++) { // powers of two, subnormal ones too
        double x = ldexp(1.0, k);
        assert_true(k == 0 || error_ulp(rl_ln(x), logl((long double)x)) < 1.0);
    }
}

static void test_sin_and_cos(void **state) {
    draws d = {.rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST}};
    (void)state;
    for (int i = 0; i < N; i++) {
        double range = i % 2 == 0 ? 8.0 : 800000.0, x = between(&d, -range, range);
        assert_true(error_ulp(rl_sin(x), sinl((long double)x)) < 1.0);
        assert_true(error_ulp(rl_cos(x), cosl((long double)x)) < 1.0);
    }
    for (int i = 1; i < 100000; i += 7) { // positions of a rotary table, near multiples of pi too
        assert_true(error_ulp(rl_sin((double)i), sinl((long double)i)) < 1.0);
        assert_true(error_ulp(rl_cos((double)i), cosl((long double)i)) < 1.0);
    }
}

static void test_pow(void **state) {
    draws d = {.rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST}};
    (void)state;
    for (int i = 0; i < N; i++) {
        double x = rl_exp(between(&d, -20, 20)), y = between(&d, -15, 15);
        assert_true(error_ulp(rl_pow(x, y), powl((long double)x, (long double)y)) < 1.0);
        x = between(&d, 0.9, 1.1), y = between(&d, -3000, 3000);
        assert_true(error_ulp(rl_pow(x, y), powl((long double)x, (long double)y)) < 1.0);
    }
    for (int i = 0; i < 64; i++) { // frequencies of a rotary table
        double y = -2.0 * i / 128;
        assert_true(error_ulp(rl_pow(1e6, y), powl(1e6L, (long double)y)) < 1.0);
    }
}

static void test_edges(void **state) {
    const double inf = HUGE_VAL;
    (void)state;
    assert_true(rl_exp(0) == 1 && rl_exp(-inf) == 0 && rl_exp(inf) == inf);
    assert_true(rl_exp(710) == inf && rl_exp(-746) == 0 && rl_exp(-745.0) == 0x1p-1074);
    assert_true(rl_ln(1) == 0 && rl_ln(0) == -inf && rl_ln(inf) == inf);
    assert_true(isnan(rl_ln(-1)) && isnan(rl_ln(inf - inf)) && isnan(rl_exp(inf - inf)));
    assert_true(rl_sin(0) == 0 && rl_cos(0) == 1 && isnan(rl_sin(inf)) && isnan(rl_cos(-inf)));
    assert_true(rl_pow(3, 0) == 1 && rl_pow(0, 0) == 1 && rl_pow(1, inf) == 1);
    assert_true(rl_pow(0, 2) == 0 && rl_pow(0, -2) == inf && rl_pow(2, 10) == 1024);
    assert_true(rl_pow(-2, 3) == -8 && rl_pow(-2, 2) == 4 && isnan(rl_pow(-2, 0.5)));
    assert_true(rl_pow(10, 400) == inf && rl_pow(10, -400) == 0 && rl_pow(0.5, inf) == 0);
    assert_true(rl_pow(-1, 1e300) == 1 && rl_pow(0.999, 0) == 1);
}

/* The same bits with every compiler and on every machine: a digest of the results, written down. */
static void test_bits(void **state) {
    uint64_t digest = 0;
    (void)state;
    for (int i = 1; i <= 20000; i++) {
        double x = i * 0.0371, all[5];
        uint64_t bits[5];
        all[0] = rl_exp(x - 300);
        all[1] = rl_ln(x);
        all[2] = rl_sin(x * 11);
        all[3] = rl_cos(x * 11);
        all[4] = rl_pow(x, 0.731);
        memcpy(bits, all, sizeof bits);
        for (int j = 0; j < 5; j++) {
            digest = (digest ^ bits[j]) * 0x100000001b3u;
        }
    }
    assert_true(digest == 0x6ded32b71f70930du);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_exp_and_log), cmocka_unit_test(test_sin_and_cos),
        cmocka_unit_test(test_pow),         cmocka_unit_test(test_edges),
        cmocka_unit_test(test_bits),
    };
    return cmocka_run_group_tests_name("fmath", tests, NULL, NULL);
}
