/* Expressions, by recursive descent in jinja2's order: the loosest operator first. */
#include <string.h>

#include "policy/jinja_parse.h"

typedef rl_jinja_parser parser;
typedef rl_jinja_node node;

static rl_jinja_value name_text(const rl_jinja_token *token) {
    return rl_jinja_of_text((rl_jinja_text){token->ptr, token->len, NULL});
}

static node *constant(parser *p, rl_jinja_value value) {
    node *made = rl_jinja_new_node(p, RL_JINJA_CONSTANT);
    made->constant = value;
    return made;
}

rl_status rl_jinja_parse_args(parser *p, node **out) {
    node **tail = out;
    bool keywords = false;
    rl_status status = rl_jinja_need_op(p, "(");
    *out = NULL;
    while (status == RL_OK && !rl_jinja_skip_op(p, ")")) {
        node *arg = rl_jinja_new_node(p, RL_JINJA_ARGUMENT);
        if (rl_jinja_is_op(p, "*") || rl_jinja_is_op(p, "**")) {
            return rl_jinja_parse_fail(p, "arguments by '*' are not covered");
        }
        if (p->at->kind == RL_JINJA_T_NAME && p->at[1].kind == RL_JINJA_T_OPERATOR &&
            p->at[1].len == 1 && *p->at[1].ptr == '=') {
            arg->symbol = rl_jinja_symbol(p, p->at->ptr, p->at->len);
            arg->constant = name_text(p->at);
            keywords = true;
            p->at += 2;
        } else if (keywords) {
            return rl_jinja_parse_fail(p, "an argument without a name follows one with a name");
        }
        status = rl_jinja_parse_expression(p, &arg->a);
        *tail = arg;
        tail = &arg->next;
        if (status == RL_OK && !rl_jinja_is_op(p, ")")) {
            status = rl_jinja_need_op(p, ",");
        }
    }
    return status;
}

// Items up to the closing bracket; of a dict keys and values in turn.
static rl_status parse_items(parser *p, const char *close, bool pairs, node **out) {
    node **tail = out;
    rl_status status = RL_OK;
    while (status == RL_OK && !rl_jinja_skip_op(p, close)) {
        status = rl_jinja_parse_expression(p, tail);
        if (status == RL_OK && pairs) {
            tail = &(*tail)->next;
            status = rl_jinja_need_op(p, ":");
            if (status == RL_OK) {
                status = rl_jinja_parse_expression(p, tail);
            }
        }
        if (status == RL_OK) {
            tail = &(*tail)->next;
            if (!rl_jinja_is_op(p, close)) {
                status = rl_jinja_need_op(p, ",");
            }
        }
    }
    return status;
}

static rl_status parse_parens(parser *p, node **out) {
    p->at++;
    if (rl_jinja_is_op(p, ")")) {
        *out = rl_jinja_new_node(p, RL_JINJA_TUPLE);
        p->at++;
        return RL_OK;
    }
    rl_status status = rl_jinja_parse_tuple(p, true, out);
    return status == RL_OK ? rl_jinja_need_op(p, ")") : status;
}

static rl_status parse_text(parser *p, node **out) {
    rl_str joined = {0};
    node *made = constant(p, name_text(p->at));
    bool several = p->at[1].kind == RL_JINJA_T_TEXT;
    for (; p->at->kind == RL_JINJA_T_TEXT; p->at++) {
        if (several) {
            rl_str_append_n(&joined, p->at->ptr, p->at->len);
        }
    }
    if (several) {
        const char *copy = rl_arena_strndup(p->jinja->arena, rl_str_text(&joined), joined.len);
        made->constant = rl_jinja_of_text((rl_jinja_text){copy, joined.len, NULL});
    }
    rl_str_release(&joined);
    *out = made;
    return RL_OK;
}

static rl_status parse_name(parser *p, node **out) {
    static const struct {
        const char *name;
        rl_jinja_value value;
    } constants[] = {
        {"true", {.type = RL_JINJA_BOOL, .as.truth = true}},
        {"True", {.type = RL_JINJA_BOOL, .as.truth = true}},
        {"false", {.type = RL_JINJA_BOOL, .as.truth = false}},
        {"False", {.type = RL_JINJA_BOOL, .as.truth = false}},
        {"none", {.type = RL_JINJA_NONE}},
        {"None", {.type = RL_JINJA_NONE}},
    };
    for (size_t i = 0; i < sizeof constants / sizeof constants[0]; i++) {
        if (rl_jinja_is_word(p, constants[i].name)) {
            *out = constant(p, constants[i].value);
            p->at++;
            return RL_OK;
        }
    }
    *out = rl_jinja_new_node(p, RL_JINJA_NAME);
    (*out)->symbol = rl_jinja_symbol(p, p->at->ptr, p->at->len);
    p->at++;
    return RL_OK;
}

