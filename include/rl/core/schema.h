/*
 * A section of a recipe: a struct, and one row per field. Rows are the only description of a key;
 * parsing, range checks, help text and documentation are all read from them.
 */
#ifndef RL_CORE_SCHEMA_H
#define RL_CORE_SCHEMA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "rl/core/arena.h"
#include "rl/core/json.h"
#include "rl/core/status.h"
#include "rl/core/str.h"

typedef enum rl_key_type {
    RL_KEY_BOOL,
    RL_KEY_INT,
    RL_KEY_REAL,
    RL_KEY_TEXT,
    RL_KEY_CHOICE,
    RL_KEY_LIST // of texts
} rl_key_type;

enum rl_key_flags {
    RL_KEY_REQUIRED = 1 << 0,
    RL_KEY_OPEN_MIN = 1 << 1,    // the minimum itself is not allowed
    RL_KEY_RESUME_FREE = 1 << 2, // may differ between a checkpoint and its resumption
};

typedef struct rl_key {
    const char *name;
    rl_key_type type;
    size_t offset;
    const char *fallback; // as the user would write it, so defaults pass the same checks; NULL for
                          // none: the field is zero, and a text may be null in a recipe
    double min, max;      // inclusive; equal means no range; INFINITY is allowed
    const char *const *choices; // NULL-terminated, for RL_KEY_CHOICE
    unsigned flags;
    const char *doc; // one line, no full stop
} rl_key;

typedef struct rl_section {
    const char *name; // in help and documentation, e.g. "algo.murphy"
    const char *doc;
    size_t size; // of the option struct
    const rl_key *keys;
    size_t n_keys;
    // Rules between keys, may be NULL. Its sentence quotes the path of every key it speaks of.
    rl_status (*check)(const void *opts, rl_err *err);
} rl_section;

/* The field's C type picks the key type; any other field type does not compile. */
#define RL_KEY_TYPE(field)                                                                         \
    _Generic((field), bool: RL_KEY_BOOL, int32_t: RL_KEY_INT, double: RL_KEY_REAL, \
             const char *: RL_KEY_TEXT, rl_text_list: RL_KEY_LIST)

#define RL_KEY_ROW(opts, field, dflt, lo, hi, how, text)                                           \
    {                                                                                              \
        .name = #field, .type = RL_KEY_TYPE(((opts *)0)->field), .offset = offsetof(opts, field),  \
        .fallback = (dflt), .min = (lo), .max = (hi), .flags = (how), .doc = (text)                \
    }

/* For an enum field; names are in enumerator order, counted from 0. */
#define RL_CHOICE_ROW(opts, field, dflt, names, how, text)                                         \
    {                                                                                              \
        .name = #field, .type = RL_KEY_CHOICE, .offset = offsetof(opts, field),                    \
        .fallback = (dflt), .choices = (names), .flags = (how), .doc = (text)                      \
    }

/* A list of texts. A list of objects (the entries of 'rewards') is not a row: its section names it
 * in `elsewhere` and reads each entry with the section that the entry's "name" picks. */
typedef struct rl_text_list {
    const char *const *item;
    size_t n_items;
} rl_text_list;

/* Everything that was wrong, collected so that the user mends a recipe in one go. Zero value is
 * empty. */
typedef struct rl_errors {
    rl_str text; // one sentence a line
    int32_t count;
    rl_str refused; // paths of values that were not taken, each after a newline
    // What an unknown key may mean, written to out as a clause; NULL where it is not known. May be
    // NULL itself.
    const char *(*hint)(const char *name, char *out, size_t out_size);
} rl_errors;
void rl_errors_add(rl_errors *errors, const char *fmt, ...) RL_PRINTF(2, 3);
void rl_errors_release(rl_errors *errors);

/* A value that was not taken leaves its fallback in the struct, of which no rule may speak. A path
 * is refused when it, or an object or list that holds it, was: "run" refuses "run.steps". */
void rl_errors_refuse(rl_errors *errors, const char *path);
bool rl_errors_refused(const rl_errors *errors, const char *path);

/* Writes every key's fallback into opts. Texts are copied into the arena, which must outlive opts.
 */
void rl_section_defaults(const rl_section *section, rl_arena *arena, void *opts);

/*
 * Reads an object into opts (defaults first), adding one sentence per mistake: unknown key with the
 * nearest valid one, wrong type, out of range, missing required key, and what section->check says.
 * The check sees fallbacks where values were refused; a sentence about one of those is dropped.
 * Keys named in `elsewhere` (NULL-terminated, may be NULL) are left to the caller. A NULL object
 * means {}.
 */
void rl_section_read(const rl_section *section, const rl_json *object, const char *const *elsewhere,
                     rl_arena *arena, void *opts, rl_errors *errors);

/* The same for an object that stands at another path than the section's name, so that sentences
 * name what the user wrote: "algo", "rewards[0]". */
void rl_section_read_at(const char *path, const rl_section *section, const rl_json *object,
                        const char *const *elsewhere, rl_arena *arena, void *opts,
                        rl_errors *errors);

/* Every key with its value, as members of the object that is open in the writer. */
void rl_section_print(const rl_section *section, const void *opts, rl_json_writer *to);
void rl_section_help(const rl_section *section, FILE *to);
void rl_section_markdown(const rl_section *section, FILE *to);

#endif
