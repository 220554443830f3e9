#include "tests/support/support.h"

#include <float.h>
#include <math.h>

#include "rl/core/schema.h"

typedef enum credit_kind { CREDIT_MAX, CREDIT_MEAN } credit_kind;
static const char *const credit_names[] = {"max", "mean", NULL};

typedef struct options {
    bool scale;
    credit_kind credit;
    int32_t group_size;
    int32_t free_count;
    double clip;
    double lr;
    const char *path;
    const char *note;
    rl_text_list tags;
} options;

static const rl_key keys[] = {
    RL_KEY_ROW(options, scale, "true", 0, 0, 0, "divide by the spread"),
    RL_CHOICE_ROW(options, credit, "mean", credit_names, 0, "how later turns pay | back"),
    RL_KEY_ROW(options, group_size, "4", 1, 1024, 0, "samples per prompt"),
    RL_KEY_ROW(options, free_count, "-7", 0, 0, 0, "any number"),
    RL_KEY_ROW(options, clip, "0.2", 0, 1, RL_KEY_OPEN_MIN | RL_KEY_RESUME_FREE,
               "width of the clip"),
    RL_KEY_ROW(options, lr, "1e-6", 0, (double)INFINITY, 0, "learning rate"),
    RL_KEY_ROW(options, path, NULL, 0, 0, RL_KEY_REQUIRED, "folder of the model"),
    RL_KEY_ROW(options, note, NULL, 0, 0, 0, "anything"),
    RL_KEY_ROW(options, tags, "[\"a\", \"b\"]", 0, 0, 0, "words"),
};

static rl_status check(const void *opts, rl_err *err) {
    const options *o = opts;
    if (o->group_size == 13) {
        return rl_fail(err, RL_BAD_RECIPE, "'algo.murphy.group_size' is 13; try 12");
    }
    return RL_OK;
}

static const rl_section section = {
    .name = "algo.murphy",
    .doc = "credit over a tree",
    .size = sizeof(options),
    .keys = keys,
    .n_keys = RL_COUNT(keys),
    .check = check,
};

typedef struct outcome {
    rl_arena *arena;
    options opts;
    rl_errors errors;
} outcome;

static outcome read_text(const char *text) {
    static const char *const elsewhere[] = {"modulate", NULL};
    outcome o = {.arena = rl_arena_new(0)};
    rl_json_doc *doc;
    rl_err err;
    assert_ok(rl_json_parse(text, strlen(text), "test", &doc, &err));
    rl_section_read(&section, rl_json_root(doc), elsewhere, o.arena, &o.opts, &o.errors);
    rl_json_free(doc);
    return o;
}

static void drop(outcome *o) {
    rl_errors_release(&o->errors);
    rl_arena_free(o->arena);
}

static void test_defaults(void **state) {
    rl_arena *arena = rl_arena_new(0);
    options o;
    (void)state;
    rl_section_defaults(&section, arena, &o);
    assert_true(o.scale);
    assert_int_equal(o.credit, CREDIT_MEAN);
    assert_int_equal(o.group_size, 4);
    assert_int_equal(o.free_count, -7);
    assert_true(o.clip == 0.2);
    assert_null(o.path);
    assert_int_equal(o.tags.n_items, 2);
    assert_string_equal(o.tags.item[1], "b");
    rl_arena_free(arena);
}

static void test_reads(void **state) {
    outcome o = read_text("{\"scale\": false, \"credit\": \"max\", \"group_size\": 8, \"clip\": 1, "
                          "\"lr\": 1e30, \"path\": \"m\", \"note\": null, \"tags\": [], "
                          "\"modulate\": [1]}");
    (void)state;
    assert_string_equal(rl_str_text(&o.errors.text), "");
    assert_false(o.opts.scale);
    assert_int_equal(o.opts.credit, CREDIT_MAX);
    assert_int_equal(o.opts.group_size, 8);
    assert_true(o.opts.clip == 1.0);
    assert_string_equal(o.opts.path, "m");
    assert_null(o.opts.note);
    assert_int_equal(o.opts.tags.n_items, 0);
    drop(&o);
}