static rl_status parse_primary(parser *p, node **out) {
    const rl_jinja_token *token = p->at;
    if (token->kind == RL_JINJA_T_NAME) {
        return parse_name(p, out);
    }
    if (token->kind == RL_JINJA_T_TEXT) {
        return parse_text(p, out);
    }
    if (token->kind == RL_JINJA_T_INT || token->kind == RL_JINJA_T_FLOAT) {
        *out = constant(p, token->kind == RL_JINJA_T_INT ? rl_jinja_int(token->integer)
                                                         : rl_jinja_real(token->real));
        p->at++;
        return RL_OK;
    }
    if (rl_jinja_is_op(p, "(")) {
        return parse_parens(p, out);
    }
    if (rl_jinja_is_op(p, "[") || rl_jinja_is_op(p, "{")) {
        bool is_dict = rl_jinja_is_op(p, "{");
        *out = rl_jinja_new_node(p, is_dict ? RL_JINJA_DICT_OF : RL_JINJA_LIST_OF);
        p->at++;
        return parse_items(p, is_dict ? "}" : "]", is_dict, &(*out)->list);
    }
    return rl_jinja_expected(p, "an expression");
}

// "[key]" or "[start:stop:step]" behind an object.
static rl_status parse_brackets(parser *p, node **io) {
    node *made = rl_jinja_new_node(p, RL_JINJA_ITEM);
    rl_status status = RL_OK;
    made->a = *io;
    *io = made;
    if (!rl_jinja_is_op(p, ":")) {
        status = rl_jinja_parse_tuple(p, true, &made->b);
        if (status != RL_OK || !rl_jinja_is_op(p, ":")) {
            return status == RL_OK ? rl_jinja_need_op(p, "]") : status;
        }
    }
    node **tail = &made->list;
    made->kind = RL_JINJA_SLICE;
    for (int i = 0; i < 3 && status == RL_OK; i++) {
        bool given =
            i == 0 ? made->b != NULL
                   : rl_jinja_skip_op(p, ":") && !rl_jinja_is_op(p, ":") && !rl_jinja_is_op(p, "]");
        *tail = i == 0 && given ? made->b : constant(p, rl_jinja_none());
        if (i > 0 && given) {
            status = rl_jinja_parse_expression(p, tail);
        }
        tail = status == RL_OK ? &(*tail)->next : tail;
    }
    return status == RL_OK ? rl_jinja_need_op(p, "]") : status;
}

static rl_status parse_dot(parser *p, node **io) {
    node *made = rl_jinja_new_node(p, RL_JINJA_ATTRIBUTE);
    made->a = *io;
    *io = made;
    if (p->at->kind == RL_JINJA_T_INT) {
        made->kind = RL_JINJA_ITEM;
        made->b = constant(p, rl_jinja_int(p->at->integer));
    } else if (p->at->kind == RL_JINJA_T_NAME) {
        made->constant = name_text(p->at);
    } else {
        return rl_jinja_expected(p, "a name behind '.'");
    }
    p->at++;
    return RL_OK;
}

static rl_status parse_call(parser *p, node **io) {
    node *made = rl_jinja_new_node(p, RL_JINJA_CALL);
    made->a = *io;
    *io = made;
    return rl_jinja_parse_args(p, &made->args);
}

static rl_status parse_postfix(parser *p, node **io) {
    rl_status status = RL_OK;
    for (int n = 0; status == RL_OK; n++) {
        if (n >= RL_JINJA_MAX_WRITTEN) {
            return rl_jinja_parse_fail(p, "a chain of over %d parts", RL_JINJA_MAX_WRITTEN);
        }
        if (rl_jinja_skip_op(p, ".")) {
            status = parse_dot(p, io);
        } else if (rl_jinja_skip_op(p, "[")) {
            status = parse_brackets(p, io);
        } else if (rl_jinja_is_op(p, "(")) {
            status = parse_call(p, io);
        } else {
            break;
        }
    }
    return status;
}

