/*
 * One record of a corpus turned into ids and weights. Private to rollout/.
 *
 * Shapes: {"messages": [...]}, whose context ends at its first assistant message, or {"prompt":
 * text or messages, "completion": text or messages}, whose context is the prompt. A message is
 * {"role", "content"}; one of the assistant may have "weight" and "spans", and so may a record
 * whose completion is text.
 */
#ifndef RL_ROLLOUT_CONVERSATION_H
#define RL_ROLLOUT_CONVERSATION_H

#include "rl/core/json.h"
#include "rl/rollout/corpus.h"
#include "rollout/placing.h"

/* Memory and knowledge that reading one record after another shares. */
typedef struct rl_reading {
    const rl_corpus_opts *opts;
    rl_arena *arena; // reset for every record
    rl_placing placing;
    // What the last record held; all [n_tokens].
    int32_t *token;
    float *weight;
    bool *said;
    size_t n_tokens, cap;
} rl_reading;

rl_reading rl_reading_begin(const rl_corpus_opts *opts);
void rl_reading_release(rl_reading *r);

/* Fills token, weight and said. err gets the reason without file and line. */
rl_status rl_reading_record(rl_reading *r, const rl_json *record, rl_err *err) RL_MUST_USE;

#endif
