/*
 * Stand-ins for the parties of a rollout: an engine that says what a script tells it, and verifiers
 * that read their verdict out of the answer. Tokenizer and chat are real, over a byte-level
 * vocabulary made on the spot.
 */
#ifndef RL_TESTS_ROLLOUT_FAKES_H
#define RL_TESTS_ROLLOUT_FAKES_H

#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/map.h"
#include "rl/core/str.h"
#include "rl/rollout/rollout.h"
#include "tests/support/support.h"

// The text of byte b in a byte-level vocabulary (GPT-2's table).
static inline void put_byte_token(rl_json_writer *w, int b, int *next) {
    bool printable = (b >= 33 && b <= 126) || (b >= 161 && b <= 172) || b >= 174;
    int code = printable ? b : 256 + (*next)++;
    char text[3] = {(char)code, 0, 0};
    if (code >= 128) {
        text[0] = (char)(0xC0 | (code >> 6));
        text[1] = (char)(0x80 | (code & 63));
    }
    rl_json_put_int(w, text, b);
}

static inline void write_tokenizer(const char *folder) {
    static const char config[] =
        "{\"eos_token\": \"<|im_end|>\", \"chat_template\": \"{% for message in messages %}"
        "{{'<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n'}}"
        "{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}\"}";
    static const char head[] =
        "{\"version\": \"1.0\", \"added_tokens\": ["
        "{\"id\": 257, \"content\": \"<|im_start|>\", \"special\": true},"
        "{\"id\": 258, \"content\": \"<|im_end|>\", \"special\": true}],"
        "\"normalizer\": null, \"pre_tokenizer\": {\"type\": \"ByteLevel\","
        "\"add_prefix_space\": false, \"trim_offsets\": true, \"use_regex\": true},"
        "\"post_processor\": null, \"decoder\": {\"type\": \"ByteLevel\"},"
        "\"model\": {\"type\": \"BPE\", \"merges\": [\"t h\"], \"vocab\": ";
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    char path[4096];
    rl_err err;
    int next = 0;
    rl_str_append(&text, head);
    rl_json_open_object(&w, NULL);
    for (int b = 0; b < 256; b++) {
        put_byte_token(&w, b, &next);
    }
    rl_json_put_int(&w, "th", 256);
    rl_json_close_object(&w);
    rl_str_append(&text, "}}");
    snprintf(path, sizeof path, "%s/tokenizer.json", folder);
    assert_ok(rl_fs_write(path, text.ptr, text.len, &err));
    snprintf(path, sizeof path, "%s/tokenizer_config.json", folder);
    assert_ok(rl_fs_write(path, config, strlen(config), &err));
    rl_str_release(&text);
}

/* What is said at an address of the tree. */
typedef const char *fake_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena);

enum { FAKE_NODES = 4096 };

/* Remembers every node's ids from position 0, as a cache of keys would. */
typedef struct fake_engine {
    const rl_tokenizer *tokenizer;
    fake_script *script;
    int32_t stop; // ends completions; -1 cuts them without one
    const int32_t *whole[FAKE_NODES];
    int32_t n_whole[FAKE_NODES];
    int32_t n_nodes, n_rounds;
    int32_t fail_at; // round that fails, from 1; 0 for none
    char nul;        // said as a NUL byte, whose token is 0; 0 for none
} fake_engine;

static inline void fake_say(fake_engine *engine, const rl_prompt *prompt, const rl_rng *rng,
                            rl_arena *arena, rl_completion *out) {
    const char *text = engine->script(rng->problem, rng->sample, rng->turn, arena);
    int32_t n_before = prompt->parent >= 0 ? engine->n_whole[prompt->parent] : 0, *ids, n;
    rl_err err;
    assert_ok(rl_tokenizer_encode(engine->tokenizer, text, strlen(text), RL_ENCODE_PLAIN, arena,
                                  &ids, &n, &err));
    for (int32_t t = 0; t < n && engine->nul != 0; t++) {
        ids[t] = ids[t] == engine->nul ? 0 : ids[t];
    }
    int32_t n_said = n + (engine->stop >= 0), n_prompt = n_before + prompt->n_tokens;
    int32_t *whole = rl_arena_alloc(arena, (size_t)(n_prompt + n_said), sizeof *whole);
    double *logp = rl_arena_alloc(arena, (size_t)n_said, sizeof *logp);
    double *entropy = rl_arena_alloc(arena, (size_t)n_said, sizeof *entropy);
    if (n_before > 0) {
        memcpy(whole, engine->whole[prompt->parent], (size_t)n_before * sizeof *whole);
    }
    memcpy(whole + n_before, prompt->token, (size_t)prompt->n_tokens * sizeof *whole);
    memcpy(whole + n_prompt, ids, (size_t)n * sizeof *whole);
    if (engine->stop >= 0) {
        whole[n_prompt + n] = engine->stop;
    }
    for (int32_t t = 0; t < n_said; t++) {
        logp[t] = -rl_rng_uniform(rng, (uint64_t)t);
        entropy[t] = rl_rng_uniform(rng, (uint64_t)t + 1000);
    }
    assert_true(engine->n_nodes < FAKE_NODES);
    engine->whole[engine->n_nodes] = whole;
    engine->n_whole[engine->n_nodes] = n_prompt + n_said;
    *out = (rl_completion){.node = engine->n_nodes++,
                           .n_tokens = n_said,
                           .token = whole + n_prompt,
                           .logp = logp,
                           .entropy = entropy,
                           .truncated = engine->stop < 0};
}

