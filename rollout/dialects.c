#include "rollout/dialects.h"

#include <string.h>

#include "rl/core/str.h"

static const char ask_for_code[] = "Write a complete solution in a single python code block.";

static bool present(const rl_json *record, const char *key) {
    const rl_json *value = rl_json_get(record, key);
    return value != NULL && rl_json_type_of(value) != RL_JSON_NULL;
}

static bool any_present(const rl_json *record, const char *const *keys) {
    for (; *keys != NULL; keys++) {
        if (present(record, *keys)) {
            return true;
        }
    }
    return false;
}

static bool is_space(char c) {
    return c == ' ' || (c >= '\t' && c <= '\r');
}

// Without white space at both ends.
static const char *trimmed(const char *text, rl_arena *arena) {
    size_t len = strlen(text);
    while (len > 0 && is_space(text[len - 1])) {
        len--;
    }
    while (len > 0 && is_space(text[0])) {
        text++, len--;
    }
    return rl_arena_strndup(arena, text, len);
}

static const char *in_arena(rl_str *text, rl_arena *arena) {
    const char *out = rl_arena_strndup(arena, rl_str_text(text), text->len);
    rl_str_release(text);
    return out;
}

const char *rl_dialect_text(const rl_json *value, rl_arena *arena) {
    rl_str text = {0};
    if (value == NULL || rl_json_type_of(value) == RL_JSON_NULL) {
        return NULL;
    }
    if (rl_json_type_of(value) == RL_JSON_TEXT) {
        return rl_arena_strdup(arena, rl_json_text(value, ""));
    }
    rl_json_print(value, &text);
    return in_arena(&text, arena);
}

/* out is "" on failure. */
static rl_status need_text(const rl_json *record, const char *key, const char **out, rl_err *err) {
    const rl_json *value = rl_json_get(record, key);
    *out = rl_json_text(value, "");
    if (!present(record, key)) {
        return rl_fail(err, RL_IO, "has no '%s'", key);
    }
    if (rl_json_type_of(value) != RL_JSON_TEXT) {
        return rl_fail(err, RL_IO, "'%s' is %s, not text", key,
                       rl_json_type_name(rl_json_type_of(value)));
    }
    return RL_OK;
}

/* out points into the arena; an absent or null list is empty. */
static rl_status read_texts(const rl_json *record, const char *key, rl_arena *arena,
                            const char *const **out, int32_t *n_out, rl_err *err) {
    const rl_json *list = rl_json_get(record, key);
    const char **text;
    int32_t n = 0;
    *out = NULL;
    *n_out = 0;
    if (!present(record, key)) {
        return RL_OK;
    }
    if (rl_json_type_of(list) != RL_JSON_LIST) {
        return rl_fail(err, RL_IO, "'%s' is %s, not a list of texts", key,
                       rl_json_type_name(rl_json_type_of(list)));
    }
    text = rl_arena_alloc(arena, rl_json_count(list), sizeof *text);
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        if (rl_json_type_of(item) != RL_JSON_TEXT) {
            return rl_fail(err, RL_IO, "'%s' holds %s, not only texts", key,
                           rl_json_type_name(rl_json_type_of(item)));
        }
        text[n++] = rl_arena_strdup(arena, rl_json_text(item, ""));
    }
    *out = text;
    *n_out = n;
    return RL_OK;
}

static rl_status read_message(const rl_json *item, int32_t i, rl_arena *arena, rl_message *out,
                              rl_err *err) {
    const char *role, *content;
    if (rl_json_type_of(item) != RL_JSON_OBJECT || need_text(item, "role", &role, NULL) != RL_OK ||
        need_text(item, "content", &content, NULL) != RL_OK) {
        return rl_fail(
            err, RL_IO,
            "message %d of 'prompt' is not an object with the texts 'role' and 'content'",
            (int)i + 1);
    }
    if (!rl_text_equal(role, "user") && !rl_text_equal(role, "assistant") &&
        !(rl_text_equal(role, "system") && i == 0)) {
        return rl_fail(err, RL_IO,
                       "message %d of 'prompt' has the role '%.40s'; roles are user and assistant, "
                       "and system for the first",
                       (int)i + 1, role);
    }
    *out = (rl_message){rl_arena_strdup(arena, role), rl_arena_strdup(arena, content)};
    return RL_OK;
}

