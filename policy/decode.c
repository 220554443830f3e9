/*
 * Generation. A run goes through two phases:
 *
 *   prefill  every context becomes a node; their tokens go through the model in batches packed over
 *            several contexts, and the last block's output at each context's end is kept. The last
 *            token of a completion that is continued has no key yet: it goes first.
 *   decode   while completions are wanted: waiting ones start from their context's kept output in
 *            the places that are free, then all live rows advance by one token. A finished row
 *            leaves at once.
 *
 * Invariants: live rows are in the order in which completions started, so rows that share a context
 * are neighbours; contexts are taken tree by tree.
 */
#include "rl/policy/decode.h"

#include "policy/decode_batch.h"
#include "policy/kv_cache.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/clock.h"
#include "rl/tensor/ops.h"

/* A context of the run, in the order of computation. */
typedef struct context {
    const rl_prompt *prompt;
    rl_completion *out; // its first completion
    int32_t first;      // number of that among the run's
    int32_t node;
    int32_t limit; // tokens a completion may have
    int32_t done;  // of the prompt's tokens
} context;

/* A completion being made. */
typedef struct live_row {
    const context *from;
    int32_t sample; // among its context's
    int32_t node;
    int32_t n; // tokens drawn
} live_row;

struct rl_decoder {
    rl_policy *policy;
    int32_t max_batch;
    rl_kv_cache cache;
    rl_decode_batch batch;
    context *context; // [max_contexts]
    int32_t n_contexts, max_contexts;
    rl_buffer *hidden_buffer;
    rl_tensor hidden; // [max_contexts, C] the last block's output at each context's end
    live_row *live;   // [max_batch]
    int32_t n_live;
    int32_t *pick;      // [max of RL_PREFILL_ROWS and max_batch]
    double *uniform;    // [max_batch]
    float *temperature; // [max_batch]
    rl_decode_stats stats;
};

static int32_t row_capacity(int32_t max_batch) {
    return max_batch > RL_PREFILL_ROWS ? max_batch : RL_PREFILL_ROWS;
}

static rl_status init_decoder(rl_decoder *decoder, rl_err *err) {
    rl_policy *policy = decoder->policy;
    size_t n = (size_t)decoder->max_batch;
    rl_status status = rl_decode_batch_init(
        &decoder->batch, policy, row_capacity(decoder->max_batch), decoder->max_batch, err);
    if (status == RL_OK) {
        status = rl_kv_cache_init(&decoder->cache, policy, err);
    }
    decoder->live = rl_alloc(n, sizeof *decoder->live);
    decoder->pick = rl_alloc((size_t)row_capacity(decoder->max_batch), sizeof *decoder->pick);
    decoder->uniform = rl_alloc(n, sizeof *decoder->uniform);
    decoder->temperature = rl_alloc(n, sizeof *decoder->temperature);
    return status;
}

rl_status rl_decoder_new(rl_policy *policy, int32_t max_batch, rl_decoder **out, rl_err *err) {
    rl_decoder *decoder = rl_alloc(1, sizeof *decoder);
    rl_status status;
    RL_ASSERT(max_batch > 0);
    decoder->policy = policy;
    decoder->max_batch = max_batch;
    status = init_decoder(decoder, err);
    if (status != RL_OK) {
        rl_decoder_free(decoder);
        decoder = NULL;
    }
    *out = decoder;
    return status;
}

void rl_decoder_free(rl_decoder *decoder) {
    if (decoder == NULL) {
        return;
    }
    rl_decode_batch_release(&decoder->batch);
    rl_kv_cache_release(&decoder->cache);
    rl_buffer_free(decoder->policy->be, decoder->hidden_buffer);
    rl_free(decoder->context);
    rl_free(decoder->live);
    rl_free(decoder->pick);
    rl_free(decoder->uniform);
    rl_free(decoder->temperature);
    rl_free(decoder);
}

void rl_decoder_reset(rl_decoder *decoder) {
    rl_kv_cache_reset(&decoder->cache);
}

rl_decode_stats rl_decoder_stats(const rl_decoder *decoder) {
    return decoder->stats;
}

