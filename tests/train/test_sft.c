/*
 * Supervised runs of a tiny random model: what a run writes, that it learns, that threads do not
 * change it, what it measures beside its loss, and how it stops.
 */
#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/log.h"
#include "rl/policy/score.h"
#include "rl/rollout/corpus.h"
#include "rl/train/trainer.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

static char *folder;
static volatile sig_atomic_t stop_asked;

/* A judge whom every answer pleases. */
static rl_status toy_open(void **self, const void *opts, rl_sandbox *sandbox, rl_err *err) {
    (void)opts, (void)sandbox, (void)err;
    *self = &folder;
    return RL_OK;
}

static rl_status toy_verify(const void *self, const rl_problem *problem, const char *answer,
                            size_t answer_len, rl_arena *arena, rl_verdict *out, rl_err *err) {
    (void)self, (void)problem, (void)answer, (void)answer_len, (void)arena, (void)err;
    *out = (rl_verdict){.kind = RL_VERDICT_PASS, .score = 1, .total = 1, .passed = 1};
    return RL_OK;
}

static void toy_close(void *self) {
    (void)self;
}

static void write_file(const char *name, const char *text, size_t len) {
    char path[4096];
    rl_err err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(rl_fs_write(path, text, len, &err));
}

// Additions with a second try, the result of it weighted.
static int setup_folder(void **state) {
    rl_str text = {0};
    (void)state;
    rl_log_setup(NULL, RL_LOG_ERROR);
    folder = rl_test_folder();
    for (int i = 0; i < 40; i++) {
        rl_str_appendf(&text,
                       "{\"messages\": [{\"role\": \"user\", \"content\": \"add %d\"},"
                       " {\"role\": \"assistant\", \"content\": \"x + %d\", \"weight\": 0.5},"
                       " {\"role\": \"user\", \"content\": \"want %d\"},"
                       " {\"role\": \"assistant\", \"content\": \"x + %d\","
                       " \"spans\": [[4, 5, 4]]}]}\n",
                       i % 10, i % 7, i % 10, i % 10);
    }
    write_file("train.jsonl", text.ptr, text.len);
    rl_str_clear(&text);
    for (int i = 0; i < 9; i++) {
        rl_str_appendf(&text, "{\"prompt\": \"add %d\", \"completion\": \"x + %d\"}\n", i, i);
    }
    write_file("held.jsonl", text.ptr, text.len);
    rl_str_release(&text);
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    rl_test_drop(folder);
    return 0;
}

static const char recipe_text[] = "{\"model\": {\"path\": \"" RL_GOLDEN_DIR "/models/tiny-chat\"},"
                                  " \"data\": {\"train\": \"train.jsonl\"},"
                                  " \"algo\": {\"name\": \"sft\", \"batch_size\": 6},"
                                  " \"optim\": {\"lr\": 3e-3, \"schedule\": \"constant\"},"
                                  " \"run\": {\"steps\": 3, \"seed\": 5},"
                                  " \"compute\": {\"micro_tokens\": 100}}";

static rl_status load(const char *name, const char *const *set, size_t n_set, rl_recipe *recipe,
                      rl_errors *errors) {
    const char *all[16];
    char path[4096], dir[4096];
    snprintf(path, sizeof path, "%s/recipe.json", folder);
    snprintf(dir, sizeof dir, "run.dir=%s/%s", folder, name);
    write_file("recipe.json", recipe_text, strlen(recipe_text));
    all[0] = dir;
    for (size_t i = 0; i < n_set; i++) {
        all[i + 1] = set[i];
    }
    return rl_recipe_load(path, all, n_set + 1, recipe, errors);
}

