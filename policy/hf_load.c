#include "rl/policy/hf.h"

#include <string.h>

#include "policy/checkpoint.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"
#include "rl/core/map.h"
#include "rl/tensor/ops.h"

enum { PIECE_VALUES = 1 << 18, SHARDS_MAX = 4096 };

// "model 'path': what went wrong".
static rl_status in_model(rl_status status, const char *path, rl_err *err) {
    char inner[sizeof err->text];
    if (status != RL_OK && err != NULL) {
        memcpy(inner, err->text, sizeof inner);
        return rl_fail(err, status, "model '%.200s': %s", path, inner);
    }
    return status;
}

static rl_status read_config(rl_checkpoint *cp, rl_err *err) {
    char *path = rl_path_join(cp->arena, cp->path, "config.json"), *text;
    char *generation_path = rl_path_join(cp->arena, cp->path, "generation_config.json");
    rl_json_doc *config = NULL, *generation = NULL;
    rl_status status;
    if (!rl_fs_exists(path)) {
        return rl_fail(err, RL_IO,
                       "model '%s' has no config.json; give a Hugging Face folder or a "
                       ".gguf file",
                       cp->path);
    }
    status = rl_fs_read(path, cp->arena, &text, &cp->config_text_len, err);
    if (status == RL_OK) {
        cp->config_text = text;
        status = rl_json_parse(text, cp->config_text_len, path, &config, err);
    }
    if (status == RL_OK && rl_fs_exists(generation_path)) {
        status = rl_json_read(generation_path, &generation, err);
    }
    if (status == RL_OK) {
        status = rl_model_config_from_json(rl_json_root(config),
                                           generation != NULL ? rl_json_root(generation) : NULL,
                                           &cp->config, err);
        status = in_model(status, cp->path, err);
    }
    rl_json_free(config);
    rl_json_free(generation);
    return status;
}

static rl_status open_shard(rl_checkpoint *cp, const char *name, rl_err *err) {
    rl_status status;
    for (size_t i = 0; i < cp->n_shards; i++) {
        if (strcmp(cp->shard_name[i], name) == 0) {
            return RL_OK;
        }
    }
    if (strchr(name, '/') != NULL || cp->n_shards == SHARDS_MAX) {
        return rl_fail(err, RL_IO, "model '%s': shard '%.100s' is not a file of this folder",
                       cp->path, name);
    }
    status =
        rl_safetensors_open(rl_path_join(cp->arena, cp->path, name), &cp->shard[cp->n_shards], err);
    if (status == RL_OK) {
        cp->shard_name[cp->n_shards++] = rl_arena_strdup(cp->arena, name);
    }
    return status;
}

static const rl_weight *find_in_shards(const rl_checkpoint *cp, const char *name, size_t *shard) {
    const rl_weight *w = NULL;
    *shard = 0;
    for (size_t i = 0; i < cp->n_shards && w == NULL; i++) {
        w = rl_safetensors_find(cp->shard[i], name);
        *shard = i;
    }
    return w;
}

// What the index says of every tensor must hold, and no tensor may be in two shards.
static rl_status check_index(const rl_checkpoint *cp, const rl_json *map, rl_err *err) {
    size_t shard;
    for (const rl_json *item = rl_json_first(map); item != NULL; item = rl_json_next(item)) {
        const char *said = rl_json_text(item, "");
        const rl_weight *w = find_in_shards(cp, rl_json_key(item), &shard);
        if (w == NULL || strcmp(cp->shard_name[shard], said) != 0) {
            return rl_fail(err, RL_IO,
                           "model '%s': the index puts tensor '%s' in '%s', which does not have it",
                           cp->path, rl_json_key(item), said);
        }
    }
    for (size_t s = 0; s < cp->n_shards; s++) {
        for (size_t i = 0; i < rl_safetensors_count(cp->shard[s]); i++) {
            const char *name = rl_safetensors_at(cp->shard[s], i)->name;
            if (find_in_shards(cp, name, &shard) != NULL && shard != s) {
                return rl_fail(err, RL_IO, "model '%s': tensor '%s' is in '%s' and in '%s'",
                               cp->path, name, cp->shard_name[shard], cp->shard_name[s]);
            }
        }
    }
    return RL_OK;
}

static rl_status open_shards(rl_checkpoint *cp, const char *index_path, rl_err *err) {
    rl_json_doc *index = NULL;
    const rl_json *map;
    rl_status status = rl_json_read(index_path, &index, err);
    if (status != RL_OK) {
        return status;
    }
    map = rl_json_get(rl_json_root(index), "weight_map");
    if (rl_json_first(map) == NULL || rl_json_type_of(map) != RL_JSON_OBJECT) {
        status = rl_fail(err, RL_IO, "'%s' has no 'weight_map'", index_path);
    }
    for (const rl_json *item = status == RL_OK ? rl_json_first(map) : NULL;
         item != NULL && status == RL_OK; item = rl_json_next(item)) {
        status = open_shard(cp, rl_json_text(item, "/"), err); // "/" is refused
    }
    if (status == RL_OK) {
        status = check_index(cp, map, err);
    }
    rl_json_free(index);
    return status;
}

