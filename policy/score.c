/*
 * Scoring and training over a forest of segments. Blocks run layer by layer over all rows, a chunk
 * of rows at a time, so that only training keeps activations and K and V are needed for one layer
 * only; training that recomputes keeps what goes into each layer and one layer's activations. The
 * head runs on the rows that predict something, in blocks of HEAD_ROWS: logits never exist for
 * more.
 */
#include "rl/policy/score.h"

#include <math.h>
#include <stdio.h>

#include "policy/forest.h"
#include "policy/model.h"
#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

enum {
    FORWARD_ROWS = 512,   // of one chunk: its widest activation stays in the second-level caches
    BACKWARD_ROWS = 1024, // enough for the products' peak
    HEAD_ROWS = 256,
    TRACE_NAME = 96
};

/* Tensors of one call, carved from the policy's work buffer. */
typedef struct workspace {
    rl_tensor token, position, slot;    // I32 [N]
    rl_tensor result_row, result_token; // I32 [R] in the order of the head
    rl_tensor logp, entropy;            // [R]
    rl_tensor k_cache, v_cache;         // one layer's
    rl_block_act *act;                  // [L]; inference: all the same
    rl_block_tmp tmp;                   // a chunk of rows
    rl_tensor picked, normed, logits;   // [HEAD_ROWS, C], [HEAD_ROWS, C], [HEAD_ROWS, V]
    rl_tensor rstd;                     // [HEAD_ROWS]
    rl_tensor d_logp, d_entropy;        // [R]
    rl_tensor d_picked, d_normed;       // [HEAD_ROWS, C]
    rl_tensor d_x;                      // [N, C]
    rl_block_back_tmp back;
} workspace;

static int64_t least(int64_t a, int64_t b) {
    return a < b ? a : b;
}

static rl_tensor matrix(rl_carver *carver, int64_t rows, int64_t cols) {
    return rl_carve(carver, RL_DTYPE_F32, rows, cols);
}

static rl_tensor vector(rl_carver *carver, int64_t n) {
    return rl_carve_1d(carver, RL_DTYPE_F32, n);
}

static void carve_inference(const rl_model_config *config, rl_carver *carver, int64_t n,
                            workspace *ws) {
    rl_block_act act = {.in = matrix(carver, n, config->width)};
    int32_t i;
    act.mid = act.out = act.in;
    rl_block_act_carve(&act, config, carver, least(n, FORWARD_ROWS), false);
    for (i = 0; i < config->n_layers; i++) {
        ws->act[i] = act;
    }
}

static void carve_training(const rl_model_config *config, rl_recompute recompute, rl_carver *carver,
                           int64_t n, workspace *ws) {
    rl_tensor in = matrix(carver, n, config->width);
    int32_t i;
    for (i = 0; i < config->n_layers; i++) {
        rl_block_act *act = &ws->act[i];
        if (i > 0 && recompute == RL_RECOMPUTE_LAYERS) {
            *act = ws->act[0]; // one layer's at a time, but for in and out
            act->in = in;
        } else {
            *act = (rl_block_act){.in = in, .mid = matrix(carver, n, config->width)};
            rl_block_act_carve(act, config, carver, n, true);
        }
        act->out = in = matrix(carver, n, config->width);
    }
    ws->d_x = matrix(carver, n, config->width);
    rl_block_back_tmp_carve(&ws->back, config, carver, n, BACKWARD_ROWS);
}

