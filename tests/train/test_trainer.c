/*
 * Whole runs of a tiny random model, judged by a toy verifier that likes vowels: what a run writes,
 * that it learns, that threads and kernels do not change it, and how it stops when something
 * breaks.
 */
#include "rl/train/trainer.h"

#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/log.h"
#include "tests/support/support.h"

static char *folder;

/* The toy verifier. Every `broken_every`-th answer, by its length, cannot be judged. */
static int32_t broken_every;

static rl_status toy_open(void **self, const void *opts, rl_sandbox *sandbox, rl_err *err) {
    (void)opts;
    (void)sandbox;
    (void)err;
    *self = &broken_every;
    return RL_OK;
}

static rl_status toy_verify(const void *self, const rl_problem *problem, const char *answer,
                            size_t answer_len, rl_arena *arena, rl_verdict *out, rl_err *err) {
    size_t vowels = 0;
    (void)self;
    (void)problem;
    (void)arena;
    *out = (rl_verdict){.kind = RL_VERDICT_PARTIAL, .total = 1};
    if (broken_every > 0 && answer_len % (size_t)broken_every == 0) {
        out->kind = RL_VERDICT_UNKNOWN;
        return rl_fail(err, RL_IO, "toy verifier is broken");
    }
    for (size_t i = 0; i < answer_len; i++) {
        vowels += strchr("aeiou", answer[i]) != NULL && answer[i] != '\0';
    }
    out->score = answer_len > 0 ? (double)vowels / (double)(answer_len + 1) : 0;
    out->feedback = "more vowels";
    out->feedback_len = strlen(out->feedback);
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
    " \"data\": {\"train\": \"" RL_GOLDEN_DIR "/data/toy_problems.jsonl\"},"
    " \"rollout\": {\"prompts\": 2, \"group_size\": 4, \"turns\": 2, \"max_new_tokens\": 12},"
    " \"rewards\": [{\"name\": \"code_tests\"}],"
    " \"algo\": {\"name\": \"murphy\"},"
    " \"optim\": {\"lr\": 1e-3, \"schedule\": \"constant\"},"
    " \"run\": {\"steps\": 3, \"seed\": 5},"
    " \"compute\": {\"micro_tokens\": 1200}}";

/* Runs with the toy verifier in place of code_tests, into folder/name. */
static rl_status run(const char *name, const char *const *set, size_t n_set, int64_t *steps,
                     rl_err *err) {
    const char *all[16];
    char path[4096], dir[4096];
    rl_recipe recipe;
    rl_errors errors = {0};
    rl_verifier toy = {
        .name = "code_tests", .open = toy_open, .verify = toy_verify, .close = toy_close};
    rl_trainer *trainer = NULL;
    rl_status status;
    snprintf(path, sizeof path, "%s/recipe.json", folder);
    snprintf(dir, sizeof dir, "run.dir=%s/%s", folder, name);
    assert_int_equal(rl_fs_write(path, recipe_text, strlen(recipe_text), err), RL_OK);
    all[0] = dir;
    for (size_t i = 0; i < n_set; i++) {
        all[i + 1] = set[i];
    }
    if (rl_recipe_load(path, all, n_set + 1, &recipe, &errors) != RL_OK) {
        fail_msg("%s", rl_str_text(&errors.text));
    }
    toy.options = recipe.reward[0].row->options;
    recipe.reward[0].row = &toy;
    *steps = 0;
    status = rl_trainer_open(&recipe, false, NULL, &trainer, err);
    if (status == RL_OK) {
        status = rl_trainer_run(trainer, steps, err);
    }
    rl_trainer_close(trainer);
    rl_recipe_release(&recipe);
    return status;
}

static char *slurp(rl_arena *arena, const char *name, const char *file, size_t *len) {
    char path[4096], *text;
    rl_err err;
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    assert_ok(rl_fs_read(path, arena, &text, len, &err));
    return text;
}

static void assert_same_file(const char *a, const char *b, const char *file) {
    rl_arena *arena = rl_arena_new(0);
    size_t n, m;
    char *x = slurp(arena, a, file, &n), *y = slurp(arena, b, file, &m);
    if (n != m || memcmp(x, y, n) != 0) {
        fail_msg("'%s' of runs '%s' and '%s' differ", file, a, b);
    }
    rl_arena_free(arena);
}

// The model samples NUL bytes, which our own reader refuses in any text; others take them.
static void hide_nul_bytes(char *text) {
    for (char *at = strstr(text, "\\u0000"); at != NULL; at = strstr(at, "\\u0000")) {
        at[5] = '1';
    }
}

typedef void each_line(const rl_json *record, void *context);

static int64_t for_each_line(const char *name, const char *file, each_line *call, void *context) {
    rl_arena *arena = rl_arena_new(0);
    size_t len;
    char *text = slurp(arena, name, file, &len);
    int64_t n = 0;
    hide_nul_bytes(text);
    for (size_t at = 0; at < len;) {
        size_t end = (size_t)(strchr(text + at, '\n') - text);
        rl_json_doc *doc;
        rl_err err;
        assert_ok(rl_json_parse(text + at, end - at, file, &doc, &err));
        call(rl_json_root(doc), context);
        rl_json_free(doc);
        at = end + 1;
        n++;
    }
    rl_arena_free(arena);
    return n;
}

static double number(const rl_json *record, const char *key) {
    const rl_json *value = rl_json_get(record, key);
    if (value == NULL) {
        fail_msg("no '%s'", key);
    }
    return rl_json_number(value, (double)NAN);
}

static void check_metrics(const rl_json *m, void *context) {
    static const char *const keys[] = {"step",
                                       "reward",
                                       "reward_std",
                                       "frac_reward_zero_std",
                                       "loss",
                                       "grad_norm",
                                       "learning_rate",
                                       "entropy",
                                       "completions/mean_length",
                                       "completions/clipped_ratio",
                                       "turn1/reward",
                                       "turn1/solved",
                                       "turn2/reward",
                                       "turn2/solved",
                                       "sandbox/ok",
                                       "sandbox/fail",
                                       "sandbox/timeout",
                                       "sandbox/unknown",
                                       "timing_s/rollout",
                                       "timing_s/reward",
                                       "timing_s/train",
                                       "timing_s/step",
                                       "perf/decode_tok_s",
                                       "perf/train_tok_s",
                                       "perf/peak_rss_mb",
                                       "sampling/sampling_logp_difference/mean"};
    int64_t *step = context;
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        assert_true(isfinite(number(m, keys[i])));
    }
    assert_true(number(m, "step") == (double)++*step);
    assert_true(number(m, "sampling/sampling_logp_difference/max") == 0.0);
    assert_true(number(m, "entropy") > 0 && number(m, "grad_norm") > 0);
}

