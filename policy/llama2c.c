#include "rl/policy/llama2c.h"

#include <stdio.h>
#include <string.h>

#include "policy/detoken.h"
#include "policy/gguf_vocab.h"
#include "rl/core/alloc.h"
#include "rl/core/arena.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"
#include "rl/core/unicode.h"
#include "rl/tensor/gguf_write.h"

#define MARK "\xe2\x96\x81" // U+2581, SentencePiece's space

enum {
    MAGIC = 0x616b3432,
    HEADER_V0 = 28,
    HEADER_V1 = 256,
    LAYERS_MAX = 1024,
    SIZE_MOST = 1 << 24
};

typedef struct shape {
    int64_t dim, mlp, layers, heads, kv_heads, vocab, positions;
    bool tied;
    int32_t version;
    size_t begin; // of the weights
} shape;

typedef struct model {
    rl_map_file file;
    const char *name;
    rl_arena *arena;
    shape shape;
    rl_weight *weight; // bytes in the mapping
    size_t n_weights;
} model;

static uint32_t u32_at(const uint8_t *p) {
    return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24;
}

static rl_status damaged(const model *m, const char *what, rl_err *err) {
    return rl_fail(err, RL_IO, "'%.200s' is no model of llama2.c: %s", m->name, what);
}

static rl_status read_shape(model *m, rl_err *err) {
    const uint8_t *p = m->file.ptr;
    shape *s = &m->shape;
    int64_t *field[] = {&s->dim,      &s->mlp,   &s->layers,   &s->heads,
                        &s->kv_heads, &s->vocab, &s->positions};
    if (m->file.len < HEADER_V0) {
        return damaged(m, "it is too short", err);
    }
    s->begin = HEADER_V0;
    if (u32_at(p) == MAGIC) {
        s->version = (int32_t)u32_at(p + 4);
        if (s->version != 1) {
            return rl_fail(err, RL_UNSUPPORTED,
                           "'%.200s' has version %d of llama2.c's format; supported: 0 and 1, "
                           "which hold float32",
                           m->name, (int)s->version);
        }
        if (m->file.len < HEADER_V1) {
            return damaged(m, "it is too short", err);
        }
        s->begin = HEADER_V1;
        p += 8;
    }
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        *field[i] = (int32_t)u32_at(p + 4 * i);
    }
    s->tied = s->version == 1 ? p[28] != 0 : s->vocab > 0; // version 0 says it by the sign
    s->vocab = s->vocab < 0 ? -s->vocab : s->vocab;
    for (size_t i = 0; i < sizeof field / sizeof field[0]; i++) {
        if (*field[i] < 1 || *field[i] > SIZE_MOST) {
            return damaged(m, "its header has a size that no model has", err);
        }
    }
    if (s->layers > LAYERS_MAX || s->dim % s->heads != 0 || s->dim / s->heads % 2 != 0 ||
        s->heads % s->kv_heads != 0) {
        return damaged(m, "the sizes in its header do not fit each other", err);
    }
    return RL_OK;
}

/* A kind of tensor: one for each layer, one after the other, or a single one. */
typedef struct kind {
    const char *name;
    int64_t rows, cols; // cols 0: a vector
    bool in_layers;
} kind;

static rl_status add_kind(model *m, const kind *k, size_t *at, rl_err *err) {
    int64_t n = k->in_layers ? m->shape.layers : 1;
    size_t n_bytes = (size_t)k->rows * (size_t)(k->cols > 0 ? k->cols : 1) * sizeof(float);
    for (int64_t i = 0; i < n; i++, *at += n_bytes) {
        if (n_bytes > m->file.len - *at) {
            return damaged(m, "it ends before its weights do", err);
        }
        char *name = rl_arena_alloc(m->arena, 64, 1);
        if (k->in_layers) {
            snprintf(name, 64, "blk.%d.%s", (int)i, k->name);
        } else {
            snprintf(name, 64, "%s", k->name);
        }
        m->weight[m->n_weights++] = (rl_weight){.name = name,
                                                .stored = RL_STORED_F32,
                                                .rank = k->cols > 0 ? 2 : 1,
                                                .shape = {k->rows, k->cols},
                                                .bytes = m->file.ptr + *at,
                                                .n_bytes = n_bytes};
    }
    return RL_OK;
}

