/* Writing aside: "<path>.tmp" is filled and synced, then renamed over path, then the folder is
 * synced. A reader sees the old file or the new one, after a power cut as well. */
#include "rl/core/fs.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fs_fail.h"
#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/str.h"

enum { BUF_BYTES = 1 << 18 };

rl_status rl_writer_open(const char *path, rl_writer *out, rl_err *err) {
    rl_str tmp = {0};
    *out = (rl_writer){.fd = -1};
    rl_str_appendf(&tmp, "%s.tmp", path);
    out->fd = open(tmp.ptr, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (out->fd < 0) {
        int cause = errno;
        rl_str_release(&tmp);
        if (cause == ENOENT) {
            return rl_fail(err, RL_IO,
                           "cannot write '%s': its folder does not exist; make it first", path);
        }
        return rl_fs_fail(err, "write", path, cause);
    }
    out->path = rl_strdup(path);
    out->tmp = rl_str_take(&tmp);
    return RL_OK;
}

static rl_status put_now(rl_writer *w, const void *bytes, size_t n_bytes, rl_err *err) {
    int cause = rl_fs_write_all(w->fd, bytes, n_bytes);
    return cause == 0 ? RL_OK : rl_fs_fail(err, "write", w->path, cause);
}

static rl_status flush(rl_writer *w, rl_err *err) {
    size_t n = w->buf_len;
    w->buf_len = 0;
    return put_now(w, w->buf, n, err);
}

rl_status rl_writer_put(rl_writer *writer, const void *bytes, size_t n_bytes, rl_err *err) {
    RL_ASSERT(writer->path != NULL);
    if (writer->buf_len + n_bytes > BUF_BYTES) {
        rl_status status = flush(writer, err);
        if (status != RL_OK) {
            return status;
        }
    }
    if (n_bytes >= BUF_BYTES) {
        return put_now(writer, bytes, n_bytes, err);
    }
    if (writer->buf == NULL) {
        writer->buf = rl_alloc(BUF_BYTES, 1);
    }
    if (n_bytes > 0) {
        memcpy(writer->buf + writer->buf_len, bytes, n_bytes);
        writer->buf_len += n_bytes;
    }
    return RL_OK;
}

static void forget(rl_writer *w) {
    rl_free(w->path);
    rl_free(w->tmp);
    rl_free(w->buf);
    *w = (rl_writer){.fd = -1};
}

rl_status rl_writer_commit(rl_writer *writer, rl_err *err) {
    rl_status status;
    int cause = 0, fd;
    RL_ASSERT(writer->path != NULL);
    status = flush(writer, err);
    if (status == RL_OK && fsync(writer->fd) != 0) {
        cause = errno;
    }
    fd = writer->fd;
    writer->fd = -1;
    if (close(fd) != 0 && cause == 0) { // network file systems report a full disk here
        cause = errno;
    }
    if (status == RL_OK && cause == 0 && rename(writer->tmp, writer->path) != 0) {
        cause = errno;
    }
    if (status == RL_OK && cause == 0) {
        cause = rl_fs_sync_folder_of(writer->path);
    }
    if (status == RL_OK && cause != 0) {
        status = rl_fs_fail(err, "write", writer->path, cause);
    }
    if (status != RL_OK) {
        (void)unlink(writer->tmp);
    }
    forget(writer);
    return status;
}

void rl_writer_abort(rl_writer *writer) {
    if (writer->path != NULL) {
        close(writer->fd);
        (void)unlink(writer->tmp);
    }
    forget(writer);
}

rl_status rl_fs_write(const char *path, const void *bytes, size_t n_bytes, rl_err *err) {
    rl_writer writer;
    rl_status status = rl_writer_open(path, &writer, err);
    if (status == RL_OK) {
        status = put_now(&writer, bytes, n_bytes, err);
        if (status == RL_OK) {
            status = rl_writer_commit(&writer, err);
        }
        rl_writer_abort(&writer);
    }
    return status;
}

rl_status rl_fs_append(const char *path, const void *bytes, size_t n_bytes, rl_err *err) {
    struct stat before;
    int cause = 0;
    int fd = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0666);
    if (fd < 0) {
        return rl_fs_fail(err, "write", path, errno);
    }
    if (fstat(fd, &before) != 0) {
        cause = errno;
    } else {
        cause = rl_fs_write_all(fd, bytes, n_bytes);
        // A line is there whole or not at all; a device has no length to restore.
        if (cause != 0 && S_ISREG(before.st_mode) && ftruncate(fd, before.st_size) != 0) {
            cause = errno;
        }
    }
    if (close(fd) != 0 && cause == 0) {
        cause = errno;
    }
    return cause == 0 ? RL_OK : rl_fs_fail(err, "write", path, cause);
}