/* Room for n contexts and their outputs; what they held is not kept. */
static rl_status reserve_contexts(rl_decoder *decoder, int32_t n, rl_err *err) {
    int64_t width = decoder->policy->config.width;
    rl_status status;
    if (n <= decoder->max_contexts) {
        return RL_OK;
    }
    rl_buffer_free(decoder->policy->be, decoder->hidden_buffer);
    decoder->hidden_buffer = NULL;
    decoder->max_contexts = 0;
    status = rl_buffer_alloc(decoder->policy->be, (size_t)(n * width) * sizeof(float),
                             &decoder->hidden_buffer, err);
    if (status != RL_OK) {
        return rl_fail(err, status, "no memory for %d prompts; try a smaller 'rollout.prompts'",
                       (int)n);
    }
    decoder->hidden = rl_tensor_2d(RL_DTYPE_F32, decoder->hidden_buffer, 0, n, width);
    decoder->context = rl_realloc(decoder->context, (size_t)n, sizeof *decoder->context);
    decoder->max_contexts = n;
    return RL_OK;
}

static rl_status check_prompt(const rl_decoder *decoder, const rl_prompt *prompt, rl_err *err) {
    const rl_model_config *config = &decoder->policy->config;
    int64_t length = prompt->n_tokens;
    int32_t t;
    RL_ASSERT(prompt->n_tokens > 0 && prompt->n_samples >= 0);
    RL_ASSERT(prompt->parent >= -1 && prompt->parent < decoder->cache.n_nodes);
    if (prompt->parent >= 0) {
        const rl_kv_node *parent = &decoder->cache.node[prompt->parent];
        length += parent->pos + parent->n_tokens;
    }
    if (length >= config->max_positions) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "a context of %lld tokens leaves no room in the model's %d positions; try "
                       "a smaller 'data.max_prompt_tokens'",
                       (long long)length, (int)config->max_positions);
    }
    for (t = 0; t < prompt->n_tokens; t++) {
        if (prompt->token[t] < 0 || prompt->token[t] >= config->vocab) {
            return rl_fail(err, RL_UNSUPPORTED, "token %d is outside the model's vocabulary of %d",
                           (int)prompt->token[t], (int)config->vocab);
        }
    }
    return RL_OK;
}

/* Contexts tree by tree, in the prompts' order within a tree. Insertion: they mostly come so. */
static void sort_contexts(const rl_decoder *decoder) {
    const rl_kv_node *node = decoder->cache.node;
    int32_t i, j;
    for (i = 1; i < decoder->n_contexts; i++) {
        context moved = decoder->context[i];
        for (j = i; j > 0 && node[decoder->context[j - 1].node].root > node[moved.node].root; j--) {
            decoder->context[j] = decoder->context[j - 1];
        }
        decoder->context[j] = moved;
    }
}

static rl_status make_contexts(rl_decoder *decoder, const rl_prompt *prompt, int32_t n_prompts,
                               const rl_decode_opts *opts, rl_completion *out, rl_err *err) {
    int32_t max_positions = decoder->policy->config.max_positions, n_before = 0, i;
    rl_status status = reserve_contexts(decoder, n_prompts, err);
    for (i = 0; status == RL_OK && i < n_prompts; i++) {
        status = check_prompt(decoder, &prompt[i], err);
    }
    if (status != RL_OK) {
        return status;
    }
    decoder->n_contexts = n_prompts;
    for (i = 0; i < n_prompts; i++) {
        context *c = &decoder->context[i];
        int32_t room;
        *c = (context){.prompt = &prompt[i], .out = out + n_before, .first = n_before};
        c->node = rl_kv_node_new(&decoder->cache, prompt[i].parent);
        room = max_positions - decoder->cache.node[c->node].pos - prompt[i].n_tokens;
        c->limit = opts->max_new_tokens < room ? opts->max_new_tokens : room;
        n_before += prompt[i].n_samples;
    }
    sort_contexts(decoder);
    return RL_OK;
}

/*
 * Rows of the contexts from *at on, as many as fit; returns how many contexts end among them, and
 * their last rows in pick. A parent's last token goes before what continues it.
 */
