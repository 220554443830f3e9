#include "rl/train/recipe.h"

#include <stdio.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/rewards/verifier.h"
#include "tests/support/support.h"
#include "train/sections.h"

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
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": 7}",
     NULL,
     1,
     {"'run' wants an object, found 7"}},
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
     {"neither 'data.eval' nor 'data.eval_loss' names a file"}},
    {GOOD, "run.stepz=3", 1, {"did you mean 'steps'?"}},
    {GOOD, "run.steps=abc", 1, {"'run.steps'"}},
    {GOOD, "steps", 1, {"not of the form section.key=value"}},
    {GOOD, "rewards=[{", 1, {"--set"}},
    {GOOD, "algo.name=none", 1, {"unknown algorithm 'none'"}},
    {GOOD, "rollout.turns=20", 1, {"samples a step"}},
    {GOOD, "rollout.temperature=1e-50", 1, {"'rollout.temperature'"}},
    {GOOD, "eval.temperature=1e-50", 1, {"'eval.temperature'"}},
    {GOOD, "eval.temperature=-0.5", 1, {"take -1 for rollout.temperature"}},
    {GOOD, "eval={\"controls\": true, \"batch\": 1}", 1, {"'eval.batch' is 1"}},
    {GOOD, "eval={\"controls\": true, \"turns\": 1}", 1, {"'eval.turns' is 1"}},
    {GOOD, "rollout.temperature=0", 1, {"rollout.temperature"}},
    // Rules between sections are told with mistakes in a value, and with each other.
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}, \"run\": {\"steps\": -1}, "
     "\"eval\": {\"every\": 5, \"problems\": -1}, \"rollout\": {\"group_size\": 1, \"prompts\": "
     "0}}",
     "optim.lr=x",
     7,
     {"'rollout.turns' is 1", "neither 'data.eval' nor 'data.eval_loss' names a file",
      "'rollout.group_size' is 1"}},
    {"{" MODEL "," DATA ", \"rewards\": [{\"name\": \"code_tests\", \"weight\": 0}, 7]," ALGO "}",
     "rollout.turns=20",
     2,
     {"'rewards[1]' is a number, not an object", "samples a step"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"rollout\": {\"turns\": 20, \"max_batch\": 0}}",
     NULL,
     2,
     {"samples a step", "'rollout.max_batch'"}},
    // A rule is silent where a value that it reads was refused, in whatever way.
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}}",
     "rollout.turns=x",
     1,
     {"wants"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}}",
     "rollout.turn=2",
     1,
     {"turns"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}}",
     "rolout.turns=2",
     1,
     {"rollout"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}}",
     "rollout={",
     1,
     {"--set"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}}",
     "rollout=3",
     1,
     {"--set"}},
    {"{" MODEL "," DATA "," REWARDS ", \"algo\": {\"name\": \"murphy\"}, \"rollout\": []}",
     NULL,
     1,
     {"'rollout' wants"}},
    {"{" MODEL ", \"data\": {\"train\": \"t\", \"eval\": 3}," REWARDS "," ALGO "}",
     "eval.every=1",
     1,
     {"'data.eval' wants"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"rollout\": {\"turns\": 20, \"prompts\": 0}}",
     NULL,
     1,
     {"'rollout.prompts' is 0"}},
    {GOOD, "rollout.group_size=0", 1, {"'rollout.group_size' is 0"}},
    {"{" MODEL "," DATA ", \"rewards\": [{\"name\": \"code_tests\", \"weight\": \"1\"}]," ALGO "}",
     NULL,
     1,
     {"'rewards[0].weight' is text"}},
    // Recipes that cannot learn.
    {GOOD, "rollout.group_size=1", 1, {"'rollout.group_size' is 1"}},
    {GOOD, "rewards=[{\"name\": \"code_tests\", \"weight\": 0}]", 1, {"every weight"}},
    {GOOD, "rewards=[{\"name\": \"code_tests\", \"weight\": 1e999}]", 1, {"'1e999' is too large"}},
    {GOOD, "rewards=[{\"name\": \"code_tests\", \"weight\": -1e7}]", 1, {"outside [-1000000"}},
    // Assignments to what has no such key.
    {GOOD, "rewards.weight=2", 1, {"is a list", "rewards=[{"}},
    {GOOD, "rewards[0].weight=2", 1, {"is a list", "rewards=[{"}},
    {GOOD, "rewards.code_tests.feedback_tests=2", 1, {"is a list", "rewards=[{"}},
    {GOOD, "rewards={\"name\": \"code_tests\"}", 1, {"'rewards' is an object, not a list"}},
    {GOOD, "why.not=2", 1, {"'why', which is a text"}},
    {GOOD, "rum.steps=2", 1, {"unknown section 'rum'"}},
    {GOOD, "elsewhere={\"a\": 1}", 1, {"unknown section 'elsewhere'"}},
    {GOOD, "run.steps.more=2", 1, {"unknown key 'run.steps.more'"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"run\": 7}", "run.steps=3", 1, {"'run' wants"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"why\": 7}", NULL, 1, {"'why' is a number"}},
    {GOOD, "rewards.0.feedback_tests=3", 1, {"'rewards=[{\"name\":", "code_tests"}},
    {"{" MODEL "," DATA "," ALGO
     ", \"rewards\": [{\"name\": \"code_tests\", \"code\": \"block_or_all\"}]}",
     "rewards.0.feedback_tests=3",
     1,
     {"edit it and set all of it", "\"block_or_all\"}]'"}},
    // Names of TRL and transformers, and keys without their section.
    {GOOD, "num_generations=4", 1, {"TRL's 'num_generations' is 'rollout.group_size' here"}},
    {GOOD, "algo.num_generations=4", 1, {"'algo.num_generations'; TRL's", "'rollout.group_size'"}},
    {GOOD, "optim.learning_rate=1", 1, {"TRL's 'learning_rate' is 'optim.lr' here"}},
    {GOOD, "rollout.max_completion_length=1", 1, {"'rollout.max_new_tokens' here"}},
    {GOOD, "run.max_steps=1", 1, {"TRL's 'max_steps' is 'run.steps' here"}},
    {GOOD, "algo.temperature=1", 1, {"'algo.temperature'; the key is 'rollout.temperature'"}},
    {GOOD, "algo.num_iterations=2", 1, {"a batch feeds one update"}},
    {GOOD, "run.per_device_train_batch_size=2", 1, {"'rollout.prompts' times"}},
    {"{" MODEL "," DATA "," REWARDS "," ALGO ", \"max_steps\": 7}",
     NULL,
     1,
     {"unknown section 'max_steps'; TRL's"}},
    {GOOD, "steps=5", 1, {"names no section; did you mean 'run.steps'?"}},
    {GOOD, "nonesuch=5", 1, {"is not of the form section.key=value"}},
    {GOOD, "optim=5", 1, {"names a whole section"}},
    // Sentences name the path that the user writes.
    {GOOD, "algo.espilon=1", 1, {"unknown key 'algo.espilon'; did you mean 'epsilon'?"}},
    {GOOD, "algo.std=x", 1, {"'algo.std' is 'x'"}},
    {GOOD, "algo.epsilon=0", 1, {"'algo.epsilon' is 0"}},
    {GOOD, "algo.grpo.epsilon=1", 1, {"unknown key 'algo.grpo.epsilon'; did you mean 'epsilon'?"}},
    {GOOD, "algo.beta=1", 1, {"'algo.beta' is 1"}},
    {GOOD,
     "rewards=[{\"name\": \"code_tests\", \"feedback_tests\": 0}]",
     1,
     {"'rewards[0].feedback_tests' is 0"}},
    {GOOD, "rewards=[{\"name\": \"code_tests\", \"a_b\": 0}]", 1, {"'rewards[0].a_b'"}},
    // A wrong type is not a missing key.
    {GOOD, "algo={\"name\": 3}", 1, {"'algo.name' is a number, not text"}},
    {GOOD, "algo=[1]", 1, {"'algo' is a list, not an object"}},
    {GOOD, "algo={}", 1, {"'algo.name' is missing"}},
    {GOOD, "rewards=[{\"name\": 3}]", 1, {"'rewards[0].name' is a number, not text"}},
    {GOOD, "rewards=[{}]", 1, {"'rewards[0].name' is missing"}},
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

// Every place that a foreign name is sent to exists.
static void bare_names_have_a_place(void **state) {
    static const char *const names[] = {"num_generations", "learning-rate", "max_completion_length",
                                        "max_steps",       "save_steps",    "logging_steps",
                                        "adam_beta2",      "eval_steps",    "max_prompt_length",
                                        "output_dir",      "lora_alpha",    "lora_r",
                                        "loss_type",       "steps",         "wall-ms"};
    char place[128], *dot;
    (void)state;
    for (size_t i = 0; i < RL_COUNT(names); i++) {
        assert_true(rl_recipe_place(names[i], place, sizeof place));
        dot = strchr(place, '.');
        assert_non_null(dot);
        *dot = '\0';
        if (recipe_key_find(place, dot + 1) == NULL) {
            fail_msg("'%s' is sent to '%s.%s', which is no key", names[i], place, dot + 1);
        }
    }
    assert_false(rl_recipe_place("nonesuch", place, sizeof place));
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
static void prints_itself(const char *text) {
    rl_recipe first, second;
    rl_errors errors = {0};
    rl_str once = {0}, twice = {0};
    assert_int_equal(rl_recipe_load(write_recipe(text), NULL, 0, &first, &errors), RL_OK);
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

static void effective_recipe_is_a_recipe(void **state) {
    (void)state;
    prints_itself(GOOD);
    prints_itself("{" MODEL "," DATA ", \"algo\": {\"name\": \"sft\", \"batch_size\": 8}}");
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

static void load(rl_recipe *r, const char *text, const char *const *set, size_t n_set) {
    rl_errors errors = {0};
    if (rl_recipe_load(write_recipe(text), set, n_set, r, &errors) != RL_OK) {
        fail_msg("%s", rl_str_text(&errors.text));
    }
}

static void later_assignments_win(void **state) {
    static const char *const whole_last[] = {"rollout.turns=3", "rollout.prompts=5",
                                             "rollout={\"turns\": 2}"};
    static const char *const key_last[] = {"rollout={\"turns\": 2, \"prompts\": 5}",
                                           "rollout.turns=3", "rollout.turns=4"};
    static const char *const whole_twice[] = {"rollout={\"turns\": 2}", "rollout={\"prompts\": 5}"};
    static const char text[] =
        "{" MODEL "," DATA "," REWARDS "," ALGO ", \"rollout\": {\"turns\": 9, \"max_batch\": 7}}";
    rl_recipe r;
    (void)state;
    load(&r, text, whole_last, RL_COUNT(whole_last));
    assert_int_equal(r.rollout.turns, 2);
    assert_int_equal(r.rollout.prompts, 8);
    assert_int_equal(r.rollout.max_batch, 64);
    rl_recipe_release(&r);
    load(&r, text, key_last, RL_COUNT(key_last));
    assert_int_equal(r.rollout.turns, 4);
    assert_int_equal(r.rollout.prompts, 5);
    rl_recipe_release(&r);
    load(&r, text, whole_twice, RL_COUNT(whole_twice));
    assert_int_equal(r.rollout.turns, 1);
    assert_int_equal(r.rollout.prompts, 5);
    rl_recipe_release(&r);
}

// A text stays text, whatever it begins with.
static void texts_are_not_json(void **state) {
    static const char *const set[] = {"data.system=[INST] {", "why={x"};
    rl_recipe r;
    (void)state;
    load(&r, GOOD, set, RL_COUNT(set));
    assert_string_equal(r.data.system, "[INST] {");
    assert_string_equal(r.why, "{x");
    rl_recipe_release(&r);
}

static bool speaks_of_a_path(const char *doc) {
    static const char *const word[] = {"path", "file", "folder"};
    for (size_t i = 0; i < RL_COUNT(word); i++) {
        if (strstr(doc, word[i]) != NULL) {
            return true;
        }
    }
    return false;
}

static void expect_paths(const rl_recipe *r, const char *base) {
    const char *const got[] = {r->run.dir,        r->model.path,     r->data.train,   r->data.eval,
                               r->data.eval_loss, r->sandbox.python, r->model.adapter};
    static const char *const given[] = {"r", "m", "t", "e", "l", "p", "a"};
    for (size_t i = 0; i < RL_COUNT(got); i++) {
        assert_string_equal(got[i], rl_path_join(r->arena, base, given[i]));
    }
}

// Every key that holds a path is absolute after loading, however it was given.
static void every_path_resolves(void **state) {
    static const char written[] =
        "{\"run\": {\"dir\": \"r\"}, \"model\": {\"path\": \"m\", \"adapter\": \"a\"}, "
        "\"data\": {\"train\": \"t\", \"eval\": \"e\","
        " \"eval_loss\": \"l\"}, "
        "\"sandbox\": {\"python\": \"p\"}," REWARDS ", \"algo\": {\"name\": \"sft\"}}";
    static const char *const keys[] = {
        "run.dir=r",   "model.path=m",     "model.adapter=a",  "data.train=t",
        "data.eval=e", "data.eval_loss=l", "sandbox.python=p", "algo={\"name\": \"sft\"}"};
    static const char *const wholes[] = {"run={\"dir\": \"r\"}",
                                         "model={\"path\": \"m\", \"adapter\": \"a\"}",
                                         ("data={\"train\": \"t\", \"eval\": \"e\", "
                                          "\"eval_loss\": \"l\"}"),
                                         "algo={\"name\": \"sft\"}", "sandbox={\"python\": \"p\"}"};
    char cwd[2048];
    rl_recipe r;
    size_t n = 0;
    (void)state;
    assert_non_null(getcwd(cwd, sizeof cwd));
    load(&r, written, NULL, 0);
    expect_paths(&r, folder);
    rl_recipe_release(&r);
    load(&r, GOOD, keys, RL_COUNT(keys));
    expect_paths(&r, cwd);
    rl_recipe_release(&r);
    load(&r, GOOD, wholes, RL_COUNT(wholes));
    expect_paths(&r, cwd);
    rl_recipe_release(&r);
    for (size_t i = 0; i < n_plain_sections; i++) { // no eighth key is of this kind
        const rl_section *section = plain_sections[i].section;
        for (size_t k = 0; k < section->n_keys; k++) {
            n += section->keys[k].type == RL_KEY_TEXT && speaks_of_a_path(section->keys[k].doc);
        }
    }
    assert_int_equal(n, 7);
}

static void an_empty_path_stays_empty(void **state) {
    static const char *const set[] = {"sandbox.python=", "data={\"train\": \"t\", \"eval\": \"\"}"};
    rl_recipe r;
    (void)state;
    load(&r, GOOD, set, RL_COUNT(set));
    assert_string_equal(r.sandbox.python, "");
    assert_string_equal(r.data.eval, "");
    rl_recipe_release(&r);
}

static void check_doc(const char *where, const char *doc) {
    if (doc == NULL || doc[0] == '\0' || rl_text_ends(doc, ".") || strchr(doc, '\n') != NULL) {
        fail_msg("'%s' wants one line of documentation without a full stop", where);
    }
}

// Documented in both forms; what its fallbacks print is read back without a word.
static void check_table(const rl_section *section, const char *help, const char *markdown) {
    rl_arena *arena = rl_arena_new(0);
    void *opts = rl_arena_alloc(arena, 1, section->size);
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    rl_json_doc *doc;
    rl_errors errors = {0};
    rl_err err;
    check_doc(section->name, section->doc);
    assert_non_null(
        strstr(help, rl_arena_printf(arena, "\n%s: %s\n", section->name, section->doc)));
    assert_non_null(strstr(markdown, rl_arena_printf(arena, "\n## %s\n", section->name)));
    for (size_t k = 0; k < section->n_keys; k++) {
        const rl_key *key = &section->keys[k];
        check_doc(rl_arena_printf(arena, "%s.%s", section->name, key->name), key->doc);
        assert_non_null(strstr(help, key->doc));
        assert_non_null(strstr(markdown, rl_arena_printf(arena, "\n| `%s` | ", key->name)));
    }
    rl_section_defaults(section, arena, opts);
    for (size_t k = 0; k < section->n_keys; k++) {
        if ((section->keys[k].flags & RL_KEY_REQUIRED) != 0) {
            assert_int_equal(section->keys[k].type, RL_KEY_TEXT);
            *(const char **)(void *)((char *)opts + section->keys[k].offset) = "given";
        }
    }
    rl_json_open_object(&w, NULL);
    rl_section_print(section, opts, &w);
    rl_json_close_object(&w);
    assert_ok(rl_json_parse(text.ptr, text.len, section->name, &doc, &err));
    rl_section_read(section, rl_json_root(doc), NULL, arena, opts, &errors);
    assert_string_equal(rl_str_text(&errors.text), "");
    rl_json_free(doc);
    rl_str_release(&text);
    rl_arena_free(arena);
}

static void tables_are_whole(void **state) {
    char *help = NULL, *markdown = NULL;
    size_t len, n_algos, n_verifiers;
    FILE *to = open_memstream(&help, &len);
    const rl_algo *const *algo = rl_algo_list(&n_algos);
    const rl_verifier *const *verifier = rl_verifier_list(&n_verifiers);
    (void)state;
    rl_recipe_help(to);
    fclose(to);
    to = open_memstream(&markdown, &len);
    rl_recipe_markdown(to);
    fclose(to);
    for (size_t i = 0; i < n_plain_sections; i++) {
        check_table(plain_sections[i].section, help, markdown);
    }
    for (size_t i = 0; i < n_algos; i++) {
        check_table(algo[i]->options, help, markdown);
    }
    for (size_t i = 0; i < n_verifiers; i++) {
        check_table(verifier[i]->options, help, markdown);
    }
    rl_free(help);
    rl_free(markdown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mistakes_are_told_together),
        cmocka_unit_test(bare_names_have_a_place),
        cmocka_unit_test(paths_and_assignments),
        cmocka_unit_test(effective_recipe_is_a_recipe),
        cmocka_unit_test(shipped_recipes_load),
        cmocka_unit_test(later_assignments_win),
        cmocka_unit_test(texts_are_not_json),
        cmocka_unit_test(every_path_resolves),
        cmocka_unit_test(an_empty_path_stays_empty),
        cmocka_unit_test(tables_are_whole),
    };
    return cmocka_run_group_tests(tests, make_folder, drop_folder);
}