static rl_status read_weights(model *m, rl_err *err) {
    const shape *s = &m->shape;
    int64_t kv = s->dim / s->heads * s->kv_heads, half = s->dim / s->heads / 2;
    const kind embedding = {"token_embd.weight", s->vocab, s->dim, false};
    const kind attn_norm = {"attn_norm.weight", s->dim, 0, true};
    const kind ffn_norm = {"ffn_norm.weight", s->dim, 0, true};
    const kind norm = {"output_norm.weight", s->dim, 0, false};
    const kind q = {"attn_q.weight", s->dim, s->dim, true};
    const kind k = {"attn_k.weight", kv, s->dim, true}, v = {"attn_v.weight", kv, s->dim, true};
    const kind o = {"attn_output.weight", s->dim, s->dim, true};
    const kind gate = {"ffn_gate.weight", s->mlp, s->dim, true};
    const kind down = {"ffn_down.weight", s->dim, s->mlp, true};
    const kind up = {"ffn_up.weight", s->mlp, s->dim, true};
    const kind head = {"output.weight", s->vocab, s->dim, false};
    const kind v0[] = {embedding, attn_norm, q, k, v, o, ffn_norm, gate, down, up, norm};
    const kind v1[] = {attn_norm, ffn_norm, norm, embedding, q, k, v, o, gate, down, up};
    size_t at = s->begin;
    rl_status status = RL_OK;
    m->weight = rl_arena_alloc(m->arena, (size_t)s->layers * 9 + 3, sizeof *m->weight);
    for (size_t i = 0; i < sizeof v0 / sizeof v0[0] && status == RL_OK; i++) {
        status = add_kind(m, s->version == 0 ? &v0[i] : &v1[i], &at, err);
    }
    if (status == RL_OK && s->version == 0) { // two rotary tables that the sizes imply
        size_t tables = 2 * (size_t)s->positions * (size_t)half * sizeof(float);
        if (tables > m->file.len - at) {
            return damaged(m, "it ends before its rotary tables do", err);
        }
        at += tables;
    }
    if (status == RL_OK && !s->tied) {
        status = add_kind(m, &head, &at, err);
    }
    if (status == RL_OK && at != m->file.len) {
        status = damaged(m, "it is longer than its header says", err);
    }
    return status;
}

static void put_config(const model *m, rl_gguf_meta_out *meta) {
    const shape *s = &m->shape;
    const struct {
        const char *key;
        int64_t value;
    } rows[] = {
        {"llama.vocab_size", s->vocab},
        {"llama.context_length", s->positions},
        {"llama.embedding_length", s->dim},
        {"llama.block_count", s->layers},
        {"llama.feed_forward_length", s->mlp},
        {"llama.attention.head_count", s->heads},
        {"llama.attention.head_count_kv", s->kv_heads},
        {"llama.rope.dimension_count", s->dim / s->heads},
    };
    const char *base = rl_path_base(m->name);
    rl_gguf_put_text(meta, "general.architecture", "llama", 5);
    rl_gguf_put_text(meta, "general.name", base, strlen(base));
    rl_gguf_put_u32(meta, "general.file_type", 0);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        rl_gguf_put_u32(meta, rows[i].key, (uint32_t)rows[i].value);
    }
    rl_gguf_put_f32(meta, "llama.attention.layer_norm_rms_epsilon", 1e-5f); // fixed in llama2.c
    rl_gguf_put_f32(meta, "llama.rope.freq_base", 10000.0f);
}

/* One piece of a tokenizer file, and where the next begins. */
typedef struct piece {
    float score;
    const char *text;
    size_t len;
} piece;

static bool next_piece(const rl_map_file *file, size_t *at, piece *out) {
    uint32_t bits, len;
    if (file->len - *at < 8) {
        return false;
    }
    bits = u32_at(file->ptr + *at);
    len = u32_at(file->ptr + *at + 4);
    if (len > file->len - *at - 8) {
        return false;
    }
    memcpy(&out->score, &bits, sizeof bits);
    out->text = (const char *)file->ptr + *at + 8;
    out->len = len;
    *at += 8 + (size_t)len;
    return true;
}

// SentencePiece's first three; the file has bos and eos as text with newlines around them.
static const char *const fixed[] = {"<unk>", "<s>", "</s>"};
enum { N_FIXED = sizeof fixed / sizeof fixed[0] };

// Spaces stand for SentencePiece's mark.
static void put_piece(const piece *p, int64_t id, rl_str *text, rl_gguf_meta_out *meta) {
    rl_str_clear(text);
    if (id < N_FIXED) {
        rl_str_append(text, fixed[id]);
    }
    for (size_t i = 0; i < p->len && id >= N_FIXED; i++) {
        if (p->text[i] == ' ') {
            rl_str_append(text, MARK);
        } else {
            rl_str_append_char(text, p->text[i]);
        }
    }
    rl_gguf_add_text(meta, rl_str_text(text), text->len);
}

