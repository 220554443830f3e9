#include "rl/core/json.h"

#include <cjson/cJSON.h>
#include <math.h>

#include "core/json_scan.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"

/* An rl_json is a cJSON under another name; nobody else sees the difference. */
struct rl_json_doc {
    cJSON *root;
};

static const cJSON *node(const rl_json *value) {
    return (const cJSON *)value;
}

rl_status rl_json_parse_line(const char *text, size_t text_len, const char *name, int64_t line,
                             rl_json_doc **out, rl_err *err) {
    cJSON *root;
    rl_status status = rl_json_scan(text, text_len, name, line, err);
    *out = NULL;
    if (status != RL_OK) {
        return status;
    }
    root = cJSON_ParseWithLength(text, text_len);
    if (root == NULL) { // the text is well-formed, so only memory can be missing
        return rl_fail(err, RL_MEMORY, "no memory for the JSON text of '%s'; try a smaller file",
                       name);
    }
    *out = rl_alloc(1, sizeof **out);
    (*out)->root = root;
    return RL_OK;
}

rl_status rl_json_parse(const char *text, size_t text_len, const char *name, rl_json_doc **out,
                        rl_err *err) {
    return rl_json_parse_line(text, text_len, name, 0, out, err);
}

rl_status rl_json_parse_lean(const char *text, size_t text_len, const char *name, const char *outer,
                             const char *const *inner, size_t n_inner, rl_json_span *span,
                             rl_json_doc **out, rl_err *err) {
    rl_str rest = {0};
    size_t from = 0;
    cJSON *root;
    rl_status status = rl_json_scan_find(text, text_len, name, outer, inner, n_inner, span, err);
    *out = NULL;
    if (status != RL_OK) {
        return status;
    }
    for (;;) { // the spans in the order of the text
        const rl_json_span *next = NULL;
        for (size_t i = 0; i < n_inner; i++) {
            bool ahead = span[i].text != NULL && span[i].text >= text + from;
            next = ahead && (next == NULL || span[i].text < next->text) ? &span[i] : next;
        }
        if (next == NULL) {
            break;
        }
        rl_str_append_n(&rest, text + from, (size_t)(next->text - text) - from);
        rl_str_append(&rest, "null");
        from = (size_t)(next->text - text) + next->len;
    }
    rl_str_append_n(&rest, text + from, text_len - from);
    root = cJSON_ParseWithLength(rl_str_text(&rest), rest.len);
    rl_str_release(&rest);
    if (root == NULL) {
        return rl_fail(err, RL_MEMORY, "no memory for the JSON text of '%s'; try a smaller file",
                       name);
    }
    *out = rl_alloc(1, sizeof **out);
    (*out)->root = root;
    return RL_OK;
}

rl_status rl_json_read(const char *path, rl_json_doc **out, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    *out = NULL;
    if (status == RL_OK) {
        status = rl_json_parse((const char *)file.ptr, file.len, path, out, err);
        rl_fs_unmap(&file);
    }
    return status;
}

void rl_json_free(rl_json_doc *doc) {
    if (doc != NULL) {
        cJSON_Delete(doc->root);
        rl_free(doc);
    }
}

const rl_json *rl_json_root(const rl_json_doc *doc) {
    return (const rl_json *)doc->root;
}

rl_json_type rl_json_type_of(const rl_json *value) {
    const cJSON *n = node(value);
    RL_ASSERT(n != NULL);
    if (cJSON_IsBool(n)) {
        return RL_JSON_BOOL;
    }
    if (cJSON_IsNumber(n)) {
        return RL_JSON_NUMBER;
    }
    if (cJSON_IsString(n)) {
        return RL_JSON_TEXT;
    }
    if (cJSON_IsArray(n)) {
        return RL_JSON_LIST;
    }
    return cJSON_IsObject(n) ? RL_JSON_OBJECT : RL_JSON_NULL;
}

const char *rl_json_type_name(rl_json_type type) {
    static const char *const name[] = {
        [RL_JSON_NULL] = "null", [RL_JSON_BOOL] = "true or false", [RL_JSON_NUMBER] = "a number",
        [RL_JSON_TEXT] = "text", [RL_JSON_LIST] = "a list",        [RL_JSON_OBJECT] = "an object",
    };
    return name[type];
}

const rl_json *rl_json_get(const rl_json *object, const char *key) {
    return cJSON_IsObject(node(object))
               ? (const rl_json *)cJSON_GetObjectItemCaseSensitive(node(object), key)
               : NULL;
}

const rl_json *rl_json_first(const rl_json *value) {
    return value != NULL ? (const rl_json *)node(value)->child : NULL;
}

const rl_json *rl_json_next(const rl_json *child) {
    return (const rl_json *)node(child)->next;
}

const char *rl_json_key(const rl_json *child) {
    return node(child)->string;
}

size_t rl_json_count(const rl_json *value) {
    size_t n = 0;
    for (const rl_json *child = rl_json_first(value); child != NULL; child = rl_json_next(child)) {
        n++;
    }
    return n;
}

bool rl_json_bool(const rl_json *value, bool fallback) {
    return cJSON_IsBool(node(value)) ? cJSON_IsTrue(node(value)) != 0 : fallback;
}

double rl_json_number(const rl_json *value, double fallback) {
    return cJSON_IsNumber(node(value)) ? node(value)->valuedouble : fallback;
}

const char *rl_json_text(const rl_json *value, const char *fallback) {
    return cJSON_IsString(node(value)) ? node(value)->valuestring : fallback;
}

bool rl_json_integer(const rl_json *value, int64_t *out) {
    double number = rl_json_number(value, 0.5);
    if (!(fabs(number) <= 0x1p53) || number != floor(number)) {
        return false;
    }
    *out = (int64_t)number;
    return true;
}
