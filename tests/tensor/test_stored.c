/* Float32 to the narrower numbers of files: every F16, the borders between them, and Q8_0 as ggml's
 * reference quantises. */
#include "rl/tensor/stored.h"

#include <math.h>

#include "rl/core/rng.h"
#include "tests/support/support.h"
#include "tests/tensor/q8_0_golden.h"

static float widen(uint32_t half) {
    uint8_t bytes[2] = {(uint8_t)half, (uint8_t)(half >> 8)};
    rl_weight w = {
        .stored = RL_STORED_F16, .rank = 1, .shape = {1}, .bytes = bytes, .n_bytes = sizeof bytes};
    float out;
    rl_weight_to_f32(&w, &out);
    return out;
}

static uint32_t narrow(float x) {
    uint8_t out[2];
    rl_f32_to_f16(&x, 1, out);
    return (uint32_t)out[0] | (uint32_t)out[1] << 8;
}

static void test_f16(void **state) {
    (void)state;
    for (uint32_t half = 0; half < 0x10000; half++) {
        float x = widen(half);
        if (isnan(x)) {
            assert_true(isnan(widen(narrow(x))));
        } else {
            assert_int_equal(narrow(x), half);
        }
    }
    // Between two neighbours: below the middle the lower one, above it the upper, at it the even.
    for (uint32_t half = 0; half < 0x7c00; half++) {
        float low = widen(half), high = half == 0x7bff ? 65536.0f : widen(half + 1);
        float middle = low + (high - low) / 2;
        assert_int_equal(narrow(nextafterf(middle, 0)), half);
        assert_int_equal(narrow(nextafterf(middle, INFINITY)), half + 1);
        assert_int_equal(narrow(middle), half + (half & 1));
        assert_int_equal(narrow(-middle), 0x8000 + half + (half & 1));
    }
    assert_int_equal(narrow(1e30f), 0x7c00);
    assert_int_equal(narrow(-INFINITY), 0xfc00);
    assert_int_equal(narrow(1e-30f), 0);
}

static void test_q8_0(void **state) {
    float x[6 * 32];
    uint8_t out[6 * 34];
    (void)state;
    memcpy(x, q8_0_values, sizeof x);
    rl_f32_to_stored(RL_STORED_Q8_0, x, 6 * 32, out);
    assert_memory_equal(out, q8_0_bytes, sizeof out);
}

/* What was quantised once stays as it is. */
static void test_again(void **state) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    float x[64], y[64], z[64];
    uint8_t out[68], again[68];
    rl_weight w = {.stored = RL_STORED_Q8_0, .rank = 1, .shape = {64}, .n_bytes = sizeof out};
    (void)state;
    for (uint32_t round = 0; round < 200; round++) {
        rng.step = round;
        for (int i = 0; i < 64; i++) {
            x[i] = (float)(rl_rng_normal(&rng, (uint64_t)i) * exp2((double)(round % 30) - 15));
        }
        rl_f32_to_q8_0(x, 64, out);
        w.bytes = out;
        rl_weight_to_f32(&w, y);
        for (int i = 0; i < 64; i++) {
            float most = 0;
            for (int k = i / 32 * 32; k < i / 32 * 32 + 32; k++) {
                most = fmaxf(most, fabsf(x[k]));
            }
            // Half a step, and the rounding of the scale to F16 over up to 127 of them.
            assert_true(fabsf(x[i] - y[i]) <=
                        most / 127 * 0.501f + most * 0x1p-11f + 127 * 0x1p-25f);
        }
        rl_f32_to_q8_0(y, 64, again);
        w.bytes = again;
        rl_weight_to_f32(&w, z);
        assert_memory_equal(y, z, sizeof y);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_f16), cmocka_unit_test(test_q8_0),
                                       cmocka_unit_test(test_again)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
