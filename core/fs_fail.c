#include "core/fs_fail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <unistd.h>

#include "rl/core/fs.h"

/* The causes a user can mend, in plain words with what to try. */
static const struct {
    int cause;
    const char *words;
} known[] = {
    {ENOENT, "no such file; check the path"},
    {EACCES, "permission denied; check its owner and mode"},
    {EPERM, "not permitted; check its owner and attributes"},
    {ENOSPC, "no space left on the disk; free some or choose another folder"},
    {EDQUOT, "no space left on the disk (the user's quota is used up); free some"},
    {EFBIG, "the file grows past the size limit of this process; raise 'ulimit -f'"},
    {EISDIR, "it is a folder; name a file"},
    {ENOTDIR, "a part of the path is not a folder; check the path"},
    {ENOTEMPTY, "the folder is not empty; choose another name"},
    {EROFS, "the file system is read-only; choose another folder"},
    {ENAMETOOLONG, "the name is too long; choose a shorter one"},
    {ELOOP, "its symbolic links go in a circle; check the path"},
    {EMFILE, "too many files are open; raise 'ulimit -n'"},
    {EXDEV, "the two names lie on different disks; choose one on the same"},
};

rl_status rl_fs_fail(rl_err *err, const char *verb, const char *path, int cause) {
    char text[128];
    const char *words = NULL;
    for (size_t i = 0; i < sizeof known / sizeof known[0] && words == NULL; i++) {
        words = known[i].cause == cause ? known[i].words : NULL;
    }
    if (words == NULL) {
        words = strerror_r(cause, text, sizeof text);
    }
    return rl_fail(err, RL_IO, "cannot %s '%s': %s", verb, path, words);
}

int rl_fs_write_all(int fd, const void *bytes, size_t n_bytes) {
    const char *at = bytes;
    while (n_bytes > 0) {
        ssize_t n = write(fd, at, n_bytes < INT_MAX ? n_bytes : INT_MAX);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : EIO;
        }
        at += n;
        n_bytes -= (size_t)n;
    }
    return 0;
}

int rl_fs_sync_folder_of(const char *path) {
    rl_arena *arena = rl_arena_new(0);
    int cause = 0;
    int fd = open(rl_path_dir(arena, path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        cause = errno;
    } else {
        // Some file systems cannot sync a folder and say EINVAL: there is nothing more to be had.
        if (fsync(fd) != 0 && errno != EINVAL) {
            cause = errno;
        }
        close(fd);
    }
    rl_arena_free(arena);
    return cause;
}
