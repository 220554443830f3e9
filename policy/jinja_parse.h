/* What the two halves of the parser share: statements (jinja_parse.c), expressions (jinja_expr.c).
 */
#ifndef RL_POLICY_JINJA_PARSE_H
#define RL_POLICY_JINJA_PARSE_H

#include "policy/jinja_ast.h"
#include "policy/jinja_lex.h"
#include "policy/jinja_run.h"

/* Nesting of what is written: each level is a few calls deep. */
enum { RL_JINJA_MAX_WRITTEN = 100 };

typedef struct rl_jinja_parser {
    rl_jinja *jinja;
    const rl_jinja_token *at;
    int depth;
    int loops; // for blocks around, within this macro
    rl_err *err;
} rl_jinja_parser;

rl_status rl_jinja_parse_fail(rl_jinja_parser *p, const char *fmt, ...) RL_PRINTF(2, 3);
/* "expected ..., got ...". */
rl_status rl_jinja_expected(rl_jinja_parser *p, const char *what);
rl_jinja_node *rl_jinja_new_node(rl_jinja_parser *p, rl_jinja_kind kind);
int rl_jinja_symbol(rl_jinja_parser *p, const char *name, size_t len);

bool rl_jinja_is_op(const rl_jinja_parser *p, const char *op);
bool rl_jinja_is_word(const rl_jinja_parser *p, const char *name);
/* Takes the token where it is that. */
bool rl_jinja_skip_op(rl_jinja_parser *p, const char *op);
bool rl_jinja_skip_word(rl_jinja_parser *p, const char *name);
rl_status rl_jinja_need_op(rl_jinja_parser *p, const char *op) RL_MUST_USE;

/* One level deeper; leave by p->depth--. */
rl_status rl_jinja_enter(rl_jinja_parser *p) RL_MUST_USE;

rl_status rl_jinja_parse_expression(rl_jinja_parser *p, rl_jinja_node **out) RL_MUST_USE;
/* The same without "a if b else c", which belongs to the statement around it. */
rl_status rl_jinja_parse_or(rl_jinja_parser *p, rl_jinja_node **out) RL_MUST_USE;
/* One expression, or several with commas: a tuple. */
rl_status rl_jinja_parse_tuple(rl_jinja_parser *p, bool choices, rl_jinja_node **out) RL_MUST_USE;
/* What can be assigned to: a name, a name's attribute, or several. */
rl_status rl_jinja_parse_target(rl_jinja_parser *p, bool attributes,
                                rl_jinja_node **out) RL_MUST_USE;
/* "(a, b=c)" at the token. */
rl_status rl_jinja_parse_args(rl_jinja_parser *p, rl_jinja_node **out) RL_MUST_USE;
/* A name and its arguments, around `input`, and further ones behind '|'. */
rl_status rl_jinja_parse_filters(rl_jinja_parser *p, rl_jinja_node *input,
                                 rl_jinja_node **out) RL_MUST_USE;

#endif
