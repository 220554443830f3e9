#include <stdio.h>
#include <unistd.h>

#include "rl/core/log.h"
#include "rl/policy/score.h"
#include "rl/train/trainer.h"
#include "train/setup.h"

// Every later turn restates nothing: it appends, so a sequence holds all turns before it. What
// feedback adds is known only when it is given.
static int64_t longest_sequence(const rl_recipe *r) {
    return r->data.max_prompt_tokens + (int64_t)r->rollout.turns * r->rollout.max_new_tokens;
}

// Samples of one problem when every attempt fails: G + G^2 + ... + G^turns.
static double worst_samples(const rl_recipe *r) {
    double level = 1, sum = 0;
    for (int32_t t = 0; t < r->rollout.turns; t++) {
        level *= r->rollout.group_size;
        sum += level;
    }
    return sum;
}

static void print_budget(const setup *s, FILE *to) {
    const rl_recipe *r = s->recipe;
    const rl_model_config *config = rl_checkpoint_config(s->checkpoint);
    double samples = worst_samples(r) * r->rollout.prompts;
    double gib = 1024.0 * 1024 * 1024;
    double weights = (double)rl_model_config_params(config) * 4;
    double train = (double)rl_policy_train_bytes(config, r->compute.micro_tokens);
    double kv = 8.0 * config->n_layers * config->n_kv_heads * config->head_dim;
    double cache =
        kv * (r->rollout.prompts * r->data.max_prompt_tokens + samples * r->rollout.max_new_tokens);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    int32_t pool = rl_dataset_size(s->train) - rl_dataset_skipped(s->train);
    fprintf(to, "\nsteps: %d of %d prompts, %.2f epochs of %d problems\n", r->run.steps,
            r->rollout.prompts, (double)r->run.steps * r->rollout.prompts / pool, pool);
    fprintf(to,
            "token budget: at most %.0f completions and %.0f sampled tokens a step, sequences of "
            "at most %lld "
            "tokens%s\n",
            samples, samples * r->rollout.max_new_tokens, (long long)longest_sequence(r),
            r->rollout.turns > 1 ? " without the feedback between turns" : "");
    fprintf(to,
            "memory estimate: %.2f GiB (weights, packed weights, gradients and optimizer %.2f, "
            "activations %.2f, "
            "key-value cache %.2f if every attempt is as long as allowed%s)\n",
            (weights * 5 + train + cache) / gib, weights * 5 / gib, train / gib, cache / gib,
            r->rollout.turns > 1 ? " and fails, without feedback" : "");
    if (weights * 5 + train + cache > machine) {
        fprintf(to,
                "this machine has %.2f GiB; if memory runs out, lower rollout.prompts, "
                "rollout.group_size, "
                "rollout.max_new_tokens or compute.micro_tokens\n",
                machine / gib);
    }
}

static rl_status print_first_prompt(const setup *s, FILE *to, rl_err *err) {
    const rl_recipe *r = s->recipe;
    int32_t at = rl_dataset_pick(s->train, (uint64_t)r->run.seed, r->data.shuffle, 0);
    int32_t *ids, n_ids;
    rl_str text = {0};
    rl_status status = setup_prompt(s, rl_dataset_at(s->train, at), s->arena, &ids, &n_ids, err);
    if (status != RL_OK) {
        return status;
    }
    rl_tokenizer_decode(s->tokenizer, ids, n_ids, false, &text);
    fprintf(to,
            "\nfirst prompt (problem %s, %d tokens):\n%s\nids:", rl_dataset_at(s->train, at)->id,
            n_ids, rl_str_text(&text));
    for (int32_t i = 0; i < n_ids; i++) {
        fprintf(to, " %d", ids[i]);
    }
    fputc('\n', to);
    rl_str_release(&text);
    return RL_OK;
}

rl_status rl_trainer_dry_run(const rl_recipe *recipe, bool overwrite, FILE *to, rl_err *err) {
    setup s = {0};
    rl_str effective = {0};
    rl_status status;
    // Nothing is written, so a folder that cannot be used is worth a word only.
    if (setup_check_folder(recipe, overwrite, err) != RL_OK) {
        rl_log(RL_LOG_WARN, "%s", err->text);
    }
    status = setup_open_light(&s, recipe, err);
    if (status == RL_OK) {
        rl_recipe_print(recipe, &effective);
        fputs(rl_str_text(&effective), to);
        status = print_first_prompt(&s, to, err);
    }
    if (status == RL_OK) {
        print_budget(&s, to);
    }
    rl_str_release(&effective);
    setup_close(&s);
    return status;
}
