/*
 * Theory of operation.
 *
 * Parties: the caller of rl_pool_run, who is worker 0, and n_threads - 1 workers. All they share
 * lives in rl_pool. The gate, one atomic word, is the whole protocol:
 *
 *     job number (32 bits) | open (1 bit) | workers inside (31 bits)
 *
 *  1. The caller writes the job into plain fields, then stores a gate with the next number, open,
 *     nobody inside (open_gate), and wakes whoever is parked.
 *  2. A worker that sees an open gate of a number it has not served enters by adding one to the
 *     count with compare-and-swap (enter); that acquires the job fields.
 *  3. Everybody inside, and the caller, takes chunks until none are left (take_chunks): first from
 *     a share of its own, a run of neighbours that is the same for every job of that many chunks,
 *     so that it finds in its cache what it wrote in the job before; then from the shares of
 *     others. A worker then leaves by subtracting one, which releases what it wrote.
 *  4. The caller closes the gate when no chunks are left and waits until nobody is inside
 *     (close_gate). A worker that comes too late finds the gate closed and goes on waiting: a
 *     sleeper that wakes slowly never delays a job that the others have finished.
 *
 * Hence the job fields are written only while the gate is closed and empty, and read only inside.
 *
 * Waiting, both for a job (wait_for_job) and for the last worker (close_gate), spins SPINS times
 * and then parks on a condition variable. Whoever parks first announces it (n_parked,
 * caller_parked), then looks at the gate once more; whoever changes the gate looks at the
 * announcement afterwards. All four accesses are sequentially consistent, so one of the two sees
 * the other and no wake-up is lost.
 *
 * Ending: `quit` is set, the parked are woken, the threads are joined.
 */
#include "rl/core/pool.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

enum { SPINS = 2000, CACHE_LINE = 64 };

static const uint64_t gate_open = (uint64_t)1 << 31;

static uint32_t gate_number(uint64_t gate) {
    return (uint32_t)(gate >> 32);
}

static uint32_t gate_inside(uint64_t gate) {
    return (uint32_t)(gate & (gate_open - 1));
}

/* Chunks [next, end) of a job that one worker begins with and anybody may take. */
typedef struct share {
    atomic_int_fast64_t next;
    int64_t end;
    char pad[CACHE_LINE - sizeof(atomic_int_fast64_t) - sizeof(int64_t)];
} share;

struct rl_pool {
    int32_t n_threads, n_started; // n_started counts joinable threads, without the caller
    int32_t spins;
    pthread_t *thread;

    // The job; see the theory for who may touch it when.
    rl_pool_job *job;
    void *context;
    int64_t n, grain;
    share *share; // [n_threads]

    char pad0[CACHE_LINE];
    atomic_uint_fast64_t gate;
    char pad1[CACHE_LINE];

    atomic_int n_parked;
    atomic_bool caller_parked, quit, running;
    pthread_mutex_t mutex;
    pthread_cond_t opened, emptied;
};

typedef struct start_info {
    rl_pool *pool;
    int32_t worker;
} start_info;

static void breathe(void) {
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
}

static void take_chunks(rl_pool *pool, int32_t worker) {
    for (int32_t k = 0; k < pool->n_threads; k++) {
        share *from = &pool->share[(worker + k) % pool->n_threads];
        for (;;) {
            int64_t i = atomic_fetch_add_explicit(&from->next, 1, memory_order_relaxed);
            int64_t begin;
            if (i >= from->end) {
                break;
            }
            begin = i * pool->grain;
            pool->job(pool->context, begin,
                      pool->n - begin > pool->grain ? begin + pool->grain : pool->n, worker);
        }
    }
}

/* Cuts the chunks into shares as equal as can be. */
static void deal_chunks(rl_pool *pool) {
    int64_t n_chunks = pool->n / pool->grain + (pool->n % pool->grain != 0), at = 0;
    for (int32_t w = 0; w < pool->n_threads; w++) {
        int64_t n = n_chunks / pool->n_threads + (w < n_chunks % pool->n_threads);
        atomic_store_explicit(&pool->share[w].next, at, memory_order_relaxed);
        pool->share[w].end = at += n;
    }
}

