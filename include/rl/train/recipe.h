/*
 * A recipe: everything a run needs to be told, in one JSON object. Each section is a struct with a
 * key table kept by the module it configures; this file only lists them and judges rules between
 * sections.
 *
 * Paths in a recipe are relative to the recipe's folder, those of --set to the current folder;
 * after loading all are absolute. All memory is the recipe's own.
 */
#ifndef RL_TRAIN_RECIPE_H
#define RL_TRAIN_RECIPE_H

#include <stdio.h>

#include "rl/algos/algo.h"
#include "rl/policy/lora.h"
#include "rl/policy/optim.h"
#include "rl/rewards/verifier.h"
#include "rl/rollout/dataset.h"
#include "rl/rollout/rollout.h"
#include "rl/sandbox/sandbox.h"
#include "rl/tensor/cpu.h"

typedef struct rl_run_opts {
    const char *dir; // "" means runs/<recipe>
    int32_t steps, seed, save_every;
    rl_save_dtype save_dtype;
    double max_unknown;
} rl_run_opts;

/* Where the first weights come from. */
typedef enum rl_model_init { RL_MODEL_INIT_WEIGHTS, RL_MODEL_INIT_RANDOM } rl_model_init;

typedef struct rl_model_opts {
    const char *path;
    rl_model_init init;
    const char *adapter; // "": none
} rl_model_opts;

typedef struct rl_compute_opts {
    int32_t threads; // 0 for one per processor
    rl_kernels kernels;
    rl_weights weights;
    rl_recompute recompute;
    int32_t micro_tokens;
} rl_compute_opts;

typedef struct rl_eval_opts {
    int32_t every, problems, samples, turns, batch;
    bool at_start, at_end, controls, save_completions;
    double temperature; // below 0: rollout.temperature
} rl_eval_opts;

typedef struct rl_log_opts {
    int32_t print_samples, every, dump_step;
} rl_log_opts;

/* One entry of the list `rewards`. */
typedef struct rl_reward_opts {
    const rl_verifier *row;
    void *opts; // the struct of row->options
    double weight;
} rl_reward_opts;

typedef struct rl_recipe {
    const char *name; // the file's name without folder and ending
    const char *why;  // what the recipe is for, from its "why" key; "" when absent
    rl_run_opts run;
    rl_model_opts model;
    rl_lora_opts lora;
    rl_data_opts data;
    rl_rollout_opts rollout;
    rl_optim_opts optim;
    rl_compute_opts compute;
    rl_sandbox_opts sandbox;
    rl_eval_opts eval;
    rl_log_opts log;
    const rl_algo *algo;
    void *algo_opts; // the struct of algo->options
    rl_reward_opts *reward;
    int32_t n_rewards;
    rl_arena *arena;
} rl_recipe;

/*
 * Reads a file, lays each "section.key=value" over it, and checks everything; on failure errors has
 * a sentence for each mistake and the recipe needs no release. Nothing but the recipe file is read.
 */
rl_status rl_recipe_load(const char *path, const char *const *set, size_t n_set, rl_recipe *out,
                         rl_errors *errors) RL_MUST_USE;
void rl_recipe_release(rl_recipe *recipe);

/* The recipe with every key and its value, as indented JSON that loads to the same recipe. */
void rl_recipe_print(const rl_recipe *recipe, rl_str *out);

/* The "section.key" that a bare name, ours or TRL's, is likely to mean; '-' counts as '_'. False
 * when there is none. */
bool rl_recipe_place(const char *name, char *out, size_t out_size);

/* All keys: for a terminal, and as the page docs/recipe.md. */
void rl_recipe_help(FILE *to);
void rl_recipe_markdown(FILE *to);

#endif
