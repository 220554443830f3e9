/*
 * Speed of a policy: tokens a second when decoding 1, 8, 32 and 64 rows, in prefill, in scoring and
 * in training 8 sequences of 256 tokens, beside what the machine gives in the same run: decode as a
 * multiple of the time to read the weights once, the rest as a share of the fused-multiply-add peak
 * (products of the weights only are counted).
 *
 *   bench_policy MODEL [THREADS [KERNELS [WEIGHTS]]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/policy/decode.h"
#include "rl/policy/score.h"
#include "tests/bench/probe.h"

enum { PROMPT = 128, NEW = 64, GROUP = 8, SEQUENCES = 8, LENGTH = 256, READ_MIB = 512 };

typedef struct bench {
    rl_pool *pool;
    rl_backend *be;
    rl_checkpoint *checkpoint;
    rl_policy *policy;
    int32_t n_threads;
    rl_kernels kernels;
    rl_weights weights;
    double peak, read; // flop/s, bytes/s
    double body, head; // values of the blocks' matrices and of the head
    int32_t *token;    // [SEQUENCES * LENGTH] any ids
} bench;

static void must(rl_status status, const rl_err *err) {
    if (status != RL_OK) {
        fprintf(stderr, "bench_policy: %s\n", err->text);
        exit(1);
    }
}

static void open_bench(bench *b, const char *path) {
    const rl_model_config *config;
    rl_policy_opts opts = {.trains = true, .weights = b->weights};
    int64_t qkv, mixed;
    rl_err err;
    int32_t t;
    must(rl_pool_new(b->n_threads, true, &b->pool, &err), &err);
    must(rl_cpu_open(b->kernels, b->pool, &b->be, &err), &err);
    must(rl_checkpoint_open(path, &b->checkpoint, &err), &err);
    must(rl_policy_open(b->checkpoint, b->be, &opts, &b->policy, &err), &err);
    config = rl_policy_config(b->policy);
    mixed = (int64_t)config->n_heads * config->head_dim;
    qkv = mixed + 2 * (int64_t)config->n_kv_heads * config->head_dim;
    b->head = (double)config->vocab * config->width;
    b->body =
        (double)config->n_layers * config->width * (double)(qkv + mixed + 3 * (int64_t)config->mlp);
    b->token = rl_alloc((size_t)SEQUENCES * LENGTH, sizeof *b->token);
    for (t = 0; t < SEQUENCES * LENGTH; t++) {
        b->token[t] = (int32_t)(((int64_t)t * 7919 + 13) % config->vocab);
    }
}

/* Peaks, measured again before each section: neighbours come and go. */
static void probe(bench *b) {
    int64_t n_bytes = (int64_t)READ_MIB << 20;
    void *memory;
    rl_err err;
    rl_kernels kernels = b->kernels;
    if (kernels == RL_KERNELS_AUTO) {
        kernels = rl_cpu_has(RL_KERNELS_AVX512) ? RL_KERNELS_AVX512
                  : rl_cpu_has(RL_KERNELS_AVX2) ? RL_KERNELS_AVX2
                                                : RL_KERNELS_REF;
    }
    must(rl_try_alloc((size_t)n_bytes, "bench", &memory, &err), &err);
    memset(memory, 1, (size_t)n_bytes);
    b->peak = probe_peak(b->pool, b->n_threads, kernels);
    b->read = probe_read(b->pool, b->n_threads, memory, n_bytes);
    rl_free_large(memory, (size_t)n_bytes);
    printf("peak %.0f GF/s, read %.1f GB/s\n", b->peak / 1e9, b->read / 1e9);
}

/* One run of the prompts from an empty cache; seconds. */
static double timed_run(const bench *b, rl_decoder *decoder, const rl_prompt *prompt,
                        int32_t n_prompts, int32_t max_new_tokens, rl_arena *arena) {
    rl_completion out[SEQUENCES * GROUP];
    rl_decode_opts opts = {.max_new_tokens = max_new_tokens, .temperature = 1};
    double begin;
    rl_err err;
    rl_decoder_reset(decoder);
    rl_arena_reset(arena);
    begin = probe_clock(b->n_threads);
    must(rl_decoder_run(decoder, prompt, n_prompts, &opts, arena, out, &err), &err);
    return probe_clock(b->n_threads) - begin;
}

