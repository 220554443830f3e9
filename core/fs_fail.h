/* The sentences of failed file operations; shared by fs.c, writer.c and path.c. */
#ifndef RL_CORE_FS_FAIL_H
#define RL_CORE_FS_FAIL_H

#include <stddef.h>

#include "rl/core/status.h"

/* "cannot <verb> '<path>': <cause in words>; <what to try>", for a value of errno. */
rl_status rl_fs_fail(rl_err *err, const char *verb, const char *path, int cause);

/* Writes everything, however often the system takes only a part; 0 or a value of errno. */
int rl_fs_write_all(int fd, const void *bytes, size_t n_bytes);

/* Makes the names in the folder of path last through a power cut; 0 or a value of errno. */
int rl_fs_sync_folder_of(const char *path);

#endif
