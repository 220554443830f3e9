#include "rl/tensor/gguf.h"

#include <math.h>
#include <stdlib.h>

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "tests/support/gguf_build.h"
#include "tests/support/support.h"

// Parses from a block of exactly that size, so that ASan sees a read past the end.
static rl_gguf *parse(const rl_str *bytes, uint8_t **copy) {
    rl_gguf *file;
    rl_err err;
    *copy = rl_alloc(bytes->len, 1);
    memcpy(*copy, bytes->ptr, bytes->len);
    assert_ok(rl_gguf_parse(*copy, bytes->len, "test.gguf", &file, &err));
    return file;
}

static void metadata_of_every_kind(void **state) {
    static const char *const words[] = {"", "b", "see"};
    static const int32_t numbers[] = {-1, 7};
    rl_gguf_build b = {0};
    rl_str bytes = {0};
    uint8_t *copy;
    const char *text;
    size_t n;
    int64_t integer;
    double real;
    bool flag;
    rl_gguf *file;
    (void)state;
    rl_gguf_build_text(&b, "a.text", "hello");
    rl_gguf_build_u32(&b, "a.u32", 4000000000u);
    rl_gguf_build_f32(&b, "a.f32", 1e-5f);
    rl_gguf_build_bool(&b, "a.bool", true);
    rl_gguf_build_texts(&b, "a.texts", words, 3);
    rl_gguf_build_i32s(&b, "a.i32s", numbers, 2);
    rl_gguf_build_finish(&b, &bytes);
    file = parse(&bytes, &copy);
    assert_true(rl_gguf_text(file, "a.text", &text, &n));
    assert_int_equal(n, 5);
    assert_memory_equal(text, "hello", 5);
    assert_true(rl_gguf_integer(file, "a.u32", &integer) && integer == 4000000000);
    assert_true(rl_gguf_real(file, "a.u32", &real) && real == 4e9);
    assert_true(rl_gguf_real(file, "a.f32", &real) && real == (double)1e-5f);
    assert_true(rl_gguf_bool(file, "a.bool", &flag) && flag);
    assert_true(rl_gguf_list(file, "a.texts", &n) && n == 3);
    assert_true(rl_gguf_list_text(file, "a.texts", 0, &text, &n) && n == 0);
    assert_true(rl_gguf_list_text(file, "a.texts", 2, &text, &n) && n == 3);
    assert_memory_equal(text, "see", 3);
    assert_true(rl_gguf_list_real(file, "a.i32s", 0, &real) && real == -1);
    assert_true(rl_gguf_list_real(file, "a.i32s", 1, &real) && real == 7);
    // Absent, of another kind, or past the end.
    assert_false(rl_gguf_text(file, "a", &text, &n));
    assert_false(rl_gguf_text(file, "a.u32", &text, &n));
    assert_false(rl_gguf_integer(file, "a.f32", &integer));
    assert_false(rl_gguf_integer(file, "a.bool", &integer));
    assert_false(rl_gguf_bool(file, "a.u32", &flag));
    assert_false(rl_gguf_list(file, "a.text", &n));
    assert_false(rl_gguf_list_text(file, "a.texts", 3, &text, &n));
    assert_false(rl_gguf_list_text(file, "a.i32s", 0, &text, &n));
    assert_false(rl_gguf_list_real(file, "a.i32s", 2, &real));
    assert_false(rl_gguf_list_real(file, "a.texts", 0, &real));
    assert_int_equal(rl_gguf_count(file), 0);
    rl_gguf_close(file);
    rl_free(copy);
    rl_str_release(&bytes);
    rl_gguf_build_release(&b);
}

// All numbers of every width, signed and not, written by hand.
static void integers_of_every_width(void **state) {
    static const struct {
        uint32_t kind;
        int n_bytes;
        uint64_t bits;
        int64_t value;
    } rows[] = {
        {0, 1, 0xff, 255},
        {1, 1, 0xff, -1},
        {2, 2, 0xffff, 65535},
        {3, 2, 0x8000, -32768},
        {4, 4, 7, 7},
        {5, 4, 0xfffffffe, -2},
        {10, 8, 1ull << 62, 1ll << 62},
        {11, 8, ~0ull, -1},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        rl_gguf_build b = {.n_meta = 1};
        rl_str bytes = {0};
        uint8_t *copy;
        rl_gguf *file;
        int64_t value;
        rl_gguf_put_string(&b.meta, "k");
        rl_gguf_put(&b.meta, rows[i].kind, 4);
        rl_gguf_put(&b.meta, rows[i].bits, rows[i].n_bytes);
        rl_gguf_build_finish(&b, &bytes);
        file = parse(&bytes, &copy);
        assert_true(rl_gguf_integer(file, "k", &value));
        assert_int_equal(value, rows[i].value);
        rl_gguf_close(file);
        rl_free(copy);
        rl_str_release(&bytes);
        rl_gguf_build_release(&b);
    }
}

