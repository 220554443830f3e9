/*
 * Completions of one prompt, written as they come. They are drawn together; the first that is not
 * finished is shown as it grows, and what the others said waits until it is their turn.
 */
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/model.h"
#include "cli/shared.h"
#include "rl/core/alloc.h"
#include "rl/core/json.h"
#include "rl/core/log.h"
#include "rl/policy/decode.h"
#include "rl/policy/stop_text.h"

enum { MAX_BATCH = 64 };

/* One completion as text. */
typedef struct voice {
    rl_token_stream *stream;
    rl_stop_text *stop;
    rl_str text; // all of it so far
    size_t shown;
    int32_t n_tokens;
    bool ended, cut; // cut: by a stop text
} voice;

typedef struct speech {
    const args *args;
    const model *model;
    voice *voice; // [n]
    int32_t n;
    int32_t current; // the voice that is heard
    int32_t limit;   // tokens of a completion
} speech;

static void begin_voice(const speech *s, int32_t i) {
    if (s->n > 1 && !s->args->sample.logprobs) {
        printf("--- %d of %d ---\n", i + 1, s->n);
    }
}

// Shows what the current voice has said since, and goes on to the next one where it has ended.
static void show(speech *s) {
    while (!s->args->sample.logprobs && s->current < s->n) {
        voice *v = &s->voice[s->current];
        fwrite(rl_str_text(&v->text) + v->shown, 1, v->text.len - v->shown, stdout);
        v->shown = v->text.len;
        if (!v->ended) {
            break;
        }
        putchar('\n');
        if (++s->current < s->n) {
            begin_voice(s, s->current);
        }
    }
    fflush(stdout);
}

static void say(voice *v, const rl_str *piece) {
    v->cut = rl_stop_text_put(v->stop, rl_str_text(piece), piece->len, &v->text);
}

static void end_voice(voice *v) {
    rl_str piece = {0};
    rl_token_stream_end(v->stream, &piece);
    say(v, &piece);
    rl_stop_text_end(v->stop, &v->text);
    rl_str_release(&piece);
    v->ended = true;
}

static bool is_stop(const model *m, int32_t token) {
    for (int32_t i = 0; i < m->n_stop; i++) {
        if (m->stop[i] == token) {
            return true;
        }
    }
    return false;
}

// The token that ends a completion is not part of its text.
static bool watch(void *self, int32_t completion, int32_t token) {
    speech *s = self;
    voice *v = &s->voice[completion];
    bool stops = is_stop(s->model, token);
    if (!stops) {
        rl_str piece = {0};
        rl_token_stream_put(v->stream, token, &piece);
        say(v, &piece);
        rl_str_release(&piece);
    }
    v->n_tokens++;
    if (stops || v->cut || v->n_tokens == s->limit) {
        end_voice(v);
    }
    show(s);
    return v->cut;
}

static void print_completion(const voice *v, int32_t index, const rl_completion *c) {
    rl_str line = {0};
    rl_json_writer w = {.out = &line};
    const char *finish = v->cut ? "stop_text" : c->truncated ? "length" : "stop";
    double sum = 0;
    for (int32_t t = 0; t < c->n_tokens; t++) {
        sum += c->logp[t];
    }
    rl_json_open_object(&w, NULL);
    rl_json_put_int(&w, "sample", index);
    rl_json_put_text(&w, "text", rl_str_text(&v->text), v->text.len);
    rl_json_put_text(&w, "finish", finish, strlen(finish));
    rl_json_open_list(&w, "ids");
    for (int32_t t = 0; t < c->n_tokens; t++) {
        rl_json_put_int(&w, NULL, c->token[t]);
    }
    rl_json_close_list(&w);
    put_numbers(&w, "logprobs", c->logp, c->n_tokens);
    put_numbers(&w, "entropy", c->entropy, c->n_tokens);
    rl_json_put_number(&w, "sum", sum);
    rl_json_close_object(&w);
    printf("%s\n", rl_str_text(&line));
    rl_str_release(&line);
}

