/* Any bytes: refused with a sentence, or a tree whose text reads back to the same text. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/json.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rl_json_doc *doc = NULL, *again = NULL;
    rl_err err = {""};
    rl_str text = {0}, text_again = {0};
    if (rl_json_parse((const char *)data, size, "fuzz", &doc, &err) != RL_OK) {
        RL_ASSERT(doc == NULL && strncmp(err.text, "'fuzz', line ", 13) == 0);
        return 0;
    }
    rl_json_print(rl_json_root(doc), &text);
    RL_ASSERT(rl_json_parse(text.ptr, text.len, "fuzz", &again, &err) == RL_OK);
    rl_json_print(rl_json_root(again), &text_again);
    RL_ASSERT(text.len == text_again.len && memcmp(text.ptr, text_again.ptr, text.len) == 0);
    rl_str_release(&text);
    rl_str_release(&text_again);
    rl_json_free(doc);
    rl_json_free(again);
    return 0;
}
