#include "rl/policy/chat.h"

#include <string.h>

#include "policy/chat_template.h"
#include "rl/core/alloc.h"
#include "rl/core/clock.h"

struct rl_chat {
    const rl_tokenizer *tokenizer;
    bool is_plain; // no template: contents as lines
    rl_chat_template template;
    int32_t stop;
    bool has_end; // the template ends a turn with a special token, which is stop
    bool keeps_prefix;
};

static rl_chat_part part(const char *role, const char *content, uint8_t mark) {
    return (rl_chat_part){role, content, strlen(content), mark};
}

// Behind the last byte with that mark; 0 when there is none.
static size_t mark_end(rl_jinja_text text, uint8_t mark) {
    size_t at = text.mark != NULL ? text.len : 0;
    while (at > 0 && text.mark[at - 1] != mark) {
        at--;
    }
    return at;
}

static bool begins_with(rl_jinja_text whole, rl_jinja_text part, size_t part_len) {
    return part_len <= whole.len && memcmp(whole.ptr, part.ptr, part_len) == 0;
}

static rl_status refuse(const rl_chat *chat, const char *what, rl_err *err) {
    return rl_fail(err, RL_UNSUPPORTED,
                   "chat template of '%s' %s; use a model with a template for conversations, or "
                   "one without a template",
                   chat->tokenizer->name, what);
}

// A question, its answer, another question: what templates make of one, two and three of them.
typedef struct trial {
    rl_jinja_text asked, answered, again;
} trial;

static rl_status try_template(const rl_chat *chat, const char *reply, rl_arena *arena, trial *out,
                              rl_err *err) {
    const rl_chat_part story[] = {part("user", "a", RL_CHAT_DATA),
                                  part("assistant", reply, RL_CHAT_REPLY),
                                  part("user", "c", RL_CHAT_USER)};
    rl_status status =
        rl_chat_template_render(&chat->template, story, 1, true, arena, &out->asked, err);
    if (status == RL_OK) {
        status =
            rl_chat_template_render(&chat->template, story, 2, false, arena, &out->answered, err);
    }
    if (status == RL_OK) {
        status = rl_chat_template_render(&chat->template, story, 3, true, arena, &out->again, err);
    }
    return status;
}

// Neither opening a turn nor answering it changes what stands before.
static bool keeps_prefix(const trial *t) {
    return begins_with(t->answered, t->asked, t->asked.len) &&
           begins_with(t->again, t->answered, mark_end(t->answered, RL_CHAT_REPLY));
}

// ChatML without its tokens is a template that belongs to another tokenizer.
static rl_status check_tokens(const rl_chat *chat, rl_jinja_text text, rl_err *err) {
    static const char *const names[] = {"<|im_start|>", "<|im_end|>"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        rl_jinja_text name = {names[i], strlen(names[i]), NULL};
        if (rl_jinja_find_part(text, name, 0) != SIZE_MAX &&
            rl_tokenizer_id(chat->tokenizer, names[i]) < 0) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "chat template of '%s' is ChatML, but its vocabulary has no token '%s'",
                           chat->tokenizer->name, names[i]);
        }
    }
    return RL_OK;
}

// Finds out how the template ends a turn, and refuses one that does not show a conversation.
static rl_status learn_template(rl_chat *chat, rl_arena *arena, rl_err *err) {
    trial plain, thinking;
    size_t begin, end, reply_end;
    int32_t id;
    rl_err ignored;
    rl_status status = try_template(chat, "b", arena, &plain, err);
    if (status != RL_OK) {
        return status;
    }
    reply_end = mark_end(plain.answered, RL_CHAT_REPLY);
    if (mark_end(plain.asked, RL_CHAT_DATA) == 0) {
        return refuse(chat, "does not show what the user says", err);
    }
    if (reply_end == 0 || mark_end(plain.again, RL_CHAT_REPLY) == 0 ||
        mark_end(plain.again, RL_CHAT_USER) < mark_end(plain.again, RL_CHAT_REPLY)) {
        return refuse(chat, "does not show what the assistant says", err);
    }
    chat->has_end =
        rl_chat_template_special(&chat->template, plain.answered, reply_end, &begin, &end, &id);
    chat->stop = chat->has_end ? id : chat->stop;
    // Templates that drop what was thought show it only where something was.
    chat->keeps_prefix =
        keeps_prefix(&plain) &&
        try_template(chat, "<think>\nb\n</think>\n\nb", arena, &thinking, &ignored) == RL_OK &&
        keeps_prefix(&thinking);
    return check_tokens(chat, plain.again, err);
}

