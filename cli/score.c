#include "rl/policy/score.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/model.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/log.h"

// What scoring needs open at once.
typedef struct scorer {
    model model;
    rl_arena *arena;
    const char *file;
} scorer;

static rl_status read_ids(const scorer *s, const rl_json *record, int64_t line, int32_t **out,
                          int32_t *n_out, rl_err *err) {
    const rl_json *ids = rl_json_get(record, "ids");
    const rl_model_config *config = rl_checkpoint_config(s->model.checkpoint);
    int32_t n = 0;
    if (ids == NULL || rl_json_type_of(ids) != RL_JSON_LIST || rl_json_count(ids) == 0) {
        return rl_fail(err, RL_BAD_RECIPE, "'%s', line %lld: no list 'ids' of token ids", s->file,
                       (long long)line);
    }
    if (rl_json_count(ids) > (size_t)config->max_positions) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "'%s', line %lld: %zu ids, but the model has %d positions", s->file,
                       (long long)line, rl_json_count(ids), config->max_positions);
    }
    *out = rl_arena_alloc(s->arena, rl_json_count(ids), sizeof **out);
    for (const rl_json *id = rl_json_first(ids); id != NULL; id = rl_json_next(id), n++) {
        int64_t value;
        if (!rl_json_integer(id, &value) || value < 0 || value >= config->vocab) {
            return rl_fail(err, RL_BAD_RECIPE,
                           "'%s', line %lld: entry %d of 'ids' is not an id from 0 to %d", s->file,
                           (long long)line, n, config->vocab - 1);
        }
        (*out)[n] = (int32_t)value;
    }
    *n_out = n;
    return RL_OK;
}

// Log-probs are float32 values: nine digits read back to the same one.
static void put_list(rl_str *out, const char *name, const double *x, int64_t n) {
    rl_str_appendf(out, "\"%s\":[", name);
    for (int64_t i = 0; i < n; i++) {
        rl_str_appendf(out, isfinite(x[i]) ? "%s%.9g" : "%snull", i > 0 ? "," : "", x[i]);
    }
    rl_str_append(out, "]");
}

static rl_status score_line(scorer *s, const char *text, size_t text_len, int64_t line,
                            rl_err *err) {
    rl_json_doc *doc = NULL;
    int32_t *ids = NULL, n = 0;
    rl_status status = rl_json_parse_line(text, text_len, s->file, line, &doc, err);
    if (status == RL_OK) {
        status = read_ids(s, rl_json_root(doc), line, &ids, &n, err);
    }
    if (status == RL_OK) {
        double *logp = rl_arena_alloc(s->arena, (size_t)n, sizeof *logp);
        double *entropy = rl_arena_alloc(s->arena, (size_t)n, sizeof *entropy);
        rl_segment whole = {.parent = -1, .n_tokens = n, .token = ids, .wanted = true};
        status =
            n > 1 ? rl_policy_score(s->model.policy, &whole, 1, 1.0, logp, entropy, err) : RL_OK;
        if (status == RL_OK) {
            rl_str out = {0};
            rl_str_append(&out, "{");
            put_list(&out, "logprobs", logp, n - 1);
            rl_str_append(&out, ",");
            put_list(&out, "entropy", entropy, n - 1);
            printf("%s}\n", rl_str_text(&out));
            rl_str_release(&out);
        }
    }
    rl_json_free(doc);
    return status;
}

static rl_status score_file(scorer *s, rl_err *err) {
    rl_arena *text_arena = rl_arena_new(0);
    char *text;
    size_t len;
    int64_t line = 1;
    rl_status status = rl_fs_read(s->file, text_arena, &text, &len, err);
    for (size_t at = 0; status == RL_OK && at < len; line++) {
        const char *end = memchr(text + at, '\n', len - at);
        size_t n = end != NULL ? (size_t)(end - text) - at : len - at;
        if (n > 0) {
            status = score_line(s, text + at, n, line, err);
        }
        rl_arena_reset(s->arena);
        at += n + 1;
    }
    rl_arena_free(text_arena);
    return status;
}

int command_score(const args *a) {
    scorer s = {0};
    rl_err err = {""};
    rl_status status = model_open(a, &s.model, &err);
    s.arena = rl_arena_new(0);
    s.file = a->in;
    if (status == RL_OK) {
        status = model_open_weights(a, &s.model, &err);
    }
    if (status == RL_OK) {
        status = score_file(&s, &err);
    }
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    model_close(&s.model);
    rl_arena_free(s.arena);
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
