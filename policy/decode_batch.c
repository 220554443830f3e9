#include "policy/decode_batch.h"

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

enum { DRAW_ROWS = 64 }; // logits exist for this many rows at most

static void carve_all(rl_decode_batch *batch, const rl_model_config *config, rl_carver *carver) {
    int64_t n = batch->max_rows, draws = batch->max_draws;
    int64_t block = draws < DRAW_ROWS ? draws : DRAW_ROWS;
    batch->d_token = rl_carve_1d(carver, RL_DTYPE_I32, n);
    batch->d_position = rl_carve_1d(carver, RL_DTYPE_I32, n);
    batch->d_slot = rl_carve_1d(carver, RL_DTYPE_I32, n);
    batch->pick = rl_carve_1d(carver, RL_DTYPE_I32, n);
    batch->act = (rl_block_act){.in = rl_carve(carver, RL_DTYPE_F32, n, config->width)};
    batch->act.mid = batch->act.out = batch->act.in;
    rl_block_act_carve(&batch->act, config, carver, n, false);
    rl_block_tmp_carve(&batch->tmp, config, carver, n);
    batch->normed = rl_carve(carver, RL_DTYPE_F32, block, config->width);
    batch->logits = rl_carve(carver, RL_DTYPE_F32, block, config->vocab);
    batch->drawn = rl_carve_1d(carver, RL_DTYPE_I32, draws);
    batch->logp = rl_carve_1d(carver, RL_DTYPE_F32, draws);
    batch->entropy = rl_carve_1d(carver, RL_DTYPE_F32, draws);
}

int64_t rl_decode_batch_bytes(const rl_model_config *config, int32_t max_rows, int32_t max_draws) {
    rl_decode_batch batch = {.max_rows = max_rows, .max_draws = max_draws};
    rl_carver carver = {0};
    carve_all(&batch, config, &carver);
    return (int64_t)carver.used;
}

rl_status rl_decode_batch_init(rl_decode_batch *batch, rl_policy *policy, int32_t max_rows,
                               int32_t max_draws, rl_err *err) {
    size_t n = (size_t)max_rows, draws = (size_t)max_draws;
    rl_carver carver = {0};
    rl_status status;
    *batch = (rl_decode_batch){.policy = policy, .max_rows = max_rows, .max_draws = max_draws};
    carve_all(batch, &policy->config, &carver);
    status = rl_buffer_alloc(policy->be, carver.used, &batch->buffer, err);
    if (status != RL_OK) {
        return rl_fail(err, status,
                       "no memory for decoding %d rows at a time (%.0f MiB); try a smaller "
                       "'rollout.max_batch'",
                       (int)max_draws, (double)carver.used / 1048576.0);
    }
    carver = (rl_carver){.buffer = batch->buffer};
    carve_all(batch, &policy->config, &carver);
    batch->token = rl_alloc(n, sizeof *batch->token);
    batch->position = rl_alloc(n, sizeof *batch->position);
    batch->slot = rl_alloc(n, sizeof *batch->slot);
    batch->item = rl_alloc(n, sizeof *batch->item);
    batch->tree_item = rl_alloc(n + 1, sizeof *batch->tree_item);
    batch->drawn_host = rl_alloc(draws, sizeof *batch->drawn_host);
    batch->logp_host = rl_alloc(draws, sizeof *batch->logp_host);
    batch->entropy_host = rl_alloc(draws, sizeof *batch->entropy_host);
    rl_decode_batch_clear(batch);
    return RL_OK;
}

void rl_decode_batch_release(rl_decode_batch *batch) {
    if (batch->policy == NULL) {
        return;
    }
    rl_buffer_free(batch->policy->be, batch->buffer);
    rl_buffer_free(batch->policy->be, batch->filtered_buffer);
    rl_free(batch->row_host);
    rl_free(batch->heap);
    rl_free(batch->token);
    rl_free(batch->position);
    rl_free(batch->slot);
    rl_free(batch->item);
    rl_free(batch->tree_item);
    rl_free(batch->span);
    rl_free(batch->drawn_host);
    rl_free(batch->logp_host);
    rl_free(batch->entropy_host);
    *batch = (rl_decode_batch){0};
}

