/* Shapes and views, and the CPU backend's memory, scratch stack and choice of kernels. */
#include "rl/core/alloc.h"
#include "tensor/cpu/cpu_ops.h"
#include "tests/tensor/back_rig.h"

static void views_keep_their_place(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    rl_buffer *buffer = rig_buffer(&r, 100);
    rl_tensor t = rl_tensor_2d(RL_DTYPE_F32, buffer, 8, 6, 10), part, none = {0};
    (void)state;
    assert_true(rl_tensor_dense(t) && rl_tensor_count(t) == 60 && rl_tensor_bytes(t) == 240);
    part = rl_tensor_rows(t, 2, 5);
    assert_true(part.offset == 8 + 20 * 4 && part.shape[0] == 3 && rl_tensor_dense(part));
    part = rl_tensor_cols(part, 4, 7);
    assert_true(part.offset == 8 + 24 * 4 && part.shape[1] == 3 && part.stride[0] == 10);
    assert_false(rl_tensor_dense(part));
    assert_true(rl_tensor_dense(rl_tensor_rows(part, 1, 2))); // one row has no gaps
    part = rl_tensor_reshape(t, 4, 15);
    assert_true(part.shape[0] == 4 && part.stride[0] == 15 && part.offset == 8);
    part = rl_tensor_rows(rl_tensor_1d(RL_DTYPE_I32, buffer, 0, 9), 3, 9);
    assert_true(part.offset == 12 && part.shape[0] == 6);
    assert_true(rl_tensor_is_null(none) && !rl_tensor_is_null(t) && rl_tensor_count(none) == 0);
    assert_int_equal(rl_dtype_size(RL_DTYPE_BF16), 2);
    assert_string_equal(rl_dtype_name(RL_DTYPE_I32), "i32");
    rig_close(&r);
}

static void put_and_get_keep_to_the_view(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    rl_tensor whole = rig_matrix(&r, 5, 8, 1), part = rl_tensor_cols(whole, 2, 5);
    const float *before = rig_floats(&r, whole), *after;
    float host[15];
    rl_err err;
    (void)state;
    for (int i = 0; i < 15; i++) {
        host[i] = (float)(100 + i);
    }
    rl_tensor_put(r.be, part, host);
    assert_ok(rl_backend_sync(r.be, &err));
    after = rig_floats(&r, whole);
    for (int i = 0; i < 40; i++) {
        bool inside = i % 8 >= 2 && i % 8 < 5;
        assert_true(after[i] == (inside ? (float)(100 + i / 8 * 3 + i % 8 - 2) : before[i]));
    }
    rig_check_guards(&r, whole);
    assert_memory_equal(rig_floats(&r, part), host, sizeof host);
    rig_close(&r);
}

static void copy_and_fill_keep_to_the_view(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 2);
    rl_tensor from = rig_matrix(&r, 70, 33, 1), to = rig_matrix(&r, 70, 33, 1);
    rl_tensor flat = rig_vector(&r, 70 * 33, 1), big = rig_vector(&r, 10001, 1);
    const float *want = rig_floats(&r, from), *got;
    (void)state;
    rl_op_copy(r.be, to, from);
    assert_memory_equal(rig_floats(&r, to), rig_floats(&r, from), rl_tensor_bytes(from));
    rl_op_copy(r.be, rl_tensor_reshape(flat, 70, 33), from); // gaps on one side only
    assert_memory_equal(rig_floats(&r, flat), rig_floats(&r, from), rl_tensor_bytes(from));
    rl_op_fill(r.be, rl_tensor_cols(to, 1, 32), 7);
    got = rig_floats(&r, to);
    for (int i = 0; i < 70 * 33; i++) {
        bool inside = i % 33 >= 1 && i % 33 < 32;
        assert_true(got[i] == (inside ? 7 : want[i]));
    }
    rl_op_fill(r.be, rl_tensor_rows(big, 1, 10000), 3);
    assert_true(rig_floats(&r, big)[1] == 3 && rig_floats(&r, big)[9999] == 3);
    assert_true(rig_floats(&r, big)[0] != 3 && rig_floats(&r, big)[10000] != 3);
    rig_check_guards(&r, to);
    rig_close(&r);
}

