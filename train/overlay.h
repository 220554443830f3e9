/* Lays --set assignments over a recipe and makes its paths absolute. Private to train/. */
#ifndef RL_TRAIN_OVERLAY_H
#define RL_TRAIN_OVERLAY_H

#include "rl/core/schema.h"

/*
 * root is the recipe as written, in `folder`; the result is a recipe text without relative paths. A
 * mistake in an assignment is added to errors and that assignment left out.
 */
void recipe_overlay(const rl_json *root, const char *folder, const char *const *set, size_t n_set,
                    rl_str *out, rl_errors *errors);

#endif
