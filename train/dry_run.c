#include "train/dry_run.h"

#include <unistd.h>

#include "rl/core/log.h"
#include "rl/policy/score.h"
#include "rl/train/trainer.h"

void dry_run_memory(const setup *s, const dry_run_extra *extra, FILE *to) {
    const rl_model_config *config = rl_checkpoint_config(s->checkpoint);
    double gib = 1024.0 * 1024 * 1024;
    double held = (double)rl_model_config_params(config), trained = held, weights;
    double train = (double)rl_policy_train_bytes(config, s->recipe->compute.recompute,
                                                 s->recipe->compute.micro_tokens);
    double machine = (double)sysconf(_SC_PHYS_PAGES) * (double)sysconf(_SC_PAGESIZE);
    double all;
    if (s->adapter != NULL) {
        trained = (double)rl_adapter_values(s->adapter);
        held += trained;
    }
    weights = 4 * (2 * held + 3 * trained); // with their panels; gradients and two moments
    all = weights + train + extra->bytes;
    fprintf(to,
            "memory estimate: %.2f GiB (weights, packed weights, gradients and optimizer %.2f, "
            "activations %.2f, %s %.2f%s)\n",
            all / gib, weights / gib, train / gib, extra->name, extra->bytes / gib, extra->note);
    if (all > machine) {
        fprintf(to, "this machine has %.2f GiB; if memory runs out, lower %scompute.micro_tokens\n",
                machine / gib, extra->keys);
    }
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
        status = s.objective->preview(s.objective_self, to, err);
    }
    rl_str_release(&effective);
    setup_close(&s);
    return status;
}
