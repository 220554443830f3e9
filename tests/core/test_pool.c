#include "tests/support/support.h"

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/pool.h"

typedef struct sheet {
    int32_t *hits;
    int64_t n, grain;
    int32_t n_threads;
    bool bad;
    int64_t *work_of; // [n_threads][8], each thread its own line
} sheet;

static void mark(void *context, int64_t begin, int64_t end, int32_t worker) {
    sheet *s = context;
    bool last = end == s->n;
    if (begin % s->grain != 0 || (!last && end - begin != s->grain) || end <= begin || worker < 0 ||
        worker >= s->n_threads) {
        s->bad = true;
        return;
    }
    for (int64_t i = begin; i < end; i++) {
        s->hits[i]++;
    }
    s->work_of[8 * worker] += end - begin;
}

static void cover(rl_pool *pool, int32_t n_threads, int64_t n, int64_t grain) {
    sheet s = {.n = n, .grain = grain, .n_threads = n_threads};
    int64_t sum = 0;
    s.hits = rl_alloc((size_t)n, sizeof *s.hits);
    s.work_of = rl_alloc((size_t)n_threads * 8, sizeof *s.work_of);
    rl_pool_run(pool, n, grain, mark, &s);
    assert_false(s.bad);
    for (int64_t i = 0; i < n; i++) {
        assert_int_equal(s.hits[i], 1);
    }
    for (int32_t i = 0; i < n_threads; i++) {
        sum += s.work_of[8 * i];
    }
    assert_int_equal(sum, n);
    rl_free(s.hits);
    rl_free(s.work_of);
}

/* Each item exactly once, cut at multiples of the grain, whatever the threads. */
static void test_covers(void **state) {
    (void)state;
    cover(NULL, 1, 10, 3);
    for (int32_t n_threads = 1; n_threads <= 5; n_threads += 2) {
        for (int spin = 0; spin < 2; spin++) {
            rl_err err;
            rl_pool *pool;
            assert_ok(rl_pool_new(n_threads, spin != 0, &pool, &err));
            assert_int_equal(rl_pool_threads(pool), n_threads);
            cover(pool, n_threads, 0, 1);
            cover(pool, n_threads, 1, 1);
            cover(pool, n_threads, 7, 100);
            cover(pool, n_threads, 1000, 7);
            cover(pool, n_threads, 1000, 1);
            rl_pool_free(pool);
        }
    }
    rl_pool_free(NULL);
}

static void chain(void *context, int64_t begin, int64_t end, int32_t worker) {
    int64_t *value = context;
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        value[i] = value[i] * 3 + i;
    }
}

/* Many short jobs, some after a pause in which the workers park; each sees what the last wrote,
 * although chunks land on other threads. Under TSan this is the proof of the gate. */
static void test_many_jobs(void **state) {
    enum { N = 64, JOBS = 20000, PRIME = 1000000007 };
    int64_t value[N] = {0}, want[N] = {0};
    rl_err err;
    rl_pool *pool;
    (void)state;
    assert_ok(rl_pool_new(2, true, &pool, &err));
    for (int j = 0; j < JOBS; j++) {
        if (j % 4000 == 0) {
            rl_clock_sleep_ms(5);
        }
        rl_pool_run(pool, N, 1 + j % 9, chain, value);
        for (int64_t i = 0; i < N; i++) {
            want[i] = (want[i] * 3 + i) % PRIME;
            value[i] %= PRIME;
        }
        assert_memory_equal(value, want, sizeof value);
    }
    rl_pool_free(pool);
}

/* More threads than processors, uneven work: the caller must park and be woken. */
static void slow(void *context, int64_t begin, int64_t end, int32_t worker) {
    int32_t *done = context;
    (void)end;
    if (worker != 0) {
        rl_clock_sleep_ms(2);
    }
    done[begin] = 1;
}

static void test_waits_for_slow_workers(void **state) {
    rl_err err;
    rl_pool *pool;
    (void)state;
    assert_ok(rl_pool_new(6, false, &pool, &err));
    for (int j = 0; j < 50; j++) {
        int32_t done[64] = {0};
        rl_pool_run(pool, 64, 1, slow, done);
        for (int i = 0; i < 64; i++) {
            assert_int_equal(done[i], 1);
        }
    }
    rl_pool_free(pool);
}

typedef struct meeting {
    rl_lock *lock;
    int arrived;
} meeting;

/* Every item waits for all others: needs one thread per item, and the lock's wake-ups. */
static void meet(void *context, int64_t begin, int64_t end, int32_t worker) {
    meeting *m = context;
    (void)begin;
    (void)end;
    (void)worker;
    rl_lock_take(m->lock);
    m->arrived++;
    rl_lock_wake(m->lock);
    while (m->arrived < 4) {
        rl_lock_wait(m->lock);
    }
    rl_lock_give(m->lock);
}

static void test_lock(void **state) {
    rl_err err;
    rl_pool *pool;
    meeting m = {.lock = rl_lock_new()};
    (void)state;
    assert_ok(rl_pool_new(4, false, &pool, &err));
    rl_pool_run(pool, 4, 1, meet, &m);
    assert_int_equal(m.arrived, 4);
    rl_pool_free(pool);
    rl_lock_free(m.lock);
    rl_lock_free(NULL);
}

static void test_cpu_count(void **state) {
    (void)state;
    assert_true(rl_cpu_count() >= 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_covers),
        cmocka_unit_test(test_many_jobs),
        cmocka_unit_test(test_waits_for_slow_workers),
        cmocka_unit_test(test_lock),
        cmocka_unit_test(test_cpu_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
