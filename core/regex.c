#include "rl/core/regex.h"

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"

/*
 * The interpreter, not the JIT: only there do all three limits hold, and a pattern behaves the same
 * on every processor. A match of the patterns that tokenizers use costs a few steps a byte.
 */
enum {
    PATTERN_MAX = 1 << 16,          // bytes
    MATCH_LIMIT = 10 * 1000 * 1000, // steps, below a second
    DEPTH_LIMIT = 500 * 1000,       // nested backtracking points
    HEAP_LIMIT = 64 * 1024          // KiB for them
};

struct rl_regex {
    pcre2_general_context *memory;
    pcre2_match_context *limits;
    pcre2_code *code;
};

/* Not zeroed: each match asks for some tens of KiB. */
static void *get_memory(size_t size, void *unused) {
    (void)unused;
    return rl_realloc(NULL, size, 1);
}

static void put_memory(void *ptr, void *unused) {
    (void)unused;
    rl_free(ptr);
}

rl_status rl_regex_new(const char *pattern, rl_regex **out, rl_err *err) {
    rl_regex *regex = rl_alloc(1, sizeof *regex);
    size_t len = strlen(pattern);
    pcre2_compile_context *compile;
    int code;
    PCRE2_SIZE at;
    *out = NULL;
    regex->memory = pcre2_general_context_create(get_memory, put_memory, NULL);
    compile = pcre2_compile_context_create(regex->memory);
    regex->limits = pcre2_match_context_create(regex->memory);
    pcre2_set_max_pattern_length(compile, PATTERN_MAX);
    pcre2_set_match_limit(regex->limits, MATCH_LIMIT);
    pcre2_set_depth_limit(regex->limits, DEPTH_LIMIT);
    pcre2_set_heap_limit(regex->limits, HEAP_LIMIT);
    regex->code =
        pcre2_compile((PCRE2_SPTR)pattern, len, PCRE2_UTF | PCRE2_UCP | PCRE2_NEVER_BACKSLASH_C,
                      &code, &at, compile);
    pcre2_compile_context_free(compile);
    if (regex->code == NULL) {
        PCRE2_UCHAR words[128] = {0};
        rl_status status;
        pcre2_get_error_message(code, words, sizeof words);
        status = rl_fail(err, RL_UNSUPPORTED, "pattern '%.160s' is not usable at byte %zu: %s",
                         pattern, (size_t)at, (const char *)words);
        rl_regex_free(regex);
        return status;
    }
    *out = regex;
    return RL_OK;
}

void rl_regex_free(rl_regex *regex) {
    if (regex != NULL) {
        pcre2_code_free(regex->code);
        pcre2_match_context_free(regex->limits);
        pcre2_general_context_free(regex->memory);
        rl_free(regex);
    }
}

rl_status rl_regex_find(const rl_regex *regex, const char *text, size_t text_len, size_t from,
                        bool *found, size_t *begin, size_t *end, rl_err *err) {
    pcre2_match_data *match;
    int n;
    RL_ASSERT(from <= text_len);
    *found = false;
    // One pair of offsets is enough. The check of the text is the caller's: here it would cost its
    // whole length for every match.
    match = pcre2_match_data_create(1, regex->memory);
    n = pcre2_match(regex->code, (PCRE2_SPTR)text, text_len, from, PCRE2_NO_UTF_CHECK, match,
                    regex->limits);
    if (n >= 0) {
        const PCRE2_SIZE *pair = pcre2_get_ovector_pointer(match);
        *found = true;
        *begin = pair[0]; // not behind the end: PCRE2 refuses \K in assertions
        *end = pair[1];
    }
    pcre2_match_data_free(match);
    if (n < 0 && n != PCRE2_ERROR_NOMATCH) {
        PCRE2_UCHAR words[128] = {0};
        pcre2_get_error_message(n, words, sizeof words);
        return rl_fail(err, RL_UNSUPPORTED,
                       "a pattern gave up on a text of %zu bytes: %s; try shorter texts", text_len,
                       (const char *)words);
    }
    return RL_OK;
}
