#include "rl/core/schema.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/log.h"

void rl_errors_add(rl_errors *errors, const char *fmt, ...) {
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    rl_str_appendf(&errors->text, errors->count > 0 ? "\n%s" : "%s", text);
    errors->count++;
}

void rl_errors_release(rl_errors *errors) {
    rl_str_release(&errors->text);
    rl_str_release(&errors->refused);
    *errors = (rl_errors){0};
}

void rl_errors_refuse(rl_errors *errors, const char *path) {
    rl_str_appendf(&errors->refused, "\n%s", path);
}

bool rl_errors_refused(const rl_errors *errors, const char *path) {
    for (const char *at = rl_str_text(&errors->refused); *at != '\0';) {
        size_t n = strcspn(++at, "\n");
        if (strncmp(at, path, n) == 0 && strchr(".[", path[n]) != NULL) { // finds the end as well
            return true;
        }
        at += n;
    }
    return false;
}

/* One key while it is being read. */
typedef struct reading {
    const rl_key *key;
    char path[256]; // as the user writes it: "algo.credit"
    rl_arena *arena;
    rl_errors *errors;
} reading;

static void *field_of(const rl_key *key, void *opts) {
    return (char *)opts + key->offset;
}

static const void *field_in(const rl_key *key, const void *opts) {
    return (const char *)opts + key->offset;
}

static const char *wanted(rl_key_type type) {
    static const char *const name[] = {
        [RL_KEY_BOOL] = "true or false", [RL_KEY_INT] = "a whole number",
        [RL_KEY_REAL] = "a number",      [RL_KEY_TEXT] = "text",
        [RL_KEY_CHOICE] = "text",        [RL_KEY_LIST] = "a list of texts",
    };
    return name[type];
}

/* "'path' wants a whole number, found text "two"" */
static void add_wrong_type(const reading *r, const char *path, const char *want,
                           const rl_json *value) {
    rl_json_type type = rl_json_type_of(value);
    rl_str shown = {0};
    switch (type) {
    case RL_JSON_LIST:
    case RL_JSON_OBJECT:
        rl_str_append(&shown, rl_json_type_name(type));
        break;
    case RL_JSON_TEXT:
        rl_str_append(&shown, "text ");
        rl_json_print(value, &shown);
        break;
    case RL_JSON_NULL:
    case RL_JSON_BOOL:
    case RL_JSON_NUMBER:
        rl_json_print(value, &shown);
        break;
    }
    rl_errors_add(r->errors, "'%s' wants %s, found %.80s", path, want, shown.ptr);
    rl_errors_refuse(r->errors, path);
    rl_str_release(&shown);
}

static bool has_range(const rl_key *key) {
    return (key->type == RL_KEY_INT || key->type == RL_KEY_REAL) && key->min != key->max;
}

/* "[1, 1024]", "(0, inf)" */
static const char *range_text(const rl_key *key, char *to, size_t size) {
    snprintf(to, size, "%c%.10g, %.10g%c",
             (key->flags & RL_KEY_OPEN_MIN) != 0 || isinf(key->min) ? '(' : '[', key->min, key->max,
             isinf(key->max) ? ')' : ']');
    return to;
}

static bool in_range(const rl_key *key, double value) {
    if (!has_range(key)) {
        return true;
    }
    return value <= key->max &&
           ((key->flags & RL_KEY_OPEN_MIN) != 0 ? value > key->min : value >= key->min);
}

static void read_number(const reading *r, const rl_json *value, void *field) {
    double number = rl_json_number(value, 0.0);
    char range[80];
    if (r->key->type == RL_KEY_INT && number != floor(number)) {
        add_wrong_type(r, r->path, wanted(RL_KEY_INT), value);
    } else if (!in_range(r->key, number)) {
        rl_errors_add(r->errors, "'%s' is %.15g, outside %s", r->path, number,
                      range_text(r->key, range, sizeof range));
        rl_errors_refuse(r->errors, r->path);
    } else if (r->key->type == RL_KEY_INT && (number < INT32_MIN || number > INT32_MAX)) {
        rl_errors_add(r->errors, "'%s' is %.15g, outside [%d, %d]", r->path, number, INT32_MIN,
                      INT32_MAX);
        rl_errors_refuse(r->errors, r->path);
    } else if (r->key->type == RL_KEY_INT) {
        *(int32_t *)field = (int32_t)number;
    } else {
        *(double *)field = number;
    }
}

