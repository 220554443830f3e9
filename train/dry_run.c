#include "rl/core/log.h"
#include "rl/train/trainer.h"
#include "train/setup.h"

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
