#include "policy/pretoken.h"

#include <string.h>

#include "policy/match.h"
#include "rl/core/alloc.h"

void rl_pretokenizer_add(rl_pretokenizer *pre, rl_pre_step step) {
    size_t n = pre->n_steps++;
    pre->step = rl_realloc(pre->step, n + 1, sizeof step);
    pre->step[n] = step;
}

void rl_pretokenizer_release(rl_pretokenizer *pre) {
    for (size_t i = 0; i < pre->n_steps; i++) {
        rl_regex_free(pre->step[i].regex);
    }
    rl_free(pre->step);
    *pre = (rl_pretokenizer){0};
}

void rl_pieces_put(rl_pieces *pieces, size_t begin, size_t end) {
    if (pieces->n_spans == pieces->cap) {
        pieces->cap = pieces->cap == 0 ? 64 : 2 * pieces->cap;
        pieces->span = rl_realloc(pieces->span, pieces->cap, sizeof *pieces->span);
    }
    pieces->span[pieces->n_spans++] = (rl_span){begin, end};
}

void rl_pieces_add(rl_pieces *pieces, size_t begin, size_t end) {
    if (begin < end) {
        rl_pieces_put(pieces, begin, end);
    }
}

const char *rl_pieces_at(const rl_pieces *pieces, size_t i, size_t *len) {
    *len = pieces->span[i].end - pieces->span[i].begin;
    return rl_str_text(&pieces->text) + pieces->span[i].begin;
}

void rl_pieces_clear(rl_pieces *pieces) {
    rl_str_clear(&pieces->text);
    pieces->n_spans = 0;
}

void rl_pieces_release(rl_pieces *pieces) {
    rl_str_release(&pieces->text);
    rl_free(pieces->span);
    *pieces = (rl_pieces){0};
}

// Walks the parts of one piece, matches and gaps in turn, and places them by the step's rule.
typedef struct splitter {
    const rl_pre_step *step;
    rl_pieces *out;
    size_t first;     // spans of `out` before it belong to earlier pieces
    bool after_match; // the part before was a match
    bool glue_next;   // MERGED_WITH_NEXT: a match waits for what follows it
    size_t glue_begin;
} splitter;

static void place(splitter *s, size_t begin, size_t end, bool is_match) {
    if (begin == end) {
        return;
    }
    bool has_last = s->out->n_spans > s->first;
    rl_span *last = has_last ? &s->out->span[s->out->n_spans - 1] : NULL;
    is_match ^= s->step->invert;
    switch (s->step->how) {
    case RL_SPLIT_ISOLATED:
        rl_pieces_add(s->out, begin, end);
        break;
    case RL_SPLIT_REMOVED:
        if (!is_match) {
            rl_pieces_add(s->out, begin, end);
        }
        break;
    case RL_SPLIT_CONTIGUOUS:
        if (has_last && is_match == s->after_match) {
            last->end = end;
        } else {
            rl_pieces_add(s->out, begin, end);
        }
        break;
    case RL_SPLIT_MERGED_WITH_PREVIOUS:
        if (has_last && is_match && !s->after_match) {
            last->end = end;
        } else {
            rl_pieces_add(s->out, begin, end);
        }
        break;
    case RL_SPLIT_MERGED_WITH_NEXT:
        // Of several matches in a row only the last joins what follows.
        if (s->glue_next && is_match) {
            rl_pieces_add(s->out, s->glue_begin, begin);
        }
        if (is_match) {
            s->glue_begin = begin;
        } else {
            rl_pieces_add(s->out, s->glue_next ? s->glue_begin : begin, end);
        }
        s->glue_next = is_match;
        break;
    }
    s->after_match = is_match;
}

static rl_status split(const rl_pre_step *step, const char *text, size_t base, size_t len,
                       rl_pieces *out, rl_err *err) {
    splitter s = {.step = step, .out = out, .first = out->n_spans};
    size_t last = 0, from = 0;
    for (;;) {
        size_t begin, end;
        bool found;
        if (step->scan != RL_SCAN_NONE) {
            found = rl_scan_find(step->scan, text + base, len, from, &begin, &end);
        } else {
            rl_status status = rl_match_next(step->regex, step->literal, text + base, len, from,
                                             &found, &begin, &end, err);
            if (status != RL_OK) {
                return status;
            }
        }
        if (!found) {
            break;
        }
        place(&s, base + last, base + begin, false);
        place(&s, base + begin, base + end, true);
        last = end;
        from = rl_match_resume(text + base, len, begin, end);
    }
    place(&s, base + last, base + len, false);
    if (s.glue_next) {
        rl_pieces_add(out, s.glue_begin, base + len);
    }
    return RL_OK;
}

static void rewrite(const rl_pre_step *step, const rl_pieces *in, bool at_start, rl_pieces *out) {
    for (size_t i = 0; i < in->n_spans; i++) {
        size_t len, begin = out->text.len;
        const char *text = rl_pieces_at(in, i, &len);
        bool wanted = step->where == RL_PREFIX_ALWAYS ||
                      (step->where == RL_PREFIX_FIRST && at_start && in->span[i].begin == 0);
        size_t prefix_len = strlen(step->prefix);
        bool has_prefix =
            (len >= prefix_len && memcmp(text, step->prefix, prefix_len) == 0) ||
            (step->space != NULL && text[0] == ' ' && strcmp(step->space, step->prefix) == 0);
        if (wanted && !has_prefix) {
            rl_str_append(&out->text, step->prefix);
        }
        for (size_t j = 0; j < len; j++) {
            if (step->space != NULL && text[j] == ' ') {
                rl_str_append(&out->text, step->space);
            } else {
                rl_str_append_char(&out->text, text[j]);
            }
        }
        rl_pieces_add(out, begin, out->text.len);
    }
}

rl_status rl_pretokenizer_run(const rl_pretokenizer *pre, const char *text, size_t text_len,
                              bool at_start, rl_pieces *pieces, rl_pieces *spare, rl_err *err) {
    rl_pieces_clear(pieces);
    rl_str_append_n(&pieces->text, text, text_len);
    rl_pieces_add(pieces, 0, text_len);
    for (size_t i = 0; i < pre->n_steps; i++) {
        const rl_pre_step *step = &pre->step[i];
        rl_pieces_clear(spare);
        if (step->is_split) {
            for (size_t j = 0; j < pieces->n_spans; j++) {
                rl_span span = pieces->span[j];
                rl_status status =
                    split(step, pieces->text.ptr, span.begin, span.end - span.begin, spare, err);
                if (status != RL_OK) {
                    return status;
                }
            }
            rl_str keep = spare->text; // the text stays, only the cuts are new
            spare->text = pieces->text;
            pieces->text = keep;
        } else {
            rewrite(step, pieces, at_start, spare);
        }
        rl_pieces swap = *pieces;
        *pieces = *spare;
        *spare = swap;
    }
    return RL_OK;
}
