/*
 * Files. Reading maps or copies whole files; writing goes aside, is synced and renamed, so that a
 * reader sees the old file or the new one, never half of one. Every failure names the path and the
 * cause; a full disk is an RL_IO with the words "no space left". Paths are UTF-8, '/' separated.
 */
#ifndef RL_CORE_FS_H
#define RL_CORE_FS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/arena.h"
#include "rl/core/status.h"

/* Whole file into the arena, NUL-terminated (the NUL is not counted). Folders and devices are
 * refused. */
rl_status rl_fs_read(const char *path, rl_arena *arena, char **out, size_t *out_len,
                     rl_err *err) RL_MUST_USE;

/* A read-only mapping. An empty file maps to len 0. */
typedef struct rl_map_file {
    const uint8_t *ptr;
    size_t len;
} rl_map_file;
rl_status rl_fs_map(const char *path, rl_map_file *out, rl_err *err) RL_MUST_USE;
void rl_fs_unmap(rl_map_file *file); // zero value accepted
/* What was read of the mapping may leave memory; it comes back when it is read again. */
void rl_fs_map_rest(const rl_map_file *file);

/* One whole small file: written to "<path>.tmp", synced, renamed, folder synced. */
rl_status rl_fs_write(const char *path, const void *bytes, size_t n_bytes, rl_err *err) RL_MUST_USE;

/*
 * A large file in pieces. rl_writer_open creates "<path>.tmp"; rl_writer_commit syncs and renames;
 * rl_writer_abort (also safe after commit and on the zero value) removes what is left.
 */
typedef struct rl_writer {
    int fd; // valid while path is not NULL
    char *path, *tmp;
    uint8_t *buf;
    size_t buf_len;
} rl_writer;
rl_status rl_writer_open(const char *path, rl_writer *out, rl_err *err) RL_MUST_USE;
rl_status rl_writer_put(rl_writer *writer, const void *bytes, size_t n_bytes,
                        rl_err *err) RL_MUST_USE;
rl_status rl_writer_commit(rl_writer *writer, rl_err *err) RL_MUST_USE;
void rl_writer_abort(rl_writer *writer);

/* Appends bytes (a line of JSON) in one write; creates the file. A short write is cut off again. */
rl_status rl_fs_append(const char *path, const void *bytes, size_t n_bytes,
                       rl_err *err) RL_MUST_USE;

bool rl_fs_exists(const char *path);
bool rl_fs_is_dir(const char *path);
int64_t rl_fs_size(const char *path); // -1 when it cannot be told
/* Makes the folder and its parents; an existing folder is fine. */
rl_status rl_fs_mkdirs(const char *path, rl_err *err) RL_MUST_USE;
/*
 * Takes a folder for this process until rl_fs_unlock or its end; RL_BAD_RECIPE when another process
 * has it. Advisory: it keeps out only those who ask.
 */
rl_status rl_fs_lock(const char *folder, int *lock, rl_err *err) RL_MUST_USE;
void rl_fs_unlock(int lock);
/* Removes a file or a folder with all it holds; absent is fine. Symbolic links are removed, not
 * followed. */
rl_status rl_fs_remove(const char *path, rl_err *err) RL_MUST_USE;
/* Renames and syncs the parent folder. */
rl_status rl_fs_rename(const char *from, const char *to, rl_err *err) RL_MUST_USE;
rl_status rl_fs_copy(const char *from, const char *to, rl_err *err) RL_MUST_USE;
/* Names in a folder, sorted by bytes, without "." and ".."; in the arena. */
rl_status rl_fs_list(const char *path, rl_arena *arena, char ***out, size_t *n_out,
                     rl_err *err) RL_MUST_USE;

/* The name in the folder of path that is nearly path's own, or NULL; in the arena. */
const char *rl_fs_nearest(const char *path, rl_arena *arena);

/* Path arithmetic, no disk access; results in the arena. */
char *rl_path_join(rl_arena *arena, const char *folder, const char *name); // an absolute name wins
char *rl_path_dir(rl_arena *arena, const char *path);                      // "." when there is none
const char *rl_path_base(const char *path);                                // points into path
/* Absolute form by the current folder, with "." and ".." folded. */
char *rl_path_absolute(rl_arena *arena, const char *path);
/* Whether path is folder or lies inside it, symbolic links followed; false where either is absent.
 */
bool rl_path_inside(const char *path, const char *folder);
/* Folder that holds the running program, for finding rl-jail and installed recipes. */
rl_status rl_path_program_dir(rl_arena *arena, char **out, rl_err *err) RL_MUST_USE;

#endif
