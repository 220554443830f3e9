/* Reading the pipeline sections of tokenizer.json. A kind or option that is not covered is refused
 * by its name. */
#ifndef RL_POLICY_TOKENIZER_STEPS_H
#define RL_POLICY_TOKENIZER_STEPS_H

#include "policy/tokenizer_parts.h"
#include "rl/core/json.h"

/* Each takes the section's value, which may be NULL or null. */
rl_status rl_read_normalizer(rl_tokenizer *tokenizer, const rl_json *value,
                             rl_err *err) RL_MUST_USE;
rl_status rl_read_pretokenizer(rl_tokenizer *tokenizer, const rl_json *value,
                               rl_err *err) RL_MUST_USE;
rl_status rl_read_decoder(rl_tokenizer *tokenizer, const rl_json *value, rl_err *err) RL_MUST_USE;
/* Needs the vocabulary. */
rl_status rl_read_post_processor(rl_tokenizer *tokenizer, const rl_json *value,
                                 rl_err *err) RL_MUST_USE;

#endif
