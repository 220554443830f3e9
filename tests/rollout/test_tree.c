#include "rl/core/log.h"
#include "tests/rollout/tree_rig.h"

// Problem 10: sample 0 is solved; sample 1 fails, is tried again as paths 2 (solved) and 3, whose
// children are 6 and 7. Problem 11 is solved at once.
static const char *shape_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena) {
    static const char *const score[3][8] = {
        {"1", "0.25"}, {"?", "?", "1", "0"}, {"?", "?", "?", "?", "?", "?", "0.5", "0"}};
    return rl_arena_printf(arena, "p%u n%u t%u score=%s", problem, path, turn,
                           problem == 11 ? "1" : score[turn][path]);
}

static void test_shape(void **state) {
    static const rl_group group[] = {{.parent = -1, .first = 0, .n_samples = 2},
                                     {.parent = -1, .first = 2, .n_samples = 2},
                                     {.parent = 1, .first = 4, .n_samples = 2},
                                     {.parent = 5, .first = 6, .n_samples = 2}};
    static const double reward[] = {1, 0.25, 1, 1, 1, 0, 0.5, 0};
    static const int turn[] = {0, 0, 0, 0, 1, 1, 2, 2};
    fixture x;
    (void)state;
    begin(&x, shape_script, 2, 3);
    rl_rollout_result r = run(&x, 2);
    const rl_batch *b = &r.batch;
    assert_int_equal(x.engine.n_rounds, 3);
    assert_int_equal(b->n_groups, 4);
    assert_int_equal(b->n_samples, 8);
    assert_int_equal(b->n_turns, 3);
    assert_int_equal(b->max_new_tokens, x.opts.max_new_tokens);
    for (int32_t g = 0; g < 4; g++) {
        assert_int_equal(b->group[g].parent, group[g].parent);
        assert_int_equal(b->group[g].first, group[g].first);
        assert_int_equal(b->group[g].n_samples, group[g].n_samples);
        assert_false(b->group[g].fresh);
    }
    for (int32_t i = 0; i < 8; i++) {
        const rl_sample *s = &b->sample[i];
        int problem = i == 2 || i == 3;
        assert_true(s->reward == reward[i] && b->reward_part[i] == reward[i]);
        assert_int_equal(s->turn, turn[i]);
        assert_int_equal(s->problem, 10 + problem);
        assert_ptr_equal(r.story[i].problem, &x.problem[problem]);
        assert_true(s->task == problem && s->domain == -1 && s->dataset == 3 && s->label == -1);
        assert_true(s->scored && s->keep && !s->truncated);
        assert_int_equal(r.story[i].solved, reward[i] == 1);
        assert_int_equal(r.story[i].finish, RL_FINISH_STOP);
        assert_int_equal(r.story[i].feedback != NULL, reward[i] < 1);
    }
    assert_true(r.n_ok == 4 && r.n_fail == 4 && r.n_timeout == 0 && r.n_unknown == 0);
    check_ids(&x, &r);
    end(&x);
}

// What a later turn is shown, as text and as ids.
static void test_conversation(void **state) {
    fixture x;
    (void)state;
    begin(&x, shape_script, 2, 3);
    rl_rollout_result r = run(&x, 2);
    const rl_batch *b = &r.batch;
    assert_string_equal(r.story[1].completion, "p10 n1 t0 score=0.25");
    assert_string_equal(r.story[1].feedback,
                        "Running it against the tests gave:\n1/4 tests passed.\n"
                        "seen: p10 n1 t0 score=0.25\n\n"
                        "Write a corrected, complete solution in a single python code block.");
    assert_string_equal(r.prompt_text[0],
                        "<|im_start|>user\np0<|im_end|>\n<|im_start|>assistant\n");
    assert_string_equal(
        r.prompt_text[2],
        rl_arena_printf(x.arena,
                        "%s%s<|im_end|>\n<|im_start|>user\n%s<|im_end|>\n<|im_start|>assistant\n",
                        r.prompt_text[0], r.story[1].completion, r.story[1].feedback));
    int32_t *ids, n;
    rl_err err;
    assert_ok(rl_chat_continue(chat, true, r.story[1].feedback, r.story[1].feedback_len, x.arena,
                               &ids, &n, &err));
    assert_int_equal(b->group[2].ctx_end - b->group[2].ctx_begin, n);
    assert_memory_equal(b->context_token + b->group[2].ctx_begin, ids, (size_t)n * sizeof *ids);
    for (uint32_t t = 0; t < b->n_tokens; t++) {
        assert_true(b->trainable[t] == 1 && b->logp_old[t] == b->logp_sampled[t]);
    }
    rl_rng rng = {5, 9, 10, 6, 2, RL_RNG_SAMPLE}; // seed, step, problem, path, turn
    assert_true(b->logp_sampled[b->sample[6].tok_begin] == -rl_rng_uniform(&rng, 0));
    assert_true(b->entropy[b->sample[6].tok_begin] == rl_rng_uniform(&rng, 1000));
    assert_int_equal(b->token[b->sample[6].tok_end - 1], x.stop);
    end(&x);
}

