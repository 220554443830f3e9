/*
 * Evaluations of a tiny random model, judged by a toy verifier that goes by the length of the
 * answer: what they measure, what they write, and that they change nothing and repeat.
 */
#include "rl/train/eval.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/log.h"
#include "rl/train/trainer.h"
#include "tests/support/support.h"
#include "train/evaluation.h"

static char *folder;

/* The toy verifier passes answers whose length is a multiple of 3, and cannot judge those whose
 * length is a multiple of unknown_every, nor any after dies_after verdicts. It asks for a stop
 * after stop_after of them. */
static size_t unknown_every;
static int32_t stop_after, dies_after, n_verdicts;
static volatile sig_atomic_t stop_asked;

static rl_status toy_open(void **self, const void *opts, rl_sandbox *sandbox, rl_err *err) {
    (void)opts, (void)sandbox, (void)err;
    *self = &unknown_every;
    return RL_OK;
}

static rl_status toy_verify(const void *self, const rl_problem *problem, const char *answer,
                            size_t answer_len, rl_arena *arena, rl_verdict *out, rl_err *err) {
    int32_t nth = __atomic_add_fetch(&n_verdicts, 1, __ATOMIC_RELAXED);
    (void)self, (void)answer;
    *out = (rl_verdict){.kind = RL_VERDICT_FAIL, .total = 1};
    if (nth == stop_after) {
        stop_asked = 1;
    }
    if ((dies_after > 0 && nth > dies_after) ||
        (unknown_every > 0 && answer_len % unknown_every == 0)) {
        out->kind = RL_VERDICT_UNKNOWN;
        return rl_fail(err, RL_IO, "toy verifier is broken");
    }
    if (answer_len % 3 == 0) {
        *out = (rl_verdict){.kind = RL_VERDICT_PASS, .score = 1, .total = 1, .passed = 1};
    } else {
        out->feedback = rl_arena_printf(arena, "told of %s", problem->id);
        out->feedback_len = strlen(out->feedback);
    }
    return RL_OK;
}

static void toy_close(void *self) {
    (void)self;
}

static int setup_folder(void **state) {
    (void)state;
    rl_log_setup(NULL, RL_LOG_ERROR);
    folder = rl_test_folder();
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    rl_test_drop(folder);
    return 0;
}

static const char recipe_text[] =
    "{\"model\": {\"path\": \"" RL_GOLDEN_DIR "/models/tiny-chat\"},"
    " \"data\": {\"train\": \"" RL_GOLDEN_DIR "/data/toy_problems.jsonl\","
    "            \"eval\": \"" RL_GOLDEN_DIR "/data/toy_problems.jsonl\"},"
    " \"rollout\": {\"prompts\": 2, \"group_size\": 2, \"max_new_tokens\": 8},"
    " \"rewards\": [{\"name\": \"code_tests\"}],"
    " \"algo\": {\"name\": \"grpo\"},"
    " \"optim\": {\"lr\": 1e-2, \"schedule\": \"constant\"},"
    " \"eval\": {\"samples\": 6, \"controls\": true, \"batch\": 3},"
    " \"run\": {\"steps\": 2, \"seed\": 5},"
    " \"compute\": {\"micro_tokens\": 1200}}";

static void load(const char *name, const char *const *set, size_t n_set, rl_recipe *recipe,
                 rl_verifier *toy) {
    const char *all[16];
    char path[4096], dir[4096];
    rl_errors errors = {0};
    rl_err err;
    snprintf(path, sizeof path, "%s/recipe.json", folder);
    snprintf(dir, sizeof dir, "run.dir=%s/%s", folder, name);
    assert_ok(rl_fs_write(path, recipe_text, strlen(recipe_text), &err));
    all[0] = dir;
    for (size_t i = 0; i < n_set; i++) {
        all[i + 1] = set[i];
    }
    if (rl_recipe_load(path, all, n_set + 1, recipe, &errors) != RL_OK) {
        fail_msg("%s", rl_str_text(&errors.text));
    }
    *toy = (rl_verifier){.name = "code_tests",
                         .options = recipe->reward[0].row->options,
                         .open = toy_open,
                         .verify = toy_verify,
                         .close = toy_close};
    recipe->reward[0].row = toy;
    stop_asked = 0;
    n_verdicts = 0;
}

