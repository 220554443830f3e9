/* rl_tokenizer_load: which form the folder holds, and the files that go with every form. */
#include <stdlib.h>
#include <string.h>

#include "policy/tokenizer_forms.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"

const rl_json *rl_tokenizer_setting(const rl_tokenizer_files *files, const char *key) {
    return files->config != NULL ? rl_json_get(rl_json_root(files->config), key) : NULL;
}

// bos_token and the like are a text or an added token written out.
static const char *token_text(const rl_json *value) {
    return rl_json_text(value, rl_json_text(rl_json_get(value, "content"), NULL));
}

// By tokenizer_config.json, else by special_tokens_map.json.
static const char *named_text(const rl_tokenizer_files *files, const char *key) {
    const char *text = token_text(rl_tokenizer_setting(files, key));
    if (text == NULL && files->specials != NULL) {
        text = token_text(rl_json_get(rl_json_root(files->specials), key));
    }
    return text;
}

static rl_status make_special(rl_tokenizer *tokenizer, const char *text, rl_err *err) {
    int32_t id = text != NULL ? rl_tokenizer_id(tokenizer, text) : -1;
    if (id < 0 || (tokenizer->vocab.token[id].flags & RL_TOKEN_SPECIAL) != 0) {
        return RL_OK;
    }
    tokenizer->vocab.token[id].flags |= RL_TOKEN_SPECIAL;
    rl_added added = {.text = tokenizer->vocab.token[id].text,
                      .len = tokenizer->vocab.token[id].len,
                      .id = id,
                      .special = true};
    return rl_tokenizer_add(tokenizer, added, false, err);
}

static bool is_named_special(const rl_tokenizer_files *files, const char *text) {
    const rl_json *root = files->specials != NULL ? rl_json_root(files->specials) : NULL;
    for (const rl_json *item = rl_json_first(root); item != NULL; item = rl_json_next(item)) {
        const char *one = token_text(item);
        if (one != NULL && strcmp(one, text) == 0) {
            return true;
        }
        const rl_json *more = one == NULL ? rl_json_first(item) : NULL;
        for (; more != NULL; more = rl_json_next(more)) {
            one = token_text(more);
            if (one != NULL && strcmp(one, text) == 0) {
                return true;
            }
        }
    }
    return false;
}

static rl_status read_decoder_list(rl_tokenizer *tokenizer, const rl_json *list, rl_err *err) {
    rl_status status = RL_OK;
    const rl_json *item = rl_json_first(list);
    for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
        char *end;
        long long id = strtoll(rl_json_key(item), &end, 10);
        status = *end == '\0' && end != rl_json_key(item)
                     ? rl_tokenizer_read_added(tokenizer, item, id, err)
                     : rl_fail(err, RL_IO, "'%.40s' in 'added_tokens_decoder' is not an id",
                               rl_json_key(item));
    }
    return status;
}

static rl_status read_added_file(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                 rl_err *err) {
    rl_status status = RL_OK;
    const rl_json *item = rl_json_first(rl_json_root(files->added));
    for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
        const char *text = rl_json_key(item);
        int64_t id;
        if (text == NULL || !rl_json_integer(item, &id)) {
            return rl_fail(err, RL_IO, "added_tokens.json does not give ids to texts");
        }
        if (*text == '\0') {
            continue;
        }
        bool special = is_named_special(files, text);
        status = rl_vocab_put(&tokenizer->vocab, id, text, strlen(text),
                              special ? RL_TOKEN_SPECIAL : 0, err);
        if (status == RL_OK) {
            rl_added added = {.text = tokenizer->vocab.token[id].text,
                              .len = strlen(text),
                              .id = (int32_t)id,
                              .special = special};
            status = rl_tokenizer_add(tokenizer, added, !special, err);
        }
    }
    return status;
}

