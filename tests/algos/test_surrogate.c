#include "rl/algos/surrogate.h"
#include "rl/core/json.h"
#include "rl/core/rng.h"
#include "tests/algos/forest.h"

static const char *const type_names[] = {"dapo", "grpo", "bnpo", "dr_grpo"};

/* A batch of one group whose samples have the lengths given; arrays to fill in. */
typedef struct tokens {
    rl_batch *batch;
    uint8_t *trainable;
    double *logp, *old, *ref, *entropy, *d_logp, *d_entropy;
} tokens;

static tokens tokens_new(rl_arena *arena, const int32_t *length, int32_t n_samples) {
    tokens out = {.batch = forest_empty(arena, 1, n_samples, 1)};
    rl_group *group = rl_arena_alloc(arena, 1, sizeof *group);
    uint32_t n = 0;
    forest_add(out.batch, group, 0, -1, 0, n_samples);
    out.batch->group = group;
    for (int32_t i = 0; i < n_samples; i++) {
        out.batch->sample[i].tok_begin = n;
        out.batch->sample[i].tok_end = n += (uint32_t)length[i];
    }
    out.trainable = rl_arena_alloc(arena, n, 1);
    memset(out.trainable, 1, n);
    double **arrays[] = {&out.logp, &out.old, &out.ref, &out.entropy, &out.d_logp, &out.d_entropy};
    for (size_t i = 0; i < RL_COUNT(arrays); i++) {
        *arrays[i] = rl_arena_alloc(arena, n, sizeof(double));
    }
    out.batch->n_tokens = n;
    out.batch->trainable = out.trainable;
    out.batch->logp_old = out.old;
    out.batch->logp_ref = out.ref;
    out.batch->entropy = out.entropy;
    assert_null(rl_batch_check(out.batch));
    return out;
}

static rl_loss eval(const rl_surrogate *spec, const tokens *x) {
    return rl_surrogate_eval(spec, x->batch, x->logp, x->d_logp, x->d_entropy, NULL);
}

// T6.3: A = 1, l = [.3, -.1, 0]; A = -.5, l = [.4, -1.5].
static tokens worked_example(rl_arena *arena) {
    static const double l[] = {0.3, -0.1, 0, 0.4, -1.5};
    tokens x = tokens_new(arena, (int32_t[]){3, 2}, 2);
    for (int t = 0; t < 5; t++) {
        x.old[t] = -1;
        x.logp[t] = -1 + l[t];
    }
    x.batch->sample[0].advantage = 1;
    x.batch->sample[1].advantage = -0.5;
    return x;
}

static void test_worked_example(void **state) {
    tokens x = worked_example(*state);
    rl_surrogate spec = {.clip_low = 0.2, .clip_high = 0.28};
    static const double token_loss[] = {-1.28, -0.904837, -1, 0.745912, 0.4};
    static const struct {
        rl_loss_type type;
        double divisor, loss;
        const char *what;
    } row[] = {
        {RL_LOSS_DAPO, 0, -0.407785, "token-mean"},
        {RL_LOSS_BNPO, 0, -0.407785, "token-mean, local"},
        {RL_LOSS_DR_GRPO, 1, -1.019463, "seq-mean-token-sum"},
        {RL_LOSS_GRPO, 0, -0.244328, "seq-mean-token-mean"},
        {RL_LOSS_DR_GRPO, 4, -0.254866, "seq-mean-token-sum-norm, TRL dr_grpo"},
        {RL_LOSS_DR_GRPO, 0, -1.019463 / 16, "divisor from the batch"},
    };
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        spec.loss_type = row[i].type;
        spec.divisor = row[i].divisor;
        rl_loss loss = eval(&spec, &x);
        assert_near(loss.value, row[i].loss, 6e-7, row[i].what);
        assert_true(loss.clipped_low == 0.2 && loss.clipped_high == 0.2);
        assert_near(loss.ratio_max, exp(0.4), 1e-12, "ratio_max");
    }
    spec.loss_type = RL_LOSS_DAPO;
    for (uint32_t t = 0; t < 5; t++) { // each token alone: N = 1
        memset(x.trainable, 0, 5);
        x.trainable[t] = 1;
        assert_near(eval(&spec, &x).value, token_loss[t], 6e-7, "token loss");
    }
}

// T6.4, the GSPO rows: two sequences of one value each.
static void test_sequence_ratio(void **state) {
    tokens x = worked_example(*state);
    rl_surrogate spec = {
        .ratio = RL_RATIO_SEQUENCE, .clip_low = 3e-4, .clip_high = 4e-4, .loss_type = RL_LOSS_GRPO};
    rl_loss loss = eval(&spec, &x);
    assert_near(loss.value, (-1.0004 + 0.499850) / 2, 6e-7, "T6.4 GSPO");
    assert_true(loss.clipped_low == 0.5 && loss.clipped_high == 0.5);
    assert_near(loss.ratio_max, 1.068939, 6e-7, "T6.4 ratio");
}

