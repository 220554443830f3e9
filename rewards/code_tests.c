/*
 * Judges programs by unit tests: the score is the share of tests that hold. A program stopped by
 * its time limit scores 0, as one that does not compile does.
 *
 * Verdicts are kept by tests and program text, since samples of a group are often the same; one
 * that could not be reached is not kept. The table starts anew when it is full.
 */
#include "rl/rewards/verifier.h"

#include <stdio.h>
#include <string.h>

#include "rewards/code_run.h"
#include "rewards/extract.h"
#include "rewards/rows.h"
#include "rl/core/alloc.h"
#include "rl/core/map.h"
#include "rl/core/pool.h"
#include "rl/core/str.h"

typedef struct code_opts {
    rl_code_place code;
    int32_t feedback_tests, feedback_chars;
} code_opts;

static const char *const code_places[] = {"block", "block_or_all", NULL};

static const rl_key code_keys[] = {
    RL_CHOICE_ROW(code_opts, code, "block", code_places, 0,
                  "where the program stands: in a fenced block; or, where an answer has no fence, "
                  "the whole answer"),
    RL_KEY_ROW(code_opts, feedback_tests, "3", 1, 100, 0, "failing tests told to a later turn"),
    RL_KEY_ROW(code_opts, feedback_chars, "300", 20, 100000, 0,
               "length at which an assertion, a value or an error is cut, in bytes"),
};

static const rl_section code_section = {
    .name = "rewards.code_tests",
    .doc = "the share of a problem's unit tests that the answer's program passes, in the sandbox",
    .size = sizeof(code_opts),
    .keys = code_keys,
    .n_keys = sizeof code_keys / sizeof code_keys[0],
};

enum { KEPT_MAX = 16384 };

/* The lock guards everything below it. */
typedef struct cache {
    rl_lock *lock;
    rl_map *map; // problem and program -> index into verdict
    rl_verdict *verdict;
    int32_t n_kept;
} cache;

typedef struct code_tests {
    code_opts opts;
    rl_sandbox *sandbox;
    rl_harness harness;
    cache *kept;
} code_tests;

static void drop_kept(cache *kept) {
    for (int32_t i = 0; i < kept->n_kept; i++) {
        const char *text = kept->verdict[i].feedback;
        rl_free((void *)(uintptr_t)text); // ours, though verdicts hold it as const
    }
    kept->n_kept = 0;
    rl_map_free(kept->map);
    kept->map = NULL;
}

static bool recall(cache *kept, const rl_str *key, rl_arena *arena, rl_verdict *out) {
    int64_t at;
    bool found;
    rl_lock_take(kept->lock);
    found = kept->map != NULL && rl_map_get(kept->map, key->ptr, key->len, &at);
    if (found) {
        *out = kept->verdict[at];
        if (out->feedback != NULL) {
            out->feedback = rl_arena_strndup(arena, out->feedback, out->feedback_len);
        }
    }
    rl_lock_give(kept->lock);
    return found;
}

static void keep(cache *kept, const rl_str *key, const rl_verdict *verdict) {
    rl_lock_take(kept->lock);
    if (kept->n_kept == KEPT_MAX) {
        drop_kept(kept);
    }
    if (kept->map == NULL) {
        kept->map = rl_map_new(0);
    }
    if (rl_map_add(kept->map, key->ptr, key->len, kept->n_kept)) {
        rl_verdict *copy = &kept->verdict[kept->n_kept++];
        *copy = *verdict;
        if (copy->feedback != NULL) {
            copy->feedback = rl_strndup(copy->feedback, copy->feedback_len);
        }
    }
    rl_lock_give(kept->lock);
}

/* At most max bytes, cut between characters, with a sign that something is missing. */
static void append_cut(rl_str *out, const char *text, size_t len, int32_t max) {
    size_t end = (size_t)max;
    if (len <= end) {
        rl_str_append_n(out, text, len);
        return;
    }
    while (end > 0 && ((unsigned char)text[end] & 0xc0) == 0x80) {
        end--;
    }
    rl_str_append_n(out, text, end);
    rl_str_append(out, "...");
}

static void append_line(rl_str *out, const char *label, rl_said said, int32_t max) {
    rl_str_append(out, label);
    append_cut(out, said.text, said.len, max);
    rl_str_append_char(out, '\n');
}

/* Why not all tests gave a result. */
static void append_end(rl_str *out, const code_tests *self, const rl_problem *problem,
                       const rl_code_run *run) {
    if (run->next >= run->total) {
        return;
    }
    if (run->timed_out) {
        rl_str_append(out, "The program was stopped by its time limit.\n");
    } else if (run->end == RL_EXIT_MEMORY) {
        rl_str_append(out, "The program was stopped by its memory limit.\n");
    } else {
        rl_str_append(out, "The program ended the test run.\n");
    }
    if (problem->check == NULL && run->next < problem->n_tests) {
        const char *test = problem->tests[run->next];
        append_line(out, "Running then: ", (rl_said){test, strlen(test)},
                    self->opts.feedback_chars);
    }
}

