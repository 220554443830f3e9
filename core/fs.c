#include "rl/core/fs.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs_fail.h"
#include "rl/core/alloc.h"
#include "rl/core/str.h"

const char *rl_fs_nearest(const char *path, rl_arena *arena) {
    char **name = NULL;
    size_t n = 0;
    rl_err ignored;
    if (rl_fs_list(rl_path_dir(arena, path), arena, &name, &n, &ignored) != RL_OK) {
        return NULL;
    }
    return rl_text_nearest(rl_path_base(path), (const char *const *)name, n);
}

/* A file that is not there: a neighbour of nearly that name may be meant. */
static rl_status fail_missing(const char *path, rl_err *err) {
    rl_arena *arena = rl_arena_new(0);
    const char *near = rl_fs_nearest(path, arena);
    char folder[512];
    rl_status status;
    if (near != NULL) {
        status =
            rl_fail(err, RL_IO, "cannot read '%s': no such file; did you mean '%s'?", path, near);
    } else if (path[0] != '/' && getcwd(folder, sizeof folder) != NULL) {
        status = rl_fail(err, RL_IO,
                         "cannot read '%s' from the folder '%s': no such file; check the path",
                         path, folder);
    } else {
        status = rl_fs_fail(err, "read", path, ENOENT);
    }
    rl_arena_free(arena);
    return status;
}

/* Opens a regular file for reading. Without O_NONBLOCK a named pipe would hang the program. */
static rl_status open_file(const char *path, int *fd, size_t *size, rl_err *err) {
    struct stat info = {0};
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0) {
        return errno == ENOENT ? fail_missing(path, err) : rl_fs_fail(err, "read", path, errno);
    }
    if (fstat(*fd, &info) != 0 || !S_ISREG(info.st_mode)) {
        close(*fd);
        return rl_fail(err, RL_IO, "cannot read '%s': it is %s; name a file", path,
                       S_ISDIR(info.st_mode) ? "a folder" : "a device or a pipe");
    }
    *size = (size_t)info.st_size;
    return RL_OK;
}

/* Reads up to n_bytes; *n_read is less only at the end of the file. 0 or a value of errno. */
static int read_some(int fd, char *to, size_t n_bytes, size_t *n_read) {
    *n_read = 0;
    while (*n_read < n_bytes) {
        ssize_t n = read(fd, to + *n_read, n_bytes - *n_read);
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return n < 0 ? errno : 0;
        }
        *n_read += (size_t)n;
    }
    return 0;
}

rl_status rl_fs_read(const char *path, rl_arena *arena, char **out, size_t *out_len, rl_err *err) {
    int fd = -1, cause;
    size_t size = 0, n;
    rl_status status = open_file(path, &fd, &size, err);
    if (status != RL_OK) {
        return status;
    }
    if (size > 0) {
        *out = rl_arena_alloc(arena, size + 1, 1);
        cause = read_some(fd, *out, size, out_len);
        (*out)[*out_len] = '\0';
    } else { // files of /proc have a text but no size
        rl_str text = {0};
        char piece[4096];
        do {
            cause = read_some(fd, piece, sizeof piece, &n);
            rl_str_append_n(&text, piece, n);
        } while (cause == 0 && n == sizeof piece);
        *out = rl_arena_strndup(arena, rl_str_text(&text), text.len);
        *out_len = text.len;
        rl_str_release(&text);
    }
    close(fd);
    return cause == 0 ? RL_OK : rl_fs_fail(err, "read", path, cause);
}

