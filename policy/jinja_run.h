/*
 * One rendering: its state, and what functions written in C for templates get and give. Every
 * function that can fail leaves its sentence in run->err by rl_jinja_fail.
 */
#ifndef RL_POLICY_JINJA_RUN_H
#define RL_POLICY_JINJA_RUN_H

#include "policy/jinja.h"
#include "policy/jinja_ast.h"

/* Lists and dicts inside one another; core/json allows 1000. */
enum { RL_JINJA_MAX_NESTING = 1100 };

/* Bytes looked at that count as a step. */
enum { RL_JINJA_STEP_BYTES = 64 };

/* A growing text in the arena. */
typedef struct rl_jinja_builder {
    char *ptr;
    uint8_t *mark; // NULL while all are 0
    size_t len, cap;
} rl_jinja_builder;

/* Variables of one scope, innermost first by `parent`. */
typedef struct rl_jinja_slot {
    int symbol;
    rl_jinja_value value;
} rl_jinja_slot;

typedef struct rl_jinja_frame rl_jinja_frame;
struct rl_jinja_frame {
    const rl_jinja_frame *parent;
    rl_jinja_slot *slot; // [n]
    int n, cap;
};

/* The variable `loop`. */
struct rl_jinja_loop {
    const rl_jinja_list *items;
    size_t index;               // from 0
    const rl_jinja_value *seen; // [n_seen] what loop.changed was last called with; NULL before
    size_t n_seen;
};

typedef enum rl_jinja_jump { RL_JINJA_GOES_ON, RL_JINJA_BREAKS, RL_JINJA_CONTINUES } rl_jinja_jump;

typedef struct rl_jinja_run {
    const rl_jinja *jinja;
    const rl_jinja_limits *limits;
    const struct tm *now;
    rl_arena *arena;
    rl_err *err;
    int line;  // of the node evaluated last
    int depth; // of nodes evaluated inside one another
    int64_t steps;
    int64_t bytes; // charged, or taken from the arena if that is more
    size_t before; // bytes of the arena that others use
    rl_jinja_builder *out;
    rl_jinja_frame *frame;
    rl_jinja_jump jump;
    const rl_jinja_value *body; // what RL_JINJA_BODY stands for
} rl_jinja_run;

typedef struct rl_jinja_keyword {
    rl_jinja_text name;
    rl_jinja_value value;
} rl_jinja_keyword;

/*
 * What a function is called with. arg[0] is the value filtered, tested or asked for its method;
 * the others are in the order of func->params, RL_JINJA_ABSENT where not given. A function whose
 * params are "*" gets them as they were written, with the keywords.
 */
typedef struct rl_jinja_args {
    const rl_jinja_value *arg; // [n]
    size_t n;
    const rl_jinja_keyword *keyword; // [n_keywords]
    size_t n_keywords;
} rl_jinja_args;

struct rl_jinja_func {
    const char *name;
    const char *params; // "old new | count": those behind the bar may be left out
    rl_status (*call)(rl_jinja_run *run, const rl_jinja_args *in, rl_jinja_value *out);
};

/* A macro with the scope it was written in, or a function with the value it belongs to. */
struct rl_jinja_callable {
    const rl_jinja_func *func; // NULL for a macro
    rl_jinja_value self;
    const rl_jinja_node *macro;
    const rl_jinja_frame *scope;
};

/* Writes "name, line N: sentence". */
rl_status rl_jinja_fail(rl_jinja_run *run, const char *fmt, ...) RL_PRINTF(2, 3);
/* The sentence of a value that must not be undefined. */
rl_status rl_jinja_fail_undefined(rl_jinja_run *run, const rl_jinja_value *value);
/* Charges n steps, n bytes; fails beyond the limits. What is taken from the arena without a charge
 * is found after a few steps; so what may be large is charged before. */
rl_status rl_jinja_step(rl_jinja_run *run, size_t n) RL_MUST_USE;
rl_status rl_jinja_charge(rl_jinja_run *run, size_t bytes) RL_MUST_USE;

rl_status rl_jinja_append(rl_jinja_run *run, rl_jinja_builder *to, rl_jinja_text text) RL_MUST_USE;
rl_status rl_jinja_append_c(rl_jinja_run *run, rl_jinja_builder *to, const char *text) RL_MUST_USE;
rl_jinja_text rl_jinja_built(const rl_jinja_builder *from);

/* jinja_text.c: str(), repr() and json.dumps() of a value, appended. */
rl_status rl_jinja_print(rl_jinja_run *run, rl_jinja_builder *to,
                         const rl_jinja_value *value) RL_MUST_USE;
rl_status rl_jinja_repr(rl_jinja_run *run, rl_jinja_builder *to,
                        const rl_jinja_value *value) RL_MUST_USE;
/* str() as a text: the value's own where it is one. */
rl_status rl_jinja_str(rl_jinja_run *run, const rl_jinja_value *value,
                       rl_jinja_text *out) RL_MUST_USE;
rl_status rl_jinja_append_number(rl_jinja_run *run, rl_jinja_builder *to,
                                 const rl_jinja_value *number) RL_MUST_USE;
/* An escape of the character at from[at]: it keeps that byte's mark. */
rl_status rl_jinja_append_as(rl_jinja_run *run, rl_jinja_builder *to, rl_jinja_text from, size_t at,
                             const char *escaped) RL_MUST_USE;
