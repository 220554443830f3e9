/*
 * The folder of a run: metrics.jsonl, completions.jsonl, recipe.effective.json, checkpoint-<step>/,
 * of evaluations eval.jsonl and eval_completions-<step>.jsonl, and at the end plot.txt and
 * plot.svg. An existing run is never touched unless the user says --overwrite, and then
 * only files of these names are removed.
 */
#ifndef RL_TRAIN_RUN_DIR_H
#define RL_TRAIN_RUN_DIR_H

#include <stdbool.h>

#include "rl/core/arena.h"
#include "rl/core/str.h"
#include "rl/policy/policy.h"

typedef struct rl_run_dir rl_run_dir;

/* Fails when the folder holds a run already, or anything that is not one. Touches nothing on disk.
 */
rl_status rl_run_dir_check(const char *path, bool overwrite, rl_err *err) RL_MUST_USE;
/* Fails when a file the run reads lies where --overwrite would remove it. key names it in the
 * sentence. */
rl_status rl_run_dir_apart(const char *path, const char *key, const char *input,
                           rl_err *err) RL_MUST_USE;
/* Checks again, then makes the folder and writes recipe.effective.json. */
rl_status rl_run_dir_open(const char *path, bool overwrite, const rl_str *effective_recipe,
                          rl_run_dir **out, rl_err *err) RL_MUST_USE;
void rl_run_dir_close(rl_run_dir *dir); // accepts NULL
const char *rl_run_dir_path(const rl_run_dir *dir);

/* Appends whole lines; a failed append leaves no half line behind. */
rl_status rl_run_dir_metrics(rl_run_dir *dir, const rl_str *lines, rl_err *err) RL_MUST_USE;
rl_status rl_run_dir_completions(rl_run_dir *dir, const rl_str *lines, rl_err *err) RL_MUST_USE;
/* The same for a file by its name. */
rl_status rl_run_dir_append(rl_run_dir *dir, const char *name, const rl_str *lines,
                            rl_err *err) RL_MUST_USE;
/*
 * A file that appears whole or not at all: it grows as "<name>.part" until it is published. A
 * folder that holds parts and the recipe alone holds no run.
 */
rl_status rl_run_dir_append_part(rl_run_dir *dir, const char *name, const rl_str *lines,
                                 rl_err *err) RL_MUST_USE;
rl_status rl_run_dir_publish(rl_run_dir *dir, const char *name, rl_err *err) RL_MUST_USE;
rl_status rl_run_dir_drop_part(rl_run_dir *dir, const char *name,
                               rl_err *err) RL_MUST_USE; // absent is fine
/* Removes all that the run wrote but its recipe: the folder holds no run again. */
rl_status rl_run_dir_forget(rl_run_dir *dir, rl_err *err) RL_MUST_USE;
/* Writes a file of its own, such as the batch that made a loss NaN. */
rl_status rl_run_dir_file(rl_run_dir *dir, const char *name, const rl_str *text,
                          rl_err *err) RL_MUST_USE;

/*
 * checkpoint-<step>: what rl_policy_save writes, aside, synced, renamed and finished by
 * an empty file DONE. Replaces a folder of the same step that lacks DONE.
 */
rl_status rl_run_dir_checkpoint(rl_run_dir *dir, int64_t step, const rl_checkpoint *source,
                                const rl_policy *policy, rl_save_dtype dtype,
                                rl_err *err) RL_MUST_USE;

#endif