static void check_tensor(uint32_t type, uint64_t n, const uint8_t *bytes, size_t n_bytes,
                         const float *want) {
    uint64_t ne[2] = {n, 1};
    rl_gguf_build b = {0};
    rl_str file_bytes = {0};
    uint8_t *copy;
    float *got = rl_alloc(n, sizeof *got);
    rl_gguf *file;
    const rl_weight *w;
    rl_gguf_build_tensor(&b, "w", type, ne, 2, bytes, n_bytes);
    rl_gguf_build_finish(&b, &file_bytes);
    file = parse(&file_bytes, &copy);
    w = rl_gguf_find(file, "w");
    assert_non_null(w);
    assert_int_equal(w->rank, 2);
    assert_int_equal(w->shape[0], 1);
    assert_int_equal(w->shape[1], n);
    assert_int_equal(w->n_bytes, n_bytes);
    assert_int_equal(rl_weight_count(w), n);
    rl_weight_to_f32(w, got);
    for (uint64_t i = 0; i < n; i++) {
        if (memcmp(&got[i], &want[i], sizeof got[i]) != 0) {
            fail_msg("%s: value %llu is %a, not %a", w->type, (unsigned long long)i, (double)got[i],
                     (double)want[i]);
        }
    }
    rl_gguf_close(file);
    rl_free(got);
    rl_free(copy);
    rl_str_release(&file_bytes);
    rl_gguf_build_release(&b);
}

static void plain_numbers(void **state) {
    static const uint8_t f32[] = {0, 0, 0x80, 0x3f, 0, 0, 0, 0x80};
    static const float f32_want[] = {1, -0.0f};
    // 1, -2, largest, smallest subnormal, -largest subnormal, infinity
    static const uint8_t f16[] = {0, 0x3c, 0, 0xc0, 0xff, 0x7b, 1, 0, 0xff, 0x83, 0, 0x7c};
    static const float f16_want[] = {1, -2, 65504, 0x1p-24f, -0x1.ff8p-15f, INFINITY};
    static const uint8_t bf16[] = {0x80, 0x3f, 0x49, 0xc0, 1, 0};
    static const float bf16_want[] = {1, -3.140625f, 0x1p-133f};
    static const uint8_t f64[] = {0x9a, 0x99, 0x99, 0x99, 0x99, 0x99, 0xb9, 0x3f}; // 0.1
    static const float f64_want[] = {0.1f};
    (void)state;
    check_tensor(RL_GGML_F32, 2, f32, sizeof f32, f32_want);
    check_tensor(RL_GGML_F16, 6, f16, sizeof f16, f16_want);
    check_tensor(RL_GGML_BF16, 3, bf16, sizeof bf16, bf16_want);
    check_tensor(RL_GGML_F64, 1, f64, sizeof f64, f64_want);
}

static void blocks_of_32(void **state) {
    uint8_t q8[68], q40[18], q41[20];
    float want[64];
    (void)state;
    // Q8_0, two blocks: d = 0.5 and -2, values i - 16 and 127 - i.
    q8[0] = 0, q8[1] = 0x38, q8[34] = 0, q8[35] = 0xc0;
    for (int i = 0; i < 32; i++) {
        q8[2 + i] = (uint8_t)(i - 16);
        q8[36 + i] = (uint8_t)(127 - i);
        want[i] = 0.5f * (float)(i - 16);
        want[32 + i] = -2.0f * (float)(127 - i);
    }
    check_tensor(RL_GGML_Q8_0, 64, q8, sizeof q8, want);
    // Q4_0, d = 0.25: low nibble i, high nibble 15 - i, both less 8.
    q40[0] = 0, q40[1] = 0x34;
    for (int i = 0; i < 16; i++) {
        q40[2 + i] = (uint8_t)((15 - i) << 4 | i);
        want[i] = 0.25f * (float)(i - 8);
        want[16 + i] = 0.25f * (float)(15 - i - 8);
    }
    check_tensor(RL_GGML_Q4_0, 32, q40, sizeof q40, want);
    // Q4_1, d = 0.5, m = -3: no offset but m.
    q41[0] = 0, q41[1] = 0x38, q41[2] = 0, q41[3] = 0xc2;
    for (int i = 0; i < 16; i++) {
        q41[4 + i] = (uint8_t)((15 - i) << 4 | i);
        want[i] = 0.5f * (float)i - 3;
        want[16 + i] = 0.5f * (float)(15 - i) - 3;
    }
    check_tensor(RL_GGML_Q4_1, 32, q41, sizeof q41, want);
}

