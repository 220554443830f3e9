/* What sub-commands that run a recipe have in common. Private to cli/. */
#ifndef RL_CLI_SHARED_H
#define RL_CLI_SHARED_H

#include <signal.h>

#include "cli/args.h"
#include "rl/core/arena.h"
#include "rl/core/json.h"
#include "rl/train/recipe.h"

/* The recipe of the arguments, by its name or from the folder that cmake --install filled; false
 * once its mistakes are told. */
bool load_recipe(const args *a, rl_recipe *out);

/* What becomes nonzero with the first Ctrl-C or polite kill, which also prints words; the second
 * ends the program at once. */
const volatile sig_atomic_t *watch_interrupt(const char *words);

/* The program's exit code for how a command that runs a recipe ended; begun tells whether it had
 * begun its work, after which what fails is the machine. */
int exit_code(rl_status status, bool begun);

/* Whether the environment's locale is one of UTF-8. */
bool terminal_has_utf8(void);

/* A whole file into the arena, NUL-terminated; a path of NULL or "-" is standard input. */
rl_status read_input(const char *path, rl_arena *arena, char **out, size_t *out_len,
                     rl_err *err) RL_MUST_USE;

/* A list of numbers as a member of the object being written. */
void put_numbers(rl_json_writer *w, const char *key, const double *x, int64_t n);

#endif
