/* The command line as a struct. Private to cli/. */
#ifndef RL_CLI_ARGS_H
#define RL_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/status.h"

typedef enum command {
    COMMAND_TRAIN,
    COMMAND_SAMPLE,
    COMMAND_SCORE,
    COMMAND_EXPORT,
    COMMAND_CONVERT,
    COMMAND_EVAL,
    COMMAND_RENDER,
    COMMAND_TOKENIZE,
    COMMAND_DOCTOR,
    COMMAND_HELP,
    COMMAND_HELP_RECIPE,
    COMMAND_VERSION
} command;

/* Options of sample. */
typedef struct sample_args {
    const char *system; // NULL: none given
    const char **stop;  // [n_stop] room for one an argument
    size_t n_stop;
    double temperature, top_p, min_p;
    int top_k, n, max_tokens, seed;
    bool raw, logprobs;
} sample_args;

typedef struct args {
    command command;
    command help_of;     // the command that --help came with
    const char *subject; // RECIPE of train and eval, MODEL of the others
    const char *prompt;  // of sample; NULL or "-" is standard input
    const char *out;     // OUT of export and convert
    const char **set;    // [n_set] "section.key=value"; room for one an argument
    size_t n_set;
    const char *in; // --in of score, render and tokenize; NULL or "-" is standard input
    const char *to; // --out of score; NULL is standard output
    const char *kernels;
    const char *tokenizer; // of convert, for llama2.c's models
    const char *dtype;     // of export
    const char *adapter;   // of score, sample, export and convert; a folder
    int threads;           // 0 for one per processor
    bool dry_run, overwrite, resume, markdown, json;
    sample_args sample;
} args;

/* out->set and out->sample.stop must have room for argc entries; the rest is zero. A mistake is
 * RL_BAD_RECIPE with its sentence. */
rl_status args_parse(int argc, char **argv, args *out, rl_err *err) RL_MUST_USE;
const char *args_usage(void);
/* The help of one command: that of all for those without their own. */
const char *args_usage_of(command of);

#endif
