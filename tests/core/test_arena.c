#include "tests/support/support.h"

#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/rng.h"

static void test_basics(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char *a, *b;
    int64_t *zero;
    (void)state;
    a = rl_arena_strdup(arena, "text");
    b = rl_arena_strndup(arena, "textual", 4);
    assert_string_equal(a, b);
    assert_string_equal(rl_arena_printf(arena, "%s-%d", a, 7), "text-7");
    zero = rl_arena_alloc(arena, 100, sizeof *zero);
    for (int i = 0; i < 100; i++) {
        assert_int_equal(zero[i], 0);
    }
    assert_int_equal((uintptr_t)zero % 64, 0);
    assert_non_null(rl_arena_alloc(arena, 0, 8));
    assert_ptr_not_equal(rl_arena_alloc(arena, 0, 8), rl_arena_alloc(arena, 0, 8));
    rl_arena_free(arena);
    rl_arena_free(NULL);
}

/* Memory given out never overlaps, is zero after every reset, and stays where it is. */
static void test_no_overlap(void **state) {
    enum { N = 200 };
    rl_rng rng = {.seed = rl_test_seed(), .purpose = RL_RNG_TEST};
    rl_arena *arena = rl_arena_new(1024);
    (void)state;
    for (uint32_t round = 0; round < 20; round++) {
        uint8_t *ptr[N];
        size_t size[N];
        rng.step = round;
        for (uint64_t i = 0; i < N; i++) {
            size[i] = (size_t)rl_rng_below(&rng, i, 3000);
            ptr[i] = rl_arena_alloc(arena, size[i], 1);
            for (size_t j = 0; j < size[i]; j++) {
                assert_int_equal(ptr[i][j], 0);
            }
            memset(ptr[i], (int)i + 1, size[i]);
        }
        for (uint64_t i = 0; i < N; i++) {
            for (size_t j = 0; j < size[i]; j++) {
                assert_int_equal(ptr[i][j], (uint8_t)(i + 1));
            }
        }
        rl_arena_reset(arena);
        assert_int_equal(rl_arena_used(arena), 0);
    }
    rl_arena_free(arena);
}

static void test_mark_and_rewind(void **state) {
    rl_arena *arena = rl_arena_new(256);
    rl_arena_mark empty = rl_arena_mark_get(arena), mark;
    char *kept, *first, *second;
    size_t used;
    (void)state;
    kept = rl_arena_strdup(arena, "kept");
    mark = rl_arena_mark_get(arena);
    used = rl_arena_used(arena);
    first = rl_arena_alloc(arena, 1000, 1);
    memset(first, 1, 1000);
    assert_true(rl_arena_used(arena) >= used + 1000);
    rl_arena_rewind(arena, mark);
    assert_int_equal(rl_arena_used(arena), used);
    assert_true(rl_arena_peak(arena) >= used + 1000);
    second = rl_arena_alloc(arena, 1000, 1);
    assert_int_equal(second[999], 0);
    assert_string_equal(kept, "kept");
    rl_arena_rewind(arena, empty);
    assert_int_equal(rl_arena_used(arena), 0);
    rl_arena_free(arena);
}

/* An arena that has seen its largest load allocates no more. */
static void test_steady_state(void **state) {
    rl_arena *arena = rl_arena_new(512);
    uint64_t count = 0;
    (void)state;
    for (int round = 0; round < 5; round++) {
        if (round == 1) {
            count = rl_alloc_count();
        }
        for (size_t i = 1; i < 100; i++) {
            (void)rl_arena_alloc(arena, i * 37, 1);
        }
        rl_arena_reset(arena);
    }
    assert_int_equal(rl_alloc_count(), count);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_basics),
        cmocka_unit_test(test_no_overlap),
        cmocka_unit_test(test_mark_and_rewind),
        cmocka_unit_test(test_steady_state),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