void rl_decode_batch_clear(rl_decode_batch *batch) {
    batch->n_rows = batch->n_items = batch->n_trees = batch->n_spans = batch->max_keys = 0;
    batch->last_root = -1;
}

static void push_spans(rl_decode_batch *batch, const rl_kv_cache *cache, int32_t node) {
    int32_t need = batch->n_spans + rl_kv_max_spans(cache, node);
    if (need > batch->max_spans) {
        batch->max_spans = need > 2 * batch->max_spans ? need : 2 * batch->max_spans;
        batch->span = rl_realloc(batch->span, (size_t)batch->max_spans, sizeof *batch->span);
    }
    batch->n_spans += rl_kv_spans(cache, node, batch->span + batch->n_spans);
}

void rl_decode_batch_push(rl_decode_batch *batch, rl_kv_cache *cache, int32_t id, int32_t n) {
    rl_kv_node *node = &cache->node[id];
    int32_t first = node->n_tokens - n, page = node->first_page, t;
    int32_t span_begin = batch->n_spans;
    RL_ASSERT(n > 0 && first == node->n_cached && batch->n_rows + n <= batch->max_rows);
    if (node->root != batch->last_root) {
        batch->tree_item[batch->n_trees++] = batch->n_items;
        batch->last_root = node->root;
    }
    push_spans(batch, cache, id);
    batch->item[batch->n_items++] =
        (rl_attn_item){batch->n_rows, n, node->pos + first, span_begin, batch->n_spans};
    batch->tree_item[batch->n_trees] = batch->n_items;
    if (batch->max_keys < node->pos + node->n_tokens) {
        batch->max_keys = node->pos + node->n_tokens;
    }
    for (t = RL_KV_PAGE; t <= first; t += RL_KV_PAGE) {
        page = cache->next_page[page];
    }
    for (t = first; t < node->n_tokens; t++) {
        int32_t row = batch->n_rows++;
        if (t > first && t % RL_KV_PAGE == 0) {
            page = cache->next_page[page];
        }
        batch->slot[row] = page * RL_KV_PAGE + t % RL_KV_PAGE;
        batch->position[row] = node->pos + t;
        batch->token[row] = cache->token[batch->slot[row]];
    }
    node->n_cached = node->n_tokens;
}

static rl_tensor rows_of(rl_tensor t, int64_t n) {
    return rl_tensor_rows(t, 0, n);
}

void rl_decode_batch_run(rl_decode_batch *batch, rl_kv_cache *cache) {
    const rl_policy *policy = batch->policy;
    int32_t n = batch->n_rows, layer;
    rl_attn_plan plan = {.item = batch->item,
                         .n_items = batch->n_items,
                         .span = batch->span,
                         .n_spans = batch->n_spans,
                         .tree_item = batch->tree_item,
                         .n_trees = batch->n_trees,
                         .max_keys = batch->max_keys};
    rl_rows rows = {.position = rows_of(batch->d_position, n),
                    .slot = rows_of(batch->d_slot, n),
                    .plan = &plan};
    rl_block_act act = rl_block_act_rows(&batch->act, 0, n);
    rl_plan_shape(&policy->config, &plan);
    rl_tensor_put(policy->be, rows_of(batch->d_token, n), batch->token);
    rl_tensor_put(policy->be, rows.position, batch->position);
    rl_tensor_put(policy->be, rows.slot, batch->slot);
    rl_embed_forward(policy, act.in, rows_of(batch->d_token, n));
    for (layer = 0; layer < policy->config.n_layers; layer++) {
        rl_block_forward(policy, layer, &rows, &act, &batch->tmp, cache->k[layer], cache->v[layer]);
    }
}

void rl_decode_batch_pick(rl_decode_batch *batch, rl_tensor out, rl_tensor from, const int32_t *row,
                          int32_t n) {
    rl_backend *be = batch->policy->be;
    rl_tensor_put(be, rows_of(batch->pick, n), row);
    rl_op_gather(be, out, from, rows_of(batch->pick, n));
}