/* be may be NULL with the carver's buffer: then the caches are counted without padding. */
static void carve_all(const rl_backend *be, const rl_model_config *config, rl_recompute recompute,
                      rl_carver *carver, int64_t n, int64_t n_slots, int64_t n_results, bool trains,
                      workspace *ws) {
    int64_t width = config->width, picked = least(n_results, HEAD_ROWS);
    int64_t kv_len = n_slots * config->n_kv_heads * config->head_dim;
    if (be != NULL) {
        kv_len = rl_kv_len(be, n_slots, config->n_kv_heads, config->head_dim);
    }
    ws->token = rl_carve_1d(carver, RL_DTYPE_I32, n);
    ws->position = rl_carve_1d(carver, RL_DTYPE_I32, n);
    ws->slot = rl_carve_1d(carver, RL_DTYPE_I32, n);
    ws->result_row = rl_carve_1d(carver, RL_DTYPE_I32, n_results);
    ws->result_token = rl_carve_1d(carver, RL_DTYPE_I32, n_results);
    ws->logp = vector(carver, n_results);
    ws->entropy = vector(carver, n_results);
    ws->k_cache = vector(carver, kv_len);
    ws->v_cache = vector(carver, kv_len);
    rl_block_tmp_carve(&ws->tmp, config, carver, least(n, FORWARD_ROWS));
    ws->picked = matrix(carver, picked, width);
    ws->normed = matrix(carver, picked, width);
    ws->logits = matrix(carver, picked, config->vocab);
    if (!trains) {
        carve_inference(config, carver, n, ws);
        return;
    }
    ws->rstd = vector(carver, picked);
    ws->d_logp = vector(carver, n_results);
    ws->d_entropy = vector(carver, n_results);
    ws->d_picked = matrix(carver, picked, width);
    ws->d_normed = matrix(carver, picked, width);
    carve_training(config, recompute, carver, n, ws);
}

static rl_status reserve(rl_policy *policy, const rl_forest *forest, bool trains, workspace *ws,
                         rl_err *err) {
    rl_carver carver = {0};
    ws->act = rl_arena_alloc(policy->scratch, (size_t)policy->config.n_layers, sizeof *ws->act);
    carve_all(policy->be, &policy->config, policy->recompute, &carver, forest->n_rows,
              forest->n_slots, forest->n_results, trains, ws);
    if (carver.used > policy->work_bytes) {
        rl_status status;
        rl_buffer_free(policy->be, policy->work);
        policy->work = NULL;
        policy->work_bytes = 0;
        status = rl_buffer_alloc(policy->be, carver.used, &policy->work, err);
        if (status != RL_OK) {
            return rl_fail(err, status,
                           "no memory for %.0f MiB of activations of %d tokens; try a smaller "
                           "'compute.micro_tokens'%s",
                           (double)carver.used / 1048576.0, (int)forest->n_rows,
                           trains && policy->recompute == RL_RECOMPUTE_NONE
                               ? " or 'compute.recompute' layers"
                               : "");
        }
        policy->work_bytes = carver.used;
    }
    carver = (rl_carver){.buffer = policy->work};
    carve_all(policy->be, &policy->config, policy->recompute, &carver, forest->n_rows,
              forest->n_slots, forest->n_results, trains, ws);
    return RL_OK;
}

/* What a caller asks of one pass. d_logp NULL: scoring only. */
typedef struct pass {
    double temperature;
    const double *d_logp, *d_entropy;
    double *logp, *entropy;
    char *trace; // [TRACE_NAME] names the first value that is not finite; NULL outside
                 // rl_policy_trace
} pass;

static void trace(const rl_policy *policy, const pass *p, rl_tensor x, const char *fmt, int32_t n) {
    if (p->trace != NULL && p->trace[0] == '\0' && !isfinite(rl_op_sum_squares(policy->be, x))) {
        snprintf(p->trace, TRACE_NAME, "%s", fmt);
        if (n >= 0) {
            snprintf(p->trace, TRACE_NAME, "%s.%d", fmt, n);
        }
    }
}

/* Block number `layer` over all rows. */
static void run_block(const rl_policy *policy, const rl_forest *forest, int32_t layer, bool trains,
                      const rl_block_act *all, const workspace *ws) {
    int32_t c;
    for (c = 0; c < forest->n_chunks; c++) {
        int64_t begin = (int64_t)c * forest->chunk;
        int64_t end = least(begin + forest->chunk, forest->n_rows);
        rl_rows rows = {.position = rl_tensor_rows(ws->position, begin, end),
                        .slot = rl_tensor_rows(ws->slot, begin, end),
                        .plan = &forest->chunk_plan[c]};
        rl_block_act act = *all;
        if (trains) {
            act = rl_block_act_rows(all, begin, end);
        } else { // `in` alone has all rows, the rest one chunk's
            act.in = act.mid = act.out = rl_tensor_rows(all->in, begin, end);
            act = rl_block_act_rows(&act, 0, end - begin);
        }
        rl_block_forward(policy, layer, &rows, &act, &ws->tmp, ws->k_cache, ws->v_cache);
    }
}

