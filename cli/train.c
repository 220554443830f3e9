#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "cli/commands.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"
#include "rl/train/trainer.h"

static volatile sig_atomic_t stop_asked;

// The first Ctrl-C (or a polite kill) ends the run after its step; the second ends the program at
// once.
static void on_interrupt(int signal_number) {
    static const char words[] =
        "\nstopping after this step, with a checkpoint; once more stops at once\n";
    stop_asked = 1;
    (void)!write(STDERR_FILENO, words, sizeof words - 1);
    signal(signal_number, SIG_DFL);
}

static void watch_interrupt(void) {
    struct sigaction action;
    memset(&action, 0, sizeof action);
    action.sa_handler = on_interrupt;
    action.sa_flags = SA_RESTART;
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

// A recipe is taken as named, else from the folder that cmake --install filled.
static const char *find_recipe(const char *name, rl_arena *arena) {
    char *folder, *installed;
    rl_err err;
    if (rl_fs_exists(name) || rl_path_program_dir(arena, &folder, &err) != RL_OK) {
        return name;
    }
    installed =
        rl_path_absolute(arena, rl_arena_printf(arena, "%s/../share/rl-train/%s", folder, name));
    return name[0] != '/' && rl_fs_exists(installed) ? installed : name;
}

static void print_errors(const rl_errors *errors) {
    for (const char *line = rl_str_text(&errors->text); *line != '\0';) {
        size_t n = strcspn(line, "\n");
        rl_log(RL_LOG_ERROR, "%.*s", (int)n, line);
        line += n + (line[n] == '\n');
    }
    if (errors->count > 1) {
        rl_log(RL_LOG_ERROR, "%d mistakes; nothing was started", errors->count);
    }
}

static int exit_code(rl_status status, int64_t steps) {
    switch (status) {
    case RL_OK:
        return EXIT_DONE;
    case RL_ALARM:
        return EXIT_ALARM;
    case RL_INTERRUPTED:
        return EXIT_INTERRUPTED;
    case RL_BAD_RECIPE:
        return EXIT_USER;
    case RL_IO:
    case RL_MEMORY:
    case RL_UNSUPPORTED:
        break;
    }
    return steps > 0 ? EXIT_WORLD : EXIT_USER;
}

static int run(const rl_recipe *recipe, const args *a) {
    rl_trainer *trainer = NULL;
    int64_t steps = 0;
    rl_err err = {""};
    rl_status status;
    if (a->dry_run) {
        status = rl_trainer_dry_run(recipe, a->overwrite, stdout, &err);
    } else {
        watch_interrupt();
        status = rl_trainer_open(recipe, a->overwrite, &stop_asked, &trainer, &err);
        if (status == RL_OK) {
            status = rl_trainer_run(trainer, &steps, &err);
        }
        rl_trainer_close(trainer);
    }
    if (status != RL_OK) {
        rl_log(status == RL_INTERRUPTED ? RL_LOG_INFO : RL_LOG_ERROR, "%s", err.text);
    }
    return exit_code(status, steps);
}

int command_train(const args *a) {
    rl_arena *arena = rl_arena_new(0);
    rl_errors errors = {0};
    rl_recipe recipe;
    int code = EXIT_USER;
    if (a->resume) {
        rl_log(RL_LOG_ERROR,
               "--resume is not supported yet: checkpoints hold the weights only; start a new run "
               "with 'model.path' at the checkpoint");
    } else if (rl_recipe_load(find_recipe(a->subject, arena), a->set, a->n_set, &recipe, &errors) !=
               RL_OK) {
        print_errors(&errors);
    } else {
        code = run(&recipe, a);
        rl_recipe_release(&recipe);
    }
    rl_errors_release(&errors);
    rl_arena_free(arena);
    return code;
}
