#include "policy/gguf_pre.h"

#include <string.h>

#include "policy/pattern.h"

#define CONTRACTIONS "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"
#define CL100K(digits)                                                                             \
    CONTRACTIONS "|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|" digits                                          \
                 "| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

static const rl_gguf_pre pres[] = {
    {.names = "|gpt-2|phi-2|jina-es|jina-de|mpt|olmo|jais|exaone4|", .pattern = {RL_PATTERN_GPT2}},
    {.names = "|smollm|starcoder|refact|command-r|codeshell|exaone|minerva-7b|",
     .pattern = {RL_GGUF_PRE_DIGIT, RL_PATTERN_GPT2}},
    {.names = "|qwen2|stablelm2|deepseek-r1-qwen|hunyuan|", .pattern = {CL100K(RL_GGUF_PRE_DIGIT)}},
    {.names = "|llama3|llama-v3|llama-bpe|falcon3|",
     .pattern = {CL100K("\\p{N}{1,3}")},
     .ignore_merges = true,
     .add_bos = true},
    {.names = "|dbrx|smaug-bpe|chatglm-bpe|glm4|", .pattern = {CL100K("\\p{N}{1,3}")}},
    {.names = "|default|",
     .pattern = {"[\\p{P}\\$\\+<=>\\^~\\|]+", RL_PATTERN_GPT2, "\\p{N}+", "[0-9][0-9][0-9]"}},
};

// True when the name stands between two bars.
static bool has_name(const char *names, const char *name, size_t name_len) {
    for (const char *at = names; at[1] != '\0'; at = strchr(at + 1, '|')) {
        if (strncmp(at + 1, name, name_len) == 0 && at[1 + name_len] == '|') {
            return true;
        }
    }
    return false;
}

const rl_gguf_pre *rl_gguf_pre_find(const char *name, size_t name_len) {
    if (name_len == 0 || memchr(name, '|', name_len) != NULL || memchr(name, 0, name_len) != NULL) {
        return NULL;
    }
    for (size_t i = 0; i < sizeof pres / sizeof pres[0]; i++) {
        if (has_name(pres[i].names, name, name_len)) {
            return &pres[i];
        }
    }
    return NULL;
}

const rl_gguf_pre *rl_gguf_pre_at(size_t i) {
    return i < sizeof pres / sizeof pres[0] ? &pres[i] : NULL;
}
