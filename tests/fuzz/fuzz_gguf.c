/* Any bytes: refused with a sentence, or metadata and tensors that can all be read, a model
 * configuration or a refusal, and a tokenizer or a refusal. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "policy/gguf_tokenizer.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/json.h"
#include "rl/policy/config.h"
#include "rl/policy/tokenizer.h"
#include "rl/tensor/gguf.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void read_tensors(const rl_gguf *file, const uint8_t *data, size_t size) {
    for (size_t i = 0; i < rl_gguf_count(file); i++) {
        const rl_weight *w = rl_gguf_at(file, i);
        RL_ASSERT(rl_gguf_find(file, w->name) == w);
        RL_ASSERT((const uint8_t *)w->bytes >= data && w->n_bytes <= size);
        RL_ASSERT((const uint8_t *)w->bytes + w->n_bytes <= data + size);
        if (rl_stored_is_weight(w->stored)) {
            float *values = rl_alloc((size_t)rl_weight_count(w), sizeof *values);
            rl_weight_to_f32(w, values);
            rl_free(values);
        }
    }
}

static void read_lists(const rl_gguf *file) {
    static const char *const keys[] = {"tokenizer.ggml.tokens", "tokenizer.ggml.scores",
                                       "tokenizer.ggml.token_type", "k"};
    for (size_t k = 0; k < sizeof keys / sizeof keys[0]; k++) {
        size_t n = 0, len;
        const char *text;
        double real;
        if (!rl_gguf_list(file, keys[k], &n)) {
            continue;
        }
        for (size_t i = 0; i <= n; i++) {
            bool there = rl_gguf_list_text(file, keys[k], i, &text, &len);
            RL_ASSERT(!there || (i < n && (len == 0 || memchr(text, text[len - 1], len) != NULL)));
            RL_ASSERT(!rl_gguf_list_real(file, keys[k], i, &real) || i < n);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rl_gguf *file;
    rl_model_config config;
    rl_tokenizer *tokenizer;
    rl_json_doc *doc;
    rl_str text = {0};
    rl_err err = {""};
    if (rl_gguf_parse(data, size, "fuzz", &file, &err) != RL_OK) {
        RL_ASSERT(file == NULL && err.text[0] != '\0');
        return 0;
    }
    read_tensors(file, data, size);
    read_lists(file);
    if (rl_model_config_from_gguf(file, &config, &err) == RL_OK) {
        RL_ASSERT(rl_model_config_params(&config) > 0);
    }
    if (rl_tokenizer_from_gguf(file, &tokenizer, &err) == RL_OK) {
        rl_tokenizer_free(tokenizer);
    }
    if (rl_gguf_tokenizer_json(file, &text, &err) == RL_OK) {
        RL_ASSERT(rl_json_parse(text.ptr, text.len, "made", &doc, &err) == RL_OK);
        rl_json_free(doc);
    }
    rl_str_clear(&text);
    if (rl_gguf_tokenizer_config_json(file, 1, &text, &err) == RL_OK) {
        RL_ASSERT(rl_json_parse(text.ptr, text.len, "made", &doc, &err) == RL_OK);
        rl_json_free(doc);
    }
    rl_str_release(&text);
    rl_gguf_close(file);
    return 0;
}
