/*
 * Conversations to learn from word by word, from JSON-lines files: `messages`, or `prompt` and
 * `completion`, as TRL and OpenAI write them (docs/data.md). What stays in memory is the ids of
 * each conversation and the weight of every token in the loss.
 *
 * Ids are those that a rollout would produce: the context of the first assistant message as
 * rl_chat_open gives it, what the assistant says as rl_chat_reply does, its stop token, then
 * rl_chat_continue for the next message of the user.
 *
 * A token that the assistant says weighs what its message's `weight` says (1 where there is none),
 * or the span of `spans` that covers its first byte; the stop token weighs what the message does.
 * Every other token weighs prompt_weight, and the very first, which nothing predicts, 0. A
 * conversation in which nothing weighs more than 0 is refused, as is any record without what it
 * needs, with file and line.
 */
#ifndef RL_ROLLOUT_CORPUS_H
#define RL_ROLLOUT_CORPUS_H

#include "rl/core/pool.h"
#include "rl/policy/chat.h"
#include "rl/rollout/dataset.h"

typedef struct rl_corpus rl_corpus;

/* How conversations are read; all borrowed for the call of rl_corpus_load. */
typedef struct rl_corpus_opts {
    const rl_tokenizer *tokenizer;
    const rl_chat *chat;
    const char *system;   // put before conversations that have no system message; "" for none
    double prompt_weight; // of tokens that the assistant does not say
    int32_t max_tokens;   // longer conversations are left out or refused, never cut
    rl_over_long over_long;
    rl_pool *pool; // reads on its threads, with the same result; NULL for the caller's alone
} rl_corpus_opts;

/* Neighbouring tokens of one weight. */
typedef struct rl_stretch {
    int32_t end; // behind its last token; it begins where the one before ends
    float weight;
    bool said; // by the assistant, stop tokens included
} rl_stretch;

typedef struct rl_conversation {
    const int32_t *token; // [n_tokens]
    int32_t n_tokens;
    const rl_stretch *stretch; // [n_stretches] over all tokens
    int32_t n_stretches;
    int64_t line; // of the file
} rl_conversation;

rl_status rl_corpus_load(const char *path, const rl_corpus_opts *opts, rl_corpus **out,
                         rl_err *err) RL_MUST_USE;
/* The same from memory; name stands in errors. */
rl_status rl_corpus_parse(const char *name, const char *text, size_t text_len,
                          const rl_corpus_opts *opts, rl_corpus **out, rl_err *err) RL_MUST_USE;
void rl_corpus_free(rl_corpus *corpus);             // accepts NULL
int32_t rl_corpus_size(const rl_corpus *corpus);    // without those left out; at least 1
int32_t rl_corpus_skipped(const rl_corpus *corpus); // left out as longer than max_tokens
int64_t rl_corpus_tokens(const rl_corpus *corpus);
const rl_conversation *rl_corpus_at(const rl_corpus *corpus, int32_t i);

/*
 * Conversation number `n` of an endless reading in epochs, each epoch in an order of its own drawn
 * from seed (file order when shuffle is false). Pure: the cursor is n.
 */
int32_t rl_corpus_pick(rl_corpus *corpus, uint64_t seed, bool shuffle, int64_t n);

#endif
