#include "rl/core/alloc.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/rollout/dataset.h"
#include "rollout/dialects.h"
#include "tests/support/support.h"

static rl_dataset *parse(const char *text, const char *system) {
    rl_dataset *dataset;
    rl_err err;
    assert_ok(rl_dataset_parse("p.jsonl", text, strlen(text), system, &dataset, &err));
    return dataset;
}

static void test_mbpp(void **state) {
    rl_dataset *dataset = parse(
        "{\"text\": \" Add two numbers.\\r\\n\", \"code\": \"x\", \"task_id\": 601,"
        " \"test_setup_code\": \"import math\", \"test_list\": [\"assert add(1, 2) == 3\","
        " \"assert add(0, 0) == 0\"], \"challenge_test_list\": [\"assert False\"]}\n"
        "{\"source_file\": \"v2\", \"task_id\": 2, \"prompt\": \"Double it.\", \"code\": \"x\","
        " \"test_imports\": [\"import math\", \"import re\"], \"test_list\": [\"assert d(1) == "
        "2\"]}",
        "");
    const rl_problem *p = rl_dataset_at(dataset, 0);
    rl_err err;
    (void)state;
    assert_int_equal(rl_dataset_size(dataset), 2);
    assert_string_equal(p->id, "601");
    assert_int_equal(p->n_messages, 1);
    assert_string_equal(p->messages[0].role, "user");
    assert_string_equal(p->messages[0].content,
                        "Add two numbers.\n\nYour code should pass these tests:\n"
                        "assert add(1, 2) == 3\nassert add(0, 0) == 0\n\n"
                        "Write a complete solution in a single python code block.");
    assert_int_equal(p->n_tests, 2);
    assert_string_equal(p->tests[1], "assert add(0, 0) == 0");
    assert_string_equal(p->setup, "import math");
    assert_true(p->task == -1 && p->domain == -1 && p->dataset == -1 && p->label == -1);
    p = rl_dataset_at(dataset, 1);
    assert_int_equal(p->index, 1);
    assert_string_equal(p->setup, "import math\nimport re\n");
    assert_non_null(strstr(p->messages[0].content, "Double it."));
    assert_ok(rl_dataset_require_tests(dataset, &err));
    rl_dataset_free(dataset);
}

static void test_humaneval(void **state) {
    rl_dataset *dataset =
        parse("{\"task_id\": \"HumanEval/0\", \"prompt\": \"\\n\\ndef f(x):\\n    "
              "\\\"\\\"\\\"Doc.\\\"\\\"\\\"\\n\","
              " \"entry_point\": \"f\", \"canonical_solution\": \"    return x\\n\","
              " \"test\": \"def check(candidate):\\n    assert candidate(1) == 1\\n\"}",
              "Be brief.");
    const rl_problem *p = rl_dataset_at(dataset, 0);
    rl_err err;
    (void)state;
    assert_string_equal(p->id, "HumanEval/0");
    assert_int_equal(p->n_messages, 2);
    assert_string_equal(p->messages[0].role, "system");
    assert_string_equal(p->messages[0].content, "Be brief.");
    assert_string_equal(p->messages[1].content,
                        "Complete this Python function:\n\n```python\ndef f(x):\n"
                        "    \"\"\"Doc.\"\"\"\n```\n\n"
                        "Write a complete solution in a single python code block.");
    assert_string_equal(p->stub, "\n\ndef f(x):\n    \"\"\"Doc.\"\"\"\n"); // as it is
    assert_string_equal(p->entry_point, "f");
    assert_string_equal(p->check, "def check(candidate):\n    assert candidate(1) == 1\n");
    assert_int_equal(p->n_tests, 0);
    assert_ok(rl_dataset_require_tests(dataset, &err));
    rl_dataset_free(dataset);
}