// The name of a filter or test, with its arguments in parentheses.
static rl_status parse_named(parser *p, rl_jinja_kind kind, node *input, node **out) {
    node *made = rl_jinja_new_node(p, kind);
    made->a = input;
    *out = made;
    if (p->at->kind != RL_JINJA_T_NAME) {
        return rl_jinja_expected(p, kind == RL_JINJA_TEST ? "a test" : "a filter");
    }
    made->constant = name_text(p->at);
    made->func = kind == RL_JINJA_TEST ? rl_jinja_find_test(made->constant.as.text)
                                       : rl_jinja_find_filter(made->constant.as.text);
    p->at++;
    return rl_jinja_is_op(p, "(") ? rl_jinja_parse_args(p, &made->args) : RL_OK;
}

rl_status rl_jinja_parse_filters(parser *p, node *input, node **out) {
    rl_status status = parse_named(p, RL_JINJA_FILTER, input, out);
    for (int n = 0; status == RL_OK && rl_jinja_skip_op(p, "|"); n++) {
        if (n >= RL_JINJA_MAX_WRITTEN) {
            return rl_jinja_parse_fail(p, "a chain of over %d parts", RL_JINJA_MAX_WRITTEN);
        }
        status = parse_named(p, RL_JINJA_FILTER, *out, out);
    }
    return status;
}

// "is [not] name [argument]", where a lone argument needs no parentheses.
static rl_status parse_test(parser *p, node **io) {
    bool negated = rl_jinja_skip_word(p, "not");
    rl_status status = parse_named(p, RL_JINJA_TEST, *io, io);
    node *test = *io;
    const rl_jinja_token_kind kind = p->at->kind;
    bool begins = kind == RL_JINJA_T_NAME || kind == RL_JINJA_T_TEXT || kind == RL_JINJA_T_INT ||
                  kind == RL_JINJA_T_FLOAT || rl_jinja_is_op(p, "[") || rl_jinja_is_op(p, "{");
    if (status == RL_OK && test->args == NULL && begins) {
        static const char *const words[] = {"else", "or", "and", "if", "in", "not"};
        for (size_t i = 0; i < sizeof words / sizeof words[0]; i++) {
            begins = begins && !rl_jinja_is_word(p, words[i]);
        }
        if (rl_jinja_is_word(p, "is")) {
            return rl_jinja_parse_fail(p, "tests cannot be chained with 'is'");
        }
        if (begins) {
            test->args = rl_jinja_new_node(p, RL_JINJA_ARGUMENT);
            status = parse_primary(p, &test->args->a);
            if (status == RL_OK) {
                status = parse_postfix(p, &test->args->a);
            }
        }
    }
    if (status == RL_OK && negated) {
        *io = rl_jinja_new_node(p, RL_JINJA_NOT);
        (*io)->a = test;
    }
    return status;
}

static rl_status parse_filter_chain(parser *p, node **io) {
    rl_status status = RL_OK;
    for (int n = 0; status == RL_OK; n++) {
        if (n >= RL_JINJA_MAX_WRITTEN) {
            return rl_jinja_parse_fail(p, "a chain of over %d parts", RL_JINJA_MAX_WRITTEN);
        }
        if (rl_jinja_skip_op(p, "|")) {
            status = parse_named(p, RL_JINJA_FILTER, *io, io);
        } else if (rl_jinja_skip_word(p, "is")) {
            status = parse_test(p, io);
        } else if (rl_jinja_is_op(p, "(")) { // jinja2 takes a call behind a filter, too
            status = parse_call(p, io);
        } else {
            break;
        }
    }
    return status;
}

static rl_status parse_unary(parser *p, bool filters, node **out) {
    rl_status status = rl_jinja_enter(p);
    if (status != RL_OK) {
        return status;
    }
    if (rl_jinja_is_op(p, "-") || rl_jinja_is_op(p, "+")) {
        *out = rl_jinja_new_node(p, rl_jinja_is_op(p, "-") ? RL_JINJA_NEGATIVE : RL_JINJA_POSITIVE);
        p->at++;
        status = parse_unary(p, false, &(*out)->a);
    } else {
        status = parse_primary(p, out);
    }
    if (status == RL_OK) {
        status = parse_postfix(p, out);
    }
    if (status == RL_OK && filters) {
        status = parse_filter_chain(p, out);
    }
    p->depth--;
    return status;
}

