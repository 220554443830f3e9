/* A rendering from outside: its limits, its sentences, its growing texts. */
#include "policy/jinja.h"

#include <stdarg.h>
#include <string.h>

#include "policy/jinja_run.h"

const rl_jinja_limits rl_jinja_default_limits = {
    .steps = 50000000, .bytes = (int64_t)1 << 28, .output = (size_t)64 << 20, .depth = 1200};

enum { STEPS_TO_MEASURE = 256 };

rl_status rl_jinja_fail(rl_jinja_run *run, const char *fmt, ...) {
    char what[384];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rl_fail(run->err, RL_UNSUPPORTED, "%s, line %d: %s", run->jinja->name, run->line, what);
}

rl_status rl_jinja_fail_undefined(rl_jinja_run *run, const rl_jinja_value *value) {
    rl_jinja_missing missing = value->as.missing;
    int len = (int)(missing.len < 80 ? missing.len : 80);
    if (missing.name == NULL) {
        return rl_jinja_fail(run, "%s", missing.owner != NULL ? missing.owner : "undefined value");
    }
    return missing.owner == NULL ? rl_jinja_fail(run, "'%.*s' is undefined", len, missing.name)
                                 : rl_jinja_fail(run, "'%s' has no attribute '%.*s'", missing.owner,
                                                 len, missing.name);
}

static rl_status too_large(rl_jinja_run *run) {
    return rl_jinja_fail(run, "needs over %lld bytes of memory", (long long)run->limits->bytes);
}

// Whatever was made, charged or not, lies in the arena.
static rl_status measure(rl_jinja_run *run) {
    int64_t used = (int64_t)(rl_arena_used(run->arena) - run->before);
    run->bytes = used > run->bytes ? used : run->bytes;
    return run->bytes > run->limits->bytes ? too_large(run) : RL_OK;
}

rl_status rl_jinja_step(rl_jinja_run *run, size_t n) {
    if (n > (uint64_t)(run->limits->steps - run->steps)) {
        return rl_jinja_fail(run, "takes over %lld steps", (long long)run->limits->steps);
    }
    int64_t before = run->steps;
    run->steps += (int64_t)n;
    return before / STEPS_TO_MEASURE == run->steps / STEPS_TO_MEASURE ? RL_OK : measure(run);
}

rl_status rl_jinja_charge(rl_jinja_run *run, size_t bytes) {
    if (bytes > (uint64_t)(run->limits->bytes - run->bytes)) {
        return too_large(run);
    }
    run->bytes += (int64_t)bytes;
    return rl_jinja_step(run, bytes / 256);
}

static rl_status reserve(rl_jinja_run *run, rl_jinja_builder *to, size_t more) {
    size_t cap = to->cap > 0 ? 2 * to->cap : 256;
    cap = cap < to->len + more ? to->len + more : cap;
    rl_status status = rl_jinja_charge(run, to->mark != NULL ? 2 * cap : cap);
    if (status != RL_OK) {
        return status;
    }
    char *ptr = rl_arena_alloc(run->arena, cap, 1);
    if (to->len > 0) {
        memcpy(ptr, to->ptr, to->len);
    }
    if (to->mark != NULL) {
        uint8_t *mark = rl_arena_alloc(run->arena, cap, 1);
        memcpy(mark, to->mark, to->len);
        to->mark = mark;
    }
    to->ptr = ptr;
    to->cap = cap;
    return RL_OK;
}

rl_status rl_jinja_append(rl_jinja_run *run, rl_jinja_builder *to, rl_jinja_text text) {
    if (text.len > run->limits->output - to->len) {
        return rl_jinja_fail(run, "a text of over %zu bytes", run->limits->output);
    }
    if (text.len > to->cap - to->len) {
        rl_status status = reserve(run, to, text.len);
        if (status != RL_OK) {
            return status;
        }
    }
    if (text.len == 0) {
        return RL_OK;
    }
    if (text.mark != NULL && to->mark == NULL) {
        rl_status status = rl_jinja_charge(run, to->cap);
        if (status != RL_OK) {
            return status;
        }
        to->mark = rl_arena_alloc(run->arena, to->cap, 1);
    }
    memcpy(to->ptr + to->len, text.ptr, text.len);
    if (text.mark != NULL) {
        memcpy(to->mark + to->len, text.mark, text.len);
    } else if (to->mark != NULL) {
        memset(to->mark + to->len, 0, text.len);
    }
    to->len += text.len;
    return RL_OK;
}

rl_status rl_jinja_append_c(rl_jinja_run *run, rl_jinja_builder *to, const char *text) {
    return rl_jinja_append(run, to, (rl_jinja_text){text, strlen(text), NULL});
}

rl_jinja_text rl_jinja_built(const rl_jinja_builder *from) {
    return from->len > 0 ? (rl_jinja_text){from->ptr, from->len, from->mark}
                         : (rl_jinja_text){"", 0, NULL};
}

// A variable counts only where the template names it.
static void give_vars(rl_jinja_run *run, const rl_jinja_var *var, size_t n_vars) {
    for (size_t i = 0; i < n_vars; i++) {
        for (int s = 0; s < run->jinja->n_symbols; s++) {
            if (rl_jinja_text_is(run->jinja->symbol[s], var[i].name)) {
                rl_jinja_define(run, run->frame, s, var[i].value);
            }
        }
    }
}

rl_status rl_jinja_render(const rl_jinja *jinja, const rl_jinja_var *var, size_t n_vars,
                          const struct tm *now, const rl_jinja_limits *limits, rl_arena *arena,
                          rl_jinja_text *out, rl_err *err) {
    rl_jinja_builder text = {0};
    rl_jinja_frame frame = {0};
    rl_jinja_run run = {.jinja = jinja,
                        .limits = limits,
                        .now = now,
                        .arena = arena,
                        .before = rl_arena_used(arena),
                        .err = err,
                        .line = 1,
                        .out = &text,
                        .frame = &frame};
    give_vars(&run, var, n_vars);
    // What a template sets lies in a scope of its own, over the variables given.
    rl_jinja_frame own = {.parent = &frame};
    run.frame = &own;
    rl_status status = rl_jinja_exec(&run, jinja->body);
    *out = rl_jinja_built(&text);
    return status;
}
