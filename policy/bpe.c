#include "policy/bpe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/str.h"
#include "rl/core/unicode.h"

typedef struct rl_bpe_symbol {
    size_t begin;       // first byte in the piece
    uint32_t len;       // bytes; 0 once merged into the symbol before
    int32_t id;         // -1: no token (ranked by score only; falls back to bytes at the end)
    int64_t prev, next; // -1 at the ends
} rl_bpe_symbol;

// A pair that may be merged. It is stale when its two symbols no longer have `len` bytes together:
// symbols only grow, so equal length means the same two symbols.
typedef struct rl_bpe_candidate {
    int32_t rank, id;
    int64_t at; // the left symbol
    uint32_t len;
} rl_bpe_candidate;

void rl_bpe_init(rl_bpe *bpe, const rl_vocab *vocab) {
    *bpe = (rl_bpe){.vocab = vocab, .unk = -1};
}

void rl_bpe_release(rl_bpe *bpe) {
    rl_free(bpe->merge);
    rl_free(bpe->score_rank);
    rl_word_cache_free(bpe->words);
    *bpe = (rl_bpe){0};
}

void rl_bpe_expect(rl_bpe *bpe, size_t n_merges) {
    bpe->n_slots = 16;
    while (bpe->n_slots < 2 * n_merges) {
        bpe->n_slots *= 2;
    }
    bpe->merge = rl_alloc(bpe->n_slots, sizeof *bpe->merge);
}

static rl_bpe_merge *slot_of(const rl_bpe *bpe, uint64_t pair) {
    uint64_t hash = pair * 0x9e3779b97f4a7c15u;
    size_t i = (size_t)(hash ^ (hash >> 32)) & (bpe->n_slots - 1);
    while (bpe->merge[i].pair != 0 && bpe->merge[i].pair != pair) {
        i = (i + 1) & (bpe->n_slots - 1);
    }
    return &bpe->merge[i];
}

static uint64_t pair_of(int32_t left, int32_t right) {
    return (((uint64_t)(uint32_t)left << 32) | (uint32_t)right) + 1;
}

static void double_slots(rl_bpe *bpe) {
    rl_bpe_merge *old = bpe->merge;
    size_t n_old = bpe->n_slots;
    bpe->n_slots *= 2;
    bpe->merge = rl_alloc(bpe->n_slots, sizeof *bpe->merge);
    for (size_t i = 0; i < n_old; i++) {
        if (old[i].pair != 0) {
            *slot_of(bpe, old[i].pair) = old[i];
        }
    }
    rl_free(old);
}

void rl_bpe_add(rl_bpe *bpe, int32_t left, int32_t right, int32_t rank, int32_t id) {
    rl_bpe_merge *slot = slot_of(bpe, pair_of(left, right));
    if (slot->pair == 0 && ++bpe->n_merges > bpe->n_slots / 2) {
        double_slots(bpe);
        slot = slot_of(bpe, pair_of(left, right));
    }
    *slot = (rl_bpe_merge){pair_of(left, right), rank, id};
    bpe->last_made = id;
}

typedef struct scored {
    double score;
    int32_t id;
} scored;

static int by_falling_score(const void *a, const void *b) {
    const scored *x = a, *y = b;
    if (x->score != y->score) {
        return x->score > y->score ? -1 : 1;
    }
    return x->id < y->id ? -1 : x->id > y->id;
}

void rl_bpe_rank_by_score(rl_bpe *bpe, const double *score) {
    int32_t n = bpe->vocab->n_tokens, n_usable = 0;
    scored *order = rl_alloc((size_t)n, sizeof *order);
    bpe->score_rank = rl_alloc((size_t)n, sizeof *bpe->score_rank);
    for (int32_t id = 0; id < n; id++) {
        bpe->score_rank[id] = -1;
        if ((bpe->vocab->token[id].flags & RL_TOKEN_MODEL) != 0) {
            order[n_usable++] = (scored){score[id], id};
        }
    }
    qsort(order, (size_t)n_usable, sizeof *order, by_falling_score);
    for (int32_t i = 0; i < n_usable; i++) {
        // Equal scores share a rank, so that the leftmost pair wins among them.
        bool tie = i > 0 && !(order[i].score < order[i - 1].score);
        bpe->score_rank[order[i].id] = tie ? bpe->score_rank[order[i - 1].id] : i;
    }
    rl_free(order);
}

