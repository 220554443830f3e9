/* What a job costs: an empty program, an empty Python, a judged program; by one and two threads. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/arena.h"
#include "rl/core/clock.h"
#include "rl/core/pool.h"
#include "rl/core/problem.h"
#include "rl/rewards/verifier.h"
#include "rl/sandbox/sandbox.h"

static rl_sandbox *jail;
static const rl_verifier *row;
static void *judge;

static void check(rl_status status, const rl_err *err) {
    if (status != RL_OK) {
        fprintf(stderr, "%s\n", err->text);
        exit(1);
    }
}

static void run_argv(void *context, int64_t begin, int64_t end, int32_t worker) {
    rl_arena *arena = rl_arena_new(0);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        rl_job job = {.argv = context, .limits = rl_sandbox_limits(jail)};
        rl_report report;
        rl_err err;
        check(rl_sandbox_run(jail, &job, arena, &report, &err), &err);
        rl_arena_reset(arena);
    }
    rl_arena_free(arena);
}

static void run_tests(void *context, int64_t begin, int64_t end, int32_t worker) {
    rl_arena *arena = rl_arena_new(0);
    (void)worker;
    for (int64_t i = begin; i < end; i++) {
        // A text of its own for each, or the verdict would be remembered.
        char *answer = rl_arena_printf(arena, "```python\ndef f(x):\n    return x + 1 # %.9f\n```",
                                       rl_clock_now());
        rl_verdict verdict;
        rl_err err;
        check(row->verify(judge, context, answer, strlen(answer), arena, &verdict, &err), &err);
        if (verdict.kind != RL_VERDICT_PASS) {
            fprintf(stderr, "not passed\n");
            exit(1);
        }
        rl_arena_reset(arena);
    }
    rl_arena_free(arena);
}

static void measure(const char *what, rl_pool_job *job, void *context, int64_t n) {
    for (int32_t threads = 1; threads <= 2; threads++) {
        rl_pool *pool;
        rl_err err;
        check(rl_pool_new(threads, false, &pool, &err), &err);
        double begin = rl_clock_now();
        rl_pool_run(pool, n, 1, job, context);
        double took = rl_clock_now() - begin;
        printf("%-28s %d at a time: %7.2f ms each, %6.0f/s\n", what, (int)threads,
               1e3 * took * threads / (double)n, (double)n / took);
        rl_pool_free(pool);
    }
}

int main(void) {
    rl_sandbox_opts opts = {.workers = 2,
                            .cpu_ms = 5000,
                            .wall_ms = 10000,
                            .mem_mb = 256,
                            .out_kb = 64,
                            .processes = 32,
                            .python = ""};
    const char *tests[] = {"assert f(1) == 2", "assert f(2) == 3", "assert f(-1) == 0"};
    rl_problem problem = {.id = "bench", .tests = tests, .n_tests = 3};
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    check(rl_sandbox_open(&opts, &jail, &err), &err);
    row = rl_verifier_find("code_tests");
    void *chosen = rl_arena_alloc(arena, 1, row->options->size);
    rl_section_defaults(row->options, arena, chosen);
    check(row->open(&judge, chosen, jail, &err), &err);
    printf("%s\n", rl_sandbox_mode_line(jail));
    const char *empty[] = {"/bin/true", NULL};
    const char *python[] = {rl_sandbox_python(jail), "-I", "-S", "-c", "pass", NULL};
    measure("/bin/true", run_argv, empty, 300);
    measure("python -I -S -c pass", run_argv, python, 200);
    measure("code_tests, three assertions", run_tests, &problem, 200);
    row->close(judge);
    rl_sandbox_close(jail);
    rl_arena_free(arena);
    return 0;
}
