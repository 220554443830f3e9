#include "policy/match.h"

#include <stdint.h>
#include <string.h>

#include "rl/core/unicode.h"

rl_status rl_match_next(const rl_regex *regex, const char *literal, const char *text,
                        size_t text_len, size_t from, bool *found, size_t *begin, size_t *end,
                        rl_err *err) {
    *found = false;
    if (from > text_len) {
        return RL_OK;
    }
    if (regex != NULL) {
        return rl_regex_find(regex, text, text_len, from, found, begin, end, err);
    }
    size_t len = strlen(literal);
    const char *hit = from < text_len ? memmem(text + from, text_len - from, literal, len) : NULL;
    if (hit != NULL) {
        *found = true;
        *begin = (size_t)(hit - text);
        *end = *begin + len;
    }
    return RL_OK;
}

size_t rl_match_resume(const char *text, size_t text_len, size_t begin, size_t end) {
    if (end > begin) {
        return end;
    }
    uint32_t code;
    int32_t step = end < text_len ? rl_utf8_decode(text + end, text_len - end, &code) : 0;
    return end + (step > 0 ? (size_t)step : 1);
}
