#include "train/sections.h"

#include <string.h>

#include "rl/rewards/verifier.h"

static const rl_key run_keys[] = {
    RL_KEY_ROW(rl_run_opts, dir, "", 0, 0, 0,
               "folder of the run; empty for runs/<recipe> in the current folder"),
    RL_KEY_ROW(rl_run_opts, steps, "100", 1, 1e9, 0, "training steps"),
    RL_KEY_ROW(rl_run_opts, seed, "0", 0, 2147483647, 0,
               "seed of every random draw; the same seed gives the same run"),
    RL_KEY_ROW(rl_run_opts, save_every, "0", 0, 1e9, RL_KEY_RESUME_FREE,
               "steps between checkpoints; 0 writes the final one only"),
    RL_CHOICE_ROW(rl_run_opts, save_dtype, "f32", rl_save_dtype_names, RL_KEY_RESUME_FREE,
                  "numbers of a checkpoint's weights; the run itself keeps float32"),
    RL_KEY_ROW(rl_run_opts, max_unknown, "0.5", 0, 1, RL_KEY_OPEN_MIN | RL_KEY_RESUME_FREE,
               "share of a step's verdicts that may be unknown, because a sandbox or verifier is "
               "broken, before the run stops"),
};
static const rl_section run_section = {
    .name = "run",
    .doc = "where a run writes and how long it is",
    .size = sizeof(rl_run_opts),
    .keys = run_keys,
    .n_keys = sizeof run_keys / sizeof run_keys[0],
};

static const char *const init_names[] = {"weights", "random", NULL};
static const rl_key model_keys[] = {
    RL_KEY_ROW(
        rl_model_opts, path, "", 0, 0, RL_KEY_REQUIRED,
        "checkpoint to train: a Hugging Face folder or a .gguf file, or an adapter's folder, "
        "whose base_model_name_or_path then names the checkpoint"),
    RL_CHOICE_ROW(rl_model_opts, init, "weights", init_names, 0,
                  "first weights: those of path, or drawn from run.seed for a folder that needs "
                  "config.json and tokenizer files only (normal with its initializer_range, norms "
                  "1)"),
    RL_KEY_ROW(rl_model_opts, adapter, "", 0, 0, 0,
               "folder of a LoRA adapter that peft or rl-train wrote for path, to train on; empty "
               "for none"),
};
static const rl_section model_section = {
    .name = "model",
    .doc = "the checkpoint that is trained",
    .size = sizeof(rl_model_opts),
    .keys = model_keys,
    .n_keys = sizeof model_keys / sizeof model_keys[0],
};

static const rl_key compute_keys[] = {
    RL_KEY_ROW(rl_compute_opts, threads, "0", 0, 1024, RL_KEY_RESUME_FREE,
               "threads that compute; 0 for one per processor; results do not depend on it"),
    RL_CHOICE_ROW(rl_compute_opts, kernels, "auto", rl_kernels_names, RL_KEY_RESUME_FREE,
                  "inner loops of the forward; all give the same bits"),
    RL_CHOICE_ROW(rl_compute_opts, weights, "f32", rl_weights_names, 0,
                  "how forward and backward hold the matrices; bf16 halves the memory they are "
                  "read from; masters, sums and all other numbers stay float32"),
    RL_CHOICE_ROW(rl_compute_opts, recompute, "none", rl_recompute_names, RL_KEY_RESUME_FREE,
                  "layers: a backward keeps only what goes into each layer and computes the rest "
                  "again, for a small part of the memory and about a third more time; gradients "
                  "have the same bits"),
    RL_KEY_ROW(rl_compute_opts, micro_tokens, "4096", 64, 1e9, 0,
               "tokens of one forward and backward; about 45 KiB of memory each per layer and 1000 "
               "of width"),
};
static const rl_section compute_section = {
    .name = "compute",
    .doc = "processors and memory",
    .size = sizeof(rl_compute_opts),
    .keys = compute_keys,
    .n_keys = sizeof compute_keys / sizeof compute_keys[0],
};