static void test_prompt_only(void **state) {
    rl_dataset *dataset = parse(
        "\n{\"prompt\": \"What is 2 + 2?\", \"answer\": 4}\r\n   \t\r\n"
        "{\"prompt\": [{\"role\": \"system\", \"content\": \"Own.\"},"
        " {\"role\": \"user\", \"content\": \"a\"}, {\"role\": \"assistant\", \"content\": \"b\"},"
        " {\"role\": \"user\", \"content\": \"c\"}], \"solution\": \"x\", \"id\": \"q7\"}\n"
        "{\"prompt\": [{\"role\": \"user\", \"content\": \"d\"}], \"ground_truth\": null}\n",
        "Recipe's.");
    const rl_problem *p = rl_dataset_at(dataset, 0);
    rl_err err;
    (void)state;
    assert_int_equal(rl_dataset_size(dataset), 3);
    assert_string_equal(p->id, "2"); // the line
    assert_string_equal(p->answer, "4");
    assert_int_equal(p->n_messages, 2);
    assert_string_equal(p->messages[0].content, "Recipe's.");
    assert_string_equal(p->messages[1].content, "What is 2 + 2?");
    p = rl_dataset_at(dataset, 1);
    assert_string_equal(p->id, "q7");
    assert_string_equal(p->answer, "x");
    assert_int_equal(p->n_messages, 4);
    assert_string_equal(p->messages[0].content, "Own.");
    assert_string_equal(p->messages[2].role, "assistant");
    assert_string_equal(p->messages[3].content, "c");
    p = rl_dataset_at(dataset, 2);
    assert_null(p->answer);
    assert_int_equal(p->n_messages, 2);
    assert_string_equal(p->messages[1].content, "d");
    assert_int_equal(rl_dataset_require_tests(dataset, &err), RL_IO);
    assert_string_equal(err.text,
                        "'p.jsonl', line 2: problem '2' has no tests, which a reward that "
                        "runs code needs; add a 'test_list'");
    rl_dataset_free(dataset);
}

// Messages with tests: the prompt is taken as it is.
static void test_conversation_with_tests(void **state) {
    rl_dataset *dataset = parse("{\"prompt\": [{\"role\": \"user\", \"content\": \"code\"}],"
                                " \"test_list\": [\"assert f()\"]}",
                                "");
    const rl_problem *p = rl_dataset_at(dataset, 0);
    (void)state;
    assert_string_equal(p->messages[0].content, "code");
    assert_int_equal(p->n_tests, 1);
    rl_dataset_free(dataset);
}

static void test_tags(void **state) {
    rl_dataset *dataset = parse("{\"prompt\": \"a\", \"task\": \"math\", \"label\": 3}\n"
                                "{\"prompt\": \"b\", \"task\": \"code\", \"dataset\": \"x\"}\n"
                                "{\"prompt\": \"c\", \"task\": \"math\", \"label\": 1}\n",
                                "");
    rl_tag_counts n = rl_dataset_tags(dataset);
    (void)state;
    assert_int_equal(n.tasks, 2);
    assert_int_equal(n.domains, 0);
    assert_int_equal(n.datasets, 1);
    assert_int_equal(n.labels, 2);
    assert_int_equal(rl_dataset_at(dataset, 0)->task, 0);
    assert_int_equal(rl_dataset_at(dataset, 1)->task, 1);
    assert_int_equal(rl_dataset_at(dataset, 2)->task, 0);
    assert_int_equal(rl_dataset_at(dataset, 2)->label, 1);
    assert_int_equal(rl_dataset_at(dataset, 1)->label, -1);
    rl_dataset_free(dataset);
}

