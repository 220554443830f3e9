#include "rl/policy/score.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/lines.h"
#include "cli/model.h"
#include "cli/shared.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"

typedef struct scorer {
    model model;
    rl_err no_text; // why there is no tokenizer, where there is none
    rl_arena *arena;
    int32_t n_ids; // ids that have a probability
} scorer;

/* Some ids with those before them; log-probs are those of `token` alone. */
typedef struct passage {
    int32_t *before, *token;
    int32_t n_before, n_tokens;
} passage;

static rl_status read_ids(const scorer *s, const rl_json *ids, passage *out, rl_err *err) {
    int32_t n = 0;
    if (rl_json_type_of(ids) != RL_JSON_LIST || rl_json_count(ids) == 0) {
        return rl_fail(err, RL_BAD_RECIPE, "no list 'ids' of token ids");
    }
    out->token = rl_arena_alloc(s->arena, rl_json_count(ids), sizeof *out->token);
    for (const rl_json *id = rl_json_first(ids); id != NULL; id = rl_json_next(id), n++) {
        int64_t value;
        if (!rl_json_integer(id, &value) || value < 0 || value >= s->n_ids) {
            return rl_fail(err, RL_BAD_RECIPE, "entry %d of 'ids' is not an id from 0 to %d", n,
                           s->n_ids - 1);
        }
        out->token[n] = (int32_t)value;
    }
    out->n_tokens = n;
    return RL_OK;
}

// The messages of a prompt or completion.
static rl_status read_messages(const scorer *s, const char *key, const rl_json *list,
                               rl_message **out, int32_t *n_out, rl_err *err) {
    *n_out = 0;
    *out = rl_arena_alloc(s->arena, rl_json_count(list), sizeof **out);
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        const char *role = rl_json_text(rl_json_get(item, "role"), NULL);
        const char *content = rl_json_text(rl_json_get(item, "content"), NULL);
        if (role == NULL || content == NULL) {
            return rl_fail(err, RL_BAD_RECIPE, "message %d of '%s' lacks a 'role' or a 'content'",
                           (int)*n_out + 1, key);
        }
        (*out)[(*n_out)++] = (rl_message){.role = role, .content = content};
    }
    return *n_out > 0 ? RL_OK : rl_fail(err, RL_BAD_RECIPE, "'%s' has no message", key);
}

// Text as it stands: special tokens it names are those, and bos comes first where models want it.
static rl_status encode(const scorer *s, const char *text, unsigned flags, int32_t **out,
                        int32_t *n_out, rl_err *err) {
    return rl_tokenizer_encode(s->model.tokenizer, text, strlen(text), flags | RL_ENCODE_SPECIALS,
                               s->arena, out, n_out, err);
}

static rl_status read_text(const scorer *s, const char *prompt, const rl_json *completion,
                           passage *out, rl_err *err) {
    const char *text = rl_json_text(completion, NULL);
    rl_status status;
    if (text == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "'prompt' is text, so 'completion' must be text too");
    }
    status = encode(s, prompt, RL_ENCODE_FRAME, &out->before, &out->n_before, err);
    return status == RL_OK ? encode(s, text, RL_ENCODE_PLAIN, &out->token, &out->n_tokens, err)
                           : status;
}

// Through the chat template; a completion that is a message ends with the token that ends a turn.
static rl_status read_talk(scorer *s, const rl_json *prompt, const rl_json *completion,
                           passage *out, rl_err *err) {
    const char *text = rl_json_text(completion, NULL);
    rl_message *message = NULL, *reply = NULL;
    int32_t n_messages = 0, n_replies = 0, stop = -1;
    rl_status status = RL_OK;
    if (s->model.chat == NULL) {
        status = rl_chat_new(s->model.tokenizer, &s->model.chat, err);
    }
    if (status == RL_OK) {
        status = read_messages(s, "prompt", prompt, &message, &n_messages, err);
    }
    if (status == RL_OK && text == NULL) {
        status = read_messages(s, "completion", completion, &reply, &n_replies, err);
        if (status == RL_OK && (n_replies != 1 || strcmp(reply[0].role, "assistant") != 0)) {
            status = rl_fail(err, RL_BAD_RECIPE,
                             "'completion' must be text or one message of the assistant");
        }
        text = status == RL_OK ? reply[0].content : NULL;
        stop = rl_chat_stop(s->model.chat);
    }
    if (status == RL_OK) {
        status = rl_chat_open(s->model.chat, message, n_messages, s->arena, &out->before,
                              &out->n_before, err);
    }
    if (status == RL_OK) {
        status = rl_chat_reply(s->model.chat, text, strlen(text), s->arena, &out->token,
                               &out->n_tokens, err);
    }
    if (status == RL_OK && stop >= 0) {
        int32_t *longer = rl_arena_alloc(s->arena, (size_t)out->n_tokens + 1, sizeof *longer);
        if (out->n_tokens > 0) {
            memcpy(longer, out->token, (size_t)out->n_tokens * sizeof *longer);
        }
        longer[out->n_tokens++] = stop;
        out->token = longer;
    }
    return status;
}

