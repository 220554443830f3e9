/* A chat template at work for chat.c: conversations to marked text, marked text to ids. */
#ifndef RL_POLICY_CHAT_TEMPLATE_H
#define RL_POLICY_CHAT_TEMPLATE_H

#include "policy/jinja.h"
#include "policy/tokenizer_parts.h"
#include "rl/core/problem.h"

/* Marks of what is not the template's own: what messages hold, and two of them told apart. */
enum { RL_CHAT_DATA = 1, RL_CHAT_REPLY, RL_CHAT_USER };

typedef struct rl_chat_template {
    const rl_tokenizer *tokenizer;
    rl_jinja *jinja;
    struct tm now;
} rl_chat_template;

rl_status rl_chat_template_new(const rl_tokenizer *tokenizer, const struct tm *now,
                               rl_chat_template *out, rl_err *err) RL_MUST_USE;
void rl_chat_template_release(rl_chat_template *template);

/* One message for rendering; its content gets the mark. */
typedef struct rl_chat_part {
    const char *role, *content;
    size_t content_len;
    uint8_t mark;
} rl_chat_part;

/* The text, and all made on the way, lies in the arena. */
rl_status rl_chat_template_render(const rl_chat_template *template, const rl_chat_part *part,
                                  int32_t n_parts, bool opens, rl_arena *arena, rl_jinja_text *out,
                                  rl_err *err) RL_MUST_USE;
/* The same of an object with "messages" and variables. */
rl_status rl_chat_template_render_json(const rl_chat_template *template, const rl_json *record,
                                       rl_arena *arena, rl_jinja_text *out,
                                       rl_err *err) RL_MUST_USE;

/* The first special token that the template itself wrote at or after *at: where it begins and ends
 * with the white space it takes along, from `at` on whoever wrote that. False when there is none.
 */
bool rl_chat_template_special(const rl_chat_template *template, rl_jinja_text text, size_t at,
                              size_t *begin, size_t *end, int32_t *id);
/* Appends the ids of text from byte `from` on. */
rl_status rl_chat_template_encode(const rl_chat_template *template, rl_jinja_text text, size_t from,
                                  rl_ids *out, rl_err *err) RL_MUST_USE;

#endif
