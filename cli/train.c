#include <stdio.h>

#include "cli/commands.h"
#include "cli/shared.h"
#include "rl/core/log.h"
#include "rl/train/trainer.h"

// The first Ctrl-C (or a polite kill) ends the run after its step, or in the evaluation under way.
static const char stopping[] =
    "\nstopping soon; the steps that are done are kept; once more stops at once\n";

static void print_end(const rl_trainer *trainer) {
    rl_str text = {0};
    rl_trainer_summary(trainer, terminal_has_utf8(), &text);
    if (text.len > 0) {
        printf("\n%s\n", rl_str_text(&text));
        rl_str_clear(&text);
        rl_trainer_files(trainer, &text);
        fputs(rl_str_text(&text), stdout);
    }
    rl_str_release(&text);
}

static int run(const rl_recipe *recipe, const args *a) {
    rl_trainer *trainer = NULL;
    int64_t steps = 0;
    rl_err err = {""};
    rl_status status;
    if (a->dry_run) {
        status = rl_trainer_dry_run(recipe, a->overwrite, stdout, &err);
    } else {
        const volatile sig_atomic_t *stop = watch_interrupt(stopping);
        status = rl_trainer_open(recipe, a->overwrite, stop, &trainer, &err);
        if (status == RL_OK) {
            if (recipe->why[0] != '\0') {
                rl_log(RL_LOG_INFO, "%s", recipe->why);
            }
            status = rl_trainer_run(trainer, &steps, &err);
        }
        if (trainer != NULL && (status == RL_OK || status == RL_INTERRUPTED)) {
            print_end(trainer);
        }
        rl_trainer_close(trainer);
    }
    if (status != RL_OK) {
        rl_log(status == RL_INTERRUPTED ? RL_LOG_INFO : RL_LOG_ERROR, "%s", err.text);
    }
    return exit_code(status, steps > 0);
}

int command_train(const args *a) {
    rl_recipe recipe;
    int code = EXIT_USER;
    if (a->resume) {
        rl_log(RL_LOG_ERROR,
               "--resume is not supported yet: checkpoints hold the weights only; start a new run "
               "with 'model.path' at the checkpoint");
    } else if (load_recipe(a, &recipe)) {
        code = run(&recipe, a);
        rl_recipe_release(&recipe);
    }
    return code;
}
