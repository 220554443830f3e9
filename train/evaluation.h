/*
 * Evaluation: the problems of data.eval, each sampled eval.samples times, and every failure tried
 * again as eval.turns allows; with eval.controls also afresh and with another problem's feedback.
 * Private to train/.
 */
#ifndef RL_TRAIN_EVALUATION_H
#define RL_TRAIN_EVALUATION_H

#include <signal.h>

#include "rl/train/metrics.h"
#include "rl/train/run_dir.h"
#include "train/report.h"
#include "train/setup.h"

/* Who listens to an evaluation; each may be NULL. */
typedef struct eval_place {
    const volatile sig_atomic_t *stop; // nonzero ends it between batches with RL_INTERRUPTED
    report *report;                    // shows how far it is
    rl_run_dir *dir;                   // gets eval.jsonl and eval_completions-<step>.jsonl
} eval_place;

enum { EVAL_SET_NAME = 40 };
/* The stem of data.eval's file: "heldout" for "data/heldout.jsonl"; a longer one is cut, at a
 * character. */
void eval_set_name(const rl_recipe *recipe, char out[EVAL_SET_NAME]);

/*
 * Puts eval/<set>/... (docs/metrics.md) and timing_s/eval. The same recipe and weights give the
 * same numbers at any step. Files appear once all is measured. Resets arena.
 */
rl_status eval_run(const setup *s, int64_t step, const eval_place *place, rl_arena *arena,
                   rl_metrics *out, rl_err *err) RL_MUST_USE;

/* Refuses more first attempts and retries than can be counted; needs the problems alone. */
rl_status eval_check_size(const setup *s, rl_err *err) RL_MUST_USE;

#endif
