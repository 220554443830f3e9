#include "policy/kv_cache.h"

#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/tensor/ops.h"

enum { MAX_SLOTS = 1 << 22 }; // bounds the tables by slot, and slot numbers

static int64_t memory_bytes(void) {
    long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return pages > 0 && page > 0 ? (int64_t)pages * page : INT64_MAX;
}

static int64_t layer_bytes(const rl_policy *policy, int64_t n_slots) {
    const rl_model_config *config = &policy->config;
    int64_t values = rl_kv_len(policy->be, n_slots, config->n_kv_heads, config->head_dim);
    return (values * (int64_t)sizeof(float) + 63) / 64 * 64;
}

static void carve_layers(rl_kv_cache *cache, const rl_policy *policy, int64_t n_slots) {
    const rl_model_config *config = &policy->config;
    int64_t values = rl_kv_len(policy->be, n_slots, config->n_kv_heads, config->head_dim);
    rl_carver carver = {.buffer = cache->buffer};
    int32_t i;
    for (i = 0; i < config->n_layers; i++) {
        cache->k[i] = rl_carve_1d(&carver, RL_DTYPE_F32, values);
        cache->v[i] = rl_carve_1d(&carver, RL_DTYPE_F32, values);
    }
}

/* Tables by slot and by page. */
static rl_status make_tables(rl_kv_cache *cache, int64_t n_slots, rl_err *err) {
    static const char key[] = "rollout.max_batch";
    void *token = NULL, *logp = NULL, *entropy = NULL;
    rl_status status = rl_try_alloc((size_t)n_slots * sizeof(int32_t), key, &token, err);
    cache->token = token;
    if (status == RL_OK) {
        status = rl_try_alloc((size_t)n_slots * sizeof(float), key, &logp, err);
        cache->logp = logp;
    }
    if (status == RL_OK) {
        status = rl_try_alloc((size_t)n_slots * sizeof(float), key, &entropy, err);
        cache->entropy = entropy;
    }
    cache->next_page = rl_alloc((size_t)cache->n_pages, sizeof *cache->next_page);
    return status;
}

rl_status rl_kv_cache_init(rl_kv_cache *cache, const rl_policy *policy, rl_err *err) {
    int32_t n_layers = policy->config.n_layers;
    int64_t page_bytes = 2 * n_layers * layer_bytes(policy, RL_KV_PAGE);
    // Half of the machine's memory. Some of it must be had at all; what a step really needs is
    // asked for page by page.
    int64_t n_pages = memory_bytes() / 2 / page_bytes;
    int64_t least = 1;
    rl_status status;

    *cache = (rl_kv_cache){.be = policy->be, .page_bytes = (size_t)page_bytes};
    n_pages = n_pages < MAX_SLOTS / RL_KV_PAGE ? n_pages : MAX_SLOTS / RL_KV_PAGE;
    n_pages = n_pages > least ? n_pages : least;
    for (;;) {
        size_t bytes = (size_t)(2 * n_layers * layer_bytes(policy, n_pages * RL_KV_PAGE));
        status = rl_buffer_alloc(policy->be, bytes, &cache->buffer, err);
        if (status == RL_OK || n_pages / 2 < least) {
            break;
        }
        n_pages /= 2; // an address-space limit: take what there is
    }
    if (status != RL_OK) {
        return rl_fail(
            err, status,
            "no memory for keys and values of %lld tokens (%.0f MiB); choose a smaller model",
            (long long)n_pages * RL_KV_PAGE, (double)n_pages * (double)page_bytes / 1048576.0);
    }
    cache->n_pages = (int32_t)n_pages;
    cache->k = rl_alloc((size_t)n_layers, sizeof *cache->k);
    cache->v = rl_alloc((size_t)n_layers, sizeof *cache->v);
    carve_layers(cache, policy, n_pages * RL_KV_PAGE);
    return make_tables(cache, n_pages * RL_KV_PAGE, err);
}

