/* Programs judged through the real sandbox: honest ones pass, wrong ones never do. */
#include "tests/support/support.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include "rl/core/alloc.h"
#include "rl/core/clock.h"
#include "rl/core/fs.h"
#include "rl/core/json.h"
#include "rl/core/problem.h"
#include "rl/core/str.h"
#include "rl/rewards/verifier.h"
#include "rl/sandbox/sandbox.h"

static rl_sandbox *jail;
static rl_arena *arena;
static const rl_verifier *row;
static void *judge;

static rl_verdict verify_with(void *self, const rl_problem *problem, const char *program) {
    char *answer = rl_arena_printf(arena, "Sure:\n````python\n%s\n````\n", program);
    rl_verdict verdict;
    rl_err err;
    assert_ok(row->verify(self, problem, answer, strlen(answer), arena, &verdict, &err));
    return verdict;
}

// Answers and what programs say may hold NUL bytes: both are read to their ends.
static void reads_past_nul_bytes(void **state) {
    static const char *const tests[] = {"assert f(1) == 2"};
    static const char said[] = "Error: ValueError: a\0b";
    static const char answer[] = "\0Sure:\n```python\ndef f(x):\n    return x + 1\n```\n\0";
    static const char cut[] = "```python\ndef f(x):\n    return x + 1\n\0\n```\n";
    rl_problem problem = {.id = "here", .tests = tests, .n_tests = 1};
    rl_verdict verdict;
    rl_err err;
    (void)state;
    assert_ok(row->verify(judge, &problem, answer, sizeof answer - 1, arena, &verdict, &err));
    assert_int_equal(verdict.kind, RL_VERDICT_PASS);
    assert_ok(row->verify(judge, &problem, cut, sizeof cut - 1, arena, &verdict, &err));
    assert_int_equal(verdict.kind, RL_VERDICT_FAIL); // no Python text holds a NUL byte
    assert_non_null(strstr(verdict.feedback, "The program does not run: "));
    verdict = verify_with(judge, &problem, "def f(x):\n    raise ValueError('a\\0b')");
    assert_int_equal(verdict.kind, RL_VERDICT_FAIL);
    assert_non_null(memmem(verdict.feedback, verdict.feedback_len, said, sizeof said - 1));
}

/* Judged by as many tests as are given, without a setup. */
static rl_verdict verify(const char *program, const char *setup, const char *const *tests) {
    // Each call has a problem of its own: verdicts are kept by address.
    rl_problem *problem = rl_arena_alloc(arena, 1, sizeof *problem);
    *problem = (rl_problem){.id = "here", .setup = setup, .tests = tests};
    while (tests[problem->n_tests] != NULL) {
        problem->n_tests++;
    }
    return verify_with(judge, problem, program);
}

static void assert_kind(const char *name, const rl_verdict *verdict, rl_verdict_kind kind) {
    if (verdict->kind != kind) {
        fail_msg("%s: kind %d, %d of %d, feedback '%s'", name, (int)verdict->kind, verdict->passed,
                 verdict->total, verdict->feedback != NULL ? verdict->feedback : "");
    }
}

typedef struct program_case {
    const char *name, *program;
    const char *tests[6];
} program_case;

