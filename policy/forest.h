/*
 * A forest of segments laid out for the forward: packed rows in depth-first order, so that what
 * shares keys lies together. Private to policy/.
 */
#ifndef RL_POLICY_FOREST_H
#define RL_POLICY_FOREST_H

#include "rl/core/arena.h"
#include "rl/policy/score.h"
#include "rl/tensor/backend.h"

typedef struct rl_forest {
    int32_t n_rows, n_slots;          // slots are a multiple of RL_KV_BLOCK
    int32_t *token, *position, *slot; // [n_rows]
    rl_attn_plan plan;                // all rows: one item a segment
    rl_attn_plan *chunk_plan;         // [n_chunks] rows [i * chunk, ...), items counted from there
    int32_t n_chunks, chunk;
    int32_t n_results;
    int32_t *result_row, *result_token; // [n_results] the row that predicts, the id predicted
} rl_forest;

/* Lays the forest out in the arena. Ids outside the vocabulary and sequences longer than the model
 * allows are refused. */
rl_status rl_forest_build(const rl_model_config *config, const rl_segment *segment,
                          int32_t n_segments, int32_t chunk, rl_arena *arena, rl_forest *out,
                          rl_err *err) RL_MUST_USE;

#endif
