/* Measuring a recipe's model on data.eval without training it. */
#ifndef RL_TRAIN_EVAL_H
#define RL_TRAIN_EVAL_H

#include <signal.h>
#include <stdbool.h>

#include "rl/train/metrics.h"
#include "rl/train/recipe.h"

/*
 * Puts what an evaluation at step 0 of a run of this recipe would put into metrics.jsonl. Reads
 * neither data.train nor run.dir, and writes nothing. Weights drawn at random are refused. A
 * nonzero *stop (may be NULL) ends it with RL_INTERRUPTED. *begun tells whether all was open and
 * sampling had begun: a failure before that is the user's to mend.
 */
rl_status rl_eval_recipe(const rl_recipe *recipe, const volatile sig_atomic_t *stop, bool *begun,
                         rl_metrics *out, rl_err *err) RL_MUST_USE;

/* The rates among what was measured, as a table for a terminal. */
void rl_eval_table(const rl_recipe *recipe, const rl_metrics *measured, rl_str *out);

#endif