static void passes_honest_programs(void **state) {
    (void)state;
    static const program_case table[] = {
        {"plain", "def f(x):\n    return x + 1", {"assert f(1) == 2", "assert f(-1) == 0"}},
        {"containers",
         "def f(ws):\n    return {len(w): frozenset([w]) for w in ws}, (1, [2.5, None, True])",
         {"assert f(['a', 'bb']) == ({1: frozenset({'a'}), 2: frozenset({'bb'})}, "
          "(1, [2.5, None, True]))",
          "assert type(f([])[1]) is tuple"}},
        {"numbers",
         "from fractions import Fraction\nfrom decimal import Decimal\n"
         "def f(): return Fraction(3, 2), Decimal('0.10') * 3, 3 ** 1500, 1e300, 2 - 1j, -1",
         {"from fractions import Fraction\nfrom decimal import Decimal\n"
          "assert f() == (Fraction(3, 2), Decimal('0.30'), 3 ** 1500, 1e300, 2 - 1j, -1)"}},
        {"text",
         "def f(s): return s[::-1] + '\\u00e9\\U0001f600'",
         {"assert f('\xc3\xbc') == '\xc3\xbc\xc3\xa9\xf0\x9f\x98\x80'"}},
        {"changes its argument",
         "def f(xs):\n    xs.sort()\n    xs[0].append(7)",
         {"a = [[2], [1]]\nb = a[1]\nassert f(a) is None\nassert a == [[1, 7], [2]]"}},
        {"object with state",
         "class Queue:\n    def __init__(self): self.items = []\n"
         "    def put(self, x): self.items.append(x)\n    def get(self): return self.items.pop(0)\n"
         "    def __len__(self): return len(self.items)",
         {"q = Queue()\nq.put(3)\nq.put(4)\nassert q.get() == 3\nassert len(q) == 1",
          "q = Queue()\nassert q.items == []"}},
        {"value class",
         "from dataclasses import dataclass\n@dataclass(frozen=True)\nclass P:\n    x: int\n"
         "    y: int = 0\n    def __add__(self, o): return P(self.x + o.x, self.y + o.y)",
         {"assert P(1, 2) + P(3) == P(4, 2)", "assert repr(P(1)) == 'P(x=1, y=0)'",
          "assert len({P(1), P(1, 0)}) == 1"}},
        {"objects as keys",
         "class K:\n    def __init__(self, n): self.n = n\n    def __hash__(self): return self.n\n"
         "    def __eq__(self, o): return self.n == o.n\n"
         "def f(): return {K(1), K(2), K(1)}, {K(3): 'c'}",
         {"a, b = f()\nassert len(a) == 2\nassert b[K(3)] == 'c'\nassert K(1) in a"}},
        {"endless generator",
         "def f():\n    n = 0\n    while True:\n        yield n\n        n += 2",
         {"from itertools import islice\nassert list(islice(f(), 4)) == [0, 2, 4, 6]"}},
        {"closures and callbacks",
         "def twice(g): return lambda *a: g(g(*a))\ndef apply(g, xs): return [g(x) for x in xs]",
         {"assert twice(lambda v: v * 3)(2) == 18", "assert apply(str, [1, 2]) == ['1', '2']",
          "assert apply(len, ['ab', '']) == [2, 0]"}},
        {"exceptions",
         "class Empty(ValueError):\n    def __init__(self, who):\n"
         "        super().__init__('basket of ' + who)\n        self.who = who\n"
         "def f(who): raise Empty(who)",
         {"try:\n    f('bob')\nexcept Empty as e:\n    assert e.who == 'bob' and 'bob' in str(e)\n"
          "else:\n    assert False",
          "try:\n    f('bob')\nexcept ValueError:\n    pass\nelse:\n    assert False"}},
        {"iterator that ends",
         "class Down:\n    def __init__(self, n): self.n = n\n    def __iter__(self): return self\n"
         "    def __next__(self):\n        if self.n == 0: raise StopIteration\n"
         "        self.n -= 1\n        return self.n",
         {"assert list(Down(3)) == [2, 1, 0]", "assert next(Down(0), None) is None",
          "try:\n    next(Down(0))\n    assert False\nexcept StopIteration:\n    pass",
          "assert all(map(lambda d: next(d) == 1, [Down(2)]))"}},
        {"coroutine",
         "import asyncio\nasync def f(n):\n    await asyncio.sleep(0)\n    return n + 1",
         {"import asyncio\nassert asyncio.run(f(4)) == 5"}},
        {"named tuple",
         "from collections import namedtuple\nP = namedtuple('P', 'x y')\n"
         "def f(): return P(1, 2)",
         {"assert f() == (1, 2)", "assert f().y == 2"}},
        {"named like a builtin", "def sum(a, b): return a * b", {"assert sum(3, 4) == 12"}},
        {"module used by the tests",
         "import math\ndef f(): return 2 ** 0.5",
         {"assert math.isclose(f(), 1.41421356237, rel_tol=1e-6)"}},
        {"threads",
         "from concurrent.futures import ThreadPoolExecutor\ndef f(n):\n"
         "    with ThreadPoolExecutor(4) as ex:\n"
         "        return list(ex.map(lambda v: v * v, range(n)))",
         {"assert f(50)[-1] == 2401"}},
        {"talks", "def f(x):\n    print('x' * 200000)\n    return x", {"assert f(1) == 1"}},
        {"leaves a process",
         "import subprocess\nsubprocess.Popen(['/bin/sleep', '600'], start_new_session=True)\n"
         "def f(x): return x",
         {"assert f(1) == 1"}},
        {"deep recursion",
         "import sys\nsys.setrecursionlimit(20000)\ndef f(n): return 0 if n == 0 else 1 + f(n - 1)",
         {"assert f(9000) == 9000"}},
        {"main guard",
         "def f(x): return x\nif __name__ == '__main__':\n    raise SystemExit(1)",
         {"assert f(1) == 1"}},
        {"asks",
         "def f(): return int(input('n? ')) + 1",
         {"import builtins\nbuiltins.input = lambda prompt: '4'\nassert f() == 5"}},
    };
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_verdict verdict = verify(table[i].program, NULL, table[i].tests);
        assert_kind(table[i].name, &verdict, RL_VERDICT_PASS);
        assert_true(verdict.score == 1.0 && verdict.passed == verdict.total);
        assert_false(verdict.timed_out);
        assert_null(verdict.feedback);
    }
}

