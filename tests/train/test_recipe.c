#include "rl/train/recipe.h"

#include <stdio.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/rewards/verifier.h"
#include "tests/support/support.h"

static char *folder;

static int make_folder(void **state) {
    (void)state;
    folder = rl_test_folder();
    return 0;
}

static int drop_folder(void **state) {
    (void)state;
    rl_test_drop(folder);
    return 0;
}

static const char *write_recipe(const char *text) {
    static char path[4096];
    rl_err err;
    snprintf(path, sizeof path, "%s/toy.json", folder);
    assert_ok(rl_fs_write(path, text, strlen(text), &err));
    return path;
}

#define MODEL   "\"model\": {\"path\": \"m\"}"
#define DATA    "\"data\": {\"train\": \"d.jsonl\"}"
#define REWARDS "\"rewards\": [{\"name\": \"code_tests\"}]"
#define ALGO    "\"algo\": {\"name\": \"grpo\"}"
#define GOOD    "{" MODEL "," DATA "," REWARDS "," ALGO "}"

typedef struct bad_case {
    const char *text;
    const char *set;     // one assignment, or NULL
    int32_t n_mistakes;  // 0 where the count does not matter
    const char *says[3]; // parts of the sentences
} bad_case;

static const bad_case bad[] = {
    {"{", NULL, 1, {"line 1"}},
    {"[]", NULL, 1, {"not a recipe"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"rum\": {}}",
     NULL,
     1,
     {"unknown section 'rum'; did you mean 'run'?"}},
    {"{" MODEL "," DATA "," REWARDS "}", NULL, 1, {"'algo.name' is missing"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"ppo2\"}}",
     NULL,
     1,
     {"unknown algorithm 'ppo2'", "grpo"}},
    {"{" MODEL "," DATA "," ALGO "}", NULL, 1, {"'rewards' is missing"}},
    {"{" MODEL "," DATA "," ALGO ", \"rewards\": [{\"name\": \"maths\"}]}",
     NULL,
     1,
     {"unknown verifier 'maths'"}},
    {"{" DATA "," REWARDS "," ALGO "}", NULL, 1, {"model.path"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": {\"step\": 3}}",
     NULL,
     1,
     {"'run.step'", "did you mean 'steps'?"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": {\"steps\": \"3\"}}",
     NULL,
     1,
     {"'run.steps'"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": {\"steps\": -1}}",
     NULL,
     1,
     {"'run.steps' is -1"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": {\"steps\": 1.5}}",
     NULL,
     1,
     {"'run.steps'"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": 7}", NULL, 1, {"section 'run'"}},
    // All mistakes at once.
    {"{" MODEL "," DATA "," REWARDS "," ALGO
     ", \"rum\": {}, \"run\": {\"steps\": -1}, \"optim\": {\"lr\": \"x\"}}",
     NULL,
     3,
     {"'rum'", "'run.steps'", "'optim.lr'"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}}",
     NULL,
     1,
     {"'rollout.turns' is 1"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"eval\": {\"every\": 5}}",
     NULL,
     1,
     {"'data.eval' names no file"}},
    {GOOD, "run.stepz=3", 1, {"did you mean 'steps'?"}},
    {GOOD, "run.steps=abc", 1, {"'run.steps'"}},
    {GOOD, "steps", 1, {"not of the form section.key=value"}},
    {GOOD, "rewards=[{", 1, {"--set"}},
    {GOOD, "algo.name=none", 1, {"unknown algorithm 'none'"}},
    {GOOD, "rollout.turns=20", 1, {"samples a step"}},
    {GOOD, "rollout.temperature=0", 1, {"rollout.temperature"}},
};

static void mistakes_are_told_together(void **state) {
    (void)state;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_recipe recipe;
        rl_errors errors = {0};
        const char *path = write_recipe(bad[i].text);
        rl_status status = rl_recipe_load(path, bad[i].set != NULL ? &bad[i].set : NULL,
                                          bad[i].set != NULL, &recipe, &errors);
        if (status != RL_BAD_RECIPE ||
            (bad[i].n_mistakes > 0 && errors.count != bad[i].n_mistakes)) {
            fail_msg("case %zu: status %d, %d mistakes:\n%s", i, status, errors.count,
                     rl_str_text(&errors.text));
        }
        for (size_t k = 0; k < 3 && bad[i].says[k] != NULL; k++) {
            if (strstr(rl_str_text(&errors.text), bad[i].says[k]) == NULL) {
                fail_msg("case %zu does not say <%s>:\n%s", i, bad[i].says[k],
                         rl_str_text(&errors.text));
            }
        }
        rl_errors_release(&errors);
    }
}

static void paths_and_assignments(void **state) {
    static const char *const set[] = {
        "run.steps=7", "data.eval=e.jsonl",     "algo.name=murphy", "rollout.turns=3",
        "run.steps=8", "optim.schedule=cosine", "optim.lr=0.5",     "log.print_samples=2"};
    rl_recipe r;
    rl_errors errors = {0};
    char cwd[2048], want[4096];
    (void)state;
    if (rl_recipe_load(write_recipe(GOOD), set, RL_COUNT(set), &r, &errors) != RL_OK) {
        fail_msg("%s", rl_str_text(&errors.text));
    }
    assert_int_equal(r.run.steps, 8);
    assert_int_equal(r.rollout.turns, 3);
    assert_int_equal(r.log.print_samples, 2);
    assert_int_equal(r.optim.schedule, RL_SCHEDULE_COSINE);
    assert_true(r.optim.lr == 0.5);
    assert_string_equal(r.algo->name, "murphy");
    assert_string_equal(r.name, "toy");
    snprintf(want, sizeof want, "%s/m", folder);
    assert_string_equal(r.model.path, want); // a path of the recipe: beside the recipe
    assert_non_null(getcwd(cwd, sizeof cwd));
    snprintf(want, sizeof want, "%s/e.jsonl", cwd);
    assert_string_equal(r.data.eval, want); // a path of --set: in the current folder
    snprintf(want, sizeof want, "%s/runs/toy", cwd);
    assert_string_equal(r.run.dir, want);
    rl_recipe_release(&r);
}

// The effective recipe loads to the same recipe.
static void effective_recipe_is_a_recipe(void **state) {
    rl_recipe first, second;
    rl_errors errors = {0};
    rl_str once = {0}, twice = {0};
    (void)state;
    assert_int_equal(rl_recipe_load(write_recipe(GOOD), NULL, 0, &first, &errors), RL_OK);
    rl_recipe_print(&first, &once);
    if (rl_recipe_load(write_recipe(rl_str_text(&once)), NULL, 0, &second, &errors) != RL_OK) {
        fail_msg("%s\n%s", rl_str_text(&errors.text), rl_str_text(&once));
    }
    rl_recipe_print(&second, &twice);
    assert_string_equal(rl_str_text(&once), rl_str_text(&twice));
    rl_str_release(&once);
    rl_str_release(&twice);
    rl_recipe_release(&first);
    rl_recipe_release(&second);
}

static void shipped_recipes_load(void **state) {
    rl_arena *arena = rl_arena_new(0);
    char **name;
    size_t n, n_recipes = 0;
    rl_err err;
    (void)state;
    assert_ok(rl_fs_list(RL_SOURCE_DIR "/recipes", arena, &name, &n, &err));
    for (size_t i = 0; i < n; i++) {
        rl_recipe r;
        rl_errors errors = {0};
        if (!rl_text_ends(name[i], ".json")) {
            continue;
        }
        n_recipes++;
        if (rl_recipe_load(rl_path_join(arena, RL_SOURCE_DIR "/recipes", name[i]), NULL, 0, &r,
                           &errors) != RL_OK) {
            fail_msg("%s: %s", name[i], rl_str_text(&errors.text));
        }
        assert_true(r.why[0] != '\0');
        rl_recipe_release(&r);
    }
    assert_true(n_recipes >= 2);
    rl_arena_free(arena);
}

// Every key has a line of documentation, and every default passes its own row.
static void tables_are_whole(void **state) {
    char *text = NULL;
    size_t len = 0;
    FILE *to = open_memstream(&text, &len);
    (void)state;
    rl_recipe_help(to);
    rl_recipe_markdown(to);
    fclose(to);
    assert_non_null(strstr(text, "algo.murphy"));
    assert_non_null(strstr(text, "group_size"));
    assert_non_null(strstr(text, "rewards.code_tests"));
    rl_free(text);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_together),
        cmocka_unit_test(paths_and_assignments),
        cmocka_unit_test(effective_recipe_is_a_recipe),
        cmocka_unit_test(shipped_recipes_load),
        cmocka_unit_test(tables_are_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
