/*
 * The values of a template: Python's, as far as templates can tell. Plain structs; what they point
 * to lies in the arena of one rendering (constants: of the template) and is never changed, except
 * namespaces.
 */
#ifndef RL_POLICY_JINJA_VALUE_H
#define RL_POLICY_JINJA_VALUE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/arena.h"
#include "rl/core/json.h"

typedef enum rl_jinja_type {
    RL_JINJA_ABSENT, // an argument that was not given; no expression has this value
    RL_JINJA_UNDEFINED,
    RL_JINJA_NONE,
    RL_JINJA_BOOL,
    RL_JINJA_INT,
    RL_JINJA_FLOAT,
    RL_JINJA_TEXT,
    RL_JINJA_LIST,
    RL_JINJA_DICT,
    RL_JINJA_NAMESPACE, // a dict that templates may write to
    RL_JINJA_LOOP,      // `loop` inside a for
    RL_JINJA_CALLABLE   // a macro, a function, a method of a value
} rl_jinja_type;

/* UTF-8, not NUL-terminated. mark is NULL where all marks are 0. */
typedef struct rl_jinja_text {
    const char *ptr;
    size_t len;
    const uint8_t *mark; // [len]
} rl_jinja_text;

typedef struct rl_jinja_value rl_jinja_value;
typedef struct rl_jinja_dict rl_jinja_dict;
typedef struct rl_jinja_loop rl_jinja_loop;         // jinja_run.h
typedef struct rl_jinja_callable rl_jinja_callable; // jinja_run.h

/* Where an undefined value came from, for the sentence when it is used. */
typedef struct rl_jinja_missing {
    const char *name;
    size_t len;
    const char *owner; // "dict object"; NULL for a variable
} rl_jinja_missing;

typedef enum rl_jinja_list_kind {
    RL_JINJA_IS_LIST,
    RL_JINJA_IS_TUPLE,
    RL_JINJA_IS_LAZY // a generator in Python: true even if empty, and walked only once
} rl_jinja_list_kind;

typedef struct rl_jinja_list {
    rl_jinja_value *item; // [n]
    size_t n, cap;
    int depth; // of lists and dicts in it
    rl_jinja_list_kind kind;
    bool spent; // a lazy one that was walked
} rl_jinja_list;

struct rl_jinja_value {
    rl_jinja_type type;
    union {
        bool truth;
        int64_t integer;
        double real;
        rl_jinja_text text;
        rl_jinja_list *list;
        rl_jinja_dict *dict;
        rl_jinja_missing missing;
        rl_jinja_loop *loop;
        const rl_jinja_callable *callable;
    } as;
};

typedef struct rl_jinja_entry {
    rl_jinja_value key, value;
} rl_jinja_entry;

struct rl_jinja_dict {
    rl_jinja_entry *entry; // [n] in order of insertion
    size_t n, cap;
    int depth; // of lists and dicts in it
};

rl_jinja_value rl_jinja_none(void);
rl_jinja_value rl_jinja_bool(bool truth);
rl_jinja_value rl_jinja_int(int64_t integer);
rl_jinja_value rl_jinja_real(double real);
rl_jinja_value rl_jinja_literal(const char *text); // borrows; marks are 0
rl_jinja_value rl_jinja_of_text(rl_jinja_text text);
/* Borrows text; every byte gets the mark. */
rl_jinja_value rl_jinja_marked(rl_arena *arena, const char *text, size_t len, uint8_t mark);
/* name is borrowed; owner is a constant or NULL. */
rl_jinja_value rl_jinja_undefined(const char *name, size_t len, const char *owner);

rl_jinja_value rl_jinja_new_list(rl_arena *arena, size_t cap, rl_jinja_list_kind kind);
void rl_jinja_push(rl_arena *arena, rl_jinja_value list, rl_jinja_value item);
rl_jinja_value rl_jinja_new_dict(rl_arena *arena, size_t cap);
/* Adds or replaces; a key must be a number, text or None. */
void rl_jinja_put(rl_arena *arena, rl_jinja_value dict, rl_jinja_value key, rl_jinja_value value);
/* A JSON value; texts borrow from it and get the mark. Whole numbers are integers. */
rl_jinja_value rl_jinja_from_json(rl_arena *arena, const rl_json *json, uint8_t mark);

bool rl_jinja_is_true(const rl_jinja_value *value);
/* Numbers and booleans; what Python's numeric tower compares by value. */
bool rl_jinja_is_number(const rl_jinja_value *value);
bool rl_jinja_text_is(rl_jinja_text text, const char *other);
bool rl_jinja_text_equal(rl_jinja_text a, rl_jinja_text b);
/* Lists and dicts inside one another; the evaluator keeps it low, so that recursion ends. */
int rl_jinja_depth(const rl_jinja_value *value);
/* == of what holds no other values; false between lists and between dicts (rl_jinja_equal looks
 * into those). */
bool rl_jinja_same(const rl_jinja_value *a, const rl_jinja_value *b);
/* "dict object" and the like: as jinja2's sentences name a value. */
const char *rl_jinja_type_name(const rl_jinja_value *value);

/* Part of a text, in bytes. */
rl_jinja_text rl_jinja_cut(rl_jinja_text text, size_t begin, size_t end);
/* Characters of a text, and the byte where character i begins (text.len when there are fewer). */
size_t rl_jinja_chars(rl_jinja_text text);
size_t rl_jinja_char_at(rl_jinja_text text, size_t i);
/* The byte where the character that begins at `at` ends. */
size_t rl_jinja_char_end(rl_jinja_text text, size_t at);
/* First place of a non-empty part at or after `from`; SIZE_MAX when there is none. */
size_t rl_jinja_find_part(rl_jinja_text text, rl_jinja_text part, size_t from);
/* White space as Python's str.strip sees it. */
bool rl_jinja_is_space(uint32_t code);
rl_jinja_text rl_jinja_strip(rl_jinja_text text, bool left, bool right);

#endif