/* Programs that are wrong and try to look right. The tests want dist() to be an edit distance. */
static void fails_cheats(void **state) {
    (void)state;
    static const struct {
        const char *name, *program;
    } table[] = {
        {"exit at the start", "import sys\nsys.exit(0)"},
        {"exit after defining", "def dist(a, b): return 0\nimport sys\nsys.exit(0)"},
        {"hard exit at the start", "import os\nos._exit(0)"},
        {"exit in the call", "def dist(a, b):\n    raise SystemExit(0)"},
        {"hard exit in the call", "import os\ndef dist(a, b): os._exit(0)"},
        {"hard exit at the end", "import atexit, os\natexit.register(lambda: os._exit(0))\n"
                                 "def dist(a, b): return 0"},
        {"interrupt", "def dist(a, b): raise KeyboardInterrupt"},
        {"printed markers", "print('OK\\n3 passed\\npass 0\\npass 1\\nend')\n"
                            "def dist(a, b): return 0"},
        {"writes to every descriptor",
         "import os\nfor fd in range(1, 64):\n    try: os.write(fd, b'pass 0 0 0 0\\n' * 3)\n"
         "    except OSError: pass\ndef dist(a, b): return 0"},
        {"closes every descriptor",
         "import os\ndef dist(a, b):\n    os.closerange(0, 64)\n    return 0"},
        {"quiet AssertionError",
         "import builtins\nclass Quiet(Exception): pass\nbuiltins.AssertionError = Quiet\n"
         "def dist(a, b): return 0"},
        {"equal to everything",
         "class Yes:\n    def __eq__(self, o): return True\n    def __ne__(self, o): return False\n"
         "    def __hash__(self): return 3\n"
         "def dist(a, b): return Yes()"},
        {"number equal to everything",
         "class Yes(int):\n    def __eq__(self, o): return True\n    __hash__ = int.__hash__\n"
         "def dist(a, b): return Yes(0)"},
        {"mock that equals everything",
         "from unittest.mock import ANY\ndef dist(a, b): return ANY"},
        {"the mock's class", "from unittest.mock import _ANY as dist"},
        {"patched builtins",
         "import builtins\nfor n in ('len', 'all', 'abs', 'isinstance', 'repr', 'eval', 'exec'):\n"
         "    setattr(builtins, n, lambda *a, **k: True)\ndef dist(a, b): return 0"},
        {"frames of the caller",
         "import sys\ndef dist(a, b):\n    f = sys._getframe()\n    while f:\n"
         "        for k, v in list(f.f_globals.items()) + list(f.f_locals.items()):\n"
         "            if isinstance(v, (list, dict)): v.clear()\n        f = f.f_back\n    return "
         "0"},
        {"harness in sys.modules",
         "import sys\nm = sys.modules['__main__']\n"
         "m.Judge.run_assert = lambda *a: None\nm.Judge.run_unit = lambda *a: None\n"
         "def dist(a, b): return 0"},
        {"kills its parent", "import os, signal\nos.kill(os.getppid(), signal.SIGTERM)\n"
                             "def dist(a, b): return 0"},
        {"interrupts its parent", "import os, signal\ndef dist(a, b):\n"
                                  "    os.kill(os.getppid(), signal.SIGINT)\n    return 0"},
        {"forks", "import os\nos.fork()\nos.fork()\ndef dist(a, b): return 0"},
        {"thread that writes",
         "import threading, os\ndef w():\n    while True:\n        for fd in range(4, 12):\n"
         "            try: os.write(fd, b'x')\n            except OSError: pass\n"
         "threading.Thread(target=w, daemon=True).start()\ndef dist(a, b): return 0"},
        {"trace function", "import sys\nsys.settrace(lambda *a: None)\ndef dist(a, b): return 0"},
        {"hash and bool games",
         "class B:\n    def __bool__(self): return True\n    def __eq__(self, o): return B()\n"
         "def dist(a, b): return B()"},
        {"arithmetic games",
         "class B:\n    def __sub__(self, o): return 0\n    __rsub__ = __sub__\n"
         "    def __float__(self): return 0.0\n    def __eq__(self, o): return True\n"
         "def dist(a, b): return B()"},
        {"not defined", "x = 1"},
        {"syntax", "def dist(a, b) return 3"},
        {"control character", "def dist(a, b): return 0 # \x01"},
        {"exception of its own", "def dist(a, b): raise AssertionError"},
        {"endless nesting", "def dist(a, b):\n    x = []\n    x.append(x)\n    return x"},
        {"huge value", "def dist(a, b): return 'x' * (20 << 20)"},
        {"crash", "import ctypes\ndef dist(a, b): ctypes.string_at(0)"},
    };
    static const char *const tests[] = {"assert dist('kitten', 'sitting') == 3",
                                        "assert dist('', 'abc') == 3",
                                        "r = dist('flaw', 'lawn')\nassert abs(r - 2) < 1e-9",
                                        "assert dist('ab', 'cde') in (3, 9)", NULL};
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_verdict verdict = verify(table[i].program, NULL, tests);
        if (verdict.passed != 0 || verdict.score != 0.0 || verdict.total != 4) {
            fail_msg("%s: kind %d, %d of %d, '%s'", table[i].name, (int)verdict.kind,
                     verdict.passed, verdict.total, verdict.feedback);
        }
        assert_kind(table[i].name, &verdict, RL_VERDICT_FAIL);
        assert_true(verdict.feedback_len > 0);
    }
}