/* jinja_json.c */
rl_status rl_jinja_filter_tojson(rl_jinja_run *run, const rl_jinja_args *in,
                                 rl_jinja_value *out) RL_MUST_USE;
/* jinja_format.c: "%s" % x, and str.format */
rl_status rl_jinja_format_percent(rl_jinja_run *run, rl_jinja_text format, const rl_jinja_args *in,
                                  rl_jinja_value *out) RL_MUST_USE;
rl_status rl_jinja_format_braces(rl_jinja_run *run, const rl_jinja_args *in,
                                 rl_jinja_value *out) RL_MUST_USE;

/* jinja_ops.c */
rl_status rl_jinja_binary(rl_jinja_run *run, rl_jinja_op op, const rl_jinja_value *a,
                          const rl_jinja_value *b, rl_jinja_value *out) RL_MUST_USE;
rl_status rl_jinja_compare(rl_jinja_run *run, rl_jinja_op op, const rl_jinja_value *a,
                           const rl_jinja_value *b, bool *out) RL_MUST_USE;
/* jinja_equal.c: ==, dict[key] (NULL when absent), and a new or other value under a key. */
rl_status rl_jinja_equal(rl_jinja_run *run, const rl_jinja_value *a, const rl_jinja_value *b,
                         bool *out) RL_MUST_USE;
rl_status rl_jinja_look_up(rl_jinja_run *run, const rl_jinja_dict *dict, const rl_jinja_value *key,
                           const rl_jinja_value **out) RL_MUST_USE;
rl_status rl_jinja_store(rl_jinja_run *run, rl_jinja_value dict, rl_jinja_value key,
                         rl_jinja_value item) RL_MUST_USE;
/* The items a for walks: of a list, the keys of a dict, the characters of a text. */
rl_status rl_jinja_items(rl_jinja_run *run, const rl_jinja_value *value,
                         rl_jinja_list **out) RL_MUST_USE;
/* object[key], and object.name: undefined where there is nothing. */
rl_status rl_jinja_get_item(rl_jinja_run *run, const rl_jinja_value *object,
                            const rl_jinja_value *key, rl_jinja_value *out) RL_MUST_USE;
rl_status rl_jinja_get_attribute(rl_jinja_run *run, const rl_jinja_value *object,
                                 rl_jinja_text name, rl_jinja_value *out) RL_MUST_USE;
rl_status rl_jinja_slice(rl_jinja_run *run, const rl_jinja_value *object,
                         const rl_jinja_value *bound, rl_jinja_value *out) RL_MUST_USE;

/* jinja_eval.c, jinja_exec.c, jinja_call.c */
rl_status rl_jinja_eval(rl_jinja_run *run, const rl_jinja_node *node,
                        rl_jinja_value *out) RL_MUST_USE;
rl_status rl_jinja_exec(rl_jinja_run *run, const rl_jinja_node *list) RL_MUST_USE;
rl_status rl_jinja_exec_macro(rl_jinja_run *run, const rl_jinja_callable *callable,
                              const rl_jinja_args *in, rl_jinja_value *out) RL_MUST_USE;
/* Calls func with self first, arguments placed by its params. A step is charged for every few bytes
 * of texts among them, so functions look through those once for free. */
rl_status rl_jinja_call_func(rl_jinja_run *run, const rl_jinja_func *func,
                             const rl_jinja_value *self, const rl_jinja_args *in,
                             rl_jinja_value *out) RL_MUST_USE;
rl_status rl_jinja_call(rl_jinja_run *run, const rl_jinja_value *callee, const rl_jinja_args *in,
                        rl_jinja_value *out) RL_MUST_USE;
/* Evaluates written arguments. */
rl_status rl_jinja_eval_args(rl_jinja_run *run, const rl_jinja_node *args,
                             rl_jinja_args *out) RL_MUST_USE;
void rl_jinja_define(rl_jinja_run *run, rl_jinja_frame *frame, int symbol, rl_jinja_value value);
rl_jinja_value rl_jinja_method(rl_jinja_run *run, const rl_jinja_func *func,
                               const rl_jinja_value *self);

/* The tables; NULL when nothing has that name. */
const rl_jinja_func *rl_jinja_find_filter(rl_jinja_text name);      // jinja_filters.c
const rl_jinja_func *rl_jinja_find_list_filter(rl_jinja_text name); // jinja_filters_list.c
const rl_jinja_func *rl_jinja_find_test(rl_jinja_text name);        // jinja_tests.c
const rl_jinja_func *rl_jinja_find_global(rl_jinja_text name);      // jinja_globals.c
const rl_jinja_func *rl_jinja_find_method(const rl_jinja_value *self,
                                          rl_jinja_text name); // jinja_methods.c
const rl_jinja_func *rl_jinja_find_in(const rl_jinja_func *table, size_t n, rl_jinja_text name);

/* Arguments: each fails with func's argument named where the value does not fit. */
rl_status rl_jinja_arg_text(rl_jinja_run *run, const rl_jinja_value *value, const char *name,
                            rl_jinja_text *out) RL_MUST_USE;
rl_status rl_jinja_arg_int(rl_jinja_run *run, const rl_jinja_value *value, const char *name,
                           int64_t fallback, int64_t *out) RL_MUST_USE;
bool rl_jinja_arg_flag(const rl_jinja_value *value, bool fallback);

#endif
