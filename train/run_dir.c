#include "rl/train/run_dir.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"

struct rl_run_dir {
    rl_arena *arena;
    const char *path, *metrics, *completions;
    int lock; // held while the run writes
};

static const char effective_name[] = "recipe.effective.json";
static const char metrics_name[] = "metrics.jsonl";
static const char completions_name[] = "completions.jsonl";
static const char part_ending[] = ".part";

// Files that a run makes, and that --overwrite may therefore remove.
static bool is_ours(const char *name) {
    static const char *const whole[] = {effective_name, metrics_name, completions_name,
                                        "eval.jsonl",   "plot.txt",   "plot.svg"};
    static const char *const start[] = {"checkpoint-", "failed-batch-", "eval_completions-",
                                        "dump-"};
    for (size_t i = 0; i < sizeof whole / sizeof whole[0]; i++) {
        if (strcmp(name, whole[i]) == 0) {
            return true;
        }
    }
    for (size_t i = 0; i < sizeof start / sizeof start[0]; i++) {
        if (rl_text_starts(name, start[i])) {
            return true;
        }
    }
    return false;
}

// What ended before its first step left its recipe, and where it was killed in an evaluation a part
// of that: nothing that --overwrite should be asked for.
static bool holds_run(char *const *name, size_t n) {
    for (size_t i = 0; i < n; i++) {
        if (strcmp(name[i], effective_name) != 0 && !rl_text_ends(name[i], part_ending)) {
            return true;
        }
    }
    return false;
}

// Lists the folder and judges it; n is 0 when it is absent or empty.
static rl_status judge(const char *path, bool overwrite, rl_arena *arena, char ***name, size_t *n,
                       rl_err *err) {
    rl_status status;
    *n = 0;
    if (!rl_fs_exists(path)) {
        return RL_OK;
    }
    if (!rl_fs_is_dir(path)) {
        return rl_fail(err, RL_BAD_RECIPE, "'run.dir' names a file, '%s'; choose another folder",
                       path);
    }
    status = rl_fs_list(path, arena, name, n, err);
    for (size_t i = 0; status == RL_OK && i < *n; i++) {
        if (!is_ours((*name)[i])) {
            return rl_fail(
                err, RL_BAD_RECIPE,
                "folder '%s' holds '%s', which no run has made; choose another 'run.dir'", path,
                (*name)[i]);
        }
    }
    if (status == RL_OK && holds_run(*name, *n) && !overwrite) {
        return rl_fail(
            err, RL_BAD_RECIPE,
            "folder '%s' holds a run already; choose another 'run.dir', or say --overwrite", path);
    }
    return status;
}

rl_status rl_run_dir_check(const char *path, bool overwrite, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char **name = NULL;
    size_t n;
    rl_status status = judge(path, overwrite, arena, &name, &n, err);
    rl_arena_free(arena);
    return status;
}

rl_status rl_run_dir_apart(const char *path, const char *key, const char *input, rl_err *err) {
    if (input[0] != '\0' && rl_path_inside(input, path)) {
        return rl_fail(
            err, RL_BAD_RECIPE,
            "'%s' lies inside 'run.dir' '%s', which a run may overwrite; choose another 'run.dir'",
            key, path);
    }
    return RL_OK;
}

rl_status rl_run_dir_open(const char *path, bool overwrite, const rl_str *effective_recipe,
                          rl_run_dir **out, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    rl_run_dir *dir = rl_alloc(1, sizeof *dir);
    char **name = NULL;
    size_t n;
    rl_status status;
    dir->arena = arena;
    dir->lock = -1;
    dir->path = rl_arena_strdup(arena, path);
    dir->metrics = rl_path_join(arena, path, metrics_name);
    dir->completions = rl_path_join(arena, path, completions_name);
    status = judge(path, overwrite, arena, &name, &n, err);
    if (status == RL_OK) {
        status = rl_fs_mkdirs(path, err);
    }
    if (status == RL_OK) {
        status = rl_fs_lock(path, &dir->lock, err);
    }
    if (status == RL_OK) {
        // Again, now that nobody else can change it.
        status = judge(path, overwrite, arena, &name, &n, err);
    }
    for (size_t i = 0; status == RL_OK && i < n; i++) {
        status = rl_fs_remove(rl_path_join(arena, path, name[i]), err);
    }
    if (status == RL_OK) {
        status = rl_run_dir_file(dir, effective_name, effective_recipe, err);
    }
    if (status != RL_OK) {
        rl_run_dir_close(dir);
        dir = NULL;
    }
    *out = dir;
    return status;
}

