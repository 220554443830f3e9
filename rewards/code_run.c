#include "rewards/code_run.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "rewards/extract.h"
#include "rl/core/alloc.h"
#include "rl/core/str.h"

// The files of sandbox/harness/, compiled in.
extern const char rl_text_harness_values[];
extern const char rl_text_harness_program[];
extern const char rl_text_harness_judge[];

/* Compiling takes four times as long as starting Python, so it is done once. */
rl_status rl_harness_make(rl_sandbox *sandbox, rl_harness *out, rl_err *err) {
    static const char compiler[] =
        "import sys, marshal, posix, _ctypes\n" // the last is for the harness itself
        "code = memoryview(marshal.dumps(compile(sys.stdin.read(), '<harness>', 'exec')))\n"
        "while code: code = code[posix.write(3, code):]\n";
    const char *argv[] = {rl_sandbox_python(sandbox), "-I", "-S", "-c", compiler, NULL};
    rl_job job = {.argv = argv, .wants_result = true, .limits = rl_sandbox_limits(sandbox)};
    rl_arena *arena = rl_arena_new(0);
    rl_str text = {0};
    rl_report report;
    rl_status status;
    *out = (rl_harness){0};
    rl_str_append(&text, rl_text_harness_values);
    rl_str_append(&text, rl_text_harness_program);
    rl_str_append(&text, rl_text_harness_judge);
    job.input = rl_str_text(&text);
    job.input_len = text.len;
    status = rl_sandbox_run(sandbox, &job, arena, &report, err);
    if (status == RL_OK && (report.kind != RL_EXIT_CLEAN || report.result_len == 0)) {
        status = rl_fail(err, RL_UNSUPPORTED, "the test harness does not work with '%s': %.*s",
                         argv[0], report.err_len < 300 ? (int)report.err_len : 300, report.err);
    }
    if (status == RL_OK) {
        out->code = rl_strndup(report.result, report.result_len);
        out->code_len = report.result_len;
    }
    rl_str_release(&text);
    rl_arena_free(arena);
    return status;
}

enum { NONCE_BYTES = 16, NONCE_LEN = 2 * NONCE_BYTES, UNITS_MAX = 100000 };

/* A secret of this run, so that no record but the judge's counts. */
static rl_status make_nonce(char nonce[NONCE_LEN + 1], rl_err *err) {
    uint8_t bytes[NONCE_BYTES];
    if (getrandom(bytes, sizeof bytes, 0) != (ssize_t)sizeof bytes) {
        return rl_fail(err, RL_IO, "the system gives no random bytes: %s", strerror(errno));
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        snprintf(nonce + 2 * i, 3, "%02x", bytes[i]);
    }
    return RL_OK;
}

static void add_field(rl_str *input, const char *text, size_t text_len) {
    rl_str_appendf(input, "%zu\n", text_len);
    rl_str_append_n(input, text, text_len);
}

static void add_text(rl_str *input, const char *text) {
    add_field(input, text != NULL ? text : "", text != NULL ? strlen(text) : 0);
}

void rl_code_key(const rl_problem *problem, const char *program, size_t program_len, rl_str *out) {
    add_text(out, problem->entry_point);
    add_field(out, program, program_len);
    add_field(out, problem->stub != NULL ? problem->stub : "", rl_helpers_len(problem));
    add_text(out, problem->setup);
    add_text(out, problem->check);
    for (int32_t i = 0; i < problem->n_tests; i++) {
        add_text(out, problem->tests[i]);
    }
}

/* One record of the judge; texts are the arena's. */
typedef struct record {
    char kind[8];
    int32_t number;
    rl_said said[3];
} record;

typedef struct reader {
    const char *at, *end;
    const char *nonce;
    rl_arena *arena;
} reader;

/* False at the end, and at anything that is no whole record of the judge. */
static bool next_record(reader *r, record *out) {
    char line[NONCE_LEN + 64];
    const char *eol = r->at < r->end ? memchr(r->at, '\n', (size_t)(r->end - r->at)) : NULL;
    int len[3];
    size_t n;
    if (eol == NULL || (n = (size_t)(eol - r->at)) >= sizeof line || n < NONCE_LEN) {
        return false;
    }
    memcpy(line, r->at, n);
    line[n] = '\0';
    if (memcmp(line, r->nonce, NONCE_LEN) != 0 ||
        sscanf(line + NONCE_LEN, " %7s %9d %9d %9d %9d", out->kind, &out->number, &len[0], &len[1],
               &len[2]) != 5) {
        return false;
    }
    r->at = eol + 1;
    for (int i = 0; i < 3; i++) {
        if (len[i] < 0 || len[i] > r->end - r->at) {
            return false;
        }
        out->said[i] = (rl_said){rl_arena_strndup(r->arena, r->at, (size_t)len[i]), (size_t)len[i]};
        r->at += len[i];
    }
    return true;
}

