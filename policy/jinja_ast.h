/*
 * The tree of a template. One kind of node, so that the parser and the evaluator need no table of
 * structs; what a, b, c and the list mean is said at each kind. Lists are chained by `next`.
 */
#ifndef RL_POLICY_JINJA_AST_H
#define RL_POLICY_JINJA_AST_H

#include "policy/jinja_value.h"

typedef enum rl_jinja_kind {
    // Statements.
    RL_JINJA_DATA,   // constant: text as it stands
    RL_JINJA_OUTPUT, // a: expression
    RL_JINJA_IF,     // a: condition, list: then, other: else
    RL_JINJA_FOR,    // a: target, b: what is walked, c: condition or NULL, list: body, other: else
    RL_JINJA_SET,    // a: target, b: expression
    RL_JINJA_SET_BLOCK,    // a: target, b: filters around an RL_JINJA_BODY or NULL, list: body
    RL_JINJA_FILTER_BLOCK, // b: filters around an RL_JINJA_BODY, list: body
    RL_JINJA_MACRO,        // symbol: its name, args: parameters, list: body
    RL_JINJA_CALL_BLOCK,   // a: the call, b: the caller as a nameless macro
    RL_JINJA_WITH,         // args: RL_JINJA_SET of each variable, list: body
    RL_JINJA_GENERATION,   // list: body; what the assistant says, to Hugging Face's trainers
    RL_JINJA_BREAK,
    RL_JINJA_CONTINUE,

    // Expressions.
    RL_JINJA_CONSTANT,  // constant
    RL_JINJA_NAME,      // symbol
    RL_JINJA_BODY,      // the text of the block around it
    RL_JINJA_TUPLE,     // list: items (targets, where it is one)
    RL_JINJA_LIST_OF,   // list: items
    RL_JINJA_DICT_OF,   // list: key, value, key, value ...
    RL_JINJA_ATTRIBUTE, // a: object, constant: name
    RL_JINJA_ITEM,      // a: object, b: key
    RL_JINJA_SLICE,     // a: object, list: start, stop, step; absent ones are None
    RL_JINJA_CALL,      // a: callee, args: arguments
    RL_JINJA_FILTER,    // a: input, constant: name, args: arguments, func
    RL_JINJA_TEST,      // the same
    RL_JINJA_COMPARE,   // a: first, list: RL_JINJA_OPERAND
    RL_JINJA_OPERAND,   // op, a: right side
    RL_JINJA_BINARY,    // op, a, b
    RL_JINJA_AND,       // a, b
    RL_JINJA_OR,        // a, b
    RL_JINJA_NOT,       // a
    RL_JINJA_NEGATIVE,  // a
    RL_JINJA_POSITIVE,  // a
    RL_JINJA_CHOICE,    // a: condition, b: if so, c: if not or NULL
    RL_JINJA_ARGUMENT   // a: value or NULL, symbol: parameter or keyword, or -1; constant: its name
} rl_jinja_kind;

typedef enum rl_jinja_op {
    RL_JINJA_ADD,
    RL_JINJA_SUB,
    RL_JINJA_MUL,
    RL_JINJA_DIV,
    RL_JINJA_FLOOR_DIV,
    RL_JINJA_MOD,
    RL_JINJA_POW,
    RL_JINJA_CONCAT,
    RL_JINJA_EQ,
    RL_JINJA_NE,
    RL_JINJA_LT,
    RL_JINJA_LE,
    RL_JINJA_GT,
    RL_JINJA_GE,
    RL_JINJA_IN,
    RL_JINJA_NOT_IN
} rl_jinja_op;

typedef struct rl_jinja_func rl_jinja_func; // jinja_run.h

typedef struct rl_jinja_node rl_jinja_node;
struct rl_jinja_node {
    rl_jinja_kind kind;
    rl_jinja_op op;
    int line;
    int symbol; // of a name, as the template numbers them; -1 where there is none
    rl_jinja_value constant;
    const rl_jinja_func *func; // NULL where no filter or test has that name
    rl_jinja_node *a, *b, *c;
    rl_jinja_node *list, *other, *args, *next;
};

/* A parsed template; all of it lies in its arena. */
struct rl_jinja {
    rl_arena *arena;
    const char *name;
    rl_jinja_node *body;
    rl_jinja_text *symbol; // [n_symbols] the names used, each once
    int n_symbols, cap;
    int loop, caller; // symbols of these names; -1 where the template has none
};

#endif
