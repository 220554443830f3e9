/* The command line as a struct. Private to cli/. */
#ifndef RL_CLI_ARGS_H
#define RL_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/status.h"

typedef enum command {
    COMMAND_TRAIN,
    COMMAND_SCORE,
    COMMAND_EXPORT,
    COMMAND_EVAL,
    COMMAND_RENDER,
    COMMAND_TOKENIZE,
    COMMAND_DOCTOR,
    COMMAND_HELP,
    COMMAND_HELP_RECIPE,
    COMMAND_VERSION
} command;

typedef struct args {
    command command;
    const char *subject; // RECIPE of train and eval, MODEL of the others
    const char *out;     // OUT of export
    const char **set;    // [n_set] "section.key=value"; room for one an argument
    size_t n_set;
    const char *in; // --in of score, render and tokenize
    const char *kernels;
    const char *dtype; // of export
    int threads;       // 0 for one per processor
    bool dry_run, overwrite, resume, markdown, json;
} args;

/* out->set must have room for argc entries. A mistake is RL_BAD_RECIPE with its sentence. */
rl_status args_parse(int argc, char **argv, args *out, rl_err *err) RL_MUST_USE;
const char *args_usage(void);

#endif
