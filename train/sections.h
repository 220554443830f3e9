/* The recipe sections that train/ itself keeps, and the list of all sections. Private to train/. */
#ifndef RL_TRAIN_SECTIONS_H
#define RL_TRAIN_SECTIONS_H

#include "rl/train/recipe.h"

/* A section that is always read the same way: its table and where its struct lies in rl_recipe. */
typedef struct plain_section {
    const rl_section *section;
    size_t offset;
    const char *const *elsewhere;                            // keys that no row reads; NULL: none
    void (*check)(const rl_json *object, rl_errors *errors); // looks at them; may be NULL
} plain_section;

extern const plain_section plain_sections[];
extern const size_t n_plain_sections;

/* Every name allowed at the top of a recipe, NULL-terminated, in the order of the documentation. */
extern const char *const recipe_names[];

/* Keys that hold paths, as "section.key", NULL-terminated. */
extern const char *const recipe_path_keys[];

/* The row of "section.key"; in a polymorphic section the first row of that name. NULL when there is
 * none. */
const rl_key *recipe_key_find(const char *section, const char *key);

/* A clause that tells where TRL's or transformers' name belongs, or NULL. Fits rl_errors.hint. */
const char *recipe_foreign_hint(const char *name, char *out, size_t out_size);

#endif