rl_status rl_chat_new_at(const rl_tokenizer *tokenizer, const struct tm *now, rl_chat **out,
                         rl_err *err) {
    rl_chat *chat = rl_alloc(1, sizeof *chat);
    rl_status status = RL_OK;
    *chat = (rl_chat){
        .tokenizer = tokenizer, .stop = rl_tokenizer_eos(tokenizer), .keeps_prefix = true};
    *out = NULL;
    chat->is_plain = rl_tokenizer_chat_template(tokenizer) == NULL;
    if (!chat->is_plain) {
        rl_arena *arena = rl_arena_new(0);
        status = rl_chat_template_new(tokenizer, now, &chat->template, err);
        if (status == RL_OK) {
            status = learn_template(chat, arena, err);
        }
        rl_arena_free(arena);
    }
    if (status == RL_OK) {
        *out = chat;
    } else {
        rl_chat_free(chat);
    }
    return status;
}

rl_status rl_chat_new(const rl_tokenizer *tokenizer, rl_chat **out, rl_err *err) {
    time_t seconds = (time_t)rl_clock_wall();
    struct tm now = {0};
    localtime_r(&seconds, &now);
    return rl_chat_new_at(tokenizer, &now, out, err);
}

void rl_chat_free(rl_chat *chat) {
    if (chat != NULL) {
        rl_chat_template_release(&chat->template);
        rl_free(chat);
    }
}

int32_t rl_chat_stop(const rl_chat *chat) {
    return chat->stop;
}

bool rl_chat_keeps_prefix(const rl_chat *chat) {
    return chat->keeps_prefix;
}

static rl_status put_text(const rl_chat *chat, const char *text, size_t text_len, bool at_start,
                          rl_ids *to, rl_err *err) {
    return rl_tokenizer_encode_part(chat->tokenizer, text, text_len, RL_ENCODE_PLAIN, at_start, to,
                                    err);
}

static rl_status open_plain(const rl_chat *chat, const char *text, size_t text_len, rl_ids *to,
                            rl_err *err) {
    const rl_ids *before = &chat->tokenizer->frame_before;
    for (size_t i = 0; i < before->len; i++) {
        rl_ids_push(to, before->ptr[i]);
    }
    return put_text(chat, text, text_len, true, to, err);
}

// Moves ids into the arena, over whatever was made there since the mark.
static rl_status hand_out(rl_status status, rl_ids *ids, rl_arena *arena, rl_arena_mark mark,
                          int32_t **out, int32_t *n_out) {
    rl_arena_rewind(arena, mark);
    if (status == RL_OK) {
        *out = rl_arena_alloc(arena, ids->len, sizeof **out);
        *n_out = (int32_t)ids->len;
        if (ids->len > 0) {
            memcpy(*out, ids->ptr, ids->len * sizeof **out);
        }
    }
    rl_ids_release(ids);
    return status;
}

static rl_status open_template(const rl_chat *chat, const rl_message *message, int32_t n_messages,
                               rl_arena *arena, rl_ids *to, rl_err *err) {
    rl_chat_part *parts = rl_arena_alloc(arena, (size_t)n_messages, sizeof *parts);
    rl_jinja_text text;
    for (int32_t i = 0; i < n_messages; i++) {
        const char *content = message[i].content != NULL ? message[i].content : "";
        parts[i] = part(message[i].role, content, RL_CHAT_DATA);
    }
    rl_status status =
        rl_chat_template_render(&chat->template, parts, n_messages, true, arena, &text, err);
    return status == RL_OK ? rl_chat_template_encode(&chat->template, text, 0, to, err) : status;
}

