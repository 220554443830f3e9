#include "rl/train/eval.h"

#include <stdio.h>

#include "cli/commands.h"
#include "cli/shared.h"
#include "rl/core/log.h"

static const char stopping[] = "\nstopping after this batch of problems; once more stops at once\n";

int command_eval(const args *a) {
    rl_recipe recipe;
    rl_metrics measured = {0};
    rl_str text = {0};
    rl_err err = {""};
    rl_status status;
    bool begun = false;
    if (!load_recipe(a, &recipe)) {
        return EXIT_USER;
    }
    status = rl_eval_recipe(&recipe, watch_interrupt(stopping), &begun, &measured, &err);
    if (status == RL_OK) {
        if (a->json) {
            rl_metrics_print(&measured, &text);
        } else {
            rl_eval_table(&recipe, &measured, &text);
        }
        fputs(rl_str_text(&text), stdout);
    } else {
        rl_log(status == RL_INTERRUPTED ? RL_LOG_INFO : RL_LOG_ERROR, "%s", err.text);
    }
    rl_str_release(&text);
    rl_recipe_release(&recipe);
    return exit_code(status, begun);
}