rl_status rl_read_listed_tokens(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                bool bos_default, rl_err *err) {
    static const char *const names[] = {"bos_token", "eos_token", "unk_token", "pad_token",
                                        "sep_token", "cls_token", "mask_token"};
    const rl_json *list = rl_tokenizer_setting(files, "added_tokens_decoder");
    rl_status status = RL_OK;
    if (rl_json_first(list) != NULL) {
        status = read_decoder_list(tokenizer, list, err);
    } else if (files->added != NULL) {
        status = read_added_file(tokenizer, files, err);
    }
    for (size_t i = 0; i < sizeof names / sizeof names[0] && status == RL_OK; i++) {
        status = make_special(tokenizer, named_text(files, names[i]), err);
    }
    const rl_json *more = rl_json_first(rl_tokenizer_setting(files, "additional_special_tokens"));
    for (; more != NULL && status == RL_OK; more = rl_json_next(more)) {
        status = make_special(tokenizer, token_text(more), err);
    }
    const char *bos = named_text(files, "bos_token"), *eos = named_text(files, "eos_token");
    int32_t bos_id = bos != NULL ? rl_tokenizer_id(tokenizer, bos) : tokenizer->bos;
    int32_t eos_id = eos != NULL ? rl_tokenizer_id(tokenizer, eos) : tokenizer->eos;
    if (bos_id >= 0 && rl_json_bool(rl_tokenizer_setting(files, "add_bos_token"), bos_default)) {
        rl_ids_push(&tokenizer->frame_before, bos_id);
    }
    if (eos_id >= 0 && rl_json_bool(rl_tokenizer_setting(files, "add_eos_token"), false)) {
        rl_ids_push(&tokenizer->frame_after, eos_id);
    }
    return status;
}

// A text, or a list of {"name", "template"} of which the one named "default" counts.
static const char *chat_template(const rl_json *value) {
    const char *text = rl_json_text(value, NULL);
    for (const rl_json *item = rl_json_first(value); item != NULL; item = rl_json_next(item)) {
        if (strcmp(rl_json_text(rl_json_get(item, "name"), ""), "default") == 0) {
            text = rl_json_text(rl_json_get(item, "template"), NULL);
        }
    }
    return text;
}

// What transformers' special_tokens_map holds beside bos and eos, for chat templates.
static void read_named(rl_tokenizer *tokenizer, const rl_tokenizer_files *files) {
    static const char *const names[RL_NAMED_TOKENS] = {"unk_token", "sep_token", "pad_token",
                                                       "cls_token", "mask_token"};
    const rl_json *more = rl_tokenizer_setting(files, "additional_special_tokens");
    if (more == NULL && files->specials != NULL) {
        more = rl_json_get(rl_json_root(files->specials), "additional_special_tokens");
    }
    for (size_t i = 0; i < RL_NAMED_TOKENS; i++) {
        const char *text = named_text(files, names[i]);
        if (text != NULL) {
            tokenizer->named[tokenizer->n_named++] =
                (rl_named_token){names[i], rl_arena_strdup(tokenizer->arena, text)};
        }
    }
    tokenizer->more =
        rl_arena_alloc(tokenizer->arena, rl_json_count(more) + 1, sizeof *tokenizer->more);
    for (const rl_json *item = rl_json_first(more); item != NULL; item = rl_json_next(item)) {
        const char *text = token_text(item);
        if (text != NULL) {
            tokenizer->more[tokenizer->n_more++] = rl_arena_strdup(tokenizer->arena, text);
        }
    }
}

static rl_status read_config(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                             rl_err *err) {
    const char *bos = named_text(files, "bos_token"), *eos = named_text(files, "eos_token");
    const char *text = chat_template(rl_tokenizer_setting(files, "chat_template"));
    const char *path = rl_path_join(tokenizer->arena, files->folder, "chat_template.jinja");
    rl_status status = RL_OK;
    read_named(tokenizer, files);
    tokenizer->bos = bos != NULL ? rl_tokenizer_id(tokenizer, bos) : tokenizer->bos;
    tokenizer->eos = eos != NULL ? rl_tokenizer_id(tokenizer, eos) : tokenizer->eos;
    if (text != NULL) {
        tokenizer->chat_template = rl_arena_strdup(tokenizer->arena, text);
    }
    if (rl_fs_exists(path)) {
        char *own;
        size_t len;
        status = rl_fs_read(path, tokenizer->arena, &own, &len, err);
        if (status == RL_OK && memchr(own, '\0', len) != NULL) {
            status = rl_fail(err, RL_IO, "a NUL byte in '%s'; write the template anew", path);
        }
        if (status == RL_OK) {
            tokenizer->chat_template = own;
        }
    }
    return status;
}

// Sets is_added[id] of the tokens that are looked for in the text.
static void mark_added(const rl_added_set *set, uint8_t *is_added) {
    for (size_t i = 0; i < set->n_items; i++) {
        is_added[set->item[i].id] = 1;
    }
}