/* A record's own system message wins over the recipe's. */
static rl_status read_conversation(const rl_json *list, const char *system, rl_arena *arena,
                                   rl_problem *out, rl_err *err) {
    rl_message *message = rl_arena_alloc(arena, rl_json_count(list) + 1, sizeof *message);
    int32_t n = 0, i = 0;
    const rl_json *first = rl_json_first(list);
    bool own = rl_text_equal(rl_json_text(rl_json_get(first, "role"), ""), "system");
    if (system[0] != '\0' && !own) {
        message[n++] = (rl_message){"system", rl_arena_strdup(arena, system)};
    }
    for (const rl_json *item = first; item != NULL; item = rl_json_next(item)) {
        rl_status status = read_message(item, i++, arena, &message[n++], err);
        if (status != RL_OK) {
            return status;
        }
    }
    if (i == 0 || !rl_text_equal(message[n - 1].role, "user")) {
        return rl_fail(err, RL_IO, "'prompt' does not end with a message of the user");
    }
    out->messages = message;
    out->n_messages = n;
    return RL_OK;
}

static void ask(const char *content, const char *system, rl_arena *arena, rl_problem *out) {
    rl_message *message = rl_arena_alloc(arena, 2, sizeof *message);
    int32_t n = 0;
    if (system[0] != '\0') {
        message[n++] = (rl_message){"system", rl_arena_strdup(arena, system)};
    }
    message[n++] = (rl_message){"user", content};
    out->messages = message;
    out->n_messages = n;
}

static bool is_conversation(const rl_json *record) {
    const rl_json *prompt = rl_json_get(record, "prompt");
    return prompt != NULL && rl_json_type_of(prompt) == RL_JSON_LIST;
}

static rl_status need_prompt(const rl_json *record, const char *key, rl_arena *arena,
                             const char **out, rl_err *err) {
    const char *text;
    rl_status status = need_text(record, key, &text, err);
    if (status != RL_OK) {
        return status;
    }
    *out = trimmed(text, arena);
    return (*out)[0] != '\0' ? RL_OK : rl_fail(err, RL_IO, "'%s' is empty", key);
}

static rl_status read_mbpp(const rl_json *record, const char *system, rl_arena *arena,
                           rl_problem *out, rl_err *err) {
    const char *text = NULL, *setup = NULL, *const * imports;
    int32_t n_imports;
    rl_str code = {0}, prompt = {0};
    rl_status status = read_texts(record, "test_list", arena, &out->tests, &out->n_tests, err);
    if (status == RL_OK && out->n_tests == 0) {
        status = rl_fail(err, RL_IO, "has no tests in 'test_list'");
    }
    for (int32_t i = 0; status == RL_OK && i < out->n_tests; i++) {
        if (trimmed(out->tests[i], arena)[0] == '\0') { // would pass whatever the answer
            status = rl_fail(err, RL_IO, "test %d of 'test_list' is empty", (int)i + 1);
        }
    }
    if (status == RL_OK) {
        status = read_texts(record, "test_imports", arena, &imports, &n_imports, err);
    }
    if (status == RL_OK && present(record, "test_setup_code")) {
        status = need_text(record, "test_setup_code", &setup, err);
    }
    if (status != RL_OK) {
        return status;
    }
    for (int32_t i = 0; i < n_imports; i++) {
        rl_str_appendf(&code, "%s\n", imports[i]);
    }
    rl_str_append(&code, setup != NULL ? setup : "");
    out->setup = code.len > 0 ? in_arena(&code, arena) : NULL;
    rl_str_release(&code);
    if (is_conversation(record)) {
        return read_conversation(rl_json_get(record, "prompt"), system, arena, out, err);
    }
    status = need_prompt(record, present(record, "text") ? "text" : "prompt", arena, &text, err);
    if (status != RL_OK) {
        return status;
    }
    rl_str_appendf(&prompt, "%s\n\nYour code should pass these tests:\n", text);
    for (int32_t i = 0; i < out->n_tests; i++) {
        rl_str_appendf(&prompt, "%s\n", out->tests[i]);
    }
    rl_str_appendf(&prompt, "\n%s", ask_for_code);
    ask(in_arena(&prompt, arena), system, arena, out);
    return RL_OK;
}