/* A whole run into folder/name. */
static rl_status run(const char *name, const char *const *set, size_t n_set, rl_err *err) {
    rl_recipe recipe;
    rl_verifier toy;
    rl_trainer *trainer = NULL;
    int64_t steps;
    rl_status status;
    load(name, set, n_set, &recipe, &toy);
    status = rl_trainer_open(&recipe, false, &stop_asked, &trainer, err);
    if (status == RL_OK) {
        status = rl_trainer_run(trainer, &steps, err);
    }
    rl_trainer_close(trainer);
    rl_recipe_release(&recipe);
    return status;
}

static bool begun; // of the evaluation alone that was measured last

/* An evaluation alone. */
static rl_status measure(const char *const *set, size_t n_set, rl_metrics *out, rl_err *err) {
    rl_recipe recipe;
    rl_verifier toy;
    rl_status status;
    *out = (rl_metrics){0};
    load("nowhere", set, n_set, &recipe, &toy);
    status = rl_eval_recipe(&recipe, &stop_asked, &begun, out, err);
    rl_recipe_release(&recipe);
    return status;
}

static double get(const rl_metrics *m, const char *name) {
    char whole[RL_METRIC_NAME];
    snprintf(whole, sizeof whole, "eval/toy_problems/%s", name);
    return rl_metrics_get(m, whole);
}

typedef void each_line(const rl_json *record, void *context);

static int64_t for_each_line(const char *name, const char *file, each_line *call, void *context) {
    rl_arena *arena = rl_arena_new(0);
    size_t len;
    char path[4096], *text;
    int64_t n = 0;
    rl_err err;
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    assert_ok(rl_fs_read(path, arena, &text, &len, &err));
    // The model samples NUL bytes, which our own reader refuses in any text; others take them.
    for (char *at = strstr(text, "\\u0000"); at != NULL; at = strstr(at, "\\u0000")) {
        at[5] = '1';
    }
    for (size_t at = 0; at < len; n++) {
        size_t end = (size_t)(strchr(text + at, '\n') - text);
        rl_json_doc *doc;
        assert_ok(rl_json_parse(text + at, end - at, file, &doc, &err));
        call(rl_json_root(doc), context);
        rl_json_free(doc);
        at = end + 1;
    }
    rl_arena_free(arena);
    return n;
}

static double number(const rl_json *record, const char *key) {
    return rl_json_number(rl_json_get(record, key), (double)NAN);
}

/* What the three files say of the evaluation at one step. */
typedef struct told {
    double step;
    int32_t n_rows;
    double iter1, iter2, fresh, wrong, fix, repeat; // of the row
    double sum_samples, sum1, sum2, sum_fresh, sum_wrong;
    int32_t n_problems;
    // Of completions, by "sample".
    int32_t n_samples, n_by_retry[4], n_solved[4];
    char first_problem[256][16];
} told;

static void take_row(const rl_json *m, void *context) {
    told *t = context;
    if (rl_json_get(m, "eval/toy_problems/iter1") != NULL && number(m, "step") == t->step) {
        t->n_rows++;
        t->iter1 = number(m, "eval/toy_problems/iter1");
        t->iter2 = number(m, "eval/toy_problems/iter2");
        t->fresh = number(m, "eval/toy_problems/iter2_fresh");
        t->wrong = number(m, "eval/toy_problems/iter2_wrong_feedback");
        t->fix = number(m, "eval/toy_problems/fix");
        t->repeat = number(m, "eval/toy_problems/repeat");
        assert_null(rl_json_get(m, "loss"));
        assert_true(number(m, "timing_s/eval") > 0);
        assert_true(number(m, "eval/toy_problems/problems") == 4);
        assert_true(number(m, "eval/toy_problems/samples") == 24);
        assert_true(number(m, "eval/toy_problems/unknown") == 0);
    }
}

