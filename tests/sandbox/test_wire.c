#include "sandbox/wire.h"

#include "tests/support/support.h"

static const char *const argv_all[] = {"/bin/sh", "-c", "", "\xc3\xa9", NULL};

static rl_job sample_job(void) {
    return (rl_job){.argv = argv_all,
                    .input = "a\0b",
                    .input_len = 3,
                    .wants_result = true,
                    .limits = {.cpu_ms = 1,
                               .wall_ms = INT64_C(1) << 50,
                               .mem_bytes = 1 << 30,
                               .out_bytes = RL_WIRE_OUT_MAX,
                               .processes = 7}};
}

static void heads(void **state) {
    (void)state;
    uint8_t head[RL_WIRE_HEAD];
    rl_wire_kind kind = RL_WIRE_HELLO;
    size_t len = 1;
    rl_wire_head_put(head, RL_WIRE_REPORT, RL_WIRE_BODY_MAX);
    assert_true(rl_wire_head_get(head, &kind, &len));
    assert_int_equal(kind, RL_WIRE_REPORT);
    assert_int_equal(len, RL_WIRE_BODY_MAX);
    head[8] = 1; // one byte too many
    assert_false(rl_wire_head_get(head, &kind, &len));
    rl_wire_head_put(head, RL_WIRE_JOB, 5);
    head[4] = 4; // no such kind
    assert_false(rl_wire_head_get(head, &kind, &len));
    head[4] = 0;
    assert_false(rl_wire_head_get(head, &kind, &len));
    rl_wire_head_put(head, RL_WIRE_JOB, 5);
    head[0] = 'X';
    assert_false(rl_wire_head_get(head, &kind, &len));
}

static void jobs_come_back(void **state) {
    (void)state;
    rl_job job = sample_job();
    rl_wire_job back;
    size_t size = 0;
    assert_true(rl_wire_job_size(&job, &size));
    uint8_t *body = test_malloc(size);
    rl_wire_job_put(&job, body);
    assert_true(rl_wire_job_get(body, size, &back));
    for (int i = 0; i < 4; i++) {
        assert_string_equal(back.argv[i], argv_all[i]);
    }
    assert_null(back.argv[4]);
    assert_ptr_equal(back.job.argv, back.argv);
    assert_int_equal(back.job.input_len, 3);
    assert_memory_equal(back.job.input, "a\0b", 3);
    assert_true(back.job.wants_result);
    // Field by field: the padding of a struct is nobody's.
    assert_int_equal(back.job.limits.cpu_ms, job.limits.cpu_ms);
    assert_int_equal(back.job.limits.wall_ms, job.limits.wall_ms);
    assert_int_equal(back.job.limits.mem_bytes, job.limits.mem_bytes);
    assert_int_equal(back.job.limits.out_bytes, job.limits.out_bytes);
    assert_int_equal(back.job.limits.processes, job.limits.processes);
    // Cut anywhere, or with a byte more, it is refused.
    for (size_t cut = 0; cut < size; cut++) {
        uint8_t *part = test_malloc(cut > 0 ? cut : 1);
        memcpy(part, body, cut);
        assert_false(rl_wire_job_get(part, cut, &back));
        test_free(part);
    }
    uint8_t *longer = test_calloc(size + 1, 1);
    memcpy(longer, body, size);
    assert_false(rl_wire_job_get(longer, size + 1, &back));
    test_free(longer);
    test_free(body);
}

