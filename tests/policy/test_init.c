/* Weights that are drawn: their numbers by address, what is read of the folder, and what a run
 * writes that began so. */
#include <math.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/log.h"
#include "rl/core/rng.h"
#include "rl/policy/hf.h"
#include "tests/support/checkpoints.h"

// A folder of config.json and tokenizer.json only; a range is written where it is given.
static char *bare_folder(rl_arena *arena, const char *range) {
    char *folder = rl_test_folder();
    const char *config = rl_test_text(arena, rl_golden("models/llama"), "config.json");
    const char *key = strstr(config, "\"initializer_range\""), *end;
    const char *written;
    rl_err err;
    assert_non_null(key);
    end = strchr(key, '\n') + 1;
    written = rl_arena_printf(arena, "%.*s%s%s", (int)(key - config), config,
                              range != NULL ? range : "", end);
    assert_ok(
        rl_fs_write(rl_path_join(arena, folder, "config.json"), written, strlen(written), &err));
    assert_ok(rl_fs_write(rl_path_join(arena, folder, "tokenizer.json"), "{}", 2, &err));
    return folder;
}

static rl_checkpoint *draw(rl_backend *be, const char *folder, uint64_t seed, rl_params *params) {
    rl_checkpoint *cp;
    rl_err err;
    assert_ok(rl_checkpoint_open_random(folder, seed, &cp, &err));
    assert_ok(rl_params_init(params, rl_checkpoint_config(cp), be, false, &err));
    assert_ok(rl_checkpoint_read(cp, params, be, &err));
    return cp;
}

static void numbers_have_their_address(void **state) {
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *folder = bare_folder(arena, "\"initializer_range\": 0.125,\n");
    rl_params params;
    rl_checkpoint *cp = draw(be, folder, 11, &params);
    int32_t n_norms = 0;
    for (int32_t i = 0; i < params.n_items; i++) {
        float *got = rl_test_values(be, &params.item[i]);
        int64_t n = rl_tensor_count(params.item[i].value);
        rl_rng rng = {.seed = 11, .problem = (uint32_t)i, .purpose = RL_RNG_INIT};
        bool norm = strstr(params.item[i].name, "norm") != NULL;
        n_norms += norm;
        for (int64_t k = 0; k < n; k++) {
            float want = norm ? 1 : (float)(0.125 * rl_rng_normal(&rng, (uint64_t)k));
            assert_true(got[k] == want);
        }
        rl_free(got);
    }
    assert_int_equal(n_norms, 2 * rl_checkpoint_config(cp)->n_layers + 1);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_test_drop(folder);
    rl_arena_free(arena);
}

// Mean and deviation of the embedding, which has thousands of elements.
static void measure(rl_backend *be, const char *folder, uint64_t seed, double *mean, double *std) {
    rl_params params;
    rl_checkpoint *cp = draw(be, folder, seed, &params);
    int64_t n = rl_tensor_count(params.item[0].value);
    float *got = rl_test_values(be, &params.item[0]);
    *mean = *std = 0;
    for (int64_t k = 0; k < n; k++) {
        *mean += (double)got[k] / (double)n;
        *std += (double)got[k] * (double)got[k] / (double)n;
    }
    *std = sqrt(*std);
    rl_free(got);
    rl_test_checkpoint_drop(be, cp, &params);
}

static void range_is_the_configs(void **state) {
    static const struct {
        const char *line;
        double std;
    } rows[] = {{NULL, 0.02}, {"\"initializer_range\": 0.5,\n", 0.5}};
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_arena *arena = rl_arena_new(0);
        char *folder = bare_folder(arena, rows[i].line);
        double mean, std, other_mean, other_std;
        measure(*state, folder, 3, &mean, &std);
        measure(*state, folder, 4, &other_mean, &other_std);
        assert_true(fabs(mean) < 0.04 * rows[i].std && fabs(std / rows[i].std - 1) < 0.03);
        assert_true(other_mean != mean && other_std != std);
        rl_test_drop(folder);
        rl_arena_free(arena);
    }
}

static void a_whole_folder_is_written(void **state) {
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *folder = bare_folder(arena, NULL), *saved;
    rl_params params;
    rl_checkpoint *cp = draw(be, folder, 7, &params);
    saved = rl_test_round_trip(be, cp, &params); // opens it by its weights
    assert_true(rl_fs_exists(rl_path_join(arena, saved, "tokenizer.json")));
    assert_true(rl_fs_exists(rl_path_join(arena, saved, "generation_config.json")));
    rl_test_drop(saved);
    rl_test_drop(folder);
    rl_test_checkpoint_drop(be, cp, &params);
    rl_arena_free(arena);
}

static void weights_that_lie_there_are_not_read(void **state) {
    rl_backend *be = *state;
    rl_arena *arena = rl_arena_new(0);
    char *folder = bare_folder(arena, NULL);
    rl_params with, without;
    rl_checkpoint *a = draw(be, folder, 7, &without), *b;
    rl_err err;
    assert_ok(
        rl_fs_write(rl_path_join(arena, folder, "model.safetensors"), "not weights", 11, &err));
    rl_log_setup(NULL, RL_LOG_ERROR);
    b = draw(be, folder, 7, &with);
    for (int32_t i = 0; i < with.n_items; i++) {
        float *x = rl_test_values(be, &with.item[i]), *y = rl_test_values(be, &without.item[i]);
        assert_memory_equal(x, y, rl_tensor_bytes(with.item[i].value));
        rl_free(x);
        rl_free(y);
    }
    rl_test_checkpoint_drop(be, a, &without);
    rl_test_checkpoint_drop(be, b, &with);
    rl_test_drop(folder);
    rl_arena_free(arena);
}

static void refusals(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char *folder = rl_test_folder(), *file = rl_path_join(arena, folder, "model.gguf");
    rl_checkpoint *cp;
    rl_err err = {""};
    (void)state;
    assert_int_equal(rl_checkpoint_open_random(folder, 0, &cp, &err), RL_IO);
    rl_test_says(&err, "has no config.json");
    assert_ok(rl_fs_write(file, "GGUF", 4, &err));
    assert_int_equal(rl_checkpoint_open_random(file, 0, &cp, &err), RL_UNSUPPORTED);
    rl_test_says(&err, "model.gguf' is a file");
    assert_int_equal(rl_checkpoint_open_random(rl_path_join(arena, folder, "none"), 0, &cp, &err),
                     RL_IO);
    rl_test_says(&err, "there is no model at");
    rl_test_drop(folder);
    rl_arena_free(arena);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_have_their_address),
        cmocka_unit_test(range_is_the_configs),
        cmocka_unit_test(a_whole_folder_is_written),
        cmocka_unit_test(weights_that_lie_there_are_not_read),
        cmocka_unit_test(refusals),
    };
    return cmocka_run_group_tests(tests, rl_test_backend_open, rl_test_backend_close);
}