/* Runs into folder/name; a reward is judged by the toy. */
static rl_status run(const char *name, const char *const *set, size_t n_set, rl_err *err) {
    rl_recipe recipe;
    rl_errors errors = {0};
    rl_verifier toy = {
        .name = "code_tests", .open = toy_open, .verify = toy_verify, .close = toy_close};
    rl_trainer *trainer = NULL;
    int64_t steps;
    rl_status status;
    if (load(name, set, n_set, &recipe, &errors) != RL_OK) {
        fail_msg("%s", rl_str_text(&errors.text));
    }
    if (recipe.n_rewards > 0) {
        toy.options = recipe.reward[0].row->options;
        recipe.reward[0].row = &toy;
    }
    status = rl_trainer_open(&recipe, false, &stop_asked, &trainer, err);
    if (status == RL_OK) {
        status = rl_trainer_run(trainer, &steps, err);
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

typedef void each_line(const rl_json *record, void *context);

static int for_each_line(const char *name, const char *file, each_line *call, void *context) {
    rl_arena *arena = rl_arena_new(0);
    size_t len;
    char *text = slurp(arena, name, file, &len);
    int n = 0;
    for (size_t at = 0; at < len; n++) {
        size_t end = (size_t)(strchr(text + at, '\n') - text);
        rl_json_doc *doc;
        rl_err err;
        assert_ok(rl_json_parse(text + at, end - at, file, &doc, &err));
        call(rl_json_root(doc), context);
        rl_json_free(doc);
        at = end + 1;
    }
    rl_arena_free(arena);
    return n;
}

static bool is_null(const rl_json *record, const char *key) {
    const rl_json *value = rl_json_get(record, key);
    return value != NULL && rl_json_type_of(value) == RL_JSON_NULL;
}

static void check_row(const rl_json *m, void *context) {
    static const char *const keys[] = {"step",
                                       "epoch",
                                       "loss",
                                       "loss/completion",
                                       "loss/weighted",
                                       "entropy",
                                       "grad_norm",
                                       "learning_rate",
                                       "num_tokens",
                                       "mean_token_nll",
                                       "timing_s/step",
                                       "perf/train_tok_s",
                                       "perf/peak_rss_mb"};
    double *last = context; // step and tokens of the row before
    for (size_t i = 0; i < RL_COUNT(keys); i++) {
        assert_true(rl_test_number(m, keys[i]) > 0);
    }
    assert_true(is_null(m, "loss/prompt"));
    assert_true(rl_test_number(m, "step") == last[0] + 1);
    assert_true(rl_test_number(m, "epoch") == rl_test_number(m, "step") * 6 / 40);
    assert_true(rl_test_number(m, "num_tokens") > last[1]);
    last[0] = rl_test_number(m, "step");
    last[1] = rl_test_number(m, "num_tokens");
}

static void a_run_writes_what_it_did(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char path[4096];
    double last[2] = {0};
    size_t len;
    rl_err err;
    (void)state;
    assert_ok(run("base", NULL, 0, &err));
    assert_int_equal(for_each_line("base", "metrics.jsonl", check_row, last), 3);
    (void)slurp(arena, "base", "recipe.effective.json", &len);
    (void)slurp(arena, "base", "checkpoint-3/model.safetensors", &len);
    (void)slurp(arena, "base", "checkpoint-3/tokenizer.json", &len);
    (void)slurp(arena, "base", "checkpoint-3/DONE", &len);
    snprintf(path, sizeof path, "%s/base/completions.jsonl", folder);
    assert_false(rl_fs_exists(path));
    rl_arena_free(arena);
}

static void take_first(const rl_json *m, void *context) {
    double *row = context;
    if (rl_test_number(m, "step") == 1) {
        row[0] = rl_test_number(m, "loss");
        row[1] = rl_test_number(m, "loss/completion");
        row[2] = rl_test_number(m, "loss/weighted");
        row[3] = rl_test_number(m, "mean_token_nll");
        row[4] = rl_test_number(m, "num_tokens");
    }
}

static rl_corpus *load_corpus(const rl_test_model *model, const char *name) {
    char path[4096];
    rl_tokenizer *tokenizer;
    rl_chat *chat;
    rl_corpus *corpus;
    rl_err err;
    assert_ok(rl_tokenizer_load(rl_checkpoint_path(model->checkpoint), &tokenizer, &err));
    assert_ok(rl_chat_new(tokenizer, &chat, &err));
    rl_corpus_opts opts = {.tokenizer = tokenizer, .chat = chat, .system = "", .max_tokens = 1024};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(rl_corpus_load(path, &opts, &corpus, &err));
    rl_chat_free(chat);
    rl_tokenizer_free(tokenizer);
    return corpus;
}

/* Sums over tokens, told apart by their weight. */
typedef struct parts {
    double loss, weight, said, full, heavy;
    int n_said, n_full, n_heavy, n_tokens;
} parts;

static void add_conversation(rl_policy *policy, const rl_conversation *item, parts *p) {
    double logp[256];
    rl_segment segment = {
        .parent = -1, .token = item->token, .n_tokens = item->n_tokens, .wanted = true};
    int32_t t = 1;
    rl_err err;
    assert_ok(rl_policy_score(policy, &segment, 1, 1.0, logp, NULL, &err));
    for (int32_t k = 0; k < item->n_stretches; k++) {
        double w = (double)item->stretch[k].weight;
        for (; t < item->stretch[k].end; t++) {
            p->loss -= w * logp[t - 1];
            p->weight += w;
            p->said -= w > 0 ? logp[t - 1] : 0;
            p->full -= w >= 1 ? logp[t - 1] : 0;
            p->heavy -= w > 1 ? logp[t - 1] : 0;
            p->n_said += w > 0;
            p->n_full += w >= 1;
            p->n_heavy += w > 1;
        }
    }
    p->n_tokens += item->n_tokens;
}

static void assert_near(double got, double want) {
    if (!(fabs(got - want) <= 1e-10 * (1 + fabs(want)))) {
        fail_msg("%.15g is not %.15g", got, want);
    }
}

// The numbers of the first step, before any update, by scoring its conversations one by one.
static void numbers_are_those_of_the_data(void **state) {
    static const char *const set[] = {"data.shuffle=false"};
    double row[5] = {0};
    parts p = {0};
    rl_test_model model = {0};
    rl_corpus *corpus;
    rl_err err;
    (void)state;
    assert_ok(run("ordered", set, 1, &err));
    for_each_line("ordered", "metrics.jsonl", take_first, row);
    rl_test_model_open(&model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, 1, false);
    corpus = load_corpus(&model, "train.jsonl");
    for (int32_t i = 0; i < 6; i++) {
        add_conversation(model.policy, rl_corpus_at(corpus, i), &p);
    }
    assert_near(row[0], p.loss / p.weight);
    assert_near(row[1], p.said / p.n_said);
    assert_near(row[2], p.heavy / p.n_heavy);
    assert_near(row[3], p.full / p.n_full);
    assert_near(row[4], p.n_tokens);
    rl_corpus_free(corpus);
    rl_test_model_close(&model);
}

/* Loss and gradient norm of every step. */
typedef struct series {
    double loss[64], norm[64], prompt[64];
    int n;
} series;

static void take_series(const rl_json *m, void *context) {
    series *s = context;
    if (rl_json_get(m, "grad_norm") != NULL) {
        s->loss[s->n] = rl_test_number(m, "loss");
        s->norm[s->n] = rl_test_number(m, "grad_norm");
        s->prompt[s->n++] = rl_json_number(rl_json_get(m, "loss/prompt"), (double)NAN);
    }
}

static void threads_change_nothing_and_splits_little(void **state) {
    static const char *const one[] = {"compute.threads=1"}, *const two[] = {"compute.threads=2"};
    static const char *const wide[] = {"compute.micro_tokens=4096"};
    rl_arena *arena = rl_arena_new(0);
    series a = {0}, b = {0}, c = {0};
    size_t n, m;
    rl_err err;
    (void)state;
    assert_ok(run("one", one, 1, &err));
    assert_ok(run("two", two, 1, &err));
    assert_ok(run("wide", wide, 1, &err));
    char *x = slurp(arena, "one", "checkpoint-3/model.safetensors", &n);
    char *y = slurp(arena, "two", "checkpoint-3/model.safetensors", &m);
    assert_int_equal(n, m);
    assert_memory_equal(x, y, n);
    for_each_line("one", "metrics.jsonl", take_series, &a);
    for_each_line("two", "metrics.jsonl", take_series, &b);
    for_each_line("wide", "metrics.jsonl", take_series, &c);
    assert_int_equal(a.n, 3);
    for (int i = 0; i < a.n; i++) {
        assert_true(a.loss[i] == b.loss[i] && a.norm[i] == b.norm[i]);
        assert_true(fabs(a.norm[i] - c.norm[i]) <= 1e-5 * a.norm[i]);
    }
    assert_near(a.loss[0], c.loss[0]);
    rl_arena_free(arena);
}

/* Rows of evaluations. */
typedef struct evals {
    double step[8], loss[8], iter1[8];
    int n;
} evals;

static void take_eval(const rl_json *m, void *context) {
    evals *e = context;
    if (rl_json_get(m, "eval/loss") != NULL) {
        e->step[e->n] = rl_test_number(m, "step");
        e->loss[e->n] = rl_test_number(m, "eval/loss");
        assert_true(rl_test_number(m, "eval/loss/completion") == e->loss[e->n]);
        assert_true(rl_test_number(m, "eval/mean_token_nll") == e->loss[e->n]);
        assert_true(rl_test_number(m, "eval/entropy") > 0);
        assert_true(is_null(m, "eval/loss/weighted") && is_null(m, "eval/loss/prompt"));
        e->iter1[e->n++] = rl_json_number(rl_json_get(m, "eval/toy_problems/iter1"), (double)NAN);
    }
}

static void it_learns(void **state) {
    char held[4096];
    const char *const set[] = {"run.steps=40", "eval.every=16", held};
    series s = {0};
    evals e = {0};
    parts p = {0};
    rl_test_model model = {0};
    rl_corpus *corpus;
    rl_err err;
    (void)state;
    snprintf(held, sizeof held, "data.eval_loss=%s/held.jsonl", folder);
    assert_ok(run("learns", set, RL_COUNT(set), &err));
    for_each_line("learns", "metrics.jsonl", take_series, &s);
    for_each_line("learns", "metrics.jsonl", take_eval, &e);
    print_message("loss of the first step %.3f, of the last %.3f; held out %.3f, then %.3f\n",
                  s.loss[0], s.loss[39], e.loss[0], e.loss[3]);
    assert_int_equal(s.n, 40);
    assert_true(s.loss[39] < 0.4 * s.loss[0]);
    static const double steps[] = {0, 16, 32, 40};
    assert_int_equal(e.n, 4);
    for (int i = 0; i < 4; i++) {
        assert_true(e.step[i] == steps[i] && isnan(e.iter1[i]));
        assert_true(i == 0 || e.loss[i] < e.loss[i - 1]);
    }
    rl_test_model_open(&model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, 1, false);
    corpus = load_corpus(&model, "held.jsonl");
    for (int32_t i = 0; i < rl_corpus_size(corpus); i++) {
        add_conversation(model.policy, rl_corpus_at(corpus, i), &p);
    }
    assert_near(e.loss[0], p.loss / p.weight);
    rl_corpus_free(corpus);
    rl_test_model_close(&model);
}

static void prompts_may_be_learnt_too(void **state) {
    static const char *const set[] = {"algo.prompt_loss_weight=1", "run.steps=10"};
    series s = {0};
    rl_err err;
    (void)state;
    assert_ok(run("prompts", set, RL_COUNT(set), &err));
    for_each_line("prompts", "metrics.jsonl", take_series, &s);
    assert_true(s.prompt[0] > 0 && s.prompt[9] < 0.8 * s.prompt[0]);
}

// The pass rate of problems is followed as in any other run.
static void problems_are_evaluated_beside(void **state) {
    char held[4096];
    const char *const set[] = {"data.eval=" RL_GOLDEN_DIR "/data/toy_problems.jsonl",
                               "rewards=[{\"name\": \"code_tests\"}]",
                               "rollout={\"max_new_tokens\": 4}", held, "run.steps=1"};
    evals e = {0};
    rl_err err;
    (void)state;
    snprintf(held, sizeof held, "data.eval_loss=%s/held.jsonl", folder);
    assert_ok(run("beside", set, RL_COUNT(set), &err));
    for_each_line("beside", "metrics.jsonl", take_eval, &e);
    assert_int_equal(e.n, 2);
    assert_true(e.iter1[0] == 1 && e.iter1[1] == 1 && e.loss[1] < e.loss[0]);
    stop_asked = 1;
    assert_int_equal(run("stopped", set, RL_COUNT(set), &err), RL_INTERRUPTED);
    assert_int_equal(run("stopped-loss", set + 3, 2, &err), RL_INTERRUPTED);
    stop_asked = 0;
}

static void the_console_may_be_quiet(void **state) {
    static const char *const set[] = {"run.steps=25", "log.every=10"};
    char *text = NULL;
    size_t len = 0;
    FILE *sink = open_memstream(&text, &len);
    series s = {0};
    rl_err err;
    (void)state;
    assert_non_null(sink);
    rl_log_setup(sink, RL_LOG_INFO);
    assert_ok(run("quiet", set, RL_COUNT(set), &err));
    rl_log_setup(NULL, RL_LOG_ERROR);
    fclose(sink);
    assert_non_null(strstr(text, "\nstep 10/25"));
    assert_non_null(strstr(text, "\nstep 20/25"));
    assert_non_null(strstr(text, "\nstep 25/25")); // the last is always shown
    assert_null(strstr(text, "\nstep 1/25"));
    assert_null(strstr(text, "\nstep 11/25"));
    assert_int_equal(for_each_line("quiet", "metrics.jsonl", take_series, &s), 25);
    rl_free(text);
}

static void mistakes_are_told(void **state) {
    static const struct {
        const char *set[2];
        int n;
        const char *says;
    } bad[] = {
        {{"algo.batch_size=0"}, 1, "'algo.batch_size' is 0"},
        {{"algo.prompt_loss_weight=1.5"}, 1, "'algo.prompt_loss_weight' is 1.5"},
        {{"algo.epsilon=0.2"}, 1, "unknown key 'algo.epsilon'"},
        {{"eval.every=5"}, 1, "'eval.every' is 5 but"},
        {{"data.eval=p.jsonl"}, 1, "'data.eval' names problems, but 'rewards' names nothing"},
        {{"rewards={}", "data.eval=p.jsonl"}, 1, "'rewards' is an object"},
        {{"algo={\"name\": \"grpo\"}", "data.eval_loss=c.jsonl"}, 2, "by algo 'sft' alone"},
        {{"algo={\"name\": \"grpo\"}"}, 1, "'rewards' is missing or empty"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_recipe recipe;
        rl_errors errors = {0};
        rl_status status = load("bad", bad[i].set, bad[i].set[1] != NULL ? 2 : 1, &recipe, &errors);
        if (status != RL_BAD_RECIPE || errors.count != bad[i].n ||
            strstr(rl_str_text(&errors.text), bad[i].says) == NULL) {
            fail_msg("%s: %d mistakes: %s", bad[i].says, errors.count, rl_str_text(&errors.text));
        }
        rl_errors_release(&errors);
    }
}

static void files_are_refused(void **state) {
    static const struct {
        const char *set[2];
        rl_status status;
        const char *says;
    } bad[] = {
        {{"data.train=absent.jsonl", "run.seed=1"}, RL_IO, "'data.train' names"},
        {{"data.eval_loss=absent.jsonl", "run.seed=1"}, RL_IO, "'data.eval_loss' names"},
        {{"data.train=" RL_GOLDEN_DIR "/data/toy_problems.jsonl", "run.seed=1"},
         RL_IO,
         "line 1: has no 'messages', nor 'prompt' and 'completion'"},
        {{"algo.max_tokens=20", "run.seed=1"}, RL_BAD_RECIPE, "no conversation is left"},
        {{"algo.max_tokens=20", "data.over_long=refuse"}, RL_BAD_RECIPE, "line 1: has "},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_err err = {""};
        rl_status status = run("refused", bad[i].set, 2, &err);
        if (status != bad[i].status || strstr(err.text, bad[i].says) == NULL) {
            fail_msg("%s: status %d, %s", bad[i].set[0], (int)status, err.text);
        }
    }
}

static void check_failed(const rl_json *m, void *context) {
    rl_arena *arena = rl_arena_new(0);
    size_t n_ids, n_weights;
    int *n = context;
    assert_true(rl_test_number(m, "step") == 1 && rl_test_number(m, "line") > 0);
    (void)rl_test_numbers(rl_json_get(m, "ids"), arena, &n_ids);
    (void)rl_test_numbers(rl_json_get(m, "weights"), arena, &n_weights);
    assert_true(n_ids > 0 && n_ids == n_weights);
    ++*n;
    rl_arena_free(arena);
}

// A model whose final norm overflows: the batch that met it is kept.
static void numbers_that_explode_stop_the_run(void **state) {
    static const char *const files[] = {"config.json", "tokenizer.json", "tokenizer_config.json"};
    static const float huge = 3e38f;
    rl_arena *arena = rl_arena_new(0);
    char *dir = rl_arena_printf(arena, "%s/huge", folder), *bytes;
    const char *set[] = {rl_arena_printf(arena, "model.path=%s", dir)};
    int n = 0;
    size_t len;
    rl_err err;
    (void)state;
    assert_ok(rl_fs_mkdirs(dir, &err));
    for (size_t i = 0; i < RL_COUNT(files); i++) {
        const char *from = rl_arena_printf(arena, "%s/%s", rl_golden("models/tiny-chat"), files[i]);
        assert_ok(rl_fs_copy(from, rl_path_join(arena, dir, files[i]), &err));
    }
    assert_ok(
        rl_fs_read(rl_golden("models/tiny-chat/model.safetensors"), arena, &bytes, &len, &err));
    // "model.norm.weight" is the last tensor of the file: 48 floats.
    for (size_t at = len - 48 * sizeof huge; at < len; at += sizeof huge) {
        memcpy(bytes + at, &huge, sizeof huge);
    }
    assert_ok(rl_fs_write(rl_path_join(arena, dir, "model.safetensors"), bytes, len, &err));
    assert_int_equal(run("exploded", set, 1, &err), RL_ALARM);
    assert_non_null(strstr(err.text, "step 1: output of model.norm is not finite, seen first in "
                                     "the conversation of line "));
    assert_int_equal(for_each_line("exploded", "failed-batch-1.jsonl", check_failed, &n), 6);
    assert_int_equal(n, 6);
    rl_arena_free(arena);
}

static void a_dry_run_shows_the_weights(void **state) {
    static const char *const set[] = {"data.shuffle=false"};
    rl_recipe recipe;
    rl_errors errors = {0};
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    rl_err err;
    (void)state;
    assert_int_equal(load("dry", set, 1, &recipe, &errors), RL_OK);
    assert_ok(rl_trainer_dry_run(&recipe, false, to, &err));
    fclose(to);
    assert_non_null(strstr(text, "first conversation (line 1, "));
    assert_non_null(strstr(text, "[0] <|im_start|>user\nadd 0<|im_end|>\n<|im_start|>assistant\n"));
    assert_non_null(strstr(text, "\n[0.5] x + 0<|im_end|>\n"));
    assert_non_null(strstr(text, "\n[1] x +"));
    assert_non_null(strstr(text, "\n[4] "));
    assert_non_null(strstr(text, "steps: 3 of 6 conversations, 0.45 epochs of 40\n"));
    assert_non_null(strstr(text, "memory estimate: "));
    rl_free(text);
    rl_recipe_release(&recipe);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_run_writes_what_it_did),
        cmocka_unit_test(numbers_are_those_of_the_data),
        cmocka_unit_test(threads_change_nothing_and_splits_little),
        cmocka_unit_test(it_learns),
        cmocka_unit_test(prompts_may_be_learnt_too),
        cmocka_unit_test(problems_are_evaluated_beside),
        cmocka_unit_test(the_console_may_be_quiet),
        cmocka_unit_test(mistakes_are_told),
        cmocka_unit_test(files_are_refused),
        cmocka_unit_test(numbers_that_explode_stop_the_run),
        cmocka_unit_test(a_dry_run_shows_the_weights),
    };
    return cmocka_run_group_tests_name("sft", tests, setup_folder, drop_folder);
}