static const char *nul_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena) {
    return rl_arena_printf(arena, "~p%u n%u~ t%u score=%s~", problem, path, turn,
                           path == 0 && turn == 0 ? "0.5" : "1");
}

// A NUL byte that was sampled ends nothing: judges, feedback, prompts and stories go on after it.
static void test_nul_bytes(void **state) {
    static const char said[] = "\0p10 n0\0 t0 score=0.5\0";
    enum { LEN = sizeof said - 1 };
    fixture x;
    (void)state;
    begin(&x, nul_script, 2, 2);
    x.engine.nul = '~';
    rl_rollout_result r = run(&x, 1);
    const rl_sample_story *story = &r.story[0];
    check_ids(&x, &r);
    assert_int_equal(r.batch.n_samples, 4);
    assert_true(r.batch.sample[0].reward == 0.5 && r.batch.sample[3].reward == 1);
    assert_int_equal(story->completion_len, LEN);
    assert_memory_equal(story->completion, said, LEN);
    const char *heard = memmem(story->feedback, story->feedback_len, said, LEN);
    assert_non_null(heard);
    assert_string_equal(heard + LEN, "\n\nWrite a corrected, complete solution in a single "
                                     "python code block.");
    assert_ptr_equal(heard + LEN + strlen(heard + LEN), story->feedback + story->feedback_len);
    assert_non_null(
        memmem(r.prompt_text[1], r.prompt_text_len[1], story->feedback, story->feedback_len));
    assert_true(r.prompt_text_len[0] == strlen(r.prompt_text[0]));
    end(&x);
}

// An attempt that was cut is closed before feedback follows.
static void test_truncated(void **state) {
    fixture x;
    (void)state;
    begin(&x, shape_script, 2, 2);
    x.engine.stop = -1;
    rl_rollout_result r = run(&x, 1);
    assert_int_equal(r.batch.n_groups, 2);
    assert_true(r.batch.sample[1].truncated);
    assert_int_equal(r.story[1].finish, RL_FINISH_LENGTH);
    assert_int_equal(r.batch.context_token[r.batch.group[1].ctx_begin], x.stop);
    check_ids(&x, &r);
    end(&x);
}

static const char *solved_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena) {
    return rl_arena_printf(arena, "%u %u %u score=1", problem, path, turn);
}

// T1.8: all solved at the first turn, so there is no second.
static void test_all_solved(void **state) {
    fixture x;
    (void)state;
    begin(&x, solved_script, 3, 2);
    rl_rollout_result r = run(&x, 4);
    assert_int_equal(x.engine.n_rounds, 1);
    assert_int_equal(r.batch.n_groups, 4);
    assert_int_equal(r.batch.n_samples, 12);
    end(&x);
}

static const char *kinds_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena) {
    static const char *const score[] = {"unknown", "unreadable", "timeout", "0"};
    return rl_arena_printf(arena, "%u %u %u score=%s", problem, path, turn,
                           turn == 0 ? score[path] : "1");
}

// No verdict: outside everything, never tried again. The model's own failures are tried again.
static void test_verdict_kinds(void **state) {
    static const rl_verdict_kind kind[] = {RL_VERDICT_UNKNOWN, RL_VERDICT_UNREADABLE,
                                           RL_VERDICT_FAIL, RL_VERDICT_FAIL};
    fixture x;
    (void)state;
    begin(&x, kinds_script, 4, 2);
    rl_rollout_result r = run(&x, 1);
    assert_int_equal(r.batch.n_groups, 4);
    for (int32_t i = 0; i < 4; i++) {
        assert_int_equal(r.story[i].verdict, kind[i]);
        assert_true(r.batch.sample[i].scored == (i > 0) && r.batch.sample[i].keep == (i > 0));
        assert_true(r.batch.sample[i].reward == 0);
        if (i > 0) {
            assert_int_equal(r.batch.group[i].parent, i);
        }
    }
    assert_null(r.story[0].feedback);
    assert_non_null(strstr(r.story[1].feedback, "seen: 10 1 0 score=unreadable"));
    assert_null(strstr(r.story[1].feedback, "tests passed"));
    assert_non_null(strstr(r.story[2].feedback, "0/4 tests passed."));
    assert_int_equal(r.n_unknown, 1);
    assert_int_equal(r.n_timeout, 1);
    assert_int_equal(r.n_fail, 1);
    assert_int_equal(r.n_ok, 12);
    assert_int_equal(r.n_verdicts, 16);
    end(&x);
}

