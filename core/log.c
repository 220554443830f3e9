#include "rl/core/log.h"

#include <stdarg.h>

#include "rl/core/str.h"

static FILE *log_sink;
static rl_log_level log_least = RL_LOG_INFO;

void rl_log_setup(FILE *sink, rl_log_level least) {
    log_sink = sink;
    log_least = least;
}

void rl_log(rl_log_level level, const char *fmt, ...) {
    static const char *const prefix[] = {"debug: ", "", "warning: ", "error: "};
    rl_str line = {0};
    va_list args;
    if (level < log_least) {
        return;
    }
    rl_str_append(&line, prefix[level]);
    va_start(args, fmt);
    rl_str_appendv(&line, fmt, args);
    va_end(args);
    rl_str_append_char(&line, '\n');
    fwrite(line.ptr, 1, line.len, log_sink != NULL ? log_sink : stderr);
    rl_str_release(&line);
}
