/*
 * Keys and values of generated sequences, kept as a tree: a node holds some tokens and continues
 * its parent. Slots are handed out in pages, and a page's memory is touched when its first key is
 * written, so room never used costs address space only. Private to policy/.
 *
 * Invariants:
 *  1. A token has a slot before its key is computed; n_cached of a node's n_tokens have theirs.
 *  2. Nodes and pages live until the reset; pages are taken in order and never moved.
 */
#ifndef RL_POLICY_KV_CACHE_H
#define RL_POLICY_KV_CACHE_H

#include "policy/model.h"

enum { RL_KV_PAGE = 64 }; // slots; a multiple of RL_KV_BLOCK

typedef struct rl_kv_node {
    int32_t parent, root; // parent -1: the node is a root
    int32_t depth;        // nodes from the root to here, itself counted
    int32_t pos;          // position of the first token
    int32_t n_tokens, n_cached;
    int32_t first_page, last_page; // -1 while empty
} rl_kv_node;

typedef struct rl_kv_cache {
    rl_backend *be;
    rl_buffer *buffer;
    rl_tensor *k, *v; // [L] one cache each
    int32_t n_pages, used_pages;
    size_t page_bytes;  // of keys and values of all layers
    int32_t *next_page; // [n_pages] the page that follows in its node, -1 ends
    rl_kv_node *node;
    int32_t n_nodes, max_nodes;
    int32_t *token;        // [n_slots] what each slot stands for
    float *logp, *entropy; // [n_slots] as sampled; 0 for tokens given
} rl_kv_cache;

rl_status rl_kv_cache_init(rl_kv_cache *cache, const rl_policy *policy, rl_err *err) RL_MUST_USE;
void rl_kv_cache_release(rl_kv_cache *cache); // zero value accepted
void rl_kv_cache_reset(rl_kv_cache *cache);

int32_t rl_kv_node_new(rl_kv_cache *cache, int32_t parent);
/* Gives the node one more token and its slot. */
rl_status rl_kv_append(rl_kv_cache *cache, int32_t node, int32_t token, int32_t *slot,
                       rl_err *err) RL_MUST_USE;
/* Slot of the node's last token. */
int32_t rl_kv_last_slot(const rl_kv_cache *cache, int32_t node);

/* Most spans that rl_kv_spans writes for the node. */
int32_t rl_kv_max_spans(const rl_kv_cache *cache, int32_t node);
/* The keys from the root to the node's last token; returns how many spans. */
int32_t rl_kv_spans(const rl_kv_cache *cache, int32_t node, rl_kv_span *out);

#endif