static rl_status prompt_ids(const args *a, const model *m, rl_arena *arena, int32_t **ids,
                            int32_t *n_ids, rl_err *err) {
    rl_message message[2];
    int32_t n = 0;
    char *text = NULL;
    size_t text_len = 0;
    rl_status status = RL_OK;
    if (a->prompt != NULL && strcmp(a->prompt, "-") != 0) {
        text = rl_arena_strdup(arena, a->prompt);
        text_len = strlen(text);
    } else {
        status = read_input(NULL, arena, &text, &text_len, err);
    }
    if (status != RL_OK) {
        return status;
    }
    if (a->sample.raw) {
        status = rl_tokenizer_encode(m->tokenizer, text, text_len,
                                     RL_ENCODE_SPECIALS | RL_ENCODE_FRAME, arena, ids, n_ids, err);
    } else {
        if (a->sample.system != NULL) {
            message[n++] = (rl_message){.role = "system", .content = a->sample.system};
        }
        message[n++] = (rl_message){.role = "user", .content = text};
        status = rl_chat_open(m->chat, message, n, arena, ids, n_ids, err);
    }
    if (status == RL_OK && *n_ids == 0) {
        status = rl_fail(err, RL_BAD_RECIPE, "the prompt has no token; give it some text");
    }
    return status;
}

static void open_voices(speech *s) {
    s->voice = rl_alloc((size_t)s->n, sizeof *s->voice);
    for (int32_t i = 0; i < s->n; i++) {
        s->voice[i].stream = rl_token_stream_new(s->model->tokenizer, true);
        s->voice[i].stop = rl_stop_text_new(s->args->sample.stop, s->args->sample.n_stop);
    }
}

static void close_voices(speech *s) {
    for (int32_t i = 0; i < s->n && s->voice != NULL; i++) {
        rl_token_stream_free(s->voice[i].stream);
        rl_stop_text_free(s->voice[i].stop);
        rl_str_release(&s->voice[i].text);
    }
    rl_free(s->voice);
}

static rl_status speak(speech *s, rl_decoder *decoder, const int32_t *ids, int32_t n_ids,
                       rl_arena *arena, rl_err *err) {
    const sample_args *opts = &s->args->sample;
    int32_t room = rl_policy_config(s->model->policy)->max_positions - n_ids;
    size_t n = (size_t)s->n;
    rl_completion *out = rl_arena_alloc(arena, n, sizeof *out);
    rl_rng *rng = rl_arena_alloc(arena, n, sizeof *rng);
    rl_prompt prompt = {
        .parent = -1, .token = ids, .n_tokens = n_ids, .n_samples = s->n, .rng = rng};
    rl_decode_opts decode = {
        .max_new_tokens = opts->max_tokens,
        .temperature = opts->temperature,
        .stop = s->model->stop,
        .n_stop = s->model->n_stop,
        .filter = {.top_k = opts->top_k, .top_p = opts->top_p, .min_p = opts->min_p},
        .watch = watch,
        .watch_self = s};
    rl_status status;
    for (int32_t i = 0; i < s->n; i++) { // the number of completions changes none of them
        rng[i] =
            (rl_rng){.seed = (uint64_t)opts->seed, .sample = (uint32_t)i, .purpose = RL_RNG_SAMPLE};
    }
    if (room <= 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "the prompt has %d tokens, which leaves no room in the model's %d positions",
                       (int)n_ids, (int)(room + n_ids));
    }
    s->limit = opts->max_tokens < room ? opts->max_tokens : room;
    begin_voice(s, 0);
    status = rl_decoder_run(decoder, &prompt, 1, &decode, arena, out, err);
    for (int32_t i = 0; i < s->n && status == RL_OK && opts->logprobs; i++) {
        print_completion(&s->voice[i], i, &out[i]);
    }
    return status;
}

static rl_status sample(const args *a, model *m, rl_arena *arena, rl_err *err) {
    speech s = {.args = a, .model = m, .n = a->sample.n};
    rl_decoder *decoder = NULL;
    int32_t *ids = NULL, n_ids = 0;
    rl_status status = model_open(a, m, err);
    if (status == RL_OK) {
        status = model_open_text(a, m, err);
    }
    if (status == RL_OK) {
        status = prompt_ids(a, m, arena, &ids, &n_ids, err);
    }
    if (status == RL_OK) {
        status = model_open_weights(a, m, err);
    }
    if (status == RL_OK) {
        status = rl_decoder_new(m->policy, s.n < MAX_BATCH ? s.n : MAX_BATCH, &decoder, err);
    }
    if (status == RL_OK) {
        open_voices(&s);
        status = speak(&s, decoder, ids, n_ids, arena, err);
    }
    close_voices(&s);
    rl_decoder_free(decoder);
    return status;
}

int command_sample(const args *a) {
    model m = {0};
    rl_arena *arena = rl_arena_new(0);
    rl_err err = {""};
    rl_status status = sample(a, &m, arena, &err);
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    model_close(&m);
    rl_arena_free(arena);
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
