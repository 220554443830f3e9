/*
 * What a step of training is: where its gradient comes from, what it measures, what it leaves to
 * read. A row for each rl_objective; the trainer's loop (steps, the optimizer, evaluation, saving,
 * alarms) is the same for all. Private to train/.
 *
 * Life cycle of a row: check with the recipe, open with the light setup, then either preview, or
 * start and, step by step, gradient, dump where asked, record, put; close in any state after open.
 */
#ifndef RL_TRAIN_OBJECTIVE_H
#define RL_TRAIN_OBJECTIVE_H

#include <signal.h>
#include <stdio.h>

#include "rl/train/metrics.h"
#include "rl/train/recipe.h"
#include "rl/train/run_dir.h"
#include "train/dump.h"
#include "train/report.h"

typedef struct setup setup;

/* One step, filled by the loop and by the objective on its way to the metrics. */
typedef struct step_frame {
    int64_t step;    // counts from 1
    rl_arena *arena; // empty at the step's start
    report *report;
    double began, trained; // clock: the step's start, the end of its update
    double lr, grad_norm;
} step_frame;

typedef struct objective {
    // Rules of the recipe that concern this objective alone.
    void (*check)(const rl_recipe *recipe, rl_errors *errors);
    // Opens what it trains on; everything cheap of s is open, nothing heavy. *self is NULL before.
    rl_status (*open)(setup *s, void **self, rl_err *err);
    void (*close)(void *self); // accepts NULL
    // For a dry run: the first item as the model sees it, and what the run would take.
    rl_status (*preview)(void *self, FILE *to, rl_err *err);

    // Leaves the step's gradient in the policy. RL_ALARM, with a sentence about the step, when a
    // check of its own failed: its batch is then kept.
    rl_status (*gradient)(void *self, step_frame *frame, rl_err *err);
    // The batch as JSON lines, for whoever wants to see why it raised an alarm.
    void (*batch)(void *self, const step_frame *frame, rl_str *lines);
    // What log.dump_step keeps of the step beside its gradient, which is there.
    rl_status (*dump)(void *self, const step_frame *frame, dump *out, rl_err *err);
    // Writes and shows what the step made beside numbers; may be NULL.
    rl_status (*record)(void *self, const step_frame *frame, rl_run_dir *dir, rl_err *err);
    void (*put)(void *self, const step_frame *frame, rl_metrics *out);

    // Whether it measures something of its own in an evaluation, and that; both may be NULL.
    // Between parts of it a nonzero *stop (may be NULL) ends it with RL_INTERRUPTED. Resets arena.
    bool (*evaluates)(const void *self);
    rl_status (*evaluate)(void *self, const volatile sig_atomic_t *stop, rl_arena *arena,
                          rl_metrics *out, rl_err *err);
} objective;

extern const objective objective_policy, objective_supervised;
const objective *objective_of(const rl_algo *algo);

#endif
