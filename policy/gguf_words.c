#include "policy/gguf_words.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "policy/gguf_pre.h"
#include "policy/gguf_vocab.h"
#include "policy/tokenizer_parts.h"
#include "rl/core/alloc.h"

// Runs of white space and digits, contractions in both cases, scripts, emoji, punctuation.
static const char probe[] =
    "\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n\xf0\x9f\x9a\x80 (normal) "
    "\xf0\x9f\x98\xb6\xe2\x80\x8d\xf0\x9f\x8c\xab\xef\xb8\x8f (joined) \xe2\x9c\x85 "
    "\xf0\x9f\xa6\x99\xf0\x9f\xa6\x99 3 33 333 3333 33333 333333 3333333 3.3 3..3 3...3 "
    "\xe1\x9e\x80\xe1\x9e\xb6\xe1\x9e\x93\xe1\x9f\x8b\xe1\x9e\x8f\xe1\x9f\x82 ?"
    "\xe6\x88\x91\xe6\x83\xb3\xe5\x9c\xa8"
    "apple\xe5\xb7\xa5\xe4\xbd\x9c"
    "1314151\xe5\xa4\xa9\xef\xbd\x9e ------======= "
    "\xd0\xbd\xd0\xb5\xd1\x89\xd0\xbe \xd0\xbd\xd0\xb0 ''''''```````\"\"\"\"......!!!!!!?????? "
    "I've been 'told he's there, 'RE you sure? 'M not sure I'll make it, 'D you like some tea? "
    "We'Ve a'lL\r\n\r\n  def f(x):\n    return x  # caf\xc3\xa9 \xc2\xbd \xe2\x85\xa7 ";

static int kind_of(const rl_tokenizer *t, int32_t id) {
    const rl_token *token = &t->vocab.token[id];
    const rl_added_set *sets[] = {&t->raw, &t->normalized};
    if (!t->bpe.byte_level && id == t->bpe.unk) {
        return RL_GGUF_KIND_UNKNOWN;
    }
    if ((token->flags & RL_TOKEN_SPECIAL) != 0) {
        return RL_GGUF_KIND_CONTROL;
    }
    for (size_t s = 0; s < sizeof sets / sizeof sets[0]; s++) {
        for (size_t i = 0; i < sets[s]->n_items; i++) {
            if (sets[s]->item[i].id == id) {
                return RL_GGUF_KIND_USER;
            }
        }
    }
    return !t->bpe.byte_level && rl_detoken_byte(token->text, token->len) >= 0
               ? RL_GGUF_KIND_BYTE
               : RL_GGUF_KIND_NORMAL;
}

// Ids without a token, and rows of the embedding beyond the tokenizer, are named as llama.cpp does.
static void put_tokens(const rl_tokenizer *t, int32_t n_rows, rl_gguf_meta_out *meta) {
    const rl_token *token = t->vocab.token;
    rl_gguf_open_list(meta, "tokenizer.ggml.tokens", RL_GGUF_LIST_TEXT);
    for (int32_t i = 0; i < n_rows; i++) {
        if (i < t->vocab.n_tokens && token[i].text != NULL) {
            rl_gguf_add_text(meta, token[i].text, token[i].len);
        } else {
            char name[32];
            rl_gguf_add_text(meta, name, (size_t)snprintf(name, sizeof name, "[PAD%d]", (int)i));
        }
    }
    rl_gguf_open_list(meta, "tokenizer.ggml.token_type", RL_GGUF_LIST_I32);
    for (int32_t i = 0; i < n_rows; i++) {
        bool used = i < t->vocab.n_tokens && token[i].text != NULL;
        rl_gguf_add_i32(meta, used ? kind_of(t, i) : RL_GGUF_KIND_UNUSED);
    }
}

static int by_rank(const void *a, const void *b) {
    const rl_bpe_merge *x = a, *y = b;
    return (x->rank > y->rank) - (x->rank < y->rank);
}

