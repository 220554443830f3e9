/* Sub-commands that answer JSON lines with JSON lines. Private to cli/. */
#ifndef RL_CLI_LINES_H
#define RL_CLI_LINES_H

#include <stdio.h>

#include "rl/core/json.h"
#include "rl/policy/tokenizer.h"

/* Puts the members of the answer to one record, an object. */
typedef rl_status answer_line(void *self, const rl_json *record, rl_json_writer *out, rl_err *err);

/* Answers every line of a file, or of standard input where path is NULL or "-", as lines come;
 * blank ones are passed over. Errors name the file and the line. */
rl_status answer_lines(const char *path, FILE *to, answer_line *answer, void *self,
                       rl_err *err) RL_MUST_USE;

/* The tokenizer of a model: of a folder, which needs nothing else in it, or of a GGUF file. */
rl_status open_tokenizer(const char *path, rl_tokenizer **out, rl_err *err) RL_MUST_USE;

void put_ids(rl_json_writer *out, const int32_t *ids, int32_t n_ids);

#endif