static rl_status read_passage(scorer *s, const rl_json *record, passage *out, rl_err *err) {
    const rl_json *ids = rl_json_get(record, "ids"), *prompt = rl_json_get(record, "prompt");
    const rl_json *completion = rl_json_get(record, "completion");
    int32_t max = rl_checkpoint_config(s->model.checkpoint)->max_positions;
    rl_status status;
    *out = (passage){0};
    if ((ids != NULL) == (prompt != NULL || completion != NULL)) {
        return rl_fail(err, RL_BAD_RECIPE, "a record has 'ids', or 'prompt' and 'completion'");
    }
    if (ids != NULL) {
        status = read_ids(s, ids, out, err);
    } else if (prompt == NULL || completion == NULL) {
        status =
            rl_fail(err, RL_BAD_RECIPE, "a record without 'ids' has 'prompt' and 'completion'");
    } else if (s->model.tokenizer == NULL) {
        status = rl_fail(err, RL_BAD_RECIPE, "text needs a tokenizer: %.400s", s->no_text.text);
    } else if (rl_json_type_of(prompt) == RL_JSON_TEXT) {
        status = read_text(s, rl_json_text(prompt, ""), completion, out, err);
    } else {
        status = read_talk(s, prompt, completion, out, err);
    }
    if (status == RL_OK && ids == NULL && out->n_before == 0) {
        status = rl_fail(err, RL_BAD_RECIPE,
                         "the prompt has no token from which the completion's first is predicted");
    }
    if (status == RL_OK && out->n_before + out->n_tokens > max) {
        status = rl_fail(err, RL_BAD_RECIPE, "%d ids, but the model has %d positions",
                         out->n_before + out->n_tokens, max);
    }
    return status;
}

static rl_status score_line(void *self, const rl_json *record, rl_json_writer *out, rl_err *err) {
    scorer *s = self;
    passage p;
    rl_status status = read_passage(s, record, &p, err);
    if (status == RL_OK) {
        rl_segment segment[2] = {
            {.parent = -1, .n_tokens = p.n_before, .token = p.before},
            {.parent = 0, .n_tokens = p.n_tokens, .token = p.token, .wanted = true}};
        bool alone = p.n_before == 0;
        size_t n = (size_t)(p.n_tokens - (alone ? 1 : 0));
        double *logp = rl_arena_alloc(s->arena, n, sizeof *logp), sum = 0;
        double *entropy = rl_arena_alloc(s->arena, n, sizeof *entropy);
        segment[1].parent = alone ? -1 : 0;
        if (n > 0) {
            status = rl_policy_score(s->model.policy, segment + (alone ? 1 : 0), alone ? 1 : 2, 1.0,
                                     logp, entropy, err);
        }
        for (size_t t = 0; t < n; t++) {
            sum += logp[t];
        }
        if (!alone) {
            put_ids(out, p.token, p.n_tokens);
        }
        put_numbers(out, "logprobs", logp, (int64_t)n);
        put_numbers(out, "entropy", entropy, (int64_t)n);
        rl_json_put_number(out, "sum", sum);
    }
    rl_arena_reset(s->arena);
    return status;
}

// A tokenizer says which ids there are; ids alone can be scored without one.
static rl_status open_scorer(const args *a, scorer *s, rl_err *err) {
    rl_status status = model_open(a, &s->model, err);
    if (status == RL_OK) {
        (void)!model_open_tokenizer(&s->model, &s->no_text);
        s->n_ids = s->model.tokenizer != NULL ? rl_tokenizer_vocab(s->model.tokenizer)
                                              : rl_checkpoint_config(s->model.checkpoint)->vocab;
        status = model_open_weights(a, &s->model, err);
    }
    return status;
}

// What is written to a file goes aside first, so that a file under its own name is whole.
static rl_status answer_to_file(const args *a, scorer *s, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char *path = rl_arena_printf(arena, "%s.tmp", a->to);
    FILE *to = fopen(path, "wb");
    rl_status status = RL_OK;
    rl_err ignored;
    if (to == NULL) {
        status = rl_fail(err, RL_IO, "cannot write '%s': %s", a->to, strerror(errno));
    } else {
        status = answer_lines(a->in, to, score_line, s, err);
        errno = 0;
        bool lost = ferror(to) != 0;
        lost = fclose(to) != 0 || lost;
        if (status == RL_OK && lost) {
            status = rl_fail(err, RL_IO, "cannot write '%s': %s", a->to,
                             errno != 0 ? strerror(errno) : "part of it was lost");
        }
        if (status == RL_OK) {
            status = rl_fs_rename(path, a->to, err);
        }
        if (status != RL_OK) {
            (void)!rl_fs_remove(path, &ignored);
        }
    }
    rl_arena_free(arena);
    return status;
}

int command_score(const args *a) {
    scorer s = {.arena = rl_arena_new(0)};
    rl_err err = {""};
    rl_status status = open_scorer(a, &s, &err);
    if (status == RL_OK) {
        status = a->to != NULL ? answer_to_file(a, &s, &err)
                               : answer_lines(a->in, stdout, score_line, &s, &err);
    }
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    model_close(&s.model);
    rl_arena_free(s.arena);
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
