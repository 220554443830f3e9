/* A rollout over the fakes, for tests of the tree. */
#ifndef RL_TESTS_ROLLOUT_TREE_RIG_H
#define RL_TESTS_ROLLOUT_TREE_RIG_H

#include "tests/rollout/fakes.h"

static rl_tokenizer *tokenizer;
static rl_chat *chat;

// A rollout over the fakes, and the problems "p0" .. "p3".
typedef struct fixture {
    fake_engine engine;
    rl_rollout_opts opts;
    rl_judge judge[2];
    rl_rollout rollout;
    rl_message message[4];
    rl_problem problem[4];
    const rl_problem *drawn[8];
    int nap_ms;
    int32_t stop;
    rl_arena *arena;
} fixture;

static inline void begin(fixture *x, fake_script *script, int32_t group_size, int32_t turns) {
    static const char *const ask[] = {"p0", "p1", "p2", "p3"};
    *x = (fixture){.arena = rl_arena_new(0), .stop = rl_chat_stop(chat)};
    rl_section_defaults(&rl_rollout_section, x->arena, &x->opts);
    x->opts.group_size = group_size;
    x->opts.turns = turns;
    x->engine = (fake_engine){.tokenizer = tokenizer, .script = script, .stop = x->stop};
    x->judge[0] = (rl_judge){&fake_verifier_row, &x->nap_ms, "tests", 1};
    x->judge[1] = (rl_judge){&parity_row, &x->nap_ms, "parity", 0.5};
    for (int32_t i = 0; i < 4; i++) {
        x->message[i] = (rl_message){"user", ask[i]};
        x->problem[i] = (rl_problem){.index = 10 + i,
                                     .id = ask[i],
                                     .messages = &x->message[i],
                                     .n_messages = 1,
                                     .task = i,
                                     .domain = -1,
                                     .dataset = 3,
                                     .label = -1};
        x->drawn[i] = &x->problem[i];
    }
    x->rollout = (rl_rollout){.opts = &x->opts,
                              .engine = &fake_engine_row,
                              .engine_self = &x->engine,
                              .tokenizer = tokenizer,
                              .chat = chat,
                              .judge = x->judge,
                              .n_judges = 1,
                              .stop = &x->stop,
                              .n_stop = 1};
}

static inline void end(fixture *x) {
    rl_arena_free(x->arena);
}

static inline rl_rollout_result run(fixture *x, int32_t n_problems) {
    rl_rollout_result out;
    rl_err err;
    assert_ok(rl_rollout_step(&x->rollout, x->drawn, n_problems, 5, 9, x->arena, &out, &err));
    assert_null(rl_batch_check(&out.batch));
    return out;
}

// Every sample's conversation, put together from the batch alone, is what its node's cache holds.
static inline void check_ids(const fixture *x, const rl_rollout_result *r) {
    const rl_batch *b = &r->batch;
    for (int32_t i = 0; i < b->n_samples; i++) {
        const rl_sample *s = &b->sample[i];
        const rl_group *g = &b->group[s->group];
        const int32_t *whole = x->engine.whole[i], *said = b->token + s->tok_begin;
        int32_t n_said = (int32_t)(s->tok_end - s->tok_begin);
        int32_t n_prompt = r->n_prompt_tokens[s->group];
        int32_t n_added = (int32_t)(g->ctx_end - g->ctx_begin);
        assert_int_equal(x->engine.n_whole[i], n_prompt + n_said);
        assert_memory_equal(whole, r->prompt_token[s->group], (size_t)n_prompt * sizeof *whole);
        assert_memory_equal(whole + n_prompt, said, (size_t)n_said * sizeof *whole);
        assert_memory_equal(whole + n_prompt - n_added, b->context_token + g->ctx_begin,
                            (size_t)n_added * sizeof *whole);
        if (g->parent >= 0) {
            assert_int_equal(n_prompt - n_added, x->engine.n_whole[g->parent]);
            assert_memory_equal(whole, x->engine.whole[g->parent],
                                (size_t)(n_prompt - n_added) * sizeof *whole);
        }
    }
}

// A third of the scores by chance, so that trees are ragged.
static inline const char *random_script(uint32_t problem, uint32_t path, uint32_t turn,
                                        rl_arena *arena) {
    static const char *const score[] = {"0", "0.25", "0.5", "1", "1", "unknown"};
    rl_rng rng = {.problem = problem, .sample = path, .turn = turn, .purpose = RL_RNG_TEST};
    return rl_arena_printf(arena, "%u %u %u score=%s", problem, path, turn,
                           score[rl_rng_below(&rng, 0, RL_COUNT(score))]);
}

static inline void check_same(const rl_rollout_result *a, const rl_rollout_result *b) {
    assert_int_equal(a->batch.n_samples, b->batch.n_samples);
    assert_int_equal(a->batch.n_groups, b->batch.n_groups);
    assert_int_equal(a->batch.n_tokens, b->batch.n_tokens);
    assert_memory_equal(a->batch.token, b->batch.token, a->batch.n_tokens * sizeof(int32_t));
    for (int32_t i = 0; i < a->batch.n_samples; i++) {
        const rl_sample *s = &a->batch.sample[i], *t = &b->batch.sample[i];
        assert_true(s->reward == t->reward && s->parent == t->parent && s->keep == t->keep);
        assert_string_equal(a->story[i].feedback ? a->story[i].feedback : "",
                            b->story[i].feedback ? b->story[i].feedback : "");
    }
}

static inline int setup(void **state) {
    char *folder = rl_test_folder();
    rl_err err;
    (void)state;
    write_tokenizer(folder);
    assert_ok(rl_tokenizer_load(folder, &tokenizer, &err));
    assert_ok(rl_chat_new(tokenizer, &chat, &err));
    rl_test_drop(folder);
    return 0;
}

static inline int teardown(void **state) {
    (void)state;
    rl_chat_free(chat);
    rl_tokenizer_free(tokenizer);
    return 0;
}

#endif