static rl_status read_humaneval(const rl_json *record, const char *system, rl_arena *arena,
                                rl_problem *out, rl_err *err) {
    const char *stub = NULL, *test, *entry;
    rl_status status = need_text(record, "entry_point", &entry, err);
    if (status == RL_OK) {
        status = need_text(record, "test", &test, err);
    }
    if (status == RL_OK && (trimmed(test, arena)[0] == '\0' || entry[0] == '\0')) {
        status = rl_fail(err, RL_IO, "'%s' is empty", entry[0] == '\0' ? "entry_point" : "test");
    }
    if (status == RL_OK && !is_conversation(record)) {
        status = need_text(record, "prompt", &stub, err);
        if (status == RL_OK && trimmed(stub, arena)[0] == '\0') {
            status = rl_fail(err, RL_IO, "'prompt' is empty");
        }
    }
    if (status != RL_OK) {
        return status;
    }
    out->check = rl_arena_strdup(arena, test);
    out->entry_point = rl_arena_strdup(arena, entry);
    if (stub == NULL) {
        return read_conversation(rl_json_get(record, "prompt"), system, arena, out, err);
    }
    out->stub = rl_arena_strdup(arena, stub);
    ask(rl_arena_printf(arena, "Complete this Python function:\n\n```python\n%s\n```\n\n%s",
                        trimmed(stub, arena), ask_for_code),
        system, arena, out);
    return RL_OK;
}

static rl_status read_prompt(const rl_json *record, const char *system, rl_arena *arena,
                             rl_problem *out, rl_err *err) {
    const char *text;
    rl_status status;
    if (is_conversation(record)) {
        return read_conversation(rl_json_get(record, "prompt"), system, arena, out, err);
    }
    status = need_prompt(record, "prompt", arena, &text, err);
    if (status == RL_OK) {
        ask(text, system, arena, out);
    }
    return status;
}

rl_status rl_dialect_read(const rl_json *record, int64_t line, const char *system, rl_arena *arena,
                          rl_problem *out, rl_err *err) {
    static const char *const mbpp[] = {"text", "test_list", "test_imports", "test_setup_code",
                                       NULL};
    static const char *const humaneval[] = {"entry_point", "test", "canonical_solution", NULL};
    static const char *const ids[] = {"id", "task_id"};
    static const char *const answers[] = {"answer", "ground_truth", "solution"};
    *out = (rl_problem){.task = -1, .domain = -1, .dataset = -1, .label = -1};
    if (rl_json_type_of(record) != RL_JSON_OBJECT) {
        return rl_fail(err, RL_IO, "is %s, not an object",
                       rl_json_type_name(rl_json_type_of(record)));
    }
    for (size_t i = 0; i < sizeof ids / sizeof ids[0] && out->id == NULL; i++) {
        out->id = rl_dialect_text(rl_json_get(record, ids[i]), arena);
    }
    if (out->id == NULL) {
        out->id = rl_arena_printf(arena, "%lld", (long long)line);
    }
    for (size_t i = 0; i < sizeof answers / sizeof answers[0] && out->answer == NULL; i++) {
        out->answer = rl_dialect_text(rl_json_get(record, answers[i]), arena);
    }
    if (any_present(record, mbpp)) {
        return read_mbpp(record, system, arena, out, err);
    }
    if (any_present(record, humaneval)) {
        return read_humaneval(record, system, arena, out, err);
    }
    if (present(record, "prompt")) {
        return read_prompt(record, system, arena, out, err);
    }
    if (present(record, "messages")) {
        return rl_fail(err, RL_IO,
                       "has 'messages', a conversation to learn from, which algo 'sft' takes; "
                       "other algos and 'data.eval' want problems, with a 'prompt'");
    }
    return rl_fail(err, RL_IO,
                   "has no 'prompt', nor the keys of MBPP ('text', 'test_list') or HumanEval "
                   "('prompt', 'entry_point', 'test')");
}
