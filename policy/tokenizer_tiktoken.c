/*
 * NAME.tiktoken: one line a token, its bytes in base64 and its rank, which is its id. The file
 * holds neither the split pattern nor the special tokens; both belong to its name.
 *
 * tiktoken merges any two neighbours whose joined bytes are a token, lowest rank first, leftmost
 * first among equals. So every way to cut a token into two tokens becomes a merge of its rank.
 */
#include <string.h>

#include "policy/pattern.h"
#include "policy/tokenizer_forms.h"
#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/unicode.h"

#define UPPER "\\p{Lu}\\p{Lt}\\p{Lm}\\p{Lo}\\p{M}"
#define LOWER "\\p{Ll}\\p{Lm}\\p{Lo}\\p{M}"
#define O200K                                                                                      \
    "[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]*[" LOWER "]+" RL_PATTERN_ANY_CASE                           \
    "?|[^\\r\\n\\p{L}\\p{N}]?[" UPPER "]+[" LOWER "]*" RL_PATTERN_ANY_CASE                         \
    "?|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n/]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

enum { MOST_SPECIALS = 6, LONGEST = 1024 };

typedef struct encoding {
    const char *name, *pattern;
    struct {
        const char *text;
        int32_t id;
    } special[MOST_SPECIALS]; // ends with text NULL; the first one ends a text
} encoding;

/* As tiktoken's openai_public.py has them. */
static const encoding encodings[] = {
    {"r50k_base", RL_PATTERN_GPT2, {{"<|endoftext|>", 50256}}},
    {"p50k_base", RL_PATTERN_GPT2, {{"<|endoftext|>", 50256}}},
    {"cl100k_base",
     RL_PATTERN_CL100K,
     {{"<|endoftext|>", 100257},
      {"<|fim_prefix|>", 100258},
      {"<|fim_middle|>", 100259},
      {"<|fim_suffix|>", 100260},
      {"<|endofprompt|>", 100276}}},
    {"o200k_base", O200K, {{"<|endoftext|>", 199999}, {"<|endofprompt|>", 200018}}},
};

static rl_status find_encoding(const char *path, const encoding **out, rl_err *err) {
    const char *name = rl_path_base(path);
    size_t len = strlen(name) - strlen(".tiktoken");
    for (size_t i = 0; i < sizeof encodings / sizeof encodings[0]; i++) {
        if (strlen(encodings[i].name) == len && memcmp(encodings[i].name, name, len) == 0) {
            *out = &encodings[i];
            return RL_OK;
        }
    }
    return rl_fail(err, RL_UNSUPPORTED,
                   "'%s': the split pattern of '%.*s' is not known; known: r50k_base, p50k_base, "
                   "cl100k_base, o200k_base",
                   path, (int)(len < 60 ? len : 60), name);
}

static int base64_digit(char c) {
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = c != '\0' ? strchr(digits, c) : NULL;
    return at != NULL ? (int)(at - digits) : -1;
}

// Appends the bytes of text[0, len) as characters of the byte-level alphabet; false where it is not
// base64.
static bool append_base64(const char *text, size_t len, rl_str *out) {
    uint32_t bits = 0;
    int n_bits = 0;
    bool good = len > 0 && len % 4 == 0 && len <= LONGEST;
    for (size_t pads = 0; good && pads < 2 && text[len - 1] == '='; pads++) {
        len--;
    }
    for (size_t i = 0; good && i < len; i++) {
        int digit = base64_digit(text[i]);
        good = digit >= 0;
        bits = bits << 6 | (uint32_t)digit;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            rl_utf8_append(out, rl_byte_to_char((uint8_t)(bits >> n_bits)));
        }
        bits &= (1u << n_bits) - 1;
    }
    return good && bits == 0;
}

// The rank after the blank at text[0]; -1 when there is none.
static int64_t read_rank(const char *text, size_t len) {
    int64_t rank = 0;
    if (len < 2 || len > 10 || text[0] != ' ') {
        return -1;
    }
    for (size_t i = 1; i < len; i++) {
        if (text[i] < '0' || text[i] > '9') {
            return -1;
        }
        rank = rank * 10 + (text[i] - '0');
    }
    return rank;
}