// Value v of 256 has six bits: four in low nibbles, two in high; packed here from the layout's
// description, value by value.
static void blocks_of_256(void **state) {
    uint8_t block[420] = {0};
    float want[512];
    (void)state;
    for (int k = 0; k < 2; k++) {
        uint8_t *p = block + 210 * k;
        p[208] = 0, p[209] = k == 0 ? 0x30 : 0xb8; // d = 0.125, then -0.5
        for (int s = 0; s < 16; s++) {
            p[192 + s] = (uint8_t)(s * 7 - 50);
        }
        for (int v = 0; v < 256; v++) {
            int q = (v * 37 + k) % 64, half = v / 128, group = v % 128 / 32, i = v % 32;
            p[64 * half + 32 * (group % 2) + i] |= (uint8_t)((q & 15) << (group < 2 ? 0 : 4));
            p[128 + 32 * half + i] |= (uint8_t)((q >> 4) << (2 * group));
            want[256 * k + v] =
                (k == 0 ? 0.125f : -0.5f) * (float)(v / 16 * 7 - 50) * (float)(q - 32);
        }
    }
    check_tensor(RL_GGML_Q6_K, 512, block, sizeof block, want);
}

static void ranges_and_shapes(void **state) {
    static const uint64_t ne[3] = {32, 2, 3}, one[1] = {3};
    uint8_t q8[6 * 34] = {0}, f32[12] = {0};
    float all[192], part[64];
    rl_gguf_build b = {0};
    rl_str bytes = {0};
    uint8_t *copy;
    rl_gguf *file;
    const rl_weight *w;
    (void)state;
    for (size_t i = 0; i < sizeof q8; i++) {
        q8[i] = i % 34 == 1 ? 0x3c : (uint8_t)i; // d near 1
    }
    rl_gguf_build_tensor(&b, "first", RL_GGML_F32, one, 1, f32, sizeof f32);
    rl_gguf_build_tensor(&b, "second", RL_GGML_Q8_0, ne, 3, q8, sizeof q8);
    rl_gguf_build_finish(&b, &bytes);
    file = parse(&bytes, &copy);
    assert_int_equal(rl_gguf_count(file), 2);
    assert_string_equal(rl_gguf_at(file, 0)->name, "first");
    assert_null(rl_gguf_find(file, "third"));
    w = rl_gguf_find(file, "second");
    assert_string_equal(w->type, "Q8_0");
    assert_int_equal(w->shape[0], 3);
    assert_int_equal(w->shape[1], 2);
    assert_int_equal(w->shape[2], 32);
    rl_weight_to_f32(w, all);
    rl_weight_range_to_f32(w, 64, 64, part);
    assert_memory_equal(part, all + 64, sizeof part);
    assert_true(all[64] != 0);
    rl_gguf_close(file);
    rl_free(copy);
    rl_str_release(&bytes);
    rl_gguf_build_release(&b);
}

// A good file to spoil: two F32 tensors of 8 values. Offsets of its fields, from the layout.
enum {
    AT_VERSION = 4,
    AT_N_TENSORS = 8,
    AT_N_META = 16,
    AT_KEY_LEN = 24,
    AT_KEY = 32,
    AT_KIND = 33,
    AT_TEXT_LEN = 37,
    AT_ENTRY = 46,          // after a 1-byte text
    AT_NAME = AT_ENTRY + 8, // 1 byte
    AT_RANK = AT_NAME + 1,
    AT_SIZE = AT_RANK + 4,
    AT_TYPE = AT_SIZE + 8,
    AT_OFFSET = AT_TYPE + 4,
    AT_NAME_2 = AT_OFFSET + 8 + 8,
    AT_OFFSET_2 = AT_NAME_2 + 1 + 4 + 8 + 4,
};

