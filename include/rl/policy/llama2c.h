/*
 * llama2.c's models: the .bin files of its versions 0 (without a magic number) and 1, float32, and
 * its tokenizer files. They keep rotary pairs as GGUF does and the pieces of a SentencePiece
 * vocabulary with their scores, so a GGUF file says all of it.
 */
#ifndef RL_POLICY_LLAMA2C_H
#define RL_POLICY_LLAMA2C_H

#include "rl/core/status.h"

/* tokenizer NULL: the GGUF file comes without one. */
rl_status rl_llama2c_to_gguf(const char *model, const char *tokenizer, const char *path,
                             rl_err *err) RL_MUST_USE;

#endif