// All merges in order of rank; free with rl_free.
static rl_bpe_merge *sorted_merges(const rl_bpe *bpe, size_t *n) {
    rl_bpe_merge *merge = rl_alloc(bpe->n_merges, sizeof *merge);
    *n = 0;
    for (size_t i = 0; i < bpe->n_slots; i++) {
        if (bpe->merge[i].pair != 0) {
            merge[(*n)++] = bpe->merge[i];
        }
    }
    if (*n > 0) {
        qsort(merge, *n, sizeof *merge, by_rank);
    }
    return merge;
}

static void put_merges(const rl_tokenizer *t, rl_gguf_meta_out *meta) {
    size_t n;
    rl_bpe_merge *merge = sorted_merges(&t->bpe, &n);
    rl_str text = {0};
    rl_gguf_open_list(meta, "tokenizer.ggml.merges", RL_GGUF_LIST_TEXT);
    for (size_t i = 0; i < n; i++) {
        uint64_t pair = merge[i].pair - 1;
        const rl_token *left = &t->vocab.token[pair >> 32];
        const rl_token *right = &t->vocab.token[pair & 0xffffffffu];
        rl_str_clear(&text);
        rl_str_append_n(&text, left->text, left->len);
        rl_str_append_char(&text, ' ');
        rl_str_append_n(&text, right->text, right->len);
        rl_gguf_add_text(meta, text.ptr, text.len);
    }
    rl_str_release(&text);
    rl_free(merge);
}

// SentencePiece's scores: the earlier a token is merged into, the higher.
static void put_scores(const rl_tokenizer *t, int32_t n_rows, rl_gguf_meta_out *meta) {
    float *score = rl_alloc((size_t)n_rows, sizeof *score);
    size_t n = 0;
    rl_bpe_merge *merge = t->bpe.merge != NULL ? sorted_merges(&t->bpe, &n) : NULL;
    for (size_t i = n; i > 0; i--) { // a token's first merge is the last to set its score
        score[merge[i - 1].id] = -(float)i;
    }
    for (int32_t i = 0; i < t->vocab.n_tokens && t->bpe.score_rank != NULL; i++) {
        score[i] = t->bpe.score_rank[i] >= 0 ? -(float)(t->bpe.score_rank[i] + 1) : 0;
    }
    rl_gguf_open_list(meta, "tokenizer.ggml.scores", RL_GGUF_LIST_F32);
    for (int32_t i = 0; i < n_rows; i++) {
        rl_gguf_add_f32(meta, score[i]);
    }
    rl_free(merge);
    rl_free(score);
}

// Whether a reader of these metadata encodes the probe as the tokenizer does.
static bool agrees(const rl_tokenizer *t, const rl_gguf_meta_out *meta) {
    rl_arena *arena = rl_arena_new(0);
    rl_tokenizer *read = NULL;
    rl_gguf *file = NULL;
    rl_str bytes = {0};
    rl_err ignored;
    bool same;
    rl_gguf_print_head(meta, NULL, 0, &bytes);
    same = rl_gguf_parse(bytes.ptr, bytes.len, "metadata", &file, &ignored) == RL_OK &&
           rl_tokenizer_from_gguf(file, &read, &ignored) == RL_OK;
    for (unsigned frame = 0; frame < 2 && same; frame++) {
        unsigned flags = frame != 0 ? RL_ENCODE_FRAME : RL_ENCODE_PLAIN;
        int32_t *a, *b, n_a, n_b;
        same = rl_tokenizer_encode(t, probe, sizeof probe - 1, flags, arena, &a, &n_a, &ignored) ==
                   RL_OK &&
               rl_tokenizer_encode(read, probe, sizeof probe - 1, flags, arena, &b, &n_b,
                                   &ignored) == RL_OK &&
               n_a == n_b && memcmp(a, b, (size_t)n_a * sizeof *a) == 0;
    }
    rl_tokenizer_free(read);
    rl_gguf_close(file);
    rl_str_release(&bytes);
    rl_arena_free(arena);
    return same;
}

