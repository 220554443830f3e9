#include "rl/policy/tokenizer.h"

#include <string.h>

#include "cli/commands.h"
#include "cli/lines.h"
#include "rl/core/log.h"

typedef struct encoder {
    rl_tokenizer *tokenizer;
    rl_arena *arena;
} encoder;

// The options have Hugging Face's names.
static rl_status put_encoded(encoder *e, const rl_json *record, rl_json_writer *out, rl_err *err) {
    const char *text = rl_json_text(rl_json_get(record, "text"), NULL);
    bool frames = rl_json_bool(rl_json_get(record, "add_special_tokens"), false);
    bool splits = rl_json_bool(rl_json_get(record, "split_special_tokens"), false);
    unsigned flags = (splits ? RL_ENCODE_PLAIN : RL_ENCODE_SPECIALS) |
                     (frames ? RL_ENCODE_FRAME : RL_ENCODE_PLAIN);
    int32_t *ids, n_ids;
    if (text == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "'text' is not text");
    }
    rl_status status =
        rl_tokenizer_encode(e->tokenizer, text, strlen(text), flags, e->arena, &ids, &n_ids, err);
    if (status == RL_OK) {
        put_ids(out, ids, n_ids);
    }
    return status;
}

static rl_status put_decoded(encoder *e, const rl_json *record, rl_json_writer *out, rl_err *err) {
    const rl_json *list = rl_json_get(record, "ids");
    bool skips = rl_json_bool(rl_json_get(record, "skip_special_tokens"), false);
    int32_t *ids = rl_arena_alloc(e->arena, rl_json_count(list), sizeof *ids), n = 0;
    rl_str text = {0};
    if (rl_json_type_of(list) != RL_JSON_LIST) {
        return rl_fail(err, RL_BAD_RECIPE, "'ids' is not a list");
    }
    for (const rl_json *item = rl_json_first(list); item != NULL; item = rl_json_next(item)) {
        int64_t id;
        if (!rl_json_integer(item, &id) || id < 0 || id >= rl_tokenizer_vocab(e->tokenizer)) {
            return rl_fail(err, RL_BAD_RECIPE, "entry %d of 'ids' is not an id from 0 to %d",
                           (int)n, (int)rl_tokenizer_vocab(e->tokenizer) - 1);
        }
        ids[n++] = (int32_t)id;
    }
    rl_tokenizer_decode(e->tokenizer, ids, n, skips, &text);
    rl_json_put_text(out, "text", rl_str_text(&text), text.len);
    rl_str_release(&text);
    return RL_OK;
}

static rl_status tokenize_line(void *self, const rl_json *record, rl_json_writer *out,
                               rl_err *err) {
    encoder *e = self;
    bool has_text = rl_json_get(record, "text") != NULL;
    bool has_ids = rl_json_get(record, "ids") != NULL;
    rl_status status = has_text == has_ids
                           ? rl_fail(err, RL_BAD_RECIPE, "a record has either 'text' or 'ids'")
                           : (has_text ? put_encoded : put_decoded)(e, record, out, err);
    rl_arena_reset(e->arena);
    return status;
}

int command_tokenize(const args *a) {
    encoder e = {.arena = rl_arena_new(0)};
    rl_err err = {""};
    rl_status status = open_tokenizer(a->subject, &e.tokenizer, &err);
    if (status == RL_OK) {
        status = answer_lines(a->in, stdout, tokenize_line, &e, &err);
    }
    if (status != RL_OK) {
        rl_log(RL_LOG_ERROR, "%s", err.text);
    }
    rl_tokenizer_free(e.tokenizer);
    rl_arena_free(e.arena);
    return status == RL_OK ? EXIT_DONE : EXIT_USER;
}