/* The blocks over all rows: activations of layer i are left in act[i]. */
static void run_blocks(const rl_policy *policy, const rl_forest *forest, bool trains, const pass *p,
                       const workspace *ws) {
    int32_t layer;
    rl_embed_forward(policy, ws->act[0].in, ws->token);
    trace(policy, p, ws->act[0].in, "output of model.embed_tokens", -1);
    for (layer = 0; layer < policy->config.n_layers; layer++) {
        run_block(policy, forest, layer, trains, &ws->act[layer], ws);
        trace(policy, p, ws->act[layer].out, "output of model.layers", layer);
    }
}

/* Results [begin, end) of the head, at most HEAD_ROWS: picked, logits, logp and entropy. */
static void run_head(const rl_policy *policy, const workspace *ws, float temperature, bool trains,
                     int64_t begin, int64_t end) {
    rl_backend *be = policy->be;
    int64_t n = end - begin;
    rl_tensor last = ws->act[policy->config.n_layers - 1].out;
    rl_tensor picked = rl_tensor_rows(ws->picked, 0, n);
    rl_tensor logits = rl_tensor_rows(ws->logits, 0, n);
    rl_op_gather(be, picked, last, rl_tensor_rows(ws->result_row, begin, end));
    rl_head_forward(policy, logits, rl_tensor_rows(ws->normed, 0, n),
                    trains ? rl_tensor_rows(ws->rstd, 0, n) : (rl_tensor){0}, picked);
    rl_op_logprob(be, rl_tensor_rows(ws->logp, begin, end), rl_tensor_rows(ws->entropy, begin, end),
                  rl_usable_logits(policy, logits), rl_tensor_rows(ws->result_token, begin, end),
                  temperature);
}

/* The backward of what run_head just left: adds to d_x and to the gradients of head and norm. */
static void back_head(const rl_policy *policy, const workspace *ws, float temperature,
                      bool has_entropy, int64_t begin, int64_t end) {
    rl_backend *be = policy->be;
    int64_t n = end - begin;
    rl_tensor logits = rl_usable_logits(policy, rl_tensor_rows(ws->logits, 0, n));
    rl_tensor d_picked = rl_tensor_rows(ws->d_picked, 0, n);
    rl_op_logprob_back(be, logits, rl_tensor_rows(ws->d_logp, begin, end),
                       has_entropy ? rl_tensor_rows(ws->d_entropy, begin, end) : (rl_tensor){0},
                       logits, rl_tensor_rows(ws->result_token, begin, end), temperature);
    rl_head_backward(policy, d_picked, rl_tensor_rows(ws->d_normed, 0, n), logits,
                     rl_tensor_rows(ws->normed, 0, n), rl_tensor_rows(ws->rstd, 0, n),
                     rl_tensor_rows(ws->picked, 0, n));
    rl_op_scatter_add(be, ws->d_x, d_picked, rl_tensor_rows(ws->result_row, begin, end));
}

/*
 * The order in which the head takes results: those with a gradient first, since the others need no
 * backward. Puts indices and gradients in that order; returns how many have a gradient.
 */
