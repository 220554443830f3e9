#include "rewards/extract.h"

#include "tests/support/support.h"

static rl_arena *arena;

typedef struct answer_case {
    const char *name, *answer, *code; // NULL: none
} answer_case;

static void check_answers(rl_code_place place, const answer_case *table, size_t n) {
    for (size_t i = 0; i < n; i++) {
        // A copy of exact size, so that a read past the end is seen.
        size_t len = strlen(table[i].answer), code_len = 0;
        char *exact = test_malloc(len > 0 ? len : 1);
        memcpy(exact, table[i].answer, len);
        const char *code = rl_extract_code(place, exact, len, arena, &code_len);
        if ((code == NULL) != (table[i].code == NULL) ||
            (code != NULL &&
             (code_len != strlen(table[i].code) || memcmp(code, table[i].code, code_len) != 0))) {
            fail_msg("%s: got '%s'", table[i].name, code != NULL ? code : "(none)");
        }
        test_free(exact);
    }
}

static void finds_the_program(void **state) {
    (void)state;
    static const answer_case table[] = {
        {"marked", "Here:\n```python\nx = 1\n```\nDone.", "x = 1\n"},
        {"short mark", "```py\nx = 1\n```", "x = 1\n"},
        {"mark in capitals", "```Python3 title=a\nx = 1\n```", "x = 1\n"},
        {"mark in braces", "```{.python .numberLines}\nx = 1\n```", "x = 1\n"},
        {"unmarked", "```\nx = 1\n```", "x = 1\n"},
        {"tildes", "~~~python\nx = 1\n~~~", "x = 1\n"},
        {"tildes hold backticks", "~~~\nx = '''\n```\n'''\n~~~", "x = '''\n```\n'''\n"},
        {"other language alone", "```bash\nls\n```", NULL},
        {"other language after", "```python\nx = 1\n```\n```bash\nls\n```", "x = 1\n"},
        {"output after", "```python\nx = 1\n```\n```\n1\n```", "x = 1\n"},
        {"last of several", "```python\nx = 1\n```\nbetter\n```python\nx = 2\n```", "x = 2\n"},
        {"last of unmarked", "```\nx = 1\n```\n```\nx = 2\n```", "x = 2\n"},
        {"longer fence holds shorter", "````md\n```python\nx = 1\n```\n````", NULL},
        {"longer python fence", "````python\ns = '''\n```\n'''\n````", "s = '''\n```\n'''\n"},
        {"fence inside a block", "```md\ntext\n```python\nx = 1\n```\n```", "x = 1\n"},
        {"indented", "1. so:\n   ```python\n   if x:\n     y\n   ```\n", "if x:\n  y\n"},
        {"carriage returns", "```python\r\nx = 1\r\n```\r\n", "x = 1\r\n"},
        {"unclosed", "```python\nx = 1", "x = 1\n"},
        {"unclosed after a complete one", "```python\nx = 1\n```\n```python\nx = 2", "x = 1\n"},
        {"unclosed other language", "```sh\nls", NULL},
        {"empty", "```python\n\n  \n```", NULL},
        {"empty after a full one", "```python\nx = 1\n```\n```python\n```", "x = 1\n"},
        {"no fence", "def f(): pass", NULL},
        {"code within a line", "use ```x = 1``` here", NULL},
        {"nothing", "", NULL},
        {"only a fence", "```", NULL},
        {"thought", "<think>\n```python\nx = 1\n```\n</think>\n```python\nx = 2\n```", "x = 2\n"},
        {"thought only", "<think>\n```python\nx = 1\n```\n</think>\nno", NULL},
        {"thought never closed", "<think>\n```python\nx = 1\n```", NULL},
        {"answer before an unclosed thought", "```\nx = 1\n```\n<think>\n```\nx = 2\n```",
         "x = 1\n"},
    };
    check_answers(RL_CODE_BLOCK, table, RL_COUNT(table));
}

// The other rule: an answer without a fence is the program; one with a fence is read as before.
static void takes_a_whole_answer(void **state) {
    (void)state;
    static const answer_case table[] = {
        {"no fence", "def f(): pass", "def f(): pass\n"},
        {"no fence, lines", "def f():\n    return 1\n", "def f():\n    return 1\n"},
        {"indented as it is", "  x = 1\n", "  x = 1\n"},
        {"marked", "Here:\n```python\nx = 1\n```\nDone.", "x = 1\n"},
        {"unclosed", "```python\nx = 1", "x = 1\n"},
        {"other language alone", "```bash\nls\n```", NULL},
        {"empty block", "x = 1\n```python\n```", NULL},
        {"only a fence", "```", NULL},
        {"code within a line", "use ```x = 1``` here", "use ```x = 1``` here\n"},
        {"nothing", "", NULL},
        {"white space", " \n\t\n", NULL},
        {"after a thought", "<think>\nhm\n</think>\nx = 2\n", "\nx = 2\n"},
        {"thought only", "<think>\nx = 1\n</think>\n", NULL},
        {"thought never closed", "<think>\nx = 1\n", NULL},
        {"before an unclosed thought", "x = 1\n<think>\nx = 2", "x = 1\n"},
        {"a fence in the thought alone", "<think>\n```\nx\n```\n</think>x = 2", "x = 2\n"},
    };
    check_answers(RL_CODE_BLOCK_OR_ALL, table, RL_COUNT(table));
}

static void completes_stubs(void **state) {
    (void)state;
    const char *stub = "import math\n\ndef help(x):\n    return x\n\n"
                       "def area(r):\n    \"\"\" The area. \"\"\"\n";
    static const struct {
        const char *name, *code, *program;
    } table[] = {
        {"whole function", "def area(r):\n    return 3\n",
         "import math\n\ndef help(x):\n    return x\n\ndef area(r):\n    return 3\n"},
        {"asynchronous", "async def area(r):\n    return 3\n",
         "import math\n\ndef help(x):\n    return x\n\nasync def area(r):\n    return 3\n"},
        {"assigned", "area = lambda r: 3\n",
         "import math\n\ndef help(x):\n    return x\n\narea = lambda r: 3\n"},
        {"indented body", "    return 3\n",
         "import math\n\ndef help(x):\n    return x\n\ndef area(r):\n    \"\"\" The area. \"\"\"\n"
         "    return 3\n"},
        {"bare body", "y = 3\n\nif r:\n    return y\n",
         "import math\n\ndef help(x):\n    return x\n\ndef area(r):\n    \"\"\" The area. \"\"\"\n"
         "    y = 3\n\n    if r:\n        return y\n"},
        {"a longer name is another", "def area2(r):\n    return 3\n",
         "import math\n\ndef help(x):\n    return x\n\ndef area(r):\n    \"\"\" The area. \"\"\"\n"
         "    def area2(r):\n        return 3\n"},
    };
    rl_problem problem = {.stub = stub, .entry_point = "area"};
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        size_t len = 0;
        const char *program =
            rl_complete_program(&problem, table[i].code, strlen(table[i].code), arena, &len);
        if (len != strlen(table[i].program) || memcmp(program, table[i].program, len) != 0) {
            fail_msg("%s: got '%s'", table[i].name, program);
        }
    }
    problem.stub = NULL;
    size_t len = 0;
    assert_string_equal(rl_complete_program(&problem, "x", 1, arena, &len), "x");
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds_the_program),
        cmocka_unit_test(takes_a_whole_answer),
        cmocka_unit_test(completes_stubs),
    };
    arena = rl_arena_new(0);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    rl_arena_free(arena);
    return failed;
}