static void test_bad_lines(void **state) {
    static const struct {
        const char *text, *says;
    } bad[] = {
        {"", "'p.jsonl' holds no problems"},
        {"\n \n\t\r\n", "'p.jsonl' holds no problems"},
        {"{\"prompt\": \"a\"}\nnot json\n", "'p.jsonl', line 2"},
        {"{\"prompt\": \"a\"}\n\n{\"prompt\": \"b\"", "'p.jsonl', line 3"},
        {"{\"prompt\": \"a\", \"prompt\": \"b\"}", "'p.jsonl', line 1"},
        {"[1]", "line 1: is a list, not an object"},
        {"{\"messages\": []}", "line 1: has 'messages', a conversation to learn from, which algo "
                               "'sft' takes"},
        {"{\"question\": \"a\"}", "line 1: has no 'prompt', nor the keys of MBPP"},
        {"{\"prompt\": null}", "has no 'prompt'"},
        {"{\"prompt\": 3}", "'prompt' is a number, not text"},
        {"{\"prompt\": \" \\n\"}", "'prompt' is empty"},
        {"{\"prompt\": []}", "'prompt' does not end with a message of the user"},
        {"{\"prompt\": [{\"role\": \"user\"}]}", "message 1 of 'prompt'"},
        {"{\"prompt\": [\"hello\"]}", "message 1 of 'prompt'"},
        {"{\"prompt\": [{\"role\": \"tool\", \"content\": \"x\"}]}", "has the role 'tool'"},
        {"{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"},"
         "{\"role\": \"system\", \"content\": \"x\"}]}",
         "message 2 of 'prompt' has the role 'system'"},
        {"{\"prompt\": [{\"role\": \"user\", \"content\": \"x\"},"
         "{\"role\": \"assistant\", \"content\": \"x\"}]}",
         "does not end with a message of the user"},
        {"{\"text\": \"a\"}", "line 1: has no tests in 'test_list'"},
        {"{\"text\": \"a\", \"test_list\": []}", "has no tests in 'test_list'"},
        {"{\"text\": \"a\", \"test_list\": null}", "has no tests in 'test_list'"},
        {"{\"text\": \"a\", \"test_list\": \"assert x\"}", "'test_list' is text, not a list"},
        {"{\"text\": \"a\", \"test_list\": [1]}", "'test_list' holds a number"},
        {"{\"test_list\": [\"assert x\"]}", "has no 'prompt'"},
        {"{\"text\": \"a\", \"test_list\": [\"assert x\", \" \"]}",
         "test 2 of 'test_list' is empty"},
        {"{\"prompt\": \" \", \"entry_point\": \"f\", \"test\": \"x\"}", "'prompt' is empty"},
        {"{\"text\": \"a\", \"test_list\": [\"x\"], \"test_setup_code\": 1}",
         "'test_setup_code' is a number"},
        {"{\"prompt\": \"a\", \"test_list\": [\"x\"], \"test_imports\": {}}",
         "'test_imports' is an object"},
        {"{\"prompt\": \"a\", \"entry_point\": \"f\"}", "has no 'test'"},
        {"{\"prompt\": \"a\", \"test\": \"def check(c): pass\"}", "has no 'entry_point'"},
        {"{\"prompt\": \"a\", \"test\": \" \", \"entry_point\": \"f\"}", "'test' is empty"},
        {"{\"entry_point\": \"f\", \"test\": \"x\"}", "has no 'prompt'"},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(bad); i++) {
        rl_dataset *dataset = NULL;
        rl_err err = {0};
        assert_int_equal(
            rl_dataset_parse("p.jsonl", bad[i].text, strlen(bad[i].text), "", &dataset, &err),
            RL_IO);
        assert_null(dataset);
        if (strstr(err.text, bad[i].says) == NULL || strstr(err.text, "'p.jsonl'") == NULL) {
            fail_msg("case %zu: '%s' does not say '%s'", i, err.text, bad[i].says);
        }
    }
}

static void test_missing_file(void **state) {
    rl_dataset *dataset = NULL;
    rl_err err;
    (void)state;
    assert_int_equal(rl_dataset_load("/nowhere/x.jsonl", "", &dataset, &err), RL_IO);
    assert_non_null(strstr(err.text, "/nowhere/x.jsonl"));
    assert_null(dataset);
}

enum { N = 7 };

