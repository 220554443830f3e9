#include "train/overlay.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "train/sections.h"

/* One --set; doc owns the value. Later assignments win: one of a whole section ends what came
 * before it for that section. */
typedef struct assignment {
    char *section, *key; // key is NULL for a whole section, such as rewards=[...]
    rl_json_doc *doc;
} assignment;

static bool is_path_key(const char *section, const char *key) {
    for (size_t i = 0; recipe_path_keys[i] != NULL; i++) {
        size_t n = strlen(section);
        if (strncmp(recipe_path_keys[i], section, n) == 0 && recipe_path_keys[i][n] == '.' &&
            strcmp(recipe_path_keys[i] + n + 1, key) == 0) {
            return true;
        }
    }
    return false;
}

static bool is_text_key(const char *section, const char *key) {
    const rl_key *row;
    if (key == NULL) {
        return strcmp(section, "why") == 0;
    }
    row = recipe_key_find(section, key);
    return (strcmp(section, "algo") == 0 && strcmp(key, "name") == 0) ||
           (row != NULL && (row->type == RL_KEY_TEXT || row->type == RL_KEY_CHOICE));
}

static rl_json_doc *parse(const char *text, size_t text_len) {
    rl_json_doc *doc = NULL;
    rl_err ignored;
    return rl_json_parse(text, text_len, "--set", &doc, &ignored) == RL_OK ? doc : NULL;
}

static rl_json_doc *text_value(const char *text) {
    rl_str quoted = {0};
    rl_json_writer w = {.out = &quoted};
    rl_json_doc *doc;
    rl_json_put_text(&w, NULL, text, strlen(text));
    doc = parse(quoted.ptr, quoted.len);
    rl_str_release(&quoted);
    return doc;
}

// The hint holds the entries as they are, so that an edited one loses nothing of them.
static void add_part_of_rewards(const char *set, const rl_json *rewards, rl_errors *errors) {
    rl_str now = {0};
    if (rl_json_type_of(rewards) == RL_JSON_LIST) {
        rl_json_print(rewards, &now);
    } else {
        rl_str_append(&now, "[{\"name\": \"code_tests\"}]");
    }
    rl_errors_add(errors,
                  "--set '%s' names a part of 'rewards', which is a list; edit it and set all of "
                  "it: --set 'rewards=%s'",
                  set, rl_str_text(&now));
    rl_str_release(&now);
}

// A value for what is no "section.key".
static void add_no_key(const char *set, const char *name, rl_errors *errors) {
    char place[128];
    for (size_t i = 0; recipe_names[i] != NULL; i++) {
        if (strcmp(recipe_names[i], name) == 0) {
            rl_errors_add(errors,
                          "--set '%s' names a whole section; use section.key=value, or JSON", set);
            return;
        }
    }
    if (recipe_foreign_hint(name, place, sizeof place) != NULL) {
        rl_errors_add(errors, "--set '%s' names no key; %s", set, place);
    } else if (rl_recipe_place(name, place, sizeof place)) {
        rl_errors_add(errors, "--set '%s' names no section; did you mean '%s'?", set, place);
    } else {
        rl_errors_add(errors, "--set '%s' is not of the form section.key=value", set);
    }
}

// "section.key=value" up to its value; false when it names no place that a value could be put.
static bool read_place(const char *set, const rl_json *root, assignment *out, rl_errors *errors) {
    const char *equals = strchr(set, '='), *dot = strchr(set, '.');
    if (equals == NULL || equals == set) {
        rl_errors_add(errors, "--set '%s' is not of the form section.key=value", set);
        return false;
    }
    if (dot == NULL || dot > equals) {
        out->section = rl_strndup(set, (size_t)(equals - set));
    } else {
        out->section = rl_strndup(set, (size_t)(dot - set));
        out->key = rl_strndup(dot + 1, (size_t)(equals - dot - 1));
    }
    if (rl_text_starts(set, "rewards.") || rl_text_starts(set, "rewards[")) {
        add_part_of_rewards(set, rl_json_get(root, "rewards"), errors);
        return false;
    }
    if (out->key != NULL && strcmp(out->section, "why") == 0) {
        rl_errors_add(errors, "--set '%s' names a key of 'why', which is a text; use why=TEXT",
                      set);
        return false;
    }
    return true;
}

static bool read_assignment(const char *set, const rl_json *root, assignment *out,
                            rl_errors *errors) {
    const char *value;
    bool text;
    if (!read_place(set, root, out, errors)) {
        return false;
    }
    value = strchr(set, '=') + 1;
    text = is_text_key(out->section, out->key);
    if (!text && (value[0] == '[' || value[0] == '{')) {
        rl_err err;
        if (rl_json_parse(value, strlen(value), set, &out->doc, &err) != RL_OK) {
            rl_errors_add(errors, "--set %s", err.text);
            return false;
        }
        return true;
    }
    if (out->key == NULL && !text) {
        add_no_key(set, out->section, errors);
        return false;
    }
    if (out->key != NULL && is_path_key(out->section, out->key) && value[0] != '\0') {
        rl_arena *arena = rl_arena_new(0);
        out->doc = text_value(rl_path_absolute(arena, value));
        rl_arena_free(arena);
    } else if (text) {
        out->doc = text_value(value);
    } else {
        // A number or a boolean as JSON; anything else stays text and is judged by its row.
        out->doc = parse(value, strlen(value));
        out->doc = out->doc != NULL ? out->doc : text_value(value);
    }
    if (out->doc == NULL) {
        rl_errors_add(errors, "--set '%s' has a value that is not UTF-8 text", set);
    }
    return out->doc != NULL;
}

