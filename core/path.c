#include "rl/core/fs.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/fs_fail.h"

char *rl_path_join(rl_arena *arena, const char *folder, const char *name) {
    size_t len = strlen(folder);
    if (name[0] == '/' || len == 0) {
        return rl_arena_strdup(arena, name);
    }
    return rl_arena_printf(arena, folder[len - 1] == '/' ? "%s%s" : "%s/%s", folder, name);
}

char *rl_path_dir(rl_arena *arena, const char *path) {
    size_t len = strlen(path);
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    while (len > 0 && path[len - 1] != '/') {
        len--;
    }
    while (len > 1 && path[len - 1] == '/') {
        len--;
    }
    return len > 0 ? rl_arena_strndup(arena, path, len) : rl_arena_strdup(arena, ".");
}

const char *rl_path_base(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash != NULL ? slash + 1 : path;
}

/* Folds "//", "." and ".." of an absolute path in place. */
static void fold(char *path) {
    size_t len = 0; // of the folded part, which never ends with '/'
    const char *at = path;
    while (*at != '\0') {
        const char *part = at + strspn(at, "/");
        size_t n = strcspn(part, "/");
        at = part + n;
        if (n == 0 || (n == 1 && part[0] == '.')) {
            continue;
        }
        if (n == 2 && part[0] == '.' && part[1] == '.') {
            while (len > 0 && path[len - 1] != '/') {
                len--;
            }
            len -= len > 0;
            continue;
        }
        path[len++] = '/';
        memmove(path + len, part, n);
        len += n;
    }
    if (len == 0) {
        path[len++] = '/';
    }
    path[len] = '\0';
}

char *rl_path_absolute(rl_arena *arena, const char *path) {
    char current[PATH_MAX];
    char *out;
    if (path[0] == '/' || getcwd(current, sizeof current) == NULL) {
        // Without a current folder (it was removed) a relative path has no other form.
        out = rl_arena_strdup(arena, path);
    } else {
        out = rl_arena_printf(arena, "%s/%s", current, path);
    }
    if (out[0] == '/') {
        fold(out);
    }
    return out;
}

rl_status rl_path_program_dir(rl_arena *arena, char **out, rl_err *err) {
    char path[PATH_MAX];
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n <= 0) {
        return rl_fs_fail(err, "read", "/proc/self/exe", n < 0 ? errno : EIO);
    }
    path[n] = '\0';
    *out = rl_path_dir(arena, path);
    return RL_OK;
}

bool rl_path_inside(const char *path, const char *folder) {
    char inner[PATH_MAX], outer[PATH_MAX];
    size_t n;
    if (realpath(path, inner) == NULL || realpath(folder, outer) == NULL) {
        return false;
    }
    n = strlen(outer);
    return strncmp(inner, outer, n) == 0 && (inner[n] == '\0' || inner[n] == '/' || n == 1);
}