// Rows of a single-turn run have the same keys; what a second turn would measure is null.
static void check_one_turn(const rl_json *m, void *context) {
    static const char *const absent[] = {"turn2/reward", "turn2/solved"};
    static const char *const keys[] = {"step",
                                       "reward",
                                       "reward_std",
                                       "frac_reward_zero_std",
                                       "loss",
                                       "grad_norm",
                                       "learning_rate",
                                       "entropy",
                                       "completions/mean_length",
                                       "completions/clipped_ratio",
                                       "sampling/sampling_logp_difference/max",
                                       "turn1/reward",
                                       "turn1/solved",
                                       "turn2/samples",
                                       "turns/no_room",
                                       "sandbox/ok",
                                       "sandbox/fail",
                                       "sandbox/timeout",
                                       "sandbox/unknown",
                                       "timing_s/rollout",
                                       "timing_s/reward",
                                       "timing_s/train",
                                       "timing_s/step",
                                       "perf/decode_tok_s",
                                       "perf/train_tok_s",
                                       "perf/peak_rss_mb"};
    (void)context;
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        if (!isfinite(number(m, keys[i]))) {
            fail_msg("'%s' is no number", keys[i]);
        }
    }
    for (size_t i = 0; i < RL_COUNT(absent); i++) {
        const rl_json *value = rl_json_get(m, absent[i]);
        assert_non_null(value);
        assert_int_equal(rl_json_type_of(value), RL_JSON_NULL);
    }
    assert_true(number(m, "turn2/samples") == 0);
}

