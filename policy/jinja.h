/*
 * Jinja as chat templates use it: what Hugging Face renders with jinja2's immutable sandbox and
 * trim_blocks, lstrip_blocks and loop controls on. docs/chat-templates.md lists what is covered.
 *
 * From source to text: jinja_lex.c cuts the source into tokens, jinja_parse.c and jinja_expr.c make
 * a tree of nodes (jinja_ast.h) of them once, and rl_jinja_render walks it for each conversation:
 * jinja_exec.c runs statements, jinja_eval.c expressions, jinja_call.c calls; filters, tests and
 * methods are tables of functions (jinja_run.h). Nothing a template does reaches a file, a clock
 * or the network, and every rendering is bounded: work is charged before it is done.
 *
 * Every byte carries a mark that says where it came from: 0 for the template's own, else what the
 * caller gave the value. Marks follow bytes through all operations, so that whoever encodes the
 * output knows which bytes a stranger wrote.
 */
#ifndef RL_POLICY_JINJA_H
#define RL_POLICY_JINJA_H

#include <time.h>

#include "policy/jinja_value.h"
#include "rl/core/arena.h"
#include "rl/core/status.h"

typedef struct rl_jinja rl_jinja; // a parsed template; read-only, so threads may share it

/* name begins errors: "name, line 3: ...". Both texts are copied. */
rl_status rl_jinja_parse(const char *name, const char *source, size_t source_len, rl_jinja **out,
                         rl_err *err) RL_MUST_USE;
void rl_jinja_free(rl_jinja *jinja); // accepts NULL

typedef struct rl_jinja_var {
    const char *name;
    rl_jinja_value value;
} rl_jinja_var;

typedef struct rl_jinja_limits {
    int64_t steps; // nodes evaluated, items walked, blocks of bytes copied
    int64_t bytes; // of all texts and lists made on the way
    size_t output; // bytes of the result
    int depth;     // of nested expressions, blocks and macro calls
} rl_jinja_limits;

extern const rl_jinja_limits rl_jinja_default_limits;

/*
 * Variables as given; what strftime_now shows is `now`. The text and everything made on the way
 * lies in the arena.
 */
rl_status rl_jinja_render(const rl_jinja *jinja, const rl_jinja_var *var, size_t n_vars,
                          const struct tm *now, const rl_jinja_limits *limits, rl_arena *arena,
                          rl_jinja_text *out, rl_err *err) RL_MUST_USE;

#endif
