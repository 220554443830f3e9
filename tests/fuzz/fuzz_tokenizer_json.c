/* A hostile tokenizer.json: refused with a sentence, or a tokenizer that encodes and decodes. */
#include <stdint.h>
#include <string.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/assert.h"
#include "rl/core/json.h"
#include "rl/core/unicode.h"
#include "rl/policy/chat.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const char text[] = "ab  1a\xc3\xa9 x<s>\n\n--ab \xe4\xb8\xad";
    rl_json_doc *doc = NULL;
    rl_tokenizer *tokenizer = NULL;
    rl_err err = {""};
    rl_status status = rl_tokenizer_from_text((const char *)data, size, "input", &tokenizer, &err);
    if (status != RL_OK) {
        RL_ASSERT(err.text[0] != '\0' && tokenizer == NULL);
        return 0;
    }
    status = rl_json_parse((const char *)data, size, "input", &doc, &err);
    const rl_json *first = status == RL_OK ? rl_json_first(rl_json_root(doc)) : NULL;
    rl_arena *arena = rl_arena_new(0);
    int32_t *ids, n;
    unsigned flags = RL_ENCODE_SPECIALS | RL_ENCODE_FRAME;
    if (rl_tokenizer_encode(tokenizer, text, strlen(text), flags, arena, &ids, &n, &err) == RL_OK) {
        rl_str out = {0};
        rl_tokenizer_decode(tokenizer, ids, n, false, &out);
        RL_ASSERT(rl_utf8_valid(rl_str_text(&out), out.len));
        rl_str_release(&out);
    }
    // The file's own first text stands in for a chat template.
    tokenizer->chat_template = rl_json_text(first, NULL);
    rl_chat *chat = NULL;
    if (rl_chat_new(tokenizer, &chat, &err) == RL_OK) {
        rl_message message = {"user", text};
        (void)!rl_chat_open(chat, &message, 1, arena, &ids, &n, &err);
    }
    rl_chat_free(chat);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
    rl_json_free(doc);
    return 0;
}