static inline rl_status fake_generate(void *self, const rl_prompt *prompt, int32_t n_prompts,
                                      const rl_decode_opts *opts, rl_arena *arena,
                                      rl_completion *out, rl_err *err) {
    fake_engine *engine = self;
    assert_true(opts->max_new_tokens > 0 && n_prompts > 0);
    if (++engine->n_rounds == engine->fail_at) {
        return rl_fail(err, RL_IO, "engine lost");
    }
    for (int32_t i = 0; i < n_prompts; i++) {
        assert_true(prompt[i].n_tokens > 0 && prompt[i].parent < engine->n_nodes);
        for (int32_t k = 0; k < prompt[i].n_samples; k++) {
            fake_say(engine, &prompt[i], &prompt[i].rng[k], arena, out++);
        }
    }
    return RL_OK;
}

static const rl_engine fake_engine_row = {.name = "fake", .generate = fake_generate};

/*
 * "score=" with a number gives that share of four tests; "score=unknown", "score=unreadable" and
 * "score=timeout" give those. self is an int: the longest nap in milliseconds, to stir the order in
 * which threads finish.
 */
static inline rl_status fake_verify(const void *self, const rl_problem *problem, const char *answer,
                                    size_t answer_len, rl_arena *arena, rl_verdict *out,
                                    rl_err *err) {
    const int *nap_ms = self;
    const char *at = memmem(answer, answer_len, "score=", strlen("score="));
    size_t seen_len = strlen("seen: ") + answer_len;
    char *seen = rl_arena_printf(arena, "seen: %*s|tail", (int)answer_len, "");
    assert_non_null(at);
    assert_non_null(problem);
    at += strlen("score=");
    *out = (rl_verdict){.kind = RL_VERDICT_UNKNOWN};
    if (*nap_ms > 0) {
        rl_clock_sleep_ms((int64_t)(rl_hash(answer, answer_len) % (uint64_t)(*nap_ms + 1)));
    }
    if (rl_text_starts(at, "unknown")) {
        return rl_fail(err, RL_IO, "the sandbox is gone");
    }
    memcpy(seen + strlen("seen: "), answer, answer_len);
    out->feedback = seen;
    out->feedback_len = seen_len;
    if (rl_text_starts(at, "unreadable")) {
        out->kind = RL_VERDICT_UNREADABLE;
        return RL_OK;
    }
    out->total = 4;
    out->timed_out = rl_text_starts(at, "timeout");
    out->score = out->timed_out ? 0 : strtod(at, NULL);
    out->passed = (int32_t)(4 * out->score);
    out->kind = out->score >= 1  ? RL_VERDICT_PASS
                : out->score > 0 ? RL_VERDICT_PARTIAL
                                 : RL_VERDICT_FAIL;
    return RL_OK;
}

static const rl_verifier fake_verifier_row = {.name = "fake", .verify = fake_verify};

/* Gives 1 to answers with an even number of bytes; runs no tests. */
static inline rl_status parity_verify(const void *self, const rl_problem *problem,
                                      const char *answer, size_t answer_len, rl_arena *arena,
                                      rl_verdict *out, rl_err *err) {
    (void)self, (void)problem, (void)answer, (void)arena, (void)err;
    *out = (rl_verdict){.kind = answer_len % 2 ? RL_VERDICT_FAIL : RL_VERDICT_PASS,
                        .score = answer_len % 2 ? 0 : 1};
    return RL_OK;
}

static const rl_verifier parity_row = {.name = "parity", .verify = parity_verify};

#endif