// Tries what GGUF can say of how text is cut: names of pre-tokenizers, or a space in front or none.
static rl_status put_cut(const rl_tokenizer *t, rl_gguf_meta_out *meta, rl_err *err) {
    size_t len = meta->bytes.len;
    uint64_t n_keys = meta->n_keys;
    const rl_gguf_pre *pre;
    for (size_t i = 0; t->bpe.byte_level && (pre = rl_gguf_pre_at(i)) != NULL; i++) {
        const char *name = pre->names + 1;
        if (pre->ignore_merges != t->bpe.ignore_merges) {
            continue;
        }
        rl_gguf_put_text(meta, "tokenizer.ggml.pre", name, strcspn(name, "|"));
        if (agrees(t, meta)) {
            return RL_OK;
        }
        meta->bytes.len = len;
        meta->n_keys = n_keys;
    }
    for (int prefix = 1; !t->bpe.byte_level && prefix >= 0; prefix--) {
        rl_gguf_put_bool(meta, "tokenizer.ggml.add_space_prefix", prefix);
        if (agrees(t, meta)) {
            return RL_OK;
        }
        meta->bytes.len = len;
        meta->n_keys = n_keys;
    }
    return rl_fail(err, RL_UNSUPPORTED,
                   "the tokenizer of '%.200s' cuts text as no pre-tokenizer known to GGUF does",
                   t->name);
}

static void put_ids(const rl_tokenizer *t, const rl_model_config *config, rl_gguf_meta_out *meta) {
    static const char *const ends[] = {"tokenizer.ggml.eos_token_id", "tokenizer.ggml.eot_token_id",
                                       "tokenizer.ggml.eom_token_id"};
    int32_t bos = t != NULL && t->bos >= 0 ? t->bos : config->bos;
    int32_t eos = t != NULL ? t->eos : -1;
    size_t n = 0;
    if (bos >= 0) {
        rl_gguf_put_u32(meta, "tokenizer.ggml.bos_token_id", (uint32_t)bos);
    }
    if (eos >= 0) {
        rl_gguf_put_u32(meta, ends[n++], (uint32_t)eos);
    }
    for (int32_t i = 0; i < config->n_eos && n < sizeof ends / sizeof ends[0]; i++) {
        if (config->eos[i] != eos) {
            rl_gguf_put_u32(meta, ends[n++], (uint32_t)config->eos[i]);
        }
    }
    if (config->pad >= 0) {
        rl_gguf_put_u32(meta, "tokenizer.ggml.padding_token_id", (uint32_t)config->pad);
    }
    if (t != NULL && t->bpe.unk >= 0) {
        rl_gguf_put_u32(meta, "tokenizer.ggml.unknown_token_id", (uint32_t)t->bpe.unk);
    }
}

rl_status rl_gguf_put_words(const rl_tokenizer *t, const rl_model_config *config,
                            rl_gguf_meta_out *meta, rl_err *err) {
    if (t == NULL) {
        rl_gguf_put_text(meta, "tokenizer.ggml.model", "none", 4);
        put_ids(NULL, config, meta);
        return RL_OK;
    }
    if (t->vocab.n_tokens > config->vocab) {
        return rl_fail(err, RL_BAD_RECIPE, "tokenizer of '%.200s' has %d tokens, the model only %d",
                       t->name, (int)t->vocab.n_tokens, (int)config->vocab);
    }
    if (!t->bpe.byte_level && !t->bpe.byte_fallback && t->bpe.score_rank == NULL) {
        return rl_fail(err, RL_UNSUPPORTED,
                       "the tokenizer of '%.200s' is neither byte-level nor falls back to bytes, "
                       "which is all that GGUF knows of BPE",
                       t->name);
    }
    rl_gguf_put_text(meta, "tokenizer.ggml.model", t->bpe.byte_level ? "gpt2" : "llama",
                     t->bpe.byte_level ? 4 : 5);
    put_tokens(t, config->vocab, meta);
    if (t->bpe.byte_level) {
        put_merges(t, meta);
    } else {
        put_scores(t, config->vocab, meta);
    }
    put_ids(t, config, meta);
    rl_gguf_put_bool(meta, "tokenizer.ggml.add_bos_token", t->frame_before.len > 0);
    rl_gguf_put_bool(meta, "tokenizer.ggml.add_eos_token", t->frame_after.len > 0);
    if (t->chat_template != NULL) {
        rl_gguf_put_text(meta, "tokenizer.chat_template", t->chat_template,
                         strlen(t->chat_template));
    }
    return put_cut(t, meta, err);
}