rl_status rl_fs_map(const char *path, rl_map_file *out, rl_err *err) {
    int fd = -1;
    size_t size = 0;
    void *ptr;
    rl_status status = open_file(path, &fd, &size, err);
    *out = (rl_map_file){0};
    if (status != RL_OK) {
        return status;
    }
    if (size > 0) {
        ptr = mmap(NULL, size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (ptr == MAP_FAILED) {
            status = rl_fs_fail(err, "read", path, errno);
        } else {
            *out = (rl_map_file){.ptr = ptr, .len = size};
        }
    }
    close(fd);
    return status;
}

static void *mapping(const rl_map_file *file) {
    union {
        const uint8_t *in;
        void *out;
    } ptr = {.in = file->ptr};
    return ptr.out;
}

void rl_fs_map_rest(const rl_map_file *file) {
    if (file->len > 0) {
        (void)madvise(mapping(file), file->len, MADV_DONTNEED);
    }
}

void rl_fs_unmap(rl_map_file *file) {
    if (file->len > 0) {
        (void)munmap(mapping(file), file->len);
    }
    *file = (rl_map_file){0};
}

bool rl_fs_exists(const char *path) {
    struct stat info;
    return stat(path, &info) == 0;
}

bool rl_fs_is_dir(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISDIR(info.st_mode);
}

int64_t rl_fs_size(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 && S_ISREG(info.st_mode) ? (int64_t)info.st_size : -1;
}

rl_status rl_fs_mkdirs(const char *path, rl_err *err) {
    rl_status status = RL_OK;
    char *copy = rl_strdup(path);
    for (char *at = copy + (*copy == '/'); status == RL_OK && *at != '\0';) {
        char *end = at + strcspn(at, "/");
        char kept = *end;
        *end = '\0';
        if (mkdir(copy, 0777) != 0) {
            int cause = errno == EEXIST ? ENOTDIR : errno;
            if (!rl_fs_is_dir(copy) && cause == ENOENT) {
                // What it lies in was there: a file system such as /proc.
                status = rl_fail(err, RL_IO,
                                 "cannot make the folder '%s': no folder can be made there; "
                                 "choose another",
                                 path);
            } else if (!rl_fs_is_dir(copy)) {
                status = rl_fs_fail(err, "make the folder", path, cause);
            }
        }
        *end = kept;
        at = end + strspn(end, "/");
    }
    rl_free(copy);
    return status;
}

rl_status rl_fs_lock(const char *folder, int *lock, rl_err *err) {
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    *lock = -1;
    if (fd < 0) {
        return rl_fs_fail(err, "open", folder, errno);
    }
    if (flock(fd, LOCK_EX | LOCK_NB) != 0) {
        int cause = errno;
        close(fd);
        if (cause == EWOULDBLOCK) {
            return rl_fail(err, RL_BAD_RECIPE,
                           "folder '%s' is in use by another run; choose another", folder);
        }
        return rl_fs_fail(err, "lock", folder, cause);
    }
    *lock = fd;
    return RL_OK;
}

void rl_fs_unlock(int lock) {
    if (lock >= 0) {
        close(lock);
    }
}

/* Removes one name in an open folder, and what lies below it; 0 or a value of errno. */
static int remove_at(int folder, const char *name) {
    int cause = 0, fd;
    DIR *dir;
    if (unlinkat(folder, name, 0) == 0 || errno == ENOENT) {
        return 0;
    }
    if (errno != EISDIR && errno != EPERM) {
        return errno;
    }
    fd = openat(folder, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) {
        return errno;
    }
    dir = fdopendir(fd);
    if (dir == NULL) {
        cause = errno;
        close(fd);
        return cause;
    }
    for (;;) {
        struct dirent *entry;
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL || cause != 0) {
            cause = cause != 0 ? cause : errno;
            break;
        }
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0) {
            cause = remove_at(fd, entry->d_name);
        }
    }
    closedir(dir);
    if (cause == 0 && unlinkat(folder, name, AT_REMOVEDIR) != 0 && errno != ENOENT) {
        cause = errno;
    }
    return cause;
}

rl_status rl_fs_remove(const char *path, rl_err *err) {
    char *copy = rl_strdup(path);
    size_t len = strlen(copy);
    int cause;
    while (len > 1 && copy[len - 1] == '/') { // "link/" would name what the link points to
        copy[--len] = '\0';
    }
    cause = remove_at(AT_FDCWD, copy);
    rl_free(copy);
    return cause == 0 ? RL_OK : rl_fs_fail(err, "remove", path, cause);
}

rl_status rl_fs_rename(const char *from, const char *to, rl_err *err) {
    int cause = rename(from, to) == 0 ? rl_fs_sync_folder_of(to) : errno;
    return cause == 0 ? RL_OK : rl_fs_fail(err, "rename", from, cause);
}

rl_status rl_fs_copy(const char *from, const char *to, rl_err *err) {
    rl_map_file file;
    rl_status status = rl_fs_map(from, &file, err);
    if (status == RL_OK) {
        status = rl_fs_write(to, file.ptr, file.len, err);
        rl_fs_unmap(&file);
    }
    return status;
}

static int by_bytes(const void *a, const void *b) {
    const char *const *x = a, *const *y = b;
    return strcmp(*x, *y);
}

rl_status rl_fs_list(const char *path, rl_arena *arena, char ***out, size_t *n_out, rl_err *err) {
    size_t n = 0, cap = 0;
    char **name = NULL;
    int cause;
    DIR *dir = opendir(path);
    if (dir == NULL) {
        return rl_fs_fail(err, "list the folder", path, errno);
    }
    for (;;) {
        struct dirent *entry;
        errno = 0;
        entry = readdir(dir);
        if (entry == NULL) {
            cause = errno;
            break;
        }
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0) {
            continue;
        }
        if (n == cap) {
            cap = 2 * cap + 16;
            name = rl_realloc(name, cap, sizeof *name);
        }
        name[n++] = rl_arena_strdup(arena, entry->d_name);
    }
    closedir(dir);
    *out = rl_arena_alloc(arena, n, sizeof **out);
    *n_out = n;
    if (n > 0) {
        memcpy(*out, name, n * sizeof *name);
        qsort(*out, n, sizeof **out, by_bytes);
    }
    rl_free(name);
    return cause == 0 ? RL_OK : rl_fs_fail(err, "list the folder", path, cause);
}