/* Wrong programs that pass where the tests' own ways are turned against them. */
static void fails_cheats_on_tests(void **state) {
    (void)state;
    static const program_case table[] = {
        {"ends the loop of the tests",
         "def f(x=0): raise StopIteration",
         {"assert all(map(f, [2, 3, 5]))", "assert list(map(f, [2, 3])) == []",
          "assert not any(True for _ in iter(f.__call__, 3))"}},
        {"ends it by a class of its own",
         "class Stop(StopIteration): pass\ndef f(x): raise Stop",
         {"assert all(map(f, [2, 3, 5]))", "for _ in map(f, [1]): assert False"}},
        {"ends it from an attribute and an operator",
         "class C:\n    def __getattr__(self, n): raise StopIteration\n"
         "    def __bool__(self): raise StopIteration\n"
         "    def __getitem__(self, i): raise StopIteration\nf = C",
         {"assert all(map(lambda c: c.ready, [f()]))", "assert all(map(bool, [f()]))",
          "assert all(map(lambda c: c[0] == 1, [f()]))"}},
        {"other ends of the world",
         "def f(e): raise {0: GeneratorExit, 1: KeyboardInterrupt, 2: SystemExit,\n"
         "                 3: AssertionError, 4: StopAsyncIteration}[e]",
         {"assert all(map(f, [0]))", "try:\n    f(1)\nexcept BaseException:\n    pass",
          "assert all(map(f, [2]))", "assert all(f(3) for _ in [1])", "assert all(map(f, [4]))"}},
        {"a built-in beside a class",
         "class S:\n    def add(x, y): return x\ndef abs(x): return 0",
         {"assert abs(S.add(2, 2) - 4) < 1e-6"}},
        {"a built-in beside a method of an object",
         "class S:\n    def add(self, x, y): return x\ns = S()\ndef abs(x): return 0",
         {"assert abs(s.add(2, 2) - 4) < 1e-6"}},
        {"a built-in beside another",
         "def sum(a, b): return a\ndef abs(x): return 0",
         {"assert abs(sum(3, 4) - 12) < 1e-6"}},
        {"built-ins slipped into the answer",
         "import sys\nsys._getframe(1).f_locals['names'].append('__builtins__')\n"
         "__builtins__ = {'abs': lambda x: 0}\ndef f(x): return 0",
         {"assert abs(f(2) - 4) < 1e-6"}},
    };
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_verdict verdict = verify(table[i].program, NULL, table[i].tests);
        if (verdict.passed != 0) {
            fail_msg("%s: %d of %d, '%s'", table[i].name, verdict.passed, verdict.total,
                     verdict.feedback != NULL ? verdict.feedback : "");
        }
    }
}

/* Programs judged by a check() that uses what the problem defines, or checks by other means. */
static void fails_cheats_on_check(void **state) {
    (void)state;
    static const char by_helper[] = "import math\n\ndef poly(xs, x):\n"
                                    "    return sum(c * math.pow(x, i) for i, c in enumerate(xs))\n"
                                    "\ndef zero(xs):\n    \"\"\" Where poly is 0. \"\"\"\n";
    static const char is_zero[] = "def check(candidate):\n"
                                  "    assert abs(poly([-2, 1], candidate([-2, 1]))) < 1e-4\n";
    static const char at_end[] = "def verify(a, b):\n    assert a == b\n\n"
                                 "def check(candidate):\n    assert candidate(1) == 2\n"
                                 "    got = candidate(3)\n    verify(got, 4)\n";
    static const char inner[] = "def check(candidate):\n    assert candidate(1) == 2\n"
                                "    def more():\n        assert candidate(3) == 4\n    more()\n"
                                "    print('done')\n";
    static const struct {
        const char *name, *stub, *entry, *check, *program;
        int32_t passed, total;
    } table[] = {
        {"honest", by_helper, "zero", is_zero, "def zero(xs): return -xs[0] / xs[1]", 1, 1},
        {"honest body", by_helper, "zero", is_zero, "while poly(xs, 2) != 0: pass\nreturn 2", 1, 1},
        {"another helper", by_helper, "zero", is_zero,
         "def poly(xs, x): return 0\ndef zero(xs): return 0", 0, 1},
        {"helper replaced later", by_helper, "zero", is_zero,
         "def zero(xs):\n    global poly\n    poly = lambda *a: 0\n    return 0", 0, 1},
        {"module replaced", by_helper, "zero", is_zero,
         "math.pow = lambda *a: 0\ndef zero(xs): return 0", 0, 1},
        {"helpers that end in a decorator",
         "from functools import lru_cache as kept\ndef two(): return 2\n\n@kept\ndef f(x):\n", "f",
         "def check(candidate):\n    assert kept and candidate(1) == two()\n",
         "def f(x): return x + 1", 1, 1},
        {"helpers with a class",
         "class Box:\n    def __init__(self, x): self.x = x\n\ndef box(x): return Box(x)\n\n"
         "def f(b):\n",
         "f", "def check(candidate):\n    assert candidate(box(2)) == candidate(Box(2)) == 3\n",
         "def f(b): return b.x + 1", 1, 1},
        {"honest to the end", NULL, "f", at_end, "def f(x): return x + 1", 2, 2},
        {"wrong at the end", NULL, "f", at_end, "def f(x): return 2", 1, 2},
        {"honest inside", NULL, "f", inner, "def f(x): return x + 1", 2, 2},
        {"wrong inside", NULL, "f", inner, "def f(x): return 2", 1, 2},
    };
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        rl_problem *problem = rl_arena_alloc(arena, 1, sizeof *problem);
        *problem = (rl_problem){.id = "here",
                                .stub = table[i].stub,
                                .entry_point = table[i].entry,
                                .check = table[i].check};
        rl_verdict verdict = verify_with(judge, problem, table[i].program);
        if (verdict.passed != table[i].passed || verdict.total != table[i].total) {
            fail_msg("%s: %d of %d, '%s'", table[i].name, verdict.passed, verdict.total,
                     verdict.feedback != NULL ? verdict.feedback : "");
        }
    }
}

