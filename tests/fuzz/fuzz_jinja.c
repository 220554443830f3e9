/*
 * Any template: refused by line, or rendered within its limits. What the context holds never comes
 * out without its mark, and valid UTF-8 stays valid.
 */
#include <string.h>

#include "policy/jinja.h"
#include "rl/core/assert.h"
#include "rl/core/json.h"
#include "rl/core/unicode.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define STRANGE "\xee\x84\xa3" // U+E123: only in what the context holds

static const char context[] =
    "{\"messages\": [{\"role\": \"user\", \"content\": \" Hi " STRANGE " <think>x</think>\\n\"},"
    "{\"role\": \"assistant\", \"content\": \"" STRANGE "A b\", \"tool_calls\": [{\"id\": "
    "\"call00001\", \"function\": {\"name\": \"f" STRANGE "\", \"arguments\": {\"a\": 2}}}]}],"
    "\"tools\": [{\"function\": {\"name\": \"f\", \"parameters\": {\"" STRANGE
    "\": [1, 2.5, null, true]}}}], \"add_generation_prompt\": true, \"t\": \"" STRANGE
    "\", \"l\": [3, 1, 2], \"d\": {\"b\": 1, \"a\": \"x" STRANGE "\"}, \"n\": null, \"i\": 7}";

static const rl_jinja_limits limits = {
    .steps = 100000, .bytes = 1 << 24, .output = 1 << 18, .depth = 150};

// A template may only be asked about STRANGE if it does not write it itself.
static bool writes_strange(const uint8_t *data, size_t size) {
    return memmem(data, size, STRANGE, 3) != NULL || memmem(data, size, "123", 3) != NULL;
}

static void check(const rl_jinja_text *text, const uint8_t *data, size_t size) {
    RL_ASSERT(text->len <= limits.output);
    RL_ASSERT(!rl_utf8_valid((const char *)data, size) || rl_utf8_valid(text->ptr, text->len));
    if (writes_strange(data, size)) {
        return;
    }
    for (size_t i = 0; i + 3 <= text->len; i++) {
        if (memcmp(text->ptr + i, STRANGE, 3) == 0) {
            RL_ASSERT(text->mark != NULL && text->mark[i] == 1 && text->mark[i + 2] == 1);
        }
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const struct tm noon = {.tm_year = 125, .tm_mday = 1, .tm_hour = 12, .tm_wday = 3};
    static rl_json_doc *doc;
    static rl_arena *arena;
    rl_jinja *jinja = NULL;
    rl_jinja_var var[16];
    rl_jinja_text text;
    rl_err err = {""};
    size_t n = 0;
    if (doc == NULL) {
        RL_ASSERT(rl_json_parse(context, strlen(context), "context", &doc, &err) == RL_OK);
        arena = rl_arena_new(0);
    }
    rl_status status = rl_jinja_parse("input", (const char *)data, size, &jinja, &err);
    if (status == RL_OK) {
        for (const rl_json *item = rl_json_first(rl_json_root(doc)); item != NULL;
             item = rl_json_next(item)) {
            var[n++] = (rl_jinja_var){rl_json_key(item), rl_jinja_from_json(arena, item, 1)};
        }
        status = rl_jinja_render(jinja, var, n, &noon, &limits, arena, &text, &err);
    }
    if (status == RL_OK) {
        check(&text, data, size);
    } else {
        RL_ASSERT(strncmp(err.text, "input, line ", 12) == 0);
    }
    rl_jinja_free(jinja);
    rl_arena_reset(arena);
    return 0;
}