void rl_kv_cache_release(rl_kv_cache *cache) {
    size_t n_slots = (size_t)cache->n_pages * RL_KV_PAGE;
    if (cache->be == NULL) {
        return;
    }
    rl_buffer_free(cache->be, cache->buffer);
    rl_free(cache->k);
    rl_free(cache->v);
    rl_free(cache->next_page);
    rl_free(cache->node);
    rl_free_large(cache->token, n_slots * sizeof *cache->token);
    rl_free_large(cache->logp, n_slots * sizeof *cache->logp);
    rl_free_large(cache->entropy, n_slots * sizeof *cache->entropy);
    *cache = (rl_kv_cache){0};
}

void rl_kv_cache_reset(rl_kv_cache *cache) {
    cache->used_pages = 0;
    cache->n_nodes = 0;
}

int32_t rl_kv_node_new(rl_kv_cache *cache, int32_t parent) {
    int32_t id = cache->n_nodes;
    rl_kv_node *node;
    RL_ASSERT(parent >= -1 && parent < id);
    if (cache->n_nodes == cache->max_nodes) {
        cache->max_nodes = cache->max_nodes > 0 ? 2 * cache->max_nodes : 256;
        cache->node = rl_realloc(cache->node, (size_t)cache->max_nodes, sizeof *cache->node);
    }
    node = &cache->node[cache->n_nodes++];
    *node =
        (rl_kv_node){.parent = parent, .root = id, .depth = 1, .first_page = -1, .last_page = -1};
    if (parent >= 0) {
        const rl_kv_node *p = &cache->node[parent];
        node->root = p->root;
        node->depth = p->depth + 1;
        node->pos = p->pos + p->n_tokens;
    }
    return id;
}

static rl_status take_page(rl_kv_cache *cache, rl_kv_node *node, rl_err *err) {
    int32_t page = cache->used_pages;
    if (page == cache->n_pages) {
        return rl_fail(
            err, RL_MEMORY,
            "keys and values fill all %.0f MiB allowed for them (%lld tokens), which hold a "
            "whole step; lower 'rollout.prompts', 'rollout.group_size', 'rollout.turns' "
            "or 'rollout.max_new_tokens'",
            (double)cache->n_pages * (double)cache->page_bytes / 1048576.0,
            (long long)cache->n_pages * RL_KV_PAGE);
    }
    cache->used_pages++;
    cache->next_page[page] = -1;
    if (node->last_page >= 0) {
        cache->next_page[node->last_page] = page;
    } else {
        node->first_page = page;
    }
    node->last_page = page;
    return RL_OK;
}

rl_status rl_kv_append(rl_kv_cache *cache, int32_t id, int32_t token, int32_t *slot, rl_err *err) {
    rl_kv_node *node = &cache->node[id];
    if (node->n_tokens % RL_KV_PAGE == 0) {
        rl_status status = take_page(cache, node, err);
        if (status != RL_OK) {
            return status;
        }
    }
    *slot = node->last_page * RL_KV_PAGE + node->n_tokens % RL_KV_PAGE;
    node->n_tokens++;
    cache->token[*slot] = token;
    cache->logp[*slot] = 0;
    cache->entropy[*slot] = 0;
    return RL_OK;
}

int32_t rl_kv_last_slot(const rl_kv_cache *cache, int32_t id) {
    const rl_kv_node *node = &cache->node[id];
    RL_ASSERT(node->n_tokens > 0);
    return node->last_page * RL_KV_PAGE + (node->n_tokens - 1) % RL_KV_PAGE;
}

int32_t rl_kv_max_spans(const rl_kv_cache *cache, int32_t id) {
    const rl_kv_node *node = &cache->node[id];
    return (node->pos + node->n_tokens) / RL_KV_PAGE + node->depth;
}

int32_t rl_kv_spans(const rl_kv_cache *cache, int32_t id, rl_kv_span *out) {
    const rl_kv_node *node = &cache->node[id];
    int32_t n = node->parent >= 0 ? rl_kv_spans(cache, node->parent, out) : 0;
    int32_t page, left = node->n_tokens, before = -2;
    for (page = node->first_page; page >= 0; page = cache->next_page[page]) {
        int32_t here = left < RL_KV_PAGE ? left : RL_KV_PAGE;
        if (page == before + 1) {
            out[n - 1].n += here;
        } else {
            out[n++] = (rl_kv_span){.slot = page * RL_KV_PAGE, .n = here};
        }
        left -= here;
        before = page;
    }
    RL_ASSERT(left == 0);
    return n;
}