/* In plain mode both processes are one user's, and the host's /proc is in sight. */
static void hides_the_judge(void **state) {
    static const char program[] =
        "import os\njudge = '/proc/%d/' % os.getppid()\ndef f():\n    open = []\n"
        "    for name in ('mem', 'fd/0', 'fd/3', 'environ', 'maps'):\n        try:\n"
        "            os.close(os.open(judge + name, os.O_RDONLY if name != 'fd/3' else "
        "os.O_WRONLY))\n            open.append(name)\n        except PermissionError: pass\n"
        "    return open";
    static const char *const tests[] = {"assert f() == []"};
    rl_problem problem = {.id = "plain", .tests = tests, .n_tests = 1};
    rl_sandbox_opts opts = {.mode = RL_SANDBOX_PLAIN,
                            .workers = 1,
                            .cpu_ms = 1000,
                            .wall_ms = 2000,
                            .mem_mb = 256,
                            .out_kb = 64,
                            .processes = 32,
                            .python = ""};
    int32_t chosen[3];
    rl_sandbox *plain;
    void *self;
    rl_err err;
    (void)state;
    rl_section_defaults(row->options, arena, chosen);
    assert_ok(rl_sandbox_open(&opts, &plain, &err));
    assert_ok(row->open(&self, chosen, plain, &err));
    rl_verdict verdict = verify_with(self, &problem, program);
    row->close(self);
    rl_sandbox_close(plain);
    assert_kind("plain", &verdict, RL_VERDICT_PASS);
}

static void does_not_lend_the_tests_tools(void **state) {
    (void)state;
    // Names the tests use but did not import come from the language, not from the program.
    static const char *const tests[] = {"assert abs(f(2) - 4) < 1e-6",
                                        "assert math.isclose(f(2), 4)",
                                        "assert isinstance(f(2), int) and all([f(2) == 4])", NULL};
    rl_verdict verdict = verify("class math:\n    isclose = lambda *a: True\n"
                                "def abs(x): return 0\ndef all(x): return True\n"
                                "def isinstance(*a): return True\ndef f(x): return 7",
                                NULL, tests);
    assert_int_equal(verdict.passed, 0);
    // A failed assertion stays failed, even where the program's own code swallows it.
    static const char *const swallowed[] = {"with f() as x:\n    assert x == 3",
                                            "def t(v):\n    assert v == 3\nf2(t)", NULL};
    verdict = verify("class C:\n    def __enter__(self): return 2\n"
                     "    def __exit__(self, *a): return True\n"
                     "def f(): return C()\n"
                     "def f2(t):\n    try: t(2)\n    except AssertionError: pass",
                     NULL, swallowed);
    assert_int_equal(verdict.passed, 0);
}

static void tells_what_failed(void **state) {
    (void)state;
    static const char *const tests[] = {"assert f(1) == 2",   "assert f(2) == 4",
                                        "assert 9 == f(3)",   "assert not f(4)",
                                        "assert f('a') == 1", NULL};
    rl_verdict verdict = verify("def f(x):\n    return x + 1", NULL, tests);
    assert_kind("partial", &verdict, RL_VERDICT_PARTIAL);
    assert_int_equal(verdict.passed, 1);
    assert_int_equal(verdict.total, 5);
    assert_true(verdict.score == 0.2);
    assert_string_equal(verdict.feedback, "Failed: assert f(2) == 4\nGot: 3\n"
                                          "Failed: assert 9 == f(3)\nGot: 4\n"
                                          "Failed: assert not f(4)\nGot: 5\n"
                                          "Failed as well: 1 more.\n");
    assert_int_equal(verdict.feedback_len, strlen(verdict.feedback));
    static const char *const last[] = {"assert f('a') == 1", NULL};
    verdict = verify("def f(x):\n    return x + 1", NULL, last);
    assert_string_equal(verdict.feedback,
                        "Failed: assert f('a') == 1\n"
                        "Error: TypeError: can only concatenate str (not \"int\") to str (line 2: "
                        "return x + 1)\n");
    verdict = verify("def g(x):\n    return x + 1", NULL, last);
    assert_string_equal(verdict.feedback, "Failed: assert f('a') == 1\n"
                                          "Error: NameError: name 'f' is not defined\n");
    verdict = verify("def f(x)\n    return x + 1", NULL, last);
    assert_string_equal(verdict.feedback,
                        "The program does not run: SyntaxError: expected ':' (line 1: def f(x))\n");
    static const char *const text[] = {"assert f() == 'x'", NULL};
    verdict = verify("def f(): return '\xc3\xa9' * 1000", NULL, text);
    // 300 bytes, a quote and 149 letters of two bytes, cut between letters.
    assert_int_equal(verdict.feedback_len, strlen("Failed: assert f() == 'x'\nGot: ...\n") + 299);
}

