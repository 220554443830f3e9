/*
 * The promise of the one forward: a token's log-prob and entropy have the same bits from the
 * sampler, from scoring and from the training pass, however the work is cut (batch, prefill chunks,
 * shared prefixes, turns), on any number of threads and any set of kernels.
 */
#include <math.h>
#include <stdio.h>

#include "rl/core/fs.h"
#include "rl/core/rng.h"
#include "rl/policy/decode.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

/* llama3's 512 positions and 300 ids. The prompt is longer than a chunk of prefill, and three
 * copies of it are longer than a chunk of scoring. */
enum { PROMPT = 270, SHORT = 37, FEEDBACK = 23, NEW = 20, SAMPLES = 3, MAX_TOKENS = 512 };

typedef struct text {
    int32_t token[MAX_TOKENS];
    int32_t n;
} text;

/* One completion with all it saw, as one flat sequence. */
typedef struct sampled {
    text flat;
    int32_t begin; // of the completion in it
    double logp[NEW], entropy[NEW];
} sampled;

/* Everything that must have the same bits under every configuration. */
typedef struct record {
    sampled turn1[2 * SAMPLES], turn2[2 * SAMPLES]; // of the long prompt, then of the short one
} record;

static void random_text(text *out, int32_t n, uint32_t stream) {
    rl_rng rng = {.seed = 7, .sample = stream, .purpose = RL_RNG_TEST};
    int32_t t;
    out->n = n;
    for (t = 0; t < n; t++) {
        out->token[t] = 3 + (int32_t)rl_rng_below(&rng, (uint64_t)t, 297);
    }
}

static void append(text *to, const int32_t *token, int32_t n) {
    assert_true(to->n + n <= MAX_TOKENS);
    memcpy(to->token + to->n, token, (size_t)n * sizeof *token);
    to->n += n;
}

static void keep(sampled *out, const text *context, const rl_completion *from) {
    assert_true(from->n_tokens <= NEW);
    out->flat = *context;
    out->begin = context->n;
    append(&out->flat, from->token, from->n_tokens);
    memcpy(out->logp, from->logp, (size_t)from->n_tokens * sizeof(double));
    memcpy(out->entropy, from->entropy, (size_t)from->n_tokens * sizeof(double));
}

/* Two turns over two prompts: every completion of the first is continued by feedback, some by two
 * completions. Stop tokens make lengths differ. */
static void sample_all(const rl_test_model *model, int32_t max_batch, record *out) {
    static const int32_t stop[] = {5, 17, 100, 250};
    rl_decode_opts opts = {
        .max_new_tokens = NEW, .temperature = 0.9, .stop = stop, .n_stop = RL_COUNT(stop)};
    rl_arena *arena = rl_arena_new(0);
    rl_completion done[2 * SAMPLES], again[2 * SAMPLES];
    rl_prompt prompt[2 * SAMPLES];
    rl_rng rng[2][2 * SAMPLES];
    text first[2], feedback[2 * SAMPLES];
    rl_decoder *decoder;
    rl_err err;
    int32_t i;
    random_text(&first[0], PROMPT, 1);
    random_text(&first[1], SHORT, 2);
    for (i = 0; i < 2 * SAMPLES; i++) {
        rng[0][i] = (rl_rng){.seed = 3, .sample = (uint32_t)i, .purpose = RL_RNG_SAMPLE};
        rng[1][i] = (rl_rng){.seed = 3, .sample = (uint32_t)i, .turn = 1};
    }
    assert_ok(rl_decoder_new(model->policy, max_batch, &decoder, &err));
    for (i = 0; i < 2; i++) {
        prompt[i] = (rl_prompt){.parent = -1,
                                .token = first[i].token,
                                .n_tokens = first[i].n,
                                .n_samples = SAMPLES,
                                .rng = rng[0] + (ptrdiff_t)i * SAMPLES};
    }
    assert_ok(rl_decoder_run(decoder, prompt, 2, &opts, arena, done, &err));
    for (i = 0; i < 2 * SAMPLES; i++) {
        keep(&out->turn1[i], &first[i / SAMPLES], &done[i]);
        random_text(&feedback[i], FEEDBACK + i, (uint32_t)(10 + i));
        prompt[i] = (rl_prompt){.parent = done[i].node,
                                .token = feedback[i].token,
                                .n_tokens = feedback[i].n,
                                .n_samples = 1,
                                .rng = &rng[1][i]};
    }
    // Prompts of one tree need not be neighbours, and two may continue the same completion.
    prompt[2 * SAMPLES - 1].parent = done[0].node;
    assert_ok(rl_decoder_run(decoder, prompt, 2 * SAMPLES, &opts, arena, again, &err));
    for (i = 0; i < 2 * SAMPLES; i++) {
        text context = out->turn1[i == 2 * SAMPLES - 1 ? 0 : i].flat;
        append(&context, feedback[i].token, feedback[i].n);
        keep(&out->turn2[i], &context, &again[i]);
    }
    rl_decoder_free(decoder);
    rl_arena_free(arena);
}

