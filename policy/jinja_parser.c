/* What both halves of the parser stand on: tokens, nodes, names and sentences. */
#include <stdarg.h>
#include <string.h>

#include "policy/jinja_parse.h"

typedef rl_jinja_parser parser;
typedef rl_jinja_node node;

rl_status rl_jinja_parse_fail(parser *p, const char *fmt, ...) {
    char what[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(what, sizeof what, fmt, args);
    va_end(args);
    return rl_fail(p->err, RL_UNSUPPORTED, "%s, line %d: %s", p->jinja->name, p->at->line, what);
}

rl_status rl_jinja_expected(parser *p, const char *what) {
    switch (p->at->kind) {
    case RL_JINJA_T_END:
        return rl_jinja_parse_fail(p, "expected %s, but the template ends", what);
    case RL_JINJA_T_OUTPUT_END:
    case RL_JINJA_T_BLOCK_END:
        return rl_jinja_parse_fail(p, "expected %s, but the tag ends", what);
    case RL_JINJA_T_INT:
    case RL_JINJA_T_FLOAT:
        return rl_jinja_parse_fail(p, "expected %s, got a number", what);
    case RL_JINJA_T_TEXT:
        return rl_jinja_parse_fail(p, "expected %s, got a text", what);
    case RL_JINJA_T_DATA:
    case RL_JINJA_T_OUTPUT_BEGIN:
    case RL_JINJA_T_BLOCK_BEGIN:
    case RL_JINJA_T_NAME:
    case RL_JINJA_T_OPERATOR:
        break;
    }
    return rl_jinja_parse_fail(p, "expected %s, got '%.*s'", what,
                               (int)(p->at->len < 40 ? p->at->len : 40), p->at->ptr);
}

node *rl_jinja_new_node(parser *p, rl_jinja_kind kind) {
    node *made = rl_arena_alloc(p->jinja->arena, 1, sizeof *made);
    made->kind = kind;
    made->line = p->at->line;
    made->symbol = -1;
    return made;
}

int rl_jinja_symbol(parser *p, const char *name, size_t len) {
    rl_jinja *jinja = p->jinja;
    rl_jinja_text text = {name, len, NULL};
    for (int i = 0; i < jinja->n_symbols; i++) {
        if (rl_jinja_text_equal(jinja->symbol[i], text)) {
            return i;
        }
    }
    if (jinja->n_symbols == jinja->cap) {
        jinja->cap = jinja->cap > 0 ? 2 * jinja->cap : 16;
        rl_jinja_text *grown = rl_arena_alloc(jinja->arena, (size_t)jinja->cap, sizeof *grown);
        if (jinja->n_symbols > 0) {
            memcpy(grown, jinja->symbol, (size_t)jinja->n_symbols * sizeof *grown);
        }
        jinja->symbol = grown;
    }
    jinja->symbol[jinja->n_symbols] = text;
    return jinja->n_symbols++;
}

static bool is_token(const parser *p, rl_jinja_token_kind kind, const char *what) {
    return p->at->kind == kind && strlen(what) == p->at->len &&
           memcmp(p->at->ptr, what, p->at->len) == 0;
}

bool rl_jinja_is_op(const parser *p, const char *op) {
    return is_token(p, RL_JINJA_T_OPERATOR, op);
}

bool rl_jinja_is_word(const parser *p, const char *name) {
    return is_token(p, RL_JINJA_T_NAME, name);
}

bool rl_jinja_skip_op(parser *p, const char *op) {
    bool found = rl_jinja_is_op(p, op);
    p->at += found;
    return found;
}

bool rl_jinja_skip_word(parser *p, const char *name) {
    bool found = rl_jinja_is_word(p, name);
    p->at += found;
    return found;
}

rl_status rl_jinja_need_op(parser *p, const char *op) {
    char quoted[16];
    snprintf(quoted, sizeof quoted, "'%s'", op);
    return rl_jinja_skip_op(p, op) ? RL_OK : rl_jinja_expected(p, quoted);
}

rl_status rl_jinja_enter(parser *p) {
    if (p->depth >= RL_JINJA_MAX_WRITTEN) {
        return rl_jinja_parse_fail(p, "nested deeper than %d levels", RL_JINJA_MAX_WRITTEN);
    }
    p->depth++;
    return RL_OK;
}
