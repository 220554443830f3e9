#include "rl/train/recipe.h"

#include <math.h>
#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "train/objective.h"
#include "train/overlay.h"
#include "train/sections.h"

static void add_wrong_type(rl_errors *errors, const char *path, const rl_json *value,
                           const char *want) {
    rl_errors_add(errors, "'%s' is %s, not %s", path, rl_json_type_name(rl_json_type_of(value)),
                  want);
    rl_errors_refuse(errors, path);
}

static void check_names(const rl_json *root, rl_errors *errors) {
    size_t n = 0;
    while (recipe_names[n] != NULL) {
        n++;
    }
    for (const rl_json *s = rl_json_first(root); s != NULL; s = rl_json_next(s)) {
        const char *name = rl_json_key(s), *near;
        char hint[256];
        bool known = false;
        for (size_t i = 0; i < n; i++) {
            known = known || strcmp(recipe_names[i], name) == 0;
        }
        if (known) {
            continue;
        }
        near = rl_text_nearest(name, recipe_names, n);
        if (recipe_foreign_hint(name, hint, sizeof hint) != NULL) {
            rl_errors_add(errors, "unknown section '%s'; %s", name, hint);
        } else if (near != NULL) {
            rl_errors_add(errors, "unknown section '%s'; did you mean '%s'?", name, near);
            rl_errors_refuse(errors, near);
        } else {
            rl_errors_add(errors, "unknown section '%s'; rl-train --help-recipe lists them", name);
        }
    }
}

// A list of names for "known: a, b, c".
static void list_algos(rl_str *out) {
    size_t n;
    const rl_algo *const *row = rl_algo_list(&n);
    for (size_t i = 0; i < n; i++) {
        rl_str_appendf(out, "%s%s", i > 0 ? ", " : "", row[i]->name);
    }
}

static void list_verifiers(rl_str *out) {
    size_t n;
    const rl_verifier *const *row = rl_verifier_list(&n);
    for (size_t i = 0; i < n; i++) {
        rl_str_appendf(out, "%s%s", i > 0 ? ", " : "", row[i]->name);
    }
}

// The "name" of the object at path, or NULL once the reason is among the errors.
static const char *read_name(const char *path, const rl_json *object, const char *known,
                             rl_errors *errors) {
    const rl_json *value = rl_json_get(object, "name");
    char name_path[64];
    snprintf(name_path, sizeof name_path, "%s.name", path);
    if (object != NULL && rl_json_type_of(object) != RL_JSON_OBJECT) {
        add_wrong_type(errors, path, object, "an object");
    } else if (value == NULL) {
        rl_errors_add(errors, "'%s' is missing; known: %s", name_path, known);
    } else if (rl_json_type_of(value) != RL_JSON_TEXT) {
        add_wrong_type(errors, name_path, value, "text");
    }
    return rl_json_text(value, NULL);
}

static void read_algo(const rl_json *section, rl_recipe *recipe, rl_errors *errors) {
    static const char *const elsewhere[] = {"name", NULL};
    const char *name;
    rl_str known = {0};
    list_algos(&known);
    name = read_name("algo", section, rl_str_text(&known), errors);
    if (name != NULL && (recipe->algo = rl_algo_find(name)) == NULL) {
        rl_errors_add(errors, "unknown algorithm '%s' in 'algo.name'; known: %s", name,
                      rl_str_text(&known));
    }
    if (recipe->algo != NULL) {
        recipe->algo_opts = rl_arena_alloc(recipe->arena, 1, recipe->algo->options->size);
        rl_section_read_at("algo", recipe->algo->options, section, elsewhere, recipe->arena,
                           recipe->algo_opts, errors);
    }
    rl_str_release(&known);
}

#define MAX_WEIGHT 1e6

static double read_weight(const char *path, const rl_json *value, rl_errors *errors) {
    double weight = rl_json_number(value, 1.0);
    if (value != NULL && rl_json_type_of(value) != RL_JSON_NUMBER) {
        add_wrong_type(errors, path, value, "a number");
    } else if (!(fabs(weight) <= MAX_WEIGHT)) {
        rl_errors_add(errors, "'%s' is %g, outside [%.0f, %.0f]", path, weight, -MAX_WEIGHT,
                      MAX_WEIGHT);
        rl_errors_refuse(errors, path);
    }
    return weight;
}

static void read_reward(const rl_json *entry, int32_t i, rl_recipe *recipe, rl_errors *errors) {
    static const char *const elsewhere[] = {"name", "weight", NULL};
    rl_reward_opts *reward = &recipe->reward[i];
    const char *name;
    char path[32], weight_path[48];
    rl_str known = {0};
    list_verifiers(&known);
    snprintf(path, sizeof path, "rewards[%d]", i);
    snprintf(weight_path, sizeof weight_path, "%s.weight", path);
    reward->weight = read_weight(weight_path, rl_json_get(entry, "weight"), errors);
    name = read_name(path, entry, rl_str_text(&known), errors);
    if (name != NULL && (reward->row = rl_verifier_find(name)) == NULL) {
        rl_errors_add(errors, "unknown verifier '%s' in '%s.name'; known: %s", name, path,
                      rl_str_text(&known));
    }
    if (reward->row != NULL) {
        reward->opts = rl_arena_alloc(recipe->arena, 1, reward->row->options->size);
        rl_section_read_at(path, reward->row->options, entry, elsewhere, recipe->arena,
                           reward->opts, errors);
    }
    rl_str_release(&known);
}