static rl_status open_weights(rl_checkpoint *cp, rl_err *err) {
    char *index = rl_path_join(cp->arena, cp->path, "model.safetensors.index.json");
    cp->shard = rl_arena_alloc(cp->arena, SHARDS_MAX, sizeof(rl_safetensors *));
    cp->shard_name = rl_arena_alloc(cp->arena, SHARDS_MAX, sizeof *cp->shard_name);
    if (rl_fs_exists(rl_path_join(cp->arena, cp->path, "model.safetensors"))) {
        return open_shard(cp, "model.safetensors", err);
    }
    if (rl_fs_exists(index)) {
        return open_shards(cp, index, err);
    }
    if (rl_fs_exists(rl_path_join(cp->arena, cp->path, "pytorch_model.bin"))) {
        return rl_fail(
            err, RL_UNSUPPORTED,
            "model '%s' has its weights in pytorch_model.bin only, a format that can run "
            "code; fetch or convert to model.safetensors",
            cp->path);
    }
    return rl_fail(err, RL_IO,
                   "model '%s' has neither model.safetensors nor model.safetensors.index.json",
                   cp->path);
}

static rl_status open_folder(rl_checkpoint *cp, rl_err *err) {
    rl_status status = read_config(cp, err);
    cp->has_tokenizer = rl_fs_exists(rl_path_join(cp->arena, cp->path, "tokenizer.json"));
    return status == RL_OK && !cp->drawn ? open_weights(cp, err) : status;
}

static rl_status open_gguf(rl_checkpoint *cp, rl_err *err) {
    rl_status status;
    if (!rl_fs_exists(cp->path)) {
        return rl_fail(err, RL_IO,
                       "there is no model at '%s'; give a Hugging Face folder or a .gguf file",
                       cp->path);
    }
    if (cp->drawn) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "weights are drawn for a folder with config.json and tokenizer only, and "
                       "'%s' is a file; give a folder, or take the weights of the file",
                       cp->path);
    }
    status = rl_gguf_open(cp->path, &cp->gguf, err);
    return status == RL_OK
               ? in_model(rl_model_config_from_gguf(cp->gguf, &cp->config, err), cp->path, err)
               : status;
}

static rl_status open_checkpoint(const char *path, bool drawn, uint64_t seed, rl_checkpoint **out,
                                 rl_err *err) {
    rl_checkpoint *cp = rl_alloc(1, sizeof *cp);
    rl_status status;
    *out = NULL;
    cp->arena = rl_arena_new(0);
    cp->path = rl_arena_strdup(cp->arena, path);
    cp->drawn = drawn;
    cp->seed = seed;
    status = rl_fs_is_dir(path) ? open_folder(cp, err) : open_gguf(cp, err);
    if (status != RL_OK) {
        rl_checkpoint_close(cp);
        return status;
    }
    cp->family = rl_family_find(cp->config.family);
    *out = cp;
    return RL_OK;
}

rl_status rl_checkpoint_open(const char *path, rl_checkpoint **out, rl_err *err) {
    return open_checkpoint(path, false, 0, out, err);
}

rl_status rl_checkpoint_open_random(const char *path, uint64_t seed, rl_checkpoint **out,
                                    rl_err *err) {
    static const char *const ignored[] = {"model.safetensors", "model.safetensors.index.json",
                                          "pytorch_model.bin"};
    rl_status status = open_checkpoint(path, true, seed, out, err);
    for (size_t i = 0; status == RL_OK && i < sizeof ignored / sizeof ignored[0]; i++) {
        if (rl_fs_exists(rl_path_join((*out)->arena, path, ignored[i]))) {
            rl_log(RL_LOG_INFO, "model: weights are drawn; '%s' of '%s' is not read", ignored[i],
                   path);
        }
    }
    return status;
}

void rl_checkpoint_close(rl_checkpoint *checkpoint) {
    if (checkpoint != NULL) {
        for (size_t i = 0; i < checkpoint->n_shards; i++) {
            rl_safetensors_close(checkpoint->shard[i]);
        }
        rl_gguf_close(checkpoint->gguf);
        rl_arena_free(checkpoint->arena);
        rl_free(checkpoint);
    }
}

const rl_model_config *rl_checkpoint_config(const rl_checkpoint *checkpoint) {
    return &checkpoint->config;
}

