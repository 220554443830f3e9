#include "rollout/conversation.h"

#include <math.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

#define MAX_WEIGHT 1e6

rl_reading rl_reading_begin(const rl_corpus_opts *opts) {
    return (rl_reading){
        .opts = opts, .arena = rl_arena_new(0), .placing = rl_placing_begin(opts->tokenizer)};
}

void rl_reading_release(rl_reading *r) {
    rl_arena_free(r->arena);
    rl_placing_release(&r->placing);
    rl_free(r->token);
    rl_free(r->weight);
    rl_free(r->said);
    *r = (rl_reading){0};
}

static void put(rl_reading *r, int32_t id, double weight, bool said) {
    if (r->n_tokens == r->cap) {
        r->cap = r->cap > 0 ? 2 * r->cap : 1024;
        r->token = rl_realloc(r->token, r->cap, sizeof *r->token);
        r->weight = rl_realloc(r->weight, r->cap, sizeof *r->weight);
        r->said = rl_realloc(r->said, r->cap, sizeof *r->said);
    }
    r->token[r->n_tokens] = id;
    r->weight[r->n_tokens] = (float)weight;
    r->said[r->n_tokens++] = said;
}

static void put_context(rl_reading *r, const int32_t *ids, int32_t n_ids) {
    for (int32_t i = 0; i < n_ids; i++) {
        put(r, ids[i], r->n_tokens == 0 ? 0 : r->opts->prompt_weight, false);
    }
}

/* A span of characters of a content, and what its tokens weigh. */
typedef struct span {
    int64_t begin, end;
    double weight;
} span;

static bool is_weight(const rl_json *value, double *out) {
    *out = rl_json_number(value, (double)NAN);
    return *out >= 0 && *out <= MAX_WEIGHT;
}

static int64_t count_chars(const char *text) {
    int64_t n = 0;
    for (; *text != '\0'; text++) {
        n += ((unsigned char)*text & 0xc0) != 0x80;
    }
    return n;
}

static rl_status read_span(const rl_json *item, int64_t n_chars, span *out, rl_err *err) {
    const rl_json *begin = rl_json_first(item);
    const rl_json *end = begin != NULL ? rl_json_next(begin) : NULL;
    const rl_json *weight = end != NULL ? rl_json_next(end) : NULL;
    if (rl_json_type_of(item) != RL_JSON_LIST || weight == NULL || rl_json_next(weight) != NULL ||
        !rl_json_integer(begin, &out->begin) || !rl_json_integer(end, &out->end) ||
        !is_weight(weight, &out->weight)) {
        return rl_fail(err, RL_IO,
                       "a span of 'spans' is not [begin, end, weight] with characters counted "
                       "from 0 and a weight in [0, %.0f]",
                       MAX_WEIGHT);
    }
    if (out->begin < 0 || out->end < out->begin || out->end > n_chars) {
        return rl_fail(err, RL_IO,
                       "span [%lld, %lld] is not inside its content, which has %lld characters",
                       (long long)out->begin, (long long)out->end, (long long)n_chars);
    }
    return RL_OK;
}

static rl_status read_spans(rl_reading *r, const rl_json *list, const char *content, span **out,
                            size_t *n_out, rl_err *err) {
    int64_t n_chars;
    *n_out = 0;
    if (list == NULL || rl_json_type_of(list) == RL_JSON_NULL) {
        return RL_OK;
    }
    if (rl_json_type_of(list) != RL_JSON_LIST) {
        return rl_fail(err, RL_IO, "'spans' is %s, not a list",
                       rl_json_type_name(rl_json_type_of(list)));
    }
    n_chars = count_chars(content);
    *out = rl_arena_alloc(r->arena, rl_json_count(list), sizeof **out);
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        rl_status status = read_span(item, n_chars, &(*out)[(*n_out)++], err);
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

// Puts the tokens of a content, each with the weight of the last span that covers its start.
static rl_status put_spans(rl_reading *r, const char *content, const int32_t *ids, int32_t n_ids,
                           const span *spans, size_t n_spans, double weight, rl_err *err) {
    size_t *at = rl_arena_alloc(r->arena, (size_t)n_ids, sizeof *at), byte = 0;
    int64_t chars = 0;
    if (!rl_placing_find(&r->placing, content, strlen(content), ids, n_ids, at)) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "'spans' cannot be placed: the tokenizer does not give its content back "
                       "as it is");
    }
    for (int32_t i = 0; i < n_ids; i++) {
        double w = weight;
        for (; byte < at[i]; byte++) {
            chars += ((unsigned char)content[byte] & 0xc0) != 0x80;
        }
        for (size_t s = 0; s < n_spans; s++) {
            w = spans[s].begin <= chars && chars < spans[s].end ? spans[s].weight : w;
        }
        put(r, ids[i], w, true);
    }
    return RL_OK;
}

