/*
 * The names of "tokenizer.ggml.pre" and what they stand for: how text is cut before byte-level BPE,
 * as llama.cpp has it. Private to policy/: read by tokenizer_gguf.c, written out by
 * gguf_tokenizer.c.
 */
#ifndef RL_POLICY_GGUF_PRE_H
#define RL_POLICY_GGUF_PRE_H

#include <stdbool.h>
#include <stddef.h>

#define RL_GGUF_PRE_DIGIT "\\p{N}"

enum { RL_GGUF_PRE_MAX = 4 };
typedef struct rl_gguf_pre {
    const char *names; // each between two bars
    // Every pattern cuts the pieces that the one before left; NULL ends.
    const char *pattern[RL_GGUF_PRE_MAX];
    bool ignore_merges, add_bos;
} rl_gguf_pre;

/* NULL when the name is not covered. name is not terminated. */
const rl_gguf_pre *rl_gguf_pre_find(const char *name, size_t name_len);

/* Row i of all that are covered; NULL behind the last. */
const rl_gguf_pre *rl_gguf_pre_at(size_t i);

#endif