/* What is taken does not overlap, survives growth, and comes back after a rewind. */
static void scratch_is_a_stack(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    rl_cpu *cpu = rl_cpu_of(r.be);
    rl_cpu_mark mark = rl_cpu_scratch_mark(cpu), inner;
    unsigned char *a = rl_cpu_scratch(cpu, 100), *b = rl_cpu_scratch(cpu, 1), *c;
    (void)state;
    assert_true(b >= a + 100 && (uintptr_t)a % 64 == 0 && (uintptr_t)b % 64 == 0);
    memset(a, 1, 100);
    inner = rl_cpu_scratch_mark(cpu);
    c = rl_cpu_scratch(cpu, (size_t)100 << 20); // more than the first block has
    memset(c, 2, 4096);
    c[((size_t)100 << 20) - 1] = 2;
    assert_true(a[0] == 1 && a[99] == 1);
    rl_cpu_scratch_rewind(cpu, inner);
    assert_ptr_equal(rl_cpu_scratch(cpu, 64), b + 64);
    rl_cpu_scratch_rewind(cpu, mark);
    assert_ptr_equal(rl_cpu_scratch(cpu, 8), a);
    rig_close(&r);
}

static void says_what_it_is(void **state) {
    rl_backend *be;
    rl_err err;
    (void)state;
    assert_true(rl_cpu_has(RL_KERNELS_REF) && rl_cpu_has(RL_KERNELS_AUTO));
    for (int k = RL_KERNELS_AUTO; k <= RL_KERNELS_AVX512; k++) {
        if (!rl_cpu_has((rl_kernels)k)) {
            assert_int_equal(rl_cpu_open((rl_kernels)k, NULL, &be, &err), RL_UNSUPPORTED);
            assert_non_null(strstr(err.text, rl_kernels_names[k]));
            assert_null(be);
            continue;
        }
        assert_ok(rl_cpu_open((rl_kernels)k, NULL, &be, &err));
        assert_string_equal(be->name, "cpu");
        assert_non_null(strstr(rl_cpu_describe(be), ", 1 thread"));
        if (k != RL_KERNELS_AUTO) {
            assert_int_equal(
                strncmp(rl_cpu_describe(be), rl_kernels_names[k], strlen(rl_kernels_names[k])), 0);
        }
        assert_true(be->supports(be, "attention_back", RL_DTYPE_F32));
        assert_true(be->supports(be, "linear", RL_DTYPE_F32));
        assert_true(be->supports(be, "linear", RL_DTYPE_BF16));
        assert_false(be->supports(be, "attention", RL_DTYPE_BF16));
        assert_false(be->supports(be, "convolution", RL_DTYPE_F32));
        rl_cpu_close(be);
    }
    rl_cpu_close(NULL);
}

static void too_much_memory_is_a_sentence(void **state) {
    rig r = rig_open(RL_KERNELS_AUTO, 1);
    rl_buffer *buffer;
    rl_err err;
    (void)state;
    assert_int_equal(rl_buffer_alloc(r.be, (size_t)1 << 62, &buffer, &err), RL_MEMORY);
    assert_null(buffer);
    assert_non_null(strstr(err.text, "no memory for"));
    rl_buffer_free(r.be, NULL);
    rig_close(&r);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views_keep_their_place),
        cmocka_unit_test(put_and_get_keep_to_the_view),
        cmocka_unit_test(copy_and_fill_keep_to_the_view),
        cmocka_unit_test(scratch_is_a_stack),
        cmocka_unit_test(says_what_it_is),
        cmocka_unit_test(too_much_memory_is_a_sentence),
    };
    return cmocka_run_group_tests_name("backend", tests, NULL, NULL);
}
