/*
 * The job's root: a small tmpfs that is read-only once built and holds
 *     /usr /bin /sbin /lib*   the system's, read-only, links kept as links
 *     the interpreter's own folder, where it is not one of these, read-only
 *     /etc                    a few made-up files, ld.so.cache and alternatives
 *     /dev                    null zero full random urandom, shm a link to /tmp
 *     /tmp                    empty, writable, limited in bytes and files
 * There is no /proc, /sys, /home or anything else of the host.
 */
#include "sandbox/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Exists wherever this works at all, and nothing below it is wanted in the new root.
#define NEW_ROOT "/proc"

static rl_status fail_at(rl_err *err, const char *what, const char *path) {
    return rl_fail(err, RL_IO, "cannot %s '%s': %s", what, path, strerror(errno));
}

static rl_status put_file(const char *path, const char *text, rl_err *err) {
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    size_t len = strlen(text);
    if (fd < 0 || write(fd, text, len) != (ssize_t)len) {
        return fail_at(err, "write", path);
    }
    close(fd);
    return RL_OK;
}

/* from, an absolute path of the host, appears at the same path in the new root. */
static rl_status bind(const char *from, rl_err *err) {
    const char *to = from + 1; // the current folder is the new root
    if (mount(from, to, NULL, MS_BIND | MS_REC, NULL) != 0) {
        return fail_at(err, "show", from);
    }
    return RL_OK;
}

/* The kernel's struct mount_attr and its constants; the C library's header is not always there. */
typedef struct mount_change {
    uint64_t set, clear, propagation, userns;
} mount_change;
enum { ATTR_RDONLY = 1, ATTR_NOSUID = 2, ATTR_NODEV = 4, RECURSIVE = 0x8000 };
#ifndef SYS_mount_setattr
#define SYS_mount_setattr 442
#endif

static rl_status bind_read_only(const char *from, rl_err *err) {
    mount_change attr = {.set = ATTR_RDONLY | ATTR_NOSUID | ATTR_NODEV};
    const char *to = from + 1;
    rl_status status = bind(from, err);
    if (status != RL_OK) {
        return status;
    }
    if (syscall(SYS_mount_setattr, AT_FDCWD, to, RECURSIVE, &attr, sizeof attr) == 0) {
        return RL_OK;
    }
    // Linux before 5.12: the top alone can be changed, so nothing may be mounted below it.
    if (errno != ENOSYS ||
        mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) != 0) {
        return fail_at(err, "make read-only", from);
    }
    return RL_OK;
}

/* mkdir -p below the current folder. */
static rl_status make_folders(const char *path, rl_err *err) {
    char part[4096];
    size_t len = strlen(path);
    if (len >= sizeof part) {
        return rl_fail(err, RL_IO, "path '%.60s...' is too long", path);
    }
    for (size_t i = 1; i <= len; i++) {
        if (path[i] == '/' || path[i] == '\0') {
            memcpy(part, path, i);
            part[i] = '\0';
            if (mkdir(part, 0755) != 0 && errno != EEXIST) {
                return fail_at(err, "make the folder", part);
            }
        }
    }
    return RL_OK;
}

static rl_status show_folder(const char *path, rl_err *err) {
    struct stat st;
    char target[256];
    ssize_t n;
    rl_status status;
    if (lstat(path, &st) != 0) {
        // Not every system has every folder.
        return errno == ENOENT ? RL_OK : fail_at(err, "show", path);
    }
    if (S_ISLNK(st.st_mode)) {
        n = readlink(path, target, sizeof target - 1);
        if (n <= 0) {
            return fail_at(err, "read the link", path);
        }
        target[n] = '\0';
        return symlink(target, path + 1) == 0 ? RL_OK : fail_at(err, "make the link", path);
    }
    status = make_folders(path + 1, err);
    return status == RL_OK ? bind_read_only(path, err) : status;
}

static rl_status show_system(const rl_jail *jail, rl_err *err) {
    static const char *const folder[] = {"/usr",   "/bin",   "/sbin",  "/lib",
                                         "/lib32", "/lib64", "/libx32"};
    rl_status status = RL_OK;
    for (size_t i = 0; i < sizeof folder / sizeof folder[0] && status == RL_OK; i++) {
        status = show_folder(folder[i], err);
    }
    if (status == RL_OK && jail->extra != NULL) {
        status = show_folder(jail->extra, err);
    }
    return status;
}

static rl_status make_etc(rl_err *err) {
    static const struct {
        const char *path, *text;
    } file[] = {
        {"etc/passwd", "user:x:1000:1000::/tmp:/bin/sh\n"},
        {"etc/group", "user:x:1000:\n"},
        {"etc/hosts", "127.0.0.1 localhost\n"},
        {"etc/ld.so.cache", ""},
    };
    rl_status status = make_folders("etc", err);
    for (size_t i = 0; i < sizeof file / sizeof file[0] && status == RL_OK; i++) {
        status = put_file(file[i].path, file[i].text, err);
    }
    if (status == RL_OK && access("/etc/ld.so.cache", R_OK) == 0) {
        status = bind_read_only("/etc/ld.so.cache", err);
    }
    return status == RL_OK ? show_folder("/etc/alternatives", err) : status;
}

static rl_status make_dev(rl_err *err) {
    static const char *const node[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random",
                                       "/dev/urandom"};
    rl_status status = make_folders("dev", err);
    for (size_t i = 0; i < sizeof node / sizeof node[0] && status == RL_OK; i++) {
        status = put_file(node[i] + 1, "", err);
        status = status == RL_OK ? bind(node[i], err) : status;
    }
    if (status == RL_OK && symlink("/tmp", "dev/shm") != 0) {
        status = fail_at(err, "make the link", "/dev/shm");
    }
    return status;
}

static rl_status make_tmp(rl_err *err) {
    char options[96];
    snprintf(options, sizeof options, "size=%d,nr_inodes=%d,mode=0700", RL_JAIL_TMP_BYTES,
             RL_JAIL_TMP_FILES);
    if (mkdir("tmp", 0700) != 0 ||
        mount("tmpfs", "tmp", "tmpfs", MS_NOSUID | MS_NODEV, options) != 0) {
        return fail_at(err, "mount", "/tmp");
    }
    return RL_OK;
}

static rl_status switch_root(rl_err *err) {
    // The new root goes on top of the old one, which is then the only thing below it to detach.
    if (syscall(SYS_pivot_root, ".", ".") != 0) {
        return fail_at(err, "change to", "the new root");
    }
    if (umount2(".", MNT_DETACH) != 0) {
        return fail_at(err, "let go of", "the old root");
    }
    if (mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | MS_NOSUID | MS_NODEV, NULL) !=
        0) {
        return fail_at(err, "make read-only", "/");
    }
    return chdir("/tmp") == 0 ? RL_OK : fail_at(err, "enter", "/tmp");
}

rl_status rl_mounts_enter(const rl_jail *jail, rl_err *err) {
    rl_status status;
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0) {
        return fail_at(err, "make private", "/");
    }
    if (mount("tmpfs", NEW_ROOT, "tmpfs", MS_NOSUID | MS_NODEV, "size=65536,nr_inodes=128") != 0 ||
        chdir(NEW_ROOT) != 0) {
        return fail_at(err, "mount", "the new root");
    }
    status = show_system(jail, err);
    status = status == RL_OK ? make_etc(err) : status;
    status = status == RL_OK ? make_dev(err) : status;
    status = status == RL_OK ? make_tmp(err) : status;
    return status == RL_OK ? switch_root(err) : status;
}
