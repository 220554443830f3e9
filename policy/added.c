#include "policy/added.h"

#include <stdlib.h>
#include <string.h>

#include "policy/pattern.h"
#include "rl/core/alloc.h"
#include "rl/core/unicode.h"

void rl_added_put(rl_added_set *set, rl_added item) {
    size_t n = set->n_items++;
    set->item = rl_realloc(set->item, n + 1, sizeof item);
    set->item[n] = item;
}

static int by_text(const void *a, const void *b) {
    const rl_added *x = a, *y = b;
    size_t n = x->len < y->len ? x->len : y->len;
    int order = memcmp(x->text, y->text, n);
    return order != 0 ? order : (x->len > y->len) - (x->len < y->len);
}

rl_status rl_added_ready(rl_added_set *set, rl_err *err) {
    bool words = false;
    if (set->n_items > 0) {
        qsort(set->item, set->n_items, sizeof *set->item, by_text);
    }
    for (size_t i = 0; i < set->n_items; i++) {
        words |= set->item[i].single_word;
        set->begins[(uint8_t)set->item[i].text[0]] = true;
    }
    return words ? rl_pattern_new("[" RL_PATTERN_WORD "]", &set->word, err) : RL_OK;
}

void rl_added_release(rl_added_set *set) {
    rl_free(set->item);
    rl_regex_free(set->word);
    *set = (rl_added_set){0};
}

// First item of [lo, hi) whose byte at `depth` is at least `byte`; all share the bytes before.
static size_t lower(const rl_added_set *set, size_t lo, size_t hi, size_t depth, int byte) {
    while (lo < hi) {
        size_t mid = lo + (hi - lo) / 2;
        const rl_added *item = &set->item[mid];
        int at = item->len > depth ? (uint8_t)item->text[depth] : -1;
        if (at < byte) {
            lo = mid + 1;
        } else {
            hi = mid;
        }
    }
    return lo;
}

// The longest token that text begins with, by narrowing the sorted list one byte at a time.
static const rl_added *longest(const rl_added_set *set, const char *text, size_t text_len) {
    const rl_added *best = NULL;
    size_t lo = 0, hi = set->n_items;
    for (size_t depth = 0; lo < hi; depth++) {
        if (set->item[lo].len == depth) { // the shortest of equal beginnings sorts first
            best = &set->item[lo];
        }
        if (depth == text_len) {
            break;
        }
        int byte = (uint8_t)text[depth];
        lo = lower(set, lo, hi, depth, byte);
        hi = lower(set, lo, hi, depth, byte + 1);
    }
    return best;
}

static size_t char_before(const char *text, size_t at) {
    do {
        at--;
    } while (at > 0 && ((uint8_t)text[at] & 0xc0) == 0x80);
    return at;
}

static bool is_word(const rl_added_set *set, const char *text, size_t len) {
    bool found = false;
    size_t begin, end;
    // One character cannot run into a matching limit.
    return rl_regex_find(set->word, text, len, 0, &found, &begin, &end, NULL) == RL_OK && found;
}

static bool touches_word(const rl_added_set *set, const char *text, size_t text_len, size_t begin,
                         size_t end) {
    if (begin > 0) {
        size_t at = char_before(text, begin);
        if (is_word(set, text + at, begin - at)) {
            return true;
        }
    }
    uint32_t code;
    int32_t len = end < text_len ? rl_utf8_decode(text + end, text_len - end, &code) : 0;
    return len > 0 && is_word(set, text + end, (size_t)len);
}

static bool is_white(uint32_t c) {
    return (c >= 9 && c <= 13) || c == 32 || c == 0x85 || c == 0xa0 || c == 0x1680 ||
           (c >= 0x2000 && c <= 0x200a) || c == 0x2028 || c == 0x2029 || c == 0x202f ||
           c == 0x205f || c == 0x3000;
}

static size_t strip_left(const char *text, size_t begin, size_t floor) {
    while (begin > floor) {
        uint32_t code;
        size_t at = char_before(text, begin);
        if (rl_utf8_decode(text + at, begin - at, &code) == 0 || !is_white(code)) {
            break;
        }
        begin = at;
    }
    return begin;
}

static size_t strip_right(const char *text, size_t text_len, size_t end) {
    while (end < text_len) {
        uint32_t code;
        int32_t len = rl_utf8_decode(text + end, text_len - end, &code);
        if (len == 0 || !is_white(code)) {
            break;
        }
        end += (size_t)len;
    }
    return end;
}

bool rl_added_next(const rl_added_set *set, const char *text, size_t text_len, bool specials,
                   rl_added_walk *walk, size_t *begin, int32_t *id) {
    const size_t limit = walk->limit > 0 ? walk->limit : text_len;
    while (set->n_items > 0 && walk->scan < limit) {
        if (!set->begins[(uint8_t)text[walk->scan]]) {
            walk->scan++;
            continue;
        }
        const rl_added *item = longest(set, text + walk->scan, limit - walk->scan);
        if (item == NULL) {
            walk->scan++;
            continue;
        }
        size_t at = walk->scan, end = at + item->len;
        walk->scan = end; // a match that is turned down is passed over whole
        if ((item->special && !specials) ||
            (item->single_word && touches_word(set, text, text_len, at, end))) {
            continue;
        }
        *begin = item->lstrip ? strip_left(text, at, walk->floor) : at;
        *id = item->id;
        walk->floor = item->rstrip ? strip_right(text, text_len, end) : end;
        return true;
    }
    return false;
}
