/* Statements: the blocks of a template. */
#include "policy/jinja_parse.h"

#include <string.h>

#include "policy/jinja.h"
#include "rl/core/alloc.h"

typedef rl_jinja_parser parser;
typedef rl_jinja_node node;

static rl_status parse_body(parser *p, const char *const *ends, node **out);

static rl_status end_tag(parser *p) {
    if (p->at->kind != RL_JINJA_T_BLOCK_END) {
        return rl_jinja_expected(p, "the end of the tag");
    }
    p->at++;
    return RL_OK;
}

// "%} body {% word": up to and with the word.
static rl_status parse_block(parser *p, const char *end, node **out) {
    const char *const ends[] = {end, NULL};
    rl_status status = end_tag(p);
    if (status == RL_OK) {
        status = parse_body(p, ends, out);
    }
    if (status == RL_OK) {
        p->at++; // the word itself
        status = end_tag(p);
    }
    return status;
}

static rl_status parse_if(parser *p, node **out) {
    static const char *const ends[] = {"elif", "else", "endif", NULL};
    static const char *const last[] = {"endif", NULL};
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_IF);
    for (;;) {
        p->at++; // if or elif
        rl_status status = rl_jinja_parse_tuple(p, false, &made->a);
        if (status == RL_OK) {
            status = end_tag(p);
        }
        if (status == RL_OK) {
            status = parse_body(p, ends, &made->list);
        }
        if (status != RL_OK) {
            return status;
        }
        if (rl_jinja_is_word(p, "elif")) {
            made->other = rl_jinja_new_node(p, RL_JINJA_IF);
            made = made->other;
            continue;
        }
        if (rl_jinja_skip_word(p, "else")) {
            status = end_tag(p);
            if (status == RL_OK) {
                status = parse_body(p, last, &made->other);
            }
        }
        if (status == RL_OK) {
            p->at++; // endif
            status = end_tag(p);
        }
        return status;
    }
}

static rl_status parse_for(parser *p, node **out) {
    static const char *const ends[] = {"else", "endfor", NULL}, *const last[] = {"endfor", NULL};
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_FOR);
    p->at++;
    rl_status status = rl_jinja_parse_target(p, false, &made->a);
    if (status == RL_OK && !rl_jinja_skip_word(p, "in")) {
        status = rl_jinja_expected(p, "'in'");
    }
    if (status == RL_OK) {
        status = rl_jinja_parse_tuple(p, false, &made->b);
    }
    if (status == RL_OK && rl_jinja_skip_word(p, "if")) {
        status = rl_jinja_parse_expression(p, &made->c);
    }
    if (status == RL_OK && rl_jinja_is_word(p, "recursive")) {
        status = rl_jinja_parse_fail(p, "'recursive' loops are not covered");
    }
    if (status == RL_OK) {
        status = end_tag(p);
    }
    p->loops++;
    if (status == RL_OK) {
        status = parse_body(p, ends, &made->list);
    }
    p->loops--;
    if (status == RL_OK && rl_jinja_skip_word(p, "else")) {
        status = end_tag(p);
        if (status == RL_OK) {
            status = parse_body(p, last, &made->other);
        }
    }
    if (status == RL_OK) {
        p->at++; // endfor
        status = end_tag(p);
    }
    return status;
}

static rl_status parse_set(parser *p, node **out) {
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_SET);
    p->at++;
    rl_status status = rl_jinja_parse_target(p, true, &made->a);
    if (status != RL_OK) {
        return status;
    }
    if (rl_jinja_skip_op(p, "=")) {
        status = rl_jinja_parse_tuple(p, true, &made->b);
        return status == RL_OK ? end_tag(p) : status;
    }
    made->kind = RL_JINJA_SET_BLOCK;
    if (rl_jinja_skip_op(p, "|")) {
        status = rl_jinja_parse_filters(p, rl_jinja_new_node(p, RL_JINJA_BODY), &made->b);
    }
    return status == RL_OK ? parse_block(p, "endset", &made->list) : status;
}