static void good_file(rl_str *out) {
    static const uint64_t ne[1] = {8};
    float values[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    rl_gguf_build b = {0};
    rl_gguf_build_text(&b, "k", "v");
    rl_gguf_build_tensor(&b, "a", RL_GGML_F32, ne, 1, values, sizeof values);
    rl_gguf_build_tensor(&b, "b", RL_GGML_F32, ne, 1, values, sizeof values);
    rl_gguf_build_finish(&b, out);
    rl_gguf_build_release(&b);
}

static void assert_refused(const void *bytes, size_t n_bytes, const char *part) {
    uint8_t *copy = rl_alloc(n_bytes, 1);
    rl_gguf *file = NULL;
    rl_err err = {""};
    rl_status status;
    memcpy(copy, bytes, n_bytes);
    status = rl_gguf_parse(copy, n_bytes, "test.gguf", &file, &err);
    if (status == RL_OK || file != NULL || strstr(err.text, part) == NULL) {
        fail_msg("status %d, wanted '...%s...', got '%s'", status, part, err.text);
    }
    rl_free(copy);
}

static void hostile_headers(void **state) {
    static const struct {
        int at, n_bytes;
        uint64_t value;
        const char *part;
    } rows[] = {
        {0, 4, 0x46554746, "is not a GGUF file"},
        {AT_VERSION, 4, 1, "version 1; supported: 2 and 3"},
        {AT_VERSION, 4, 0x03000000, "version 50331648"}, // big-endian
        {AT_N_TENSORS, 8, UINT64_MAX, "too short for 18446744073709551615 tensors"},
        {AT_N_TENSORS, 8, 3, "damaged"},
        {AT_N_META, 8, 1ull << 60, "too short for 1152921504606846976 metadata"},
        {AT_KEY_LEN, 8, UINT64_MAX, "ends early"},
        {AT_KEY_LEN, 8, 0, "key of a metadata value is not readable"},
        {AT_KEY, 1, '\n', "key of a metadata value is not readable"},
        {AT_KIND, 4, 13, "metadata 'k' has unknown type 13"},
        {AT_KIND, 4, 9, "ends early"}, // the text read as a list
        {AT_TEXT_LEN, 8, UINT64_MAX, "ends early"},
        {AT_TEXT_LEN, 8, 1 << 20, "ends early"},
        {AT_ENTRY, 8, 0, "name of a tensor is not readable"},
        {AT_ENTRY, 8, UINT64_MAX - 7, "ends early"},
        {AT_NAME, 1, 'b', "there are two tensors 'b'"},
        {AT_NAME, 1, 0, "name of a tensor is not readable"},
        {AT_RANK, 4, 5, "more than 4 dimensions"},
        {AT_SIZE, 8, 0, "has a dimension of 0"},
        {AT_SIZE, 8, UINT64_MAX, "has a dimension of"},
        {AT_SIZE, 8, INT64_MAX, "larger than any file"},
        {AT_SIZE, 8, 9, "tensors 'a' and 'b' overlap"},
        {AT_SIZE, 8, 17, "tensor 'a' should have 68 bytes, but the file ends before"},
        {AT_TYPE, 4, 4, "tensor 'a' has unknown type 4"},
        {AT_TYPE, 4, UINT32_MAX, "unknown type 4294967295"},
        {AT_TYPE, 4, RL_GGML_Q8_0, "no multiple of 32 values"},
        {AT_OFFSET, 8, 4, "not aligned to 32 bytes"},
        {AT_OFFSET, 8, 32, "overlap"},
        {AT_OFFSET_2, 8, 0, "overlap"},
        {AT_OFFSET_2, 8, 64, "file ends before"},
        {AT_OFFSET_2, 8, UINT64_MAX - 31, "file ends before"},
    };
    rl_str good = {0};
    uint8_t *bytes;
    (void)state;
    good_file(&good);
    bytes = rl_alloc(good.len, 1);
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        memcpy(bytes, good.ptr, good.len);
        for (int k = 0; k < rows[i].n_bytes; k++) {
            bytes[rows[i].at + k] = (uint8_t)(rows[i].value >> (8 * k));
        }
        assert_refused(bytes, good.len, rows[i].part);
    }
    // Every cut of it is refused.
    for (size_t len = 0; len < good.len; len++) {
        assert_refused(good.ptr, len, "test.gguf");
    }
    rl_free(bytes);
    rl_str_release(&good);
}

