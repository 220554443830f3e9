/* Messages between trainer and helper: whatever comes in, what a getter accepts lies inside it. */
#include <stdint.h>
#include <string.h>

#include "rl/core/assert.h"
#include "sandbox/wire.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void inside(const uint8_t *data, size_t size, const char *ptr, size_t len) {
    const char *begin = (const char *)data;
    RL_ASSERT(len == 0 || (ptr >= begin && len <= size && ptr + len <= begin + size));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    rl_wire_kind kind;
    size_t body_len;
    rl_wire_job job;
    rl_report report;
    char text[RL_WIRE_TEXT_MAX + 1];
    bool ok;
    if (size >= RL_WIRE_HEAD && rl_wire_head_get(data, &kind, &body_len)) {
        RL_ASSERT(body_len <= RL_WIRE_BODY_MAX && kind >= RL_WIRE_HELLO && kind <= RL_WIRE_REPORT);
        data += RL_WIRE_HEAD;
        size -= RL_WIRE_HEAD;
    }
    if (rl_wire_job_get(data, size, &job)) {
        size_t again = 0;
        int n = 0;
        for (; job.argv[n] != NULL; n++) {
            inside(data, size, job.argv[n], strlen(job.argv[n]) + 1);
        }
        RL_ASSERT(n > 0);
        inside(data, size, job.job.input, job.job.input_len);
        RL_ASSERT(rl_wire_job_size(&job.job, &again) && again == size);
    }
    if (rl_wire_report_get(data, size, &report, text)) {
        inside(data, size, report.out, report.out_len);
        inside(data, size, report.err, report.err_len);
        inside(data, size, report.result, report.result_len);
        RL_ASSERT(strlen(text) <= RL_WIRE_TEXT_MAX);
    }
    if (rl_wire_hello_get(data, size, &ok, text)) {
        RL_ASSERT(strlen(text) <= RL_WIRE_TEXT_MAX);
    }
    return 0;
}