static void read_rewards(const rl_json *list, rl_recipe *recipe, rl_errors *errors) {
    int32_t i = 0;
    if (list != NULL && rl_json_type_of(list) != RL_JSON_LIST) {
        add_wrong_type(errors, "rewards", list, "a list; try [{\"name\": \"code_tests\"}]");
        return;
    }
    recipe->n_rewards = (int32_t)rl_json_count(list);
    recipe->reward =
        rl_arena_alloc(recipe->arena, (size_t)recipe->n_rewards, sizeof *recipe->reward);
    for (const rl_json *entry = rl_json_first(list); entry != NULL; entry = rl_json_next(entry)) {
        read_reward(entry, i++, recipe, errors);
    }
}

static void check_reward_list(const rl_recipe *recipe, rl_errors *errors) {
    for (int32_t i = 0; i < recipe->n_rewards; i++) {
        for (int32_t j = 0; j < i; j++) {
            if (recipe->reward[i].row != NULL && recipe->reward[i].row == recipe->reward[j].row) {
                rl_errors_add(errors, "verifier '%s' is named twice in 'rewards'",
                              recipe->reward[i].row->name);
            }
        }
    }
}

// Rules between sections; those of the objective come first. A rule is silent where a value that it
// reads was refused.
static void check_rules(const rl_recipe *recipe, rl_errors *errors) {
    if (recipe->algo != NULL) {
        objective_of(recipe->algo)->check(recipe, errors);
    }
    if (recipe->eval.every > 0 && recipe->data.eval[0] == '\0' &&
        recipe->data.eval_loss[0] == '\0' && !rl_errors_refused(errors, "eval.every") &&
        !rl_errors_refused(errors, "data.eval")) {
        rl_errors_add(errors,
                      "'eval.every' is %d but neither 'data.eval' nor 'data.eval_loss' names a "
                      "file",
                      recipe->eval.every);
    }
    if (recipe->lora.r > 0 && recipe->model.adapter[0] != '\0' &&
        !rl_errors_refused(errors, "lora") && !rl_errors_refused(errors, "model.adapter")) {
        rl_errors_add(errors,
                      "'lora.r' asks for a new adapter and 'model.adapter' names one; leave "
                      "one of them out");
    }
    check_reward_list(recipe, errors);
}

static void read_sections(const rl_json *root, rl_recipe *recipe, rl_errors *errors) {
    const rl_json *why = rl_json_get(root, "why");
    check_names(root, errors);
    for (size_t i = 0; i < n_plain_sections; i++) {
        const plain_section *plain = &plain_sections[i];
        const rl_json *object = rl_json_get(root, plain->section->name);
        rl_section_read(plain->section, object, plain->elsewhere, recipe->arena,
                        (char *)recipe + plain->offset, errors);
        if (plain->check != NULL && object != NULL && rl_json_type_of(object) == RL_JSON_OBJECT) {
            plain->check(object, errors);
        }
    }
    read_algo(rl_json_get(root, "algo"), recipe, errors);
    read_rewards(rl_json_get(root, "rewards"), recipe, errors);
    if (why != NULL && rl_json_type_of(why) != RL_JSON_TEXT) {
        add_wrong_type(errors, "why", why, "text");
    }
    recipe->why = rl_arena_strdup(recipe->arena, rl_json_text(why, ""));
    check_rules(recipe, errors);
}

// "recipes/murphy.json" -> "murphy".
static const char *name_of(const char *path, rl_arena *arena) {
    const char *base = rl_path_base(path);
    size_t n = rl_text_ends(base, ".json") ? strlen(base) - 5 : strlen(base);
    return rl_arena_strndup(arena, base, n);
}

rl_status rl_recipe_load(const char *path, const char *const *set, size_t n_set, rl_recipe *out,
                         rl_errors *errors) {
    rl_json_doc *written = NULL, *merged = NULL;
    rl_str text = {0};
    rl_err err;
    *out = (rl_recipe){.arena = rl_arena_new(0)};
    errors->hint = recipe_foreign_hint;
    if (rl_json_read(path, &written, &err) != RL_OK) {
        rl_errors_add(errors, "%s", err.text);
    } else if (rl_json_type_of(rl_json_root(written)) != RL_JSON_OBJECT) {
        rl_errors_add(errors, "'%s' is not a recipe: it holds %s, not an object", path,
                      rl_json_type_name(rl_json_type_of(rl_json_root(written))));
    } else {
        out->name = name_of(path, out->arena);
        recipe_overlay(rl_json_root(written), rl_path_dir(out->arena, path), set, n_set, &text,
                       errors);
        if (rl_json_parse(text.ptr, text.len, path, &merged, &err) != RL_OK) {
            rl_errors_add(errors, "%s", err.text);
        } else {
            read_sections(rl_json_root(merged), out, errors);
            if (out->run.dir[0] == '\0') {
                const char *dir = rl_arena_printf(out->arena, "runs/%s", out->name);
                out->run.dir = rl_path_absolute(out->arena, dir);
            }
        }
    }
    rl_json_free(written);
    rl_json_free(merged);
    rl_str_release(&text);
    if (errors->count > 0) {
        rl_recipe_release(out);
        return RL_BAD_RECIPE;
    }
    return RL_OK;
}

void rl_recipe_release(rl_recipe *recipe) {
    rl_arena_free(recipe->arena);
    *recipe = (rl_recipe){0};
}
