/*
 * Conversations as ids, by the tokenizer's chat template: rendered as transformers renders it, then
 * encoded such that special tokens the template writes become those tokens, while what the messages
 * hold is plain text: a problem cannot write special tokens, whatever the template does with it.
 *
 * A conversation is never rendered again once it has ids: a later turn adds only its own. They are
 * what the template writes behind the assistant's content in a made-up conversation of three
 * messages, so templates that rewrite earlier turns (those that drop what was thought) leave the
 * conversation as it was sampled.
 *
 * A tokenizer without a template (a base model) gets the plain form: the contents alone, each
 * followed by a newline, after bos if the tokenizer adds one; a later user message follows on a new
 * line. Its turns end with the tokenizer's eos, if there is one.
 *
 * All functions but the first two may be called by several threads, each with its own arena.
 */
#ifndef RL_POLICY_CHAT_H
#define RL_POLICY_CHAT_H

#include <time.h>

#include "rl/core/json.h"
#include "rl/core/problem.h"
#include "rl/policy/tokenizer.h"

typedef struct rl_chat rl_chat;

/* Parses the template and tries it on made-up conversations; what it cannot show is refused by
 * line. The tokenizer is borrowed for the life of the chat. Templates that show the date show that
 * of this call, local time. */
rl_status rl_chat_new(const rl_tokenizer *tokenizer, rl_chat **out, rl_err *err) RL_MUST_USE;
/* The same with the date given. */
rl_status rl_chat_new_at(const rl_tokenizer *tokenizer, const struct tm *now, rl_chat **out,
                         rl_err *err) RL_MUST_USE;
void rl_chat_free(rl_chat *chat); // accepts NULL

/* A whole conversation and the opening of the assistant's turn. The template's default system
 * message is added where the conversation has none, as the template does. */
rl_status rl_chat_open(const rl_chat *chat, const rl_message *message, int32_t n_messages,
                       rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) RL_MUST_USE;

/* What the assistant says in a turn that is open, as it would have been sampled: the content alone,
 * without the stop token. The bytes may be anything. */
rl_status rl_chat_reply(const rl_chat *chat, const char *content, size_t content_len,
                        rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) RL_MUST_USE;

/*
 * The ids that follow a finished assistant turn: what is missing of its end (ended: its stop token
 * was sampled), one more user message, whose bytes may be anything, and the opening of the next
 * assistant turn.
 */
rl_status rl_chat_continue(const rl_chat *chat, bool ended, const char *user, size_t user_len,
                           rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) RL_MUST_USE;
/* The id that ends an assistant turn: the template's, else eos; -1 when there is neither. */
int32_t rl_chat_stop(const rl_chat *chat);

/*
 * Whether rendering a longer conversation begins with the text of a shorter one. Where it does not,
 * ids of opening, reply and continuation together differ from those of the whole conversation
 * rendered at once; the former are what is sampled and trained.
 */
bool rl_chat_keeps_prefix(const rl_chat *chat);

/*
 * One conversation as transformers' apply_chat_template takes it: an object with "messages", whose
 * other keys (tools, enable_thinking, ...) are variables of the template; add_generation_prompt is
 * true unless it says otherwise. Appends the text; its ids lie in the arena.
 */
rl_status rl_chat_render(const rl_chat *chat, const rl_json *record, rl_arena *arena, rl_str *text,
                         int32_t **out, int32_t *n_out, rl_err *err) RL_MUST_USE;

#endif
