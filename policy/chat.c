#include "rl/policy/chat.h"

#include <string.h>

#include "policy/tokenizer_parts.h"
#include "rl/core/alloc.h"

#define START "<|im_start|>"
#define END   "<|im_end|>"

struct rl_chat {
    const rl_tokenizer *tokenizer;
    bool is_plain;      // no template: contents as lines
    int32_t start, end; // ChatML's two tokens
    char *system;       // the template's default system message, or NULL
};

/*
 * A template in one spelling, so that it can be searched for: comments, white space and trim marks
 * inside {{ }} and {% %} left out, literals in single quotes with their escapes undone, ['key'] as
 * .key, '~' as '+'. Text outside the braces stays as it is.
 */
static const char *literal(const char *at, rl_str *out) {
    char quote = *at++;
    rl_str_append_char(out, '\'');
    for (; *at != '\0' && *at != quote; at++) {
        if (*at == '\\' && at[1] != '\0') {
            at++;
            rl_str_append_char(out, *at == 'n' ? '\n' : *at == 't' ? '\t' : *at);
        } else {
            rl_str_append_char(out, *at);
        }
    }
    rl_str_append_char(out, '\'');
    return *at == '\0' ? at : at + 1;
}

static const char *expression(const char *at, rl_str *out) {
    while (*at != '\0' && strncmp(at, "}}", 2) != 0 && strncmp(at, "%}", 2) != 0) {
        size_t key;
        if (*at == '[' && (at[1] == '\'' || at[1] == '"') && (key = strcspn(at + 2, "'\"")) > 0 &&
            at[2 + key] == at[1] && at[3 + key] == ']') {
            rl_str_append_char(out, '.');
            rl_str_append_n(out, at + 2, key);
            at += key + 4;
        } else if (*at == '\'' || *at == '"') {
            at = literal(at, out);
        } else {
            bool is_trim = *at == '-' && (at[1] == '}' || at[1] == '%');
            if (strchr(" \t\r\n", *at) == NULL && !is_trim) {
                rl_str_append_char(out, *at == '~' ? '+' : *at);
            }
            at++;
        }
    }
    return at;
}

static void canonical(const char *at, rl_str *out) {
    while (*at != '\0') {
        if (strncmp(at, "{#", 2) == 0) {
            const char *end = strstr(at, "#}");
            at = end != NULL ? end + 2 : at + strlen(at);
        } else if (strncmp(at, "{{", 2) == 0 || strncmp(at, "{%", 2) == 0) {
            rl_str_append_n(out, at, 2);
            at += at[2] == '-' ? 3 : 2;
            at = expression(at, out);
        } else {
            rl_str_append_char(out, *at++);
        }
    }
}

// The literal "<|im_start|>system\n ... <|im_end|>\n" that begins at text, as its inner length; 0
// when it is cut by the end of its literal, that is, holds an expression.
static size_t fixed_system(const char *text) {
    const char *end = strstr(text, END "\n'");
    const char *quote = strstr(text, "'+");
    const char *close = strstr(text, "'}}");
    if (end == NULL || (quote != NULL && quote < end) || (close != NULL && close < end)) {
        return 0;
    }
    return (size_t)(end - text);
}

// True when every message the template writes is ChatML's. *system gets its default system message.
static bool is_chatml(const char *text, const char **system, size_t *system_len) {
    static const char message[] = "'" START "'+message.role+'\n'+message.content+'" END;
    static const char given_system[] = "'+messages[0].content+'" END "\n'";
    const char *form = strstr(text, message);
    *system = NULL;
    if (form == NULL || strstr(text, "'" START "assistant\n'") == NULL ||
        strstr(text, "think>") != NULL) {
        return false; // reasoning templates rewrite earlier turns
    }
    form += sizeof message - 1;
    if (!rl_text_starts(form, "'+'\n'") && !rl_text_starts(form, "\n'")) {
        return false;
    }
    const char *tools = strstr(text, "{%iftools%}");
    for (const char *at = strstr(text, START); at != NULL; at = strstr(at, START)) {
        at += strlen(START);
        if (rl_text_starts(at, "system\n")) {
            const char *content = at + strlen("system\n");
            size_t len = fixed_system(content);
            bool is_tools = tools != NULL && tools < at && rl_text_starts(content, "'}}");
            if (len > 0 && *system == NULL) {
                *system = content;
                *system_len = len;
            } else if (len == 0 && !is_tools && !rl_text_starts(content, given_system)) {
                return false;
            }
        } else if (!rl_text_starts(at, "'+message.role") && !rl_text_starts(at, "assistant\n'") &&
                   !rl_text_starts(at, "user'") && !rl_text_starts(at, "user\n'")) {
            return false;
        }
    }
    return true;
}

rl_status rl_chat_new(const rl_tokenizer *tokenizer, rl_chat **out, rl_err *err) {
    const char *template = rl_tokenizer_chat_template(tokenizer);
    rl_chat *chat = rl_alloc(1, sizeof *chat);
    rl_str text = {0};
    rl_status status = RL_OK;
    *chat = (rl_chat){.tokenizer = tokenizer, .start = -1, .end = rl_tokenizer_eos(tokenizer)};
    *out = NULL;
    if (template == NULL) {
        chat->is_plain = true;
    } else {
        const char *system;
        size_t system_len;
        canonical(template, &text);
        chat->start = rl_tokenizer_id(tokenizer, START);
        chat->end = rl_tokenizer_id(tokenizer, END);
        if (!is_chatml(rl_str_text(&text), &system, &system_len)) {
            status = rl_fail(err, RL_UNSUPPORTED,
                             "chat template of '%s' is not ChatML; use a model with ChatML, or one "
                             "without a template",
                             tokenizer->name);
        } else if (chat->start < 0 || chat->end < 0) {
            status =
                rl_fail(err, RL_UNSUPPORTED,
                        "chat template of '%s' is ChatML, but its vocabulary has no token '%s'",
                        tokenizer->name, chat->start < 0 ? START : END);
        } else if (system != NULL) {
            chat->system = rl_strndup(system, system_len);
        }
    }
    rl_str_release(&text);
    if (status == RL_OK) {
        *out = chat;
    } else {
        rl_chat_free(chat);
    }
    return status;
}