static const char *feedback_text(const code_tests *self, const rl_problem *problem,
                                 const rl_code_run *run, rl_arena *arena, size_t *len) {
    int32_t max = self->opts.feedback_chars, told = run->n_failures;
    int32_t failed = run->next - run->passed;
    rl_str out = {0};
    const char *copy;
    if (run->load_error.text != NULL) {
        append_line(&out, "The program does not run: ", run->load_error, max);
        failed = told = 0;
    }
    for (int32_t i = 0; i < told; i++) {
        const rl_unit_failure *f = &run->failure[i];
        append_line(&out, "Failed: ", f->test, max);
        if (f->error.len > 0) {
            append_line(&out, "Error: ", f->error, max);
        } else {
            append_line(&out, "Got: ", f->got, max);
        }
    }
    if (failed > told) {
        rl_str_appendf(&out, "Failed as well: %d more.\n", (int)(failed - told));
    }
    append_end(&out, self, problem, run);
    *len = out.len;
    copy = rl_arena_strndup(arena, rl_str_text(&out), out.len);
    rl_str_release(&out);
    return copy;
}

static void judge(const code_tests *self, const rl_problem *problem, const rl_code_run *run,
                  rl_arena *arena, rl_verdict *out) {
    *out = (rl_verdict){.total = run->total, .passed = run->passed};
    out->timed_out = run->timed_out;
    if (out->timed_out) {
        out->passed = 0;
    }
    out->score = (double)out->passed / (double)out->total;
    out->kind = out->passed == out->total ? RL_VERDICT_PASS
                : out->passed > 0         ? RL_VERDICT_PARTIAL
                                          : RL_VERDICT_FAIL;
    if (out->kind != RL_VERDICT_PASS) {
        out->feedback = feedback_text(self, problem, run, arena, &out->feedback_len);
    }
}

static void code_close(void *opaque) {
    code_tests *self = opaque;
    if (self != NULL) {
        drop_kept(self->kept);
        rl_free(self->harness.code);
        rl_lock_free(self->kept->lock);
        rl_free(self->kept->verdict);
        rl_free(self->kept);
        rl_free(self);
    }
}

static rl_status code_open(void **out, const void *opts, rl_sandbox *sandbox, rl_err *err) {
    code_tests *self;
    rl_status status;
    *out = NULL;
    if (sandbox == NULL) {
        return rl_fail(err, RL_BAD_RECIPE, "'code_tests' runs programs and needs the sandbox");
    }
    self = rl_alloc(1, sizeof *self);
    self->opts = *(const code_opts *)opts;
    self->sandbox = sandbox;
    self->kept = rl_alloc(1, sizeof *self->kept);
    self->kept->lock = rl_lock_new();
    self->kept->verdict = rl_alloc(KEPT_MAX, sizeof *self->kept->verdict);
    status = rl_harness_make(sandbox, &self->harness, err);
    if (status != RL_OK) {
        code_close(self);
        return status;
    }
    *out = self;
    return RL_OK;
}

static rl_status run_and_judge(const code_tests *self, const rl_problem *problem,
                               const char *program, size_t program_len, rl_arena *arena,
                               rl_verdict *out, rl_err *err) {
    rl_status status = RL_IO;
    rl_code_run run;
    // A sandbox that failed says nothing about the program and gets a second chance.
    for (int attempt = 0; attempt < 2 && status == RL_IO; attempt++) {
        status = rl_code_run_tests(self->sandbox, &self->harness, problem, program, program_len,
                                   self->opts.feedback_tests, self->opts.feedback_chars, arena,
                                   &run, err);
    }
    if (status == RL_OK) {
        judge(self, problem, &run, arena, out);
    }
    return status;
}

static rl_status code_verify(const void *opaque, const rl_problem *problem, const char *answer,
                             size_t answer_len, rl_arena *arena, rl_verdict *out, rl_err *err) {
    static const char *const no_code[] = {
        [RL_CODE_BLOCK] = "No program was found. Put the whole program into one ```python block.\n",
        [RL_CODE_BLOCK_OR_ALL] = "No program was found. Answer with the whole program.\n",
    };
    const code_tests *self = opaque;
    size_t code_len, program_len;
    const char *code, *program;
    rl_str key = {0};
    rl_status status = RL_OK;
    *out = (rl_verdict){.kind = RL_VERDICT_UNKNOWN};
    if (problem->n_tests == 0 && problem->check == NULL) {
        return rl_fail(err, RL_UNSUPPORTED, "problem '%s' has no tests", problem->id);
    }
    code = rl_extract_code(self->opts.code, answer, answer_len, arena, &code_len);
    if (code == NULL) {
        const char *feedback = no_code[self->opts.code];
        *out = (rl_verdict){
            .kind = RL_VERDICT_UNREADABLE, .feedback = feedback, .feedback_len = strlen(feedback)};
        return RL_OK;
    }
    program = rl_complete_program(problem, code, code_len, arena, &program_len);
    rl_code_key(problem, program, program_len, &key);
    if (!recall(self->kept, &key, arena, out)) {
        status = run_and_judge(self, problem, program, program_len, arena, out, err);
        if (status == RL_OK) {
            keep(self->kept, &key, out);
        }
    }
    rl_str_release(&key);
    return status;
}

const rl_verifier rl_code_tests = {
    .name = "code_tests",
    .options = &code_section,
    .runs_tests = true,
    .open = code_open,
    .verify = code_verify,
    .close = code_close,
};