static rl_status check_added(const rl_tokenizer *tokenizer, const uint8_t *is_added,
                             const char *text, int64_t id, const char *list, rl_err *err) {
    int32_t have = rl_tokenizer_id(tokenizer, text);
    if (*text == '\0' || (have >= 0 && have == id && is_added[have])) {
        return RL_OK;
    }
    return rl_fail(err, RL_UNSUPPORTED,
                   "%s gives the added token '%.80s' the id %lld, but tokenizer.json %s; save the "
                   "tokenizer anew so that its files agree",
                   list, text, (long long)id,
                   have < 0     ? "has no such token"
                   : have == id ? "does not add it"
                                : "gives it another");
}

// Beside tokenizer.json the older files may only repeat what it says: where they go on, readers
// differ in what they make of it.
static rl_status check_listed_tokens(const rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                     rl_err *err) {
    const rl_json *list = rl_tokenizer_setting(files, "added_tokens_decoder");
    const rl_json *item = rl_json_first(list);
    bool is_decoder = item != NULL;
    uint8_t *is_added = rl_alloc((size_t)tokenizer->vocab.n_tokens + 1, 1);
    rl_status status = RL_OK;
    if (!is_decoder && files->added != NULL) {
        item = rl_json_first(rl_json_root(files->added));
    }
    mark_added(&tokenizer->raw, is_added);
    mark_added(&tokenizer->normalized, is_added);
    for (; item != NULL && status == RL_OK; item = rl_json_next(item)) {
        const char *text =
            is_decoder ? rl_json_text(rl_json_get(item, "content"), NULL) : rl_json_key(item);
        int64_t id = -1;
        char *end = NULL;
        if (is_decoder && rl_json_key(item) != NULL) {
            id = strtoll(rl_json_key(item), &end, 10);
        } else {
            (void)rl_json_integer(item, &id); // stays -1, which no token has
        }
        if (text == NULL || (end != NULL && *end != '\0')) {
            status = rl_fail(err, RL_IO, "%s does not give ids to texts",
                             is_decoder ? "'added_tokens_decoder'" : "added_tokens.json");
        } else {
            status = check_added(tokenizer, is_added, text, id,
                                 is_decoder ? "'added_tokens_decoder' in tokenizer_config.json"
                                            : "added_tokens.json",
                                 err);
        }
    }
    rl_free(is_added);
    return status;
}

// add_bos_token, add_eos_token: readers differ in whether they or tokenizer.json count.
static rl_status check_frame(const rl_tokenizer_files *files, const char *key, bool is_added,
                             rl_err *err) {
    const rl_json *value = rl_tokenizer_setting(files, key);
    if (value == NULL || rl_json_type_of(value) == RL_JSON_NULL) {
        return RL_OK;
    }
    if (rl_json_type_of(value) != RL_JSON_BOOL) {
        return rl_fail(err, RL_IO, "'%s' in tokenizer_config.json must be true or false", key);
    }
    if (rl_json_bool(value, false) != is_added) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "'%s' in tokenizer_config.json is %s, but the post_processor of "
                       "tokenizer.json %s the token; set it to %s or change the post_processor",
                       key, is_added ? "false" : "true", is_added ? "adds" : "does not add",
                       is_added ? "true" : "false");
    }
    return RL_OK;
}

static bool holds(const rl_ids *ids, int32_t id) {
    for (size_t i = 0; i < ids->len; i++) {
        if (ids->ptr[i] == id) {
            return true;
        }
    }
    return false;
}

// tokenizer.json says everything; what lies beside it must not say otherwise.
static rl_status check_beside(const rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                              rl_err *err) {
    rl_status status = check_listed_tokens(tokenizer, files, err);
    if (status == RL_OK) {
        status = check_frame(files, "add_bos_token",
                             holds(&tokenizer->frame_before, tokenizer->bos), err);
    }
    return status == RL_OK ? check_frame(files, "add_eos_token",
                                         holds(&tokenizer->frame_after, tokenizer->eos), err)
                           : status;
}

static rl_status open_document(rl_arena *arena, const char *folder, const char *name,
                               rl_json_doc **out, rl_err *err) {
    const char *path = rl_path_join(arena, folder, name);
    *out = NULL;
    return rl_fs_exists(path) ? rl_json_read(path, out, err) : RL_OK;
}

static rl_status read_json_form(const char *path, rl_tokenizer **out, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    if (status == RL_OK) {
        status = rl_tokenizer_from_text((const char *)file.ptr, file.len, path, out, err);
        rl_fs_unmap(&file);
    }
    return status;
}