static bool has_work(const rl_pool *pool, uint32_t served) {
    uint64_t gate = atomic_load(&pool->gate);
    return ((gate & gate_open) != 0 && gate_number(gate) != served) || atomic_load(&pool->quit);
}

static void wait_for_job(rl_pool *pool, uint32_t served) {
    for (int32_t i = 0; i < pool->spins; i++) {
        if (has_work(pool, served)) {
            return;
        }
        breathe();
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_fetch_add(&pool->n_parked, 1);
    while (!has_work(pool, served)) {
        pthread_cond_wait(&pool->opened, &pool->mutex);
    }
    atomic_fetch_sub(&pool->n_parked, 1);
    pthread_mutex_unlock(&pool->mutex);
}

static bool enter(rl_pool *pool, uint32_t *served) {
    uint64_t gate = atomic_load(&pool->gate);
    while ((gate & gate_open) != 0 && gate_number(gate) != *served) {
        if (atomic_compare_exchange_weak(&pool->gate, &gate, gate + 1)) {
            *served = gate_number(gate);
            return true;
        }
    }
    return false;
}

static void leave(rl_pool *pool) {
    uint64_t before = atomic_fetch_sub(&pool->gate, 1);
    if (gate_inside(before) == 1 && atomic_load(&pool->caller_parked)) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_signal(&pool->emptied);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void *work(void *arg) {
    start_info info = *(start_info *)arg;
    uint32_t served = 0;
    rl_free(arg);
    for (;;) {
        wait_for_job(info.pool, served);
        if (atomic_load(&info.pool->quit)) {
            return NULL;
        }
        if (enter(info.pool, &served)) {
            take_chunks(info.pool, info.worker);
            leave(info.pool);
        }
    }
}

static void open_gate(rl_pool *pool) {
    uint32_t number = gate_number(atomic_load(&pool->gate)) + 1;
    number += number == 0; // workers start having served number 0
    atomic_store(&pool->gate, (uint64_t)number << 32 | gate_open);
    if (atomic_load(&pool->n_parked) > 0) {
        pthread_mutex_lock(&pool->mutex);
        pthread_cond_broadcast(&pool->opened);
        pthread_mutex_unlock(&pool->mutex);
    }
}

static void close_gate(rl_pool *pool) {
    uint64_t gate = atomic_fetch_and(&pool->gate, ~gate_open);
    for (int32_t i = 0; i < pool->spins && gate_inside(gate) != 0; i++) {
        breathe();
        gate = atomic_load(&pool->gate);
    }
    if (gate_inside(gate) == 0) {
        return;
    }
    pthread_mutex_lock(&pool->mutex);
    atomic_store(&pool->caller_parked, true);
    while (gate_inside(atomic_load(&pool->gate)) != 0) {
        pthread_cond_wait(&pool->emptied, &pool->mutex);
    }
    atomic_store(&pool->caller_parked, false);
    pthread_mutex_unlock(&pool->mutex);
}

void rl_pool_run(rl_pool *pool, int64_t n, int64_t grain, rl_pool_job *job, void *context) {
    RL_ASSERT(n >= 0 && grain > 0);
    if (pool == NULL || pool->n_threads == 1 || n <= grain) {
        for (int64_t begin = 0; begin < n; begin += grain) {
            job(context, begin, n - begin > grain ? begin + grain : n, 0);
            if (n - begin <= grain) { // also keeps begin + grain from overflowing
                break;
            }
        }
        return;
    }
    RL_ASSERT(!atomic_exchange(&pool->running, true));
    pool->job = job;
    pool->context = context;
    pool->n = n;
    pool->grain = grain;
    deal_chunks(pool);
    open_gate(pool);
    take_chunks(pool, 0);
    close_gate(pool);
    atomic_store(&pool->running, false);
}

rl_status rl_pool_new(int32_t n_threads, bool spin, rl_pool **out, rl_err *err) {
    rl_pool *pool = rl_alloc(1, sizeof *pool);
    sigset_t all, before;
    int cause = 0;
    RL_ASSERT(n_threads >= 1);
    *out = NULL;
    pool->n_threads = n_threads;
    // With more threads than processors a spinning thread keeps a working one off the processor.
    pool->spins = spin && n_threads <= rl_cpu_count() ? SPINS : 0;
    pool->thread = rl_alloc((size_t)n_threads, sizeof *pool->thread);
    pool->share = rl_alloc((size_t)n_threads, sizeof *pool->share);
    RL_ASSERT(pthread_mutex_init(&pool->mutex, NULL) == 0);
    RL_ASSERT(pthread_cond_init(&pool->opened, NULL) == 0);
    RL_ASSERT(pthread_cond_init(&pool->emptied, NULL) == 0);
    // Workers inherit a full mask, so that signals always reach the main thread.
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    for (int32_t i = 1; i < n_threads && cause == 0; i++) {
        start_info *info = rl_alloc(1, sizeof *info);
        *info = (start_info){.pool = pool, .worker = i};
        cause = pthread_create(&pool->thread[pool->n_started], NULL, work, info);
        if (cause == 0) {
            pool->n_started++;
        } else {
            rl_free(info);
        }
    }
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (cause != 0) {
        rl_status status = rl_fail(
            err, RL_MEMORY, "cannot start thread %d of %d; try fewer threads or raise 'ulimit -u'",
            pool->n_started + 2, n_threads);
        rl_pool_free(pool);
        return status;
    }
    *out = pool;
    return RL_OK;
}

void rl_pool_free(rl_pool *pool) {
    if (pool == NULL) {
        return;
    }
    atomic_store(&pool->quit, true);
    pthread_mutex_lock(&pool->mutex);
    pthread_cond_broadcast(&pool->opened);
    pthread_mutex_unlock(&pool->mutex);
    for (int32_t i = 0; i < pool->n_started; i++) {
        RL_ASSERT(pthread_join(pool->thread[i], NULL) == 0);
    }
    pthread_cond_destroy(&pool->opened);
    pthread_cond_destroy(&pool->emptied);
    pthread_mutex_destroy(&pool->mutex);
    rl_free(pool->thread);
    rl_free(pool->share);
    rl_free(pool);
}

int32_t rl_pool_threads(const rl_pool *pool) {
    return pool->n_threads;
}

/* Whole processors that the control group grants, 0 when it sets no limit. */
static int32_t cgroup_cpus(void) {
    FILE *file = fopen("/sys/fs/cgroup/cpu.max", "re");
    char line[64];
    int32_t cpus = 0;
    long long quota, period;
    if (file != NULL) {
        if (fgets(line, sizeof line, file) != NULL &&
            sscanf(line, "%lld %lld", &quota, &period) == 2 && quota > 0 && period > 0) {
            cpus = (int32_t)((quota + period - 1) / period);
        }
        fclose(file);
    }
    return cpus;
}

int32_t rl_cpu_count(void) {
    cpu_set_t set;
    int32_t limit = cgroup_cpus();
    int32_t cpus = sched_getaffinity(0, sizeof set, &set) == 0
                       ? (int32_t)CPU_COUNT(&set)
                       : (int32_t)sysconf(_SC_NPROCESSORS_ONLN);
    cpus = limit > 0 && limit < cpus ? limit : cpus;
    return cpus > 0 ? cpus : 1;
}

struct rl_lock {
    pthread_mutex_t mutex;
    pthread_cond_t woken;
};

rl_lock *rl_lock_new(void) {
    rl_lock *lock = rl_alloc(1, sizeof *lock);
    RL_ASSERT(pthread_mutex_init(&lock->mutex, NULL) == 0);
    RL_ASSERT(pthread_cond_init(&lock->woken, NULL) == 0);
    return lock;
}

void rl_lock_free(rl_lock *lock) {
    if (lock != NULL) {
        pthread_cond_destroy(&lock->woken);
        pthread_mutex_destroy(&lock->mutex);
        rl_free(lock);
    }
}

void rl_lock_take(rl_lock *lock) {
    RL_ASSERT(pthread_mutex_lock(&lock->mutex) == 0);
}

void rl_lock_give(rl_lock *lock) {
    RL_ASSERT(pthread_mutex_unlock(&lock->mutex) == 0);
}

void rl_lock_wait(rl_lock *lock) {
    RL_ASSERT(pthread_cond_wait(&lock->woken, &lock->mutex) == 0);
}

void rl_lock_wake(rl_lock *lock) {
    RL_ASSERT(pthread_cond_broadcast(&lock->woken) == 0);
}