static rl_status read_result(const rl_problem *problem, const rl_report *report, const char *nonce,
                             int32_t max_failures, rl_arena *arena, rl_code_run *out, rl_err *err) {
    reader r = {.at = report->result,
                .end = report->result + report->result_len,
                .nonce = nonce,
                .arena = arena};
    rl_unit_failure *failure = rl_arena_alloc(arena, (size_t)max_failures, sizeof *failure);
    record found;
    *out = (rl_code_run){.end = report->kind, .failure = failure};
    if (!next_record(&r, &found)) {
        return rl_fail(err, RL_IO, "the test harness did not start: %.*s",
                       report->err_len < 300 ? (int)report->err_len : 300, report->err);
    }
    if (strcmp(found.kind, "broken") == 0) {
        return rl_fail(err, RL_UNSUPPORTED, "problem '%s': %s", problem->id, found.said[2].text);
    }
    if (strcmp(found.kind, "total") != 0 || found.number < 1 || found.number > UNITS_MAX) {
        return rl_fail(err, RL_UNSUPPORTED, "problem '%s' has no tests", problem->id);
    }
    out->total = found.number;
    while (next_record(&r, &found)) {
        if (strcmp(found.kind, "timeout") == 0) {
            out->timed_out = true;
            break;
        } else if (strcmp(found.kind, "load") == 0) {
            out->load_error = found.said[2];
            out->next = out->total;
        } else if (found.number != out->next || out->next == out->total) {
            break; // the end, or out of order
        } else {
            out->next++;
            if (strcmp(found.kind, "pass") == 0) {
                out->passed++;
            } else if (out->n_failures < max_failures) {
                failure[out->n_failures++] = (rl_unit_failure){
                    .unit = found.number,
                    .test = found.said[0],
                    .got = found.said[1],
                    .error = found.said[2],
                };
            }
        }
    }
    out->timed_out = out->timed_out || (report->kind == RL_EXIT_TIMEOUT && out->next < out->total);
    return RL_OK;
}

rl_status rl_code_run_tests(rl_sandbox *sandbox, const rl_harness *harness,
                            const rl_problem *problem, const char *program, size_t program_len,
                            int32_t max_failures, int32_t max_chars, rl_arena *arena,
                            rl_code_run *out, rl_err *err) {
    // Reads the harness and not a byte more: what follows is for the judge alone. Not -I, which
    // would ignore the fixed seed of hashes in the environment; modules of /tmp are left out here.
    char loader[240];
    const char *argv[] = {rl_sandbox_python(sandbox), "-s", "-S", "-B", "-c", loader, NULL};
    rl_job job = {.argv = argv, .wants_result = true, .limits = rl_sandbox_limits(sandbox)};
    char nonce[NONCE_LEN + 1], limit[16];
    rl_str input = {0};
    rl_report report;
    rl_status status = make_nonce(nonce, err);
    if (status != RL_OK) {
        return status;
    }
    snprintf(limit, sizeof limit, "%d", (int)max_chars + 1);
    snprintf(loader, sizeof loader,
             "import marshal, posix, sys\nsys.path[:] = [p for p in sys.path if p]\ncode = b''\n"
             "while len(code) < %zu: code += posix.read(0, %zu - len(code))\n"
             "exec(marshal.loads(code))",
             harness->code_len, harness->code_len);
    rl_str_append_n(&input, harness->code, harness->code_len);
    add_text(&input, nonce);
    add_text(&input, limit);
    rl_code_key(problem, program, program_len, &input);
    job.input = rl_str_text(&input);
    job.input_len = input.len;
    status = rl_sandbox_run(sandbox, &job, arena, &report, err);
    rl_str_release(&input);
    if (status == RL_OK) {
        status = read_result(problem, &report, nonce, max_failures, arena, out, err);
    }
    return status;
}