static rl_status fill_prefill(rl_decoder *decoder, int32_t *at, int32_t *n_ended, rl_err *err) {
    rl_decode_batch *batch = &decoder->batch;
    rl_kv_cache *cache = &decoder->cache;
    rl_decode_batch_clear(batch);
    *n_ended = 0;
    while (*at < decoder->n_contexts && batch->n_rows < RL_PREFILL_ROWS) {
        context *c = &decoder->context[*at];
        int32_t parent = c->prompt->parent, n, t, slot;
        if (parent >= 0 && cache->node[parent].n_cached < cache->node[parent].n_tokens) {
            rl_decode_batch_push(batch, cache, parent, 1);
            continue;
        }
        n = c->prompt->n_tokens - c->done;
        n = n < RL_PREFILL_ROWS - batch->n_rows ? n : RL_PREFILL_ROWS - batch->n_rows;
        for (t = 0; t < n; t++) {
            rl_status status =
                rl_kv_append(cache, c->node, c->prompt->token[c->done + t], &slot, err);
            if (status != RL_OK) {
                return status;
            }
        }
        rl_decode_batch_push(batch, cache, c->node, n);
        c->done += n;
        if (c->done == c->prompt->n_tokens) {
            decoder->pick[(*n_ended)++] = batch->n_rows - 1;
            (*at)++;
        }
    }
    return RL_OK;
}

static rl_status prefill(rl_decoder *decoder, rl_err *err) {
    double start = rl_clock_now();
    int32_t at = 0, n_ended;
    rl_status status = RL_OK;
    while (status == RL_OK && at < decoder->n_contexts) {
        int32_t begin = at;
        status = fill_prefill(decoder, &at, &n_ended, err);
        if (status != RL_OK) {
            break;
        }
        rl_decode_batch_run(&decoder->batch, &decoder->cache);
        if (n_ended > 0) {
            rl_decode_batch_pick(&decoder->batch, rl_tensor_rows(decoder->hidden, begin, at),
                                 decoder->batch.act.out, decoder->pick, n_ended);
        }
        status = rl_backend_sync(decoder->policy->be, err);
        decoder->stats.prefill_tokens += decoder->batch.n_rows;
    }
    decoder->stats.prefill_s += rl_clock_now() - start;
    return status;
}

// Whether the token just drawn ends the row's completion.
static bool is_last(const rl_decode_opts *opts, const live_row *row, int32_t token) {
    bool stops =
        opts->watch != NULL && opts->watch(opts->watch_self, row->from->first + row->sample, token);
    int32_t i;
    for (i = 0; i < opts->n_stop; i++) {
        stops = stops || opts->stop[i] == token;
    }
    return stops;
}

/* Copies a completion's tokens out of the cache. */
static void finish(const rl_decoder *decoder, const live_row *row, bool stopped, rl_arena *arena) {
    const rl_kv_cache *cache = &decoder->cache;
    const rl_kv_node *node = &cache->node[row->node];
    size_t n = (size_t)row->n;
    int32_t *token = rl_arena_alloc(arena, n, sizeof *token);
    double *logp = rl_arena_alloc(arena, n, sizeof *logp);
    double *entropy = rl_arena_alloc(arena, n, sizeof *entropy);
    int32_t page = node->first_page, t;
    for (t = 0; t < row->n; t++) {
        int32_t slot = page * RL_KV_PAGE + t % RL_KV_PAGE;
        token[t] = cache->token[slot];
        logp[t] = (double)cache->logp[slot];
        entropy[t] = (double)cache->entropy[slot];
        if (t % RL_KV_PAGE == RL_KV_PAGE - 1) {
            page = cache->next_page[page];
        }
    }
    row->from->out[row->sample] = (rl_completion){.node = row->node,
                                                  .n_tokens = row->n,
                                                  .token = token,
                                                  .logp = logp,
                                                  .entropy = entropy,
                                                  .truncated = !stopped};
}

/*
 * Draws a token for live rows [first, n_live) from hidden, one row each, and lets those go that are
 * finished; the others keep their order.
 */