typedef struct forest_check {
    double step;
    int32_t next, parent_turn[64], group[64];
} forest_check;

static void check_sample(const rl_json *s, void *context) {
    forest_check *f = context;
    int32_t id = (int32_t)number(s, "sample"), turn = (int32_t)number(s, "turn");
    const rl_json *parent = rl_json_get(s, "parent");
    if (number(s, "step") != f->step) {
        *f = (forest_check){.step = number(s, "step")};
    }
    assert_int_equal(id, f->next++);
    f->parent_turn[id] = turn;
    f->group[id] = (int32_t)number(s, "group");
    if (turn == 1) {
        assert_int_equal(rl_json_type_of(parent), RL_JSON_NULL);
    } else {
        int32_t p = (int32_t)rl_json_number(parent, -1);
        assert_true(p >= 0 && p < id && f->parent_turn[p] == turn - 1 &&
                    f->group[p] != f->group[id]);
    }
    assert_int_equal(rl_json_count(rl_json_get(s, "completion_ids")),
                     rl_json_count(rl_json_get(s, "logprobs")));
    assert_true(rl_json_count(rl_json_get(s, "prompt_ids")) > 0);
    assert_string_equal(rl_json_text(rl_json_get(s, "verdict"), ""), "partial");
    assert_true(isfinite(number(s, "reward")) && isfinite(number(s, "credit")));
    assert_true(number(s, "credit") >= number(s, "reward"));
    assert_true(isfinite(number(rl_json_get(s, "rewards"), "code_tests")));
}

static void a_run_writes_what_it_did(void **state) {
    int64_t steps, step = 0;
    forest_check forest = {0};
    rl_arena *arena = rl_arena_new(0);
    size_t len;
    rl_err err;
    (void)state;
    assert_ok(run("base", NULL, 0, &steps, &err));
    assert_int_equal(steps, 3);
    assert_int_equal(for_each_line("base", "metrics.jsonl", check_metrics, &step), 3);
    // Nobody is ever solved: 2 problems, 4 first attempts each, 4 more after each.
    assert_int_equal(for_each_line("base", "completions.jsonl", check_sample, &forest),
                     3 * 2 * (4 + 16));
    (void)slurp(arena, "base", "recipe.effective.json", &len);
    (void)slurp(arena, "base", "checkpoint-3/DONE", &len);
    (void)slurp(arena, "base", "checkpoint-3/model.safetensors", &len);
    (void)slurp(arena, "base", "checkpoint-3/tokenizer.json", &len);
    (void)slurp(arena, "base", "checkpoint-3/config.json", &len);
    rl_arena_free(arena);
    // The folder now holds a run.
    assert_int_equal(run("base", NULL, 0, &steps, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "--overwrite"));
}

// The promise: a whole run has the same bits on any number of threads, the forward on any kernel
// set.
static void threads_and_kernels_change_nothing(void **state) {
    static const char *const one[] = {"compute.threads=1"};
    static const char *const two[] = {"compute.threads=2"};
    static const char *const kernels[] = {"ref", "avx2", "avx512"};
    int64_t steps;
    rl_err err;
    (void)state;
    assert_ok(run("one", one, 1, &steps, &err));
    assert_ok(run("two", two, 1, &steps, &err));
    assert_same_file("one", "two", "completions.jsonl");
    assert_same_file("one", "two", "checkpoint-3/model.safetensors");
    assert_ok(run("first", (const char *const[]){"run.steps=1"}, 1, &steps, &err));
    for (size_t i = 0; i < RL_COUNT(kernels); i++) {
        char set[64];
        const char *const sets[] = {set, "run.steps=1"};
        snprintf(set, sizeof set, "compute.kernels=%s", kernels[i]);
        if (!rl_cpu_has((rl_kernels)(RL_KERNELS_REF + i))) {
            print_message("skipped: this processor has no %s\n", kernels[i]);
            continue;
        }
        assert_ok(run(kernels[i], sets, 2, &steps, &err));
        assert_same_file("first", kernels[i], "completions.jsonl");
    }
}