// Runs with the log caught; returns how many lines it has.
static int32_t run_logged(fixture *x, int32_t n_problems, rl_rollout_result *out, char *log,
                          size_t log_size) {
    FILE *sink = tmpfile();
    int32_t n_lines = 0;
    assert_non_null(sink);
    rl_log_setup(sink, RL_LOG_INFO);
    *out = run(x, n_problems);
    rl_log_setup(NULL, RL_LOG_INFO);
    rewind(sink);
    log[fread(log, 1, log_size - 1, sink)] = '\0';
    fclose(sink);
    for (const char *at = log; *at != '\0'; at++) {
        n_lines += *at == '\n';
    }
    return n_lines;
}

static const char *lost_script(uint32_t problem, uint32_t path, uint32_t turn, rl_arena *arena) {
    // No attempt can be judged; of problem 11, all but one or so a turn.
    return rl_arena_printf(arena, "%u %u %u score=%s", problem, path, turn,
                           problem == 11 && turn + 1 != path ? "0" : "unknown");
}

// A step that lost its judges can be told from one that lost a verdict; one line says so.
static void test_lost_verdicts(void **state) {
    rl_rollout_result r;
    fixture x;
    char log[1024];
    (void)state;
    begin(&x, lost_script, 2, 1);
    x.rollout.n_judges = 2;
    assert_int_equal(run_logged(&x, 1, &r, log, sizeof log), 1); // the other judge can tell
    assert_true(r.n_verdicts == 4 && r.n_unknown == 2);
    assert_string_equal(r.unknown_cause, "verifier 'tests': the sandbox is gone");
    end(&x);

    begin(&x, lost_script, 2, 2);
    assert_int_equal(run_logged(&x, 1, &r, log, sizeof log), 1); // nobody can
    assert_true(r.n_verdicts == 2 && r.n_unknown == 2);
    assert_string_equal(log, "warning: 2 of 2 verdicts could not be reached; their samples are "
                             "left out: verifier 'tests': the sandbox is gone\n");
    end(&x);

    begin(&x, lost_script, 3, 3);
    x.drawn[0] = &x.problem[1];
    assert_int_equal(run_logged(&x, 1, &r, log, sizeof log), 1); // lost at more than one turn
    assert_int_equal(r.n_verdicts, r.batch.n_samples);
    assert_true(r.n_unknown > 1 && r.n_unknown < r.n_verdicts);
    assert_non_null(r.unknown_cause);
    end(&x);

    begin(&x, shape_script, 2, 3);
    assert_int_equal(run_logged(&x, 2, &r, log, sizeof log), 0);
    assert_true(r.n_verdicts == 8 && r.n_unknown == 0);
    assert_null(r.unknown_cause);
    end(&x);
}

static void test_full_conversation(void **state) {
    fixture x;
    (void)state;
    begin(&x, shape_script, 2, 2);
    rl_rollout_result r = run(&x, 1);
    int32_t full = r.n_prompt_tokens[1];
    assert_int_equal(r.n_no_room, 0);
    end(&x);
    for (int32_t room = 0; room < 2; room++) { // one more position is one token to sample
        begin(&x, shape_script, 2, 2);
        x.rollout.max_positions = full + room;
        r = run(&x, 1);
        assert_int_equal(r.batch.n_groups, 1 + room);
        assert_int_equal(r.n_no_room, 1 - room);
        end(&x);
    }
}

// The same problem twice in a step: other random numbers, down to the last turn.
static void test_repeated_problem(void **state) {
    fixture x;
    (void)state;
    begin(&x, kinds_script, 1, 2);
    x.opts.group_size = 2;
    x.drawn[1] = x.drawn[0];
    rl_rollout_result r = run(&x, 2);
    for (int32_t i = 0; i < r.batch.n_samples; i++) {
        for (int32_t k = 0; k < i; k++) {
            assert_string_not_equal(r.story[i].completion, r.story[k].completion);
        }
    }
    end(&x);
}

static void test_two_judges(void **state) {
    fixture x;
    (void)state;
    begin(&x, shape_script, 2, 1);
    x.rollout.n_judges = 2;
    x.judge[0].weight = 2;
    rl_rollout_result r = run(&x, 1);
    assert_int_equal(r.batch.n_parts, 2);
    for (int32_t i = 0; i < 2; i++) {
        double tests = i == 0 ? 1 : 0.25, parity = strlen(r.story[i].completion) % 2 ? 0 : 1;
        assert_true(r.batch.reward_part[2 * i] == tests);
        assert_true(r.batch.reward_part[2 * i + 1] == parity);
        assert_true(r.batch.sample[i].reward == 2 * tests + 0.5 * parity);
        assert_int_equal(r.story[i].solved, tests == 1 && parity == 1);
        assert_int_equal(r.story[i].verdict, i == 0 ? RL_VERDICT_PASS : RL_VERDICT_PARTIAL);
    }
    end(&x);
    begin(&x, kinds_script, 4, 1); // one judge that cannot tell leaves the sample without a score
    x.rollout.n_judges = 2;
    r = run(&x, 1);
    assert_false(r.batch.sample[0].scored);
    assert_int_equal(r.story[0].verdict, RL_VERDICT_UNKNOWN);
    assert_true(r.batch.sample[1].scored);
    end(&x);
}