static void take_problem(const rl_json *m, void *context) {
    told *t = context;
    if (number(m, "step") == t->step) {
        t->n_problems++;
        t->sum_samples += number(m, "samples");
        t->sum1 += number(m, "iter1");
        t->sum2 += number(m, "iter2");
        t->sum_fresh += number(m, "iter2_fresh");
        t->sum_wrong += number(m, "iter2_wrong_feedback");
        assert_true(number(m, "left_out") == 0);
    }
}

// Samples count from 0 without a gap or a repetition in the order of the batches; a later one's
// parent is a first attempt at the same problem, and its prompt is what its kind says.
static void take_completion(const rl_json *s, void *context) {
    told *t = context;
    const char *retry = rl_json_text(rl_json_get(s, "retry"), "");
    const char *problem = rl_json_text(rl_json_get(s, "problem"), "");
    const char *prompt = rl_json_text(rl_json_get(s, "prompt"), "");
    int32_t id = (int32_t)number(s, "sample"), kind = 3;
    for (int32_t k = 0; k < RL_N_RETRIES; k++) {
        kind = strcmp(retry, rl_retry_names[k]) == 0 ? k : kind;
    }
    assert_int_equal(id, t->n_samples++);
    assert_true(id < 256);
    assert_int_equal(number(s, "turn"), kind == 3 ? 1 : 2);
    snprintf(t->first_problem[id], sizeof t->first_problem[id], "%s", kind == 3 ? problem : "");
    if (kind < 3) {
        char own[64];
        bool shown = strstr(prompt, "told of") != NULL;
        snprintf(own, sizeof own, "told of %s\n", problem);
        assert_string_equal(t->first_problem[(int32_t)number(s, "parent")], problem);
        assert_int_equal(shown, kind != RL_RETRY_FRESH);
        assert_int_equal(strstr(prompt, own) != NULL, kind == RL_RETRY_FEEDBACK);
    } else {
        assert_int_equal(rl_json_type_of(rl_json_get(s, "parent")), RL_JSON_NULL);
    }
    assert_int_equal(rl_json_type_of(rl_json_get(s, "advantage")), RL_JSON_NULL);
    assert_true(rl_json_count(rl_json_get(s, "completion_ids")) > 0);
    t->n_by_retry[kind]++;
    t->n_solved[kind] += strcmp(rl_json_text(rl_json_get(s, "verdict"), ""), "pass") == 0;
}

static told read_told(const char *name, int step) {
    told t = {.step = step};
    char file[64];
    for_each_line(name, "metrics.jsonl", take_row, &t);
    for_each_line(name, "eval.jsonl", take_problem, &t);
    snprintf(file, sizeof file, "eval_completions-%d.jsonl", step);
    for_each_line(name, file, take_completion, &t);
    return t;
}

// The row, the problems' counts and the completions tell the same.
static void files_agree(void **state) {
    rl_err err;
    (void)state;
    assert_ok(run("whole", NULL, 0, &err));
    for (int step = 0; step <= 2; step += 2) {
        told t = read_told("whole", step);
        int32_t first = t.n_solved[3], failed = 24 - first;
        assert_true(t.n_rows == 1 && t.n_problems == 4 && t.sum_samples == 24);
        assert_true(first > 0 && failed > 0 && t.n_by_retry[3] == 24);
        assert_true(t.n_by_retry[RL_RETRY_FEEDBACK] == failed &&
                    t.n_by_retry[RL_RETRY_FRESH] == failed &&
                    t.n_by_retry[RL_RETRY_WRONG_FEEDBACK] == failed);
        assert_true(t.sum1 == first && t.iter1 == first / 24.0);
        assert_true(t.sum2 == first + t.n_solved[RL_RETRY_FEEDBACK] && t.iter2 == t.sum2 / 24);
        assert_true(t.sum_fresh == first + t.n_solved[RL_RETRY_FRESH]);
        assert_true(t.sum_wrong == first + t.n_solved[RL_RETRY_WRONG_FEEDBACK]);
        assert_true(t.fresh == t.sum_fresh / 24 && t.wrong == t.sum_wrong / 24);
        assert_true(t.fix == (double)t.n_solved[RL_RETRY_FEEDBACK] / failed);
        assert_true(t.repeat >= 0 && t.repeat <= 1);
    }
}