// Muon's updates are not AdamW's, and no more than those do they see the threads.
static void muon_is_the_same_on_any_threads(void **state) {
    static const char *const one[] = {"optim.name=muon", "compute.threads=1"};
    static const char *const two[] = {"optim.name=muon", "compute.threads=2"};
    rl_arena *arena = rl_arena_new(0);
    char *muon, *adamw;
    size_t n, m;
    int64_t steps;
    rl_err err;
    (void)state;
    assert_ok(run("muon-one", one, RL_COUNT(one), &steps, &err));
    assert_ok(run("muon-two", two, RL_COUNT(two), &steps, &err));
    assert_same_file("muon-one", "muon-two", "completions.jsonl");
    assert_same_file("muon-one", "muon-two", "checkpoint-3/model.safetensors");
    muon = slurp(arena, "muon-one", "checkpoint-3/model.safetensors", &n);
    adamw = slurp(arena, "one", "checkpoint-3/model.safetensors", &m);
    assert_int_equal(n, m);
    assert_memory_not_equal(muon, adamw, n);
    rl_arena_free(arena);
}

static bool wrote(const char *name, const char *file) {
    char path[4096];
    snprintf(path, sizeof path, "%s/%s/%s", folder, name, file);
    return rl_fs_exists(path);
}

// With adapters a checkpoint is what peft writes, it trains on from there, and the bits are still
// the same on any threads.
static void adapters_train(void **state) {
    static const char *const one[] = {"lora.r=4", "lora.target_modules=[\"q_proj\", \"down_proj\"]",
                                      "compute.threads=1"};
    static const char *const two[] = {"lora.r=4", "lora.target_modules=[\"q_proj\", \"down_proj\"]",
                                      "compute.threads=2"};
    static const char file[] = "checkpoint-3/adapter_model.safetensors";
    char path[4096], adapter[4096];
    const char *const as_model[] = {path}, *const on_model[] = {adapter},
                      *const both[] = {path, "lora.r=4"};
    rl_arena *arena = rl_arena_new(0);
    int64_t steps, step = 0;
    size_t n, m;
    char *a, *b;
    rl_err err;
    (void)state;
    assert_ok(run("lora-one", one, RL_COUNT(one), &steps, &err));
    assert_ok(run("lora-two", two, RL_COUNT(two), &steps, &err));
    assert_int_equal(for_each_line("lora-one", "metrics.jsonl", check_metrics, &step), 3);
    assert_same_file("lora-one", "lora-two", "completions.jsonl");
    assert_same_file("lora-one", "lora-two", file);
    assert_true(wrote("lora-one", "checkpoint-3/DONE"));
    assert_true(wrote("lora-one", "checkpoint-3/adapter_config.json"));
    assert_true(wrote("lora-one", "checkpoint-3/tokenizer.json"));
    assert_false(wrote("lora-one", "checkpoint-3/model.safetensors"));
    assert_false(wrote("lora-one", "checkpoint-3/config.json"));
    snprintf(path, sizeof path, "model.path=%s/lora-one/checkpoint-3", folder);
    snprintf(adapter, sizeof adapter, "model.adapter=%s/lora-one/checkpoint-3", folder);
    assert_ok(run("lora-on", as_model, 1, &steps, &err));
    assert_ok(run("lora-over", on_model, 1, &steps, &err));
    assert_same_file("lora-on", "lora-over", "completions.jsonl");
    assert_same_file("lora-on", "lora-over", file);
    a = slurp(arena, "lora-one", file, &n);
    b = slurp(arena, "lora-on", file, &m);
    assert_int_equal(n, m);
    assert_memory_not_equal(a, b, n);
    assert_int_equal(run("lora-both", both, 2, &steps, &err), RL_BAD_RECIPE);
    assert_non_null(strstr(err.text, "'model.path' is one already"));
    rl_arena_free(arena);
}