static void test_pick(void **state) {
    rl_dataset *dataset = parse("{\"prompt\": \"a\"}\n{\"prompt\": \"b\"}\n{\"prompt\": \"c\"}\n"
                                "{\"prompt\": \"d\"}\n{\"prompt\": \"e\"}\n{\"prompt\": \"f\"}\n"
                                "{\"prompt\": \"g\"}\n",
                                "");
    int32_t epoch[3][N];
    int n_same = 0;
    (void)state;
    for (int e = 0; e < 3; e++) {
        int seen[N] = {0};
        for (int i = 0; i < N; i++) {
            assert_int_equal(rl_dataset_pick(dataset, 1, false, e * N + i), i);
            epoch[e][i] = rl_dataset_pick(dataset, 1, true, e * N + i);
            seen[epoch[e][i]]++;
        }
        for (int i = 0; i < N; i++) {
            assert_int_equal(seen[i], 1);
        }
        n_same += e > 0 && memcmp(epoch[e], epoch[0], sizeof epoch[0]) == 0;
    }
    assert_int_equal(n_same, 0);               // an order of its own for every epoch
    for (int64_t n = 3 * N - 1; n >= 0; n--) { // the cursor is all there is
        assert_int_equal(rl_dataset_pick(dataset, 1, true, n), epoch[n / N][n % N]);
    }
    n_same = 0;
    for (int i = 0; i < N; i++) {
        n_same += rl_dataset_pick(dataset, 2, true, i) == epoch[0][i];
    }
    assert_true(n_same < N);
    rl_dataset_skip(dataset, 2);
    rl_dataset_skip(dataset, 2);
    rl_dataset_skip(dataset, 6);
    assert_int_equal(rl_dataset_skipped(dataset), 2);
    assert_true(rl_dataset_is_skipped(dataset, 2) && !rl_dataset_is_skipped(dataset, 3));
    static const int32_t left[] = {0, 1, 3, 4, 5};
    for (int i = 0; i < 15; i++) {
        int32_t picked = rl_dataset_pick(dataset, 1, true, i);
        assert_true(picked != 2 && picked != 6);
        assert_int_equal(rl_dataset_pick(dataset, 1, false, i), left[i % 5]);
    }
    rl_dataset_free(dataset);
    rl_dataset_free(NULL);
}

static void test_section(void **state) {
    rl_arena *arena = rl_arena_new(0);
    rl_errors errors = {0};
    rl_data_opts opts;
    (void)state;
    rl_section_read(&rl_data_section, NULL, NULL, arena, &opts, &errors);
    assert_int_equal(errors.count, 1); // train is required
    assert_non_null(strstr(rl_str_text(&errors.text), "data.train"));
    assert_true(opts.shuffle);
    assert_int_equal(opts.over_long, RL_OVER_LONG_SKIP);
    assert_string_equal(opts.eval, "");
    assert_string_equal(opts.system, "");
    assert_true(opts.max_prompt_tokens > 0);
    rl_errors_release(&errors);
    rl_arena_free(arena);
}

// The data sets people have, whole; counts are those of their publishers' files.
static void test_shared(void **state) {
    static const struct {
        const char *name;
        int32_t n_problems;
    } file[] = {
        {"data/mbpp/train.jsonl", 374},
        {"data/mbpp/validation.jsonl", 90},
        {"data/mbpp/prompt.jsonl", 10},
        {"data/mbpp/sanitized_train.jsonl", 120},
        {"data/mbpp/sanitized_validation.jsonl", 43},
        {"data/humaneval/first40.jsonl", 40},
    };
    (void)state;
    for (size_t i = 0; i < RL_COUNT(file); i++) {
        const char *path = rl_shared(file[i].name);
        rl_dataset *dataset;
        rl_err err;
        if (path == NULL) {
            rl_test_lacks_shared(file[i].name);
            continue;
        }
        assert_ok(rl_dataset_load(path, "", &dataset, &err));
        assert_int_equal(rl_dataset_size(dataset), file[i].n_problems);
        assert_ok(rl_dataset_require_tests(dataset, &err));
        for (int32_t k = 0; k < file[i].n_problems; k++) {
            const rl_problem *p = rl_dataset_at(dataset, k);
            assert_true(p->n_tests > 0 || (p->check && p->entry_point && p->stub));
            assert_int_equal(p->n_messages, 1);
        }
        rl_dataset_free(dataset);
    }
    rl_test_skip_lacking();
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_mbpp),         cmocka_unit_test(test_humaneval),
        cmocka_unit_test(test_prompt_only),  cmocka_unit_test(test_conversation_with_tests),
        cmocka_unit_test(test_tags),         cmocka_unit_test(test_bad_lines),
        cmocka_unit_test(test_missing_file), cmocka_unit_test(test_pick),
        cmocka_unit_test(test_section),      cmocka_unit_test(test_shared),
    };
    return cmocka_run_group_tests_name("dataset", tests, NULL, NULL);
}
