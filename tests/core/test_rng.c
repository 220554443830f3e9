#include "tests/support/support.h"

#include <math.h>

#include "core/threefry.h"
#include "rl/core/rng.h"

/* Known answers published with Random123 (kat_vectors, threefry4x64 20). */
static void test_known_answers(void **state) {
    static const struct {
        uint64_t counter[4], key[4], out[4];
    } row[] = {
        {{0, 0, 0, 0},
         {0, 0, 0, 0},
         {0x09218ebde6c85537, 0x55941f5266d86105, 0x4bd25e16282434dc, 0xee29ec846bd2e40b}},
        {{UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
         {UINT64_MAX, UINT64_MAX, UINT64_MAX, UINT64_MAX},
         {0x29c24097942bba1b, 0x0371bbfb0f6f4e11, 0x3c231ffa33f83a1c, 0xcd29113fde32d168}},
        {{0x243f6a8885a308d3, 0x13198a2e03707344, 0xa4093822299f31d0, 0x082efa98ec4e6c89},
         {0x452821e638d01377, 0xbe5466cf34e90c6c, 0xbe5466cf34e90c6c, 0xc0ac29b7c97c50dd},
         {0xa7e8fde591651bd9, 0xbaafd0c30138319b, 0x84a5c1a729e685b9, 0x901d406ccebc1ba4}},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        uint64_t out[4];
        rl_threefry(row[i].key, row[i].counter, out);
        for (int j = 0; j < 4; j++) {
            assert_int_equal(out[j], row[i].out[j]);
        }
    }
}

/* Every part of the address matters. */
static void test_address(void **state) {
    rl_rng base = {.seed = 7, .step = 1, .problem = 2, .sample = 3, .turn = 4};
    rl_rng other[6] = {base, base, base, base, base, base};
    uint64_t bits = rl_rng_bits(&base, 5);
    (void)state;
    other[0].seed++;
    other[1].step++;
    other[2].problem++;
    other[3].sample++;
    other[4].turn++;
    other[5].purpose = RL_RNG_SHUFFLE;
    for (size_t i = 0; i < RL_COUNT(other); i++) {
        assert_int_not_equal(rl_rng_bits(&other[i], 5), bits);
    }
    assert_int_not_equal(rl_rng_bits(&base, 6), bits);
    assert_int_equal(rl_rng_bits(&base, 5), bits);
}

static void test_uniform_and_below(void **state) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    enum { N = 30000, SIDES = 6 };
    int count[SIDES] = {0};
    double sum = 0.0;
    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        double u = rl_rng_uniform(&rng, i);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
        count[rl_rng_below(&rng, i, SIDES)]++;
        assert_int_equal(rl_rng_below(&rng, i, 1), 0);
    }
    assert_true(fabs(sum / N - 0.5) < 0.01); // six standard deviations
    for (int i = 0; i < SIDES; i++) {
        assert_true(abs(count[i] - N / SIDES) < 400); // six standard deviations
    }
    // Half of all words are refused here; the draw must still end and stay in range.
    for (uint64_t i = 0; i < 100; i++) {
        assert_true(rl_rng_below(&rng, i, ((uint64_t)1 << 63) + 1) <= (uint64_t)1 << 63);
    }
}

/* Against libm on the same words. */
static void test_normal(void **state) {
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    enum { N = 30000 };
    double sum = 0.0, squares = 0.0;
    (void)state;
    for (uint64_t i = 0; i < N; i++) {
        uint64_t key[4] = {rng.seed, 0, 0, RL_RNG_TEST}, counter[4] = {i, 0, 0, 0}, w[4];
        double got = rl_rng_normal(&rng, i), u, v, want;
        rl_threefry(key, counter, w);
        u = (double)((w[0] >> 11) + 1) * 0x1p-53;
        v = (double)(w[1] >> 11) * 0x1p-53;
        want = sqrt(-2.0 * log(u)) * cos(2.0 * 3.14159265358979323846 * v);
        assert_true(fabs(got - want) < 1e-14);
        sum += got;
        squares += got * got;
    }
    assert_true(fabs(sum / N) < 0.035);
    assert_true(fabs(squares / N - 1.0) < 0.05);
}

static void test_permutation(void **state) {
    rl_rng rng = {.seed = 1, .purpose = RL_RNG_SHUFFLE};
    int32_t order[100], again[100];
    bool seen[100] = {false};
    int moved = 0;
    (void)state;
    rl_rng_permutation(&rng, order, 100);
    rl_rng_permutation(&rng, again, 100);
    assert_memory_equal(order, again, sizeof order);
    for (int i = 0; i < 100; i++) {
        assert_in_range(order[i], 0, 99);
        assert_false(seen[order[i]]);
        seen[order[i]] = true;
        moved += order[i] != i;
    }
    assert_true(moved > 80);
    rng.step = 1;
    rl_rng_permutation(&rng, again, 100);
    assert_memory_not_equal(order, again, sizeof order);
    rl_rng_permutation(&rng, again, 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_known_answers),     cmocka_unit_test(test_address),
        cmocka_unit_test(test_uniform_and_below), cmocka_unit_test(test_normal),
        cmocka_unit_test(test_permutation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