static void count_rows(const rl_json *m, void *context) {
    *(int32_t *)context += rl_json_get(m, "eval/toy_problems/iter1") != NULL;
}

// When evaluations are due; the last step's is not made twice.
static void at_their_times(void **state) {
    static const struct {
        const char *set[4];
        int32_t n_rows;
    } table[] = {
        {{"eval.every=0", "eval.at_start=true", "eval.at_end=true", "run.steps=3"}, 2},
        {{"eval.every=1", "eval.at_start=true", "eval.at_end=true", "run.steps=3"}, 4},
        {{"eval.every=2", "eval.at_start=false", "eval.at_end=true", "run.steps=3"}, 2},
        {{"eval.every=2", "eval.at_start=false", "eval.at_end=false", "run.steps=3"}, 1},
        {{"eval.every=0", "eval.at_start=false", "eval.at_end=false", "run.steps=1"}, 0},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        const char *set[7] = {"eval.controls=false", "eval.samples=1", "eval.problems=2"};
        char name[32];
        int32_t n_rows = 0;
        rl_err err;
        memcpy(&set[3], table[i].set, sizeof table[i].set);
        snprintf(name, sizeof name, "times-%d", (int)i);
        assert_ok(run(name, set, RL_COUNT(set), &err));
        for_each_line(name, "metrics.jsonl", count_rows, &n_rows);
        assert_int_equal(n_rows, table[i].n_rows);
    }
}

// Threads, and how many problems go at a time, change nothing but whose feedback is borrowed; the
// evaluation alone measures what the run's first did.
static void repeats_itself(void **state) {
    static const struct {
        const char *set[2];
        bool same_wrong;
    } table[] = {
        {{"compute.threads=1", "eval.batch=3"}, true},
        {{"compute.threads=2", "eval.batch=3"}, true},
        {{"compute.threads=2", "eval.batch=2"}, true}, // two batches of two problems as well
        {{"rollout.max_batch=3", "eval.batch=16"}, false},
    };
    told t = read_told("whole", 0);
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_metrics m;
        rl_err err;
        assert_ok(measure(table[i].set, 2, &m, &err));
        assert_true(get(&m, "iter1") == t.iter1 && get(&m, "iter2") == t.iter2);
        assert_true(get(&m, "iter2_fresh") == t.fresh && get(&m, "repeat") == t.repeat);
        assert_true(get(&m, "iter2_wrong_feedback") == t.wrong || !table[i].same_wrong);
        assert_true(rl_metrics_get(&m, "step") == 0);
    }
}

static char *slurp(rl_arena *arena, const char *name, const char *file, size_t *len) {
    char path[4096], *text;
    rl_err err;
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    assert_ok(rl_fs_read(path, arena, &text, len, &err));
    return text;
}

// Everything that a run with evaluations leaves has the same bits on any number of threads.
static void leaves_the_same_files(void **state) {
    static const char *const files[] = {"eval.jsonl", "eval_completions-0.jsonl",
                                        "eval_completions-2.jsonl", "plot.txt", "plot.svg"};
    rl_arena *arena = rl_arena_new(0);
    rl_err err;
    (void)state;
    assert_ok(run("one", (const char *[]){"compute.threads=1"}, 1, &err));
    assert_ok(run("two", (const char *[]){"compute.threads=2"}, 1, &err));
    for (size_t i = 0; i < RL_COUNT(files); i++) {
        size_t n, m;
        char *x = slurp(arena, "one", files[i], &n), *y = slurp(arena, "two", files[i], &m);
        if (n != m || n == 0 || memcmp(x, y, n) != 0) {
            fail_msg("'%s' differs", files[i]);
        }
    }
    rl_arena_free(arena);
}