static void jobs_that_make_no_sense(void **state) {
    (void)state;
    rl_job job = sample_job();
    size_t size;
    const char *none[] = {NULL}, *many[RL_WIRE_ARGS_MAX + 2];
    job.argv = none;
    assert_false(rl_wire_job_size(&job, &size));
    for (size_t i = 0; i <= RL_WIRE_ARGS_MAX; i++) {
        many[i] = "x";
    }
    many[RL_WIRE_ARGS_MAX + 1] = NULL;
    job.argv = many;
    assert_false(rl_wire_job_size(&job, &size));
    many[RL_WIRE_ARGS_MAX] = NULL;
    assert_true(rl_wire_job_size(&job, &size));
    job.input_len = (size_t)RL_WIRE_INPUT_MAX + 1;
    assert_false(rl_wire_job_size(&job, &size));
    static const rl_limits limits[] = {
        {.cpu_ms = 0, .wall_ms = 1, .mem_bytes = 1, .out_bytes = 1, .processes = 1},
        {.cpu_ms = 1,
         .wall_ms = (INT64_C(1) << 50) + 1,
         .mem_bytes = 1,
         .out_bytes = 1,
         .processes = 1},
        {.cpu_ms = 1, .wall_ms = 1, .mem_bytes = INT64_MAX, .out_bytes = 1, .processes = 1},
        {.cpu_ms = 1, .wall_ms = -1, .mem_bytes = 1, .out_bytes = 1, .processes = 1},
        {.cpu_ms = 1, .wall_ms = 1, .mem_bytes = 0, .out_bytes = 1, .processes = 1},
        {.cpu_ms = 1, .wall_ms = 1, .mem_bytes = 1, .out_bytes = -1, .processes = 1},
        {.cpu_ms = 1, .wall_ms = 1, .mem_bytes = 1, .out_bytes = 1, .processes = 0},
        {.cpu_ms = 1,
         .wall_ms = 1,
         .mem_bytes = 1,
         .out_bytes = RL_WIRE_OUT_MAX + 1,
         .processes = 1},
    };
    for (size_t i = 0; i < RL_COUNT(limits); i++) {
        job = sample_job();
        job.limits = limits[i];
        assert_false(rl_wire_job_size(&job, &size));
    }
}

static void reports_come_back(void **state) {
    (void)state;
    rl_report report = {.kind = RL_EXIT_SIGNAL,
                        .code = -9,
                        .cpu_ms = 1,
                        .wall_ms = 2,
                        .peak_bytes = INT64_MAX,
                        .out = "out",
                        .out_len = 3,
                        .err = NULL,
                        .err_len = 0,
                        .result = "r\0s",
                        .result_len = 3};
    rl_report back;
    char text[RL_WIRE_TEXT_MAX + 1], too_long[2 * RL_WIRE_TEXT_MAX];
    size_t size = rl_wire_report_size(&report, "why");
    uint8_t *body = test_malloc(size);
    rl_wire_report_put(&report, "why", body);
    assert_true(rl_wire_report_get(body, size, &back, text));
    assert_string_equal(text, "why");
    assert_int_equal(back.kind, RL_EXIT_SIGNAL);
    assert_int_equal(back.code, -9);
    assert_int_equal(back.peak_bytes, INT64_MAX);
    assert_int_equal(back.out_len, 3);
    assert_memory_equal(back.out, "out", 3);
    assert_int_equal(back.err_len, 0);
    assert_memory_equal(back.result, "r\0s", 3);
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(rl_wire_report_get(body, cut, &back, text));
    }
    body[0] = RL_EXIT_BROKEN + 1;
    assert_false(rl_wire_report_get(body, size, &back, text));
    test_free(body);
    // A sentence that is too long is cut, not refused.
    memset(too_long, 'x', sizeof too_long - 1);
    too_long[sizeof too_long - 1] = '\0';
    report.kind = RL_EXIT_BROKEN;
    size = rl_wire_report_size(&report, too_long);
    body = test_malloc(size);
    rl_wire_report_put(&report, too_long, body);
    assert_true(rl_wire_report_get(body, size, &back, text));
    assert_int_equal(strlen(text), RL_WIRE_TEXT_MAX);
    test_free(body);
}

static void hellos_come_back(void **state) {
    (void)state;
    uint8_t body[RL_WIRE_TEXT_MAX + 16];
    char text[RL_WIRE_TEXT_MAX + 1];
    bool ok = false;
    size_t size = rl_wire_hello_put(true, "jail: all", body);
    assert_true(rl_wire_hello_get(body, size, &ok, text));
    assert_true(ok);
    assert_string_equal(text, "jail: all");
    for (size_t cut = 0; cut < size; cut++) {
        assert_false(rl_wire_hello_get(body, cut, &ok, text));
    }
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads),
        cmocka_unit_test(jobs_come_back),
        cmocka_unit_test(jobs_that_make_no_sense),
        cmocka_unit_test(reports_come_back),
        cmocka_unit_test(hellos_come_back),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
