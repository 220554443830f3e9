/* Finds the program in a model's answer. Private to rewards/. */
#ifndef RL_REWARDS_EXTRACT_H
#define RL_REWARDS_EXTRACT_H

#include <stdbool.h>
#include <stddef.h>

#include "rl/core/arena.h"
#include "rl/core/problem.h"

/* Where an answer's program may stand. */
typedef enum rl_code_place {
    RL_CODE_BLOCK,        // in a fenced block
    RL_CODE_BLOCK_OR_ALL, // the same, and an answer without any fence is the program as a whole
} rl_code_place;

/*
 * The answer's program, in the arena; NULL when there is none. Only what follows the last
 * "</think>" is searched, and nothing after a "<think>" that is never closed.
 *
 *     ```python ... ```             the program; so are py, python3, py3, in any case
 *     ``` ... ```                   the program, where no block is marked as Python
 *     ~~~python ... ~~~             the same with tildes
 *     ```bash ... ```               never the program, nor any other language
 *     several blocks                the last complete one; one marked as Python goes before others
 *     ````md ... ```python ... ```` a longer fence holds shorter ones as text
 *     ```md ... ```python ... ```   a fence with a language inside an open block starts anew
 *       ```python                   an indented block: the fence's indentation is taken off
 *     ```python ... (end of text)   unclosed: the program, where no complete block is
 *     a block of white space        none
 *     no fence                      none; with BLOCK_OR_ALL everything, unless it is white space
 */
const char *rl_extract_code(rl_code_place place, const char *answer, size_t answer_len,
                            rl_arena *arena, size_t *code_len);

/*
 * The text to run for a block. Without a stub it is the block. With one (HumanEval):
 *
 *     the block defines the entry point   what the stub says before its own definition of it
 *                                         (imports, helpers), then the block
 *     it does not                         the stub continued by the block as a function body,
 *                                         indented where it is not
 */
const char *rl_complete_program(const rl_problem *problem, const char *code, size_t code_len,
                                rl_arena *arena, size_t *program_len);

/* How much of the stub comes before its definition of the entry point; 0 without either. */
size_t rl_helpers_len(const rl_problem *problem);

#endif