static void test_one_mistake(void **state) {
    static const struct {
        const char *text, *sentence;
    } row[] = {
        {"{\"path\": \"m\", \"credits\": 1}",
         "unknown key 'algo.murphy.credits'; did you mean 'credit'?"},
        {"{\"path\": \"m\", \"modulates\": 1}",
         "unknown key 'algo.murphy.modulates'; did you mean 'modulate'?"},
        {"{\"path\": \"m\", \"Credit\": \"max\"}",
         "unknown key 'algo.murphy.Credit'; did you mean 'credit'?"},
        {"{\"path\": \"m\", \"zzzzzzzzz\": 1}",
         "unknown key 'algo.murphy.zzzzzzzzz'; the keys here are: scale, credit, group_size, "
         "free_count, clip, lr, path, note, tags, modulate"},
        {"{\"path\": \"m\", \"group_size\": -1}",
         "'algo.murphy.group_size' is -1, outside [1, 1024]"},
        {"{\"path\": \"m\", \"group_size\": 4.5}",
         "'algo.murphy.group_size' wants a whole number, found 4.5"},
        {"{\"path\": \"m\", \"group_size\": \"4\"}",
         "'algo.murphy.group_size' wants a whole number, found text \"4\""},
        {"{\"path\": \"m\", \"group_size\": [4]}",
         "'algo.murphy.group_size' wants a whole number, found a list"},
        {"{\"path\": \"m\", \"group_size\": null}",
         "'algo.murphy.group_size' wants a whole number, found null"},
        {"{\"path\": \"m\", \"free_count\": 3e9}",
         "'algo.murphy.free_count' is 3000000000, outside [-2147483648, 2147483647]"},
        {"{\"path\": \"m\", \"clip\": 0}", "'algo.murphy.clip' is 0, outside (0, 1]"},
        {"{\"path\": \"m\", \"x.credit\": 1}",
         "unknown key 'algo.murphy.x.credit'; did you mean 'credit'?"},
        {"{\"path\": \"m\", \"lr\": -1e-3}", "'algo.murphy.lr' is -0.001, outside [0, inf)"},
        {"{\"path\": \"m\", \"lr\": \"fast\"}",
         "'algo.murphy.lr' wants a number, found text \"fast\""},
        {"{\"path\": \"m\", \"scale\": 1}", "'algo.murphy.scale' wants true or false, found 1"},
        {"{\"path\": 3}", "'algo.murphy.path' wants text, found 3"},
        {"{\"path\": \"m\", \"credit\": \"meen\"}",
         "'algo.murphy.credit' is 'meen', not one of max, mean; did you mean 'mean'?"},
        {"{\"path\": \"m\", \"credit\": \"nothing\"}",
         "'algo.murphy.credit' is 'nothing', not one of max, mean"},
        {"{\"path\": \"m\", \"tags\": \"a\"}",
         "'algo.murphy.tags' wants a list of texts, found text \"a\""},
        {"{\"path\": \"m\", \"tags\": [\"a\", {}]}",
         "'algo.murphy.tags[1]' wants text, found an object"},
        {"{}", "missing key 'algo.murphy.path': folder of the model"},
        {"{\"path\": null}", "'algo.murphy.path' wants text, found null"},
        {"{\"path\": \"m\", \"group_size\": 13}", "'algo.murphy.group_size' is 13; try 12"},
        {"[1]", "'algo.murphy' wants an object, found a list"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(row); i++) {
        outcome o = read_text(row[i].text);
        assert_string_equal(rl_str_text(&o.errors.text), row[i].sentence);
        assert_int_equal(o.errors.count, 1);
        drop(&o);
    }
}

static void test_all_mistakes_at_once(void **state) {
    outcome o = read_text("{\"scal\": true, \"group_size\": 0, \"lr\": true, \"tags\": [1, 2]}");
    (void)state;
    assert_int_equal(o.errors.count, 6);
    assert_string_equal(o.errors.text.ptr, "unknown key 'algo.murphy.scal'; did you mean 'scale'?\n"
                                           "'algo.murphy.group_size' is 0, outside [1, 1024]\n"
                                           "'algo.murphy.lr' wants a number, found true\n"
                                           "'algo.murphy.tags[0]' wants text, found 1\n"
                                           "'algo.murphy.tags[1]' wants text, found 2\n"
                                           "missing key 'algo.murphy.path': folder of the model");
    drop(&o);
}

static void test_absent_object(void **state) {
    rl_arena *arena = rl_arena_new(0);
    options o;
    rl_errors errors = {0};
    (void)state;
    rl_section_read(&section, NULL, NULL, arena, &o, &errors);
    assert_int_equal(errors.count, 1); // only the required key
    assert_int_equal(o.group_size, 4);
    rl_errors_release(&errors);
    rl_arena_free(arena);
}

static void test_refused_paths(void **state) {
    rl_errors errors = {0};
    (void)state;
    assert_false(rl_errors_refused(&errors, "run"));
    rl_errors_refuse(&errors, "run.steps");
    rl_errors_refuse(&errors, "rewards");
    rl_errors_refuse(&errors, "data");
    assert_true(rl_errors_refused(&errors, "run.steps"));
    assert_true(rl_errors_refused(&errors, "rewards[0].weight"));
    assert_true(rl_errors_refused(&errors, "data.eval"));
    assert_false(rl_errors_refused(&errors, "run"));
    assert_false(rl_errors_refused(&errors, "run.step"));
    assert_false(rl_errors_refused(&errors, "run.steps_more"));
    assert_false(rl_errors_refused(&errors, "rewards_more"));
    rl_errors_release(&errors);
}

/* What is printed reads back to the same, so an effective recipe is a recipe. */
static void test_print_round_trip(void **state) {
    outcome o =
        read_text("{\"path\": \"m\\n\", \"tags\": [\"x\"], \"lr\": 0.1, \"credit\": \"max\"}");
    outcome again;
    rl_str text = {0};
    rl_json_writer w = {.out = &text};
    (void)state;
    rl_json_open_object(&w, NULL);
    rl_json_open_object(&w, "murphy");
    rl_section_print(&section, &o.opts, &w);
    rl_json_close_object(&w);
    rl_json_close_object(&w);
    assert_string_equal(text.ptr, "{\"murphy\":{\"scale\":true,\"credit\":\"max\",\"group_size\":4,"
                                  "\"free_count\":-7,\"clip\":0.2,\"lr\":0.1,\"path\":\"m\\n\","
                                  "\"note\":null,\"tags\":[\"x\"]}}");
    text.ptr[text.len - 1] = '\0';
    again = read_text(text.ptr + strlen("{\"murphy\":"));
    assert_int_equal(again.errors.count, 0);
    assert_int_equal(again.opts.credit, CREDIT_MAX);
    assert_true(again.opts.lr == 0.1);
    drop(&o);
    drop(&again);
    rl_str_release(&text);
}

static void assert_prints(void (*print)(const rl_section *, FILE *), const char *const *lines) {
    char text[8192];
    size_t n;
    FILE *file = tmpfile();
    assert_non_null(file);
    print(&section, file);
    rewind(file);
    n = fread(text, 1, sizeof text - 1, file);
    text[n] = '\0';
    fclose(file);
    for (; *lines != NULL; lines++) {
        if (strstr(text, *lines) == NULL) {
            fail_msg("no line '%s' in:\n%s", *lines, text);
        }
    }
}

static void test_documentation(void **state) {
    static const char *const help[] = {
        "algo.murphy: credit over a tree\n",
        "  group_size             samples per prompt\n"
        "                         a whole number in [1, 1024]; default: 4\n",
        "                         max or mean; default: mean\n",
        "a number in (0, 1]; default: 0.2\n",
        "text; default: required\n",
        "text; default: none\n",
        NULL,
    };
    static const char *const markdown[] = {
        "## algo.murphy\n\ncredit over a tree.\n\n",
        "| `credit` | max or mean | mean | how later turns pay \\| back |\n",
        "| `clip` | a number in (0, 1] | 0.2 | width of the clip |\n",
        "| `tags` | a list of texts | [\"a\", \"b\"] | words |\n",
        NULL,
    };
    (void)state;
    assert_prints(rl_section_help, help);
    assert_prints(rl_section_markdown, markdown);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults),         cmocka_unit_test(test_reads),
        cmocka_unit_test(test_one_mistake),      cmocka_unit_test(test_all_mistakes_at_once),
        cmocka_unit_test(test_absent_object),    cmocka_unit_test(test_refused_paths),
        cmocka_unit_test(test_print_round_trip), cmocka_unit_test(test_documentation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
