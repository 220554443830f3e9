/* The end of a run from its history: the plot and the table. Private to train/. */
#ifndef RL_TRAIN_SUMMARY_H
#define RL_TRAIN_SUMMARY_H

#include <stdbool.h>

#include "rl/core/str.h"
#include "train/history.h"

/*
 * Reward and pass rates over steps, smoothed by a trailing mean over a tenth of them, and what
 * evaluations measured; the loss where nothing is rewarded. Nothing of a run without steps.
 */
void summary_plot(const history *h, bool utf8, rl_str *out);
void summary_svg(const history *h, rl_str *out);

/*
 * Before, after and change of what evaluations measured at step 0 and last; without evaluations the
 * means of the first and the last tenth of the steps. set names the problems.
 */
void summary_table(const history *h, const char *set, rl_str *out);
/* The table of a single evaluation. */
void summary_eval(const rl_metrics *eval, const char *set, rl_str *out);

#endif