static void read_choice(const reading *r, const char *text, void *field) {
    const char *const *choices = r->key->choices, *nearest;
    rl_str names = {0};
    int n = 0;
    for (; choices[n] != NULL; n++) {
        if (strcmp(choices[n], text) == 0) {
            memcpy(field, &n, sizeof n); // an enum of any type, which is int in size
            return;
        }
    }
    for (int i = 0; i < n; i++) {
        rl_str_appendf(&names, i > 0 ? ", %s" : "%s", choices[i]);
    }
    nearest = rl_text_nearest(text, choices, (size_t)n);
    if (nearest != NULL) {
        rl_str_appendf(&names, "; did you mean '%s'?", nearest);
    }
    rl_errors_add(r->errors, "'%s' is '%.80s', not one of %s", r->path, text, rl_str_text(&names));
    rl_errors_refuse(r->errors, r->path);
    rl_str_release(&names);
}

static void read_list(const reading *r, const rl_json *value, rl_text_list *field) {
    size_t n = 0;
    const char **item = rl_arena_alloc(r->arena, rl_json_count(value), sizeof *item);
    for (const rl_json *c = rl_json_first(value); c != NULL; c = rl_json_next(c)) {
        const char *text = rl_json_text(c, NULL);
        if (text == NULL) {
            char path[300];
            snprintf(path, sizeof path, "%s[%zu]", r->path, n);
            add_wrong_type(r, path, "text", c);
            text = "";
        }
        item[n++] = rl_arena_strdup(r->arena, text);
    }
    *field = (rl_text_list){.item = item, .n_items = n};
}

/* A text key without a fallback may be absent: NULL in the struct, null in a recipe. */
static bool may_be_null(const rl_key *key) {
    return key->type == RL_KEY_TEXT && key->fallback == NULL && (key->flags & RL_KEY_REQUIRED) == 0;
}

static void read_value(const reading *r, const rl_json *value, void *field) {
    static const rl_json_type want[] = {
        [RL_KEY_BOOL] = RL_JSON_BOOL,   [RL_KEY_INT] = RL_JSON_NUMBER,
        [RL_KEY_REAL] = RL_JSON_NUMBER, [RL_KEY_TEXT] = RL_JSON_TEXT,
        [RL_KEY_CHOICE] = RL_JSON_TEXT, [RL_KEY_LIST] = RL_JSON_LIST,
    };
    rl_json_type type = rl_json_type_of(value);
    if (type == RL_JSON_NULL && may_be_null(r->key)) {
        *(const char **)field = NULL;
        return;
    }
    if (type != want[r->key->type]) {
        add_wrong_type(r, r->path, wanted(r->key->type), value);
        return;
    }
    switch (r->key->type) {
    case RL_KEY_BOOL:
        *(bool *)field = rl_json_bool(value, false);
        break;
    case RL_KEY_INT:
    case RL_KEY_REAL:
        read_number(r, value, field);
        break;
    case RL_KEY_TEXT:
        *(const char **)field = rl_arena_strdup(r->arena, rl_json_text(value, ""));
        break;
    case RL_KEY_CHOICE:
        read_choice(r, rl_json_text(value, ""), field);
        break;
    case RL_KEY_LIST:
        read_list(r, value, field);
        break;
    }
}

static void begin_key(reading *r, const char *section_path, const rl_key *key) {
    r->key = key;
    snprintf(r->path, sizeof r->path, "%s.%s", section_path, key->name);
}

/* Fallbacks take the user's way in, so that a bad one cannot hide; a bad one is our own mistake. */
void rl_section_defaults(const rl_section *section, rl_arena *arena, void *opts) {
    rl_errors errors = {0};
    rl_err err = {""};
    reading r = {.arena = arena, .errors = &errors};
    memset(opts, 0, section->size);
    for (size_t i = 0; i < section->n_keys; i++) {
        const rl_key *key = &section->keys[i];
        rl_json_doc *doc = NULL;
        rl_str text = {0};
        rl_json_writer w = {.out = &text};
        rl_status status;
        if (key->fallback == NULL) {
            continue;
        }
        begin_key(&r, section->name, key);
        if (key->type == RL_KEY_TEXT || key->type == RL_KEY_CHOICE) {
            rl_json_put_text(&w, NULL, key->fallback, strlen(key->fallback));
        } else {
            rl_str_append(&text, key->fallback);
        }
        status = rl_json_parse(rl_str_text(&text), text.len, r.path, &doc, &err);
        if (status == RL_OK) {
            read_value(&r, rl_json_root(doc), field_of(key, opts));
        } else {
            rl_errors_add(&errors, "%s", err.text);
        }
        rl_json_free(doc);
        rl_str_release(&text);
    }
    if (errors.count > 0) {
        rl_log(RL_LOG_ERROR, "fallbacks of section '%s': %s", section->name, errors.text.ptr);
    }
    RL_ASSERT(errors.count == 0);
    rl_errors_release(&errors);
}

