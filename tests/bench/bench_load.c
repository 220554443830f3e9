/*
 * From a folder on disk to the first sampled token: opening, reading and packing the weights, the
 * tokenizer, a prompt of a few words, one token drawn. Beside it, in the same run, how long it
 * takes to read the bytes of the folder's weights 20 times: both find them in the system's cache.
 *
 *   bench_load FOLDER [THREADS [ROUNDS]]
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/str.h"
#include "rl/policy/decode.h"
#include "rl/policy/tokenizer.h"
#include "tests/bench/probe.h"

enum { READINGS = 20, BLOCK = 1 << 20 };

typedef struct figures {
    double weights, tokenizer, token, all, reading; // seconds
    double bytes;                                   // of one reading
} figures;

static void must(rl_status status, const rl_err *err) {
    if (status != RL_OK) {
        fprintf(stderr, "bench_load: %s\n", err->text);
        exit(1);
    }
}

// Bytes of a file; each is copied once, as read(2) does.
static double read_file(const char *path, char *block) {
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    double n_bytes = 0;
    ssize_t n;
    if (fd < 0) {
        fprintf(stderr, "bench_load: cannot read '%s'\n", path);
        exit(1);
    }
    while ((n = read(fd, block, BLOCK)) > 0) {
        n_bytes += (double)n;
    }
    close(fd);
    return n_bytes;
}

static double read_weights(const char *folder, rl_arena *arena, char *block) {
    double n_bytes = 0;
    char **name;
    size_t n;
    rl_err err;
    must(rl_fs_list(folder, arena, &name, &n, &err), &err);
    for (size_t i = 0; i < n; i++) {
        if (rl_text_ends(name[i], ".safetensors")) {
            n_bytes += read_file(rl_path_join(arena, folder, name[i]), block);
        }
    }
    return n_bytes;
}

static void draw(rl_policy *policy, const rl_tokenizer *tokenizer, rl_arena *arena) {
    static const char text[] = "The sum of the first ten numbers is";
    rl_rng rng = {.seed = 1, .purpose = RL_RNG_SAMPLE};
    rl_prompt prompt = {.parent = -1, .n_samples = 1, .rng = &rng};
    rl_decode_opts opts = {.max_new_tokens = 1, .temperature = 1};
    rl_completion out;
    rl_decoder *decoder;
    int32_t *ids;
    rl_err err;
    must(rl_tokenizer_encode(tokenizer, text, strlen(text), RL_ENCODE_SPECIALS | RL_ENCODE_FRAME,
                             arena, &ids, &prompt.n_tokens, &err),
         &err);
    prompt.token = ids;
    must(rl_decoder_new(policy, 1, &decoder, &err), &err);
    must(rl_decoder_run(decoder, &prompt, 1, &opts, arena, &out, &err), &err);
    rl_decoder_free(decoder);
}

static double least(double a, double b) {
    return a == 0 || b < a ? b : a;
}

static void one_round(const char *folder, int32_t n_threads, rl_arena *arena, figures *f) {
    rl_pool *pool;
    rl_backend *be;
    rl_checkpoint *checkpoint;
    rl_policy *policy;
    rl_policy_opts opts = {.fixed = true};
    rl_tokenizer *tokenizer;
    rl_err err;
    double begin = probe_clock(n_threads), weights, words, token;
    must(rl_pool_new(n_threads, true, &pool, &err), &err);
    must(rl_cpu_open(RL_KERNELS_AUTO, pool, &be, &err), &err);
    must(rl_checkpoint_open(folder, &checkpoint, &err), &err);
    must(rl_policy_open(checkpoint, be, &opts, &policy, &err), &err);
    weights = probe_clock(n_threads);
    must(rl_tokenizer_load(folder, &tokenizer, &err), &err);
    words = probe_clock(n_threads);
    draw(policy, tokenizer, arena);
    token = probe_clock(n_threads);
    f->weights = least(f->weights, weights - begin);
    f->tokenizer = least(f->tokenizer, words - weights);
    f->token = least(f->token, token - words);
    f->all = least(f->all, token - begin);
    rl_tokenizer_free(tokenizer);
    rl_policy_free(policy);
    rl_checkpoint_close(checkpoint);
    rl_cpu_close(be);
    rl_pool_free(pool);
}

int main(int argc, char **argv) {
    figures f = {0};
    if (argc < 2) {
        fprintf(stderr, "use: bench_load FOLDER [THREADS [ROUNDS]]\n");
        return 2;
    }
    int32_t n_threads = argc > 2 ? (int32_t)strtol(argv[2], NULL, 10) : 1;
    long rounds = argc > 3 ? strtol(argv[3], NULL, 10) : 5;
    char *block = rl_alloc(BLOCK, 1);
    rl_arena *arena = rl_arena_new(0);
    read_weights(argv[1], arena, block); // into the cache
    for (long i = 0; i < rounds; i++) {
        double begin = probe_clock(n_threads);
        for (int k = 0; k < READINGS; k++) {
            f.bytes = read_weights(argv[1], arena, block);
        }
        f.reading = least(f.reading, probe_clock(n_threads) - begin);
        one_round(argv[1], n_threads, arena, &f);
        rl_arena_reset(arena);
    }
    probe_print_flags();
    printf("%d threads, best of %ld rounds: %.0f MB of weights, read %d times in %.3f s (%.1f "
           "GB/s)\n",
           (int)n_threads, rounds, f.bytes / 1e6, READINGS, f.reading,
           READINGS * f.bytes / f.reading / 1e9);
    printf("to the first token %.3f s (weights %.3f, tokenizer %.3f, prompt and token %.3f): ratio "
           "%.2f\n",
           f.all, f.weights, f.tokenizer, f.token, f.all / f.reading);
    rl_arena_free(arena);
    rl_free(block);
    return 0;
}