void rl_bpe_find_bytes(rl_bpe *bpe) {
    for (int byte = 0; byte < 256; byte++) {
        if (bpe->byte_level) {
            rl_str text = {0};
            rl_utf8_append(&text, rl_byte_to_char((uint8_t)byte));
            bpe->byte_id[byte] = rl_vocab_find_model(bpe->vocab, text.ptr, text.len);
            rl_str_release(&text);
        } else {
            char name[8];
            snprintf(name, sizeof name, "<0x%02X>", (unsigned)byte);
            bpe->byte_id[byte] = rl_vocab_find(bpe->vocab, name, strlen(name));
        }
    }
}

void rl_bpe_work_release(rl_bpe_work *work) {
    rl_free(work->symbol);
    rl_free(work->heap);
    *work = (rl_bpe_work){0};
}

static void push_symbol(rl_bpe_work *work, size_t begin, size_t len, int32_t id) {
    if (work->n_symbols == work->symbol_cap) {
        work->symbol_cap = work->symbol_cap == 0 ? 64 : 2 * work->symbol_cap;
        work->symbol = rl_realloc(work->symbol, work->symbol_cap, sizeof *work->symbol);
    }
    int64_t at = (int64_t)work->n_symbols++;
    work->symbol[at] = (rl_bpe_symbol){begin, (uint32_t)len, id, at - 1, -1};
    if (at > 0) {
        work->symbol[at - 1].next = at;
    }
}

