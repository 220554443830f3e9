/* Generation: ends of completions, limits, the distribution drawn from, memory; and real models
 * against goldens. What must equal scoring bit for bit is in test_forward_bits.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "policy/kv_cache.h"
#include "rl/core/alloc.h"
#include "rl/policy/decode.h"
#include "rl/policy/score.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

/* The tiny llama: 128 positions, 300 ids. */
typedef struct fixture {
    rl_test_model model;
    rl_decoder *decoder;
    rl_arena *arena;
    int32_t token[128];
} fixture;

static void open_fixture(fixture *f, int32_t max_batch) {
    rl_rng rng = {.seed = 11, .purpose = RL_RNG_TEST};
    rl_err err;
    int32_t t;
    rl_test_model_open(&f->model, rl_golden("models/llama"), RL_KERNELS_AUTO, 1, false);
    assert_ok(rl_decoder_new(f->model.policy, max_batch, &f->decoder, &err));
    f->arena = rl_arena_new(0);
    for (t = 0; t < 128; t++) {
        f->token[t] = (int32_t)rl_rng_below(&rng, (uint64_t)t, 300);
    }
}

static void close_fixture(fixture *f) {
    rl_arena_free(f->arena);
    rl_decoder_free(f->decoder);
    rl_test_model_close(&f->model);
}

static void test_stops(void **state) {
    fixture f;
    rl_prompt prompt = {.parent = -1, .n_tokens = 6, .n_samples = 1};
    rl_decode_opts opts = {.max_new_tokens = 12};
    rl_completion free_run, out;
    int32_t at;
    rl_err err;
    (void)state;
    open_fixture(&f, 4);
    prompt.token = f.token;
    assert_ok(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, &free_run, &err));
    assert_int_equal(free_run.n_tokens, 12);
    assert_true(free_run.truncated);
    for (at = 0; at < 12; at++) { // stops at the first place where the token stands
        int32_t first = 0;
        while (free_run.token[first] != free_run.token[at]) {
            first++;
        }
        opts.stop = &free_run.token[at];
        opts.n_stop = 1;
        assert_ok(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, &out, &err));
        assert_int_equal(out.n_tokens, first + 1);
        assert_memory_equal(out.token, free_run.token, (size_t)(first + 1) * sizeof(int32_t));
        assert_memory_equal(out.logp, free_run.logp, (size_t)(first + 1) * sizeof(double));
        assert_false(out.truncated);
    }
    close_fixture(&f);
}

static void test_positions(void **state) {
    static const int32_t length[] = {100, 126, 127};
    fixture f;
    rl_prompt prompt = {.parent = -1, .n_samples = 2};
    rl_decode_opts opts = {.max_new_tokens = INT32_MAX}; // costs nothing until used
    rl_completion out[2];
    rl_err err;
    size_t i;
    (void)state;
    open_fixture(&f, 1);
    prompt.token = f.token;
    for (i = 0; i < RL_COUNT(length); i++) {
        prompt.n_tokens = length[i];
        assert_ok(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, out, &err));
        assert_int_equal(out[0].n_tokens, 128 - length[i]);
        assert_int_equal(out[1].n_tokens, 128 - length[i]);
        assert_true(out[0].truncated && out[1].truncated);
    }
    // No room after the context, and none after a completion that fills the model.
    prompt.n_tokens = 128;
    assert_int_equal(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, out, &err),
                     RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "128 tokens leaves no room"));
    prompt.n_tokens = 1;
    prompt.parent = out[0].node;
    assert_int_equal(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, out, &err),
                     RL_UNSUPPORTED);
    assert_non_null(strstr(err.text, "129 tokens"));
    close_fixture(&f);
}