static void assert_same_bits(const char *what, const double *got, const double *want, int32_t n) {
    int32_t t;
    for (t = 0; t < n; t++) {
        if (memcmp(&got[t], &want[t], sizeof *got) != 0) {
            fail_msg("%s [%d]: %.17g is not %.17g", what, (int)t, got[t], want[t]);
        }
    }
}

static void assert_same_samples(const char *what, const sampled *got, const sampled *want) {
    int32_t i;
    for (i = 0; i < 2 * SAMPLES; i++) {
        int32_t n = got[i].flat.n - got[i].begin;
        assert_int_equal(got[i].flat.n, want[i].flat.n);
        assert_int_equal(got[i].begin, want[i].begin);
        assert_memory_equal(got[i].flat.token, want[i].flat.token,
                            (size_t)got[i].flat.n * sizeof(int32_t));
        assert_same_bits(what, got[i].logp, want[i].logp, n);
        assert_same_bits(what, got[i].entropy, want[i].entropy, n);
    }
}

static rl_segment context_of(const sampled *s) {
    return (rl_segment){.parent = -1, .n_tokens = s->begin, .token = s->flat.token};
}

static rl_segment completion_of(const sampled *s, int32_t parent) {
    return (rl_segment){.parent = parent,
                        .n_tokens = s->flat.n - s->begin,
                        .token = s->flat.token + s->begin,
                        .wanted = true};
}

/* Sequence by sequence, as one flat segment each: the plainest forward there is. */
static void check_alone(const rl_test_model *model, const sampled *s, int32_t n) {
    double logp[MAX_TOKENS], entropy[MAX_TOKENS];
    rl_err err;
    int32_t i;
    for (i = 0; i < n; i++) {
        rl_segment flat = {
            .parent = -1, .n_tokens = s[i].flat.n, .token = s[i].flat.token, .wanted = true};
        assert_ok(rl_policy_score(model->policy, &flat, 1, 0.9, logp, entropy, &err));
        assert_same_bits("logp alone", logp + s[i].begin - 1, s[i].logp, s[i].flat.n - s[i].begin);
        assert_same_bits("entropy alone", entropy + s[i].begin - 1, s[i].entropy,
                         s[i].flat.n - s[i].begin);
    }
}

/* All at once: the first prompt's completions share its segment, the others carry their own; then
 * the same in the training pass, where some results have no gradient. */