static bool before(const rl_bpe_candidate *a, const rl_bpe_candidate *b) {
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void push_candidate(rl_bpe_work *work, rl_bpe_candidate item) {
    if (work->n_heap == work->heap_cap) {
        work->heap_cap = work->heap_cap == 0 ? 64 : 2 * work->heap_cap;
        work->heap = rl_realloc(work->heap, work->heap_cap, sizeof *work->heap);
    }
    size_t i = work->n_heap++;
    while (i > 0 && before(&item, &work->heap[(i - 1) / 2])) {
        work->heap[i] = work->heap[(i - 1) / 2];
        i = (i - 1) / 2;
    }
    work->heap[i] = item;
}

static rl_bpe_candidate pop_candidate(rl_bpe_work *work) {
    rl_bpe_candidate top = work->heap[0], last = work->heap[--work->n_heap];
    size_t i = 0;
    for (;;) {
        size_t child = 2 * i + 1;
        if (child >= work->n_heap) {
            break;
        }
        if (child + 1 < work->n_heap && before(&work->heap[child + 1], &work->heap[child])) {
            child++;
        }
        if (!before(&work->heap[child], &last)) {
            break;
        }
        work->heap[i] = work->heap[child];
        i = child;
    }
    work->heap[i] = last;
    return top;
}

// Pushes the pair that starts at symbol `at`, if it can be merged.
static void consider(const rl_bpe *bpe, const char *text, rl_bpe_work *work, int64_t at) {
    if (at < 0 || work->symbol[at].next < 0) {
        return;
    }
    const rl_bpe_symbol *left = &work->symbol[at], *right = &work->symbol[left->next];
    rl_bpe_candidate item = {.at = at, .len = left->len + right->len};
    if (bpe->merge != NULL) {
        const rl_bpe_merge *merge = slot_of(bpe, pair_of(left->id, right->id));
        if (merge->pair == 0) {
            return;
        }
        item.rank = merge->rank;
        item.id = merge->id;
    } else {
        if (item.len > bpe->vocab->max_len) {
            return;
        }
        item.id = rl_vocab_find(bpe->vocab, text + left->begin, item.len);
        if (item.id < 0 || bpe->score_rank[item.id] < 0) {
            return;
        }
        item.rank = bpe->score_rank[item.id];
    }
    push_candidate(work, item);
}

static void merge_all(const rl_bpe *bpe, const char *text, rl_bpe_work *work) {
    work->n_heap = 0;
    for (size_t i = 0; i + 1 < work->n_symbols; i++) {
        consider(bpe, text, work, (int64_t)i);
    }
    while (work->n_heap > 0) {
        rl_bpe_candidate top = pop_candidate(work);
        rl_bpe_symbol *left = &work->symbol[top.at];
        if (left->len == 0 || left->next < 0 ||
            left->len + work->symbol[left->next].len != top.len) {
            continue;
        }
        rl_bpe_symbol *right = &work->symbol[left->next];
        left->len = top.len;
        left->id = top.id;
        left->next = right->next;
        right->len = 0;
        if (left->next >= 0) {
            work->symbol[left->next].prev = top.at;
        }
        consider(bpe, text, work, left->prev);
        consider(bpe, text, work, top.at);
    }
}

static bool has_all_bytes(const rl_bpe *bpe, const char *text, size_t text_len) {
    for (size_t i = 0; i < text_len; i++) {
        if (bpe->byte_id[(uint8_t)text[i]] < 0) {
            return false;
        }
    }
    return true;
}

// The first symbols of a piece. Unknown characters wait in `unk_len` until a known one follows, as
// in Hugging Face's model; those that fall back to bytes do not end the wait.
static void split_symbols(const rl_bpe *bpe, const char *text, size_t text_len, rl_bpe_work *work) {
    size_t unk_len = 0;
    work->n_symbols = 0;
    for (size_t i = 0, len; i < text_len; i += len) {
        uint32_t code;
        len = bpe->byte_level ? 1 : (size_t)rl_utf8_decode(text + i, text_len - i, &code);
        int32_t id = bpe->byte_level ? bpe->byte_id[(uint8_t)text[i]]
                                     : rl_vocab_find_model(bpe->vocab, text + i, len);
        if (id >= 0 || bpe->score_rank != NULL) {
            if (unk_len > 0) {
                push_symbol(work, i - unk_len, unk_len, bpe->unk);
                unk_len = 0;
            }
            push_symbol(work, i, len, id);
        } else if (bpe->byte_fallback && has_all_bytes(bpe, text + i, len)) {
            for (size_t j = i; j < i + len; j++) {
                push_symbol(work, j, 1, bpe->byte_id[(uint8_t)text[j]]);
            }
        } else if (bpe->unk >= 0) {
            if (unk_len > 0 && !bpe->fuse_unk) {
                push_symbol(work, i - unk_len, unk_len, bpe->unk);
                unk_len = 0;
            }
            unk_len += len;
        }
    }
    if (unk_len > 0) {
        push_symbol(work, text_len - unk_len, unk_len, bpe->unk);
    }
}

static int32_t whole_piece(const rl_bpe *bpe, const char *text, size_t text_len) {
    rl_str chars = {0};
    if (bpe->byte_level) {
        for (size_t i = 0; i < text_len; i++) {
            rl_utf8_append(&chars, rl_byte_to_char((uint8_t)text[i]));
        }
        text = chars.ptr;
        text_len = chars.len;
    }
    int32_t id = rl_vocab_find_model(bpe->vocab, text, text_len);
    rl_str_release(&chars);
    // A piece of plain text must not become a control token; its name in the text was dealt with
    // before the model was asked.
    return id >= 0 && (bpe->vocab->token[id].flags & RL_TOKEN_SPECIAL) == 0 ? id : -1;
}

static void encode(const rl_bpe *bpe, const char *text, size_t text_len, rl_bpe_work *work,
                   rl_ids *out) {
    if (bpe->ignore_merges) {
        int32_t id = whole_piece(bpe, text, text_len);
        if (id >= 0) {
            rl_ids_push(out, id);
            return;
        }
    }
    split_symbols(bpe, text, text_len, work);
    merge_all(bpe, text, work);
    bool after_unk = false;
    for (int64_t i = work->n_symbols > 0 ? 0 : -1; i >= 0; i = work->symbol[i].next) {
        const rl_bpe_symbol *symbol = &work->symbol[i];
        bool is_unk = false;
        if (symbol->id >= 0) {
            rl_ids_push(out, symbol->id);
        } else if (bpe->byte_fallback && has_all_bytes(bpe, text + symbol->begin, symbol->len)) {
            for (uint32_t j = 0; j < symbol->len; j++) {
                rl_ids_push(out, bpe->byte_id[(uint8_t)text[symbol->begin + j]]);
            }
        } else if (bpe->unk >= 0) {
            is_unk = true;
            if (!after_unk || !bpe->fuse_unk) {
                rl_ids_push(out, bpe->unk);
            }
        }
        after_unk = is_unk;
    }
}

void rl_bpe_encode(const rl_bpe *bpe, const char *text, size_t text_len, rl_bpe_work *work,
                   rl_ids *out) {
    if (text_len == 0 || text_len > RL_WORD_MAX) {
        encode(bpe, text, text_len, work, out);
        return;
    }
    uint64_t hash = rl_word_hash(text, text_len);
    size_t n_ids, begin = out->len;
    const int32_t *ids = rl_word_find(bpe->words, hash, text, text_len, &n_ids);
    if (ids == NULL) {
        encode(bpe, text, text_len, work, out);
        ids = out->len > begin ? out->ptr + begin : NULL;
        rl_word_keep(bpe->words, hash, text, text_len, ids, out->len - begin);
        return;
    }
    for (size_t i = 0; i < n_ids; i++) {
        rl_ids_push(out, ids[i]);
    }
}