static void take_reward(const rl_json *m, void *context) {
    double *reward = context;
    reward[(int)number(m, "step")] = number(m, "reward");
}

static void it_learns(void **state) {
    static const char *const grpo[] = {
        "algo.name=grpo", "rollout.turns=1", "rollout.group_size=8",     "rollout.prompts=4",
        "run.steps=30",   "optim.lr=3e-3",   "rollout.max_new_tokens=16"};
    double reward[31] = {0}, early = 0, late = 0;
    int64_t steps;
    rl_err err;
    (void)state;
    assert_ok(run("learns", grpo, RL_COUNT(grpo), &steps, &err));
    for_each_line("learns", "metrics.jsonl", take_reward, reward);
    assert_int_equal(for_each_line("learns", "metrics.jsonl", check_one_turn, NULL), 30);
    for (int i = 1; i <= 5; i++) {
        early += reward[i] / 5;
        late += reward[i + 25] / 5;
    }
    print_message("mean reward of the first five steps %.3f, of the last five %.3f\n", early, late);
    assert_true(late > early + 0.1);
}

static void count_unknown(const rl_json *m, void *context) {
    double *n = context;
    *n += number(m, "sandbox/unknown");
    assert_true(number(m, "sampling/sampling_logp_difference/max") == 0.0);
}

static void check_unscored(const rl_json *s, void *context) {
    int64_t *n = context;
    if (strcmp(rl_json_text(rl_json_get(s, "verdict"), ""), "unknown") == 0) {
        ++*n;
        assert_int_equal(rl_json_type_of(rl_json_get(s, "reward")), RL_JSON_NULL);
        assert_int_equal(rl_json_type_of(rl_json_get(s, "credit")), RL_JSON_NULL);
        assert_int_equal(rl_json_type_of(rl_json_get(s, "advantage")), RL_JSON_NULL);
        assert_false(rl_json_bool(rl_json_get(s, "kept"), true));
    }
}

// A broken verifier is never a reward: such samples are counted, left out, and the run goes on.
static void broken_verdicts_are_left_out(void **state) {
    double unknown = 0;
    int64_t steps, unscored = 0;
    rl_err err;
    (void)state;
    broken_every = 3;
    assert_ok(run("broken", (const char *const[]){"run.max_unknown=1"}, 1, &steps, &err));
    broken_every = 0;
    for_each_line("broken", "metrics.jsonl", count_unknown, &unknown);
    for_each_line("broken", "completions.jsonl", check_unscored, &unscored);
    assert_true(unscored > 0 && unknown >= (double)unscored);
}

// A verifier that never answers is not a run that finished.
static void dead_judges_stop_the_run(void **state) {
    int64_t steps;
    rl_err err;
    (void)state;
    broken_every = 1;
    assert_int_equal(run("dead", NULL, 0, &steps, &err), RL_IO);
    broken_every = 0;
    assert_int_equal(steps, 1);
    assert_non_null(strstr(err.text, "8 of 8 verdicts could not be reached"));
    assert_non_null(strstr(err.text, "toy verifier is broken"));
}

// A copy of the tiny model whose final norm has every weight replaced.
static void copy_model(const char *name, float norm_weight) {
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    rl_arena *arena = rl_arena_new(0);
    char *dir = rl_arena_printf(arena, "%s/%s", folder, name), *bytes;
    size_t len;
    rl_err err;
    assert_ok(rl_fs_mkdirs(dir, &err));
    for (size_t i = 0; i < RL_COUNT(files); i++) {
        assert_ok(
            rl_fs_copy(rl_arena_printf(arena, "%s/%s", rl_golden("models/tiny-chat"), files[i]),
                       rl_path_join(arena, dir, files[i]), &err));
    }
    assert_ok(
        rl_fs_read(rl_golden("models/tiny-chat/model.safetensors"), arena, &bytes, &len, &err));
    // "model.norm.weight" is the last tensor of the file: 48 floats.
    for (size_t at = len - 48 * sizeof norm_weight; at < len; at += sizeof norm_weight) {
        memcpy(bytes + at, &norm_weight, sizeof norm_weight);
    }
    assert_ok(rl_fs_write(rl_path_join(arena, dir, "model.safetensors"), bytes, len, &err));
    rl_arena_free(arena);
}

