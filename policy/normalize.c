#include "policy/normalize.h"

#include <string.h>

#include "policy/match.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"

void rl_normalizer_add(rl_normalizer *normalizer, rl_rewrite rewrite) {
    size_t n = normalizer->n_rewrites++;
    normalizer->rewrite = rl_realloc(normalizer->rewrite, n + 1, sizeof rewrite);
    normalizer->rewrite[n] = rewrite;
}

void rl_normalizer_release(rl_normalizer *normalizer) {
    for (size_t i = 0; i < normalizer->n_rewrites; i++) {
        rl_regex_free(normalizer->rewrite[i].regex);
    }
    rl_free(normalizer->rewrite);
    *normalizer = (rl_normalizer){0};
}

static rl_status replace(const rl_rewrite *rewrite, const char *text, size_t text_len, rl_str *out,
                         rl_err *err) {
    for (size_t from = 0, last = 0;;) {
        size_t begin, end;
        bool found;
        rl_status status = rl_match_next(rewrite->regex, rewrite->literal, text, text_len, from,
                                         &found, &begin, &end, err);
        if (status != RL_OK) {
            return status;
        }
        if (!found) {
            rl_str_append_n(out, text + last, text_len - last);
            return RL_OK;
        }
        rl_str_append_n(out, text + last, begin - last);
        rl_str_append(out, rewrite->content);
        last = end;
        from = rl_match_resume(text, text_len, begin, end);
    }
}

static void strip(const rl_rewrite *rewrite, const char *text, size_t text_len, rl_str *out) {
    size_t begin = 0, end = 0;
    for (size_t at = 0; at < text_len;) {
        uint32_t code;
        int32_t n = rl_utf8_decode(text + at, text_len - at, &code);
        RL_ASSERT(n > 0);
        at += (size_t)n;
        if (rl_unicode_class(code) != RL_CHAR_SPACE) {
            end = at;
        } else if (end == 0) {
            begin = at; // nothing but white space so far
        }
    }
    begin = rewrite->left ? begin : 0;
    end = rewrite->right ? end : text_len;
    rl_str_append_n(out, text + begin, end > begin ? end - begin : 0);
}

static void drop_marks(const char *text, size_t text_len, rl_str *out) {
    for (size_t at = 0; at < text_len;) {
        uint32_t code;
        int32_t n = rl_utf8_decode(text + at, text_len - at, &code);
        RL_ASSERT(n > 0);
        if (!rl_unicode_is_mark(code)) {
            rl_str_append_n(out, text + at, (size_t)n);
        }
        at += (size_t)n;
    }
}

rl_status rl_rewrite_run(const rl_rewrite *rewrite, const char *text, size_t text_len, rl_str *out,
                         rl_err *err) {
    switch (rewrite->kind) {
    case RL_REWRITE_FORM:
        return rl_unicode_normalize(rewrite->form, text, text_len, out, err);
    case RL_REWRITE_PREPEND:
        if (text_len > 0) {
            rl_str_append(out, rewrite->content);
            rl_str_append_n(out, text, text_len);
        }
        return RL_OK;
    case RL_REWRITE_LOWER:
        rl_unicode_lower(text, text_len, out);
        return RL_OK;
    case RL_REWRITE_STRIP:
        strip(rewrite, text, text_len, out);
        return RL_OK;
    case RL_REWRITE_ACCENTS:
        drop_marks(text, text_len, out);
        return RL_OK;
    case RL_REWRITE_REPLACE:
        return replace(rewrite, text, text_len, out, err);
    }
    return RL_OK;
}

rl_status rl_normalizer_run(const rl_normalizer *normalizer, const char *text, size_t text_len,
                            rl_str *out, rl_err *err) {
    rl_str a = {0}, b = {0};
    rl_status status = RL_OK;
    if (normalizer->n_rewrites == 0) {
        rl_str_append_n(out, text, text_len);
        return RL_OK;
    }
    if (normalizer->n_rewrites == 1) {
        return rl_rewrite_run(&normalizer->rewrite[0], text, text_len, out, err);
    }
    rl_str_append_n(&a, text, text_len);
    for (size_t i = 0; i < normalizer->n_rewrites && status == RL_OK; i++) {
        rl_str_clear(&b);
        status = rl_rewrite_run(&normalizer->rewrite[i], rl_str_text(&a), a.len, &b, err);
        rl_str swap = a;
        a = b;
        b = swap;
    }
    if (status == RL_OK) {
        rl_str_append_n(out, rl_str_text(&a), a.len);
    }
    rl_str_release(&a);
    rl_str_release(&b);
    return status;
}
