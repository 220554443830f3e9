#include "policy/chat_template.h"

#include <string.h>

#include "rl/core/unicode.h"

// Special tokens are looked for before normalizing: one that is found behind it must look the same
// there, or what the template writes would give other ids than the whole text.
static rl_status check_specials(const rl_tokenizer *tokenizer, rl_err *err) {
    for (size_t i = 0; i < tokenizer->normalized.n_items; i++) {
        const rl_added *item = &tokenizer->normalized.item[i];
        const char *text = tokenizer->vocab.token[item->id].text;
        size_t len = tokenizer->vocab.token[item->id].len;
        if (item->special && (len != item->len || memcmp(text, item->text, len) != 0)) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "chat template of '%s' needs special token '%.*s', which the normalizer "
                           "changes; set its 'normalized' to false in tokenizer.json",
                           tokenizer->name, (int)(len < 80 ? len : 80), text);
        }
    }
    return RL_OK;
}

rl_status rl_chat_template_new(const rl_tokenizer *tokenizer, const struct tm *now,
                               rl_chat_template *out, rl_err *err) {
    const char *source = rl_tokenizer_chat_template(tokenizer);
    rl_str name = {0};
    *out = (rl_chat_template){.tokenizer = tokenizer, .now = *now};
    rl_status status = check_specials(tokenizer, err);
    if (status != RL_OK) {
        return status;
    }
    rl_str_appendf(&name, "chat template of '%s'", tokenizer->name);
    status = rl_jinja_parse(rl_str_text(&name), source, strlen(source), &out->jinja, err);
    rl_str_release(&name);
    return status;
}

void rl_chat_template_release(rl_chat_template *template) {
    rl_jinja_free(template->jinja);
    *template = (rl_chat_template){0};
}

// Bytes from outside: invalid UTF-8 is replaced, as encoding would do.
static rl_jinja_value outside(rl_arena *arena, const char *text, size_t len, uint8_t mark) {
    if (!rl_utf8_valid(text, len)) {
        rl_str repaired = {0};
        rl_utf8_repair(text, len, &repaired);
        text = rl_arena_strndup(arena, rl_str_text(&repaired), repaired.len);
        len = repaired.len;
        rl_str_release(&repaired);
    }
    return rl_jinja_marked(arena, text, len, mark);
}

// A role that every template knows may be part of a special token, as in '<|' + role + '|>'.
static uint8_t role_mark(const char *role) {
    static const char *const known[] = {"system", "user", "assistant", "tool", "developer"};
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(role, known[i]) == 0) {
            return 0;
        }
    }
    return RL_CHAT_DATA;
}

static const char *token_text(const rl_tokenizer *tokenizer, int32_t id) {
    return id >= 0 && id < tokenizer->vocab.n_tokens ? tokenizer->vocab.token[id].text : NULL;
}

enum { COMMON_VARS = 5 + RL_NAMED_TOKENS };

// What transformers gives every template; n is where further variables go.
static size_t common_vars(const rl_tokenizer *tokenizer, rl_arena *arena, rl_jinja_var *var) {
    const char *bos = token_text(tokenizer, tokenizer->bos);
    const char *eos = token_text(tokenizer, tokenizer->eos);
    size_t n = 0;
    var[n++] = (rl_jinja_var){"tools", rl_jinja_none()};
    var[n++] = (rl_jinja_var){"documents", rl_jinja_none()};
    if (bos != NULL) {
        var[n++] = (rl_jinja_var){"bos_token", rl_jinja_literal(bos)};
    }
    if (eos != NULL) {
        var[n++] = (rl_jinja_var){"eos_token", rl_jinja_literal(eos)};
    }
    for (size_t i = 0; i < tokenizer->n_named; i++) {
        var[n++] =
            (rl_jinja_var){tokenizer->named[i].name, rl_jinja_literal(tokenizer->named[i].text)};
    }
    if (tokenizer->n_more > 0) {
        rl_jinja_value more = rl_jinja_new_list(arena, tokenizer->n_more, RL_JINJA_IS_LIST);
        for (size_t i = 0; i < tokenizer->n_more; i++) {
            rl_jinja_push(arena, more, rl_jinja_literal(tokenizer->more[i]));
        }
        var[n++] = (rl_jinja_var){"additional_special_tokens", more};
    }
    return n;
}

rl_status rl_chat_template_render(const rl_chat_template *template, const rl_chat_part *part,
                                  int32_t n_parts, bool opens, rl_arena *arena, rl_jinja_text *out,
                                  rl_err *err) {
    rl_jinja_var var[COMMON_VARS + 2];
    size_t n = common_vars(template->tokenizer, arena, var);
    rl_jinja_value list = rl_jinja_new_list(arena, (size_t)n_parts, RL_JINJA_IS_LIST);
    for (int32_t i = 0; i < n_parts; i++) {
        const char *role = part[i].role;
        rl_jinja_value message = rl_jinja_new_dict(arena, 2);
        rl_jinja_put(arena, message, rl_jinja_literal("role"),
                     outside(arena, role, strlen(role), role_mark(role)));
        rl_jinja_put(arena, message, rl_jinja_literal("content"),
                     outside(arena, part[i].content, part[i].content_len, part[i].mark));
        rl_jinja_push(arena, list, message);
    }
    var[n++] = (rl_jinja_var){"messages", list};
    var[n++] = (rl_jinja_var){"add_generation_prompt", rl_jinja_bool(opens)};
    return rl_jinja_render(template->jinja, var, n, &template->now, &rl_jinja_default_limits, arena,
                           out, err);
}