static tokens random_batch(rl_arena *arena, uint64_t seed, uint32_t round) {
    rl_rng rng = {.seed = seed, .step = round, .purpose = RL_RNG_TEST};
    tokens x = tokens_new(arena, (int32_t[]){5, 1, 0, 7, 3, 4}, 6);
    for (uint32_t t = 0; t < x.batch->n_tokens; t++) {
        x.old[t] = -2 * rl_rng_uniform(&rng, 8 * t) - 0.1;
        x.logp[t] = x.old[t] + 0.3 * rl_rng_normal(&rng, 8 * t + 1);
        x.ref[t] = x.old[t] + 0.3 * rl_rng_normal(&rng, 8 * t + 2);
        x.entropy[t] = 2 * rl_rng_uniform(&rng, 8 * t + 3);
        x.trainable[t] = rl_rng_below(&rng, 8 * t + 4, 4) > 0;
    }
    for (int32_t i = 0; i < x.batch->n_samples; i++) {
        x.batch->sample[i].advantage = rl_rng_normal(&rng, 1000 + (uint64_t)i);
    }
    x.batch->sample[4].advantage = 0;
    x.batch->sample[5].keep = x.batch->sample[5].scored = false;
    return x;
}

static bool near_kink(const rl_surrogate *spec, const tokens *x) {
    for (int32_t i = 0; i < x->batch->n_samples; i++) {
        const rl_sample *s = &x->batch->sample[i];
        double sum = 0;
        int n = 0;
        for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
            double r = exp(x->logp[t] - x->old[t]);
            if (spec->ratio == RL_RATIO_TOKEN &&
                (fabs(r - 1 + spec->clip_low) < 1e-4 || fabs(r - 1 - spec->clip_high) < 1e-4)) {
                return true;
            }
            sum += x->trainable[t] ? x->logp[t] - x->old[t] : 0;
            n += x->trainable[t];
        }
        double r = n > 0 ? exp(sum / n) : 1;
        if (spec->ratio == RL_RATIO_SEQUENCE &&
            (fabs(r - 1 + spec->clip_low) < 1e-4 || fabs(r - 1 - spec->clip_high) < 1e-4)) {
            return true;
        }
    }
    return false;
}

// The largest difference between the gradients given and central differences of the value.
static double gradient_error(const rl_surrogate *spec, const tokens *x, const double *d_logp,
                             const double *d_entropy) {
    const double h = 1e-6;
    tokens probe = *x;
    double worst = 0, scratch[64], scratch2[64];
    assert_true(x->batch->n_tokens <= 64);
    probe.d_logp = scratch;
    probe.d_entropy = scratch2;
    for (int which = 0; which < 2; which++) {
        double *value = which == 0 ? x->logp : x->entropy;
        const double *d = which == 0 ? d_logp : d_entropy;
        for (uint32_t t = 0; t < x->batch->n_tokens; t++) {
            double at = value[t], up, down;
            value[t] = at + h;
            up = eval(spec, &probe).value;
            value[t] = at - h;
            down = eval(spec, &probe).value;
            value[t] = at;
            worst = fmax(worst, fabs((up - down) / (2 * h) - d[t]));
        }
    }
    return worst;
}

static void test_finite_differences(void **state) {
    uint64_t seed = rl_test_seed();
    int n_checked = 0;
    for (uint32_t round = 0; round < 20; round++) {
        tokens x = random_batch(*state, seed, round);
        for (int c = 0; c < 4 * 2 * 2; c++) {
            rl_surrogate spec = {.loss_type = (rl_loss_type)(c % 4),
                                 .ratio = (rl_ratio)(c / 4 % 2),
                                 .clip_low = 0.15,
                                 .clip_high = 0.2,
                                 .divisor = 5,
                                 .kl_coef = c / 8 ? 0.3 : 0,
                                 .entropy_coef = c / 8 ? 0.1 : 0};
            if (near_kink(&spec, &x)) {
                continue;
            }
            n_checked++;
            eval(&spec, &x);
            double error = gradient_error(&spec, &x, x.d_logp, x.d_entropy);
            if (!(error < 2e-8)) {
                fail_msg("%s, ratio %d, round %u: off by %g", type_names[c % 4], c / 4 % 2, round,
                         error);
            }
        }
        rl_arena_reset(*state);
    }
    assert_true(n_checked > 200);
}