static void check_together(const rl_test_model *model, const sampled *s) {
    double logp[2 * SAMPLES * NEW], entropy[2 * SAMPLES * NEW], d_logp[2 * SAMPLES * NEW];
    rl_segment segment[1 + 3 * SAMPLES];
    int32_t n = 0, i, pass;
    int64_t count, at;
    rl_err err;
    segment[n++] = context_of(&s[0]);
    for (i = 0; i < SAMPLES; i++) {
        segment[n++] = completion_of(&s[i], 0);
    }
    for (i = SAMPLES; i < 2 * SAMPLES; i++) {
        segment[n++] = context_of(&s[i]);
        segment[n] = completion_of(&s[i], n - 1);
        n++;
    }
    count = rl_score_count(segment, n);
    for (at = 0; at < count; at++) {
        d_logp[at] = at % 7 < 3 ? 0 : 0.01 * (double)(at % 11 - 5);
    }
    for (pass = 0; pass < 2; pass++) {
        memset(logp, 0, sizeof logp);
        memset(entropy, 0, sizeof entropy);
        if (pass == 0) {
            assert_ok(rl_policy_score(model->policy, segment, n, 0.9, logp, entropy, &err));
        } else {
            assert_ok(rl_policy_backward(model->policy, segment, n, 0.9, d_logp, NULL, logp,
                                         entropy, &err));
        }
        for (at = 0, i = 0; i < 2 * SAMPLES; i++) {
            int32_t len = s[i].flat.n - s[i].begin;
            assert_same_bits("logp together", logp + at, s[i].logp, len);
            assert_same_bits("entropy together", entropy + at, s[i].entropy, len);
            at += len;
        }
        assert_int_equal(at, count);
    }
}

static record wanted, got;

/* Samples with each of the batch sizes; the first time of all into wanted. */
static void check_config(const char *path, rl_weights weights, rl_kernels kernels,
                         int32_t n_threads, const int32_t *batch, size_t n_batches, bool scores,
                         bool first) {
    rl_policy_opts opts = {.trains = true, .weights = weights};
    rl_test_model model;
    size_t b;
    rl_test_model_open_as(&model, path, kernels, n_threads, &opts);
    for (b = 0; b < n_batches; b++) {
        record *into = first && b == 0 ? &wanted : &got;
        sample_all(&model, batch[b], into);
        if (into == &got) {
            assert_same_samples("first turn", got.turn1, wanted.turn1);
            assert_same_samples("second turn", got.turn2, wanted.turn2);
        }
    }
    if (scores) {
        check_alone(&model, wanted.turn1, 2 * SAMPLES);
        check_alone(&model, wanted.turn2, 2 * SAMPLES);
        check_together(&model, wanted.turn1);
    }
    rl_test_model_close(&model);
}

static void check_same_bits(rl_weights weights) {
    bool first = true;
    int32_t kernels, n_threads, stopped = 0, i;
    for (kernels = RL_KERNELS_REF; kernels <= RL_KERNELS_AVX512; kernels++) {
        if (!rl_cpu_has((rl_kernels)kernels)) {
            print_message("skipped: this processor has no '%s'\n", rl_kernels_names[kernels]);
            continue;
        }
        for (n_threads = 1; n_threads <= 2; n_threads++) {
            static const int32_t batches[] = {1, 4, 64};
            check_config(rl_golden("models/llama3"), weights, (rl_kernels)kernels, n_threads,
                         batches, RL_COUNT(batches), true, first);
            first = false;
        }
    }
    for (i = 0; i < 2 * SAMPLES; i++) { // the cases above must have had lengths that differ
        stopped += wanted.turn1[i].flat.n - wanted.turn1[i].begin < NEW;
    }
    assert_in_range(stopped, 1, 2 * SAMPLES);
    print_message("families: llama3 | bits | equal\n"); // for tools/families.sh
}

static void test_same_bits(void **state) {
    (void)state;
    check_same_bits(RL_WEIGHTS_F32);
}

static void test_same_bits_in_bf16(void **state) {
    (void)state;
    check_same_bits(RL_WEIGHTS_BF16);
}

/* The checkpoint in a new folder with a config that allows MAX_TOKENS positions. */
static char *stretched(const char *name, rl_arena *arena) {
    static const char key[] = "\"max_position_embeddings\": ";
    char *from = rl_arena_strdup(arena, rl_golden(rl_arena_printf(arena, "models/%s", name)));
    char *folder = rl_test_folder(), *said, *at;
    const char *config;
    size_t len;
    rl_err err;
    assert_ok(rl_fs_read(rl_path_join(arena, from, "config.json"), arena, &said, &len, &err));
    at = strstr(said, key);
    assert_non_null(at);
    at += strlen(key);
    config = rl_arena_printf(arena, "%.*s%d%s", (int)(at - said), said, MAX_TOKENS,
                             at + strspn(at, "0123456789"));
    assert_ok(
        rl_fs_write(rl_path_join(arena, folder, "config.json"), config, strlen(config), &err));
    assert_ok(rl_fs_copy(rl_path_join(arena, from, "model.safetensors"),
                         rl_path_join(arena, folder, "model.safetensors"), &err));
    return folder;
}