static void test_refusals(void **state) {
    static const int32_t bad[] = {300, -1};
    fixture f;
    rl_prompt prompt = {.parent = -1, .n_tokens = 6, .n_samples = 1};
    rl_decode_opts opts = {.max_new_tokens = 4};
    rl_segment segment = {.parent = -1, .n_tokens = 6, .wanted = true};
    rl_completion out;
    double logp[128];
    rl_err err;
    size_t i;
    (void)state;
    open_fixture(&f, 4);
    prompt.token = segment.token = f.token;
    for (i = 0; i < RL_COUNT(bad); i++) {
        f.token[3] = bad[i];
        assert_int_equal(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, &out, &err),
                         RL_UNSUPPORTED);
        assert_non_null(strstr(err.text, "outside the model's vocabulary of 300"));
        assert_int_equal(rl_policy_score(f.model.policy, &segment, 1, 1, logp, NULL, &err),
                         RL_UNSUPPORTED);
        assert_non_null(strstr(err.text, "outside the model's vocabulary of 300"));
    }
    f.token[3] = 0;
    {
        rl_segment longer[2] = {{.parent = -1, .n_tokens = 100, .token = f.token},
                                {.parent = 0, .n_tokens = 29, .token = f.token, .wanted = true}};
        assert_int_equal(rl_policy_score(f.model.policy, longer, 2, 1, logp, NULL, &err),
                         RL_UNSUPPORTED);
        assert_non_null(strstr(err.text, "129 tokens"));
        longer[1].n_tokens = 28;
        assert_ok(rl_policy_score(f.model.policy, longer, 2, 1, logp, NULL, &err));
    }
    close_fixture(&f);
}

/* Nothing wanted, nothing given: no results, no failure. */
static void test_empty(void **state) {
    fixture f;
    rl_decode_opts opts = {.max_new_tokens = 4};
    rl_segment segment[4] = {{.parent = -1, .n_tokens = 0, .wanted = true},
                             {.parent = 0, .n_tokens = 3, .wanted = true},
                             {.parent = 1, .n_tokens = 0, .wanted = true},
                             {.parent = 2, .n_tokens = 5, .wanted = true}};
    double logp[8], flat[8];
    rl_prompt prompt = {.parent = -1, .n_tokens = 5, .n_samples = 0};
    rl_err err;
    (void)state;
    open_fixture(&f, 2);
    prompt.token = f.token;
    assert_ok(rl_decoder_run(f.decoder, NULL, 0, &opts, f.arena, NULL, &err));
    assert_ok(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, NULL, &err));
    assert_int_equal(rl_score_count(NULL, 0), 0);
    assert_ok(rl_policy_score(f.model.policy, NULL, 0, 1, logp, NULL, &err));
    // Empty segments change nothing.
    segment[1].token = f.token;
    segment[3].token = f.token + 3;
    assert_int_equal(rl_score_count(segment, 4), 7);
    assert_ok(rl_policy_score(f.model.policy, segment, 4, 1, logp, NULL, &err));
    segment[0].n_tokens = 8;
    segment[0].token = f.token;
    assert_ok(rl_policy_score(f.model.policy, segment, 1, 1, flat, NULL, &err));
    assert_memory_equal(logp, flat, 7 * sizeof *logp);
    close_fixture(&f);
}

/* First tokens of many completions against the probabilities that scoring gives to all ids:
 * Pearson's statistic over 299 degrees of freedom (mean 299, deviation 24.5). */
static void test_distribution(void **state) {
    enum { N = 20000 };
    static rl_rng rng[N];
    static rl_completion out[N];
    fixture f;
    rl_segment segment[301];
    int32_t id[300], count[300] = {0}, i;
    double logp[300], chi = 0, temperature = 1.3;
    rl_prompt prompt = {.parent = -1, .n_tokens = 9, .n_samples = N, .rng = rng};
    rl_decode_opts opts = {.max_new_tokens = 1, .temperature = temperature};
    rl_err err;
    (void)state;
    open_fixture(&f, 64);
    prompt.token = f.token;
    segment[0] = (rl_segment){.parent = -1, .n_tokens = 9, .token = f.token};
    for (i = 0; i < 300; i++) {
        id[i] = i;
        segment[i + 1] = (rl_segment){.parent = 0, .n_tokens = 1, .token = &id[i], .wanted = true};
    }
    assert_ok(rl_policy_score(f.model.policy, segment, 301, temperature, logp, NULL, &err));
    for (i = 0; i < N; i++) {
        rng[i] = (rl_rng){.seed = 5, .sample = (uint32_t)i, .purpose = RL_RNG_SAMPLE};
    }
    assert_ok(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, out, &err));
    for (i = 0; i < N; i++) {
        assert_int_equal(out[i].n_tokens, 1);
        assert_memory_equal(out[i].logp, &logp[out[i].token[0]], sizeof(double));
        count[out[i].token[0]]++;
    }
    for (i = 0; i < 300; i++) {
        double expected = N * exp(logp[i]);
        chi += (count[i] - expected) * (count[i] - expected) / expected;
    }
    assert_true(chi > 299 - 5 * 24.5 && chi < 299 + 5 * 24.5);
    close_fixture(&f);
}