// The check above can fail: a gradient that forgets the mean of the sequence ratio is seen.
static void test_wrong_gradient_is_caught(void **state) {
    tokens x = random_batch(*state, rl_test_seed(), 3);
    rl_surrogate spec = {.ratio = RL_RATIO_SEQUENCE, .clip_low = 0.9, .clip_high = 3};
    double wrong[64];
    eval(&spec, &x);
    for (uint32_t t = 0; t < x.batch->n_tokens; t++) {
        double l = x.logp[t] - x.old[t];
        wrong[t] = x.d_logp[t] == 0 ? 0 : x.d_logp[t] * (1 + 0.01 * l);
    }
    assert_true(gradient_error(&spec, &x, x.d_logp, x.d_entropy) < 2e-8);
    assert_true(gradient_error(&spec, &x, wrong, x.d_entropy) > 1e-5);
}

static void test_what_has_no_gradient(void **state) {
    tokens x = random_batch(*state, rl_test_seed(), 1);
    double d_log_z[6] = {1, 1, 1, 1, 1, 1};
    for (int c = 0; c < 8; c++) {
        rl_surrogate spec = {.loss_type = (rl_loss_type)(c % 4),
                             .ratio = (rl_ratio)(c / 4),
                             .clip_low = 0.2,
                             .clip_high = 0.2};
        for (uint32_t t = 0; t < x.batch->n_tokens; t++) {
            x.d_logp[t] = x.d_entropy[t] = NO_NUMBER; // overwritten, not added to
        }
        rl_surrogate_eval(&spec, x.batch, x.logp, x.d_logp, x.d_entropy, d_log_z);
        for (int32_t i = 0; i < x.batch->n_samples; i++) {
            const rl_sample *s = &x.batch->sample[i];
            for (uint32_t t = s->tok_begin; t < s->tok_end; t++) {
                if (s->advantage == 0 || !s->keep || !x.trainable[t]) {
                    assert_true(x.d_logp[t] == 0 && !signbit(x.d_logp[t]));
                }
                assert_true(x.d_entropy[t] == 0);
            }
            assert_true(d_log_z[i] == 0);
        }
    }
}

// Advantage 0 stays in the denominators, not kept leaves them.
static void test_denominators(void **state) {
    tokens x = worked_example(*state);
    rl_surrogate spec = {.clip_low = 0.2, .clip_high = 0.28};
    double sum = -1.28 - exp(-0.1) - 1;
    x.batch->sample[1].advantage = 0;
    assert_near(eval(&spec, &x).value, sum / 5, 1e-12, "dapo, advantage 0");
    spec.loss_type = RL_LOSS_GRPO;
    assert_near(eval(&spec, &x).value, sum / 3 / 2, 1e-12, "grpo, advantage 0");
    x.batch->sample[1].keep = false;
    assert_near(eval(&spec, &x).value, sum / 3, 1e-12, "grpo, not kept");
    spec.loss_type = RL_LOSS_DAPO;
    assert_near(eval(&spec, &x).value, sum / 3, 1e-12, "dapo, not kept");
    spec.loss_type = RL_LOSS_DR_GRPO;
    assert_near(eval(&spec, &x).value, sum / 16, 1e-12, "dr_grpo, not kept");
}

static void test_nothing_to_train(void **state) {
    tokens x = worked_example(*state);
    for (int c = 0; c < 8; c++) {
        rl_surrogate spec = {.loss_type = (rl_loss_type)(c % 4),
                             .ratio = (rl_ratio)(c / 4),
                             .clip_low = 0.2,
                             .clip_high = 0.2,
                             .entropy_coef = 0.1};
        memset(x.trainable, 0, 5);
        rl_loss loss = eval(&spec, &x);
        assert_true(loss.value == 0 && loss.clipped_low == 0 && loss.ratio_max == 0);
        memset(x.trainable, 1, 5);
        x.batch->sample[0].keep = x.batch->sample[1].keep = false;
        loss = eval(&spec, &x);
        assert_true(loss.value == 0 && x.d_logp[0] == 0 && x.d_entropy[0] == 0);
        x.batch->sample[0].keep = x.batch->sample[1].keep = true;
    }
}

static double at(const rl_json *list, int32_t i) {
    const rl_json *item = rl_json_first(list);
    while (i-- > 0 && item != NULL) {
        item = rl_json_next(item);
    }
    return rl_json_number(item, NO_NUMBER);
}

// Rows of B x T, right-padded, into one flat array.
static void fill(const rl_json *rows, double *out) {
    for (const rl_json *row = rl_json_first(rows); row != NULL; row = rl_json_next(row)) {
        for (const rl_json *x = rl_json_first(row); x != NULL; x = rl_json_next(x)) {
            *out++ = rl_json_number(x, NO_NUMBER);
        }
    }
}

