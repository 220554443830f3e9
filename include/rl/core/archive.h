/*
 * Named records for saving state, in one direction-blind pass: the same function writes when the
 * archive is open for writing and reads when it is open for reading, so the two cannot drift apart.
 * The file is written aside and renamed; each record carries its name, size and a checksum, and
 * reading verifies all three.
 */
#ifndef RL_CORE_ARCHIVE_H
#define RL_CORE_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "rl/core/status.h"

typedef struct rl_archive rl_archive;

rl_status rl_archive_create(const char *path, rl_archive **out, rl_err *err) RL_MUST_USE;
rl_status rl_archive_open(const char *path, rl_archive **out, rl_err *err) RL_MUST_USE;
/* Writing: syncs and renames. Reading: refuses when records were left unread. Frees either way. */
rl_status rl_archive_close(rl_archive *archive, rl_err *err) RL_MUST_USE;
/* Frees and leaves nothing behind; accepts NULL. */
void rl_archive_abort(rl_archive *archive);
bool rl_archive_writing(const rl_archive *archive);

/* Saves bytes, or fills them; reading refuses a record of another name or size. */
rl_status rl_archive_bytes(rl_archive *archive, const char *name, void *bytes, size_t n_bytes,
                           rl_err *err) RL_MUST_USE;
rl_status rl_archive_i64(rl_archive *archive, const char *name, int64_t *value,
                         rl_err *err) RL_MUST_USE;
rl_status rl_archive_f64(rl_archive *archive, const char *name, double *value,
                         rl_err *err) RL_MUST_USE;
/* Text of any length; reading allocates it (rl_free), writing leaves it alone. */
rl_status rl_archive_text(rl_archive *archive, const char *name, char **text,
                          rl_err *err) RL_MUST_USE;

#endif