const rl_gguf *rl_checkpoint_gguf(const rl_checkpoint *checkpoint) {
    return checkpoint->gguf;
}

const char *rl_checkpoint_path(const rl_checkpoint *checkpoint) {
    return checkpoint->path;
}

static void place_name(const rl_checkpoint *cp, rl_place place, char out[RL_NAME_MAX]) {
    if (cp->gguf != NULL) {
        rl_place_gguf_name(place, out);
    } else {
        rl_place_hf_name(place, out);
    }
}

static const rl_weight *find_weight(const rl_checkpoint *cp, const char *name) {
    size_t shard;
    return cp->gguf != NULL ? rl_gguf_find(cp->gguf, name) : find_in_shards(cp, name, &shard);
}

// "[48, 576]"
static const char *shape_text(char *out, size_t cap, const int64_t *shape, int32_t rank) {
    int n = snprintf(out, cap, "[");
    for (int32_t i = 0; i < rank; i++) {
        n += snprintf(out + n, cap - (size_t)n, i > 0 ? ", %lld" : "%lld", (long long)shape[i]);
    }
    snprintf(out + n, cap - (size_t)n, "]");
    return out;
}

static rl_status check_weight(const rl_checkpoint *cp, const rl_weight *w, rl_tensor want,
                              rl_err *err) {
    char is[128], should[128];
    if (!rl_stored_is_weight(w->stored)) {
        return rl_fail(
            err, RL_UNSUPPORTED,
            "model '%s': tensor '%s' is stored as %s, which is not supported; supported: "
            "%s",
            cp->path, w->name, w->type,
            cp->gguf != NULL ? "F32, F16, BF16, Q8_0, Q4_0, Q4_1, Q6_K" : "F32, F16, BF16, F64");
    }
    if (w->rank != want.rank ||
        memcmp(w->shape, want.shape, (size_t)want.rank * sizeof want.shape[0]) != 0) {
        return rl_fail(err, RL_IO,
                       "model '%s': tensor '%s' has shape %s but its config asks for %s", cp->path,
                       w->name, shape_text(is, sizeof is, w->shape, w->rank),
                       shape_text(should, sizeof should, want.shape, want.rank));
    }
    return RL_OK;
}

// True for what some checkpoints carry besides weights: tables that the config implies.
static bool is_table(const char *name) {
    return rl_text_ends(name, ".rotary_emb.inv_freq") || strcmp(name, "rope_freqs.weight") == 0;
}

// A tied model may store its head once more, if it is the same.
static bool is_copy_of_embedding(const rl_checkpoint *cp, const rl_weight *w) {
    const rl_tensor_row *e = &cp->family->embedding, *h = &cp->family->head;
    const rl_weight *embedding;
    if (!cp->config.tied || cp->gguf != NULL || strcmp(w->name, h->hf) != 0) {
        return false;
    }
    embedding = find_weight(cp, e->hf);
    return embedding != NULL && embedding->stored == w->stored &&
           embedding->n_bytes == w->n_bytes && memcmp(embedding->bytes, w->bytes, w->n_bytes) == 0;
}

static rl_status surplus(const rl_checkpoint *cp, const rl_weight *w, rl_err *err) {
    if (cp->config.tied && cp->gguf == NULL && strcmp(w->name, cp->family->head.hf) == 0) {
        return rl_fail(err, RL_IO,
                       "model '%s': config.json ties the head to the embedding, but tensor '%s' "
                       "differs from it; set tie_word_embeddings to false to use it",
                       cp->path, w->name);
    }
    return rl_fail(err, RL_UNSUPPORTED,
                   "model '%s': tensor '%s' has no place in a %s model of %d layers", cp->path,
                   w->name, cp->config.family, cp->config.n_layers);
}

static rl_status check_surplus(const rl_checkpoint *cp, rl_err *err) {
    int32_t n_places = rl_family_count(cp->family, &cp->config);
    rl_map *known = rl_map_new((size_t)n_places);
    size_t n_files = cp->gguf != NULL ? 1 : cp->n_shards;
    rl_status status = RL_OK;
    for (int32_t i = 0; i < n_places; i++) {
        char name[RL_NAME_MAX];
        place_name(cp, rl_family_place(cp->family, &cp->config, i), name);
        rl_map_add(known, name, strlen(name), i);
    }
    for (size_t f = 0; f < n_files; f++) {
        size_t n = cp->gguf != NULL ? rl_gguf_count(cp->gguf) : rl_safetensors_count(cp->shard[f]);
        for (size_t i = 0; i < n && status == RL_OK; i++) {
            const rl_weight *w =
                cp->gguf != NULL ? rl_gguf_at(cp->gguf, i) : rl_safetensors_at(cp->shard[f], i);
            int64_t place;
            if (!rl_map_get(known, w->name, strlen(w->name), &place) && !is_table(w->name) &&
                !is_copy_of_embedding(cp, w)) {
                status = surplus(cp, w, err);
            }
        }
    }
    rl_map_free(known);
    return status;
}

