/* A tokenizer as GGUF metadata (tokenizer.ggml.*); private to policy/, for gguf_save.c. */
#ifndef RL_POLICY_GGUF_WORDS_H
#define RL_POLICY_GGUF_WORDS_H

#include "rl/policy/config.h"
#include "rl/policy/tokenizer.h"
#include "rl/tensor/gguf_write.h"

/*
 * Puts the vocabulary, padded to the model's, and what GGUF can say of the rest. Since GGUF names
 * pre-tokenizers rather than describing them, the name is found as llama.cpp's converter finds it:
 * by a text full of corner cases, which the tokenizer and the one that readers of the metadata get
 * must encode to the same ids. Where no name does, the tokenizer is refused.
 */
rl_status rl_gguf_put_words(const rl_tokenizer *tokenizer, const rl_model_config *config,
                            rl_gguf_meta_out *meta, rl_err *err) RL_MUST_USE;

#endif