// What the assistant says; `from` holds its 'weight' and 'spans'.
static rl_status put_reply(rl_reading *r, const rl_json *from, const char *content, rl_err *err) {
    const rl_json *own = rl_json_get(from, "weight");
    int32_t *ids, n_ids, stop = rl_chat_stop(r->opts->chat);
    double weight = 1;
    span *spans = NULL;
    size_t n_spans;
    rl_status status;
    if (own != NULL && rl_json_type_of(own) != RL_JSON_NULL && !is_weight(own, &weight)) {
        return rl_fail(err, RL_IO, "'weight' of a message is not a number in [0, %.0f]",
                       MAX_WEIGHT);
    }
    status = read_spans(r, rl_json_get(from, "spans"), content, &spans, &n_spans, err);
    if (status == RL_OK) {
        status =
            rl_chat_reply(r->opts->chat, content, strlen(content), r->arena, &ids, &n_ids, err);
    }
    if (status == RL_OK && n_spans > 0) {
        status = put_spans(r, content, ids, n_ids, spans, n_spans, weight, err);
    } else if (status == RL_OK) {
        for (int32_t i = 0; i < n_ids; i++) {
            put(r, ids[i], weight, true);
        }
    }
    if (status == RL_OK && stop >= 0) {
        put(r, stop, weight, true);
    }
    return status;
}

/* A message as the record has it; texts live as long as the record. */
typedef struct message {
    const char *role, *content;
    const rl_json *from;
} message;

/* The first of 'weight' and 'spans' that a record or a message has, or NULL. */
static const char *weighing_key(const rl_json *from) {
    static const char *const key[] = {"weight", "spans"};
    for (size_t k = 0; k < sizeof key / sizeof key[0]; k++) {
        const rl_json *value = rl_json_get(from, key[k]);
        if (value != NULL && rl_json_type_of(value) != RL_JSON_NULL) {
            return key[k];
        }
    }
    return NULL;
}

/* A message of a prompt is context, whoever says it. */
static rl_status read_message(const rl_json *item, const char *key, bool context, int32_t i,
                              message *out, rl_err *err) {
    const char *weighs;
    bool is_object = rl_json_type_of(item) == RL_JSON_OBJECT;
    *out = (message){.role = rl_json_text(is_object ? rl_json_get(item, "role") : NULL, NULL),
                     .content = rl_json_text(is_object ? rl_json_get(item, "content") : NULL, NULL),
                     .from = item};
    if (out->role == NULL || out->content == NULL) {
        return rl_fail(err, RL_IO,
                       "message %d of '%s' is not an object with the texts 'role' and 'content'",
                       (int)i + 1, key);
    }
    weighs = weighing_key(item);
    if (weighs == NULL || (rl_text_equal(out->role, "assistant") && !context)) {
        return RL_OK;
    }
    return rl_fail(err, RL_IO,
                   "message %d of '%s' has '%s', which only messages of the assistant may have%s; "
                   "others weigh 'algo.prompt_loss_weight'",
                   (int)i + 1, key, weighs,
                   context ? " that are learnt, those of 'messages' and 'completion'" : "");
}

/* A list of messages, or, where a role is given, a text as its one message. */
static rl_status read_messages(rl_reading *r, const rl_json *record, const char *key,
                               const char *role, message **out, int32_t *n_out, rl_err *err) {
    const rl_json *list = rl_json_get(record, key);
    bool context = role != NULL && rl_text_equal(role, "user");
    int32_t i = 0;
    if (list != NULL && rl_json_type_of(list) == RL_JSON_TEXT && role != NULL) {
        *out = rl_arena_alloc(r->arena, 1, sizeof **out);
        **out = (message){role, rl_json_text(list, ""), record};
        *n_out = 1;
        return RL_OK;
    }
    if (list == NULL || rl_json_type_of(list) != RL_JSON_LIST || rl_json_first(list) == NULL) {
        return rl_fail(err, RL_IO, "'%s' is not %sa list of messages", key,
                       role != NULL ? "text or " : "");
    }
    *n_out = (int32_t)rl_json_count(list);
    *out = rl_arena_alloc(r->arena, (size_t)*n_out, sizeof **out);
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        rl_status status = read_message(item, key, context, i, &(*out)[i], err);
        if (status != RL_OK) {
            return status;
        }
        i++;
    }
    return RL_OK;
}

