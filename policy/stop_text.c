#include "rl/policy/stop_text.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

struct rl_stop_text {
    const char *const *text;
    size_t n_texts;
    rl_str held; // a beginning of some stop text, or empty
    bool found;
};

rl_stop_text *rl_stop_text_new(const char *const *text, size_t n_texts) {
    rl_stop_text *stop = rl_alloc(1, sizeof *stop);
    for (size_t i = 0; i < n_texts; i++) {
        RL_ASSERT(text[i][0] != '\0');
    }
    stop->text = text;
    stop->n_texts = n_texts;
    return stop;
}

void rl_stop_text_free(rl_stop_text *stop) {
    if (stop != NULL) {
        rl_str_release(&stop->held);
        rl_free(stop);
    }
}

// Length of the longest stop text that ends what is held; 0: none does.
static size_t complete(const rl_stop_text *stop) {
    size_t longest = 0;
    for (size_t i = 0; i < stop->n_texts; i++) {
        size_t len = strlen(stop->text[i]);
        if (len > longest && len <= stop->held.len &&
            memcmp(stop->held.ptr + stop->held.len - len, stop->text[i], len) == 0) {
            longest = len;
        }
    }
    return longest;
}

// Where in the held text the longest end begins that begins some stop text.
static size_t first_needed(const rl_stop_text *stop) {
    size_t at = 0;
    for (; at < stop->held.len; at++) {
        for (size_t i = 0; i < stop->n_texts; i++) {
            if (strncmp(stop->text[i], stop->held.ptr + at, stop->held.len - at) == 0) {
                return at;
            }
        }
    }
    return at;
}

bool rl_stop_text_put(rl_stop_text *stop, const char *piece, size_t piece_len, rl_str *out) {
    for (size_t i = 0; i < piece_len && !stop->found; i++) {
        size_t stop_len, ready;
        rl_str_append_char(&stop->held, piece[i]);
        stop_len = complete(stop);
        stop->found = stop_len > 0;
        ready = stop->found ? stop->held.len - stop_len : first_needed(stop);
        if (ready == 0) {
            continue;
        }
        rl_str_append_n(out, stop->held.ptr, ready);
        memmove(stop->held.ptr, stop->held.ptr + ready, stop->held.len - ready);
        stop->held.len -= ready;
        stop->held.ptr[stop->held.len] = '\0';
    }
    return stop->found;
}

void rl_stop_text_end(rl_stop_text *stop, rl_str *out) {
    if (!stop->found) {
        rl_str_append_n(out, rl_str_text(&stop->held), stop->held.len);
    }
    rl_str_clear(&stop->held);
}
