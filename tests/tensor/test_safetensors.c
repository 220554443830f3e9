#include "rl/tensor/safetensors.h"

#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/str.h"
#include "tests/support/support.h"

// The file of a header and n_data bytes 0, 1, 2, ...
static void compose(rl_str *out, const char *header, size_t n_data) {
    size_t len = strlen(header);
    rl_str_clear(out);
    for (int i = 0; i < 8; i++) {
        rl_str_append_char(out, (char)(uint8_t)(len >> (8 * i)));
    }
    rl_str_append(out, header);
    for (size_t i = 0; i < n_data; i++) {
        rl_str_append_char(out, (char)(uint8_t)i);
    }
}

// Parses from a block of exactly that size, so that ASan sees a read past the end.
static rl_status parse(const char *bytes, size_t n_bytes, uint8_t **copy, rl_safetensors **file,
                       rl_err *err) {
    *copy = rl_alloc(n_bytes, 1);
    if (n_bytes > 0) {
        memcpy(*copy, bytes, n_bytes);
    }
    return rl_safetensors_parse(*copy, n_bytes, "test.safetensors", file, err);
}

static void every_dtype(void **state) {
    static const struct {
        const char *dtype;
        rl_stored stored;
        int bytes; // of 8 values
    } rows[] = {
        {"F64", RL_STORED_F64, 64},   {"F32", RL_STORED_F32, 32},      {"F16", RL_STORED_F16, 16},
        {"BF16", RL_STORED_BF16, 16}, {"I64", RL_STORED_I64, 64},      {"I32", RL_STORED_I32, 32},
        {"U8", RL_STORED_U8, 8},      {"I8", RL_STORED_OTHER, 8},      {"BOOL", RL_STORED_OTHER, 8},
        {"I16", RL_STORED_OTHER, 16}, {"F8_E4M3", RL_STORED_OTHER, 8}, {"F4", RL_STORED_OTHER, 4},
        {"C64", RL_STORED_OTHER, 64}, {"X7", RL_STORED_OTHER, 7}, // newer than our list
    };
    rl_str bytes = {0};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        char header[160];
        uint8_t *copy;
        rl_safetensors *file;
        const rl_weight *w;
        rl_err err;
        snprintf(header, sizeof header,
                 "{\"t\":{\"dtype\":\"%s\",\"shape\":[2,4],\"data_offsets\":[0,%d]}}",
                 rows[i].dtype, rows[i].bytes);
        compose(&bytes, header, (size_t)rows[i].bytes);
        assert_ok(parse(bytes.ptr, bytes.len, &copy, &file, &err));
        w = rl_safetensors_find(file, "t");
        assert_non_null(w);
        assert_string_equal(w->type, rows[i].dtype);
        assert_int_equal(w->stored, rows[i].stored);
        assert_int_equal(w->n_bytes, rows[i].bytes);
        assert_int_equal(rl_stored_is_weight(w->stored), i < 4);
        assert_true(w->rank == 2 && w->shape[0] == 2 && w->shape[1] == 4);
        if (rows[i].stored != RL_STORED_OTHER) {
            assert_string_equal(rl_stored_name(w->stored), rows[i].dtype);
            assert_int_equal(rl_stored_block_bytes(w->stored) * 8, rows[i].bytes);
        }
        rl_safetensors_close(file);
        rl_free(copy);
    }
    rl_str_release(&bytes);
}

static void order_and_empty_tensors(void **state) {
    static const char header[] =
        "{\"z\":{\"dtype\":\"U8\",\"shape\":[2],\"data_offsets\":[0,2]},"
        "\"a\":{\"shape\":[3],\"data_offsets\":[2,5],\"dtype\":\"U8\"},"
        "\"none\":{\"dtype\":\"F32\",\"shape\":[4,0],\"data_offsets\":[2,2]},"
        "\"__metadata__\":{\"format\":\"pt\"},"
        "\"one\":{\"dtype\":\"U8\",\"shape\":[],\"data_offsets\":[5,6]}}   ";
    static const char *const order[] = {"z", "none", "a", "one"};
    rl_str bytes = {0};
    uint8_t *copy;
    rl_safetensors *file;
    rl_err err;
    (void)state;
    compose(&bytes, header, 6);
    assert_ok(parse(bytes.ptr, bytes.len, &copy, &file, &err));
    assert_int_equal(rl_safetensors_count(file), 4);
    for (size_t i = 0; i < 4; i++) {
        assert_string_equal(rl_safetensors_at(file, i)->name, order[i]);
    }
    assert_int_equal(((const uint8_t *)rl_safetensors_find(file, "a")->bytes)[2], 4);
    assert_int_equal(rl_weight_count(rl_safetensors_find(file, "none")), 0);
    assert_int_equal(rl_weight_count(rl_safetensors_find(file, "one")), 1);
    assert_null(rl_safetensors_find(file, "__metadata__"));
    assert_null(rl_safetensors_find(file, "A"));
    rl_safetensors_close(file);
    rl_free(copy);
    rl_str_release(&bytes);
}

