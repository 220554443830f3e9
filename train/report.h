/*
 * The console of a run: one line a step with the time left, samples on request, and on a terminal a
 * bar that shows what the step is doing. Private to train/.
 */
#ifndef RL_TRAIN_REPORT_H
#define RL_TRAIN_REPORT_H

#include <stdbool.h>

#include "rl/core/str.h"
#include "rl/rollout/rollout.h"
#include "rl/train/metrics.h"

typedef struct report {
    int64_t n_steps, done;
    double started; // clock at the first step, later by as long as evaluations took
    double spent;   // seconds from then to the end of the last step
    bool terminal;  // standard error is one
    bool bar_shown;
} report;

report report_begin(int64_t n_steps);
/* On a terminal, redraws the bar. */
void report_phase(report *r, const char *phase);
/* The same with how much of it is done: "evaluating 96/300". */
void report_progress(report *r, const char *phase, int64_t done, int64_t n);
/* Counts a step as done at a time of the clock, whether or not it gets a line. */
void report_done(report *r, double now);
/* The line of the step that was done last. */
void report_step(report *r, const rl_metrics *metrics);
/* A line of an evaluation's numbers; set is the name within theirs. */
void report_eval(report *r, const char *set, const rl_metrics *metrics);
/* The first n completions of the step, whole and visible. */
void report_samples(report *r, const rl_rollout_result *result, int32_t n);
/* Clears the bar; the next log line starts clean. */
/* Warns where nine in ten completions are unreadable, which a recipe for another model's answers
 * brings about; whether it did. */
bool report_unreadable(report *r, int64_t step, const rl_rollout_result *result);

void report_end(report *r);

/* The bar at a time of the clock: "[====>     ] step 4/100 sampling, 2m10s left". Time is told once
 * a step shows how long one takes; after the last step there is none, and without steps the phase
 * is alone. */
void report_bar(const report *r, double now, const char *phase, rl_str *out);

/* Appends text of a model or a data set for a terminal: control characters, which could move the
 * cursor or worse, are shown by their numbers, as \x1b and \u009b. Newlines and tabs stay. */
void report_visible(rl_str *out, const char *text, size_t text_len);

/* Writes "2h05m", "3m10s" or "12s". */
void report_duration(double seconds, char *out, size_t out_size);

#endif
