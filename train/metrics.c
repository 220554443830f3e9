#include "rl/train/metrics.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/json.h"

static const rl_metric *find(const rl_metrics *metrics, const char *name) {
    for (int32_t i = 0; i < metrics->n_items; i++) {
        if (strcmp(metrics->item[i].name, name) == 0) {
            return &metrics->item[i];
        }
    }
    return NULL;
}

void rl_metrics_put(rl_metrics *metrics, double value, const char *fmt, ...) {
    rl_metric *item = &metrics->item[metrics->n_items];
    va_list args;
    int len;
    RL_ASSERT(metrics->n_items < RL_METRICS_MAX);
    va_start(args, fmt);
    len = vsnprintf(item->name, sizeof item->name, fmt, args);
    va_end(args);
    RL_ASSERT(len > 0 && (size_t)len < sizeof item->name && find(metrics, item->name) == NULL);
    item->value = value;
    metrics->n_items++;
}

double rl_metrics_get(const rl_metrics *metrics, const char *name) {
    const rl_metric *item = find(metrics, name);
    return item != NULL ? item->value : (double)NAN;
}

void rl_metrics_print(const rl_metrics *metrics, rl_str *out) {
    rl_json_writer w = {.out = out};
    rl_json_open_object(&w, NULL);
    for (int32_t i = 0; i < metrics->n_items; i++) {
        rl_json_put_number(&w, metrics->item[i].name, metrics->item[i].value);
    }
    rl_json_close_object(&w);
    rl_str_append_char(out, '\n');
}
