#include "policy/forest.h"

#include "policy/model.h"
#include "rl/core/assert.h"

/* What the layout knows of a segment. */
typedef struct place {
    int32_t row, pos, slot;
    int32_t depth;             // spans from the root to here; an empty segment has none
    int32_t span;              // first of them
    int32_t last_row;          // row that predicts a child's first token, -1 when there is none
    int32_t first_child, next; // lists by index, -1 ends
} place;

typedef struct layout {
    const rl_segment *segment;
    int32_t n_segments;
    place *place;
    int32_t *order; // segments in depth-first order
} layout;

static int32_t slots_of(int32_t n_tokens) {
    return (n_tokens + RL_KV_BLOCK - 1) / RL_KV_BLOCK * RL_KV_BLOCK;
}

static rl_status check_segment(const rl_model_config *config, const rl_segment *segment, int32_t i,
                               int32_t pos, rl_err *err) {
    int32_t t;
    RL_ASSERT(segment->parent >= -1 && segment->parent < i && segment->n_tokens >= 0);
    if (segment->n_tokens > config->max_positions - pos) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "a sequence of %lld tokens is longer than the model's %d positions; "
                       "shorten it",
                       (long long)pos + segment->n_tokens, (int)config->max_positions);
    }
    for (t = 0; t < segment->n_tokens; t++) {
        if (segment->token[t] < 0 || segment->token[t] >= config->vocab) {
            return rl_fail(err, RL_UNSUPPORTED, "token %d is outside the model's vocabulary of %d",
                           (int)segment->token[t], (int)config->vocab);
        }
    }
    return RL_OK;
}

/* Positions and depths, parents first; child lists in segment order. */
static rl_status link_segments(layout *lay, const rl_model_config *config, rl_err *err) {
    int32_t i;
    for (i = 0; i < lay->n_segments; i++) {
        const rl_segment *segment = &lay->segment[i];
        place *p = &lay->place[i];
        rl_status status;
        p->first_child = p->next = -1;
        if (segment->parent >= 0) {
            p->pos = lay->place[segment->parent].pos + lay->segment[segment->parent].n_tokens;
            p->depth = lay->place[segment->parent].depth;
        }
        p->depth += segment->n_tokens > 0;
        status = check_segment(config, segment, i, p->pos, err);
        if (status != RL_OK) {
            return status;
        }
    }
    for (i = lay->n_segments - 1; i >= 0; i--) {
        int32_t parent = lay->segment[i].parent;
        if (parent >= 0) {
            lay->place[i].next = lay->place[parent].first_child;
            lay->place[parent].first_child = i;
        }
    }
    return RL_OK;
}

/* Depth-first from each root in turn. */
static void order_segments(layout *lay) {
    int32_t i, n = 0;
    for (i = 0; i < lay->n_segments; i++) {
        int32_t at = i;
        if (lay->segment[i].parent >= 0) {
            continue;
        }
        for (;;) {
            lay->order[n++] = at;
            if (lay->place[at].first_child >= 0) {
                at = lay->place[at].first_child;
                continue;
            }
            while (at != i && lay->place[at].next < 0) {
                at = lay->segment[at].parent;
            }
            if (at == i) {
                break;
            }
            at = lay->place[at].next;
        }
    }
    RL_ASSERT(n == lay->n_segments);
}

static rl_status place_rows(layout *lay, rl_forest *out, int32_t *n_spans, rl_err *err) {
    int64_t row = 0, slot = 0, span = 0;
    int32_t k;
    for (k = 0; k < lay->n_segments; k++) {
        int32_t i = lay->order[k];
        const rl_segment *segment = &lay->segment[i];
        place *p = &lay->place[i];
        p->row = (int32_t)row;
        p->slot = (int32_t)slot;
        p->span = (int32_t)span;
        p->last_row = segment->parent >= 0 ? lay->place[segment->parent].last_row : -1;
        if (segment->n_tokens > 0) {
            p->last_row = p->row + segment->n_tokens - 1;
        }
        row += segment->n_tokens;
        slot += slots_of(segment->n_tokens);
        span += p->depth;
        if (slot > INT32_MAX || span > INT32_MAX) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "%d sequences are too many for one pass; pass fewer at a time",
                           (int)lay->n_segments);
        }
    }
    out->n_rows = (int32_t)row;
    out->n_slots = (int32_t)slot;
    *n_spans = (int32_t)span;
    return RL_OK;
}

static void fill_rows(const layout *lay, rl_forest *out, rl_arena *arena) {
    size_t n = (size_t)out->n_rows;
    int32_t i, t;
    out->token = rl_arena_alloc(arena, n, sizeof *out->token);
    out->position = rl_arena_alloc(arena, n, sizeof *out->position);
    out->slot = rl_arena_alloc(arena, n, sizeof *out->slot);
    for (i = 0; i < lay->n_segments; i++) {
        const place *p = &lay->place[i];
        for (t = 0; t < lay->segment[i].n_tokens; t++) {
            out->token[p->row + t] = lay->segment[i].token[t];
            out->position[p->row + t] = p->pos + t;
            out->slot[p->row + t] = p->slot + t;
        }
    }
}