static void takes_its_keys(void **state) {
    rl_metrics m;
    rl_err err;
    (void)state;
    assert_ok(measure((const char *[]){"eval.temperature=0", "eval.turns=3"}, 2, &m, &err));
    assert_true(get(&m, "samples") == 4);                    // greedy: one of each problem
    assert_true(get(&m, "iter2_fresh") == get(&m, "iter1")); // and the same afresh
    assert_true(get(&m, "iter3") >= get(&m, "iter2"));
    assert_true(isnan(get(&m, "iter4")));
    assert_ok(measure((const char *[]){"eval.controls=false", "eval.problems=3"}, 2, &m, &err));
    assert_true(get(&m, "problems") == 3 && get(&m, "samples") == 18);
    assert_true(isnan(get(&m, "iter2_fresh")));
    assert_ok(measure((const char *[]){"rollout.temperature=0.01"}, 1, &m, &err));
    assert_true(get(&m, "iter2_fresh") == get(&m, "iter1")); // samples at the training's
    assert_true(get(&m, "samples") == 24);
    assert_int_equal(measure((const char *[]){"data.eval="}, 1, &m, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "data.eval"));
    assert_false(begun);
    assert_int_equal(measure((const char *[]){"model.init=random"}, 1, &m, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "'model.init' is random"));
    assert_false(begun);
}

// More samples than can be counted are refused before anything is sampled, however they are made.
static void refuses_too_many(void **state) {
    static const char *const turns[] = {"eval.turns=64", "eval.turns=8"};
    static const char *const problems[] = {"eval.problems=0", "eval.problems=500"};
    rl_arena *arena = rl_arena_new(0);
    char *path = rl_arena_printf(arena, "%s/many.jsonl", folder), *text;
    char *set = rl_arena_printf(arena, "data.eval=%s", path);
    rl_str lines = {0};
    size_t len;
    rl_err err;
    (void)state;
    assert_ok(rl_fs_read(rl_golden("data/toy_problems.jsonl"), arena, &text, &len, &err));
    for (int32_t i = 0; i < 600; i++) {
        rl_str_append_n(&lines, text, (size_t)(strchr(text, '\n') + 1 - text));
    }
    assert_ok(rl_fs_write(path, lines.ptr, lines.len, &err));
    rl_str_release(&lines);
    for (int32_t i = 0; i < 4; i++) {
        const char *const sets[] = {set, "eval.samples=65536", "eval.batch=1048576", turns[i % 2],
                                    problems[i / 2]};
        rl_recipe recipe;
        rl_verifier toy;
        setup s = {.measures_only = true};
        rl_status status;
        load("many", sets, RL_COUNT(sets), &recipe, &toy);
        status = setup_open_light(&s, &recipe, &err);
        if (i == 0) {
            assert_int_equal(status, RL_BAD_RECIPE);
            assert_non_null(strstr(err.text, "'eval.samples' 65536 of 600 problems, 64 turns"));
        } else {
            assert_ok(status);
        }
        setup_close(&s);
        rl_recipe_release(&recipe);
    }
    rl_arena_free(arena);
}

// A control looks for another problem's feedback in its batch: no batch has one problem alone.
static void leaves_no_problem_alone(void **state) {
    (void)state;
    for (int32_t n = 2; n <= 4; n++) {
        char problems[32];
        const char *const sets[] = {problems, "eval.batch=2"};
        rl_metrics m;
        rl_err err;
        snprintf(problems, sizeof problems, "eval.problems=%d", (int)n);
        assert_ok(measure(sets, RL_COUNT(sets), &m, &err));
        assert_true(get(&m, "problems") == n && get(&m, "iter1") < 1);
        assert_true(get(&m, "left_out") == 0);
    }
}

