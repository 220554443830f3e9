/* The tokenizer of a GGUF file as the files of a Hugging Face folder; private to policy/. */
#ifndef RL_POLICY_GGUF_TOKENIZER_H
#define RL_POLICY_GGUF_TOKENIZER_H

#include <stdbool.h>
#include <stdint.h>

#include "rl/core/status.h"
#include "rl/core/str.h"
#include "rl/tensor/gguf.h"

/* Whether the file says that it comes without a tokenizer. */
bool rl_gguf_has_no_words(const rl_gguf *file);
/* Append the text of tokenizer.json and of tokenizer_config.json. */
rl_status rl_gguf_tokenizer_json(const rl_gguf *file, rl_str *out, rl_err *err) RL_MUST_USE;
rl_status rl_gguf_tokenizer_config_json(const rl_gguf *file, int32_t max_positions, rl_str *out,
                                        rl_err *err) RL_MUST_USE;

#endif