static void test_engine_fails(void **state) {
    fixture x;
    (void)state;
    for (int32_t at = 1; at <= 2; at++) {
        rl_rollout_result r;
        rl_err err;
        begin(&x, shape_script, 2, 3);
        x.engine.fail_at = at;
        assert_int_equal(rl_rollout_step(&x.rollout, x.drawn, 1, 5, 9, x.arena, &r, &err), RL_IO);
        assert_string_equal(err.text, "engine lost");
        end(&x);
    }
}

// However verifiers are scheduled, the result is the same.
static void test_threads(void **state) {
    static const int32_t threads[] = {1, 2, 5};
    fixture one, many;
    (void)state;
    begin(&one, random_script, 3, 4);
    rl_rollout_result a = run(&one, 4);
    assert_true(a.batch.n_samples > 30 && a.n_unknown > 0);
    check_ids(&one, &a);
    for (size_t i = 0; i < RL_COUNT(threads); i++) {
        rl_pool *pool;
        rl_err err;
        assert_ok(rl_pool_new(threads[i], false, &pool, &err));
        begin(&many, random_script, 3, 4);
        many.rollout.waiters = pool;
        many.nap_ms = 3;
        rl_rollout_result b = run(&many, 4);
        check_same(&a, &b);
        assert_int_equal(a.n_unknown, b.n_unknown);
        end(&many);
        rl_pool_free(pool);
    }
    end(&one);
}

// Other problems of the step do not change what a problem's samples say.
static void test_problems_are_independent(void **state) {
    fixture x;
    (void)state;
    begin(&x, random_script, 3, 3);
    rl_rollout_result all = run(&x, 4);
    fixture y;
    begin(&y, random_script, 3, 3);
    y.drawn[0] = &y.problem[2];
    rl_rollout_result one = run(&y, 1);
    int32_t k = 0;
    for (int32_t i = 0; i < all.batch.n_samples; i++) {
        if (all.batch.sample[i].problem == 12) {
            assert_true(k < one.batch.n_samples);
            assert_string_equal(all.story[i].completion, one.story[k++].completion);
        }
    }
    assert_int_equal(k, one.batch.n_samples);
    end(&x);
    end(&y);
}

static void test_section(void **state) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"{\"engine\": \"vllm\"}", "'rollout.engine' is 'vllm', but only 'local' is supported"},
        {"{\"turns\": 20, \"group_size\": 8}", "more than 2^31 samples"},
        {"{\"temperature\": 0}", "temperature"},
        {"{\"group_size\": 0}", "group_size"},
        {"{\"turn\": 2}", "turns"},
    };
    rl_arena *arena = rl_arena_new(0);
    rl_rollout_opts opts;
    rl_err err;
    (void)state;
    rl_section_defaults(&rl_rollout_section, arena, &opts);
    assert_ok(rl_rollout_section.check(&opts, &err));
    assert_true(opts.prompts == 8 && opts.group_size == 8 && opts.turns == 1);
    assert_true(opts.max_new_tokens == 256 && opts.temperature == 1 && opts.max_batch == 64);
    assert_string_equal(opts.engine, "local");
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_errors errors = {0};
        rl_json_doc *doc;
        assert_ok(rl_json_parse(bad[i].text, strlen(bad[i].text), "test", &doc, &err));
        rl_section_read(&rl_rollout_section, rl_json_root(doc), NULL, arena, &opts, &errors);
        assert_int_equal(errors.count, 1);
        assert_non_null(strstr(rl_str_text(&errors.text), bad[i].says));
        rl_errors_release(&errors);
        rl_json_free(doc);
    }
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shape),
        cmocka_unit_test(test_conversation),
        cmocka_unit_test(test_nul_bytes),
        cmocka_unit_test(test_truncated),
        cmocka_unit_test(test_all_solved),
        cmocka_unit_test(test_verdict_kinds),
        cmocka_unit_test(test_lost_verdicts),
        cmocka_unit_test(test_full_conversation),
        cmocka_unit_test(test_repeated_problem),
        cmocka_unit_test(test_two_judges),
        cmocka_unit_test(test_engine_fails),
        cmocka_unit_test(test_threads),
        cmocka_unit_test(test_problems_are_independent),
        cmocka_unit_test(test_section),
    };
    return cmocka_run_group_tests_name("tree", tests, setup, teardown);
}
