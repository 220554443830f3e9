/*
 * Conversations as ids. ChatML for now: "<|im_start|>role\ncontent<|im_end|>\n" a message. A
 * template of another kind is refused by name. Content is encoded as plain text, so a problem
 * cannot write special tokens.
 *
 * A tokenizer without a template (a base model) gets the plain form: the contents alone, each
 * followed by a newline, after bos if the tokenizer adds one; a later user message follows on a new
 * line. Its turns end with the tokenizer's eos, if there is one.
 */
#ifndef RL_POLICY_CHAT_H
#define RL_POLICY_CHAT_H

#include "rl/core/problem.h"
#include "rl/policy/tokenizer.h"

typedef struct rl_chat rl_chat;

/* Picks the form by the tokenizer's chat template; borrowed for the life of the chat. */
rl_status rl_chat_new(const rl_tokenizer *tokenizer, rl_chat **out, rl_err *err) RL_MUST_USE;
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
/* The id that ends an assistant turn; -1 in the plain form of a tokenizer without eos. */
int32_t rl_chat_stop(const rl_chat *chat);

#endif