// Parameters of a macro: names, those at the end with defaults.
static rl_status parse_params(parser *p, node **out) {
    rl_status status = rl_jinja_need_op(p, "(");
    bool defaults = false;
    while (status == RL_OK && !rl_jinja_skip_op(p, ")")) {
        node *param = rl_jinja_new_node(p, RL_JINJA_ARGUMENT);
        if (p->at->kind != RL_JINJA_T_NAME) {
            return rl_jinja_expected(p, "the name of a parameter");
        }
        param->symbol = rl_jinja_symbol(p, p->at->ptr, p->at->len);
        param->constant = rl_jinja_of_text((rl_jinja_text){p->at->ptr, p->at->len, NULL});
        p->at++;
        if (rl_jinja_skip_op(p, "=")) {
            defaults = true;
            status = rl_jinja_parse_expression(p, &param->a);
        } else if (defaults) {
            status = rl_jinja_parse_fail(p, "a parameter without default follows one with it");
        }
        *out = param;
        out = &param->next;
        if (status == RL_OK && !rl_jinja_is_op(p, ")")) {
            status = rl_jinja_need_op(p, ",");
        }
    }
    return status;
}

// Loops do not reach into a macro: break and continue end at its border.
static rl_status parse_macro_body(parser *p, const char *end, node **out) {
    int loops = p->loops;
    p->loops = 0;
    rl_status status = parse_block(p, end, out);
    p->loops = loops;
    return status;
}

static rl_status parse_macro(parser *p, node **out) {
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_MACRO);
    p->at++;
    if (p->at->kind != RL_JINJA_T_NAME) {
        return rl_jinja_expected(p, "the name of the macro");
    }
    made->symbol = rl_jinja_symbol(p, p->at->ptr, p->at->len);
    made->constant = rl_jinja_of_text((rl_jinja_text){p->at->ptr, p->at->len, NULL});
    p->at++;
    rl_status status = parse_params(p, &made->args);
    return status == RL_OK ? parse_macro_body(p, "endmacro", &made->list) : status;
}

static rl_status parse_call(parser *p, node **out) {
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_CALL_BLOCK);
    rl_status status = RL_OK;
    made->b = rl_jinja_new_node(p, RL_JINJA_MACRO);
    made->b->constant = rl_jinja_literal("caller");
    p->at++;
    if (rl_jinja_is_op(p, "(")) {
        status = parse_params(p, &made->b->args);
    }
    if (status == RL_OK) {
        status = rl_jinja_parse_expression(p, &made->a);
    }
    if (status == RL_OK && made->a->kind != RL_JINJA_CALL) {
        status = rl_jinja_expected(p, "a call");
    }
    return status == RL_OK ? parse_macro_body(p, "endcall", &made->b->list) : status;
}

static rl_status parse_filter(parser *p, node **out) {
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_FILTER_BLOCK);
    p->at++;
    rl_status status = rl_jinja_parse_filters(p, rl_jinja_new_node(p, RL_JINJA_BODY), &made->b);
    return status == RL_OK ? parse_block(p, "endfilter", &made->list) : status;
}

static rl_status parse_with(parser *p, node **out) {
    node *made = *out = rl_jinja_new_node(p, RL_JINJA_WITH);
    rl_status status = RL_OK;
    node **tail = &made->args;
    p->at++;
    while (status == RL_OK && p->at->kind != RL_JINJA_T_BLOCK_END) {
        node *set = rl_jinja_new_node(p, RL_JINJA_SET);
        status = rl_jinja_parse_target(p, false, &set->a);
        if (status == RL_OK) {
            status = rl_jinja_need_op(p, "=");
        }
        if (status == RL_OK) {
            status = rl_jinja_parse_expression(p, &set->b);
        }
        *tail = set;
        tail = &set->next;
        if (status == RL_OK && p->at->kind != RL_JINJA_T_BLOCK_END) {
            status = rl_jinja_need_op(p, ",");
        }
    }
    return status == RL_OK ? parse_block(p, "endwith", &made->list) : status;
}

static rl_status parse_generation(parser *p, node **out) {
    *out = rl_jinja_new_node(p, RL_JINJA_GENERATION);
    p->at++;
    return parse_block(p, "endgeneration", &(*out)->list);
}

static rl_status parse_jump(parser *p, node **out) {
    bool breaks = rl_jinja_is_word(p, "break");
    if (p->loops == 0) {
        return rl_jinja_parse_fail(p, "'%s' outside of a loop", breaks ? "break" : "continue");
    }
    *out = rl_jinja_new_node(p, breaks ? RL_JINJA_BREAK : RL_JINJA_CONTINUE);
    p->at++;
    return end_tag(p);
}

