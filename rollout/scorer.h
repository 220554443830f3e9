/*
 * Fan-out of verifier calls: every answer is shown to every judge, on threads that wait. Each
 * verdict goes to a place of its own and texts are copied in order afterwards, so the result does
 * not depend on which thread did what. Private to rollout/.
 */
#ifndef RL_ROLLOUT_SCORER_H
#define RL_ROLLOUT_SCORER_H

#include "rl/rollout/rollout.h"

typedef struct rl_answer {
    const rl_problem *problem;
    const char *text;
    size_t text_len;
} rl_answer;

/*
 * verdict is [n_answers][n_judges]; feedback goes to the arena. A verdict that could not be reached
 * is UNKNOWN. Returns why the first such was not, with the judge's name, in the arena; NULL when
 * all were reached. waiters NULL runs inline.
 */
const char *rl_score(const rl_judge *judge, int32_t n_judges, rl_pool *waiters,
                     const rl_answer *answer, int32_t n_answers, rl_arena *arena,
                     rl_verdict *verdict);

/* The verdict that speaks for an answer: of the first judge that ran tests, else of the first; but
 * UNKNOWN if any is, since the answer then has no score. */
const rl_verdict *rl_verdict_main(const rl_verdict *verdict, int32_t n_judges);

#endif
