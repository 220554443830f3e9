#include "rollout/scorer.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

typedef struct job {
    const rl_judge *judge;
    int32_t n_judges;
    const rl_answer *answer;
    rl_verdict *verdict; // [n_answers][n_judges]
    const char **cause;  // the same shape: why a verdict is UNKNOWN
    rl_arena **arena;    // one a worker
} job;

static void judge_range(void *context, int64_t begin, int64_t end, int32_t worker) {
    const job *x = context;
    for (int64_t i = begin; i < end; i++) {
        const rl_judge *judge = &x->judge[i % x->n_judges];
        const rl_answer *answer = &x->answer[i / x->n_judges];
        rl_verdict *out = &x->verdict[i];
        rl_err err = {.text = "no cause given"};
        rl_status status = judge->row->verify(judge->self, answer->problem, answer->text,
                                              answer->text_len, x->arena[worker], out, &err);
        RL_ASSERT((status == RL_OK) == (out->kind != RL_VERDICT_UNKNOWN));
        if (status != RL_OK) {
            x->cause[i] = rl_arena_strdup(x->arena[worker], err.text);
        } else {
            RL_ASSERT(out->score >= 0 && out->score <= 1);
        }
    }
}

// Why the first unknown verdict is so.
static const char *first_cause(const job *x, size_t n, rl_arena *arena) {
    for (size_t i = 0; i < n; i++) {
        if (x->cause[i] != NULL) {
            return rl_arena_printf(arena, "verifier '%s': %s",
                                   x->judge[i % (size_t)x->n_judges].name, x->cause[i]);
        }
    }
    return NULL;
}

const char *rl_score(const rl_judge *judge, int32_t n_judges, rl_pool *waiters,
                     const rl_answer *answer, int32_t n_answers, rl_arena *arena,
                     rl_verdict *verdict) {
    int32_t n_workers = waiters != NULL ? rl_pool_threads(waiters) : 1;
    size_t n = (size_t)n_answers * (size_t)n_judges;
    const char *cause;
    job x = {
        .judge = judge,
        .n_judges = n_judges,
        .answer = answer,
        .verdict = verdict,
        .cause = rl_alloc(n, sizeof *x.cause),
        .arena = rl_alloc((size_t)n_workers, sizeof *x.arena),
    };
    RL_ASSERT(n_judges > 0);
    for (int32_t w = 0; w < n_workers; w++) {
        x.arena[w] = rl_arena_new(0);
    }
    memset(verdict, 0, n * sizeof *verdict);
    rl_pool_run(waiters, (int64_t)n, 1, judge_range, &x);
    for (size_t i = 0; i < n; i++) {
        if (verdict[i].feedback != NULL) {
            verdict[i].feedback =
                rl_arena_strndup(arena, verdict[i].feedback, verdict[i].feedback_len);
        }
    }
    cause = first_cause(&x, n, arena);
    for (int32_t w = 0; w < n_workers; w++) {
        rl_arena_free(x.arena[w]);
    }
    rl_free(x.arena);
    rl_free(x.cause);
    return cause;
}

const rl_verdict *rl_verdict_main(const rl_verdict *verdict, int32_t n_judges) {
    const rl_verdict *out = NULL;
    for (int32_t j = 0; j < n_judges; j++) {
        if (verdict[j].kind == RL_VERDICT_UNKNOWN) {
            return &verdict[j];
        }
        if (out == NULL && verdict[j].total > 0) {
            out = &verdict[j];
        }
    }
    return out != NULL ? out : &verdict[0];
}
