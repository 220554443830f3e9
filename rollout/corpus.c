#include "rl/rollout/corpus.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rollout/conversation.h"
#include "rollout/order.h"

enum { BLOCK = 1 << 20 };

struct rl_corpus {
    rl_arena *arena; // tokens and stretches
    rl_conversation *item;
    int32_t n_items, cap, n_skipped;
    int64_t n_tokens;
    rl_order order;
};

void rl_corpus_free(rl_corpus *corpus) {
    if (corpus != NULL) {
        rl_arena_free(corpus->arena);
        rl_free(corpus->item);
        rl_order_release(&corpus->order);
        rl_free(corpus);
    }
}

static bool alike(const rl_reading *r, size_t i, size_t j) {
    return r->weight[i] == r->weight[j] && r->said[i] == r->said[j];
}

static const rl_stretch *pack_stretches(const rl_reading *r, rl_arena *arena, int32_t *n_out) {
    rl_stretch *out;
    size_t n = 0;
    for (size_t i = 0; i < r->n_tokens; i++) {
        n += i == 0 || !alike(r, i, i - 1);
    }
    out = rl_arena_alloc(arena, n, sizeof *out);
    n = 0;
    for (size_t i = 0; i < r->n_tokens; i++) {
        n += i == 0 || !alike(r, i, i - 1);
        out[n - 1] =
            (rl_stretch){.end = (int32_t)i + 1, .weight = r->weight[i], .said = r->said[i]};
    }
    *n_out = (int32_t)n;
    return out;
}

static void keep(rl_corpus *corpus, const rl_reading *r, int64_t line) {
    rl_conversation *item;
    int32_t *token;
    if (corpus->n_items == corpus->cap) {
        size_t cap = corpus->cap > 0 ? 2 * (size_t)corpus->cap : 1024;
        RL_ASSERT(cap <= INT32_MAX);
        corpus->item = rl_realloc(corpus->item, cap, sizeof *corpus->item);
        corpus->cap = (int32_t)cap;
    }
    item = &corpus->item[corpus->n_items++];
    token = rl_arena_alloc(corpus->arena, r->n_tokens, sizeof *token);
    memcpy(token, r->token, r->n_tokens * sizeof *token);
    *item = (rl_conversation){.token = token, .n_tokens = (int32_t)r->n_tokens, .line = line};
    item->stretch = pack_stretches(r, corpus->arena, &item->n_stretches);
    corpus->n_tokens += item->n_tokens;
}

static rl_status read_line(rl_corpus *corpus, rl_reading *r, const char *name, const char *text,
                           size_t text_len, int64_t line, rl_err *err) {
    rl_json_doc *doc = NULL;
    rl_err reason;
    rl_status status = rl_json_parse_line(text, text_len, name, line, &doc, err);
    if (status != RL_OK) {
        return status;
    }
    status = rl_reading_record(r, rl_json_root(doc), &reason);
    if (status == RL_OK && r->n_tokens > (size_t)r->opts->max_tokens) {
        if (r->opts->over_long == RL_OVER_LONG_SKIP) {
            corpus->n_skipped++;
        } else {
            status = rl_fail(&reason, RL_BAD_RECIPE,
                             "has %zu tokens, more than the %d that 'algo.max_tokens' and the "
                             "model allow; raise it, or set 'data.over_long' to skip",
                             r->n_tokens, (int)r->opts->max_tokens);
        }
    } else if (status == RL_OK) {
        keep(corpus, r, line);
    }
    if (status != RL_OK) {
        rl_fail(err, status, "'%s', line %lld: %.350s", name, (long long)line, reason.text);
    }
    rl_json_free(doc);
    return status;
}

static bool blank(const char *text, size_t text_len) {
    for (size_t i = 0; i < text_len; i++) {
        if (text[i] != ' ' && text[i] != '\t' && text[i] != '\r') {
            return false;
        }
    }
    return true;
}

rl_status rl_corpus_parse(const char *name, const char *text, size_t text_len,
                          const rl_corpus_opts *opts, rl_corpus **out, rl_err *err) {
    rl_corpus *corpus = rl_alloc(1, sizeof *corpus);
    rl_reading reading = rl_reading_begin(opts);
    rl_status status = RL_OK;
    int64_t line = 1;
    *out = NULL;
    corpus->arena = rl_arena_new(BLOCK);
    for (size_t begin = 0; begin < text_len && status == RL_OK; line++) {
        const char *newline = memchr(text + begin, '\n', text_len - begin);
        size_t end = newline != NULL ? (size_t)(newline - text) : text_len;
        if (!blank(text + begin, end - begin)) {
            status = read_line(corpus, &reading, name, text + begin, end - begin, line, err);
        }
        begin = end + 1;
    }
    rl_reading_release(&reading);
    if (status == RL_OK && corpus->n_items == 0) {
        status = corpus->n_skipped == 0
                     ? rl_fail(err, RL_IO, "'%s' holds no conversations", name)
                     : rl_fail(err, RL_BAD_RECIPE,
                               "no conversation is left in '%s': all have more than the %d tokens "
                               "that 'algo.max_tokens' and the model allow",
                               name, (int)opts->max_tokens);
    }
    if (status != RL_OK) {
        rl_corpus_free(corpus);
        return status;
    }
    *out = corpus;
    return RL_OK;
}

// Mapped, so that the text of a large file never lies in memory of our own.
rl_status rl_corpus_load(const char *path, const rl_corpus_opts *opts, rl_corpus **out,
                         rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    *out = NULL;
    if (status == RL_OK) {
        status = rl_corpus_parse(path, (const char *)file.ptr, file.len, opts, out, err);
        rl_fs_unmap(&file);
    }
    return status;
}

int32_t rl_corpus_size(const rl_corpus *corpus) {
    return corpus->n_items;
}

int32_t rl_corpus_skipped(const rl_corpus *corpus) {
    return corpus->n_skipped;
}

int64_t rl_corpus_tokens(const rl_corpus *corpus) {
    return corpus->n_tokens;
}

const rl_conversation *rl_corpus_at(const rl_corpus *corpus, int32_t i) {
    RL_ASSERT(i >= 0 && i < corpus->n_items);
    return &corpus->item[i];
}

int32_t rl_corpus_pick(rl_corpus *corpus, uint64_t seed, bool shuffle, int64_t n) {
    return rl_order_pick(&corpus->order, corpus->n_items, seed, shuffle, n);
}
