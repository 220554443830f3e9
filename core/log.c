#include "rl/core/log.h"

#include <stdarg.h>

static FILE *log_sink;
static rl_log_level log_least = RL_LOG_INFO;

void rl_log_setup(FILE *sink, rl_log_level least) {
    log_sink = sink;
    log_least = least;
}

void rl_log(rl_log_level level, const char *fmt, ...) {
    static const char *const prefix[] = {"debug: ", "", "warning: ", "error: "};
    char line[2048];
    int used;
    va_list args;
    if (level < log_least) {
        return;
    }
    used = snprintf(line, sizeof line, "%s", prefix[level]);
    va_start(args, fmt);
    vsnprintf(line + used, sizeof line - (size_t)used, fmt, args);
    va_end(args);
    fprintf(log_sink != NULL ? log_sink : stderr, "%s\n", line);
}
