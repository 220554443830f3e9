/* A saved state of any bytes: refused with a sentence or read, and never beyond its end. */
#include <stdint.h>
#include <stdio.h>
#include <sys/mman.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/archive.h"
#include "rl/core/assert.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static rl_status read_all(rl_archive *archive, rl_err *err) {
    int64_t step = 0;
    double rate = 0.0;
    uint8_t block[16];
    char *text = NULL;
    rl_status status = rl_archive_i64(archive, "step", &step, err);
    if (status == RL_OK) {
        status = rl_archive_f64(archive, "rate", &rate, err);
    }
    if (status == RL_OK) {
        status = rl_archive_bytes(archive, "block", block, sizeof block, err);
    }
    if (status == RL_OK) {
        status = rl_archive_text(archive, "recipe", &text, err);
    }
    rl_free(text);
    return status;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    int fd = memfd_create("archive", MFD_CLOEXEC);
    char path[64];
    rl_archive *archive = NULL;
    rl_err err = {""};
    rl_status status;
    RL_ASSERT(fd >= 0 && (size == 0 || write(fd, data, size) == (ssize_t)size));
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    status = rl_archive_open(path, &archive, &err);
    if (status == RL_OK) {
        status = read_all(archive, &err);
        if (status == RL_OK) {
            status = rl_archive_close(archive, &err);
        } else {
            rl_archive_abort(archive);
        }
    }
    RL_ASSERT(status == RL_OK || err.text[0] != '\0');
    close(fd);
    return 0;
}