static int32_t kind_of(const piece *p, int64_t id) {
    return id == 0                                 ? RL_GGUF_KIND_UNKNOWN
           : id < N_FIXED                          ? RL_GGUF_KIND_CONTROL
           : rl_detoken_byte(p->text, p->len) >= 0 ? RL_GGUF_KIND_BYTE
                                                   : RL_GGUF_KIND_NORMAL;
}

static void put_pieces(const piece *list, int64_t n, rl_gguf_meta_out *meta) {
    rl_str text = {0};
    rl_gguf_open_list(meta, "tokenizer.ggml.tokens", RL_GGUF_LIST_TEXT);
    for (int64_t i = 0; i < n; i++) {
        put_piece(&list[i], i, &text, meta);
    }
    rl_gguf_open_list(meta, "tokenizer.ggml.scores", RL_GGUF_LIST_F32);
    for (int64_t i = 0; i < n; i++) {
        rl_gguf_add_f32(meta, list[i].score);
    }
    rl_gguf_open_list(meta, "tokenizer.ggml.token_type", RL_GGUF_LIST_I32);
    for (int64_t i = 0; i < n; i++) {
        rl_gguf_add_i32(meta, kind_of(&list[i], i));
    }
    rl_str_release(&text);
}

static rl_status put_tokenizer(const model *m, const char *path, rl_gguf_meta_out *meta,
                               rl_err *err) {
    rl_map_file file = {0};
    int64_t n = m->shape.vocab;
    piece *list;
    size_t at = 4; // over the length of the longest piece
    rl_status status;
    rl_gguf_put_u32(meta, "tokenizer.ggml.bos_token_id", 1);
    rl_gguf_put_u32(meta, "tokenizer.ggml.eos_token_id", 2);
    if (path == NULL) {
        rl_gguf_put_text(meta, "tokenizer.ggml.model", "none", 4);
        return RL_OK;
    }
    status = rl_fs_map(path, &file, err);
    if (status != RL_OK) {
        return status;
    }
    list = rl_alloc((size_t)n, sizeof *list);
    for (int64_t i = 0; i < n && status == RL_OK; i++) {
        if (file.len < 4 || !next_piece(&file, &at, &list[i]) ||
            !rl_utf8_valid(list[i].text, list[i].len)) {
            status = rl_fail(err, RL_IO,
                             "'%.200s' is no tokenizer of llama2.c with %lld tokens: it breaks off "
                             "at token %lld",
                             path, (long long)n, (long long)i);
        }
    }
    if (status == RL_OK && at != file.len) {
        status = rl_fail(err, RL_IO, "tokenizer '%.200s' has more than the model's %lld tokens",
                         path, (long long)n);
    }
    if (status == RL_OK) {
        rl_gguf_put_text(meta, "tokenizer.ggml.model", "llama", 5);
        put_pieces(list, n, meta);
        rl_gguf_put_u32(meta, "tokenizer.ggml.unknown_token_id", 0);
        rl_gguf_put_bool(meta, "tokenizer.ggml.add_bos_token", true);
        rl_gguf_put_bool(meta, "tokenizer.ggml.add_eos_token", false);
        rl_gguf_put_bool(meta, "tokenizer.ggml.add_space_prefix", true);
    }
    rl_free(list);
    rl_fs_unmap(&file);
    return status;
}

static void fill(void *self, size_t i, int64_t begin, int64_t end, float *out) {
    const model *m = self;
    const rl_weight *w = &m->weight[i];
    int64_t cols = w->rank == 2 ? w->shape[1] : w->shape[0];
    rl_weight_range_to_f32(w, begin * cols, (end - begin) * cols, out);
}

rl_status rl_llama2c_to_gguf(const char *model_path, const char *tokenizer, const char *path,
                             rl_err *err) {
    model m = {.name = model_path, .arena = rl_arena_new(0)};
    rl_gguf_meta_out meta = {0};
    rl_status status = rl_fs_map(model_path, &m.file, err);
    if (status == RL_OK) {
        status = read_shape(&m, err);
    }
    if (status == RL_OK) {
        status = read_weights(&m, err);
    }
    if (status == RL_OK) {
        put_config(&m, &meta);
        status = put_tokenizer(&m, tokenizer, &meta, err);
    }
    if (status == RL_OK) {
        status = rl_gguf_write(&meta, m.weight, m.n_weights, fill, &m, path, err);
    }
    rl_gguf_meta_out_release(&meta);
    rl_fs_unmap(&m.file);
    rl_arena_free(m.arena);
    return status;
}