static void refuse(const assignment *a, rl_errors *errors) {
    if (a->section != NULL) {
        rl_str path = {0};
        rl_str_appendf(&path, "%s%s%s", a->section, a->key != NULL ? "." : "",
                       a->key != NULL ? a->key : "");
        rl_errors_refuse(errors, rl_str_text(&path));
        rl_str_release(&path);
    }
}

static void release_assignment(assignment *a) {
    rl_free(a->section);
    rl_free(a->key);
    rl_json_free(a->doc);
}

// What the key of the section is set to, or the whole section where key is NULL; else NULL.
static const rl_json *assigned(const assignment *a, size_t n, const char *section,
                               const char *key) {
    for (size_t i = n; i-- > 0;) {
        if (!rl_text_equal(a[i].section, section)) {
            continue;
        }
        if (rl_text_equal(a[i].key, key)) {
            return rl_json_root(a[i].doc);
        }
        if (a[i].key == NULL) {
            return NULL;
        }
    }
    return NULL;
}

// folder is NULL for the current one.
static void put_member(rl_json_writer *w, const char *section, const rl_json *member,
                       const char *folder) {
    const char *key = rl_json_key(member), *text = rl_json_text(member, "");
    if (is_path_key(section, key) && text[0] != '\0') {
        rl_arena *arena = rl_arena_new(0);
        char *path =
            rl_path_absolute(arena, folder != NULL ? rl_path_join(arena, folder, text) : text);
        rl_json_put_text(w, key, path, strlen(path));
        rl_arena_free(arena);
        return;
    }
    rl_json_put_value(w, key, member);
}

// Assignments of the section whose key the recipe itself does not have; each key once.
static void put_new_members(rl_json_writer *w, const char *section, const rl_json *written,
                            const assignment *a, size_t n) {
    for (size_t i = 0; i < n; i++) {
        const rl_json *value = rl_json_root(a[i].doc);
        if (rl_text_equal(a[i].section, section) && a[i].key != NULL &&
            rl_json_get(written, a[i].key) == NULL && assigned(a, n, section, a[i].key) == value) {
            rl_json_put_value(w, a[i].key, value);
        }
    }
}

static void put_section(rl_json_writer *w, const char *section, const rl_json *written,
                        const char *folder, const assignment *a, size_t n) {
    const rl_json *whole = assigned(a, n, section, NULL);
    if (whole != NULL) {
        written = whole;
        folder = NULL;
    }
    if (written != NULL && rl_json_type_of(written) != RL_JSON_OBJECT) {
        rl_json_put_value(w, section, written);
        return;
    }
    rl_json_open_object(w, section);
    for (const rl_json *m = rl_json_first(written); m != NULL; m = rl_json_next(m)) {
        const rl_json *value = assigned(a, n, section, rl_json_key(m));
        if (value != NULL) {
            rl_json_put_value(w, rl_json_key(m), value);
        } else {
            put_member(w, section, m, folder);
        }
    }
    put_new_members(w, section, written, a, n);
    rl_json_close_object(w);
}

void recipe_overlay(const rl_json *root, const char *folder, const char *const *set, size_t n_set,
                    rl_str *out, rl_errors *errors) {
    assignment *a = rl_alloc(n_set, sizeof *a);
    rl_json_writer w = {.out = out};
    size_t n = 0;
    for (size_t i = 0; i < n_set; i++) {
        a[n] = (assignment){0};
        if (read_assignment(set[i], root, &a[n], errors)) {
            n++;
        } else {
            refuse(&a[n], errors);
            release_assignment(&a[n]);
        }
    }
    rl_json_open_object(&w, NULL);
    for (const rl_json *s = rl_json_first(root); s != NULL; s = rl_json_next(s)) {
        put_section(&w, rl_json_key(s), s, folder, a, n);
    }
    for (size_t i = 0; i < n; i++) {
        bool first = true;
        for (size_t j = 0; j < i; j++) {
            first = first && strcmp(a[j].section, a[i].section) != 0;
        }
        if (first && rl_json_get(root, a[i].section) == NULL) {
            put_section(&w, a[i].section, NULL, folder, a, n);
        }
    }
    rl_json_close_object(&w);
    for (size_t i = 0; i < n; i++) {
        release_assignment(&a[i]);
    }
    rl_free(a);
}
