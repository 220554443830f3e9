/* log.dump_step: the file of one step, for both objectives, against a policy of its own. */
#include <math.h>
#include <stdio.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/log.h"
#include "rl/policy/score.h"
#include "rl/tensor/ops.h"
#include "rl/train/trainer.h"
#include "tests/support/model.h"
#include "tests/support/support.h"

static char *folder;

/* A judge who likes short answers. */
static rl_status toy_open(void **self, const void *opts, rl_sandbox *sandbox, rl_err *err) {
    (void)opts, (void)sandbox, (void)err;
    *self = &folder;
    return RL_OK;
}

static rl_status toy_verify(const void *self, const rl_problem *problem, const char *answer,
                            size_t answer_len, rl_arena *arena, rl_verdict *out, rl_err *err) {
    (void)self, (void)problem, (void)answer, (void)arena, (void)err;
    *out = (rl_verdict){.kind = RL_VERDICT_PARTIAL,
                        .score = 1.0 / (double)(answer_len + 2),
                        .total = 1,
                        .feedback = "shorter",
                        .feedback_len = 7};
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

static void write_file(const char *name, const char *text) {
    char path[4096];
    rl_err err;
    snprintf(path, sizeof path, "%s/%s", folder, name);
    assert_ok(rl_fs_write(path, text, strlen(text), &err));
}

/* Runs the recipe into the folder's own. */
static void run(const char *text, const char *name) {
    rl_recipe recipe;
    rl_errors errors = {0};
    rl_err err = {""};
    rl_verifier toy = {
        .name = "code_tests", .open = toy_open, .verify = toy_verify, .close = toy_close};
    rl_trainer *trainer = NULL;
    int64_t steps;
    char path[4096], dir[4096];
    const char *set[] = {dir};
    snprintf(path, sizeof path, "%s/recipe.json", folder);
    snprintf(dir, sizeof dir, "run.dir=%s/%s", folder, name);
    write_file("recipe.json", text);
    if (rl_recipe_load(path, set, 1, &recipe, &errors) != RL_OK) {
        fail_msg("%s", rl_str_text(&errors.text));
    }
    if (recipe.n_rewards > 0) {
        toy.options = recipe.reward[0].row->options;
        recipe.reward[0].row = &toy;
    }
    assert_ok(rl_trainer_open(&recipe, false, NULL, &trainer, &err));
    assert_ok(rl_trainer_run(trainer, &steps, &err));
    rl_trainer_close(trainer);
    rl_recipe_release(&recipe);
}

static rl_safetensors *open_dump(const char *name, int step) {
    rl_safetensors *file;
    char path[4096];
    rl_err err;
    snprintf(path, sizeof path, "%s/%s/dump-%d.safetensors", folder, name, step);
    assert_ok(rl_safetensors_open(path, &file, &err));
    return file;
}

static double *reals(const rl_safetensors *file, const char *name, rl_arena *arena, int64_t *n) {
    const rl_weight *w = rl_safetensors_find(file, name);
    double *out;
    if (w == NULL) {
        fail_msg("no '%s'", name);
        return NULL;
    }
    assert_int_equal(w->stored, RL_STORED_F64);
    *n = rl_weight_count(w);
    out = rl_arena_alloc(arena, (size_t)*n, sizeof *out);
    memcpy(out, w->bytes, w->n_bytes);
    return out;
}

static double *step_number(const char *name, const char *key, int line, double *out) {
    rl_arena *arena = rl_arena_new(0);
    char path[4096], *text;
    rl_json_doc *doc;
    size_t len;
    rl_err err;
    snprintf(path, sizeof path, "%s/%s/metrics.jsonl", folder, name);
    assert_ok(rl_fs_read(path, arena, &text, &len, &err));
    for (; line > 1; line--) {
        text = strchr(text, '\n') + 1;
    }
    assert_ok(rl_json_parse_line(text, strcspn(text, "\n"), path, 1, &doc, &err));
    *out = rl_test_number(rl_json_root(doc), key);
    rl_json_free(doc);
    rl_arena_free(arena);
    return out;
}

/* The norm of all gradients in the file is the one that the step's metrics tell. */
static void check_norm(const rl_safetensors *file, const char *name, int step) {
    double sum = 0, told;
    size_t n_grads = 0;
    for (size_t i = 0; i < rl_safetensors_count(file); i++) {
        const rl_weight *w = rl_safetensors_at(file, i);
        if (strncmp(w->name, "grad.", 5) == 0) {
            float *x = rl_alloc((size_t)rl_weight_count(w), sizeof *x);
            rl_weight_to_f32(w, x);
            for (int64_t k = 0; k < rl_weight_count(w); k++) {
                sum += (double)x[k] * (double)x[k];
            }
            rl_free(x);
            n_grads++;
        }
    }
    assert_true(n_grads > 10);
    step_number(name, "grad_norm", step, &told);
    assert_true(told > 0 && fabs(sqrt(sum) - told) < 1e-5 * told);
}

/* The first of two steps, so that the weights are those of the model. */
static void test_supervised(void **state) {
    enum { ROWS = 4 };
    rl_test_model model;
    rl_arena *arena = rl_arena_new(0);
    rl_safetensors *file;
    int64_t n, n_rows;
    int32_t *ids, *length;
    double *weight, *logp, total = 0;
    rl_err err;
    (void)state;
    write_file("talks.jsonl", "{\"prompt\": \"add 1\", \"completion\": \"x + 1\"}\n"
                              "{\"prompt\": \"add 22\", \"completion\": \"x\", \"weight\": 0.5}\n"
                              "{\"prompt\": \"a\", \"completion\": \"x + 3, so to say\"}\n"
                              "{\"prompt\": \"add 4\", \"completion\": \"x + 4\"}\n");
    run("{\"model\": {\"path\": \"" RL_GOLDEN_DIR "/models/tiny-chat\"},"
        " \"data\": {\"train\": \"talks.jsonl\"},"
        " \"algo\": {\"name\": \"sft\", \"batch_size\": 4},"
        " \"run\": {\"steps\": 2, \"seed\": 5}, \"compute\": {\"micro_tokens\": 64},"
        " \"log\": {\"dump_step\": 1}}",
        "sft");
    file = open_dump("sft", 1);
    check_norm(file, "sft", 1);
    ids = rl_test_ints(file, "ids", arena, &n);
    length = rl_test_ints(file, "lengths", arena, &n_rows);
    weight = reals(file, "weights", arena, &n);
    logp = reals(file, "logprobs", arena, &n);
    assert_int_equal(n_rows, ROWS);
    for (int64_t i = 0; i < n; i++) {
        total += weight[i];
    }
    rl_test_model_open(&model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, 1, true);
    rl_policy_zero_grad(model.policy);
    for (int i = 0; i < ROWS; i++) {
        int64_t at = i * (n / ROWS);
        rl_segment whole = {.parent = -1, .n_tokens = length[i], .token = ids + at, .wanted = true};
        double d_logp[256], again[256];
        assert_true(length[i] > 4 && length[i] <= 256 && ids[at + length[i] - 1] > 0);
        assert_true(weight[at] == 0 && weight[at + length[i] - 1] > 0);
        for (int t = 1; t < length[i]; t++) {
            d_logp[t - 1] = -weight[at + t] / total;
        }
        assert_ok(rl_policy_backward(model.policy, &whole, 1, 1, d_logp, NULL, again, NULL, &err));
        assert_memory_equal(again, logp + at + 1, (size_t)(length[i] - 1) * sizeof *again);
    }
    for (int32_t i = 0; i < rl_policy_params(model.policy)->n_items; i++) {
        const rl_param *param = &rl_policy_params(model.policy)->item[i];
        char name[128];
        float *want, *got;
        double diff = 0, size = 0;
        snprintf(name, sizeof name, "grad.%s", param->name);
        got = rl_test_floats(file, name, arena, &n);
        assert_int_equal(n, rl_tensor_count(param->grad));
        want = rl_arena_alloc(arena, (size_t)n, sizeof *want);
        rl_tensor_get(model.be, param->grad, want);
        for (int64_t k = 0; k < n; k++) {
            double d = (double)got[k] - (double)want[k];
            diff += d * d;
            size += (double)want[k] * (double)want[k];
        }
        if (!(sqrt(diff) <= 1e-5 * sqrt(size))) {
            fail_msg("%s: off by %g of %g", name, sqrt(diff), sqrt(size));
        }
    }
    rl_test_model_close(&model);
    rl_safetensors_close(file);
    rl_arena_free(arena);
}

static void test_policy_gradient(void **state) {
    rl_test_model model;
    rl_arena *arena = rl_arena_new(0);
    rl_safetensors *file;
    const rl_weight *mask;
    int64_t n, n_rows, cols;
    int32_t *ids, *length, n_second = 0;
    double *logp, *advantage, *reward;
    rl_err err;
    (void)state;
    run("{\"model\": {\"path\": \"" RL_GOLDEN_DIR "/models/tiny-chat\"},"
        " \"data\": {\"train\": \"" RL_GOLDEN_DIR "/data/toy_problems.jsonl\"},"
        " \"rollout\": {\"prompts\": 2, \"group_size\": 3, \"turns\": 2, \"max_new_tokens\": 7},"
        " \"rewards\": [{\"name\": \"code_tests\"}], \"algo\": {\"name\": \"murphy\"},"
        " \"run\": {\"steps\": 2, \"seed\": 5}, \"log\": {\"dump_step\": 1}}",
        "murphy");
    file = open_dump("murphy", 1);
    check_norm(file, "murphy", 1);
    ids = rl_test_ints(file, "ids", arena, &n);
    length = rl_test_ints(file, "lengths", arena, &n_rows);
    advantage = reals(file, "advantages", arena, &n_rows);
    reward = reals(file, "rewards", arena, &n_rows);
    logp = reals(file, "logprobs", arena, &n);
    mask = rl_safetensors_find(file, "mask");
    assert_int_equal(n_rows, 2 * 3 + 2 * 3 * 3);
    assert_int_equal(mask->stored, RL_STORED_U8);
    cols = n / n_rows;
    rl_test_model_open(&model, rl_golden("models/tiny-chat"), RL_KERNELS_AUTO, 1, false);
    for (int64_t i = 0; i < n_rows; i++) {
        const uint8_t *said = (const uint8_t *)mask->bytes + i * cols;
        int32_t begin = 0;
        while (begin < length[i] && said[begin] == 0) {
            assert_true(logp[i * cols + begin] == 0);
            begin++;
        }
        assert_true(begin > 0 && length[i] - begin >= 1 && length[i] - begin <= 7);
        assert_true(reward[i] > 0 && reward[i] <= 0.5);
        n_second += begin > length[0];
        rl_segment segment[2] = {{.parent = -1, .n_tokens = begin, .token = ids + i * cols},
                                 {.parent = 0,
                                  .n_tokens = length[i] - begin,
                                  .token = ids + i * cols + begin,
                                  .wanted = true}};
        double again[8];
        assert_ok(rl_policy_score(model.policy, segment, 2, 1, again, NULL, &err));
        assert_memory_equal(again, logp + i * cols + begin,
                            (size_t)(length[i] - begin) * sizeof *again);
    }
    assert_true(n_second > 0);
    for (int64_t g = 0; g < n_rows; g += 3) { // centred within each group
        assert_true(fabs(advantage[g] + advantage[g + 1] + advantage[g + 2]) < 1e-9);
    }
    rl_test_model_close(&model);
    rl_safetensors_close(file);
    rl_arena_free(arena);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_supervised),
        cmocka_unit_test(test_policy_gradient),
    };
    return cmocka_run_group_tests(tests, setup_folder, drop_folder);
}
