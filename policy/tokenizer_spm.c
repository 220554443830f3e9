/*
 * tokenizer.model of SentencePiece: a protocol buffer of tokens with scores, of which the fields
 * below are read (sentencepiece_model.proto). Only BPE models without a normalisation table: the
 * Llama 2 and Mistral family. A Unigram model is refused by name.
 */
#include <string.h>

#include "policy/tokenizer_forms.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/unicode.h"

#define MARK "\xe2\x96\x81" // U+2581, SentencePiece's space

enum {
    KIND_NORMAL = 1,
    KIND_UNKNOWN = 2,
    KIND_CONTROL = 3,
    KIND_USER = 4,
    KIND_UNUSED = 5,
    KIND_BYTE = 6
};
enum { MODEL_UNIGRAM = 1, MODEL_BPE = 2 };

/* Bytes still to be read of a message, and the field read last. */
typedef struct message {
    const uint8_t *at, *end;
    bool broken;
    uint64_t number, value; // of the field; value for wire types 0 and 5
    const uint8_t *bytes;   // for wire type 2, else NULL
    size_t n_bytes;
} message;

static uint64_t read_varint(message *m) {
    uint64_t value = 0;
    for (int shift = 0; shift < 64 && m->at < m->end; shift += 7) {
        uint8_t byte = *m->at++;
        value |= (uint64_t)(byte & 0x7f) << shift;
        if (byte < 0x80) {
            return value;
        }
    }
    m->broken = true;
    return 0;
}

// False at the end or where the bytes are no message.
static bool next_field(message *m) {
    if (m->at == m->end || m->broken) {
        return false;
    }
    uint64_t key = read_varint(m);
    size_t n = 0;
    m->number = key >> 3;
    m->value = 0;
    m->bytes = NULL;
    switch (key & 7) {
    case 0:
        m->value = read_varint(m);
        return !m->broken;
    case 1:
        n = 8;
        break;
    case 2: {
        uint64_t len = read_varint(m);
        if (m->broken || len > (uint64_t)(m->end - m->at)) {
            m->broken = true;
            return false;
        }
        m->bytes = m->at;
        m->n_bytes = n = (size_t)len;
        break;
    }
    case 5:
        n = 4;
        break;
    default:
        m->broken = true;
        return false;
    }
    if (n > (size_t)(m->end - m->at)) {
        m->broken = true;
        return false;
    }
    if ((key & 7) == 5) {
        m->value = m->at[0] | (uint32_t)m->at[1] << 8 | (uint32_t)m->at[2] << 16 |
                   (uint32_t)m->at[3] << 24;
    }
    m->at += n;
    return true;
}

static message inside(const message *m) {
    return (message){.at = m->bytes, .end = m->bytes + m->n_bytes};
}

typedef struct model {
    rl_tokenizer *tokenizer;
    rl_str score; // of doubles, one a token
    uint64_t model_type;
    bool byte_fallback, prefix, squeeze, has_table;
    int64_t unk, bos, eos; // -1: none
} model;

static rl_status read_piece(model *m, message piece, rl_err *err) {
    rl_vocab *vocab = &m->tokenizer->vocab;
    const char *text = "";
    size_t len = 0;
    uint32_t bits = 0;
    uint64_t kind = KIND_NORMAL;
    while (next_field(&piece)) {
        if (piece.number == 1 && piece.bytes != NULL) {
            text = (const char *)piece.bytes;
            len = piece.n_bytes;
        } else if (piece.number == 2) {
            bits = (uint32_t)piece.value;
        } else if (piece.number == 3) {
            kind = piece.value;
        }
    }
    if (piece.broken || !rl_utf8_valid(text, len) || memchr(text, '\0', len) != NULL) {
        return rl_fail(err, RL_IO, "token %d is not valid text", (int)vocab->n_tokens);
    }
    if (kind < KIND_NORMAL || kind > KIND_BYTE || kind == KIND_UNUSED) {
        return rl_fail(err, RL_UNSUPPORTED, "token %d is %s, which is not covered",
                       (int)vocab->n_tokens,
                       kind == KIND_UNUSED ? "an unused piece" : "of an unknown type");
    }
    float score;
    memcpy(&score, &bits, sizeof score);
    double wide = (double)score;
    if (wide != wide) {
        return rl_fail(err, RL_IO, "the score of token %d is not a number", (int)vocab->n_tokens);
    }
    rl_str_append_n(&m->score, (const char *)&wide, sizeof wide);
    bool special = kind == KIND_CONTROL || kind == KIND_UNKNOWN;
    unsigned flags = special ? RL_TOKEN_SPECIAL : kind != KIND_BYTE ? (unsigned)RL_TOKEN_MODEL : 0u;
    int32_t id = vocab->n_tokens;
    rl_status status = rl_vocab_put(vocab, id, text, len, flags, err);
    if (status == RL_OK && len > 0 && (kind == KIND_CONTROL || kind == KIND_USER)) {
        rl_added added = {.text = vocab->token[id].text, .len = len, .id = id, .special = special};
        status = rl_tokenizer_add(m->tokenizer, added, false, err);
    }
    return status;
}