// The roles of messages from JSON, as they are marked above.
static void mark_roles(rl_jinja_value *messages) {
    size_t n = messages->type == RL_JINJA_LIST ? messages->as.list->n : 0;
    for (size_t i = 0; i < n; i++) {
        const rl_jinja_value *message = &messages->as.list->item[i];
        rl_jinja_dict *dict = message->type == RL_JINJA_DICT ? message->as.dict : NULL;
        for (size_t k = 0; dict != NULL && k < dict->n; k++) {
            rl_jinja_value *value = &dict->entry[k].value;
            if (rl_jinja_text_is(dict->entry[k].key.as.text, "role") &&
                value->type == RL_JINJA_TEXT && role_mark(value->as.text.ptr) == 0) {
                value->as.text.mark = NULL;
            }
        }
    }
}

// JSON's numbers are doubles here: whole ones from 2^53 on are no longer what was written.
static rl_status check_numbers(const rl_json *json, rl_err *err) {
    rl_status status = RL_OK;
    double number = rl_json_number(json, 0);
    if (rl_json_type_of(json) == RL_JSON_NUMBER && (number >= 0x1p53 || number <= -0x1p53)) {
        const char *key = rl_json_key(json);
        return rl_fail(
            err, RL_UNSUPPORTED,
            "number '%.0f' under '%s' is not below 2^53, where integers are not exact; write "
            "it as text",
            number, key != NULL ? key : "a list");
    }
    for (const rl_json *item = rl_json_first(json); item != NULL && status == RL_OK;
         item = rl_json_next(item)) {
        status = check_numbers(item, err);
    }
    return status;
}

rl_status rl_chat_template_render_json(const rl_chat_template *template, const rl_json *record,
                                       rl_arena *arena, rl_jinja_text *out, rl_err *err) {
    rl_jinja_var *var = rl_arena_alloc(arena, rl_json_count(record) + COMMON_VARS + 1, sizeof *var);
    size_t n = common_vars(template->tokenizer, arena, var);
    rl_status status = check_numbers(record, err);
    if (status != RL_OK) {
        return status;
    }
    var[n++] = (rl_jinja_var){"add_generation_prompt", rl_jinja_bool(true)};
    for (const rl_json *item = rl_json_first(record); item != NULL; item = rl_json_next(item)) {
        const char *key = rl_json_key(item);
        bool names_token = strcmp(key, "bos_token") == 0 || strcmp(key, "eos_token") == 0;
        rl_jinja_value value = rl_jinja_from_json(arena, item, names_token ? 0 : RL_CHAT_DATA);
        if (strcmp(key, "messages") == 0) {
            mark_roles(&value);
        }
        var[n++] = (rl_jinja_var){key, value}; // a later one of a name counts
    }
    return rl_jinja_render(template->jinja, var, n, &template->now, &rl_jinja_default_limits, arena,
                           out, err);
}

/* A special token in a text, with its white space. */
typedef struct special {
    size_t begin, end;
    int32_t id;
} special;

// The run of bytes with one mark, or without, that begins at `at`.
static size_t run_end(rl_jinja_text text, size_t at) {
    if (text.mark == NULL) {
        return text.len;
    }
    bool own = text.mark[at] == 0;
    while (at < text.len && (text.mark[at] == 0) == own) {
        at++;
    }
    return at;
}

// The first special token of one set within the template's own bytes [at, stop). It takes white
// space along from `floor` on, whoever wrote that.
static bool find_in(const rl_chat_template *template, const rl_added_set *set, rl_jinja_text text,
                    size_t floor, size_t at, size_t stop, special *out) {
    const rl_tokenizer *tokenizer = template->tokenizer;
    rl_added_walk walk = {.scan = at, .floor = floor, .limit = stop};
    while (rl_added_next(set, text.ptr, text.len, true, &walk, &out->begin, &out->id)) {
        if ((tokenizer->vocab.token[out->id].flags & RL_TOKEN_SPECIAL) != 0) {
            out->end = walk.floor;
            return true;
        }
    }
    return false;
}

bool rl_chat_template_special(const rl_chat_template *template, rl_jinja_text text, size_t at,
                              size_t *begin, size_t *end, int32_t *id) {
    const size_t floor = at;
    bool found = false;
    for (size_t stop; at < text.len && !found; at = stop) {
        special raw, normalized;
        stop = run_end(text, at);
        if (text.mark != NULL && text.mark[at] != 0) {
            continue;
        }
        found = find_in(template, &template->tokenizer->raw, text, floor, at, stop, &raw);
        if (find_in(template, &template->tokenizer->normalized, text, floor, at, stop,
                    &normalized) &&
            (!found || normalized.begin < raw.begin)) {
            found = true;
            raw = normalized;
        }
        if (found) {
            *begin = raw.begin;
            *end = raw.end;
            *id = raw.id;
        }
    }
    return found;
}

static rl_status encode_stretch(const rl_chat_template *template, rl_jinja_text text, size_t begin,
                                size_t end, rl_ids *out, rl_err *err) {
    return begin < end
               ? rl_tokenizer_encode_part(template->tokenizer, text.ptr + begin, end - begin,
                                          RL_ENCODE_PLAIN, begin == 0, out, err)
               : RL_OK;
}

rl_status rl_chat_template_encode(const rl_chat_template *template, rl_jinja_text text, size_t from,
                                  rl_ids *out, rl_err *err) {
    size_t begin, end;
    int32_t id;
    rl_status status = RL_OK;
    while (status == RL_OK && rl_chat_template_special(template, text, from, &begin, &end, &id)) {
        status = encode_stretch(template, text, from, begin, out, err);
        rl_ids_push(out, id);
        from = end;
    }
    return status == RL_OK ? encode_stretch(template, text, from, text.len, out, err) : status;
}
