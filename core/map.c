#include "rl/core/map.h"

#include <string.h>

#include "rl/core/alloc.h"

/*
 * Linear probing in a table of a power of two slots, at most two thirds full. Keys lie one after
 * another in `text`; a slot knows its key by place and length, and its whole hash, so growing reads
 * no key and a probe compares bytes almost only when they are equal.
 */
typedef struct slot {
    uint64_t hash;
    size_t key_at, key_len;
    int64_t value;
    bool used;
} slot;

struct rl_map {
    slot *slot;
    size_t n_slots, n_keys;
    char *text;
    size_t text_len, text_cap;
};

uint64_t rl_hash(const void *bytes, size_t n_bytes) {
    const unsigned char *at = bytes;
    uint64_t h = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n_bytes; i++) {
        h = (h ^ at[i]) * 0x100000001b3u;
    }
    // FNV-1a mixes its low bits badly; this is the finaliser of MurmurHash3.
    h = (h ^ (h >> 33)) * 0xff51afd7ed558ccdu;
    h = (h ^ (h >> 33)) * 0xc4ceb9fe1a85ec53u;
    return h ^ (h >> 33);
}

rl_map *rl_map_new(size_t expected) {
    rl_map *map = rl_alloc(1, sizeof *map);
    map->n_slots = 16;
    while (map->n_slots / 3 * 2 < expected) {
        map->n_slots *= 2;
    }
    map->slot = rl_alloc(map->n_slots, sizeof *map->slot);
    return map;
}

void rl_map_free(rl_map *map) {
    if (map != NULL) {
        rl_free(map->slot);
        rl_free(map->text);
        rl_free(map);
    }
}

/* The slot that holds the key, or the free one where it belongs. */
static slot *find(const rl_map *map, const char *key, size_t key_len, uint64_t hash) {
    for (size_t i = (size_t)hash & (map->n_slots - 1);; i = (i + 1) & (map->n_slots - 1)) {
        slot *s = &map->slot[i];
        if (!s->used || (s->hash == hash && s->key_len == key_len &&
                         (key_len == 0 || memcmp(map->text + s->key_at, key, key_len) == 0))) {
            return s;
        }
    }
}

static void grow(rl_map *map) {
    slot *old = map->slot;
    size_t n_old = map->n_slots;
    map->n_slots *= 2;
    map->slot = rl_alloc(map->n_slots, sizeof *map->slot);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].used) {
            size_t at = (size_t)old[i].hash & (map->n_slots - 1);
            while (map->slot[at].used) {
                at = (at + 1) & (map->n_slots - 1);
            }
            map->slot[at] = old[i];
        }
    }
    rl_free(old);
}

/* The key's slot, made when absent; *added says which. */
static slot *find_or_add(rl_map *map, const char *key, size_t key_len, bool *added) {
    uint64_t hash = rl_hash(key, key_len);
    slot *s = find(map, key, key_len, hash);
    *added = !s->used;
    if (s->used) {
        return s;
    }
    if (map->n_keys + 1 > map->n_slots / 3 * 2) {
        grow(map);
        s = find(map, key, key_len, hash);
    }
    if (map->text_len + key_len > map->text_cap) {
        map->text_cap = 2 * (map->text_len + key_len) + 64;
        map->text = rl_realloc(map->text, map->text_cap, 1);
    }
    if (key_len > 0) {
        memcpy(map->text + map->text_len, key, key_len);
    }
    *s = (slot){.hash = hash, .key_at = map->text_len, .key_len = key_len, .used = true};
    map->text_len += key_len;
    map->n_keys++;
    return s;
}

bool rl_map_add(rl_map *map, const char *key, size_t key_len, int64_t value) {
    bool added;
    slot *s = find_or_add(map, key, key_len, &added);
    if (added) {
        s->value = value;
    }
    return added;
}

void rl_map_set(rl_map *map, const char *key, size_t key_len, int64_t value) {
    bool added;
    find_or_add(map, key, key_len, &added)->value = value;
}

bool rl_map_get(const rl_map *map, const char *key, size_t key_len, int64_t *value) {
    const slot *s = find(map, key, key_len, rl_hash(key, key_len));
    if (s->used) {
        *value = s->value;
    }
    return s->used;
}

size_t rl_map_size(const rl_map *map) {
    return map->n_keys;
}
