/* The outcome of any operation that can fail for reasons outside the program. */
#ifndef RL_CORE_STATUS_H
#define RL_CORE_STATUS_H

#if defined(__GNUC__)
#define RL_MUST_USE          __attribute__((warn_unused_result))
#define RL_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))
#else
#define RL_MUST_USE
#define RL_PRINTF(fmt, args)
#endif

#define RL_STATUS_LIST(X)                                                                          \
    X(OK, "ok")                                                                                    \
    X(BAD_RECIPE, "recipe not acceptable")                                                         \
    X(IO, "input or output failed")                                                                \
    X(MEMORY, "not enough memory")                                                                 \
    X(UNSUPPORTED, "not supported here")                                                           \
    X(INTERRUPTED, "interrupted")                                                                  \
    X(ALARM, "a check of the run failed")

typedef enum rl_status {
#define X(name, text) RL_##name,
    RL_STATUS_LIST(X)
#undef X
} rl_status;

/* One sentence for the user. The caller owns it; callees only overwrite it. */
typedef struct rl_err {
    char text[512];
} rl_err;

const char *rl_status_text(rl_status status);

/* Writes the sentence (err may be NULL) and returns status, so a failure is one line. */
rl_status rl_fail(rl_err *err, rl_status status, const char *fmt, ...) RL_PRINTF(3, 4);

#endif