static rl_status make_filtered(rl_decode_batch *batch, rl_err *err) {
    rl_tensor like = batch->logits;
    rl_status status;
    if (batch->filtered_buffer != NULL) {
        return RL_OK;
    }
    status = rl_buffer_alloc(batch->policy->be, (size_t)rl_tensor_count(like) * sizeof(float),
                             &batch->filtered_buffer, err);
    if (status != RL_OK) {
        return rl_fail(err, status, "no memory for filtering %lld rows of logits at a time",
                       (long long)like.shape[0]);
    }
    batch->filtered =
        rl_tensor_2d(RL_DTYPE_F32, batch->filtered_buffer, 0, like.shape[0], like.shape[1]);
    batch->row_host = rl_alloc((size_t)like.shape[1], sizeof *batch->row_host);
    batch->heap = rl_alloc((size_t)like.shape[1], sizeof *batch->heap);
    return RL_OK;
}

/*
 * Draws from filtered copies of the rows, on the host since sorting is no work for a device; then
 * gives log-prob and entropy of the rows as they were.
 */
static rl_status draw_filtered(rl_decode_batch *batch, rl_tensor drawn, rl_tensor logp,
                               rl_tensor entropy, rl_tensor logits, const double *uniform,
                               const float *temperature, const rl_filter *filter, rl_err *err) {
    rl_backend *be = batch->policy->be;
    int32_t n_ids = (int32_t)logits.shape[1];
    rl_tensor filtered = rl_usable_logits(batch->policy, rows_of(batch->filtered, logits.shape[0]));
    rl_status status = rl_backend_sync(be, err);
    if (status != RL_OK) {
        return status;
    }
    for (int64_t r = 0; r < logits.shape[0]; r++) {
        rl_tensor_get(be, rl_tensor_rows(logits, r, r + 1), batch->row_host);
        rl_filter_row(filter, (double)temperature[r], batch->row_host, n_ids, batch->heap);
        rl_tensor_put(be, rl_tensor_rows(filtered, r, r + 1), batch->row_host);
    }
    rl_op_sample(be, drawn, logp, entropy, filtered, uniform, temperature);
    for (int64_t r = 0; r < logits.shape[0]; r++) {
        rl_op_logprob(be, rl_tensor_rows(logp, r, r + 1), rl_tensor_rows(entropy, r, r + 1),
                      rl_tensor_rows(logits, r, r + 1), rl_tensor_rows(drawn, r, r + 1),
                      temperature[r]);
    }
    return RL_OK;
}

rl_status rl_decode_batch_draw(rl_decode_batch *batch, rl_tensor hidden, const double *uniform,
                               const float *temperature, const rl_filter *filter, rl_err *err) {
    rl_backend *be = batch->policy->be;
    bool is_filtered = rl_filter_is_on(filter);
    int32_t n = (int32_t)hidden.shape[0], begin;
    rl_status status = is_filtered ? make_filtered(batch, err) : RL_OK;
    RL_ASSERT(n <= batch->max_draws);
    for (begin = 0; begin < n && status == RL_OK; begin += DRAW_ROWS) {
        int32_t end = n - begin > DRAW_ROWS ? begin + DRAW_ROWS : n;
        rl_tensor logits = rows_of(batch->logits, end - begin), usable;
        rl_tensor drawn = rl_tensor_rows(batch->drawn, begin, end);
        rl_tensor logp = rl_tensor_rows(batch->logp, begin, end);
        rl_tensor entropy = rl_tensor_rows(batch->entropy, begin, end);
        rl_head_forward(batch->policy, logits, rows_of(batch->normed, end - begin), (rl_tensor){0},
                        rl_tensor_rows(hidden, begin, end));
        usable = rl_usable_logits(batch->policy, logits);
        if (is_filtered) {
            status = draw_filtered(batch, drawn, logp, entropy, usable, uniform + begin,
                                   temperature + begin, filter, err);
        } else {
            rl_op_sample(be, drawn, logp, entropy, usable, uniform + begin, temperature + begin);
        }
    }
    if (status == RL_OK) {
        status = rl_backend_sync(be, err);
    }
    if (status == RL_OK) {
        rl_tensor_get(be, rows_of(batch->drawn, n), batch->drawn_host);
        rl_tensor_get(be, rows_of(batch->logp, n), batch->logp_host);
        rl_tensor_get(be, rows_of(batch->entropy, n), batch->entropy_host);
    }
    return status;
}