// Where GGUF keeps a head's rotary pairs as neighbours (2 d, 2 d + 1), row r of the parameter is
// this row of the file: Hugging Face keeps them as two halves (d, d + D/2).
static int64_t file_row(const rl_checkpoint *cp, int64_t r) {
    int64_t size = cp->config.head_dim, half = size / 2, d = r % size;
    return r - d + (d < half ? 2 * d : 2 * (d - half) + 1);
}

static void fill(const rl_checkpoint *cp, const rl_weight *w, bool pairs, rl_tensor value,
                 rl_backend *be, float *piece, int64_t piece_values) {
    int64_t cols = value.rank == 2 ? value.shape[1] : value.shape[0];
    int64_t rows = value.rank == 2 ? value.shape[0] : 1, step = piece_values / cols;
    for (int64_t r = 0, end; r < rows; r = end) {
        end = r + step < rows ? r + step : rows;
        if (!pairs) {
            rl_weight_range_to_f32(w, r * cols, (end - r) * cols, piece);
        }
        for (int64_t i = r; i < end && pairs; i++) {
            rl_weight_range_to_f32(w, file_row(cp, i) * cols, cols, piece + (i - r) * cols);
        }
        rl_tensor_put(be, value.rank == 2 ? rl_tensor_rows(value, r, end) : value, piece);
    }
}

rl_status rl_checkpoint_check(const rl_checkpoint *cp, const rl_params *params, rl_err *err) {
    char name[RL_NAME_MAX], missing[RL_NAME_MAX] = "";
    int32_t n_missing = 0;
    for (int32_t i = 0; i < params->n_items; i++) {
        const rl_weight *w;
        rl_status status;
        place_name(cp, rl_family_place(cp->family, &cp->config, i), name);
        w = find_weight(cp, name);
        if (w == NULL) {
            if (n_missing++ == 0) {
                memcpy(missing, name, sizeof missing);
            }
            continue;
        }
        status = check_weight(cp, w, params->item[i].value, err);
        if (status != RL_OK) {
            return status;
        }
    }
    if (n_missing > 1) {
        return rl_fail(err, RL_IO, "model '%s' lacks tensor '%s' and %d more", cp->path, missing,
                       n_missing - 1);
    }
    if (n_missing == 1) {
        return rl_fail(err, RL_IO, "model '%s' lacks tensor '%s'", cp->path, missing);
    }
    return check_surplus(cp, err);
}

void rl_checkpoint_fill(const rl_checkpoint *checkpoint, rl_params *params, int32_t begin,
                        int32_t end, rl_backend *be) {
    const rl_model_config *config = &checkpoint->config;
    int64_t longest = config->width > config->mlp ? config->width : config->mlp;
    int64_t piece_values;
    float *piece;
    longest = rl_dim_size(config, RL_DIM_Q) > longest ? rl_dim_size(config, RL_DIM_Q) : longest;
    piece_values = longest > PIECE_VALUES ? longest : PIECE_VALUES;
    piece = rl_alloc((size_t)piece_values, sizeof *piece);
    for (int32_t i = begin; i < end; i++) {
        char name[RL_NAME_MAX];
        rl_place place = rl_family_place(checkpoint->family, config, i);
        place_name(checkpoint, place, name);
        fill(checkpoint, find_weight(checkpoint, name),
             checkpoint->gguf != NULL && checkpoint->family->gguf_pairs &&
                 (place.row->role == RL_ROLE_Q || place.row->role == RL_ROLE_K),
             params->item[i].value, be, piece, piece_values);
    }
    rl_free(piece);
    // The files stay open for their names and tokenizer, not for their weights.
    for (size_t i = 0; i < checkpoint->n_shards; i++) {
        rl_safetensors_rest(checkpoint->shard[i]);
    }
    if (checkpoint->gguf != NULL) {
        rl_gguf_rest(checkpoint->gguf);
    }
}

rl_status rl_checkpoint_read(const rl_checkpoint *checkpoint, rl_params *params, rl_backend *be,
                             rl_err *err) {
    RL_ASSERT(params->n_items == rl_family_count(checkpoint->family, &checkpoint->config));
    if (checkpoint->drawn) {
        rl_draw_weights(checkpoint, params, be);
        return rl_backend_sync(be, err);
    }
    rl_status status = rl_checkpoint_check(checkpoint, params, err);
    if (status != RL_OK) {
        return status;
    }
    rl_checkpoint_fill(checkpoint, params, 0, params->n_items, be);
    return rl_backend_sync(be, err);
}
