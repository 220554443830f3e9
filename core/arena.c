#include "rl/core/arena.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

#if defined(__SANITIZE_ADDRESS__)
#define RL_ARENA_POISON 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define RL_ARENA_POISON 1
#endif
#endif
#ifdef RL_ARENA_POISON
#include <sanitizer/asan_interface.h>
#else
#define ASAN_POISON_MEMORY_REGION(ptr, n)   ((void)(ptr), (void)(n))
#define ASAN_UNPOISON_MEMORY_REGION(ptr, n) ((void)(ptr), (void)(n))
#endif

enum { ALIGN = 64 };

typedef struct block {
    uint8_t *ptr, *aligned;
    size_t size, used; // of the aligned part
} block;

/*
 * Invariant: blocks before `current` are full or were too small, blocks after it are empty.
 */
struct rl_arena {
    block *block;
    size_t n_blocks, current, block_bytes, peak;
};

rl_arena *rl_arena_new(size_t block_bytes) {
    rl_arena *arena = rl_alloc(1, sizeof *arena);
    arena->block_bytes = block_bytes > 0 ? block_bytes : 65536;
    return arena;
}

void rl_arena_free(rl_arena *arena) {
    if (arena == NULL) {
        return;
    }
    for (size_t i = 0; i < arena->n_blocks; i++) {
        ASAN_UNPOISON_MEMORY_REGION(arena->block[i].aligned, arena->block[i].size);
        rl_free(arena->block[i].ptr);
    }
    rl_free(arena->block);
    rl_free(arena);
}

static void add_block(rl_arena *arena, size_t bytes) {
    size_t size = bytes > arena->block_bytes ? bytes : arena->block_bytes;
    block *b;
    arena->block = rl_realloc(arena->block, arena->n_blocks + 1, sizeof *arena->block);
    // A new block goes right behind the current one, where the empty blocks begin.
    size_t at = arena->n_blocks == 0 ? 0 : arena->current + 1;
    memmove(arena->block + at + 1, arena->block + at,
            (arena->n_blocks - at) * sizeof *arena->block);
    b = &arena->block[at];
    *b = (block){.ptr = rl_alloc(size + ALIGN, 1), .size = size};
    b->aligned = b->ptr + (ALIGN - (uintptr_t)b->ptr % ALIGN) % ALIGN;
    ASAN_POISON_MEMORY_REGION(b->aligned, b->size);
    arena->n_blocks++;
    arena->current = at;
}

size_t rl_arena_used(const rl_arena *arena) {
    size_t used = 0;
    for (size_t i = 0; i < arena->n_blocks; i++) {
        used += arena->block[i].used;
    }
    return used;
}

size_t rl_arena_peak(const rl_arena *arena) {
    size_t used = rl_arena_used(arena);
    return used > arena->peak ? used : arena->peak;
}

void *rl_arena_alloc(rl_arena *arena, size_t n, size_t size) {
    size_t bytes;
    block *b;
    void *ptr;
    RL_ASSERT(!__builtin_mul_overflow(n, size, &bytes) && bytes < SIZE_MAX - 2 * ALIGN);
    bytes = (bytes + ALIGN - 1) / ALIGN * ALIGN;
    bytes = bytes > 0 ? bytes : ALIGN;
    while (arena->current < arena->n_blocks) {
        b = &arena->block[arena->current];
        if (b->size - b->used >= bytes) {
            break;
        }
        if (arena->current + 1 == arena->n_blocks) {
            add_block(arena, bytes);
            break;
        }
        arena->current++;
    }
    if (arena->n_blocks == 0) {
        add_block(arena, bytes);
    }
    b = &arena->block[arena->current];
    ptr = b->aligned + b->used;
    ASAN_UNPOISON_MEMORY_REGION(ptr, bytes);
    b->used += bytes;
    memset(ptr, 0, bytes);
    return ptr;
}

char *rl_arena_strndup(rl_arena *arena, const char *text, size_t text_len) {
    char *copy = rl_arena_alloc(arena, text_len + 1, 1);
    if (text_len > 0) {
        memcpy(copy, text, text_len);
    }
    return copy;
}

char *rl_arena_strdup(rl_arena *arena, const char *text) {
    return rl_arena_strndup(arena, text, strlen(text));
}

char *rl_arena_printf(rl_arena *arena, const char *fmt, ...) {
    va_list args, again;
    char *text;
    int len;
    va_start(args, fmt);
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    RL_ASSERT(len >= 0);
    text = rl_arena_alloc(arena, (size_t)len + 1, 1);
    vsnprintf(text, (size_t)len + 1, fmt, again);
    va_end(again);
    return text;
}

rl_arena_mark rl_arena_mark_get(const rl_arena *arena) {
    if (arena->n_blocks == 0) {
        return (rl_arena_mark){0};
    }
    return (rl_arena_mark){.block = arena->current, .used = arena->block[arena->current].used};
}

void rl_arena_rewind(rl_arena *arena, rl_arena_mark mark) {
    size_t used = rl_arena_used(arena);
    arena->peak = used > arena->peak ? used : arena->peak;
    for (size_t i = mark.block; i < arena->n_blocks; i++) {
        block *b = &arena->block[i];
        b->used = i == mark.block ? mark.used : 0;
        ASAN_POISON_MEMORY_REGION(b->aligned + b->used, b->size - b->used);
    }
    arena->current = mark.block;
}

void rl_arena_reset(rl_arena *arena) {
    rl_arena_rewind(arena, (rl_arena_mark){0});
}