static void bench_decode(const bench *b, int32_t batch) {
    int32_t n_prompts = batch < GROUP ? 1 : batch / GROUP, i;
    rl_prompt prompt[SEQUENCES];
    rl_rng rng[SEQUENCES * GROUP];
    rl_arena *arena = rl_arena_new(0);
    rl_decoder *decoder;
    double prefill = 1e9, all = 1e9, decode, values = b->body + b->head;
    rl_err err;
    RL_ASSERT(n_prompts <= SEQUENCES && batch <= SEQUENCES * GROUP);
    must(rl_decoder_new(b->policy, batch, &decoder, &err), &err);
    for (i = 0; i < batch; i++) {
        rng[i] = (rl_rng){.seed = 1, .sample = (uint32_t)i, .purpose = RL_RNG_SAMPLE};
    }
    for (i = 0; i < n_prompts; i++) {
        prompt[i] = (rl_prompt){.parent = -1,
                                .token = b->token + (ptrdiff_t)i * LENGTH,
                                .n_tokens = PROMPT,
                                .n_samples = batch / n_prompts,
                                .rng = rng + (ptrdiff_t)i * GROUP};
    }
    for (i = 0; i < 4; i++) { // the first touches memory
        double first = timed_run(b, decoder, prompt, n_prompts, 1, arena);
        double run = timed_run(b, decoder, prompt, n_prompts, 1 + NEW, arena);
        prefill = first < prefill ? first : prefill;
        all = run < all ? run : all;
    }
    decode = all - prefill;
    printf("decode, batch %2d: %7.1f tok/s, %6.2f ms a step, %.2f x reading the weights, %4.1f %% "
           "of peak; prefill of %d: %.0f tok/s\n",
           (int)batch, batch * NEW / decode, decode / NEW * 1e3,
           decode / NEW / (values * (b->weights == RL_WEIGHTS_BF16 ? 2 : 4) / b->read),
           100 * 2 * values * batch * NEW / decode / b->peak, (int)(n_prompts * PROMPT),
           n_prompts * PROMPT / prefill);
    rl_decoder_free(decoder);
    rl_arena_free(arena);
}

static void bench_train(const bench *b) {
    enum { N = SEQUENCES * LENGTH, RESULTS = N - SEQUENCES };
    static double d_logp[RESULTS], logp[RESULTS], entropy[RESULTS];
    rl_segment segment[SEQUENCES];
    double forward = 1e9, both = 1e9, flops;
    rl_err err;
    int32_t i;
    for (i = 0; i < SEQUENCES; i++) {
        segment[i] = (rl_segment){.parent = -1,
                                  .n_tokens = LENGTH,
                                  .token = b->token + (ptrdiff_t)i * LENGTH,
                                  .wanted = true};
    }
    for (i = 0; i < RESULTS; i++) {
        d_logp[i] = i % 2 == 0 ? 1e-3 : -1e-3;
    }
    for (i = 0; i < 3; i++) {
        double begin = probe_clock(b->n_threads), middle, end;
        must(rl_policy_score(b->policy, segment, SEQUENCES, 1, logp, entropy, &err), &err);
        middle = probe_clock(b->n_threads);
        must(
            rl_policy_backward(b->policy, segment, SEQUENCES, 1, d_logp, NULL, logp, entropy, &err),
            &err);
        end = probe_clock(b->n_threads);
        forward = middle - begin < forward ? middle - begin : forward;
        both = end - middle < both ? end - middle : both;
    }
    flops = 2 * (b->body * N + b->head * RESULTS);
    printf("score %d x %d: %.0f tok/s, %.1f %% of peak\n", SEQUENCES, LENGTH, N / forward,
           100 * flops / forward / b->peak);
    printf("train %d x %d: %.0f tok/s, %.2f s, %.1f %% of peak, %.2f MB of activations a token\n",
           SEQUENCES, LENGTH, N / both, both, 100 * 3 * flops / both / b->peak,
           (double)rl_policy_train_bytes(rl_policy_config(b->policy), RL_RECOMPUTE_NONE, N) / N /
               1e6);
}

int main(int argc, char **argv) {
    static const int32_t batches[] = {1, 8, 32, 64};
    bench b = {.n_threads = rl_cpu_count()};
    size_t i;
    if (argc < 2) {
        fprintf(stderr, "usage: bench_policy MODEL [THREADS [KERNELS [WEIGHTS]]]\n");
        return 2;
    }
    if (argc > 2) {
        b.n_threads = (int32_t)strtol(argv[2], NULL, 10);
    }
    for (i = 0; argc > 3 && rl_kernels_names[i] != NULL; i++) {
        if (strcmp(argv[3], rl_kernels_names[i]) == 0) {
            b.kernels = (rl_kernels)i;
        }
    }
    for (i = 0; argc > 4 && rl_weights_names[i] != NULL; i++) {
        if (strcmp(argv[4], rl_weights_names[i]) == 0) {
            b.weights = (rl_weights)i;
        }
    }
    open_bench(&b, argv[1]);
    probe_print_flags();
    printf("%s; %.1f M weights in the blocks, %.1f M in the head, held in %s\n",
           rl_cpu_describe(b.be), b.body / 1e6, b.head / 1e6, rl_weights_names[b.weights]);
    probe(&b);
    for (i = 0; i < sizeof batches / sizeof batches[0]; i++) {
        bench_decode(&b, batches[i]);
    }
    probe(&b);
    bench_train(&b);
    rl_free(b.token);
    rl_policy_free(b.policy);
    rl_checkpoint_close(b.checkpoint);
    rl_cpu_close(b.be);
    rl_pool_free(b.pool);
    return 0;
}