static void counts_assertions_of_check(void **state) {
    (void)state;
    rl_problem problem = {.id = "check",
                          .entry_point = "area",
                          .stub = "from typing import List\n\ndef half(x):\n    return x / 2\n\n"
                                  "def area(r: List[int]) -> float:\n    \"\"\" Sum. \"\"\"\n",
                          .check = "METADATA = {}\n\ndef check(candidate):\n"
                                   "    assert candidate([1, 2]) == 3\n"
                                   "    values = [4, 5]\n"
                                   "    assert candidate(values) == 9, 'message'\n"
                                   "    for i in range(3):\n"
                                   "        assert candidate([i]) == i\n"
                                   "    assert half(candidate([2])) == 1\n"};
    rl_verdict verdict = verify_with(judge, &problem, "def area(r: List[int]):\n    return sum(r)");
    assert_kind("whole", &verdict, RL_VERDICT_PASS);
    assert_int_equal(verdict.total, 4);
    verdict = verify_with(judge, &problem, "return sum(r)");
    assert_kind("body", &verdict, RL_VERDICT_PASS);
    verdict = verify_with(judge, &problem, "return min(sum(r), 4)");
    assert_kind("wrong", &verdict, RL_VERDICT_PARTIAL);
    assert_int_equal(verdict.passed, 3);
    assert_string_equal(verdict.feedback,
                        "Failed: assert candidate(values) == 9, 'message'\nGot: 4\n");
    problem.check = "def check(candidate):\n    if candidate([1]) == 1:\n        return\n"
                    "    assert False\n";
    problem.id = "other";
    rl_problem other = problem;
    verdict = verify_with(judge, &other, "return sum(r)");
    assert_kind("returns early", &verdict, RL_VERDICT_PASS);
    assert_int_equal(verdict.total, 1);
}

static void stops_programs_that_hang(void **state) {
    (void)state;
    static const char *const tests[] = {"assert f(1) == 1", "assert f(2) == 2", NULL};
    rl_verdict verdict = verify("def f(x):\n    while x == 2: pass\n    return x", NULL, tests);
    assert_kind("loop", &verdict, RL_VERDICT_FAIL);
    assert_true(verdict.timed_out);
    assert_true(verdict.score == 0.0);
    assert_string_equal(verdict.feedback, "The program was stopped by its time limit.\n"
                                          "Running then: assert f(2) == 2\n");
    verdict = verify("while True: pass", NULL, tests);
    assert_kind("loop at once", &verdict, RL_VERDICT_FAIL);
    assert_true(verdict.timed_out);
    verdict = verify("import time\ntime.sleep(60)", NULL, tests);
    assert_true(verdict.timed_out);
    verdict = verify("x = []\nwhile True: x.append(bytearray(1 << 20))", NULL, tests);
    assert_kind("memory", &verdict, RL_VERDICT_FAIL);
    assert_false(verdict.timed_out);
    assert_non_null(strstr(verdict.feedback, "emory"));
}

static void keeps_verdicts(void **state) {
    (void)state;
    static const char *const tests[] = {"assert f() == 1", NULL};
    rl_problem problem = {.id = "kept", .tests = tests, .n_tests = 1};
    const char *slow = "import time\ntime.sleep(0.5)\ndef f(): return 2";
    rl_verdict first = verify_with(judge, &problem, slow);
    double begin = rl_clock_now();
    rl_verdict again = verify_with(judge, &problem, slow);
    assert_true(rl_clock_now() - begin < 0.1);
    assert_int_equal(again.kind, first.kind);
    assert_string_equal(again.feedback, first.feedback);
    assert_ptr_not_equal(again.feedback, first.feedback);
    rl_verdict other = verify_with(judge, &problem, "def f(): return 1");
    assert_kind("other", &other, RL_VERDICT_PASS);
}

static void repeats_itself(void **state) {
    (void)state;
    // The order of a set of texts depends on a seed, which is fixed.
    static const char *const tests[] = {"assert f() == ''", NULL};
    // The second text differs by a comment, or its verdict would be remembered.
    rl_verdict first = verify("def f(): return ''.join(set('abcdefgh'))", NULL, tests);
    rl_verdict second = verify("def f(): return ''.join(set('abcdefgh')) #", NULL, tests);
    assert_string_equal(first.feedback, second.feedback);
}

/* Kills the helper, whichever it is then, `times` times from a process of its own. */
static pid_t kill_helpers(int times, int64_t every_ms) {
    pid_t self = getpid(), pid = fork();
    if (pid == 0) {
        for (int i = 0; i < times; i++) {
            char path[64], text[64] = "";
            rl_clock_sleep_ms(every_ms);
            snprintf(path, sizeof path, "/proc/%d/task/%d/children", (int)self, (int)self);
            FILE *file = fopen(path, "re");
            if (file != NULL && fgets(text, sizeof text, file) != NULL) {
                for (char *at = text, *end; *at != '\0'; at = end) {
                    long child = strtol(at, &end, 10);
                    if (end == at) {
                        break;
                    }
                    if (child != getpid()) {
                        kill((pid_t)child, SIGKILL);
                    }
                }
            }
            if (file != NULL) {
                fclose(file);
            }
        }
        _exit(0);
    }
    return pid;
}

