/*
 * JSON, strict. core/json.c checks the text itself (number grammar, control characters, UTF-8,
 * "\u0000" and lone surrogates refused, duplicate keys, depth) and reports line and column; cJSON
 * then builds the tree. Look-ups are exact in case. Values are read-only and live until their
 * document is freed; reading is thread-safe.
 */
#ifndef RL_CORE_JSON_H
#define RL_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"
#include "rl/core/str.h"

typedef struct rl_json_doc rl_json_doc; // owns a parsed text
typedef struct rl_json rl_json;         // one value inside it

typedef enum rl_json_type {
    RL_JSON_NULL,
    RL_JSON_BOOL,
    RL_JSON_NUMBER,
    RL_JSON_TEXT,
    RL_JSON_LIST,
    RL_JSON_OBJECT
} rl_json_type;

/* name appears in errors: "'name', line 3, column 7: ...". text need not be NUL-terminated. */
rl_status rl_json_parse(const char *text, size_t text_len, const char *name, rl_json_doc **out,
                        rl_err *err) RL_MUST_USE;
/* The same for one line of a JSON-lines file: errors say "'name', line `line`, column ...". */
rl_status rl_json_parse_line(const char *text, size_t text_len, const char *name, int64_t line,
                             rl_json_doc **out, rl_err *err) RL_MUST_USE;
rl_status rl_json_read(const char *path, rl_json_doc **out, rl_err *err) RL_MUST_USE;
void rl_json_free(rl_json_doc *doc); // accepts NULL
const rl_json *rl_json_root(const rl_json_doc *doc);

rl_json_type rl_json_type_of(const rl_json *value);
const char *rl_json_type_name(rl_json_type type); // "a list", "text", ... for sentences

/* NULL when absent, or when value is not an object or is NULL, so look-ups chain. */
const rl_json *rl_json_get(const rl_json *object, const char *key);
/* Walks children of a list or object: first child, then next sibling; NULL ends. O(1) a step. */
const rl_json *rl_json_first(const rl_json *value);
const rl_json *rl_json_next(const rl_json *child);
const char *rl_json_key(const rl_json *child); // NULL for list items
size_t rl_json_count(const rl_json *value);    // children

/* Each returns the fallback when value is NULL or of another type. */
bool rl_json_bool(const rl_json *value, bool fallback);
double rl_json_number(const rl_json *value, double fallback);
const char *rl_json_text(const rl_json *value, const char *fallback);
/* True when value is a number with an integer value of magnitude at most 2^53. */
bool rl_json_integer(const rl_json *value, int64_t *out);
/* Appends value as compact JSON. */
void rl_json_print(const rl_json *value, rl_str *out);

/*
 * Lists and objects that are too large for a tree, such as a vocabulary: rl_json_parse_lean checks
 * the whole text as strictly as ever, but leaves out of the tree the members inner[i] of the
 * outermost object's member `outer` (null stands there) and gives their places instead, with text
 * NULL where there is no such list or object. A walk then goes over one of them in a single pass.
 * Keys directly inside a span are not compared with each other. The text must outlive the spans.
 */
typedef struct rl_json_span {
    const char *text;
    size_t len;
} rl_json_span;
rl_status rl_json_parse_lean(const char *text, size_t text_len, const char *name, const char *outer,
                             const char *const *inner, size_t n_inner, rl_json_span *span,
                             rl_json_doc **out, rl_err *err) RL_MUST_USE;

typedef enum rl_json_event {
    RL_JSON_AT_END,
    RL_JSON_AT_OPEN, // of a list or object, the span's own first
    RL_JSON_AT_CLOSE,
    RL_JSON_AT_KEY,    // text
    RL_JSON_AT_TEXT,   // text
    RL_JSON_AT_NUMBER, // text, as written
    RL_JSON_AT_WORD,   // text: true, false or null
} rl_json_event;

/* Begin with {.at = span.text, .end = span.text + span.len}; release at the end. */
typedef struct rl_json_walk {
    const char *at, *end;
    const char *text; // of the last event, not terminated; until the next
    size_t text_len;
    rl_str copy; // of a text with escapes
} rl_json_walk;
rl_json_event rl_json_walk_next(rl_json_walk *walk);
/* rl_json_integer of the number just met. */
bool rl_json_walk_integer(const rl_json_walk *walk, int64_t *out);
void rl_json_walk_release(rl_json_walk *walk);

/*
 * Writing. Calls append to `out`; commas are placed by the writer, nesting is the caller's duty.
 * key is NULL inside lists. Doubles print the shortest text that reads back to the same double; NaN
 * and infinities print null.
 */
typedef struct rl_json_writer {
    rl_str *out;
    bool needs_comma;
} rl_json_writer;

void rl_json_open_object(rl_json_writer *w, const char *key);
void rl_json_close_object(rl_json_writer *w);
void rl_json_open_list(rl_json_writer *w, const char *key);
void rl_json_close_list(rl_json_writer *w);
void rl_json_put_null(rl_json_writer *w, const char *key);
void rl_json_put_bool(rl_json_writer *w, const char *key, bool value);
void rl_json_put_int(rl_json_writer *w, const char *key, int64_t value);
void rl_json_put_number(rl_json_writer *w, const char *key, double value);
/* Invalid UTF-8 is replaced by U+FFFD, since JSON cannot carry it. NULL text prints null. */
void rl_json_put_text(rl_json_writer *w, const char *key, const char *text, size_t text_len);
void rl_json_put_value(rl_json_writer *w, const char *key, const rl_json *value);

#endif