void rl_chat_free(rl_chat *chat) {
    if (chat != NULL) {
        rl_free(chat->system);
        rl_free(chat);
    }
}

int32_t rl_chat_stop(const rl_chat *chat) {
    return chat->end;
}

// Within ChatML all text follows a control token, so it is never the start of what is encoded.
static rl_status put_text(const rl_chat *chat, const char *text, size_t text_len, rl_ids *to,
                          rl_err *err) {
    return rl_tokenizer_encode_part(chat->tokenizer, text, text_len, RL_ENCODE_PLAIN, false, to,
                                    err);
}

static rl_status open_turn(const rl_chat *chat, const char *role, const char *content,
                           size_t content_len, rl_ids *to, rl_err *err) {
    rl_str text = {0};
    rl_str_append(&text, role);
    rl_str_append(&text, "\n");
    rl_str_append_n(&text, content, content_len);
    rl_ids_push(to, chat->start);
    rl_status status = put_text(chat, text.ptr, text.len, to, err);
    rl_str_release(&text);
    return status;
}

static rl_status put_message(const rl_chat *chat, const char *role, const char *content,
                             size_t content_len, rl_ids *to, rl_err *err) {
    rl_status status = open_turn(chat, role, content, content_len, to, err);
    if (status == RL_OK) {
        rl_ids_push(to, chat->end);
        status = put_text(chat, "\n", 1, to, err);
    }
    return status;
}

static rl_status open_chatml(const rl_chat *chat, const rl_message *message, int32_t n_messages,
                             rl_ids *to, rl_err *err) {
    rl_status status = RL_OK;
    if (chat->system != NULL && n_messages > 0 && strcmp(message[0].role, "system") != 0) {
        status = put_message(chat, "system", chat->system, strlen(chat->system), to, err);
    }
    for (int32_t i = 0; i < n_messages && status == RL_OK; i++) {
        const char *content = message[i].content != NULL ? message[i].content : "";
        status = put_message(chat, message[i].role, content, strlen(content), to, err);
    }
    return status == RL_OK ? open_turn(chat, "assistant", "", 0, to, err) : status;
}

static rl_status open_plain(const rl_chat *chat, const rl_message *message, int32_t n_messages,
                            rl_ids *to, rl_err *err) {
    const rl_ids *before = &chat->tokenizer->frame_before;
    rl_str text = {0};
    for (size_t i = 0; i < before->len; i++) {
        rl_ids_push(to, before->ptr[i]);
    }
    for (int32_t i = 0; i < n_messages; i++) {
        rl_str_append(&text, message[i].content != NULL ? message[i].content : "");
        rl_str_append(&text, "\n");
    }
    rl_status status = rl_tokenizer_encode_part(chat->tokenizer, rl_str_text(&text), text.len,
                                                RL_ENCODE_PLAIN, true, to, err);
    rl_str_release(&text);
    return status;
}

// Moves ids into the arena.
static rl_status hand_out(rl_status status, rl_ids *ids, rl_arena *arena, int32_t **out,
                          int32_t *n_out) {
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

rl_status rl_chat_open(const rl_chat *chat, const rl_message *message, int32_t n_messages,
                       rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) {
    rl_ids ids = {0};
    rl_status status = chat->is_plain ? open_plain(chat, message, n_messages, &ids, err)
                                      : open_chatml(chat, message, n_messages, &ids, err);
    return hand_out(status, &ids, arena, out, n_out);
}

rl_status rl_chat_reply(const rl_chat *chat, const char *content, size_t content_len,
                        rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) {
    rl_ids ids = {0};
    rl_status status = put_text(chat, content, content_len, &ids, err);
    return hand_out(status, &ids, arena, out, n_out);
}

static rl_status continue_plain(const rl_chat *chat, bool ended, const char *user, size_t user_len,
                                rl_ids *to, rl_err *err) {
    rl_str text = {0};
    if (!ended) {
        rl_str_append(&text, "\n");
    }
    rl_str_append_n(&text, user, user_len);
    rl_str_append(&text, "\n");
    rl_status status = put_text(chat, text.ptr, text.len, to, err);
    rl_str_release(&text);
    return status;
}

rl_status rl_chat_continue(const rl_chat *chat, bool ended, const char *user, size_t user_len,
                           rl_arena *arena, int32_t **out, int32_t *n_out, rl_err *err) {
    rl_ids ids = {0};
    rl_status status;
    if (chat->is_plain) {
        status = continue_plain(chat, ended, user, user_len, &ids, err);
        return hand_out(status, &ids, arena, out, n_out);
    }
    if (!ended) {
        rl_ids_push(&ids, chat->end);
    }
    status = put_text(chat, "\n", 1, &ids, err);
    if (status == RL_OK) {
        status = put_message(chat, "user", user, user_len, &ids, err);
    }
    if (status == RL_OK) {
        status = open_turn(chat, "assistant", "", 0, &ids, err);
    }
    return hand_out(status, &ids, arena, out, n_out);
}
