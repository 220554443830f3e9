#include "rl/core/alloc.h"

#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "rl/core/assert.h"

static atomic_uint_fast64_t n_allocated;

void rl_alloc_failed(size_t n, size_t size, const char *caller) {
    fprintf(stderr, "rl-train: out of memory: %zu x %zu bytes wanted by '%s'\n", n, size, caller);
    abort();
}

void *rl_alloc_at(size_t n, size_t size, const char *caller) {
    void *ptr = calloc(n > 0 ? n : 1, size > 0 ? size : 1);
    if (ptr == NULL) {
        rl_alloc_failed(n, size, caller);
    }
    atomic_fetch_add_explicit(&n_allocated, 1, memory_order_relaxed);
    return ptr;
}

void *rl_realloc_at(void *ptr, size_t n, size_t size, const char *caller) {
    size_t bytes;
    void *grown = NULL;
    if (!__builtin_mul_overflow(n, size, &bytes)) {
        grown = realloc(ptr, bytes > 0 ? bytes : 1);
    }
    if (grown == NULL) {
        rl_alloc_failed(n, size, caller);
    }
    atomic_fetch_add_explicit(&n_allocated, 1, memory_order_relaxed);
    return grown;
}

char *rl_strndup(const char *text, size_t text_len) {
    char *copy = rl_alloc(text_len + 1, 1);
    if (text_len > 0) {
        memcpy(copy, text, text_len);
    }
    return copy;
}

char *rl_strdup(const char *text) {
    return rl_strndup(text, strlen(text));
}

void rl_free(void *ptr) {
    free(ptr);
}

enum { HUGE_PAGE = 2 << 20 };

static size_t whole_pages(size_t bytes) {
    return (bytes + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
}

rl_status rl_try_alloc(size_t bytes, const char *key, void **out, rl_err *err) {
    size_t size = whole_pages(bytes > 0 ? bytes : 1);
    void *ptr = NULL;
    *out = NULL;
    // A mapping is zeroed by the kernel and, unlike malloc, goes back to it when freed.
    if (size >= bytes) {
        ptr = mmap(NULL, size + HUGE_PAGE, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    }
    if (ptr == NULL || ptr == MAP_FAILED) {
        if (key == NULL) {
            return rl_fail(err, RL_MEMORY, "no memory for %.1f MiB", (double)bytes / 1048576.0);
        }
        return rl_fail(err, RL_MEMORY, "no memory for %.1f MiB; try a smaller '%s'",
                       (double)bytes / 1048576.0, key);
    }
    {
        uintptr_t begin = (uintptr_t)ptr, aligned = (begin + HUGE_PAGE - 1) / HUGE_PAGE * HUGE_PAGE;
        if (aligned > begin) {
            munmap(ptr, aligned - begin);
        }
        if (begin + HUGE_PAGE > aligned) {
            munmap((void *)(aligned + size), begin + HUGE_PAGE - aligned);
        }
        *out = (void *)aligned;
    }
    (void)madvise(*out, size, MADV_HUGEPAGE);
    atomic_fetch_add_explicit(&n_allocated, 1, memory_order_relaxed);
    return RL_OK;
}

void rl_free_large(void *ptr, size_t bytes) {
    if (ptr != NULL) {
        RL_ASSERT(munmap(ptr, whole_pages(bytes > 0 ? bytes : 1)) == 0);
    }
}

uint64_t rl_alloc_count(void) {
    return atomic_load_explicit(&n_allocated, memory_order_relaxed);
}

int64_t rl_peak_rss(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return (int64_t)usage.ru_maxrss * 1024;
}
