/*
 * An arena: memory that is released all at once. It grows by blocks; a reset keeps the blocks for
 * reuse, so an arena that has seen its largest load allocates no more. In ASan builds released
 * memory is poisoned.
 *
 * Life cycle: rl_arena_new, any number of allocations, rl_arena_reset (all pointers die) or
 * mark/rewind (pointers made after the mark die), rl_arena_free. One thread at a time.
 */
#ifndef RL_CORE_ARENA_H
#define RL_CORE_ARENA_H

#include <stdarg.h>
#include <stddef.h>

#include "rl/core/status.h"

typedef struct rl_arena rl_arena;

/* A place to rewind to; plain value, valid until an earlier mark is rewound or the arena is reset.
 */
typedef struct rl_arena_mark {
    size_t block, used;
} rl_arena_mark;

/* block_bytes is the least size of a block; 0 picks 64 KiB. */
rl_arena *rl_arena_new(size_t block_bytes);
void rl_arena_free(rl_arena *arena); // accepts NULL

/* Zeroed, aligned to 64 bytes, never NULL. */
void *rl_arena_alloc(rl_arena *arena, size_t n, size_t size);
/* NUL-terminated copies. */
char *rl_arena_strdup(rl_arena *arena, const char *text);
char *rl_arena_strndup(rl_arena *arena, const char *text, size_t text_len);
char *rl_arena_printf(rl_arena *arena, const char *fmt, ...) RL_PRINTF(2, 3);

rl_arena_mark rl_arena_mark_get(const rl_arena *arena);
void rl_arena_rewind(rl_arena *arena, rl_arena_mark mark);
void rl_arena_reset(rl_arena *arena);

/* Bytes in use now, and the most ever in use. */
size_t rl_arena_used(const rl_arena *arena);
size_t rl_arena_peak(const rl_arena *arena);

#endif
