/*
 * Memory. Small blocks either succeed or end the process with their size and caller; large ones
 * (weights, caches, arenas) report failure as a status naming the recipe key that asked for them.
 *
 * core/alloc.c is the only file that may call malloc and free. All functions are thread-safe.
 */
#ifndef RL_CORE_ALLOC_H
#define RL_CORE_ALLOC_H

#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"

/* Zeroed memory for n objects of size bytes; never NULL (n * size == 0 gives a valid pointer). */
#define rl_alloc(n, size)        rl_alloc_at((n), (size), __func__)
#define rl_realloc(ptr, n, size) rl_realloc_at((ptr), (n), (size), __func__)
void *rl_alloc_at(size_t n, size_t size, const char *caller);
/* Grows or shrinks; bytes beyond the old size are not zeroed. ptr may be NULL. */
void *rl_realloc_at(void *ptr, size_t n, size_t size, const char *caller);
char *rl_strdup(const char *text);
char *rl_strndup(const char *text, size_t text_len);
/* Accepts NULL. For everything that came from the functions above. */
void rl_free(void *ptr);

/*
 * Large zeroed memory, aligned to 2 MiB and advised to use huge pages. `key` is the recipe key to
 * lower when it does not fit, used in the sentence; NULL where the caller words it. Free with
 * rl_free_large and the same byte count.
 */
rl_status rl_try_alloc(size_t bytes, const char *key, void **out, rl_err *err) RL_MUST_USE;
/* Ends the process with the size and who wanted it: for callers that cannot go on and cannot
 * report. */
_Noreturn void rl_alloc_failed(size_t n, size_t size, const char *caller);
void rl_free_large(void *ptr, size_t bytes);

/* Heap blocks handed out since the program began (small and large): for tests that forbid
 * allocation. */
uint64_t rl_alloc_count(void);

/* Largest resident size of this process so far, in bytes. */
int64_t rl_peak_rss(void);

#endif