static int32_t order_results(const rl_policy *policy, const rl_forest *forest, const pass *p,
                             const workspace *ws, int32_t *order) {
    size_t n = (size_t)forest->n_results;
    int32_t *row = rl_arena_alloc(policy->scratch, n, sizeof *row);
    int32_t *token = rl_arena_alloc(policy->scratch, n, sizeof *token);
    float *d = rl_arena_alloc(policy->scratch, n, sizeof *d);
    int32_t i, want, n_live = 0, at = 0;
    for (want = 1; want >= 0; want--) {
        for (i = 0; i < forest->n_results; i++) {
            int32_t live = p->d_logp != NULL &&
                           (p->d_logp[i] != 0 || (p->d_entropy != NULL && p->d_entropy[i] != 0));
            if (live == want) {
                order[at++] = i;
                n_live += live;
            }
        }
    }
    for (i = 0; i < forest->n_results; i++) {
        row[i] = forest->result_row[order[i]];
        token[i] = forest->result_token[order[i]];
    }
    rl_tensor_put(policy->be, ws->result_row, row);
    rl_tensor_put(policy->be, ws->result_token, token);
    if (p->d_logp != NULL) {
        for (i = 0; i < forest->n_results; i++) {
            d[i] = (float)p->d_logp[order[i]];
        }
        rl_tensor_put(policy->be, ws->d_logp, d);
    }
    if (p->d_entropy != NULL) {
        for (i = 0; i < forest->n_results; i++) {
            d[i] = (float)p->d_entropy[order[i]];
        }
        rl_tensor_put(policy->be, ws->d_entropy, d);
    }
    return n_live;
}

static void take_results(const rl_policy *policy, rl_tensor from, const int32_t *order,
                         double *out) {
    int64_t n = from.shape[0], i;
    float *host = rl_arena_alloc(policy->scratch, (size_t)n, sizeof *host);
    rl_tensor_get(policy->be, from, host);
    for (i = 0; i < n; i++) {
        out[order[i]] = (double)host[i];
    }
}

static void back_blocks(const rl_policy *policy, const rl_forest *forest, const workspace *ws) {
    rl_rows rows = {.position = ws->position, .slot = ws->slot, .plan = &forest->plan};
    int32_t layer, last = policy->config.n_layers - 1;
    for (layer = last; layer >= 0; layer--) {
        if (layer < last && policy->recompute == RL_RECOMPUTE_LAYERS) {
            // The same chunks by the same operations: what the forward left, bit for bit.
            rl_block_act again = ws->act[layer];
            if (!rl_norm_is(&policy->block[layer].mlp_out)) {
                again.out = (rl_tensor){0};
            }
            run_block(policy, forest, layer, true, &again, ws);
        }
        rl_block_backward(policy, layer, &rows, &ws->act[layer], &ws->back, ws->d_x);
    }
    rl_embed_backward(policy, ws->d_x, ws->token);
}

static rl_status check_results(const rl_policy *policy, const rl_forest *forest, rl_err *err) {
    int32_t i;
    for (i = 0; i < forest->n_results; i++) {
        if (forest->result_token[i] >= policy->n_ids) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "token %d has no probability: the tokenizer has only %d of the model's "
                           "%d ids",
                           (int)forest->result_token[i], (int)policy->n_ids,
                           (int)policy->config.vocab);
        }
    }
    return RL_OK;
}

static rl_status run_pass(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                          const pass *p, rl_err *err) {
    bool trains = p->d_logp != NULL;
    rl_backend *be = policy->be;
    workspace ws = {0};
    rl_forest forest;
    int32_t *order, n_live, begin;
    rl_status status = rl_forest_build(&policy->config, segment, n_segments, FORWARD_ROWS,
                                       policy->scratch, &forest, err);
    if (status != RL_OK || forest.n_results == 0) {
        return status;
    }
    status = check_results(policy, &forest, err);
    if (status == RL_OK) {
        status = reserve(policy, &forest, trains, &ws, err);
    }
    if (status != RL_OK) {
        return status;
    }
    rl_tensor_put(be, ws.token, forest.token);
    rl_tensor_put(be, ws.position, forest.position);
    rl_tensor_put(be, ws.slot, forest.slot);
    order = rl_arena_alloc(policy->scratch, (size_t)forest.n_results, sizeof *order);
    n_live = order_results(policy, &forest, p, &ws, order);

    run_blocks(policy, &forest, trains, p, &ws);
    if (n_live > 0) {
        rl_op_fill(be, ws.d_x, 0);
    }
    for (begin = 0; begin < forest.n_results;) {
        bool live = begin < n_live;
        int32_t end = (int32_t)least((int64_t)begin + HEAD_ROWS, live ? n_live : forest.n_results);
        run_head(policy, &ws, (float)p->temperature, trains, begin, end);
        trace(policy, p, rl_tensor_rows(ws.normed, 0, end - begin), "output of model.norm", -1);
        trace(policy, p, rl_tensor_rows(ws.logits, 0, end - begin), "the logits", -1);
        if (live) {
            back_head(policy, &ws, (float)p->temperature, p->d_entropy != NULL, begin, end);
        }
        begin = end;
    }
    if (n_live > 0) {
        back_blocks(policy, &forest, &ws);
    }
    status = rl_backend_sync(be, err);
    if (status == RL_OK) {
        take_results(policy, ws.logp, order, p->logp);
    }
    if (status == RL_OK && p->entropy != NULL) {
        take_results(policy, ws.entropy, order, p->entropy);
    }
    return status;
}

