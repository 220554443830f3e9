#include "rl/rollout/corpus.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rollout/conversation.h"
#include "rollout/order.h"

// Bytes of a file that one thread reads at a time.
enum { PART = 1 << 20 };

/* Some lines of a file and what they hold. Parts are read on any thread, each by itself, so that
 * the corpus does not depend on how many there are. */
typedef struct part {
    const char *text;
    size_t text_len;
    int64_t line;    // of its first
    rl_arena *arena; // tokens and stretches
    rl_conversation *item;
    int32_t n_items, cap, n_skipped;
    int64_t n_tokens;
    rl_status status;
    rl_err err;
} part;

struct rl_corpus {
    part *part;
    size_t n_parts;
    rl_conversation *item; // those of all parts
    int32_t n_items, n_skipped;
    int64_t n_tokens;
    rl_order order;
};

void rl_corpus_free(rl_corpus *corpus) {
    if (corpus == NULL) {
        return;
    }
    for (size_t i = 0; i < corpus->n_parts; i++) {
        rl_arena_free(corpus->part[i].arena);
        rl_free(corpus->part[i].item);
    }
    rl_free(corpus->part);
    rl_free(corpus->item);
    rl_order_release(&corpus->order);
    rl_free(corpus);
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

static void keep(part *p, const rl_reading *r, int64_t line) {
    rl_conversation *item;
    int32_t *token;
    if (p->n_items == p->cap) {
        p->cap = p->cap > 0 ? 2 * p->cap : 256;
        p->item = rl_realloc(p->item, (size_t)p->cap, sizeof *p->item);
    }
    item = &p->item[p->n_items++];
    token = rl_arena_alloc(p->arena, r->n_tokens, sizeof *token);
    memcpy(token, r->token, r->n_tokens * sizeof *token);
    *item = (rl_conversation){.token = token, .n_tokens = (int32_t)r->n_tokens, .line = line};
    item->stretch = pack_stretches(r, p->arena, &item->n_stretches);
    p->n_tokens += item->n_tokens;
}

static rl_status read_line(part *p, rl_reading *r, const char *name, const char *text,
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
            p->n_skipped++;
        } else {
            status = rl_fail(&reason, RL_BAD_RECIPE,
                             "has %zu tokens, more than the %d that 'algo.max_tokens' and the "
                             "model allow; raise it, or set 'data.over_long' to skip",
                             r->n_tokens, (int)r->opts->max_tokens);
        }
    } else if (status == RL_OK) {
        keep(p, r, line);
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

static size_t line_end(const char *text, size_t text_len, size_t begin) {
    const char *newline = memchr(text + begin, '\n', text_len - begin);
    return newline != NULL ? (size_t)(newline - text) : text_len;
}

static void read_part(part *p, rl_reading *r, const char *name) {
    int64_t line = p->line;
    p->arena = rl_arena_new(0);
    for (size_t begin = 0, end; begin < p->text_len && p->status == RL_OK; begin = end + 1) {
        end = line_end(p->text, p->text_len, begin);
        if (!blank(p->text + begin, end - begin)) {
            p->status = read_line(p, r, name, p->text + begin, end - begin, line, &p->err);
        }
        line++;
    }
}

// Cuts a text into parts at ends of lines.
static void cut(rl_corpus *corpus, const char *text, size_t text_len) {
    int64_t line = 1;
    corpus->part = rl_alloc(text_len / PART + 1, sizeof *corpus->part);
    for (size_t begin = 0; begin < text_len;) {
        part *p = &corpus->part[corpus->n_parts++];
        size_t end = text_len - begin > PART ? line_end(text, text_len, begin + PART) : text_len;
        *p = (part){.text = text + begin, .text_len = end - begin, .line = line};
        for (size_t at = 0; at < p->text_len; at = line_end(p->text, p->text_len, at) + 1) {
            line++;
        }
        begin = end + 1;
    }
}

typedef struct job {
    rl_corpus *corpus;
    const char *name;
    rl_reading *reading; // one a worker
} job;

static void read_parts(void *context, int64_t begin, int64_t end, int32_t worker) {
    const job *j = context;
    for (int64_t i = begin; i < end; i++) {
        read_part(&j->corpus->part[i], &j->reading[worker], j->name);
    }
}

static void read_all(rl_corpus *corpus, const char *name, const rl_corpus_opts *opts) {
    int32_t n = opts->pool != NULL ? rl_pool_threads(opts->pool) : 1;
    job j = {corpus, name, rl_alloc((size_t)n, sizeof(rl_reading))};
    for (int32_t i = 0; i < n; i++) {
        j.reading[i] = rl_reading_begin(opts);
    }
    rl_pool_run(opts->pool, (int64_t)corpus->n_parts, 1, read_parts, &j);
    for (int32_t i = 0; i < n; i++) {
        rl_reading_release(&j.reading[i]);
    }
    rl_free(j.reading);
}

// Sums the parts up and lists their conversations; the first mistake of the file is told.
static rl_status join(rl_corpus *corpus, const char *name, const rl_corpus_opts *opts,
                      rl_err *err) {
    size_t n = 0;
    for (size_t i = 0; i < corpus->n_parts; i++) {
        const part *p = &corpus->part[i];
        if (p->status != RL_OK) {
            *err = p->err;
            return p->status;
        }
        n += (size_t)p->n_items;
        corpus->n_skipped += p->n_skipped;
        corpus->n_tokens += p->n_tokens;
    }
    if (n == 0 && corpus->n_skipped == 0) {
        return rl_fail(err, RL_IO, "'%s' holds no conversations", name);
    }
    if (n == 0) {
        return rl_fail(err, RL_BAD_RECIPE,
                       "no conversation is left in '%s': all have more than the %d tokens that "
                       "'algo.max_tokens' and the model allow",
                       name, (int)opts->max_tokens);
    }
    RL_ASSERT(n <= INT32_MAX);
    corpus->item = rl_alloc(n, sizeof *corpus->item);
    for (size_t i = 0; i < corpus->n_parts; i++) {
        part *p = &corpus->part[i];
        if (p->n_items > 0) {
            memcpy(corpus->item + corpus->n_items, p->item, (size_t)p->n_items * sizeof *p->item);
        }
        corpus->n_items += p->n_items;
        rl_free(p->item);
        p->item = NULL;
    }
    return RL_OK;
}

rl_status rl_corpus_parse(const char *name, const char *text, size_t text_len,
                          const rl_corpus_opts *opts, rl_corpus **out, rl_err *err) {
    rl_corpus *corpus = rl_alloc(1, sizeof *corpus);
    rl_status status;
    *out = NULL;
    cut(corpus, text, text_len);
    read_all(corpus, name, opts);
    status = join(corpus, name, opts, err);
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