// A folder without weights; what such a run writes is a model like any other.
static void a_run_may_draw_its_weights(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char *set = rl_arena_printf(arena, "model.path=%s/bare", folder), *again;
    const char *const sets[] = {set, "model.init=random", "run.steps=1"};
    int64_t steps;
    rl_err err;
    (void)state;
    copy_model("bare", 1);
    assert_ok(rl_fs_remove(rl_arena_printf(arena, "%s/bare/model.safetensors", folder), &err));
    assert_int_equal(run("unborn", (const char *const[]){set}, 1, &steps, &err), RL_IO);
    assert_ok(run("born", sets, RL_COUNT(sets), &steps, &err));
    assert_ok(run("born-again", sets, RL_COUNT(sets), &steps, &err));
    assert_same_file("born", "born-again", "checkpoint-1/model.safetensors");
    again = rl_arena_printf(arena, "model.path=%s/born/checkpoint-1", folder);
    assert_ok(run("grown", (const char *const[]){again, "run.steps=1"}, 2, &steps, &err));
    rl_arena_free(arena);
}

// The run itself stays as it is; only what is written is rounded.
static void a_run_may_save_halves(void **state) {
    rl_arena *arena = rl_arena_new(0);
    size_t whole, half, text;
    int64_t steps;
    rl_err err;
    (void)state;
    assert_ok(run("whole", (const char *const[]){"run.save_every=1"}, 1, &steps, &err));
    assert_ok(run("half", (const char *const[]){"run.save_every=1", "run.save_dtype=bf16"}, 2,
                  &steps, &err));
    assert_same_file("whole", "half", "completions.jsonl");
    (void)slurp(arena, "whole", "checkpoint-3/model.safetensors", &whole);
    (void)slurp(arena, "half", "checkpoint-3/model.safetensors", &half);
    assert_true(half < whole * 6 / 10);
    assert_non_null(strstr(slurp(arena, "half", "checkpoint-3/config.json", &text), "bfloat16"));
    rl_arena_free(arena);
}

static void numbers_that_explode_stop_the_run(void **state) {
    char set[4096];
    const char *const sets[] = {set};
    int64_t steps;
    rl_err err;
    (void)state;
    copy_model("huge", 3e38f);
    snprintf(set, sizeof set, "model.path=%s/huge", folder);
    assert_int_equal(run("exploded", sets, 1, &steps, &err), RL_ALARM);
    assert_non_null(strstr(err.text, "step 1: output of model.norm is not finite"));
    assert_non_null(strstr(err.text, "failed-batch-1.jsonl"));
    assert_int_equal(steps, 1); // begun

    copy_model("nan", NAN);
    snprintf(set, sizeof set, "model.path=%s/nan", folder);
    assert_int_equal(run("nan-run", sets, 1, &steps, &err), RL_IO);
    assert_non_null(strstr(err.text, "'model.norm.weight'"));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_writes_what_it_did),
        cmocka_unit_test(threads_and_kernels_change_nothing),
        cmocka_unit_test(muon_is_the_same_on_any_threads),
        cmocka_unit_test(adapters_train),
        cmocka_unit_test(it_learns),
        cmocka_unit_test(broken_verdicts_are_left_out),
        cmocka_unit_test(dead_judges_stop_the_run),
        cmocka_unit_test(a_run_may_draw_its_weights),
        cmocka_unit_test(a_run_may_save_halves),
        cmocka_unit_test(numbers_that_explode_stop_the_run),
    };
    return cmocka_run_group_tests(tests, setup_folder, drop_folder);
}
