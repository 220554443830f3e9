/*
 * Speed of a tokenizer on one thread: `bench_tokenizer FOLDER TEXT [ROUNDS]`. TEXT is a file of
 * UTF-8, cut into documents of about DOC_BYTES at line ends. Prints one line of JSON: the best
 * times of loading, of encoding all documents, and of decoding their ids. bench_tokenizer.py runs
 * it beside Hugging Face's tokenizers on the same text.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/policy/tokenizer.h"

enum { DOC_BYTES = 2000 };

typedef struct document {
    const char *text;
    size_t len;
} document;

static void must(rl_status status, const rl_err *err) {
    if (status != RL_OK) {
        fprintf(stderr, "bench_tokenizer: %s\n", err->text);
        exit(1);
    }
}

/* Cuts behind the first line end after DOC_BYTES. */
static size_t cut(const char *text, size_t len, document *out) {
    size_t n = 0;
    while (len > 0) {
        const char *end = len > DOC_BYTES ? memchr(text + DOC_BYTES, '\n', len - DOC_BYTES) : NULL;
        size_t take = end != NULL ? (size_t)(end + 1 - text) : len;
        out[n++] = (document){text, take};
        text += take;
        len -= take;
    }
    return n;
}

typedef struct figures {
    double load_s, encode_s, decode_s;
    int64_t n_ids;
    uint64_t hash; /* of all ids in order, to compare with another implementation */
} figures;

static double least(double a, double b) {
    return a == 0 || b < a ? b : a;
}

static void one_round(const char *folder, const document *doc, size_t n_docs, figures *f) {
    rl_tokenizer *tokenizer;
    rl_arena *arena = rl_arena_new(1 << 20);
    rl_str text = {0};
    rl_err err;
    double start = rl_clock_now(), encode = 0, decode = 0;
    must(rl_tokenizer_load(folder, &tokenizer, &err), &err);
    f->load_s = least(f->load_s, rl_clock_now() - start);
    f->n_ids = 0;
    f->hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < n_docs; i++) {
        int32_t *ids, n;
        start = rl_clock_now();
        must(rl_tokenizer_encode(tokenizer, doc[i].text, doc[i].len, RL_ENCODE_SPECIALS, arena,
                                 &ids, &n, &err),
             &err);
        encode += rl_clock_now() - start;
        rl_str_clear(&text);
        start = rl_clock_now();
        rl_tokenizer_decode(tokenizer, ids, n, false, &text);
        decode += rl_clock_now() - start;
        for (int32_t t = 0; t < n; t++) {
            f->hash = (f->hash ^ (uint64_t)ids[t]) * 0x100000001b3u;
        }
        f->n_ids += n;
        rl_arena_reset(arena);
    }
    f->encode_s = least(f->encode_s, encode);
    f->decode_s = least(f->decode_s, decode);
    rl_str_release(&text);
    rl_arena_free(arena);
    rl_tokenizer_free(tokenizer);
}

int main(int argc, char **argv) {
    rl_arena *arena = rl_arena_new(0);
    figures f = {0};
    char *text;
    size_t len;
    rl_err err;
    if (argc < 3) {
        fprintf(stderr, "use: bench_tokenizer FOLDER TEXT [ROUNDS]\n");
        return 2;
    }
    must(rl_fs_read(argv[2], arena, &text, &len, &err), &err);
    document *doc = rl_alloc(len / DOC_BYTES + 1, sizeof *doc);
    size_t n_docs = cut(text, len, doc);
    long rounds = argc > 3 ? strtol(argv[3], NULL, 10) : 3;
    for (long i = 0; i < rounds; i++) {
        one_round(argv[1], doc, n_docs, &f);
    }
    printf("{\"bytes\":%zu,\"documents\":%zu,\"ids\":%lld,\"hash\":\"%016llx\",\"load_s\":%.6f,"
           "\"encode_s\":%.6f,\"decode_s\":%.6f}\n",
           len, n_docs, (long long)f.n_ids, (unsigned long long)f.hash, f.load_s, f.encode_s,
           f.decode_s);
    rl_free(doc);
    rl_arena_free(arena);
    return 0;
}
