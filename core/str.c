#include "rl/core/str.h"

#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

static void reserve(rl_str *str, size_t more) {
    size_t want = str->len + more + 1;
    if (want > str->cap) {
        size_t cap = str->cap < 32 ? 32 : str->cap;
        while (cap < want) {
            cap += cap / 2;
        }
        str->ptr = rl_realloc(str->ptr, cap, 1);
        str->cap = cap;
    }
}

void rl_str_append_n(rl_str *str, const char *text, size_t text_len) {
    reserve(str, text_len);
    if (text_len > 0) {
        memcpy(str->ptr + str->len, text, text_len);
    }
    str->len += text_len;
    str->ptr[str->len] = '\0';
}

void rl_str_append(rl_str *str, const char *text) {
    rl_str_append_n(str, text, strlen(text));
}

void rl_str_append_char(rl_str *str, char c) {
    rl_str_append_n(str, &c, 1);
}

void rl_str_appendf(rl_str *str, const char *fmt, ...) {
    va_list args;
    va_start(args, fmt);
    rl_str_appendv(str, fmt, args);
    va_end(args);
}

void rl_str_appendv(rl_str *str, const char *fmt, va_list args) {
    va_list again;
    int len;
    va_copy(again, args);
    len = vsnprintf(NULL, 0, fmt, args);
    RL_ASSERT(len >= 0);
    reserve(str, (size_t)len);
    vsnprintf(str->ptr + str->len, (size_t)len + 1, fmt, again);
    va_end(again);
    str->len += (size_t)len;
}

void rl_str_clear(rl_str *str) {
    str->len = 0;
    if (str->ptr != NULL) {
        str->ptr[0] = '\0';
    }
}

void rl_str_release(rl_str *str) {
    rl_free(str->ptr);
    *str = (rl_str){0};
}

char *rl_str_take(rl_str *str) {
    char *ptr;
    reserve(str, 0);
    ptr = str->ptr;
    ptr[str->len] = '\0';
    *str = (rl_str){0};
    return ptr;
}

const char *rl_str_text(const rl_str *str) {
    return str->ptr != NULL ? str->ptr : "";
}

bool rl_text_starts(const char *text, const char *prefix) {
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

bool rl_text_ends(const char *text, const char *suffix) {
    size_t n = strlen(text), m = strlen(suffix);
    return n >= m && memcmp(text + n - m, suffix, m) == 0;
}

bool rl_text_equal(const char *a, const char *b) {
    return a == b || (a != NULL && b != NULL && strcmp(a, b) == 0);
}

enum { WORD_MAX = 63 };

// Optimal string alignment distance: three rows of the usual table are enough.
int rl_text_distance(const char *a, const char *b) {
    int row[3][WORD_MAX + 1];
    size_t n = strlen(a), m = strlen(b);
    if (n > WORD_MAX || m > WORD_MAX) {
        return (int)(n > m ? n : m); // no word of a recipe: every letter counts as an edit
    }
    for (size_t j = 0; j <= m; j++) {
        row[0][j] = (int)j;
    }
    for (size_t i = 1; i <= n; i++) {
        int *cur = row[i % 3], *prev = row[(i + 2) % 3], *prev2 = row[(i + 1) % 3];
        cur[0] = (int)i;
        for (size_t j = 1; j <= m; j++) {
            int best = prev[j - 1] + (a[i - 1] != b[j - 1]);
            best = prev[j] + 1 < best ? prev[j] + 1 : best;
            best = cur[j - 1] + 1 < best ? cur[j - 1] + 1 : best;
            if (i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1] &&
                prev2[j - 2] + 1 < best) {
                best = prev2[j - 2] + 1;
            }
            cur[j] = best;
        }
    }
    return row[n % 3][m];
}

const char *rl_text_nearest(const char *word, const char *const *candidates, size_t n_candidates) {
    const char *nearest = NULL;
    int limit = (int)(strlen(word) / 3) + 1, best = limit + 1;
    for (size_t i = 0; i < n_candidates; i++) {
        int d = rl_text_distance(word, candidates[i]);
        if (d < best) {
            best = d;
            nearest = candidates[i];
        }
    }
    return nearest;
}