static const rl_key *find_key(const rl_section *section, const char *name) {
    for (size_t i = 0; i < section->n_keys; i++) {
        if (strcmp(section->keys[i].name, name) == 0) {
            return &section->keys[i];
        }
    }
    return NULL;
}

static bool is_elsewhere(const char *const *elsewhere, const char *name) {
    for (; elsewhere != NULL && *elsewhere != NULL; elsewhere++) {
        if (strcmp(*elsewhere, name) == 0) {
            return true;
        }
    }
    return false;
}

/* The nearest key is taken to be meant, hence refused: its fallback is not what the user wrote. */
static void add_unknown(const char *path, const rl_section *section, const char *const *elsewhere,
                        const char *name, rl_errors *errors) {
    size_t n = 0, n_elsewhere = 0;
    const char **candidate, *nearest, *last = strrchr(name, '.');
    char hint[256];
    while (elsewhere != NULL && elsewhere[n_elsewhere] != NULL) {
        n_elsewhere++;
    }
    candidate = rl_alloc(section->n_keys + n_elsewhere, sizeof *candidate);
    for (size_t i = 0; i < section->n_keys; i++) {
        candidate[n++] = section->keys[i].name;
    }
    for (size_t i = 0; i < n_elsewhere; i++) {
        candidate[n++] = elsewhere[i];
    }
    nearest = rl_text_nearest(last != NULL ? last + 1 : name, candidate, n);
    if (errors->hint != NULL && errors->hint(name, hint, sizeof hint) != NULL) {
        rl_errors_add(errors, "unknown key '%s.%.80s'; %s", path, name, hint);
    } else if (nearest != NULL) {
        char meant[256];
        snprintf(meant, sizeof meant, "%s.%s", path, nearest);
        rl_errors_add(errors, "unknown key '%s.%.80s'; did you mean '%s'?", path, name, nearest);
        rl_errors_refuse(errors, meant);
    } else {
        rl_str names = {0};
        for (size_t i = 0; i < n; i++) {
            rl_str_appendf(&names, i > 0 ? ", %s" : "%s", candidate[i]);
        }
        rl_errors_add(errors, "unknown key '%s.%.80s'; the keys here are: %s", path, name,
                      rl_str_text(&names));
        rl_str_release(&names);
    }
    rl_free(candidate);
}

static bool speaks_of_refused(const char *sentence, const char *path, const rl_section *section,
                              const rl_errors *errors) {
    for (size_t i = 0; i < section->n_keys; i++) {
        char key[256], quoted[260];
        snprintf(key, sizeof key, "%s.%s", path, section->keys[i].name);
        snprintf(quoted, sizeof quoted, "'%s'", key);
        if (strstr(sentence, quoted) != NULL && rl_errors_refused(errors, key)) {
            return true;
        }
    }
    return false;
}

void rl_section_read_at(const char *path, const rl_section *section, const rl_json *object,
                        const char *const *elsewhere, rl_arena *arena, void *opts,
                        rl_errors *errors) {
    reading r = {.arena = arena, .errors = errors};
    rl_err err = {""};
    rl_section_defaults(section, arena, opts);
    if (object != NULL && rl_json_type_of(object) != RL_JSON_OBJECT) {
        add_wrong_type(&r, path, "an object", object);
        return;
    }
    for (const rl_json *c = rl_json_first(object); c != NULL; c = rl_json_next(c)) {
        const rl_key *key = find_key(section, rl_json_key(c));
        if (key != NULL) {
            begin_key(&r, path, key);
            read_value(&r, c, field_of(key, opts));
        } else if (!is_elsewhere(elsewhere, rl_json_key(c))) {
            add_unknown(path, section, elsewhere, rl_json_key(c), errors);
        }
    }
    for (size_t i = 0; i < section->n_keys; i++) {
        const rl_key *key = &section->keys[i];
        if ((key->flags & RL_KEY_REQUIRED) != 0 && rl_json_get(object, key->name) == NULL) {
            begin_key(&r, path, key);
            rl_errors_add(errors, "missing key '%s': %s", r.path, key->doc);
            rl_errors_refuse(errors, r.path);
        }
    }
    if (section->check != NULL && section->check(opts, &err) != RL_OK &&
        !speaks_of_refused(err.text, path, section, errors)) {
        rl_errors_add(errors, "%s", err.text);
    }
}

