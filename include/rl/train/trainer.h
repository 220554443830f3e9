/*
 * The run: opens everything a recipe names, trains step by step, and leaves metrics, completions
 * and a checkpoint. One trainer a process.
 *
 * Life cycle: rl_trainer_open (cheap checks first, weights last), rl_trainer_run once,
 * rl_trainer_close. rl_trainer_dry_run opens only what it must to tell what a run would do.
 */
#ifndef RL_TRAIN_TRAINER_H
#define RL_TRAIN_TRAINER_H

#include <signal.h>
#include <stdbool.h>
#include <stdio.h>

#include "rl/train/recipe.h"

typedef struct rl_trainer rl_trainer;

/*
 * recipe is borrowed. stop becomes nonzero when the user wants the run to end after the step (may
 * be NULL). Failures here are the user's to mend: nothing has been trained.
 */
rl_status rl_trainer_open(const rl_recipe *recipe, bool overwrite,
                          const volatile sig_atomic_t *stop, rl_trainer **out,
                          rl_err *err) RL_MUST_USE;
/*
 * RL_OK when all steps and evaluations are done, RL_INTERRUPTED when stopped by the user (with a
 * checkpoint of the last step; before the first one the folder is left as if nothing had run; in an
 * evaluation that is left out), RL_ALARM when a check of the run failed (NaN, sampler and trainer
 * disagree), other statuses when the world failed. Weights are kept before they are evaluated.
 * *steps_begun counts steps, the one that failed included.
 */
rl_status rl_trainer_run(rl_trainer *trainer, int64_t *steps_begun, rl_err *err) RL_MUST_USE;
/*
 * After the run: a plot of its steps and a table of what it changed, and where its files are. Both
 * for a terminal; without utf8 the first is ASCII. It is empty before the first step is done.
 */
void rl_trainer_summary(const rl_trainer *trainer, bool utf8, rl_str *out);
void rl_trainer_files(const rl_trainer *trainer, rl_str *out);
void rl_trainer_close(rl_trainer *trainer); // accepts NULL

/* Prints the resolved recipe, the first prompt with its ids, token budget, memory and step count.
 */
rl_status rl_trainer_dry_run(const rl_recipe *recipe, bool overwrite, FILE *to,
                             rl_err *err) RL_MUST_USE;

#endif