static void assert_refused(const char *bytes, size_t n_bytes, const char *part) {
    uint8_t *copy;
    rl_safetensors *file = NULL;
    rl_err err = {""};
    rl_status status = parse(bytes, n_bytes, &copy, &file, &err);
    if (status != RL_IO || file != NULL || strstr(err.text, part) == NULL ||
        strstr(err.text, "test.safetensors") == NULL) {
        fail_msg("status %d, wanted '...%s...', got '%s'", status, part, err.text);
    }
    rl_free(copy);
}

#define T(rest)           "{\"t\":{\"dtype\":\"F32\"," rest "}}"
#define SHAPED(shape, at) T("\"shape\":" shape ",\"data_offsets\":" at)

static void hostile_headers(void **state) {
    static const struct {
        const char *header;
        size_t n_data;
        const char *part;
    } rows[] = {
        {"", 0, "its header is not JSON"},
        {"[]", 0, "its header is not JSON"},
        {" {}", 0, "its header is not JSON"},
        {"{", 0, "line 1, column"},
        {"{\"t\":{}, \"t\":{}}", 0, "line 1, column"},
        {"{}", 3, "its last 3 bytes belong to no tensor"},
        {"{\"__metadata__\":[]}", 0, "'__metadata__' is not an object"},
        {"{\"__metadata__\":{\"a\":1}}", 0, "metadata 'a' is not text"},
        {"{\"t\":3}", 0, "tensor 't' has no dtype"},
        {"{\"t\":{\"dtype\":3,\"shape\":[],\"data_offsets\":[0,4]}}", 4, "has no dtype"},
        {T("\"data_offsets\":[0,4]"), 4, "shape of tensor 't' is not a list"},
        {T("\"shape\":[1]"), 4, "no pair of rising data_offsets"},
        {SHAPED("[-1]", "[0,4]"), 4, "shape of tensor 't' is not a list"},
        {SHAPED("[1.5]", "[0,4]"), 4, "shape of tensor 't' is not a list"},
        {SHAPED("[\"1\"]", "[0,4]"), 4, "shape of tensor 't' is not a list"},
        {SHAPED("[1,1,1,1,1]", "[0,4]"), 4, "at most 4 sizes"},
        {SHAPED("[1e300]", "[0,4]"), 4, "shape of tensor 't' is not a list"},
        {SHAPED("[1]", "[0,4,8]"), 4, "no pair of rising data_offsets"},
        {SHAPED("[1]", "[4,0]"), 4, "no pair of rising data_offsets"},
        {SHAPED("[1]", "[-4,0]"), 4, "no pair of rising data_offsets"},
        {SHAPED("[1]", "[0,9007199254740991]"), 4, "ends at byte 9007199254740991"},
        {SHAPED("[1]", "[0,9007199254740994]"), 4, "no pair of rising data_offsets"},
        {SHAPED("[1]", "[0,8]"), 4, "tensor 't' ends at byte 8 of 4 bytes of data"},
        {SHAPED("[2]", "[0,4]"), 4, "tensor 't' has 4 bytes, which do not fit its shape"},
        {SHAPED("[4294967296,4294967296]", "[0,0]"), 0, "do not fit its shape"},
        {SHAPED("[4503599627370496,1024,4]", "[0,0]"), 0, "do not fit its shape"},
        {SHAPED("[1]", "[1,5]"), 5, "1 bytes before tensor 't' belong to none"},
        {"{\"t\":{\"dtype\":\"F4\",\"shape\":[3],\"data_offsets\":[0,1]}}", 1, "do not fit"},
        {"{\"t\":{\"dtype\":\"?\",\"shape\":[4503599627370496,4503599627370496],"
         "\"data_offsets\":[0,1]}}",
         1, "do not fit"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[2,5]}}",
         5, "tensors 'a' and 'b' overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[3],\"data_offsets\":[0,3]}}",
         3, "tensors 'a' and 'b' overlap"},
        {"{\"a\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[0,1]},"
         "\"b\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[2,3]}}",
         3, "1 bytes before tensor 'b' belong to none"},
    };
    rl_str bytes = {0};
    (void)state;
    for (size_t i = 0; i < RL_COUNT(rows); i++) {
        compose(&bytes, rows[i].header, rows[i].n_data);
        assert_refused(bytes.ptr, bytes.len, rows[i].part);
    }
    // Lengths of the header that are none, and every cut of a good file.
    compose(&bytes, "{}", 0);
    bytes.ptr[0] = 3;
    assert_refused(bytes.ptr, bytes.len, "header should have 3 bytes but the file ends after 2");
    bytes.ptr[7] = (char)0x80;
    assert_refused(bytes.ptr, bytes.len, "first 8 bytes are not the length of a header");
    compose(&bytes, SHAPED("[1]", "[0,4]"), 4);
    for (size_t n = 0; n < bytes.len; n++) {
        assert_refused(bytes.ptr, n, "damaged");
    }
    rl_str_release(&bytes);
}

