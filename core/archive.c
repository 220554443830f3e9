/*
 * The file: eight bytes of magic, then records one after another until the end.
 *
 *     record: name length (u32) | size (u64) | checksum (u64) | name | bytes
 *
 * Integers are little-endian; the checksum covers name and bytes. A reader asks for the records in
 * the order they were written, which the shared function of both directions guarantees.
 */
#include "rl/core/archive.h"

#include <string.h>

#include "rl/core/alloc.h"
#include "rl/core/assert.h"
#include "rl/core/fs.h"

static const char magic[8] = {'r', 'l', 's', 't', 'a', 't', 'e', '1'};
enum { RECORD_HEAD = 20, NAME_MAX_LEN = 200 };

struct rl_archive {
    char *path;
    bool writing, failed; // a failed archive is never renamed into place
    rl_writer writer;
    rl_map_file file;
    size_t at;
};

static void put_le(uint8_t *to, uint64_t value, size_t n_bytes) {
    for (size_t i = 0; i < n_bytes; i++) {
        to[i] = (uint8_t)(value >> 8 * i);
    }
}

static uint64_t get_le(const uint8_t *from, size_t n_bytes) {
    uint64_t value = 0;
    for (size_t i = 0; i < n_bytes; i++) {
        value |= (uint64_t)from[i] << 8 * i;
    }
    return value;
}

/* Eight bytes a step: optimizer states are large. */
static uint64_t checksum(const char *name, const uint8_t *bytes, size_t n_bytes) {
    uint64_t h = 0x9e3779b97f4a7c15u ^ n_bytes;
    for (; *name != '\0'; name++) {
        h = (h ^ (uint8_t)*name) * 0xff51afd7ed558ccdu;
    }
    for (; n_bytes >= 8; bytes += 8, n_bytes -= 8) {
        h = (h ^ get_le(bytes, 8)) * 0xff51afd7ed558ccdu;
        h ^= h >> 32;
    }
    h = (h ^ get_le(bytes, n_bytes)) * 0xc4ceb9fe1a85ec53u;
    return h ^ h >> 29;
}

rl_status rl_archive_create(const char *path, rl_archive **out, rl_err *err) {
    rl_archive *archive = rl_alloc(1, sizeof *archive);
    rl_status status = rl_writer_open(path, &archive->writer, err);
    archive->path = rl_strdup(path);
    archive->writing = true;
    if (status == RL_OK) {
        status = rl_writer_put(&archive->writer, magic, sizeof magic, err);
    }
    if (status != RL_OK) {
        rl_archive_abort(archive);
        archive = NULL;
    }
    *out = archive;
    return status;
}

rl_status rl_archive_open(const char *path, rl_archive **out, rl_err *err) {
    rl_archive *archive = rl_alloc(1, sizeof *archive);
    rl_status status = rl_fs_map(path, &archive->file, err);
    archive->path = rl_strdup(path);
    archive->at = sizeof magic;
    if (status == RL_OK &&
        (archive->file.len < sizeof magic || memcmp(archive->file.ptr, magic, sizeof magic) != 0)) {
        status = rl_fail(err, RL_IO, "'%s' is not a saved state; check the path", path);
    }
    if (status != RL_OK) {
        rl_archive_abort(archive);
        archive = NULL;
    }
    *out = archive;
    return status;
}

bool rl_archive_writing(const rl_archive *archive) {
    return archive->writing;
}

void rl_archive_abort(rl_archive *archive) {
    if (archive != NULL) {
        if (archive->writing) {
            rl_writer_abort(&archive->writer);
        }
        rl_fs_unmap(&archive->file);
        rl_free(archive->path);
        rl_free(archive);
    }
}

static rl_status write_record(rl_archive *archive, const char *name, const void *bytes,
                              size_t n_bytes, rl_err *err) {
    uint8_t head[RECORD_HEAD];
    size_t name_len = strlen(name);
    rl_status status;
    RL_ASSERT(name_len > 0 && name_len <= NAME_MAX_LEN);
    put_le(head, name_len, 4);
    put_le(head + 4, n_bytes, 8);
    put_le(head + 12, checksum(name, bytes, n_bytes), 8);
    status = rl_writer_put(&archive->writer, head, sizeof head, err);
    if (status == RL_OK) {
        status = rl_writer_put(&archive->writer, name, name_len, err);
    }
    if (status == RL_OK) {
        status = rl_writer_put(&archive->writer, bytes, n_bytes, err);
    }
    archive->failed = archive->failed || status != RL_OK;
    return status;
}

