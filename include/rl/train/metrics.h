/*
 * The numbers of one step, in the order they were put; one JSON object a line in metrics.jsonl.
 * Names are TRL's where TRL has one. A value that is NaN prints null: the step had nothing to
 * measure there.
 */
#ifndef RL_TRAIN_METRICS_H
#define RL_TRAIN_METRICS_H

#include "rl/core/str.h"

enum { RL_METRICS_MAX = 384, RL_METRIC_NAME = 96 };

typedef struct rl_metric {
    char name[RL_METRIC_NAME];
    double value;
} rl_metric;

typedef struct rl_metrics {
    rl_metric item[RL_METRICS_MAX];
    int32_t n_items;
} rl_metrics;

/* fmt makes the name, as in ("turn%d/reward", 2). Putting a name twice is our bug. */
void rl_metrics_put(rl_metrics *metrics, double value, const char *fmt, ...) RL_PRINTF(3, 4);
/* NaN when absent. */
double rl_metrics_get(const rl_metrics *metrics, const char *name);
/* One line with its newline. Whole numbers print without a point. */
void rl_metrics_print(const rl_metrics *metrics, rl_str *out);

#endif
