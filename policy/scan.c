#include "policy/scan.h"

#include <stdint.h>
#include <string.h>

#include "policy/pattern.h"
#include "rl/core/unicode.h"

#define ASCII "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])"

rl_scan_kind rl_scan_of(const char *pattern) {
    static const struct {
        const char *text;
        rl_scan_kind kind;
    } known[] = {
        {RL_PATTERN_GPT2, RL_SCAN_GPT2},
        {"'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
         RL_SCAN_GPT2},
        {RL_PATTERN_CL100K, RL_SCAN_CL100K},
        {RL_PATTERN_QWEN, RL_SCAN_QWEN},
        {ASCII RL_PATTERN_CL100K_TAIL("\\p{N}{1,3}"), RL_SCAN_CL100K_C},
        {ASCII RL_PATTERN_CL100K_TAIL("\\p{N}"), RL_SCAN_QWEN_C},
        {"\\p{N}", RL_SCAN_NUMBER},
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        if (strcmp(pattern, known[i].text) == 0) {
            return known[i].kind;
        }
    }
    return RL_SCAN_NONE;
}

/* Classes of ASCII: O other, L letter, N number, S white space. */
enum { O = RL_CHAR_OTHER, L = RL_CHAR_LETTER, N = RL_CHAR_NUMBER, S = RL_CHAR_SPACE };
static const uint8_t ascii[128] = {
    O, O, O, O, O, O, O, O, O, S, S, S, S, S, O, O, O, O, O, O, O, O, O, O, O, O, //
    O, O, O, O, O, O, S, O, O, O, O, O, O, O, O, O, O, O, O, O, O, O, N, N, N, N, //
    N, N, N, N, N, N, O, O, O, O, O, O, O, L, L, L, L, L, L, L, L, L, L, L, L, L, //
    L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O, O, L, L, L, L, L, L, L, //
    L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, O, O, O, O, O,
};

typedef struct subject {
    const unsigned char *text;
    size_t len;
} subject;

/* Class of the character at `at`, which is inside the text, and where the next one begins. */
static unsigned class_at(const subject *s, size_t at, size_t *next) {
    uint32_t code;
    if (s->text[at] < 128) {
        *next = at + 1;
        return ascii[s->text[at]];
    }
    int32_t n = rl_utf8_decode((const char *)s->text + at, s->len - at, &code);
    *next = at + (n > 0 ? (size_t)n : 1); // 0 only for text that broke the contract
    return n > 0 ? (unsigned)rl_unicode_class(code) : O;
}

/* End of the run of characters of one class from `at` on. */
static size_t run(const subject *s, size_t at, unsigned class) {
    size_t next;
    while (at < s->len && class_at(s, at, &next) == class) {
        at = next;
    }
    return at;
}

static bool is_break(unsigned char c) {
    return c == '\r' || c == '\n';
}

/* The letters after an apostrophe at `at`: end of the contraction, or `at`. */
static size_t contraction(const subject *s, size_t at, bool fold, bool long_s) {
    unsigned char a = at + 1 < s->len ? s->text[at + 1] : 0;
    unsigned char b = at + 2 < s->len ? s->text[at + 2] : 0;
    if (long_s && a == 0xc5 && b == 0xbf) { // U+017F is an s to a match without case
        return at + 3;
    }
    a = fold && a >= 'A' && a <= 'Z' ? (unsigned char)(a + 32) : a;
    b = fold && b >= 'A' && b <= 'Z' ? (unsigned char)(b + 32) : b;
    if (a == 's' || a == 't' || a == 'm' || a == 'd') {
        return at + 2;
    }
    bool two = ((a == 'r' || a == 'v') && b == 'e') || (a == 'l' && b == 'l');
    return two ? at + 3 : at;
}

/* \s+(?!\S)|\s+ : all of the white space, but for its last character where more text follows. */
static size_t space_match(const subject *s, size_t at, size_t end) {
    size_t last = end - 1;
    if (end == s->len) {
        return end;
    }
    while (last > at && (s->text[last] & 0xc0) == 0x80) {
        last--;
    }
    return last > at ? last : end;
}

static size_t match_gpt2(const subject *s, size_t at) {
    size_t next;
    unsigned class = class_at(s, at, &next);
    if (s->text[at] == '\'') {
        size_t end = contraction(s, at, false, false);
        if (end > at) {
            return end;
        }
    }
    if (class == S) {
        size_t after = next;
        unsigned follower =
            s->text[at] == ' ' && next < s->len ? class_at(s, next, &after) : (unsigned)S;
        return follower != S ? run(s, after, follower) : space_match(s, at, run(s, at, S));
    }
    return run(s, next, class);
}

/* \s*[\r\n]+|\s+(?!\S)|\s+ */
static size_t cl100k_space(const subject *s, size_t at) {
    size_t end = run(s, at, S);
    for (size_t i = end; i > at; i--) {
        if (is_break(s->text[i - 1])) {
            return i;
        }
    }
    return space_match(s, at, end);
}

static size_t match_cl100k(const subject *s, size_t at, size_t most_digits, bool long_s) {
    size_t next, after = 0;
    unsigned class = class_at(s, at, &next);
    if (s->text[at] == '\'') {
        size_t end = contraction(s, at, true, long_s);
        if (end > at) {
            return end;
        }
    }
    if (class == L) {
        return run(s, next, L);
    }
    if (class == N) {
        for (size_t n = 1; n < most_digits && next < s->len && class_at(s, next, &after) == N;
             n++) {
            next = after;
        }
        return next;
    }
    unsigned follower = next < s->len ? class_at(s, next, &after) : (unsigned)S;
    if (follower == L && !is_break(s->text[at])) {
        return run(s, after, L);
    }
    if (class == S && !(s->text[at] == ' ' && follower == O)) {
        return cl100k_space(s, at);
    }
    for (next = run(s, next, O); next < s->len && is_break(s->text[next]);) {
        next++;
    }
    return next;
}

static bool find_number(const subject *s, size_t from, size_t *begin, size_t *end) {
    for (size_t next; from < s->len; from = next) {
        if (class_at(s, from, &next) == N) {
            *begin = from;
            *end = next;
            return true;
        }
    }
    return false;
}

bool rl_scan_find(rl_scan_kind kind, const char *text, size_t text_len, size_t from, size_t *begin,
                  size_t *end) {
    subject s = {(const unsigned char *)text, text_len};
    if (from >= text_len) {
        return false;
    }
    *begin = from;
    switch (kind) {
    case RL_SCAN_NONE:
        return false;
    case RL_SCAN_GPT2:
        *end = match_gpt2(&s, from);
        return true;
    case RL_SCAN_CL100K:
    case RL_SCAN_CL100K_C:
        *end = match_cl100k(&s, from, 3, kind == RL_SCAN_CL100K);
        return true;
    case RL_SCAN_QWEN:
    case RL_SCAN_QWEN_C:
        *end = match_cl100k(&s, from, 1, kind == RL_SCAN_QWEN);
        return true;
    case RL_SCAN_NUMBER:
        return find_number(&s, from, begin, end);
    }
    return false;
}