// What the numbers are named by is whole characters.
static void names_the_set(void **state) {
    static const struct {
        const char *path, *name;
    } table[] = {
        {"data/heldout.jsonl", "heldout"},
        {"/a/.hidden", ".hidden"},
        {"x/0123456789012345678901234567890123456789.jsonl",
         "012345678901234567890123456789012345678"},
        {"x/01234567890123456789012345678901234567\xc3\xa9.jsonl",
         "01234567890123456789012345678901234567"},
        {"x/0123456789012345678901234567890123456\xc3\xa9.jsonl",
         "0123456789012345678901234567890123456\xc3\xa9"},
        {"x/012345678901234567890123456789012345\xf0\x9f\x98\x80.jsonl",
         "012345678901234567890123456789012345"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_recipe recipe = {.data.eval = table[i].path};
        char set[EVAL_SET_NAME];
        eval_set_name(&recipe, set);
        assert_string_equal(set, table[i].name);
    }
}

// A verdict that is missing is no failure, and a verifier that never answers no evaluation.
static void counts_the_unknown(void **state) {
    rl_metrics m, all;
    rl_err err;
    (void)state;
    assert_ok(measure(NULL, 0, &all, &err));
    unknown_every = 4;
    assert_ok(measure((const char *[]){"run.max_unknown=1"}, 1, &m, &err));
    assert_true(get(&m, "unknown") > 0 && get(&m, "samples") == 24);
    assert_true(get(&m, "iter1") != get(&all, "iter1"));
    assert_true(get(&m, "left_out") > 0 && get(&all, "left_out") == 0);
    unknown_every = 1;
    assert_int_equal(measure(NULL, 0, &m, &err), RL_IO);
    assert_true(begun);
    unknown_every = 0;
    assert_non_null(strstr(err.text, "verdicts could not be reached"));
    assert_non_null(strstr(err.text, "toy verifier is broken"));
}

static bool holds(const char *name, const char *file) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    return rl_fs_exists(path);
}

static int64_t count_files(const char *name, const char *start) {
    rl_arena *arena = rl_arena_new(0);
    char path[4096], **file;
    size_t n;
    int64_t found = 0;
    rl_err err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(rl_fs_list(path, arena, &file, &n, &err));
    for (size_t i = 0; i < n; i++) {
        assert_false(rl_text_ends(file[i], ".part") || rl_text_ends(file[i], ".tmp"));
        found += rl_text_starts(file[i], start);
    }
    rl_arena_free(arena);
    return found;
}

/* Verdicts of the first evaluation, of that and training, and of the whole run. */
typedef struct verdicts {
    int32_t first, trained, all;
} verdicts;

static verdicts count_verdicts(void) {
    verdicts v = {0};
    static bool known;
    static verdicts kept;
    rl_metrics m;
    rl_err err;
    if (!known) {
        assert_ok(measure(NULL, 0, &m, &err));
        v.first = n_verdicts;
        assert_ok(run("until-end", (const char *[]){"eval.at_end=false"}, 1, &err));
        v.trained = n_verdicts;
        assert_ok(run("with-end", NULL, 0, &err));
        v.all = n_verdicts;
        assert_true(0 < v.first && v.first < v.trained && v.trained < v.all);
        kept = v;
        known = true;
    }
    return kept;
}

// Stopped before the first step, wherever: nothing is left but the recipe, and the same command
// works again.
static void stops_before_the_first_step(void **state) {
    int32_t first = count_verdicts().first, at[] = {3, first / 2, first};
    rl_metrics m;
    rl_err err;
    (void)state;
    stop_after = 3;
    assert_int_equal(measure(NULL, 0, &m, &err), RL_INTERRUPTED);
    for (size_t i = 0; i < RL_COUNT(at); i++) {
        stop_after = at[i];
        assert_int_equal(run("stopped", NULL, 0, &err), RL_INTERRUPTED);
        assert_non_null(strstr(err.text, "before the first step"));
        assert_int_equal(count_files("stopped", ""), 1);
        assert_true(holds("stopped", "recipe.effective.json"));
    }
    stop_after = 0;
    assert_ok(run("stopped", NULL, 0, &err));
    assert_int_equal(run("stopped", NULL, 0, &err), RL_BAD_RECIPE);
}

