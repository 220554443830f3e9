/*
 * Everything a run opens, in the order in which mistakes are cheapest to find: the checkpoint's
 * configuration and tokenizer, data and its lengths; then the sandbox and the weights.
 * Private to train/.
 */
#ifndef RL_TRAIN_SETUP_H
#define RL_TRAIN_SETUP_H

#include "rl/core/pool.h"
#include "rl/train/recipe.h"
#include "train/objective.h"

struct setup {
    bool measures_only; // the caller's, before opening: no objective, gradients or optimizer
    const rl_recipe *recipe;
    rl_arena *arena; // lives as long as the run
    const objective *objective;
    void *objective_self;
    rl_dataset *eval; // NULL without data.eval
    rl_checkpoint *checkpoint;
    rl_adapter *adapter; // NULL: none
    rl_tokenizer *tokenizer;
    rl_chat *chat;
    int32_t *stop; // ids that end a completion
    int32_t n_stop;

    rl_pool *pool, *waiters;
    rl_backend *backend;
    rl_sandbox *sandbox;
    rl_judge *judge;
    int32_t n_judges;
    rl_policy *policy;
    rl_optim *optim;
    const rl_engine *engine;
    void *engine_self;
};

/* Whether run.dir may be written: no run in it unless overwrite, and nothing that the run reads. */
rl_status setup_check_folder(const rl_recipe *recipe, bool overwrite, rl_err *err) RL_MUST_USE;
/* Data, configuration, tokenizer; nothing heavy. Zero value in, but for measures_only; released by
 * setup_close in any state. */
rl_status setup_open_light(setup *s, const rl_recipe *recipe, rl_err *err) RL_MUST_USE;
/* Threads, sandbox, verifiers, weights, optimizer, engine. */
rl_status setup_open_heavy(setup *s, rl_err *err) RL_MUST_USE;
void setup_close(setup *s);

/* Loads the problems of a file that the recipe names under key: those that the rewards can judge,
 * over-long prompts left out. */
rl_status setup_problems(const setup *s, const char *path, const char *key, rl_dataset **out,
                         rl_err *err) RL_MUST_USE;
/* Refuses a path that is not there, by its key. */
rl_status setup_need_file(const char *path, const char *key, rl_err *err) RL_MUST_USE;
/* Ids of a problem's prompt. */
rl_status setup_prompt(const setup *s, const rl_problem *problem, rl_arena *arena, int32_t **out,
                       int32_t *n_out, rl_err *err) RL_MUST_USE;
/* The rollout that steps and evaluations run, with options of their own. */
rl_rollout setup_rollout(const setup *s, const rl_rollout_opts *opts);

#endif