static rl_status parse_statement(parser *p, node **out) {
    static const struct {
        const char *word;
        rl_status (*parse)(parser *, node **);
    } rows[] = {
        {"if", parse_if},      {"for", parse_for},
        {"set", parse_set},    {"macro", parse_macro},
        {"call", parse_call},  {"filter", parse_filter},
        {"with", parse_with},  {"generation", parse_generation},
        {"break", parse_jump}, {"continue", parse_jump},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rl_jinja_is_word(p, rows[i].word)) {
            rl_status status = rl_jinja_enter(p);
            if (status == RL_OK) {
                status = rows[i].parse(p, out);
                p->depth--;
            }
            return status;
        }
    }
    if (p->at->kind != RL_JINJA_T_NAME) {
        return rl_jinja_expected(p, "a statement");
    }
    return rl_jinja_parse_fail(p, "statement '%.*s' is not covered",
                               (int)(p->at->len < 40 ? p->at->len : 40), p->at->ptr);
}

static bool is_one_of(const parser *p, const char *const *ends) {
    for (; *ends != NULL; ends++) {
        if (rl_jinja_is_word(p, *ends)) {
            return true;
        }
    }
    return false;
}

static rl_status parse_output(parser *p, node **out) {
    *out = rl_jinja_new_node(p, RL_JINJA_OUTPUT);
    p->at++;
    rl_status status = rl_jinja_parse_tuple(p, true, &(*out)->a);
    if (status == RL_OK && p->at->kind != RL_JINJA_T_OUTPUT_END) {
        status = rl_jinja_expected(p, "the end of the tag");
    }
    p->at += status == RL_OK;
    return status;
}

// Statements up to one of the words, which is then the token; ends NULL: up to the end.
static rl_status parse_body(parser *p, const char *const *ends, node **out) {
    rl_status status = RL_OK;
    while (status == RL_OK) {
        if (p->at->kind == RL_JINJA_T_END) {
            return ends == NULL ? RL_OK : rl_jinja_parse_fail(p, "'%s' is missing", *ends);
        }
        if (p->at->kind == RL_JINJA_T_DATA) {
            *out = rl_jinja_new_node(p, RL_JINJA_DATA);
            (*out)->constant = rl_jinja_of_text((rl_jinja_text){p->at->ptr, p->at->len, NULL});
            p->at++;
        } else if (p->at->kind == RL_JINJA_T_OUTPUT_BEGIN) {
            status = parse_output(p, out);
        } else {
            p->at++; // the begin of a block: nothing else can stand here
            if (ends != NULL && is_one_of(p, ends)) {
                return RL_OK;
            }
            status = parse_statement(p, out);
        }
        out = status == RL_OK ? &(*out)->next : out;
    }
    return status;
}

static int known_symbol(const rl_jinja *jinja, const char *name) {
    for (int i = 0; i < jinja->n_symbols; i++) {
        if (rl_jinja_text_is(jinja->symbol[i], name)) {
            return i;
        }
    }
    return -1;
}

rl_status rl_jinja_parse(const char *name, const char *source, size_t source_len, rl_jinja **out,
                         rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_jinja *jinja = rl_arena_alloc(arena, 1, sizeof *jinja);
    rl_jinja_tokens tokens = {0};
    *jinja = (rl_jinja){.arena = arena, .name = rl_arena_strdup(arena, name)};
    rl_status status = rl_jinja_lex(jinja->name, source, source_len, arena, &tokens, err);
    if (status == RL_OK) {
        parser p = {.jinja = jinja, .at = tokens.token, .err = err};
        status = parse_body(&p, NULL, &jinja->body);
    }
    jinja->loop = known_symbol(jinja, "loop");
    jinja->caller = known_symbol(jinja, "caller");
    *out = status == RL_OK ? jinja : NULL;
    if (status != RL_OK) {
        rl_arena_free(arena);
    }
    return status;
}

void rl_jinja_free(rl_jinja *jinja) {
    if (jinja != NULL) {
        rl_arena_free(jinja->arena);
    }
}