/* Values by position, so that a piece in the wrong place shows. */
static void fill(void *self, size_t i, size_t begin, size_t n_bytes, void *out) {
    size_t *calls = self;
    assert_int_equal(begin % 8, 0);
    for (size_t k = 0; k < n_bytes; k++) {
        ((uint8_t *)out)[k] = (uint8_t)((begin + k) * 7 + (begin + k) / 256 + i);
    }
    *calls += 1;
}

static void write_and_read(void **state) {
    enum { LONG = 300000 }; // more than one piece
    static const float two[] = {1.5f, -0.0f};
    rl_weight weights[] = {
        {.name = "long", .stored = RL_STORED_F32, .rank = 2, .shape = {3, LONG / 3}},
        {.name = "t\"w\\o", .stored = RL_STORED_F32, .rank = 1, .shape = {2}, .bytes = two},
        {.name = "half", .stored = RL_STORED_BF16, .rank = 3, .shape = {1, 3, 1}},
        {.name = "none", .stored = RL_STORED_F32, .rank = 1, .shape = {0}},
    };
    char *folder = rl_test_folder(), path[4200];
    rl_safetensors *file;
    rl_map_file raw;
    const rl_weight *w;
    rl_err err;
    size_t calls = 0;
    (void)state;
    weights[0].n_bytes = LONG * 4;
    weights[1].n_bytes = sizeof two;
    weights[2].n_bytes = 6;
    snprintf(path, sizeof path, "%s/w.safetensors", folder);
    assert_ok(rl_safetensors_write(path, weights, RL_COUNT(weights), fill, &calls, &err));
    assert_int_equal(calls, 3); // two pieces of the long one, one of the half
    assert_ok(rl_safetensors_open(path, &file, &err));
    assert_int_equal(rl_safetensors_count(file), RL_COUNT(weights));
    w = rl_safetensors_find(file, "long");
    assert_true(w->rank == 2 && w->shape[0] == 3 && w->shape[1] == LONG / 3);
    for (size_t k = 0; k < w->n_bytes; k++) {
        assert_int_equal(((const uint8_t *)w->bytes)[k], (uint8_t)(k * 7 + k / 256));
    }
    w = rl_safetensors_find(file, "t\"w\\o");
    assert_memory_equal(w->bytes, two, sizeof two);
    assert_int_equal(((const uint8_t *)rl_safetensors_find(file, "half")->bytes)[1], 9);
    assert_int_equal(rl_safetensors_find(file, "none")->n_bytes, 0);
    rl_safetensors_close(file);
    assert_ok(rl_fs_map(path, &raw, &err));
    assert_true(raw.ptr[0] % 8 == 0); // the header's length: data starts aligned
    assert_memory_equal(raw.ptr + 8, "{\"__metadata__\":{\"format\":\"pt\"},", 32);
    rl_fs_unmap(&raw);
    rl_test_drop(folder);
}

static void files_that_are_not_there(void **state) {
    char *folder = rl_test_folder(), path[4200];
    rl_safetensors *file;
    rl_weight none = {0};
    rl_err err;
    (void)state;
    snprintf(path, sizeof path, "%s/no/w.safetensors", folder);
    assert_int_equal(rl_safetensors_open(path, &file, &err), RL_IO);
    assert_non_null(strstr(err.text, path));
    assert_null(file);
    assert_int_equal(rl_safetensors_write(path, &none, 0, NULL, NULL, &err), RL_IO);
    assert_non_null(strstr(err.text, "/no/w.safetensors"));
    assert_int_equal(rl_safetensors_open(folder, &file, &err), RL_IO);
    rl_test_drop(folder);
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_dtype),
        cmocka_unit_test(order_and_empty_tensors),
        cmocka_unit_test(hostile_headers),
        cmocka_unit_test(write_and_read),
        cmocka_unit_test(files_that_are_not_there),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