// The messages before the assistant's first turn.
static rl_status put_opening(rl_reading *r, const message *m, int32_t n, rl_err *err) {
    const char *system = r->opts->system;
    rl_message *before = rl_arena_alloc(r->arena, (size_t)n + 1, sizeof *before);
    int32_t n_before = 0, *ids, n_ids;
    rl_status status;
    if (system[0] != '\0' && (n == 0 || !rl_text_equal(m[0].role, "system"))) {
        before[n_before++] = (rl_message){"system", system};
    }
    for (int32_t i = 0; i < n; i++) {
        if (!rl_text_equal(m[i].role, "user") && !rl_text_equal(m[i].role, "assistant") &&
            !(rl_text_equal(m[i].role, "system") && i == 0)) {
            return rl_fail(err, RL_IO,
                           "message %d has the role '%.40s'; roles are user and assistant, and "
                           "system for the first",
                           (int)i + 1, m[i].role);
        }
        before[n_before++] = (rl_message){m[i].role, m[i].content};
    }
    status = rl_chat_open(r->opts->chat, before, n_before, r->arena, &ids, &n_ids, err);
    if (status == RL_OK) {
        put_context(r, ids, n_ids);
    }
    return status;
}

// Turns from the assistant's first on: they alternate, as those of a rollout do.
static rl_status put_turns(rl_reading *r, const message *m, int32_t n, rl_err *err) {
    bool ended = rl_chat_stop(r->opts->chat) >= 0;
    for (int32_t i = 0; i < n; i++) {
        const char *want = i % 2 == 0 ? "assistant" : "user";
        int32_t *ids, n_ids;
        rl_status status;
        if (!rl_text_equal(m[i].role, want)) {
            return rl_fail(err, RL_IO,
                           "turn %d from the first of the assistant has the role '%.40s', not "
                           "'%s'; assistant and user take turns",
                           (int)i + 1, m[i].role, want);
        }
        if (i % 2 == 0) {
            status = put_reply(r, m[i].from, m[i].content, err);
        } else {
            status = rl_chat_continue(r->opts->chat, ended, m[i].content, strlen(m[i].content),
                                      r->arena, &ids, &n_ids, err);
            if (status == RL_OK) {
                put_context(r, ids, n_ids);
            }
        }
        if (status != RL_OK) {
            return status;
        }
    }
    return RL_OK;
}

/* What stands beside a completion weighs its text; a list's messages have their own. */
static rl_status check_beside(const rl_json *record, rl_err *err) {
    const char *weighs = weighing_key(record);
    const rl_json *completion = rl_json_get(record, "completion");
    if (weighs != NULL && completion != NULL && rl_json_type_of(completion) == RL_JSON_LIST) {
        return rl_fail(err, RL_IO,
                       "'%s' stands beside a 'completion' that is a list; put it into the message "
                       "that it weighs",
                       weighs);
    }
    return RL_OK;
}

static rl_status put_record(rl_reading *r, const rl_json *record, rl_err *err) {
    message *m = NULL, *turns = NULL;
    int32_t n = 0, n_turns = 0, first = 0;
    rl_status status;
    if (rl_json_get(record, "messages") != NULL) {
        status = read_messages(r, record, "messages", NULL, &m, &n, err);
        while (status == RL_OK && first < n && !rl_text_equal(m[first].role, "assistant")) {
            first++;
        }
        turns = status == RL_OK ? m + first : NULL;
        n_turns = status == RL_OK ? n - first : 0;
    } else {
        status = read_messages(r, record, "prompt", "user", &m, &first, err);
        if (status == RL_OK) {
            status = check_beside(record, err);
        }
        if (status == RL_OK) {
            status = read_messages(r, record, "completion", "assistant", &turns, &n_turns, err);
        }
    }
    if (status == RL_OK) {
        status = put_opening(r, m, first, err);
    }
    return status == RL_OK ? put_turns(r, turns, n_turns, err) : status;
}

rl_status rl_reading_record(rl_reading *r, const rl_json *record, rl_err *err) {
    bool trains = false;
    rl_status status;
    rl_arena_reset(r->arena);
    r->n_tokens = 0;
    if (rl_json_type_of(record) != RL_JSON_OBJECT) {
        return rl_fail(err, RL_IO, "is %s, not an object",
                       rl_json_type_name(rl_json_type_of(record)));
    }
    if (rl_json_get(record, "messages") == NULL && rl_json_get(record, "completion") == NULL) {
        return rl_fail(err, RL_IO, "has no 'messages', nor 'prompt' and 'completion'");
    }
    status = put_record(r, record, err);
    if (status != RL_OK) {
        return status;
    }
    if (r->n_tokens > 0) {
        r->weight[0] = 0; // nothing predicts it
    }
    for (size_t i = 0; i < r->n_tokens; i++) {
        trains = trains || r->weight[i] > 0;
    }
    return trains ? RL_OK
                  : rl_fail(err, RL_IO,
                            "has nothing to train on: no message of the assistant with a weight "
                            "over 0");
}