/* Each token is where the random number of its place in the completion falls in the distribution,
 * ids in order. */
static void test_random_numbers(void **state) {
    enum { NEW = 12 };
    fixture f;
    rl_rng rng = {.seed = 21, .step = 2, .problem = 3, .sample = 4, .turn = 1};
    rl_prompt prompt = {.parent = -1, .n_tokens = 7, .n_samples = 1, .rng = &rng};
    rl_decode_opts opts = {.max_new_tokens = NEW, .temperature = 0.8};
    rl_segment segment[302];
    int32_t id[300], t, i;
    double logp[300];
    rl_completion out;
    rl_err err;
    (void)state;
    open_fixture(&f, 4);
    prompt.token = f.token;
    assert_ok(rl_decoder_run(f.decoder, &prompt, 1, &opts, f.arena, &out, &err));
    segment[0] = (rl_segment){.parent = -1, .n_tokens = 7, .token = f.token};
    for (t = 0; t < NEW; t++) {
        double u = rl_rng_uniform(&rng, (uint64_t)t), below = 0;
        segment[1] = (rl_segment){.parent = 0, .n_tokens = t, .token = out.token};
        for (i = 0; i < 300; i++) {
            id[i] = i;
            segment[i + 2] =
                (rl_segment){.parent = 1, .n_tokens = 1, .token = &id[i], .wanted = true};
        }
        assert_ok(rl_policy_score(f.model.policy, segment, 302, 0.8, logp, NULL, &err));
        for (i = 0; i < out.token[t]; i++) {
            below += exp(logp[i]);
        }
        assert_true(below <= u + 1e-5 && u <= below + exp(logp[out.token[t]]) + 1e-5);
    }
    close_fixture(&f);
}

/* Sizes of two rounds of a rollout; the second time over, nothing is allocated. */
static void rollout(fixture *f, const rl_rng *rng) {
    rl_prompt prompt[3];
    rl_completion out[9], last[9];
    rl_decode_opts opts = {.max_new_tokens = 30, .temperature = 1, .stop = f->token, .n_stop = 6};
    rl_decode_stats before = rl_decoder_stats(f->decoder), after;
    int64_t drawn = 0, prefilled = 0;
    rl_err err;
    int32_t i;
    for (i = 0; i < 3; i++) {
        prompt[i] = (rl_prompt){.parent = -1,
                                .token = f->token + i,
                                .n_tokens = 20 + 10 * i,
                                .n_samples = 3,
                                .rng = rng + 3 * (ptrdiff_t)i};
        prefilled += prompt[i].n_tokens;
    }
    assert_ok(rl_decoder_run(f->decoder, prompt, 3, &opts, f->arena, out, &err));
    for (i = 0; i < 3; i++) {
        prompt[i].parent = out[2].node; // one tree: its last token's key is computed once
        prefilled += prompt[i].n_tokens;
    }
    assert_ok(rl_decoder_run(f->decoder, prompt, 3, &opts, f->arena, last, &err));
    for (i = 0; i < 9; i++) {
        drawn += out[i].n_tokens + last[i].n_tokens;
    }
    after = rl_decoder_stats(f->decoder);
    assert_int_equal(after.decode_tokens - before.decode_tokens, drawn);
    assert_int_equal(after.prefill_tokens - before.prefill_tokens, prefilled + 1);
}

static void test_no_allocation(void **state) {
    fixture f;
    rl_rng rng[9];
    uint64_t before;
    uint32_t i;
    (void)state;
    open_fixture(&f, 4);
    for (i = 0; i < 9; i++) {
        rng[i] = (rl_rng){.seed = 1, .sample = i, .purpose = RL_RNG_SAMPLE};
    }
    rollout(&f, rng);
    rl_decoder_reset(f.decoder);
    rl_arena_reset(f.arena);
    before = rl_alloc_count();
    rollout(&f, rng);
    assert_int_equal(rl_alloc_count(), before);
    close_fixture(&f);
}