// The one *.tiktoken in the folder; NULL where there is none or more than one.
static const char *find_tiktoken(rl_arena *arena, const char *folder) {
    const char *found = NULL;
    char **name;
    size_t n = 0, n_found = 0;
    if (rl_fs_list(folder, arena, &name, &n, NULL) != RL_OK) {
        return NULL;
    }
    for (size_t i = 0; i < n; i++) {
        if (rl_text_ends(name[i], ".tiktoken")) {
            found = rl_path_join(arena, folder, name[i]);
            n_found++;
        }
    }
    return n_found == 1 ? found : NULL;
}

static rl_status no_form(const char *folder, rl_err *err) {
    return rl_fail(
        err, RL_IO,
        "'%s' has no tokenizer.json, nor vocab.json with merges.txt, nor one *.tiktoken, "
        "nor tokenizer.model; save the tokenizer with its fast form",
        folder);
}

// Any form but tokenizer.json.
static rl_status read_other_form(rl_arena *arena, const rl_tokenizer_files *files,
                                 rl_tokenizer **out, rl_err *err) {
    static const char *const pairs[][2] = {{"vocab.json", "merges.txt"},
                                           {"encoder.json", "vocab.bpe"}};
    rl_tokenizer *tokenizer = rl_tokenizer_new(files->folder);
    rl_status status = RL_OK;
    bool found = false;
    for (size_t i = 0; i < sizeof pairs / sizeof pairs[0] && !found; i++) {
        const char *vocab = rl_path_join(arena, files->folder, pairs[i][0]);
        const char *merges = rl_path_join(arena, files->folder, pairs[i][1]);
        found = rl_fs_exists(vocab) && rl_fs_exists(merges);
        if (found) {
            status = rl_read_vocab_merges(tokenizer, files, vocab, merges, err);
        }
    }
    const char *path = rl_path_join(arena, files->folder, "tokenizer.model");
    if (!found && rl_fs_exists(path)) {
        found = true;
        status = rl_read_sentencepiece(tokenizer, files, path, err);
    }
    path = find_tiktoken(arena, files->folder);
    if (!found && path != NULL) {
        found = true;
        status = rl_read_tiktoken(tokenizer, path, err);
    }
    status = found ? status : no_form(files->folder, err);
    if (status != RL_OK) {
        rl_tokenizer_free(tokenizer);
        tokenizer = NULL;
    }
    *out = tokenizer;
    return status;
}

static rl_status load_folder(rl_arena *arena, rl_tokenizer_files *files, rl_tokenizer **out,
                             rl_err *err) {
    const char *path = rl_path_join(arena, files->folder, "tokenizer.json");
    rl_status status =
        open_document(arena, files->folder, "tokenizer_config.json", &files->config, err);
    if (status == RL_OK) {
        status =
            open_document(arena, files->folder, "special_tokens_map.json", &files->specials, err);
    }
    if (status == RL_OK) {
        status = open_document(arena, files->folder, "added_tokens.json", &files->added, err);
    }
    bool is_json = !rl_fs_is_dir(files->folder) || rl_fs_exists(path);
    if (status == RL_OK) {
        status = is_json ? read_json_form(path, out, err) : read_other_form(arena, files, out, err);
    }
    if (status == RL_OK) {
        status = read_config(*out, files, err);
    }
    if (status == RL_OK && is_json) {
        rl_err why = {""};
        status = check_beside(*out, files, &why);
        if (status != RL_OK) {
            rl_fail(err, status, "'%s': %.600s", files->folder, why.text);
        }
    }
    if (status == RL_OK &&
        rl_json_bool(rl_tokenizer_setting(files, "clean_up_tokenization_spaces"), false)) {
        rl_log(RL_LOG_WARN,
               "'%s': 'clean_up_tokenization_spaces' is not followed: decoding keeps the spaces "
               "before punctuation that the tokens have",
               files->folder);
    }
    return status;
}

rl_status rl_tokenizer_load(const char *folder, rl_tokenizer **out, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_tokenizer_files files = {.folder = folder};
    rl_status status;
    *out = NULL;
    if (rl_text_ends(folder, ".tiktoken") && !rl_fs_is_dir(folder)) {
        *out = rl_tokenizer_new(folder);
        status = rl_read_tiktoken(*out, folder, err);
    } else {
        status = load_folder(arena, &files, out, err);
    }
    if (status == RL_OK) {
        (*out)->name = rl_arena_strdup((*out)->arena, folder);
    } else {
        rl_tokenizer_free(*out);
        *out = NULL;
    }
    rl_json_free(files.config);
    rl_json_free(files.specials);
    rl_json_free(files.added);
    rl_arena_free(arena);
    return status;
}
