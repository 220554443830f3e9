/* The sub-commands; each returns the program's exit code. Private to cli/. */
#ifndef RL_CLI_COMMANDS_H
#define RL_CLI_COMMANDS_H

#include "cli/args.h"

enum exit_code {
    EXIT_DONE = 0,
    EXIT_USER = 2,  // whatever fails before the work begins, and what the user can mend
    EXIT_ALARM = 3, // NaN or a failed check
    EXIT_WORLD = 4, // disk, memory or sandbox failed after the work began
    EXIT_INTERRUPTED = 130
};

int command_train(const args *a);
int command_sample(const args *a);
int command_score(const args *a);
int command_export(const args *a);
int command_convert(const args *a);
int command_eval(const args *a);
int command_render(const args *a);
int command_tokenize(const args *a);
int command_doctor(void);

#endif