/* A cache that is full says so; pages are shared out as tokens come. */
static void test_cache_full(void **state) {
    static const char *const helps[] = {"'rollout.prompts'", "'rollout.group_size'",
                                        "'rollout.turns'", "'rollout.max_new_tokens'"};
    rl_test_model model;
    rl_kv_cache cache;
    rl_kv_span span[8];
    rl_err err;
    int32_t a, b, slot, i, n_pages;
    (void)state;
    rl_test_model_open(&model, rl_golden("models/llama"), RL_KERNELS_AUTO, 1, false);
    assert_ok(rl_kv_cache_init(&cache, model.policy, &err));
    n_pages = cache.n_pages;
    cache.n_pages = 4;
    a = rl_kv_node_new(&cache, -1);
    for (i = 0; i < RL_KV_PAGE + 1; i++) {
        assert_ok(rl_kv_append(&cache, a, i, &slot, &err));
        assert_int_equal(slot, i);
    }
    b = rl_kv_node_new(&cache, a);
    for (i = 0; i < 2 * RL_KV_PAGE; i++) {
        assert_ok(rl_kv_append(&cache, b, i, &slot, &err));
    }
    assert_int_equal(rl_kv_append(&cache, b, 0, &slot, &err), RL_MEMORY);
    for (size_t k = 0; k < RL_COUNT(helps); k++) { // the keys that make a step smaller, no other
        assert_non_null(strstr(err.text, helps[k]));
    }
    assert_null(strstr(err.text, "max_batch"));
    assert_true(rl_kv_max_spans(&cache, b) <= (int32_t)RL_COUNT(span));
    assert_int_equal(rl_kv_spans(&cache, b, span), 2); // neighbouring pages are one span
    assert_int_equal(span[0].n, RL_KV_PAGE + 1);
    assert_int_equal(span[1].slot, 2 * RL_KV_PAGE);
    assert_int_equal(span[1].n, 2 * RL_KV_PAGE);
    assert_int_equal(cache.node[b].pos, RL_KV_PAGE + 1);
    cache.n_pages = n_pages;
    rl_kv_cache_reset(&cache);
    assert_int_equal(rl_kv_node_new(&cache, -1), 0);
    rl_kv_cache_release(&cache);
    rl_test_model_close(&model);
}

static void assert_close(const char *what, int32_t i, double value, double want, double bound) {
    if (!(fabs(value - want) <= bound)) {
        fail_msg("%s [%d]: got %.9g, want %.9g within %.3g", what, (int)i, value, want, bound);
    }
}

static const double *numbers(const rl_json *object, const char *key, rl_arena *arena, size_t *n) {
    return rl_test_numbers(rl_json_get(object, key), arena, n);
}

/* A trained model: text for text, and all log-probs. */
static void test_stories(void **state) {
    static const int32_t stop[] = {1, 2};
    const char *folder = rl_shared("models/stories260K/hf");
    rl_test_model model;
    rl_decoder *decoder;
    rl_json_doc *doc;
    rl_arena *arena;
    const rl_json *item;
    rl_err err;
    (void)state;
    if (folder == NULL) {
        rl_test_skip_shared("models/stories260K");
        return;
    }
    arena = rl_arena_new(0);
    rl_test_model_open(&model, folder, RL_KERNELS_AUTO, 2, false);
    assert_ok(rl_json_read(rl_shared("models/stories260K/golden.json"), &doc, &err));
    assert_ok(rl_decoder_new(model.policy, 8, &decoder, &err));
    item = rl_json_first(rl_json_get(rl_json_root(doc), "cases"));
    for (; item != NULL; item = rl_json_next(item)) {
        size_t n_logp, n_entropy;
        const double *logp = numbers(item, "token_logprobs_from_position_1", arena, &n_logp);
        const double *entropy = numbers(item, "entropy_at_position", arena, &n_entropy);
        rl_prompt prompt = {.parent = -1, .n_samples = 1};
        rl_decode_opts opts = {.stop = stop, .n_stop = 2};
        rl_completion out;
        int32_t n_want, t;
        int32_t *want = rl_test_ids(rl_json_get(item, "greedy_ids"), arena, &n_want);
        prompt.token = rl_test_ids(rl_json_get(item, "prompt_ids"), arena, &prompt.n_tokens);
        opts.max_new_tokens = 200 - prompt.n_tokens;
        assert_ok(rl_decoder_run(decoder, &prompt, 1, &opts, arena, &out, &err));
        // The golden leaves the stop token out.
        assert_int_equal(out.n_tokens, n_want + !out.truncated);
        for (t = 0; t < n_want; t++) {
            int32_t at = prompt.n_tokens + t - 1;
            assert_int_equal(out.token[t], want[t]);
            assert_close("logp", t, out.logp[t], logp[at], 2e-5);
            assert_close("entropy", t, out.entropy[t], entropy[at], 2e-5);
        }
    }
    rl_decoder_free(decoder);
    rl_test_model_close(&model);
    rl_json_free(doc);
    rl_arena_free(arena);
}

