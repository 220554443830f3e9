#include "train/history.h"

#include <stdio.h>

#include "rl/core/alloc.h"

static int32_t grow(double **step, double **value, int32_t n_keys, int32_t room) {
    int32_t more = room > 0 ? 2 * room : 64;
    *step = rl_realloc(*step, (size_t)more, sizeof **step);
    for (int32_t k = 0; k < n_keys; k++) {
        value[k] = rl_realloc(value[k], (size_t)more, sizeof *value[k]);
    }
    return more;
}

void history_add(history *h, const rl_metrics *step) {
    static const char *const names[] = {
        [HISTORY_REWARD] = "reward",
        [HISTORY_TURN1] = "turn1/solved",
        [HISTORY_TURN2] = "turn2/solved",
        [HISTORY_LOSS] = "loss",
    };
    if (h->n_steps == h->room) {
        h->room = grow(&h->step, h->value, HISTORY_N_KEYS, h->room);
    }
    h->step[h->n_steps] = rl_metrics_get(step, "step");
    for (int32_t k = 0; k < HISTORY_N_KEYS; k++) {
        h->value[k][h->n_steps] = rl_metrics_get(step, names[k]);
    }
    h->n_steps++;
}

void history_add_eval(history *h, const char *set, const rl_metrics *eval) {
    static const char *const names[] = {
        [HISTORY_ITER1] = "iter1",       [HISTORY_ITER2] = "iter2",
        [HISTORY_FRESH] = "iter2_fresh", [HISTORY_WRONG_FEEDBACK] = "iter2_wrong_feedback",
        [HISTORY_PROBLEMS] = "problems", [HISTORY_SAMPLES] = "samples",
    };
    if (h->n_evals == h->eval_room) {
        h->eval_room = grow(&h->eval_step, h->eval, HISTORY_N_EVAL_KEYS, h->eval_room);
    }
    h->eval_step[h->n_evals] = rl_metrics_get(eval, "step");
    for (int32_t k = 0; k < HISTORY_EVAL_LOSS; k++) {
        char name[RL_METRIC_NAME];
        snprintf(name, sizeof name, "eval/%s/%s", set, names[k]);
        h->eval[k][h->n_evals] = rl_metrics_get(eval, name);
    }
    h->eval[HISTORY_EVAL_LOSS][h->n_evals] = rl_metrics_get(eval, "eval/loss");
    h->n_evals++;
}

void history_release(history *h) {
    rl_free(h->step);
    rl_free(h->eval_step);
    for (int32_t k = 0; k < HISTORY_N_KEYS; k++) {
        rl_free(h->value[k]);
    }
    for (int32_t k = 0; k < HISTORY_N_EVAL_KEYS; k++) {
        rl_free(h->eval[k]);
    }
    *h = (history){0};
}