void rl_run_dir_close(rl_run_dir *dir) {
    if (dir != NULL) {
        rl_fs_unlock(dir->lock);
        rl_arena_free(dir->arena);
        rl_free(dir);
    }
}

const char *rl_run_dir_path(const rl_run_dir *dir) {
    return dir->path;
}

rl_status rl_run_dir_metrics(rl_run_dir *dir, const rl_str *lines, rl_err *err) {
    return rl_fs_append(dir->metrics, lines->ptr, lines->len, err);
}

rl_status rl_run_dir_completions(rl_run_dir *dir, const rl_str *lines, rl_err *err) {
    return rl_fs_append(dir->completions, lines->ptr, lines->len, err);
}

rl_status rl_run_dir_append(rl_run_dir *dir, const char *name, const rl_str *lines, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(dir->arena);
    rl_status status =
        rl_fs_append(rl_path_join(dir->arena, dir->path, name), lines->ptr, lines->len, err);
    rl_arena_rewind(dir->arena, mark);
    return status;
}

static char *part_of(rl_run_dir *dir, const char *name) {
    return rl_arena_printf(dir->arena, "%s/%s%s", dir->path, name, part_ending);
}

rl_status rl_run_dir_append_part(rl_run_dir *dir, const char *name, const rl_str *lines,
                                 rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(dir->arena);
    rl_status status = rl_fs_append(part_of(dir, name), lines->ptr, lines->len, err);
    rl_arena_rewind(dir->arena, mark);
    return status;
}

rl_status rl_run_dir_publish(rl_run_dir *dir, const char *name, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(dir->arena);
    rl_status status =
        rl_fs_rename(part_of(dir, name), rl_path_join(dir->arena, dir->path, name), err);
    rl_arena_rewind(dir->arena, mark);
    return status;
}

rl_status rl_run_dir_drop_part(rl_run_dir *dir, const char *name, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(dir->arena);
    rl_status status = rl_fs_remove(part_of(dir, name), err);
    rl_arena_rewind(dir->arena, mark);
    return status;
}

rl_status rl_run_dir_forget(rl_run_dir *dir, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char **name = NULL;
    size_t n = 0;
    rl_status status = rl_fs_list(dir->path, arena, &name, &n, err);
    for (size_t i = 0; status == RL_OK && i < n; i++) {
        if (is_ours(name[i]) && strcmp(name[i], effective_name) != 0) {
            status = rl_fs_remove(rl_path_join(arena, dir->path, name[i]), err);
        }
    }
    rl_arena_free(arena);
    return status;
}

rl_status rl_run_dir_file(rl_run_dir *dir, const char *name, const rl_str *text, rl_err *err) {
    rl_arena_mark mark = rl_arena_mark_get(dir->arena);
    rl_status status =
        rl_fs_write(rl_path_join(dir->arena, dir->path, name), text->ptr, text->len, err);
    rl_arena_rewind(dir->arena, mark);
    return status;
}

static rl_status write_aside(const char *aside, const char *final, const rl_checkpoint *source,
                             const rl_policy *policy, rl_save_dtype dtype, rl_arena *arena,
                             rl_err *err) {
    rl_status status = rl_fs_remove(aside, err);
    if (status == RL_OK) {
        status = rl_fs_mkdirs(aside, err);
    }
    if (status == RL_OK) {
        status = rl_policy_save(policy, source, dtype, aside, err);
    }
    if (status == RL_OK) {
        status = rl_fs_remove(final, err);
    }
    if (status == RL_OK) {
        status = rl_fs_rename(aside, final, err);
    }
    if (status == RL_OK) {
        status = rl_fs_write(rl_path_join(arena, final, "DONE"), "", 0, err);
    }
    return status;
}

rl_status rl_run_dir_checkpoint(rl_run_dir *dir, int64_t step, const rl_checkpoint *source,
                                const rl_policy *policy, rl_save_dtype dtype, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    char *final = rl_arena_printf(arena, "%s/checkpoint-%lld", dir->path, (long long)step);
    char *aside = rl_arena_printf(arena, "%s.tmp", final);
    rl_status status = write_aside(aside, final, source, policy, dtype, arena, err);
    if (status != RL_OK) {
        rl_err ignored;
        (void)!rl_fs_remove(aside, &ignored);
    }
    rl_arena_free(arena);
    return status;
}