static rl_status read_tokens(rl_tokenizer *tokenizer, const encoding *e, const char *text,
                             size_t text_len, const char *path, rl_err *err) {
    const char *at = text, *end = text + text_len;
    rl_str token = {0};
    rl_status status = RL_OK;
    rl_vocab_init(&tokenizer->vocab, tokenizer->arena, text_len / 12);
    for (size_t i = 0; i < MOST_SPECIALS && e->special[i].text != NULL; i++) {
        if (tokenizer->vocab.limit <= e->special[i].id) { // the encoding's, however short the file
            tokenizer->vocab.limit = e->special[i].id + 1;
        }
    }
    for (int64_t line = 1; at < end && status == RL_OK; line++) {
        const char *stop = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((stop != NULL ? stop : end) - at);
        const char *space = memchr(at, ' ', len);
        rl_str_clear(&token);
        if (len > 0) {
            size_t digits = space != NULL ? (size_t)(space - at) : len;
            int64_t rank = read_rank(at + digits, len - digits);
            status =
                rank >= 0 && append_base64(at, digits, &token)
                    ? rl_vocab_put(&tokenizer->vocab, rank, rl_str_text(&token), token.len,
                                   RL_TOKEN_MODEL, err)
                    : rl_fail(err, RL_IO, "'%s', line %lld: not a token in base64 and its rank",
                              path, (long long)line);
        }
        at = stop != NULL ? stop + 1 : end;
    }
    rl_str_release(&token);
    return status;
}

static void add_merges(rl_tokenizer *tokenizer) {
    const rl_vocab *vocab = &tokenizer->vocab;
    rl_bpe_expect(&tokenizer->bpe, 2 * (size_t)vocab->n_tokens);
    for (int32_t id = 0; id < vocab->n_tokens; id++) {
        const rl_token *token = &vocab->token[id];
        for (size_t cut = 1; cut < token->len; cut++) {
            if (((uint8_t)token->text[cut] & 0xc0) == 0x80) { // within a character
                continue;
            }
            int32_t left = rl_vocab_find(vocab, token->text, cut);
            int32_t right =
                left >= 0 ? rl_vocab_find(vocab, token->text + cut, token->len - cut) : -1;
            if (right >= 0) {
                rl_bpe_add(&tokenizer->bpe, left, right, id, id);
            }
        }
    }
}

static rl_status add_specials(rl_tokenizer *tokenizer, const encoding *e, rl_err *err) {
    rl_status status = RL_OK;
    for (size_t i = 0; i < MOST_SPECIALS && e->special[i].text != NULL && status == RL_OK; i++) {
        const char *text = e->special[i].text;
        int32_t id = e->special[i].id;
        status = rl_vocab_put(&tokenizer->vocab, id, text, strlen(text), RL_TOKEN_SPECIAL, err);
        if (status == RL_OK) {
            rl_added added = {.text = text, .len = strlen(text), .id = id, .special = true};
            status = rl_tokenizer_add(tokenizer, added, false, err);
        }
    }
    tokenizer->eos = e->special[0].id;
    return status;
}

rl_status rl_read_tiktoken_text(rl_tokenizer *tokenizer, const char *text, size_t text_len,
                                const char *path, rl_err *err) {
    const encoding *e = NULL;
    rl_pre_step split = {.is_split = true, .how = RL_SPLIT_ISOLATED};
    rl_status status = find_encoding(path, &e, err);
    if (status == RL_OK) {
        status = read_tokens(tokenizer, e, text, text_len, path, err);
    }
    if (status != RL_OK) {
        return status;
    }
    tokenizer->bpe.byte_level = true;
    tokenizer->bpe.ignore_merges = true; // a piece that is a token is taken whole
    rl_bpe_find_bytes(&tokenizer->bpe);
    for (int byte = 0; byte < 256; byte++) {
        if (tokenizer->bpe.byte_id[byte] < 0) {
            return rl_fail(err, RL_IO, "'%s' has no token for byte %d", path, byte);
        }
    }
    add_merges(tokenizer);
    status = add_specials(tokenizer, e, err);
    if (status == RL_OK) {
        split.scan = rl_scan_of(e->pattern);
        status = rl_pattern_new(e->pattern, &split.regex, err);
    }
    if (status == RL_OK) {
        rl_pretokenizer_add(&tokenizer->pretokenizer, split);
    }
    rl_detokenizer_add(&tokenizer->detokenizer, (rl_detoken_stage){.kind = RL_DETOKEN_BYTE_LEVEL});
    return status == RL_OK ? rl_tokenizer_ready(tokenizer, err) : status;
}

rl_status rl_read_tiktoken(rl_tokenizer *tokenizer, const char *path, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(path, &file, err);
    if (status == RL_OK) {
        status = rl_read_tiktoken_text(tokenizer, (const char *)file.ptr, file.len, path, err);
        rl_fs_unmap(&file);
    }
    return status;
}