int64_t rl_score_count(const rl_segment *segment, int32_t n_segments) {
    int64_t count = 0;
    int32_t i;
    for (i = 0; i < n_segments; i++) {
        int32_t before = segment[i].parent;
        while (before >= 0 && segment[before].n_tokens == 0) {
            before = segment[before].parent;
        }
        if (segment[i].wanted && segment[i].n_tokens > 0) {
            count += segment[i].n_tokens - (before < 0);
        }
    }
    return count;
}

rl_status rl_policy_score(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                          double temperature, double *logp, double *entropy, rl_err *err) {
    pass p = {.temperature = temperature, .logp = logp, .entropy = entropy};
    rl_status status;
    RL_ASSERT(temperature > 0);
    status = run_pass(policy, segment, n_segments, &p, err);
    rl_arena_reset(policy->scratch);
    return status;
}

rl_status rl_policy_score_reference(rl_policy *policy, const rl_segment *segment,
                                    int32_t n_segments, double temperature, double *logp,
                                    double *entropy, rl_err *err) {
    rl_status status;
    RL_ASSERT(policy->lora != NULL);
    policy->lora->off = true;
    status = rl_policy_score(policy, segment, n_segments, temperature, logp, entropy, err);
    policy->lora->off = false;
    return status;
}

rl_status rl_policy_backward(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                             double temperature, const double *d_logp, const double *d_entropy,
                             double *logp, double *entropy, rl_err *err) {
    pass p = {.temperature = temperature,
              .d_logp = d_logp,
              .d_entropy = d_entropy,
              .logp = logp,
              .entropy = entropy};
    rl_status status;
    RL_ASSERT(policy->trains && temperature > 0 && d_logp != NULL);
    status = run_pass(policy, segment, n_segments, &p, err);
    rl_arena_reset(policy->scratch);
    return status;
}

rl_status rl_policy_trace(rl_policy *policy, const rl_segment *segment, int32_t n_segments,
                          char name[96], rl_err *err) {
    int64_t n = rl_score_count(segment, n_segments);
    rl_arena *arena = rl_arena_new(0);
    pass p = {.temperature = 1, .trace = name};
    rl_status status;
    p.logp = rl_arena_alloc(arena, (size_t)n, sizeof *p.logp);
    name[0] = '\0';
    status = run_pass(policy, segment, n_segments, &p, err);
    rl_arena_reset(policy->scratch);
    rl_arena_free(arena);
    return status;
}

void rl_policy_zero_grad(rl_policy *policy) {
    const rl_params *params = rl_policy_params(policy);
    RL_ASSERT(policy->trains);
    rl_op_fill(policy->be, rl_tensor_1d(RL_DTYPE_F32, params->grad, 0, params->n_values), 0);
}

int64_t rl_policy_train_bytes(const rl_model_config *config, rl_recompute recompute,
                              int64_t n_tokens) {
    rl_arena *arena = rl_arena_new(0);
    rl_carver carver = {0};
    workspace ws = {0};
    ws.act = rl_arena_alloc(arena, (size_t)config->n_layers, sizeof *ws.act);
    carve_all(NULL, config, recompute, &carver, n_tokens,
              (n_tokens + RL_KV_BLOCK - 1) / RL_KV_BLOCK * RL_KV_BLOCK, n_tokens, true, &ws);
    rl_arena_free(arena);
    return (int64_t)carver.used;
}