/* Reads the head and the name at hand; *bytes points into the mapping. */
static rl_status next_record(const rl_archive *archive, char name[NAME_MAX_LEN + 1],
                             const uint8_t **bytes, size_t *n_bytes, rl_err *err) {
    const uint8_t *at = archive->file.ptr + archive->at;
    size_t left = archive->file.len - archive->at;
    uint64_t name_len, size;
    if (left < RECORD_HEAD) {
        return rl_fail(err, RL_IO, "'%s' ends too early; it was cut off", archive->path);
    }
    name_len = get_le(at, 4);
    size = get_le(at + 4, 8);
    left -= RECORD_HEAD;
    if (name_len == 0 || name_len > NAME_MAX_LEN || name_len > left || size > left - name_len) {
        return rl_fail(err, RL_IO, "'%s' is damaged or cut off at byte %zu", archive->path,
                       archive->at);
    }
    memcpy(name, at + RECORD_HEAD, name_len);
    name[name_len] = '\0';
    *bytes = at + RECORD_HEAD + name_len;
    *n_bytes = (size_t)size;
    if (strlen(name) != name_len || get_le(at + 12, 8) != checksum(name, *bytes, *n_bytes)) {
        return rl_fail(err, RL_IO, "'%s' is damaged at byte %zu: a checksum does not fit",
                       archive->path, archive->at);
    }
    return RL_OK;
}

/* The record at hand, which must have the name; moves on. */
static rl_status read_record(rl_archive *archive, const char *name, const uint8_t **bytes,
                             size_t *n_bytes, rl_err *err) {
    char there[NAME_MAX_LEN + 1] = "";
    rl_status status;
    if (archive->at == archive->file.len) {
        return rl_fail(err, RL_IO,
                       "'%s' has no record '%s'; it comes from another version or "
                       "another recipe",
                       archive->path, name);
    }
    status = next_record(archive, there, bytes, n_bytes, err);
    if (status != RL_OK) {
        return status;
    }
    if (strcmp(there, name) != 0) {
        return rl_fail(err, RL_IO,
                       "'%s' has record '%.100s' in the place of '%s'; it comes from "
                       "another version or another recipe",
                       archive->path, there, name);
    }
    archive->at = (size_t)(*bytes - archive->file.ptr) + *n_bytes;
    return RL_OK;
}

rl_status rl_archive_close(rl_archive *archive, rl_err *err) {
    rl_status status = RL_OK;
    if (archive->writing && archive->failed) {
        status = rl_fail(err, RL_IO, "'%s' was not saved: an earlier write failed", archive->path);
    } else if (archive->writing) {
        status = rl_writer_commit(&archive->writer, err);
    } else if (archive->at < archive->file.len) {
        char name[NAME_MAX_LEN + 1];
        const uint8_t *bytes;
        size_t n_bytes;
        status = next_record(archive, name, &bytes, &n_bytes, err);
        if (status == RL_OK) {
            status = rl_fail(err, RL_IO,
                             "'%s' has a record '%.100s' that this run has no use for; "
                             "it comes from another version or another recipe",
                             archive->path, name);
        }
    }
    rl_archive_abort(archive);
    return status;
}

rl_status rl_archive_bytes(rl_archive *archive, const char *name, void *bytes, size_t n_bytes,
                           rl_err *err) {
    const uint8_t *from = NULL;
    size_t size = 0;
    rl_status status;
    if (archive->writing) {
        return write_record(archive, name, bytes, n_bytes, err);
    }
    status = read_record(archive, name, &from, &size, err);
    if (status == RL_OK && size != n_bytes) {
        status = rl_fail(err, RL_IO, "record '%s' of '%s' has %zu bytes where %zu are wanted", name,
                         archive->path, size, n_bytes);
    }
    if (status == RL_OK && n_bytes > 0) {
        memcpy(bytes, from, n_bytes);
    }
    return status;
}

rl_status rl_archive_i64(rl_archive *archive, const char *name, int64_t *value, rl_err *err) {
    uint8_t bytes[8];
    rl_status status;
    put_le(bytes, archive->writing ? (uint64_t)*value : 0, 8);
    status = rl_archive_bytes(archive, name, bytes, 8, err);
    if (status == RL_OK) {
        *value = (int64_t)get_le(bytes, 8);
    }
    return status;
}

rl_status rl_archive_f64(rl_archive *archive, const char *name, double *value, rl_err *err) {
    int64_t bits = 0;
    rl_status status;
    if (archive->writing) {
        memcpy(&bits, value, sizeof bits);
    }
    status = rl_archive_i64(archive, name, &bits, err);
    if (status == RL_OK) {
        memcpy(value, &bits, sizeof bits);
    }
    return status;
}

rl_status rl_archive_text(rl_archive *archive, const char *name, char **text, rl_err *err) {
    const uint8_t *from = NULL;
    size_t size = 0;
    rl_status status;
    if (archive->writing) {
        return write_record(archive, name, *text, strlen(*text), err);
    }
    status = read_record(archive, name, &from, &size, err);
    if (status == RL_OK && memchr(from, '\0', size) != NULL) {
        status = rl_fail(err, RL_IO, "record '%s' of '%s' is not text", name, archive->path);
    }
    if (status == RL_OK) {
        *text = rl_strndup((const char *)from, size);
    }
    return status;
}