static void never_blames_the_program_for_the_sandbox(void **state) {
    (void)state;
    static const char *const tests[] = {"assert f() == 1", NULL};
    rl_problem problem = {.id = "slow", .tests = tests, .n_tests = 1};
    const char *answer = "```python\nimport time\ntime.sleep(0.6)\ndef f(): return 1\n```";
    rl_verdict verdict;
    rl_err err;
    // Once: the second try judges it.
    pid_t killer = kill_helpers(1, 300);
    assert_ok(row->verify(judge, &problem, answer, strlen(answer), arena, &verdict, &err));
    assert_kind("killed once", &verdict, RL_VERDICT_PASS);
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    // At every try: unknown, and forgotten.
    answer = "```python\nimport time\ntime.sleep(0.6)\ndef f(): return 1 # again\n```";
    killer = kill_helpers(8, 250);
    assert_int_equal(row->verify(judge, &problem, answer, strlen(answer), arena, &verdict, &err),
                     RL_IO);
    assert_int_equal(verdict.kind, RL_VERDICT_UNKNOWN);
    assert_non_null(strstr(err.text, "sandbox"));
    assert_int_equal(waitpid(killer, NULL, 0), killer);
    assert_ok(row->verify(judge, &problem, answer, strlen(answer), arena, &verdict, &err));
    assert_kind("afterwards", &verdict, RL_VERDICT_PASS);
}

static void tells_the_unreadable_and_the_unknown(void **state) {
    (void)state;
    static const char *const tests[] = {"assert f() == 1", NULL};
    static const char *const bad[] = {"assert f( == 1", NULL};
    rl_problem problem = {.id = "p", .tests = tests, .n_tests = 1};
    rl_verdict verdict;
    rl_err err;
    assert_ok(row->verify(judge, &problem, "no code", 7, arena, &verdict, &err));
    assert_kind("no code", &verdict, RL_VERDICT_UNREADABLE);
    assert_true(verdict.score == 0.0 && verdict.feedback_len > 0);
    const char *answer = "```python\ndef f(): return 1\n```";
    problem.tests = bad;
    assert_int_equal(row->verify(judge, &problem, answer, strlen(answer), arena, &verdict, &err),
                     RL_UNSUPPORTED);
    assert_int_equal(verdict.kind, RL_VERDICT_UNKNOWN);
    assert_non_null(strstr(err.text, "'p'"));
    problem.n_tests = 0;
    assert_int_equal(row->verify(judge, &problem, answer, strlen(answer), arena, &verdict, &err),
                     RL_UNSUPPORTED);
    assert_int_equal(verdict.kind, RL_VERDICT_UNKNOWN);
    void *none = NULL;
    int32_t opts[3];
    rl_section_defaults(row->options, arena, opts);
    assert_int_equal(row->open(&none, opts, NULL, &err), RL_BAD_RECIPE);
    assert_null(none);
    assert_null(rl_verifier_find("no_such_verifier"));
}

// With the key `code`, an answer without a fence is the program; what is asked for fits the rule.
static void takes_answers_without_a_fence(void **state) {
    static const char *const tests[] = {"assert f() == 1"};
    static const char said[] = "{\"code\": \"block_or_all\"}";
    static const struct {
        const char *name, *answer;
        rl_verdict_kind kind;
        const char *feedback; // a part of it, or NULL
    } table[] = {
        {"bare", "def f(): return 1\n", RL_VERDICT_PASS, NULL},
        {"block", "So:\n```python\ndef f(): return 1\n```\n", RL_VERDICT_PASS, NULL},
        {"talk", "I do not know", RL_VERDICT_FAIL, "The program does not run: "},
        {"empty", "", RL_VERDICT_UNREADABLE, "Answer with the whole program."},
    };
    rl_problem problem = {.id = "p", .tests = tests, .n_tests = 1};
    int32_t chosen[3];
    rl_errors errors = {0};
    rl_json_doc *doc;
    rl_verdict verdict;
    rl_err err;
    void *self;
    (void)state;
    assert_ok(rl_json_parse(said, sizeof said - 1, "test", &doc, &err));
    rl_section_read(row->options, rl_json_root(doc), NULL, arena, chosen, &errors);
    assert_int_equal(errors.count, 0);
    rl_json_free(doc);
    assert_ok(row->open(&self, chosen, jail, &err));
    for (size_t i = 0; i < RL_COUNT(table); i++) {
        const char *answer = table[i].answer;
        assert_ok(row->verify(self, &problem, answer, strlen(answer), arena, &verdict, &err));
        assert_kind(table[i].name, &verdict, table[i].kind);
        assert_true(table[i].feedback == NULL ||
                    strstr(verdict.feedback, table[i].feedback) != NULL);
    }
    row->close(self);
    assert_ok(row->verify(judge, &problem, "def f(): return 1", 17, arena, &verdict, &err));
    assert_kind("bare, by the default", &verdict, RL_VERDICT_UNREADABLE);
    assert_non_null(strstr(verdict.feedback, "```python block"));
}

