/*
 * Threads. One pool owns all compute threads of the program; the caller is worker 0. Workers spin
 * briefly between jobs, then park. A second, parked-only pool serves calls that wait (verifiers).
 *
 * A job is a range [0, n) cut into chunks of `grain`; chunks are taken in any order by any worker,
 * so a job must write only what belongs to its own items, and its result must not depend on the
 * cut. The cut is at multiples of grain, whatever the number of threads.
 *
 * rl_pool_run may not be called from inside a job of the same pool.
 */
#ifndef RL_CORE_POOL_H
#define RL_CORE_POOL_H

#include <stdbool.h>
#include <stdint.h>

#include "rl/core/status.h"

typedef struct rl_pool rl_pool;

/* Items [begin, end) of the job; worker counts from 0 and indexes per-thread scratch. */
typedef void rl_pool_job(void *context, int64_t begin, int64_t end, int32_t worker);

/* n_threads >= 1, counting the caller. spin: busy-wait between jobs (compute) or park at once
 * (waiting). */
rl_status rl_pool_new(int32_t n_threads, bool spin, rl_pool **out, rl_err *err) RL_MUST_USE;
void rl_pool_free(rl_pool *pool); // accepts NULL; joins the threads
int32_t rl_pool_threads(const rl_pool *pool);
/* Runs the job to its end. Memory written by the job is visible afterwards. pool NULL runs inline.
 */
void rl_pool_run(rl_pool *pool, int64_t n, int64_t grain, rl_pool_job *job, void *context);
/* Processors this process may use. */
int32_t rl_cpu_count(void);

/* A lock for the few shared tables (caches, free lists). */
typedef struct rl_lock rl_lock;
rl_lock *rl_lock_new(void);
void rl_lock_free(rl_lock *lock); // accepts NULL
void rl_lock_take(rl_lock *lock);
void rl_lock_give(rl_lock *lock);
/* Releases the lock, waits for rl_lock_wake, takes it again. May wake without cause: test in a
 * loop. */
void rl_lock_wait(rl_lock *lock);
void rl_lock_wake(rl_lock *lock); // all waiters; the lock must be held

#endif