/* A level of operators that group from the left. */
typedef struct level {
    struct {
        const char *text;
        rl_jinja_op op;
    } op[5];
} level;

static const level levels[] = {
    {{{"+", RL_JINJA_ADD}, {"-", RL_JINJA_SUB}}},
    {{{"~", RL_JINJA_CONCAT}}},
    {{{"*", RL_JINJA_MUL}, {"/", RL_JINJA_DIV}, {"//", RL_JINJA_FLOOR_DIV}, {"%", RL_JINJA_MOD}}},
    {{{"**", RL_JINJA_POW}}},
};
enum { N_LEVELS = sizeof levels / sizeof levels[0] };

static rl_status parse_level(parser *p, int at, node **out) {
    rl_status status = at == N_LEVELS ? parse_unary(p, true, out) : parse_level(p, at + 1, out);
    int n = 0;
    for (size_t i = 0; status == RL_OK && at < N_LEVELS && levels[at].op[i].text != NULL;) {
        if (!rl_jinja_is_op(p, levels[at].op[i].text)) {
            i++;
            continue;
        }
        if (++n > 10 * RL_JINJA_MAX_WRITTEN) {
            return rl_jinja_parse_fail(p, "a chain of over %d operators",
                                       10 * RL_JINJA_MAX_WRITTEN);
        }
        node *made = rl_jinja_new_node(p, RL_JINJA_BINARY);
        made->op = levels[at].op[i].op;
        made->a = *out;
        *out = made;
        p->at++;
        status = parse_level(p, at + 1, &made->b);
        i = 0;
    }
    return status;
}

static bool comparison(parser *p, rl_jinja_op *op) {
    static const struct {
        const char *text;
        rl_jinja_op op;
    } rows[] = {{"==", RL_JINJA_EQ}, {"!=", RL_JINJA_NE}, {"<", RL_JINJA_LT},
                {"<=", RL_JINJA_LE}, {">", RL_JINJA_GT},  {">=", RL_JINJA_GE}};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        if (rl_jinja_skip_op(p, rows[i].text)) {
            *op = rows[i].op;
            return true;
        }
    }
    if (rl_jinja_is_word(p, "not") && p->at[1].kind == RL_JINJA_T_NAME && p->at[1].len == 2 &&
        memcmp(p->at[1].ptr, "in", 2) == 0) {
        p->at += 2;
        *op = RL_JINJA_NOT_IN;
        return true;
    }
    *op = RL_JINJA_IN;
    return rl_jinja_skip_word(p, "in");
}

static rl_status parse_compare(parser *p, node **out) {
    rl_status status = parse_level(p, 0, out);
    rl_jinja_op op;
    node **tail = NULL;
    while (status == RL_OK && comparison(p, &op)) {
        node *operand = rl_jinja_new_node(p, RL_JINJA_OPERAND);
        operand->op = op;
        if (tail == NULL) {
            node *made = rl_jinja_new_node(p, RL_JINJA_COMPARE);
            made->a = *out;
            *out = made;
            tail = &made->list;
        }
        *tail = operand;
        tail = &operand->next;
        status = parse_level(p, 0, &operand->a);
    }
    return status;
}

static rl_status parse_not(parser *p, node **out) {
    if (!rl_jinja_is_word(p, "not")) {
        return parse_compare(p, out);
    }
    rl_status status = rl_jinja_enter(p);
    if (status == RL_OK) {
        *out = rl_jinja_new_node(p, RL_JINJA_NOT);
        p->at++;
        status = parse_not(p, &(*out)->a);
        p->depth--;
    }
    return status;
}

// "a word b word c", grouped from the left.
static rl_status parse_joined(parser *p, const char *word, rl_jinja_kind kind,
                              rl_status (*part)(parser *, node **), node **out) {
    rl_status status = part(p, out);
    for (int n = 0; status == RL_OK && rl_jinja_is_word(p, word); n++) {
        if (n >= 10 * RL_JINJA_MAX_WRITTEN) {
            return rl_jinja_parse_fail(p, "a chain of over %d operators",
                                       10 * RL_JINJA_MAX_WRITTEN);
        }
        node *made = rl_jinja_new_node(p, kind);
        made->a = *out;
        *out = made;
        p->at++;
        status = part(p, &made->b);
    }
    return status;
}