static const char *text_at(const rl_json *object, const char *key) {
    return rl_json_text(rl_json_get(object, key), NULL);
}

/* The data set's own solution must pass. */
static void check_reference(const char *file, int64_t line, const rl_json *object) {
    rl_problem *problem = rl_arena_alloc(arena, 1, sizeof *problem);
    const rl_json *list = rl_json_get(object, "test_list"),
                  *imports = rl_json_get(object, "test_imports");
    rl_str setup = {0}, program = {0};
    for (const rl_json *i = rl_json_first(imports); i != NULL; i = rl_json_next(i)) {
        rl_str_appendf(&setup, "%s\n", rl_json_text(i, ""));
    }
    rl_str_append(&setup, rl_json_text(rl_json_get(object, "test_setup_code"), ""));
    *problem = (rl_problem){.id = "reference", .setup = rl_str_text(&setup)};
    if (list != NULL) {
        const char **tests = rl_arena_alloc(arena, rl_json_count(list), sizeof *tests);
        for (const rl_json *t = rl_json_first(list); t != NULL; t = rl_json_next(t)) {
            tests[problem->n_tests++] = rl_json_text(t, "");
        }
        problem->tests = tests;
        rl_str_append(&program, text_at(object, "code"));
    } else {
        problem->check = text_at(object, "test");
        problem->entry_point = text_at(object, "entry_point");
        problem->stub = text_at(object, "prompt");
        rl_str_append(&program, text_at(object, "canonical_solution"));
    }
    rl_verdict verdict = verify_with(judge, problem, rl_str_text(&program));
    if (verdict.kind != RL_VERDICT_PASS) {
        fail_msg("%s line %lld: %s", file, (long long)line, verdict.feedback);
    }
    rl_str_release(&setup);
    rl_str_release(&program);
}

/* Every `step`th line of a file; RL_TEST_ALL=1 takes them all. */
static void check_references(const char *name, int64_t step) {
    const char *path = rl_shared(name);
    char *text;
    size_t len;
    rl_err err;
    int64_t line = 0;
    if (path == NULL) {
        rl_test_lacks_shared(name);
        return;
    }
    step = getenv("RL_TEST_ALL") != NULL ? 1 : step;
    assert_ok(rl_fs_read(path, arena, &text, &len, &err));
    for (char *at = text, *end; at < text + len; at = end + 1, line++) {
        end = memchr(at, '\n', (size_t)(text + len - at));
        end = end != NULL ? end : text + len;
        if (line % step == 0 && end > at) {
            rl_json_doc *doc;
            assert_ok(rl_json_parse_line(at, (size_t)(end - at), name, line + 1, &doc, &err));
            check_reference(name, line + 1, rl_json_root(doc));
            rl_json_free(doc);
        }
    }
}

static void passes_reference_solutions(void **state) {
    (void)state;
    check_references("data/mbpp/sanitized_train.jsonl", 10);
    check_references("data/mbpp/sanitized_validation.jsonl", 15);
    check_references("data/mbpp/train.jsonl", 37);
    check_references("data/mbpp/validation.jsonl", 15);
    check_references("data/humaneval/first40.jsonl", 3);
    rl_test_skip_lacking();
}

static int set_up(void **state) {
    rl_sandbox_opts opts = {.mode = RL_SANDBOX_JAIL,
                            .workers = 2,
                            .cpu_ms = 1000,
                            .wall_ms = 2000,
                            .mem_mb = 256,
                            .out_kb = 64,
                            .processes = 32,
                            .python = ""};
    rl_err err;
    int32_t chosen[3]; // the verifier's options are its own; defaults fill them
    (void)state;
    arena = rl_arena_new(0);
    row = rl_verifier_find("code_tests");
    if (row == NULL || row->options->size != sizeof chosen) {
        return -1;
    }
    rl_section_defaults(row->options, arena, chosen);
    if (rl_sandbox_open(&opts, &jail, &err) != RL_OK ||
        row->open(&judge, chosen, jail, &err) != RL_OK) {
        print_error("%s\n", err.text);
        return -1;
    }
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    if (row != NULL) {
        row->close(judge);
    }
    rl_sandbox_close(jail);
    rl_arena_free(arena);
    return 0;
}

int main(void) {
    static const struct CMUnitTest tests[] = {
        cmocka_unit_test(passes_honest_programs),
        cmocka_unit_test(fails_cheats),
        cmocka_unit_test(fails_cheats_on_tests),
        cmocka_unit_test(fails_cheats_on_check),
        cmocka_unit_test(hides_the_judge),
        cmocka_unit_test(does_not_lend_the_tests_tools),
        cmocka_unit_test(tells_what_failed),
        cmocka_unit_test(reads_past_nul_bytes),
        cmocka_unit_test(counts_assertions_of_check),
        cmocka_unit_test(stops_programs_that_hang),
        cmocka_unit_test(takes_answers_without_a_fence),
        cmocka_unit_test(keeps_verdicts),
        cmocka_unit_test(repeats_itself),
        cmocka_unit_test(never_blames_the_program_for_the_sandbox),
        cmocka_unit_test(tells_the_unreadable_and_the_unknown),
        cmocka_unit_test(passes_reference_solutions),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
