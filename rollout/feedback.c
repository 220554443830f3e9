#include "rollout/feedback.h"

#include <string.h>

#include "rl/core/assert.h"
#include "rl/core/str.h"

// A paragraph's line; nothing for empty text.
static void add_line(rl_str *out, const char *text, size_t text_len) {
    while (text_len > 0 && text[text_len - 1] == '\n') {
        text_len--;
    }
    if (text_len > 0) {
        rl_str_append_n(out, text, text_len);
        rl_str_append_char(out, '\n');
    }
}

static const char *plain_sentence(rl_verdict_kind kind) {
    switch (kind) {
    case RL_VERDICT_PASS:
        return "The answer is correct.";
    case RL_VERDICT_PARTIAL:
        return "The answer is partly correct.";
    case RL_VERDICT_FAIL:
        return "The answer is not correct.";
    case RL_VERDICT_UNREADABLE:
        return "No answer could be read.";
    case RL_VERDICT_UNKNOWN:
        break;
    }
    RL_ASSERT(!"an unknown verdict has no feedback");
    return "";
}

const char *rl_feedback_text(const rl_rollout_opts *opts, const rl_verdict *verdict,
                             rl_arena *arena, size_t *len) {
    const char *plain = plain_sentence(verdict->kind), *out;
    rl_str text = {0};
    if (verdict->total > 0) {
        add_line(&text, opts->feedback_open, strlen(opts->feedback_open));
        rl_str_appendf(&text, "%d/%d tests passed.\n", (int)verdict->passed, (int)verdict->total);
    } else if (verdict->feedback == NULL || verdict->feedback_len == 0) {
        add_line(&text, plain, strlen(plain));
    }
    if (verdict->feedback != NULL) {
        add_line(&text, verdict->feedback, verdict->feedback_len);
    }
    if (opts->feedback_close[0] != '\0') {
        rl_str_appendf(&text, "\n%s", opts->feedback_close);
    }
    out = rl_arena_strndup(arena, rl_str_text(&text), text.len);
    *len = text.len;
    rl_str_release(&text);
    return out;
}
