/* What a run keeps in memory of its numbers, for the summary at its end. Private to train/. */
#ifndef RL_TRAIN_HISTORY_H
#define RL_TRAIN_HISTORY_H

#include "rl/train/metrics.h"

/* A step's number each; NaN where it had none. */
typedef enum history_key {
    HISTORY_REWARD,
    HISTORY_TURN1, // share of first attempts solved
    HISTORY_TURN2, // share of second attempts solved
    HISTORY_LOSS,
    HISTORY_N_KEYS
} history_key;

/* An evaluation's number each; NaN where it had none. */
typedef enum history_eval_key {
    HISTORY_ITER1,
    HISTORY_ITER2,
    HISTORY_FRESH,
    HISTORY_WRONG_FEEDBACK,
    HISTORY_PROBLEMS,
    HISTORY_SAMPLES,
    HISTORY_EVAL_LOSS,
    HISTORY_N_EVAL_KEYS
} history_eval_key;

/* Columns of numbers; zero is empty. */
typedef struct history {
    double *step, *value[HISTORY_N_KEYS]; // [n_steps]
    int32_t n_steps, room;
    double *eval_step, *eval[HISTORY_N_EVAL_KEYS]; // [n_evals]
    int32_t n_evals, eval_room;
} history;

void history_add(history *h, const rl_metrics *step);
/* set is the name within the evaluation's numbers. */
void history_add_eval(history *h, const char *set, const rl_metrics *eval);
void history_release(history *h);

#endif