static void hostile_metadata(void **state) {
    static const struct {
        const char *part;
        uint32_t item;
        uint64_t n;
    } lists[] = {
        {"ends early", 8, 1ull << 61},          {"ends early", 0, UINT64_MAX},
        {"ends early", 12, UINT64_MAX / 8 + 2}, {"list of unknown type 9", 9, 1},
        {"list of unknown type 99", 99, 1},
    };
    rl_str bytes = {0};
    rl_gguf_build b = {0};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(lists); i++) {
        b = (rl_gguf_build){.n_meta = 1};
        rl_gguf_put_string(&b.meta, "k");
        rl_gguf_put(&b.meta, 9, 4);
        rl_gguf_put(&b.meta, lists[i].item, 4);
        rl_gguf_put(&b.meta, lists[i].n, 8);
        rl_gguf_build_finish(&b, &bytes);
        assert_refused(bytes.ptr, bytes.len, lists[i].part);
        rl_str_clear(&bytes);
        rl_gguf_build_release(&b);
    }
    rl_gguf_build_u32(&b, "k", 1);
    rl_gguf_build_u32(&b, "k", 2);
    rl_gguf_build_finish(&b, &bytes);
    assert_refused(bytes.ptr, bytes.len, "metadata 'k' is there twice");
    rl_str_clear(&bytes);
    rl_gguf_build_release(&b);
    rl_gguf_build_u32(&b, "general.alignment", 48);
    rl_gguf_build_finish(&b, &bytes);
    assert_refused(bytes.ptr, bytes.len, "alignment is 48, not a power of two");
    rl_str_clear(&bytes);
    rl_gguf_build_release(&b);
    rl_gguf_build_bool(&b, "k", true);
    rl_gguf_build_finish(&b, &bytes);
    bytes.ptr[AT_TEXT_LEN] = 2;
    assert_refused(bytes.ptr, bytes.len, "metadata 'k' is neither true nor false");
    rl_str_release(&bytes);
    rl_gguf_build_release(&b);
}

static void unreadable_type_is_listed(void **state) {
    static const uint64_t ne[1] = {256};
    uint8_t q5k[176] = {0};
    rl_gguf_build b = {0};
    rl_str bytes = {0};
    uint8_t *copy;
    rl_gguf *file;
    (void)state;
    rl_gguf_build_tensor(&b, "w", 13, ne, 1, q5k, sizeof q5k);
    rl_gguf_build_finish(&b, &bytes);
    file = parse(&bytes, &copy);
    assert_string_equal(rl_gguf_at(file, 0)->type, "Q5_K");
    assert_false(rl_stored_is_weight(rl_gguf_at(file, 0)->stored));
    rl_gguf_close(file);
    rl_free(copy);
    rl_str_release(&bytes);
    rl_gguf_build_release(&b);
}

static void files_on_disk(void **state) {
    char *folder = rl_test_folder(), path[4200];
    rl_str good = {0};
    rl_gguf *file;
    rl_err err;
    (void)state;
    snprintf(path, sizeof path, "%s/m.gguf", folder);
    assert_int_equal(rl_gguf_open(path, &file, &err), RL_IO);
    assert_non_null(strstr(err.text, path));
    good_file(&good);
    assert_ok(rl_fs_write(path, good.ptr, good.len, &err));
    assert_ok(rl_gguf_open(path, &file, &err));
    assert_int_equal(rl_gguf_count(file), 2);
    rl_gguf_close(file);
    assert_ok(rl_fs_write(path, "", 0, &err));
    assert_int_equal(rl_gguf_open(path, &file, &err), RL_IO);
    rl_str_release(&good);
    rl_test_drop(folder);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(metadata_of_every_kind),
        cmocka_unit_test(integers_of_every_width),
        cmocka_unit_test(plain_numbers),
        cmocka_unit_test(blocks_of_32),
        cmocka_unit_test(blocks_of_256),
        cmocka_unit_test(ranges_and_shapes),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(hostile_metadata),
        cmocka_unit_test(unreadable_type_is_listed),
        cmocka_unit_test(files_on_disk),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