/* The keys each segment sees: its ancestors' and its own, from the root on. */
static void fill_spans(const layout *lay, rl_kv_span *span) {
    int32_t k;
    for (k = 0; k < lay->n_segments; k++) {
        int32_t i = lay->order[k], at, d;
        const place *p = &lay->place[i];
        for (at = i, d = p->depth; at >= 0; at = lay->segment[at].parent) {
            const place *from = &lay->place[at];
            if (lay->segment[at].n_tokens > 0) {
                span[p->span + --d] =
                    (rl_kv_span){from->slot, from->row, lay->segment[at].n_tokens};
            }
        }
        RL_ASSERT(d == 0);
    }
}

/* Items for rows [begin, end), counted from begin; segments cut there. */
static void fill_plan(const layout *lay, const rl_model_config *config, const rl_kv_span *span,
                      int32_t n_spans, int32_t begin, int32_t end, rl_arena *arena,
                      rl_attn_plan *plan) {
    rl_attn_item *item = rl_arena_alloc(arena, (size_t)lay->n_segments, sizeof *item);
    int32_t *tree_item = rl_arena_alloc(arena, (size_t)lay->n_segments + 1, sizeof *tree_item);
    int32_t k, n_items = 0, n_trees = 0, max_keys = 0, root = -1, item_root = -1;
    for (k = 0; k < lay->n_segments; k++) {
        int32_t i = lay->order[k];
        const place *p = &lay->place[i];
        int32_t from = p->row > begin ? p->row : begin;
        int32_t to = p->row + lay->segment[i].n_tokens;
        to = to < end ? to : end;
        root = lay->segment[i].parent < 0 ? i : root;
        if (from >= to) {
            continue;
        }
        if (root != item_root) {
            tree_item[n_trees++] = n_items;
            item_root = root;
        }
        item[n_items] = (rl_attn_item){from - begin, to - from, p->pos + from - p->row, p->span,
                                       p->span + p->depth};
        if (max_keys < item[n_items].pos + item[n_items].n_rows) {
            max_keys = item[n_items].pos + item[n_items].n_rows;
        }
        n_items++;
    }
    tree_item[n_trees] = n_items;
    *plan = (rl_attn_plan){.item = item,
                           .n_items = n_items,
                           .span = span,
                           .n_spans = n_spans,
                           .tree_item = tree_item,
                           .n_trees = n_trees,
                           .max_keys = max_keys};
    rl_plan_shape(config, plan);
}

static void fill_results(const layout *lay, rl_forest *out, rl_arena *arena) {
    int64_t count = rl_score_count(lay->segment, lay->n_segments);
    int32_t i, t, n = 0;
    RL_ASSERT(count <= INT32_MAX);
    out->result_row = rl_arena_alloc(arena, (size_t)count, sizeof *out->result_row);
    out->result_token = rl_arena_alloc(arena, (size_t)count, sizeof *out->result_token);
    for (i = 0; i < lay->n_segments; i++) {
        const rl_segment *segment = &lay->segment[i];
        const place *p = &lay->place[i];
        int32_t before = segment->parent >= 0 ? lay->place[segment->parent].last_row : -1;
        for (t = 0; segment->wanted && t < segment->n_tokens; t++) {
            int32_t row = t > 0 ? p->row + t - 1 : before;
            if (row >= 0) {
                out->result_row[n] = row;
                out->result_token[n++] = segment->token[t];
            }
        }
    }
    RL_ASSERT(n == count);
    out->n_results = n;
}

rl_status rl_forest_build(const rl_model_config *config, const rl_segment *segment,
                          int32_t n_segments, int32_t chunk, rl_arena *arena, rl_forest *out,
                          rl_err *err) {
    layout lay = {.segment = segment, .n_segments = n_segments};
    rl_kv_span *span;
    int32_t n_spans = 0, i;
    rl_status status;

    *out = (rl_forest){.chunk = chunk};
    lay.place = rl_arena_alloc(arena, (size_t)n_segments, sizeof *lay.place);
    lay.order = rl_arena_alloc(arena, (size_t)n_segments, sizeof *lay.order);
    status = link_segments(&lay, config, err);
    if (status != RL_OK) {
        return status;
    }
    order_segments(&lay);
    status = place_rows(&lay, out, &n_spans, err);
    if (status != RL_OK) {
        return status;
    }
    fill_rows(&lay, out, arena);
    span = rl_arena_alloc(arena, (size_t)n_spans, sizeof *span);
    fill_spans(&lay, span);
    fill_plan(&lay, config, span, n_spans, 0, out->n_rows, arena, &out->plan);
    out->n_chunks = (out->n_rows + chunk - 1) / chunk;
    out->chunk_plan = rl_arena_alloc(arena, (size_t)out->n_chunks, sizeof *out->chunk_plan);
    for (i = 0; i < out->n_chunks; i++) {
        int32_t begin = i * chunk;
        int32_t end = out->n_rows - begin > chunk ? begin + chunk : out->n_rows;
        fill_plan(&lay, config, span, n_spans, begin, end, arena, &out->chunk_plan[i]);
    }
    fill_results(&lay, out, arena);
    return RL_OK;
}
