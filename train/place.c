/*
 * Where a value belongs that was written under another name or in no section: by the names of TRL
 * and transformers, whose users arrive with them, and by our own keys.
 */
#include <stdio.h>
#include <string.h>

#include "train/sections.h"

typedef struct foreign {
    const char *name, *place;
} foreign;

static const foreign foreigners[] = {
    {"num_generations", "rollout.group_size"},
    {"max_completion_length", "rollout.max_new_tokens"},
    {"max_new_tokens", "rollout.max_new_tokens"},
    {"temperature", "rollout.temperature"},
    {"top_p", "rollout.top_p"},
    {"top_k", "rollout.top_k"},
    {"min_p", "rollout.min_p"},
    {"max_prompt_length", "data.max_prompt_tokens"},
    {"train_dataset", "data.train"},
    {"eval_dataset", "data.eval"},
    {"shuffle_dataset", "data.shuffle"},
    {"max_steps", "run.steps"},
    {"output_dir", "run.dir"},
    {"save_steps", "run.save_every"},
    {"seed", "run.seed"},
    {"eval_steps", "eval.every"},
    {"logging_steps", "log.every"},
    {"model_name_or_path", "model.path"},
    {"learning_rate", "optim.lr"},
    {"lr_scheduler_type", "optim.schedule"},
    {"warmup_steps", "optim.warmup_steps"},
    {"weight_decay", "optim.weight_decay"},
    {"max_grad_norm", "optim.max_grad_norm"},
    {"adam_beta1", "optim.beta1"},
    {"adam_beta2", "optim.beta2"},
    {"adam_epsilon", "optim.eps"},
    {"optim", "optim.name"},
    {"beta", "algo.beta"},
    {"epsilon", "algo.epsilon"},
    {"epsilon_high", "algo.epsilon_high"},
    {"loss_type", "algo.loss_type"},
    {"scale_rewards", "algo.scale_rewards"},
    {"importance_sampling_level", "algo.importance_sampling_level"},
    {"reward_funcs", "rewards"},
    {"lora_r", "lora.r"},
    {"lora_alpha", "lora.lora_alpha"},
    {"lora_target_modules", "lora.target_modules"},
};

// What TRL counts otherwise, or what has no key here.
static const foreign advice[] = {
    {"per_device_train_batch_size", "a step takes 'rollout.prompts' times 'rollout.group_size' "
                                    "completions, or 'algo.batch_size' conversations with sft"},
    {"gradient_accumulation_steps", "a step is one update of its whole batch, cut into pieces of "
                                    "'compute.micro_tokens'"},
    {"num_iterations", "a batch feeds one update, so there is nothing to set"},
    {"num_train_epochs", "'run.steps' is counted in steps"},
    {"reward_weights", "each entry of 'rewards' has its own \"weight\""},
};

static const char *place_of(const char *name) {
    for (size_t i = 0; i < sizeof foreigners / sizeof foreigners[0]; i++) {
        if (strcmp(foreigners[i].name, name) == 0) {
            return foreigners[i].place;
        }
    }
    return NULL;
}

const char *recipe_foreign_hint(const char *name, char *out, size_t out_size) {
    const char *place = place_of(name), *last;
    for (size_t i = 0; i < sizeof advice / sizeof advice[0]; i++) {
        if (strcmp(advice[i].name, name) == 0) {
            snprintf(out, out_size, "%s", advice[i].place);
            return out;
        }
    }
    if (place == NULL) {
        return NULL;
    }
    last = strrchr(place, '.');
    if (last != NULL && strcmp(last + 1, name) == 0) {
        snprintf(out, out_size, "the key is '%s'", place);
    } else {
        snprintf(out, out_size, "TRL's '%s' is '%s' here", name, place);
    }
    return out;
}

bool rl_recipe_place(const char *name, char *out, size_t out_size) {
    char key[64];
    const char *place;
    snprintf(key, sizeof key, "%s", name);
    for (char *c = key; *c != '\0'; c++) {
        *c = *c == '-' ? '_' : *c;
    }
    place = place_of(key);
    if (place != NULL) {
        snprintf(out, out_size, "%s", place);
        return true;
    }
    for (size_t i = 0; recipe_names[i] != NULL; i++) {
        if (recipe_key_find(recipe_names[i], key) != NULL) {
            snprintf(out, out_size, "%s.%s", recipe_names[i], key);
            return true;
        }
    }
    return false;
}