/* One prompt of the SmolLM2 golden: its log-probs, the greedy text up to a near tie, and the same
 * bits from scoring. */
static void check_smollm2(const rl_test_model *model, rl_decoder *decoder, const rl_json *item,
                          rl_arena *arena) {
    size_t n_logp, n_entropy, n_gap, n_prompt_logp;
    const double *logp = numbers(item, "logprobs", arena, &n_logp);
    const double *entropy = numbers(item, "entropy", arena, &n_entropy);
    const double *gap = numbers(item, "top1_minus_top2_logit", arena, &n_gap);
    const double *prompt_logp = numbers(item, "prompt_logprobs", arena, &n_prompt_logp);
    rl_prompt prompt = {.parent = -1, .n_samples = 1};
    rl_decode_opts opts = {0};
    rl_completion out;
    int32_t *want = rl_test_ids(rl_json_get(item, "tokens"), arena, &opts.max_new_tokens), t;
    double scored[256];
    rl_segment segment[2];
    rl_err err;
    prompt.token = rl_test_ids(rl_json_get(item, "prompt_ids"), arena, &prompt.n_tokens);
    assert_ok(rl_decoder_run(decoder, &prompt, 1, &opts, arena, &out, &err));
    assert_int_equal(out.n_tokens, opts.max_new_tokens);
    for (t = 0; t < out.n_tokens && (out.token[t] == want[t] || gap[t] >= 1e-3); t++) {
        assert_int_equal(out.token[t], want[t]);
        assert_close("logp", t, out.logp[t], logp[t], 5e-4);
        assert_close("entropy", t, out.entropy[t], entropy[t], 5e-4);
    }
    segment[0] = (rl_segment){
        .parent = -1, .n_tokens = prompt.n_tokens, .token = prompt.token, .wanted = true};
    segment[1] =
        (rl_segment){.parent = 0, .n_tokens = out.n_tokens, .token = out.token, .wanted = true};
    assert_true(rl_score_count(segment, 2) <= 256);
    assert_ok(rl_policy_score(model->policy, segment, 2, 1, scored, NULL, &err));
    assert_int_equal(n_prompt_logp, prompt.n_tokens - 1);
    for (t = 0; t < prompt.n_tokens - 1; t++) {
        assert_close("prompt logp", t, scored[t], prompt_logp[t], 5e-4);
    }
    assert_memory_equal(scored + n_prompt_logp, out.logp, (size_t)out.n_tokens * sizeof(double));
}

static void test_smollm2(void **state) {
    const char *path = getenv("RL_SMOLLM2_GGUF");
    rl_test_model model;
    rl_decoder *decoder;
    rl_json_doc *doc;
    rl_arena *arena;
    const rl_json *item;
    rl_err err;
    (void)state;
    if (path == NULL) {
        print_message("skipped: RL_SMOLLM2_GGUF does not name SmolLM2-135M-Instruct's GGUF file\n");
        skip();
        return;
    }
    arena = rl_arena_new(0);
    rl_test_model_open(&model, path, RL_KERNELS_AUTO, 2, false);
    assert_ok(rl_json_read(rl_golden("models/golden_smollm2.json"), &doc, &err));
    assert_ok(rl_decoder_new(model.policy, 8, &decoder, &err));
    item = rl_json_first(rl_json_get(rl_json_root(doc), "prompts"));
    assert_non_null(item);
    for (; item != NULL; item = rl_json_next(item)) {
        check_smollm2(&model, decoder, item, arena);
    }
    rl_decoder_free(decoder);
    rl_test_model_close(&model);
    rl_json_free(doc);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_stops),         cmocka_unit_test(test_positions),
        cmocka_unit_test(test_refusals),      cmocka_unit_test(test_empty),
        cmocka_unit_test(test_distribution),  cmocka_unit_test(test_random_numbers),
        cmocka_unit_test(test_no_allocation), cmocka_unit_test(test_cache_full),
        cmocka_unit_test(test_stories),       cmocka_unit_test(test_smollm2),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
