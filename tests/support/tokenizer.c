#include "tests/support/tokenizer.h"

#include "rl/core/fs.h"

rl_tokenizer *rl_test_tokenizer(const char *folder) {
    rl_tokenizer *tokenizer = NULL;
    rl_err err;
    assert_ok(rl_tokenizer_load(folder, &tokenizer, &err));
    return tokenizer;
}

static bool same_ids(const int32_t *ids, int32_t n, const rl_json *want) {
    const rl_json *item = rl_json_first(want);
    bool same = (size_t)n == rl_json_count(want);
    for (int32_t i = 0; i < n && same; i++, item = rl_json_next(item)) {
        same = rl_json_number(item, -1.0) == (double)ids[i];
    }
    return same;
}

static void print_difference(const int32_t *ids, int32_t n, const rl_json *want, const char *name,
                             const char *text) {
    rl_str line = {0};
    rl_str_appendf(&line, "%s: \"%s\" gave", name, text);
    for (int32_t i = 0; i < n; i++) {
        rl_str_appendf(&line, " %d", (int)ids[i]);
    }
    rl_str_append(&line, ", not ");
    rl_json_print(want, &line);
    print_error("%s\n", line.ptr);
    rl_str_release(&line);
}

void rl_test_encodes(const rl_tokenizer *tokenizer, const char *text, size_t text_len,
                     unsigned flags, const rl_json *want, const char *name) {
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    int32_t *ids, n;
    assert_ok(rl_tokenizer_encode(tokenizer, text, text_len, flags, arena, &ids, &n, &err));
    if (!same_ids(ids, n, want)) {
        print_difference(ids, n, want, name, text);
        fail();
    }
    rl_arena_free(arena);
}

// Reads a file whose texts may hold a NUL, which the parser refuses: it stands as U+E000 here.
static rl_json_doc *read_with_nul(const char *path) {
    rl_arena *arena = rl_arena_new(0);
    rl_json_doc *doc = NULL;
    char *bytes;
    size_t len;
    rl_err err;
    assert_ok(rl_fs_read(path, arena, &bytes, &len, &err));
    for (char *at = bytes; (at = strstr(at, "\\u0000")) != NULL;) {
        memcpy(at, "\\ue000", 6);
    }
    assert_ok(rl_json_parse(bytes, len, path, &doc, &err));
    rl_arena_free(arena);
    return doc;
}

static void put_nul_back(const char *text, rl_str *out) {
    rl_str_clear(out);
    for (; *text != '\0'; text++) {
        bool nul = rl_text_starts(text, "\xee\x80\x80");
        rl_str_append_char(out, nul ? '\0' : *text);
        text += nul ? 2 : 0;
    }
}

static bool is_beyond(const rl_json *ids, int32_t limit) {
    for (const rl_json *item = rl_json_first(ids); item != NULL; item = rl_json_next(item)) {
        if (limit > 0 && rl_json_number(item, 0) >= (double)limit) {
            return true;
        }
    }
    return false;
}

int rl_test_oracle(const rl_tokenizer *tokenizer, const char *name, const char *path,
                   unsigned flags, bool exact, int32_t limit) {
    rl_json_doc *doc = read_with_nul(path);
    rl_arena *arena = rl_arena_new(0);
    rl_str text = {0}, decoded = {0};
    rl_err err;
    int n_equal = 0, n_all = 0;
    const rl_json *item = rl_json_first(rl_json_root(doc));
    for (; item != NULL; item = rl_json_next(item)) {
        const rl_json *want = rl_json_get(item, "ids");
        int32_t *ids, n;
        if (is_beyond(want, limit)) {
            continue;
        }
        put_nul_back(rl_json_text(rl_json_get(item, "text"), NULL), &text);
        assert_ok(rl_tokenizer_encode(tokenizer, rl_str_text(&text), text.len, flags, arena, &ids,
                                      &n, &err));
        bool same = same_ids(ids, n, want);
        if (!same) {
            print_difference(ids, n, want, name, rl_str_text(&text));
        }
        n_all++;
        n_equal += same;
        if (exact) {
            rl_str_clear(&decoded);
            rl_tokenizer_decode(tokenizer, ids, n, false, &decoded);
            assert_int_equal(decoded.len, text.len);
            assert_memory_equal(rl_str_text(&decoded), rl_str_text(&text), text.len);
        }
    }
    print_message("tokenizer %s: %d of %d texts equal\n", name, n_equal, n_all);
    assert_int_equal(n_equal, n_all);
    rl_str_release(&text);
    rl_str_release(&decoded);
    rl_arena_free(arena);
    rl_json_free(doc);
    return n_all;
}
