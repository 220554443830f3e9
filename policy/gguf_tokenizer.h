/* The tokenizer of a GGUF file as the files of a Hugging Face folder; private to policy/. */
#ifndef RL_POLICY_GGUF_TOKENIZER_H
#define RL_POLICY_GGUF_TOKENIZER_H

#include <stdint.h>

#include "rl/core/status.h"
#include "rl/core/str.h"
#include "rl/tensor/gguf.h"

/* Append the text of tokenizer.json and of tokenizer_config.json. */
rl_status rl_gguf_tokenizer_json(const rl_gguf *file, rl_str *out, rl_err *err) RL_MUST_USE;
rl_status rl_gguf_tokenizer_config_json(const rl_gguf *file, int32_t max_positions, rl_str *out,
                                        rl_err *err) RL_MUST_USE;

#endif