/* Every family: all of it in the widest loops on two threads, and sampling in the others on one.
 * The file's other tests have every combination, for one family. */
static void test_families(void **state) {
    static const char *const names[] = {"llama", "mistral", "qwen2",  "qwen3",
                                        "olmo2", "smollm3", "gemma3", "phi3"};
    static const int32_t batch[] = {64, 4, 1};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = stretched(names[i], arena);
        for (int w = RL_WEIGHTS_F32; w <= RL_WEIGHTS_BF16; w++) {
            rl_weights weights = (rl_weights)w;
            check_config(folder, weights, RL_KERNELS_AUTO, 2, &batch[0], 1, true, true);
            if (rl_cpu_has(RL_KERNELS_AVX2)) {
                check_config(folder, weights, RL_KERNELS_AVX2, 1, &batch[1], 1, false, false);
            }
            check_config(folder, weights, RL_KERNELS_REF, 1, &batch[2], 1, false, false);
        }
        print_message("families: %s | bits | equal\n", names[i]);
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

/* The same with an adapter on every matrix, which takes part in every product. */
static void test_adapters(void **state) {
    static const char *const names[] = {"llama", "qwen2"};
    static const int32_t batches[] = {1, 4, 64};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = stretched(names[i], arena), *from, *config, *base;
        size_t len;
        rl_err err;
        from =
            rl_arena_strdup(arena, rl_golden(rl_arena_printf(arena, "models/lora-%s", names[i])));
        assert_ok(rl_fs_read(rl_path_join(arena, from, "adapter_config.json"), arena, &config, &len,
                             &err));
        base = strstr(config, "../"); // the model lies in the same folder now
        assert_non_null(base);
        memset(base, '/', 3 + strlen(names[i]));
        base[0] = '.';
        assert_ok(
            rl_fs_write(rl_path_join(arena, folder, "adapter_config.json"), config, len, &err));
        assert_ok(rl_fs_copy(rl_path_join(arena, from, "adapter_model.safetensors"),
                             rl_path_join(arena, folder, "adapter_model.safetensors"), &err));
        for (int w = RL_WEIGHTS_F32; w <= RL_WEIGHTS_BF16; w++) {
            rl_weights weights = (rl_weights)w;
            check_config(folder, weights, RL_KERNELS_AUTO, 2, batches, RL_COUNT(batches), true,
                         true);
            check_config(folder, weights, RL_KERNELS_REF, 1, batches, 1, true, false);
        }
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

/* Completions of several pages that grow side by side, so that a node's pages are not neighbours;
 * and their continuation, which reads them all. */
static void test_interleaved_pages(void **state) {
    enum { LONG = 150, ROWS = 3 };
    rl_test_model model;
    rl_decoder *decoder;
    rl_arena *arena = rl_arena_new(0);
    rl_decode_opts opts = {.max_new_tokens = LONG, .temperature = 0.9};
    rl_prompt prompt = {.parent = -1, .n_samples = ROWS};
    rl_completion first[ROWS], second[ROWS];
    rl_rng rng[ROWS];
    text start, feedback;
    double logp[MAX_TOKENS];
    rl_err err;
    int32_t i;
    (void)state;
    random_text(&start, 9, 50);
    random_text(&feedback, 70, 51);
    for (i = 0; i < ROWS; i++) {
        rng[i] = (rl_rng){.seed = 9, .sample = (uint32_t)i, .purpose = RL_RNG_SAMPLE};
    }
    rl_test_model_open(&model, rl_golden("models/llama3"), RL_KERNELS_AUTO, 2, false);
    assert_ok(rl_decoder_new(model.policy, ROWS, &decoder, &err));
    prompt.token = start.token;
    prompt.n_tokens = start.n;
    prompt.rng = rng;
    assert_ok(rl_decoder_run(decoder, &prompt, 1, &opts, arena, first, &err));
    prompt.parent = first[1].node;
    prompt.token = feedback.token;
    prompt.n_tokens = feedback.n;
    assert_ok(rl_decoder_run(decoder, &prompt, 1, &opts, arena, second, &err));
    for (i = 0; i < ROWS; i++) {
        text flat = start;
        rl_segment segment = {.parent = -1, .wanted = true};
        append(&flat, first[i].token, first[i].n_tokens);
        segment.token = flat.token;
        segment.n_tokens = flat.n;
        assert_ok(rl_policy_score(model.policy, &segment, 1, 0.9, logp, NULL, &err));
        assert_same_bits("first", logp + start.n - 1, first[i].logp, LONG);
        flat = start;
        append(&flat, first[1].token, first[1].n_tokens);
        append(&flat, feedback.token, feedback.n);
        append(&flat, second[i].token, second[i].n_tokens);
        segment.n_tokens = flat.n;
        assert_ok(rl_policy_score(model.policy, &segment, 1, 0.9, logp, NULL, &err));
        assert_same_bits("second", logp + flat.n - 1 - LONG, second[i].logp, LONG);
    }
    rl_decoder_free(decoder);
    rl_test_model_close(&model);
    rl_arena_free(arena);
}

/* Gradients of four sequences on two prompts, in parts of so many segments' completions. */
static float *gradients(const rl_test_model *model, int32_t n_parts, rl_arena *arena) {
    rl_params *params = rl_policy_params(model->policy);
    rl_tensor all = rl_tensor_1d(RL_DTYPE_F32, params->grad, 0, params->n_values);
    float *out = rl_arena_alloc(arena, (size_t)params->n_values, sizeof *out);
    double d_logp[4 * NEW], d_entropy[4 * NEW], logp[4 * NEW], entropy[4 * NEW];
    int32_t part, i, t;
    rl_policy_zero_grad(model->policy);
    for (part = 0; part < n_parts; part++) {
        rl_segment segment[8];
        int32_t n = 0, at = 0;
        rl_err err;
        for (i = 0; i < 4; i++) {
            const sampled *s = &wanted.turn1[i < 2 ? i : SAMPLES + i];
            if (i % n_parts != part) {
                continue;
            }
            segment[n++] = context_of(s);
            segment[n] = completion_of(s, n - 1);
            n++;
            for (t = 0; t < s->flat.n - s->begin; t++, at++) {
                d_logp[at] = 0.01 * ((t * 7 + i) % 13 - 6);
                d_entropy[at] = 0.001 * ((t * 5 + i) % 3);
            }
        }
        assert_ok(rl_policy_backward(model->policy, segment, n, 0.9, d_logp, d_entropy, logp,
                                     entropy, &err));
    }
    rl_tensor_get(model->be, all, out);
    return out;
}

static void assert_near(const rl_test_model *model, const float *a, const float *b) {
    rl_params *params = rl_policy_params(model->policy);
    int64_t at = 0;
    int32_t p;
    for (p = 0; p < params->n_items; p++) {
        double diff = 0, squares = 0;
        int64_t end = at + rl_tensor_count(params->item[p].grad);
        for (; at < end; at++) {
            double d = (double)a[at] - (double)b[at];
            diff += d * d;
            squares += (double)b[at] * (double)b[at];
        }
        assert_true(squares > 0);
        if (!(sqrt(diff) <= 1e-6 * sqrt(squares))) {
            fail_msg("%s: splits differ by %.3g of its length", params->item[p].name,
                     sqrt(diff / squares));
        }
    }
}

/* The backward: the same bits on 1 and 2 threads, and nearly the same in other micro-batches. */
static void test_gradient_splits(void **state) {
    rl_arena *arena = rl_arena_new(0);
    float *one[3];
    rl_test_model model;
    int32_t n_threads, s;
    (void)state;
    for (n_threads = 1; n_threads <= 2; n_threads++) {
        rl_test_model_open(&model, rl_golden("models/llama3"), RL_KERNELS_AUTO, n_threads, true);
        for (s = 0; s < 3; s++) {
            static const int32_t parts[] = {1, 2, 4};
            float *grad = gradients(&model, parts[s], arena);
            if (n_threads == 1) {
                one[s] = grad;
            } else {
                assert_memory_equal(
                    grad, one[s], (size_t)rl_policy_params(model.policy)->n_values * sizeof *grad);
            }
            assert_near(&model, grad, one[0]);
        }
        rl_test_model_close(&model);
    }
    rl_arena_free(arena);
}

/* Every matrix rounded to bf16 in place; vectors stay. */
static void round_matrices(rl_test_model *model) {
    rl_params *params = rl_policy_params(model->policy);
    for (int32_t i = 0; i < params->n_items; i++) {
        if (params->item[i].value.rank == 2) {
            rl_op_round_bf16(model->be, params->item[i].value);
        }
    }
    rl_policy_repack(model->policy);
}

/* Held in bf16, a model is the float32 model of the rounded matrices: in log-probs and entropy to
 * the bit, in gradients as near as two orders of the same sums. The masters do not change. */
static void test_bf16_is_rounded_weights(void **state) {
    static const char *const names[] = {"llama", "qwen2", "olmo2",
                                        "gemma3"}; // tied ones among them
    (void)state;
    for (size_t m = 0; m < RL_COUNT(names); m++) {
        rl_arena *arena = rl_arena_new(0);
        const char *path = rl_golden(rl_arena_printf(arena, "models/%s", names[m]));
        double logp[2][SHORT], entropy[2][SHORT], plain[SHORT], d_logp[SHORT];
        float *grad[2];
        int64_t n = 0;
        text t;
        random_text(&t, SHORT, 77);
        for (int32_t i = 0; i < SHORT; i++) {
            d_logp[i] = 0.01 * (i % 13 - 6);
        }
        for (int w = RL_WEIGHTS_F32; w <= RL_WEIGHTS_BF16; w++) {
            rl_policy_opts opts = {.trains = true, .weights = (rl_weights)w};
            rl_segment segment = {.parent = -1, .n_tokens = t.n, .token = t.token, .wanted = true};
            rl_test_model model;
            rl_params *params;
            float *before, *after;
            rl_err err;
            rl_test_model_open_as(&model, path, RL_KERNELS_AUTO, 2, &opts);
            params = rl_policy_params(model.policy);
            n = params->n_values;
            before = rl_arena_alloc(arena, (size_t)n, sizeof *before);
            after = rl_arena_alloc(arena, (size_t)n, sizeof *after);
            grad[w] = rl_arena_alloc(arena, (size_t)n, sizeof *grad[w]);
            if (w == RL_WEIGHTS_F32) {
                assert_ok(rl_policy_score(model.policy, &segment, 1, 0.9, plain, NULL, &err));
                round_matrices(&model);
            }
            rl_tensor_get(model.be, rl_tensor_1d(RL_DTYPE_F32, params->value, 0, n), before);
            rl_policy_zero_grad(model.policy);
            assert_ok(rl_policy_backward(model.policy, &segment, 1, 0.9, d_logp, NULL, logp[w],
                                         entropy[w], &err));
            rl_tensor_get(model.be, rl_tensor_1d(RL_DTYPE_F32, params->value, 0, n), after);
            assert_memory_equal(after, before, (size_t)n * sizeof *before);
            rl_tensor_get(model.be, rl_tensor_1d(RL_DTYPE_F32, params->grad, 0, n), grad[w]);
            if (w == RL_WEIGHTS_BF16) {
                assert_same_bits("logp of rounded", logp[1], logp[0], SHORT - 1);
                assert_same_bits("entropy of rounded", entropy[1], entropy[0], SHORT - 1);
                assert_memory_not_equal(plain, logp[1], sizeof(double) * (SHORT - 1));
                assert_near(&model, grad[1], grad[0]);
            }
            rl_test_model_close(&model);
        }
        rl_arena_free(arena);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_interleaved_pages), cmocka_unit_test(test_same_bits),
        cmocka_unit_test(test_gradient_splits), // uses what the one before sampled
        cmocka_unit_test(test_same_bits_in_bf16), cmocka_unit_test(test_families),
        cmocka_unit_test(test_adapters),          cmocka_unit_test(test_bf16_is_rounded_weights),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