static const rl_key eval_keys[] = {
    RL_KEY_ROW(rl_eval_opts, every, "0", 0, 1e9, RL_KEY_RESUME_FREE,
               "steps between evaluations on data.eval and data.eval_loss; 0 evaluates only where "
               "at_start and at_end "
               "say"),
    RL_KEY_ROW(rl_eval_opts, problems, "0", 0, 1e9, RL_KEY_RESUME_FREE,
               "problems of an evaluation, from the top of the file; 0 for all"),
    RL_KEY_ROW(rl_eval_opts, at_start, "true", 0, 0, RL_KEY_RESUME_FREE,
               "evaluate once before training, where there is something to evaluate on"),
    RL_KEY_ROW(rl_eval_opts, at_end, "true", 0, 0, RL_KEY_RESUME_FREE,
               "evaluate after the last step, where there is something to evaluate on"),
    RL_KEY_ROW(rl_eval_opts, samples, "4", 1, 1 << 16, RL_KEY_RESUME_FREE,
               "first attempts at a problem; one where the temperature is 0"),
    RL_KEY_ROW(
        rl_eval_opts, turns, "0", 0, 64, RL_KEY_RESUME_FREE,
        "attempts in a row after a failure, each shown the feedback on the one before; 0 for "
        "rollout.turns, but at least 2"),
    RL_KEY_ROW(rl_eval_opts, controls, "false", 0, 0, RL_KEY_RESUME_FREE,
               "measure also what second attempts do without feedback, and with that of another "
               "problem"),
    RL_KEY_ROW(rl_eval_opts, temperature, "-1", -1, 100, RL_KEY_RESUME_FREE,
               "sampling temperature of an evaluation; 0 is greedy, -1 is rollout.temperature"),
    RL_KEY_ROW(rl_eval_opts, batch, "16", 1, 1 << 20, RL_KEY_RESUME_FREE,
               "problems evaluated at a time; more need more memory; another problem's feedback is "
               "looked for among them"),
    RL_KEY_ROW(rl_eval_opts, save_completions, "true", 0, 0, RL_KEY_RESUME_FREE,
               "write every evaluation's completions to eval_completions-<step>.jsonl"),
};
static rl_status check_eval(const void *opts, rl_err *err) {
    const rl_eval_opts *eval = opts;
    if (eval->temperature != -1 && eval->temperature != 0 && eval->temperature < 1e-3) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'eval.temperature' is %g; take -1 for rollout.temperature, 0 for greedy, "
                       "or at least 0.001",
                       eval->temperature);
    }
    if (eval->controls && eval->batch < 2) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'eval.controls' wants another problem's feedback, but 'eval.batch' is %d; "
                       "take 2 or more",
                       (int)eval->batch);
    }
    if (eval->controls && eval->turns == 1) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'eval.controls' compares second attempts, but 'eval.turns' is 1; take 2 or "
                       "more, or 0");
    }
    return RL_OK;
}
static const rl_section eval_section = {
    .name = "eval",
    .doc = "measuring on problems that are not trained on",
    .size = sizeof(rl_eval_opts),
    .keys = eval_keys,
    .n_keys = sizeof eval_keys / sizeof eval_keys[0],
    .check = check_eval,
};

static const rl_key log_keys[] = {
    RL_KEY_ROW(rl_log_opts, print_samples, "0", 0, 1e6, RL_KEY_RESUME_FREE,
               "completions shown on the console each step"),
    RL_KEY_ROW(rl_log_opts, every, "1", 1, 1e9, RL_KEY_RESUME_FREE,
               "steps between lines of the console; metrics.jsonl has every step"),
    RL_KEY_ROW(rl_log_opts, dump_step, "0", 0, 1e9, RL_KEY_RESUME_FREE,
               "step whose ids, log-probs, advantages and gradients go to "
               "dump-<step>.safetensors; 0 for none"),
};
static const rl_section log_section = {
    .name = "log",
    .doc = "what the console shows",
    .size = sizeof(rl_log_opts),
    .keys = log_keys,
    .n_keys = sizeof log_keys / sizeof log_keys[0],
};

const plain_section plain_sections[] = {
    {&run_section, offsetof(rl_recipe, run), NULL, NULL},
    {&model_section, offsetof(rl_recipe, model), NULL, NULL},
    {.section = &rl_lora_section,
     .offset = offsetof(rl_recipe, lora),
     .elsewhere = rl_lora_other_keys,
     .check = rl_lora_check_section},
    {&rl_data_section, offsetof(rl_recipe, data), NULL, NULL},
    {&rl_rollout_section, offsetof(rl_recipe, rollout), NULL, NULL},
    {&rl_optim_section, offsetof(rl_recipe, optim), NULL, NULL},
    {&compute_section, offsetof(rl_recipe, compute), NULL, NULL},
    {&rl_sandbox_section, offsetof(rl_recipe, sandbox), NULL, NULL},
    {&eval_section, offsetof(rl_recipe, eval), NULL, NULL},
    {&log_section, offsetof(rl_recipe, log), NULL, NULL},
};
const size_t n_plain_sections = sizeof plain_sections / sizeof plain_sections[0];

const char *const recipe_names[] = {"why",     "run",     "model", "lora",  "data",
                                    "rollout", "rewards", "algo",  "optim", "compute",
                                    "sandbox", "eval",    "log",   NULL};

const char *const recipe_path_keys[] = {"run.dir",        "model.path", "model.adapter",
                                        "data.train",     "data.eval",  "data.eval_loss",
                                        "sandbox.python", NULL};

static const rl_key *key_in(const rl_section *section, const char *key) {
    for (size_t i = 0; i < section->n_keys; i++) {
        if (strcmp(section->keys[i].name, key) == 0) {
            return &section->keys[i];
        }
    }
    return NULL;
}

const rl_key *recipe_key_find(const char *section, const char *key) {
    if (strcmp(section, "algo") == 0) {
        size_t n;
        const rl_algo *const *row = rl_algo_list(&n);
        const rl_key *found = NULL;
        for (size_t i = 0; i < n && found == NULL; i++) {
            found = key_in(row[i]->options, key);
        }
        return found;
    }
    for (size_t i = 0; i < n_plain_sections; i++) {
        if (strcmp(plain_sections[i].section->name, section) == 0) {
            return key_in(plain_sections[i].section, key);
        }
    }
    return NULL;
}
