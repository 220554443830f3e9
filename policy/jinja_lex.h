/* The tokens of a template. */
#ifndef RL_POLICY_JINJA_LEX_H
#define RL_POLICY_JINJA_LEX_H

#include "policy/jinja_value.h"
#include "rl/core/status.h"

typedef enum rl_jinja_token_kind {
    RL_JINJA_T_DATA, // text between the tags, white space control applied
    RL_JINJA_T_OUTPUT_BEGIN,
    RL_JINJA_T_OUTPUT_END,
    RL_JINJA_T_BLOCK_BEGIN,
    RL_JINJA_T_BLOCK_END,
    RL_JINJA_T_NAME,
    RL_JINJA_T_TEXT, // a literal, its escapes undone
    RL_JINJA_T_INT,
    RL_JINJA_T_FLOAT,
    RL_JINJA_T_OPERATOR,
    RL_JINJA_T_END
} rl_jinja_token_kind;

typedef struct rl_jinja_token {
    rl_jinja_token_kind kind;
    int line;
    const char *ptr; // DATA, NAME, TEXT, OPERATOR
    size_t len;
    int64_t integer;
    double real;
} rl_jinja_token;

typedef struct rl_jinja_tokens {
    rl_jinja_token *token; // [n] the last is RL_JINJA_T_END
    size_t n, cap;
} rl_jinja_tokens;

/* The source, UTF-8, is copied into the arena. name begins errors: "name, line 3: ...". */
rl_status rl_jinja_lex(const char *name, const char *source, size_t source_len, rl_arena *arena,
                       rl_jinja_tokens *out, rl_err *err) RL_MUST_USE;

#endif