// Stopped later: the steps that were done are kept, and of an evaluation all or nothing.
static void stops_after_a_step(void **state) {
    verdicts v = count_verdicts();
    int32_t n_rows = 0;
    rl_err err;
    (void)state;
    for (int32_t more = 0; more < 2; more++) { // in the last step, and in the last evaluation
        const char *name = more == 0 ? "in-step" : "in-eval";
        stop_after = v.trained + more;
        assert_int_equal(run(name, NULL, 0, &err), RL_INTERRUPTED);
        assert_non_null(strstr(err.text, "in the evaluation after the last step"));
        assert_true(holds(name, "checkpoint-2/DONE") && holds(name, "plot.txt"));
        assert_true(count_files(name, "eval_completions-") == 1);
        n_rows = 0;
        assert_int_equal(for_each_line(name, "metrics.jsonl", count_rows, &n_rows), 3);
        assert_int_equal(n_rows, 1);
        assert_int_equal(for_each_line(name, "eval.jsonl", count_rows, &n_rows), 4);
    }
    // In its last batch the evaluation is done nevertheless.
    stop_after = v.all;
    assert_ok(run("at-end", NULL, 0, &err));
    // Nothing was due after the last step.
    stop_after = v.trained;
    assert_ok(run("no-end", (const char *[]){"eval.at_end=false"}, 1, &err));
    stop_after = 1;
    assert_int_equal(run("between",
                         (const char *[]){"eval.every=1", "eval.at_start=false", "run.steps=4"}, 3,
                         &err),
                     RL_INTERRUPTED);
    stop_after = 0;
    assert_non_null(strstr(err.text, "after step 1 of 4; checkpoint-1 is kept"));
    assert_true(holds("between", "checkpoint-1/DONE") && !holds("between", "eval.jsonl"));
    assert_int_equal(count_files("between", "eval"), 0);
}

// A judge that breaks in an evaluation takes no weights with it.
static void keeps_weights_of_a_broken_evaluation(void **state) {
    verdicts v = count_verdicts();
    rl_err err;
    (void)state;
    dies_after = v.trained;
    assert_int_equal(run("broken-end", NULL, 0, &err), RL_IO);
    assert_non_null(strstr(err.text, "verdicts could not be reached"));
    assert_non_null(strstr(err.text, "broken-end/checkpoint-2'"));
    assert_true(holds("broken-end", "checkpoint-2/DONE") && holds("broken-end", "plot.svg"));
    assert_int_equal(count_files("broken-end", "eval_completions-"), 1);
    // The first step's verdicts are fewer than both steps', and these fewer than an evaluation's.
    assert_int_equal(
        run("broken-between", (const char *[]){"eval.every=1", "run.max_unknown=0.2"}, 2, &err),
        RL_IO);
    assert_non_null(strstr(err.text, "broken-between/checkpoint-1'"));
    assert_true(holds("broken-between", "checkpoint-1/DONE"));
    // Before training there are none, and the same command works again.
    dies_after = 1;
    assert_int_equal(run("broken-start", (const char *[]){"run.max_unknown=0.2"}, 1, &err), RL_IO);
    dies_after = 0;
    assert_int_equal(count_files("broken-start", ""), 1);
    assert_ok(run("broken-start", NULL, 0, &err));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(files_agree),
        cmocka_unit_test(at_their_times),
        cmocka_unit_test(repeats_itself),
        cmocka_unit_test(leaves_the_same_files),
        cmocka_unit_test(takes_its_keys),
        cmocka_unit_test(refuses_too_many),
        cmocka_unit_test(leaves_no_problem_alone),
        cmocka_unit_test(names_the_set),
        cmocka_unit_test(counts_the_unknown),
        cmocka_unit_test(stops_before_the_first_step),
        cmocka_unit_test(stops_after_a_step),
        cmocka_unit_test(keeps_weights_of_a_broken_evaluation),
    };
    return cmocka_run_group_tests_name("eval", tests, setup_folder, drop_folder);
}