static void read_trainer(model *m, message spec) {
    while (next_field(&spec)) {
        switch (spec.number) {
        case 3:
            m->model_type = spec.value;
            break;
        case 35:
            m->byte_fallback = spec.value != 0;
            break;
        case 40:
            m->unk = (int32_t)spec.value;
            break;
        case 41:
            m->bos = (int32_t)spec.value;
            break;
        case 42:
            m->eos = (int32_t)spec.value;
            break;
        default:
            break;
        }
    }
}

static void read_normalizer(model *m, message spec) {
    while (next_field(&spec)) {
        if (spec.number == 2) {
            m->has_table = spec.n_bytes > 0;
        } else if (spec.number == 3) {
            m->prefix = spec.value != 0;
        } else if (spec.number == 4) {
            m->squeeze = spec.value != 0;
        }
    }
}

static rl_status read_model(model *m, message all, rl_err *err) {
    rl_status status = RL_OK;
    rl_vocab_init(&m->tokenizer->vocab, m->tokenizer->arena, (size_t)(all.end - all.at) / 12);
    while (status == RL_OK && next_field(&all)) {
        if (all.bytes == NULL) {
            continue;
        }
        if (all.number == 1) {
            status = read_piece(m, inside(&all), err);
        } else if (all.number == 2) {
            read_trainer(m, inside(&all));
        } else if (all.number == 3) {
            read_normalizer(m, inside(&all));
        }
    }
    if (status == RL_OK && (all.broken || m->tokenizer->vocab.n_tokens == 0)) {
        status = rl_fail(err, RL_IO, "it is not a SentencePiece model");
    }
    if (status == RL_OK && m->model_type != MODEL_BPE) {
        status =
            rl_fail(err, RL_UNSUPPORTED, "SentencePiece model '%s' is not covered, only 'BPE' is",
                    m->model_type == MODEL_UNIGRAM ? "Unigram" : "word or char");
    }
    if (status == RL_OK && (m->has_table || m->squeeze)) {
        status = rl_fail(err, RL_UNSUPPORTED, "%s of a SentencePiece model is not covered",
                         m->has_table ? "the normalisation table" : "'remove_extra_whitespaces'");
    }
    return status;
}

static int32_t id_or_none(const rl_tokenizer *tokenizer, int64_t id) {
    return id >= 0 && id < tokenizer->vocab.n_tokens ? (int32_t)id : -1;
}

void rl_add_sentencepiece_rules(rl_tokenizer *tokenizer, bool prefix) {
    rl_detokenizer *detoken = &tokenizer->detokenizer;
    if (prefix) {
        rl_normalizer_add(&tokenizer->normalizer,
                          (rl_rewrite){.kind = RL_REWRITE_PREPEND, .content = MARK});
    }
    rl_normalizer_add(&tokenizer->normalizer,
                      (rl_rewrite){.kind = RL_REWRITE_REPLACE, .literal = " ", .content = MARK});
    rl_detokenizer_add(
        detoken, (rl_detoken_stage){
                     .kind = RL_DETOKEN_REPLACE,
                     .replace = {.kind = RL_REWRITE_REPLACE, .literal = MARK, .content = " "}});
    rl_detokenizer_add(detoken, (rl_detoken_stage){.kind = RL_DETOKEN_BYTE_FALLBACK});
    rl_detokenizer_add(detoken, (rl_detoken_stage){.kind = RL_DETOKEN_FUSE});
    if (prefix) {
        rl_detokenizer_add(
            detoken, (rl_detoken_stage){.kind = RL_DETOKEN_STRIP, .content = " ", .start = 1});
    }
}

rl_status rl_read_sentencepiece_bytes(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                      const uint8_t *bytes, size_t n_bytes, const char *path,
                                      rl_err *err) {
    model m = {.tokenizer = tokenizer,
               .model_type = MODEL_UNIGRAM,
               .prefix = true,
               .squeeze = true,
               .bos = 1,
               .eos = 2};
    rl_err why = {""};
    rl_status status = read_model(&m, (message){.at = bytes, .end = bytes + n_bytes}, &why);
    if (status == RL_OK) {
        tokenizer->bpe.unk = id_or_none(tokenizer, m.unk);
        tokenizer->bpe.byte_fallback = m.byte_fallback;
        tokenizer->bpe.fuse_unk = true; // a run of unknown characters is one piece
        tokenizer->bos = id_or_none(tokenizer, m.bos);
        tokenizer->eos = id_or_none(tokenizer, m.eos);
        rl_add_sentencepiece_rules(tokenizer, m.prefix);
        status = rl_read_listed_tokens(tokenizer, files, true, &why);
    }
    if (status == RL_OK) {
        // Once every token is in: ids beyond the scores are not the model's.
        rl_bpe_rank_by_score(&tokenizer->bpe, (const double *)(const void *)m.score.ptr);
        status = rl_tokenizer_ready(tokenizer, &why);
    }
    rl_str_release(&m.score);
    return status == RL_OK ? RL_OK : rl_fail(err, status, "'%s': %.400s", path, why.text);
}

rl_status rl_read_sentencepiece(rl_tokenizer *tokenizer, const rl_tokenizer_files *files,
                                const char *path, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    if (status == RL_OK) {
        status = rl_read_sentencepiece_bytes(tokenizer, files, file.ptr, file.len, path, err);
        rl_fs_unmap(&file);
    }
    return status;
}