static rl_status parse_and(parser *p, node **out) {
    return parse_joined(p, "and", RL_JINJA_AND, parse_not, out);
}

rl_status rl_jinja_parse_or(parser *p, node **out) {
    return parse_joined(p, "or", RL_JINJA_OR, parse_and, out);
}

rl_status rl_jinja_parse_expression(parser *p, node **out) {
    rl_status status = rl_jinja_enter(p);
    if (status == RL_OK) {
        status = rl_jinja_parse_or(p, out);
        for (int n = 0; status == RL_OK && rl_jinja_is_word(p, "if"); n++) {
            node *made = rl_jinja_new_node(p, RL_JINJA_CHOICE);
            made->b = *out;
            *out = made;
            p->at++;
            status = n < RL_JINJA_MAX_WRITTEN
                         ? rl_jinja_parse_or(p, &made->a)
                         : rl_jinja_parse_fail(p, "a chain of over %d parts", n);
            if (status == RL_OK && rl_jinja_skip_word(p, "else")) {
                status = rl_jinja_parse_expression(p, &made->c);
            }
        }
        p->depth--;
    }
    return status;
}

static bool ends_tuple(const parser *p) {
    return p->at->kind == RL_JINJA_T_BLOCK_END || p->at->kind == RL_JINJA_T_OUTPUT_END ||
           rl_jinja_is_op(p, ")") || rl_jinja_is_op(p, "]") || rl_jinja_is_op(p, "=") ||
           rl_jinja_is_word(p, "in") || rl_jinja_is_word(p, "recursive");
}

rl_status rl_jinja_parse_tuple(parser *p, bool choices, node **out) {
    rl_status status = choices ? rl_jinja_parse_expression(p, out) : rl_jinja_parse_or(p, out);
    if (status != RL_OK || !rl_jinja_is_op(p, ",")) {
        return status;
    }
    node *made = rl_jinja_new_node(p, RL_JINJA_TUPLE), **tail;
    made->list = *out;
    tail = &made->list->next;
    *out = made;
    while (status == RL_OK && rl_jinja_skip_op(p, ",") && !ends_tuple(p)) {
        status = choices ? rl_jinja_parse_expression(p, tail) : rl_jinja_parse_or(p, tail);
        tail = status == RL_OK ? &(*tail)->next : tail;
    }
    return status;
}

static rl_status parse_one_target(parser *p, bool attributes, node **out) {
    if (rl_jinja_skip_op(p, "(")) {
        rl_status status = rl_jinja_enter(p);
        if (status == RL_OK) {
            status = rl_jinja_parse_target(p, attributes, out);
            p->depth--;
        }
        return status == RL_OK ? rl_jinja_need_op(p, ")") : status;
    }
    if (p->at->kind != RL_JINJA_T_NAME) {
        return rl_jinja_expected(p, "a name to assign to");
    }
    rl_status status = parse_name(p, out);
    if (status == RL_OK && (*out)->kind == RL_JINJA_CONSTANT) {
        p->at--;
        return rl_jinja_parse_fail(p, "cannot assign to '%.*s'", (int)p->at->len, p->at->ptr);
    }
    if (status == RL_OK && attributes && rl_jinja_skip_op(p, ".")) {
        status = parse_dot(p, out);
        if (status == RL_OK && (*out)->kind != RL_JINJA_ATTRIBUTE) {
            status = rl_jinja_parse_fail(p, "cannot assign to an item");
        }
    }
    return status;
}

rl_status rl_jinja_parse_target(parser *p, bool attributes, node **out) {
    rl_status status = parse_one_target(p, attributes, out);
    if (status != RL_OK || !rl_jinja_is_op(p, ",")) {
        return status;
    }
    node *made = rl_jinja_new_node(p, RL_JINJA_TUPLE), **tail;
    made->list = *out;
    tail = &made->list->next;
    *out = made;
    while (status == RL_OK && rl_jinja_skip_op(p, ",") && !ends_tuple(p)) {
        status = parse_one_target(p, attributes, tail);
        tail = status == RL_OK ? &(*tail)->next : tail;
    }
    return status;
}
