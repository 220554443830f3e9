/* Corpus files: any bytes give conversations or one sentence. */
#include <math.h>
#include <string.h>

#include "rl/core/assert.h"
#include "rl/rollout/corpus.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(const rl_conversation *item, int32_t vocab, int32_t most) {
    int32_t t = 0;
    bool trains = false;
    RL_ASSERT(item->n_tokens >= 2 && item->n_tokens <= most && item->n_stretches > 0);
    for (int32_t i = 0; i < item->n_tokens; i++) {
        RL_ASSERT(item->token[i] >= 0 && item->token[i] < vocab);
    }
    RL_ASSERT(!(item->stretch[0].weight > 0)); // nothing predicts the first token
    for (int32_t k = 0; k < item->n_stretches; k++) {
        const rl_stretch *s = &item->stretch[k];
        RL_ASSERT(s->end > t && s->weight >= 0 && isfinite(s->weight));
        trains = trains || s->weight > 0;
        t = s->end;
    }
    RL_ASSERT(t == item->n_tokens && trains);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    enum { MOST = 200 };
    static rl_tokenizer *tokenizer;
    static rl_chat *chat;
    rl_corpus *corpus;
    rl_err err = {0};
    if (tokenizer == NULL) {
        RL_ASSERT(rl_tokenizer_load(RL_GOLDEN_DIR "/models/tiny-chat", &tokenizer, &err) == RL_OK);
        RL_ASSERT(rl_chat_new(tokenizer, &chat, &err) == RL_OK);
    }
    rl_corpus_opts opts = {.tokenizer = tokenizer,
                           .chat = chat,
                           .system = "",
                           .prompt_weight = size % 2 == 0 ? 0 : 0.5,
                           .max_tokens = MOST};
    rl_status status = rl_corpus_parse("fuzz", (const char *)data, size, &opts, &corpus, &err);
    RL_ASSERT((status == RL_OK) == (corpus != NULL));
    if (status != RL_OK) {
        RL_ASSERT(strstr(err.text, "'fuzz'") != NULL);
        return 0;
    }
    for (int32_t i = 0; i < rl_corpus_size(corpus); i++) {
        check(rl_corpus_at(corpus, i), rl_tokenizer_vocab(tokenizer), MOST);
    }
    rl_corpus_free(corpus);
    return 0;
}