static tokens golden_batch(rl_arena *arena, const rl_json *from) {
    const rl_json *mask = rl_json_get(from, "mask");
    int32_t n = (int32_t)rl_json_count(mask), length[64];
    for (int32_t i = 0; i < n; i++) {
        length[i] = (int32_t)rl_json_count(rl_json_first(mask));
    }
    tokens x = tokens_new(arena, length, n);
    fill(mask, x.d_logp);
    for (uint32_t t = 0; t < x.batch->n_tokens; t++) {
        x.trainable[t] = x.d_logp[t] != 0;
    }
    fill(rl_json_get(from, "logp"), x.logp);
    fill(rl_json_get(from, "old_logp"), x.old);
    fill(rl_json_get(from, "ref_logp"), x.ref);
    fill(rl_json_get(from, "entropy"), x.entropy);
    for (int32_t i = 0; i < n; i++) {
        x.batch->sample[i].advantage = at(rl_json_get(from, "advantages"), i);
    }
    return x;
}

static rl_surrogate golden_spec(const rl_json *config) {
    double low = rl_json_number(rl_json_get(config, "epsilon"), NO_NUMBER);
    const char *type = rl_json_text(rl_json_get(config, "loss_type"), "?");
    const char *level = rl_json_text(rl_json_get(config, "importance_sampling_level"), "?");
    rl_surrogate spec = {
        .ratio = strcmp(level, "sequence") == 0 ? RL_RATIO_SEQUENCE : RL_RATIO_TOKEN,
        .clip_low = low,
        .clip_high = rl_json_number(rl_json_get(config, "epsilon_high"), low),
        .kl_coef = rl_json_number(rl_json_get(config, "beta"), NO_NUMBER),
        .entropy_coef = rl_json_number(rl_json_get(config, "entropy_coef"), NO_NUMBER),
        .divisor = rl_json_number(rl_json_get(config, "max_completion_length"), NO_NUMBER),
    };
    for (unsigned i = 0; i < RL_COUNT(type_names); i++) {
        spec.loss_type = strcmp(type_names[i], type) == 0 ? (rl_loss_type)i : spec.loss_type;
    }
    return spec;
}

static void test_golden(void **state) {
    rl_json_doc *doc;
    rl_err err;
    int n = 0;
    assert_ok(rl_json_read(rl_golden("algos/trl_loss.json"), &doc, &err));
    const rl_json *root = rl_json_root(doc), *batches = rl_json_get(root, "batches");
    const rl_json *c = rl_json_first(rl_json_get(root, "cases"));
    for (; c != NULL; c = rl_json_next(c), n++) {
        const char *id = rl_json_text(rl_json_get(c, "id"), "?");
        const rl_json *config = rl_json_get(c, "config"), *entropy = rl_json_get(c, "grad_entropy");
        tokens x =
            golden_batch(*state, rl_json_get(batches, rl_json_text(rl_json_get(c, "batch"), "?")));
        double *want = rl_arena_alloc(*state, x.batch->n_tokens, sizeof *want);
        rl_surrogate spec = golden_spec(config);
        if (!rl_json_bool(rl_json_get(config, "old_logp_given"), true)) {
            memcpy(x.old, x.logp, x.batch->n_tokens * sizeof *x.old);
        }
        rl_loss loss = eval(&spec, &x);
        assert_near(loss.value, rl_json_number(rl_json_get(c, "loss"), NO_NUMBER), 1e-9, id);
        assert_near(loss.kl, rl_json_number(rl_json_get(c, "kl"), NO_NUMBER), 1e-9, id);
        assert_near(loss.clipped_low, rl_json_number(rl_json_get(c, "clip_low"), NO_NUMBER), 1e-9,
                    id);
        assert_near(loss.clipped_high, rl_json_number(rl_json_get(c, "clip_high"), NO_NUMBER), 1e-9,
                    id);
        fill(rl_json_get(c, "grad_logp"), want);
        for (uint32_t t = 0; t < x.batch->n_tokens; t++) {
            assert_near(x.d_logp[t], want[t], 1e-9, id);
        }
        memset(want, 0, x.batch->n_tokens * sizeof *want);
        fill(entropy, want); // null: all 0
        for (uint32_t t = 0; t < x.batch->n_tokens; t++) {
            assert_near(x.d_entropy[t], want[t], 1e-9, id);
        }
        rl_arena_reset(*state);
    }
    assert_int_equal(n, 55);
    rl_json_free(doc);
}

static int setup(void **state) {
    *state = rl_arena_new(0);
    return 0;
}

static int teardown(void **state) {
    rl_arena_free(*state);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_worked_example),
        cmocka_unit_test(test_sequence_ratio),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_wrong_gradient_is_caught),
        cmocka_unit_test(test_what_has_no_gradient),
        cmocka_unit_test(test_denominators),
        cmocka_unit_test(test_nothing_to_train),
        cmocka_unit_test(test_golden),
    };
    return cmocka_run_group_tests_name("surrogate", tests, setup, teardown);
}
