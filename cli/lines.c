#include "cli/lines.h"

#include <errno.h>
#include <string.h>

#include "rl/core/fs.h"

rl_status open_tokenizer(const char *path, rl_tokenizer **out, rl_err *err) {
    rl_gguf *file = NULL;
    rl_status status;
    if (!rl_fs_exists(path) || rl_fs_is_dir(path)) {
        return rl_fs_exists(path)
                   ? rl_tokenizer_load(path, out, err)
                   : rl_fail(err, RL_IO, "no model at '%s'; name a folder or a GGUF file", path);
    }
    status = rl_gguf_open(path, &file, err);
    if (status == RL_OK) {
        status = rl_tokenizer_from_gguf(file, out, err);
    }
    rl_gguf_close(file);
    return status;
}

void put_ids(rl_json_writer *out, const int32_t *ids, int32_t n_ids) {
    rl_json_open_list(out, "ids");
    for (int32_t i = 0; i < n_ids; i++) {
        rl_json_put_int(out, NULL, ids[i]);
    }
    rl_json_close_list(out);
}

// The next line without its newline; false at the end.
static bool read_line(FILE *file, rl_str *line) {
    int c;
    rl_str_clear(line);
    while ((c = getc(file)) != EOF && c != '\n') {
        rl_str_append_char(line, (char)c);
    }
    return c != EOF || line->len > 0;
}

static rl_status answer_one(const rl_str *line, const char *name, int64_t number,
                            answer_line *answer, void *self, rl_str *out, rl_err *err) {
    rl_json_doc *doc = NULL;
    rl_json_writer writer = {.out = out};
    rl_err why = {""};
    rl_status status = rl_json_parse_line(line->ptr, line->len, name, number, &doc, err);
    if (status != RL_OK) {
        return status;
    }
    rl_str_clear(out);
    rl_json_open_object(&writer, NULL);
    status = rl_json_type_of(rl_json_root(doc)) == RL_JSON_OBJECT
                 ? answer(self, rl_json_root(doc), &writer, &why)
                 : rl_fail(&why, RL_BAD_RECIPE, "not an object");
    rl_json_close_object(&writer);
    rl_json_free(doc);
    return status == RL_OK
               ? RL_OK
               : rl_fail(err, status, "'%s', line %lld: %.440s", name, (long long)number, why.text);
}

rl_status answer_lines(const char *path, FILE *to, answer_line *answer, void *self, rl_err *err) {
    path = path != NULL && strcmp(path, "-") == 0 ? NULL : path;
    const char *name = path != NULL ? path : "standard input";
    FILE *file = path != NULL ? fopen(path, "rb") : stdin;
    rl_str line = {0}, out = {0};
    rl_status status = RL_OK;
    if (file == NULL || (path != NULL && rl_fs_is_dir(path))) {
        status = rl_fail(err, RL_IO, "cannot read '%s': %s", name,
                         file == NULL ? strerror(errno) : "it is a folder");
    }
    for (int64_t number = 1; status == RL_OK && read_line(file, &line); number++) {
        if (line.len > 0 && strspn(line.ptr, " \t\r") < line.len) {
            status = answer_one(&line, name, number, answer, self, &out, err);
            if (status == RL_OK) {
                fprintf(to, "%s\n", rl_str_text(&out));
            }
        }
        if (path == NULL) { // whoever writes lines may wait for their answers
            fflush(to);
        }
    }
    if (status == RL_OK && ferror(file)) {
        status = rl_fail(err, RL_IO, "cannot read '%s'", name);
    }
    if (file != NULL && path != NULL) {
        fclose(file);
    }
    rl_str_release(&line);
    rl_str_release(&out);
    return status;
}
