/*
 * The log: what the user may want to know while the program works. Lines go to stderr (or to the
 * sink a test sets); stdout belongs to cli/. Safe from several threads: a line is written whole, of
 * any length, by one call.
 */
#ifndef RL_CORE_LOG_H
#define RL_CORE_LOG_H

#include <stdio.h>

#include "rl/core/status.h"

typedef enum rl_log_level { RL_LOG_DEBUG, RL_LOG_INFO, RL_LOG_WARN, RL_LOG_ERROR } rl_log_level;

/* Set once, before threads start. A NULL sink means stderr. */
void rl_log_setup(FILE *sink, rl_log_level least);

/* Writes "warning: ..." or "error: ..."; information lines have no prefix. No newline in fmt. */
void rl_log(rl_log_level level, const char *fmt, ...) RL_PRINTF(2, 3);

#endif
