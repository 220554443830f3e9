#include "rewards/extract.h"

#include <string.h>
#include <strings.h>

#include "rl/core/str.h"

typedef struct slice {
    const char *ptr;
    size_t len;
} slice;

static bool is_blank(char c) {
    return c == ' ' || c == '\t' || c == '\r';
}

/* The next line without its newline; false at the end of the text. */
static bool next_line(slice *rest, slice *line) {
    const char *end;
    if (rest->len == 0) {
        return false;
    }
    end = memchr(rest->ptr, '\n', rest->len);
    line->ptr = rest->ptr;
    line->len = end != NULL ? (size_t)(end - rest->ptr) : rest->len;
    size_t used = line->len + (end != NULL);
    rest->ptr += used;
    rest->len -= used;
    return true;
}

static const char *find_last(slice text, const char *word) {
    size_t n = strlen(word);
    for (size_t i = text.len; i >= n; i--) {
        if (memcmp(text.ptr + i - n, word, n) == 0) {
            return text.ptr + i - n;
        }
    }
    return NULL;
}

static slice without_thoughts(slice text) {
    const char *closed = find_last(text, "</think>"), *end = text.ptr + text.len, *open;
    if (closed != NULL) {
        text.ptr = closed + strlen("</think>");
        text.len = (size_t)(end - text.ptr);
    }
    open = text.len > 0 ? memmem(text.ptr, text.len, "<think>", strlen("<think>")) : NULL;
    if (open != NULL) {
        text.len = (size_t)(open - text.ptr);
    }
    return text;
}

/* A line of three or more backticks or tildes, and the words after them. */
typedef struct fence {
    char mark;
    size_t run, indent;
    slice info;
} fence;

static bool read_fence(slice line, fence *out) {
    size_t at = 0, end = line.len;
    while (at < end && is_blank(line.ptr[at])) {
        at++;
    }
    while (end > at && is_blank(line.ptr[end - 1])) {
        end--;
    }
    if (at == end || (line.ptr[at] != '`' && line.ptr[at] != '~')) {
        return false;
    }
    *out = (fence){.mark = line.ptr[at], .indent = at};
    while (at < end && line.ptr[at] == out->mark) {
        at++;
        out->run++;
    }
    while (at < end && is_blank(line.ptr[at])) {
        at++;
    }
    out->info = (slice){line.ptr + at, end - at};
    // A backtick further on makes it code within a line of text.
    return out->run >= 3 && (out->mark == '~' || memchr(line.ptr + at, '`', end - at) == NULL);
}

typedef enum rank { RANK_OTHER, RANK_UNNAMED, RANK_PYTHON } rank;

static rank rank_of(slice info) {
    static const char *const names[] = {"python", "py", "python3", "py3"};
    size_t n = 0;
    while (info.len > 0 && (info.ptr[0] == '{' || info.ptr[0] == '.')) {
        info.ptr++;
        info.len--;
    }
    while (n < info.len && !is_blank(info.ptr[n]) && info.ptr[n] != '}' && info.ptr[n] != ',' &&
           info.ptr[n] != ':') {
        n++;
    }
    if (n == 0) {
        return RANK_UNNAMED;
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        if (strlen(names[i]) == n && strncasecmp(names[i], info.ptr, n) == 0) {
            return RANK_PYTHON;
        }
    }
    return RANK_OTHER;
}

typedef struct block {
    slice body;
    size_t indent;
    rank rank;
} block;

static bool is_empty(slice text) {
    for (size_t i = 0; i < text.len; i++) {
        if (!is_blank(text.ptr[i]) && text.ptr[i] != '\n') {
            return false;
        }
    }
    return true;
}

static void consider(block *best, const block *found) {
    if (found->rank != RANK_OTHER && found->rank >= best->rank && !is_empty(found->body)) {
        *best = *found;
    }
}

static const char *without_indent(const block *found, rl_arena *arena, size_t *len) {
    slice rest = found->body, line;
    rl_str out = {0};
    const char *copy;
    while (next_line(&rest, &line)) {
        size_t skip = 0;
        while (skip < found->indent && skip < line.len && is_blank(line.ptr[skip])) {
            skip++;
        }
        rl_str_append_n(&out, line.ptr + skip, line.len - skip);
        rl_str_append_char(&out, '\n');
    }
    *len = out.len;
    copy = rl_arena_strndup(arena, rl_str_text(&out), out.len);
    rl_str_release(&out);
    return copy;
}

