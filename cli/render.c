#include "rl/policy/chat.h"

#include <string.h>

#include "cli/commands.h"
#include "cli/lines.h"
#include "rl/core/log.h"

typedef struct renderer {
    rl_tokenizer *tokenizer;
    rl_chat *chat;
    rl_arena *arena;
} renderer;

static rl_status render_line(void *self, const rl_json *record, rl_json_writer *out, rl_err *err) {
    renderer *r = self;
    rl_str text = {0};
    int32_t *ids, n_ids;
    rl_status status = rl_chat_render(r->chat, record, r->arena, &text, &ids, &n_ids, err);
    if (status == RL_OK) {
        rl_json_put_text(out, "text", rl_str_text(&text), text.len);
        put_ids(out, ids, n_ids);
    }
    rl_str_release(&text);
    rl_arena_reset(r->arena);
    return status;
}

int command_render(const args *a) {
    renderer r = {.arena = rl_arena_new(0)};
    rl_err err = {""};
    rl_status status = open_tokenizer(a->subject, &r.tokenizer, &err);
    if (status == RL_OK) {
        status = rl_chat_new(r.tokenizer, &r.chat, &err);
    }
    if (status == RL_OK && !rl_chat_keeps_prefix(r.chat)) {
        rl_log(RL_LOG_INFO, "the chat template rewrites earlier turns; in training they stay as "
                            "they were sampled");
    }
    if (status == RL_OK) {
        status = answer_lines(a->in, stdout, render_line, &r, &err);
    }
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    rl_chat_free(r.chat);
    rl_tokenizer_free(r.tokenizer);
    rl_arena_free(r.arena);
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