void rl_section_read(const rl_section *section, const rl_json *object, const char *const *elsewhere,
                     rl_arena *arena, void *opts, rl_errors *errors) {
    rl_section_read_at(section->name, section, object, elsewhere, arena, opts, errors);
}

void rl_section_print(const rl_section *section, const void *opts, rl_json_writer *to) {
    for (size_t i = 0; i < section->n_keys; i++) {
        const rl_key *key = &section->keys[i];
        const void *field = field_in(key, opts);
        const char *text;
        const rl_text_list *list;
        int index;
        switch (key->type) {
        case RL_KEY_BOOL:
            rl_json_put_bool(to, key->name, *(const bool *)field);
            break;
        case RL_KEY_INT:
            rl_json_put_int(to, key->name, *(const int32_t *)field);
            break;
        case RL_KEY_REAL:
            rl_json_put_number(to, key->name, *(const double *)field);
            break;
        case RL_KEY_TEXT:
            text = *(const char *const *)field;
            rl_json_put_text(to, key->name, text, text != NULL ? strlen(text) : 0);
            break;
        case RL_KEY_CHOICE:
            memcpy(&index, field, sizeof index);
            rl_json_put_text(to, key->name, key->choices[index], strlen(key->choices[index]));
            break;
        case RL_KEY_LIST:
            list = field;
            rl_json_open_list(to, key->name);
            for (size_t j = 0; j < list->n_items; j++) {
                rl_json_put_text(to, NULL, list->item[j], strlen(list->item[j]));
            }
            rl_json_close_list(to);
            break;
        }
    }
}

/* "max | mean", "a whole number in [1, 1024]" */
static void append_domain(const rl_key *key, rl_str *out) {
    char range[80];
    if (key->type == RL_KEY_CHOICE) {
        for (size_t i = 0; key->choices[i] != NULL; i++) {
            rl_str_appendf(out, i > 0 ? " or %s" : "%s", key->choices[i]);
        }
        return;
    }
    rl_str_append(out, wanted(key->type));
    if (has_range(key)) {
        rl_str_appendf(out, " in %s", range_text(key, range, sizeof range));
    }
}

static const char *default_text(const rl_key *key) {
    if ((key->flags & RL_KEY_REQUIRED) != 0) {
        return "required";
    }
    return key->fallback == NULL ? "none" : key->fallback[0] == '\0' ? "empty" : key->fallback;
}

void rl_section_help(const rl_section *section, FILE *to) {
    fprintf(to, "%s: %s\n", section->name, section->doc);
    for (size_t i = 0; i < section->n_keys; i++) {
        const rl_key *key = &section->keys[i];
        rl_str domain = {0};
        append_domain(key, &domain);
        fprintf(to, "  %-22s %s\n  %-22s %s; default: %s\n", key->name, key->doc, "",
                rl_str_text(&domain), default_text(key));
        rl_str_release(&domain);
    }
}

/* A bar would end the cell of a table. */
static void print_cell(const char *text, FILE *to) {
    for (; *text != '\0'; text++) {
        fprintf(to, *text == '|' ? "\\%c" : "%c", *text);
    }
}

void rl_section_markdown(const rl_section *section, FILE *to) {
    fprintf(to, "## %s\n\n%s.\n\n| key | value | default | meaning |\n|---|---|---|---|\n",
            section->name, section->doc);
    for (size_t i = 0; i < section->n_keys; i++) {
        const rl_key *key = &section->keys[i];
        rl_str domain = {0};
        append_domain(key, &domain);
        fprintf(to, "| `%s` | ", key->name);
        print_cell(rl_str_text(&domain), to);
        fputs(" | ", to);
        print_cell(default_text(key), to);
        fputs(" | ", to);
        print_cell(key->doc, to);
        fputs(" |\n", to);
        rl_str_release(&domain);
    }
    fputc('\n', to);
}
