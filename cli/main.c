/*
 * rl-train: reads the command line and hands it to a sub-command. All setup of foreign libraries
 * that is global to the process happens here, before threads start.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "rl/core/alloc.h"
#include "rl/core/log.h"
#include "rl/tensor/blas.h"
#include "rl/train/recipe.h"

static int dispatch(const args *a) {
    switch (a->command) {
    case COMMAND_TRAIN:
        return command_train(a);
    case COMMAND_SAMPLE:
        return command_sample(a);
    case COMMAND_SCORE:
        return command_score(a);
    case COMMAND_EXPORT:
        return command_export(a);
    case COMMAND_CONVERT:
        return command_convert(a);
    case COMMAND_EVAL:
        return command_eval(a);
    case COMMAND_RENDER:
        return command_render(a);
    case COMMAND_TOKENIZE:
        return command_tokenize(a);
    case COMMAND_DOCTOR:
        return command_doctor();
    case COMMAND_HELP:
        fputs(args_usage_of(a->help_of), stdout);
        return EXIT_DONE;
    case COMMAND_HELP_RECIPE:
        (a->markdown ? rl_recipe_markdown : rl_recipe_help)(stdout);
        return EXIT_DONE;
    case COMMAND_VERSION:
        puts("rl-train " RL_VERSION);
        return EXIT_DONE;
    }
    return EXIT_USER;
}

// What was printed may still be in the buffer: output that is lost is a failure of the command.
static int finish_output(const args *a, int code) {
    bool trains = a->command == COMMAND_TRAIN && !a->dry_run;
    errno = 0;
    if (fflush(stdout) == 0 && !ferror(stdout)) {
        return code;
    }
    rl_log(RL_LOG_ERROR, "cannot write to standard output: %s",
           errno != 0 ? strerror(errno) : "part of it was lost");
    return code != EXIT_DONE ? code : trains ? EXIT_WORLD : EXIT_USER;
}

int main(int argc, char **argv) {
    args a = {0};
    rl_err err;
    int code;
    rl_blas_choose_core(argv);
    // A file-size limit is an error to report, not a reason to die.
    signal(SIGXFSZ, SIG_IGN);
    a.set = rl_alloc((size_t)argc, sizeof *a.set);
    a.sample.stop = rl_alloc((size_t)argc, sizeof *a.sample.stop);
    if (args_parse(argc, argv, &a, &err) == RL_OK) {
        code = finish_output(&a, dispatch(&a));
    } else {
        rl_log(RL_LOG_ERROR, "%s", err.text);
        code = EXIT_USER;
    }
    rl_free(a.set);
    rl_free(a.sample.stop);
    return code;
}
