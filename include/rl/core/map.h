/*
 * A hash map from byte strings to 64-bit integers (open addressing, keys copied). Made for
 * vocabularies: hundreds of thousands of keys, built once, read from several threads. No removal.
 */
#ifndef RL_CORE_MAP_H
#define RL_CORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rl_map rl_map;

rl_map *rl_map_new(size_t expected);
void rl_map_free(rl_map *map); // accepts NULL
/* False when the key was there already; its value is left as it was. */
bool rl_map_add(rl_map *map, const char *key, size_t key_len, int64_t value);
/* Adds or replaces. */
void rl_map_set(rl_map *map, const char *key, size_t key_len, int64_t value);
/* False when absent. Thread-safe as long as nobody writes. */
bool rl_map_get(const rl_map *map, const char *key, size_t key_len, int64_t *value);
size_t rl_map_size(const rl_map *map);
/* A 64-bit hash of bytes (FNV-1a finished with a mixer); stable across runs and machines. */
uint64_t rl_hash(const void *bytes, size_t n_bytes);

#endif