const char *rl_extract_code(rl_code_place place, const char *answer, size_t answer_len,
                            rl_arena *arena, size_t *code_len) {
    slice text = without_thoughts((slice){answer, answer_len}), rest = text, line;
    block best = {.rank = RANK_OTHER}, open = {.rank = RANK_OTHER};
    fence start = {0}, mark;
    bool inside = false, fenced = false;
    while (next_line(&rest, &line)) {
        if (!read_fence(line, &mark)) {
            continue;
        }
        fenced = true;
        if (inside && mark.mark == start.mark && mark.run >= start.run && mark.info.len == 0) {
            open.body.len = (size_t)(line.ptr - open.body.ptr);
            consider(&best, &open);
            inside = false;
        } else if (!inside ||
                   (mark.mark == start.mark && mark.run >= start.run && mark.info.len > 0)) {
            start = mark;
            open = (block){.body.ptr = rest.ptr, .indent = mark.indent, .rank = rank_of(mark.info)};
            inside = true;
        }
    }
    if (inside && best.rank == RANK_OTHER) {
        open.body.len = (size_t)(text.ptr + text.len - open.body.ptr);
        consider(&best, &open);
    }
    if (place == RL_CODE_BLOCK_OR_ALL && !fenced && !is_empty(text)) {
        best = (block){.body = text, .rank = RANK_UNNAMED};
    }
    if (best.rank == RANK_OTHER) {
        return NULL;
    }
    return without_indent(&best, arena, code_len);
}

static bool is_word(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' ||
           (unsigned char)c >= 0x80;
}

static bool skip_word(slice *line, const char *word) {
    size_t n = strlen(word), at = n;
    if (line->len <= n || memcmp(line->ptr, word, n) != 0 || !is_blank(line->ptr[n])) {
        return false;
    }
    while (at < line->len && is_blank(line->ptr[at])) {
        at++;
    }
    line->ptr += at;
    line->len -= at;
    return true;
}

/* "def name", "async def name", "class name" or "name =" at the start of a line. */
static bool defines(slice line, const char *name) {
    size_t n = strlen(name), at = n;
    bool keyword;
    (void)skip_word(&line, "async");
    keyword = skip_word(&line, "def") || skip_word(&line, "class");
    if (line.len < n || memcmp(line.ptr, name, n) != 0 || (n < line.len && is_word(line.ptr[n]))) {
        return false;
    }
    while (at < line.len && is_blank(line.ptr[at])) {
        at++;
    }
    return keyword || (at < line.len && line.ptr[at] == '=');
}

/* Where the line that defines name begins; NULL when none does. */
static const char *find_definition(slice text, const char *name) {
    slice line;
    while (next_line(&text, &line)) {
        if (defines(line, name)) {
            return line.ptr;
        }
    }
    return NULL;
}

static void append_body(rl_str *out, slice code) {
    slice rest = code, line;
    bool indented = false;
    while (next_line(&rest, &line)) {
        if (!is_empty(line)) {
            indented = is_blank(line.ptr[0]);
            break;
        }
    }
    for (rest = code; next_line(&rest, &line);) {
        if (!indented && !is_empty(line)) {
            rl_str_append(out, "    ");
        }
        rl_str_append_n(out, line.ptr, line.len);
        rl_str_append_char(out, '\n');
    }
}

size_t rl_helpers_len(const rl_problem *problem) {
    const char *own;
    if (problem->stub == NULL || problem->entry_point == NULL) {
        return 0;
    }
    own = find_definition((slice){problem->stub, strlen(problem->stub)}, problem->entry_point);
    return own != NULL ? (size_t)(own - problem->stub) : 0;
}

const char *rl_complete_program(const rl_problem *problem, const char *code, size_t code_len,
                                rl_arena *arena, size_t *program_len) {
    slice text = {code, code_len}, stub;
    rl_str out = {0};
    const char *copy;
    *program_len = code_len;
    if (problem->stub == NULL || problem->entry_point == NULL) {
        return code;
    }
    stub = (slice){problem->stub, strlen(problem->stub)};
    if (find_definition(text, problem->entry_point) != NULL) {
        rl_str_append_n(&out, stub.ptr, rl_helpers_len(problem));
        rl_str_append_n(&out, code, code_len);
    } else {
        rl_str_append_n(&out, stub.ptr, stub.len);
        if (stub.len > 0 && stub.ptr[stub.len - 1] != '\n') {
            rl_str_append_char(&out, '\n');
        }
        append_body(&out, text);
    }
    copy = rl_arena_strndup(arena, rl_str_text(&out), out.len);
    *program_len = out.len;
    rl_str_release(&out);
    return copy;
}