rl_status rl_chat_open(const rl_chat *chat, const rl_message *message, int32_t n_messages,
                       rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(arena);
    rl_ids ids = {0};
    rl_status status;
    if (chat->is_plain) {
        rl_str text = {0};
        for (int32_t i = 0; i < n_messages; i++) {
            rl_str_append(&text, message[i].content != NULL ? message[i].content : "");
            rl_str_append(&text, "\n");
        }
        status = open_plain(chat, rl_str_text(&text), text.len, &ids, err);
        rl_str_release(&text);
    } else {
        status = open_template(chat, message, n_messages, arena, &ids, err);
    }
    return hand_out(status, &ids, arena, mark, out, n_out);
}

rl_status rl_chat_reply(const rl_chat *chat, const char *content, size_t content_len,
                        rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) {
    rl_ids ids = {0};
    rl_status status = put_text(chat, content, content_len, false, &ids, err);
    return hand_out(status, &ids, arena, rl_arena_mark_get(arena), out, n_out);
}

static rl_status continue_plain(const rl_chat *chat, bool ended, const char *user, size_t user_len,
                                rl_ids *to, rl_err *err) {
    rl_str text = {0};
    if (!ended) {
        rl_str_append(&text, "\n");
    }
    rl_str_append_n(&text, user, user_len);
    rl_str_append(&text, "\n");
    rl_status status = put_text(chat, text.ptr, text.len, false, to, err);
    rl_str_release(&text);
    return status;
}

// What the template writes behind the reply of a made-up conversation that ends with this message.
static rl_status continue_template(const rl_chat *chat, bool ended, const char *user,
                                   size_t user_len, rl_arena *arena, rl_ids *to, rl_err *err) {
    const rl_chat_part story[] = {part("user", "a", RL_CHAT_DATA),
                                  part("assistant", "b", RL_CHAT_REPLY),
                                  {"user", user, user_len, RL_CHAT_USER}};
    rl_jinja_text text;
    size_t begin, end, from;
    int32_t id;
    rl_status status = rl_chat_template_render(&chat->template, story, 3, true, arena, &text, err);
    if (status != RL_OK) {
        return status;
    }
    from = mark_end(text, RL_CHAT_REPLY);
    if (ended && chat->has_end &&
        rl_chat_template_special(&chat->template, text, from, &begin, &end, &id)) {
        from = end; // what was sampled stands for it
    }
    return rl_chat_template_encode(&chat->template, text, from, to, err);
}

rl_status rl_chat_continue(const rl_chat *chat, bool ended, const char *user, size_t user_len,
                           rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(arena);
    rl_ids ids = {0};
    rl_status status = chat->is_plain
                           ? continue_plain(chat, ended, user, user_len, &ids, err)
                           : continue_template(chat, ended, user, user_len, arena, &ids, err);
    return hand_out(status, &ids, arena, mark, out, n_out);
}

static rl_status render_plain(const rl_chat *chat, const rl_json *messages, rl_str *text,
                              rl_ids *to, rl_err *err) {
    size_t begin = text->len;
    for (const rl_json *item = rl_json_first(messages); item != NULL; item = rl_json_next(item)) {
        rl_str_append(text, rl_json_text(rl_json_get(item, "content"), ""));
        rl_str_append(text, "\n");
    }
    return open_plain(chat, rl_str_text(text) + begin, text->len - begin, to, err);
}

rl_status rl_chat_render(const rl_chat *chat, const rl_json *record, rl_arena *arena, rl_str *text,
                         int32_t **out, int32_t *n_out, rl_err *err) {
    const rl_json *messages = rl_json_get(record, "messages");
    rl_arena_mark mark = rl_arena_mark_get(arena);
    rl_ids ids = {0};
    rl_jinja_text rendered;
    rl_status status;
    if (messages == NULL || rl_json_type_of(messages) != RL_JSON_LIST) {
        return rl_fail(err, RL_BAD_RECIPE, "no list 'messages' of {\"role\", \"content\"}");
    }
    if (chat->is_plain) {
        status = render_plain(chat, messages, text, &ids, err);
        return hand_out(status, &ids, arena, mark, out, n_out);
    }
    status = rl_chat_template_render_json(&chat->template, record, arena, &rendered, err);
    if (status == RL_OK) {
        rl_str_append_n(text, rendered.ptr, rendered.len);
        status = rl_chat_template_encode(&chat->template, rendered, 0, &ids, err);
    }
    return hand_out(status, &ids, arena, mark, out, n_out);
}
