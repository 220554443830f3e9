/*
 * Rows that go through the model together, with keys and values in a cache: assembled on the host,
 * run, then sampled from. Nothing here allocates once the arrays have seen their largest load.
 * Private to policy/.
 */
#ifndef RL_POLICY_DECODE_BATCH_H
#define RL_POLICY_DECODE_BATCH_H

#include "policy/kv_cache.h"
#include "policy/model.h"
#include "rl/policy/sampler.h"

enum { RL_PREFILL_ROWS = 256 }; // tokens of contexts that go through the model at a time

typedef struct rl_decode_batch {
    rl_policy *policy;
    int32_t max_rows, max_draws, n_rows;
    int32_t *token, *position, *slot; // [max_rows]
    rl_attn_item *item;               // [max_rows]
    int32_t *tree_item;               // [max_rows + 1]
    int32_t n_items, n_trees, max_keys, last_root;
    rl_kv_span *span;
    int32_t n_spans, max_spans;

    rl_buffer *buffer;
    rl_tensor d_token, d_position, d_slot; // the rows above, on the device
    rl_block_act act;                      // act.out holds the last block's output after a run
    rl_block_tmp tmp;
    rl_tensor normed, logits;        // [DRAW_ROWS, C], [DRAW_ROWS, V]
    rl_tensor drawn, logp, entropy;  // [max_draws]
    rl_tensor pick;                  // I32 [max_rows]
    int32_t *drawn_host;             // [max_draws] after a draw
    float *logp_host, *entropy_host; // as above
    rl_buffer *filtered_buffer;      // of the first draw with filters on
    rl_tensor filtered;              // as logits
    float *row_host;                 // [V]
    int32_t *heap;                   // [V]
} rl_decode_batch;

rl_status rl_decode_batch_init(rl_decode_batch *batch, rl_policy *policy, int32_t max_rows,
                               int32_t max_draws, rl_err *err) RL_MUST_USE;
/* Bytes of the device's side. */
int64_t rl_decode_batch_bytes(const rl_model_config *config, int32_t max_rows, int32_t max_draws);
void rl_decode_batch_release(rl_decode_batch *batch); // zero value accepted

void rl_decode_batch_clear(rl_decode_batch *batch);
/* Adds the node's last n tokens as rows. Nodes of one tree must follow each other. */
void rl_decode_batch_push(rl_decode_batch *batch, rl_kv_cache *cache, int32_t node, int32_t n);
/* Computes the rows: their keys and values go to the cache. */
void rl_decode_batch_run(rl_decode_batch *batch, rl_kv_cache *cache);
/* out[n, C] = rows of from. */
void rl_decode_batch_pick(rl_decode_batch *batch, rl_tensor out, rl_tensor from, const int32_t *row,
                          int32_t n);
/* Samples a token after each row of hidden[n, C], n <= max_draws. Where the filter is on, no
 * temperature is 0. */
rl_status rl_decode_batch_draw(rl_decode_batch *batch, rl_tensor hidden, const double *uniform,
                               const float *temperature, const rl_filter *filter,
                               rl_err *err) RL_MUST_USE;

#endif