static rl_status draw(rl_decoder *decoder, int32_t first, rl_tensor hidden,
                      const rl_decode_opts *opts, rl_arena *arena, rl_err *err) {
    static const rl_filter no_filter;
    const rl_decode_batch *batch = &decoder->batch;
    int32_t n = decoder->n_live - first, i, kept = first;
    rl_status status;
    for (i = 0; i < n; i++) {
        const live_row *row = &decoder->live[first + i];
        const rl_rng *rng = row->from->prompt->rng;
        decoder->temperature[i] = (float)opts->temperature;
        decoder->uniform[i] = 0;
        if (opts->temperature > 0) {
            RL_ASSERT(rng != NULL);
            decoder->uniform[i] = rl_rng_uniform(&rng[row->sample], (uint64_t)row->n);
        }
    }
    status = rl_decode_batch_draw(&decoder->batch, hidden, decoder->uniform, decoder->temperature,
                                  opts->temperature > 0 ? &opts->filter : &no_filter, err);
    for (i = 0; status == RL_OK && i < n; i++) {
        live_row row = decoder->live[first + i];
        int32_t token = batch->drawn_host[i], slot = 0;
        bool stopped = is_last(opts, &row, token);
        status = rl_kv_append(&decoder->cache, row.node, token, &slot, err);
        if (status != RL_OK) {
            break;
        }
        decoder->cache.logp[slot] = batch->logp_host[i];
        decoder->cache.entropy[slot] = batch->entropy_host[i];
        row.n++;
        if (stopped || row.n == row.from->limit) {
            finish(decoder, &row, stopped, arena);
        } else {
            decoder->live[kept++] = row;
        }
    }
    decoder->n_live = kept;
    decoder->stats.decode_tokens += n;
    return status;
}

/* A waiting completion: the next one is sample `sample` of context `at`. */
typedef struct queue {
    int32_t at, sample;
} queue;

/* Fills free places with waiting completions and draws their first tokens. */
static rl_status admit(rl_decoder *decoder, queue *next, const rl_decode_opts *opts,
                       rl_arena *arena, rl_err *err) {
    int32_t first = decoder->n_live, n;
    rl_tensor start;
    while (next->at < decoder->n_contexts && decoder->n_live < decoder->max_batch) {
        const context *c = &decoder->context[next->at];
        if (next->sample == c->prompt->n_samples) {
            *next = (queue){next->at + 1, 0};
            continue;
        }
        decoder->pick[decoder->n_live - first] = next->at;
        decoder->live[decoder->n_live++] = (live_row){
            .from = c, .sample = next->sample++, .node = rl_kv_node_new(&decoder->cache, c->node)};
    }
    n = decoder->n_live - first;
    if (n == 0) {
        return RL_OK;
    }
    start = rl_tensor_rows(decoder->batch.act.in, 0, n);
    rl_decode_batch_pick(&decoder->batch, start, decoder->hidden, decoder->pick, n);
    return draw(decoder, first, start, opts, arena, err);
}

/* All live rows advance by one token. */
static rl_status step(rl_decoder *decoder, const rl_decode_opts *opts, rl_arena *arena,
                      rl_err *err) {
    rl_decode_batch *batch = &decoder->batch;
    int32_t i;
    rl_decode_batch_clear(batch);
    for (i = 0; i < decoder->n_live; i++) {
        rl_decode_batch_push(batch, &decoder->cache, decoder->live[i].node, 1);
    }
    rl_decode_batch_run(batch, &decoder->cache);
    return draw(decoder, 0, rl_tensor_rows(batch->act.out, 0, decoder->n_live), opts, arena, err);
}

static bool is_waiting(const rl_decoder *decoder, queue *next) {
    while (next->at < decoder->n_contexts &&
           next->sample == decoder->context[next->at].prompt->n_samples) {
        *next = (queue){next->at + 1, 0};
    }
    return next->at < decoder->n_contexts;
}

rl_status rl_decoder_run(rl_decoder *decoder, const rl_prompt *prompt, int32_t n_prompts,
                         const rl_decode_opts *opts, rl_arena *arena, rl_completion *out,
                         rl_err *err) {
    queue next = {0, 0};
    double start;
    rl_status status;
    RL_ASSERT(n_prompts >= 0 && opts->max_new_tokens > 0 && opts->temperature >= 0);
    status = make_contexts(decoder, prompt, n_prompts, opts, out, err);
    if (status == RL_OK) {
        status = prefill(decoder, err);
    }
    start = rl_clock_now();
    decoder->n_live = 0;
    while (status == RL_OK && (decoder->n_live > 0 || is_waiting(decoder, &next))) {
        if (decoder->n_live < decoder->max_batch && is_waiting(decoder, &next)) {
            status = admit(decoder, &next, opts, arena, err);
        } else {
            status = step(decoder, opts, arena, err);
        }
    }
    decoder->stats.decode_s += rl_clock_now() - start;
    return status;
}
