#include "rl/core/status.h"

#include <stdarg.h>
#include <stdio.h>

const char *rl_status_text(rl_status status) {
    static const char *const text[] = {
#define X(name, words) words,
        RL_STATUS_LIST(X)
#undef X
    };
    return (size_t)status < sizeof text / sizeof text[0] ? text[status] : "unknown status";
}

// Sentences quote names out of files; a hostile one must not reach the terminal as control
// characters.
static void make_printable(char *text) {
    for (; *text != '\0'; text++) {
        if ((unsigned char)*text < 32 || *text == 127) {
            *text = '?';
        }
    }
}

rl_status rl_fail(rl_err *err, rl_status status, const char *fmt, ...) {
    if (err != NULL) {
        va_list args;
        va_start(args, fmt);
        vsnprintf(err->text, sizeof err->text, fmt, args);
        va_end(args);
        make_printable(err->text);
    }
    return status;
}
