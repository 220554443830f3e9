"""Problems with hidden tests, made from the pieces, and what the verifier says of a program.

Run as: python3 tools/tiny_coder/problems.py FOLDER
Writes FOLDER/train.jsonl and FOLDER/heldout.jsonl: the same files every time (standard library
only).
"""
import json
import os
import random
import sys

from pieces import (arguments, filter_of, held_out, program, readings, statement, structures,
                    text_of)

HABIT = 0.5  # how often a convention follows the house's habit, its first option
N_TESTS, N_CANDIDATES = 6, 40  # of a problem, and the inputs that they are picked from
MAX_ARGS, MAX_VALUE = 34, 28  # characters: longer inputs and results are not taken
WORDS = ("sun sea tree red apple bird cat dog egg ear fish gold hat ice jam king lion map nut oak "
         "pea queen rain salt tea up van win yes zoo area toast level noon ant bee").split()


class Rng:
    """Draws that depend on nothing but the seed: random() is the one generator call that Python
    keeps the same between versions."""

    def __init__(self, seed):
        self.random = random.Random(seed).random

    def below(self, n):
        return int(self.random() * n)

    def choice(self, items):
        return items[int(self.random() * len(items))]

    def chance(self, p):
        return self.random() < p


FUNCTIONS = {}  # what load() found, by source


def no_function(*args):
    raise NameError("name 'f' is not defined")


def load(source):
    """The function that a program defines, or the error that loading it raises."""
    if source not in FUNCTIONS:
        if len(FUNCTIONS) > 50000:
            FUNCTIONS.clear()
        space = {}
        try:
            exec(compile(source, "<solution>", "exec"), space)
            FUNCTIONS[source] = space.get("f", no_function)
        except Exception as e:
            FUNCTIONS[source] = e
    return FUNCTIONS[source]


def run(source, args):
    """(value, None) or (None, exception)."""
    try:
        return load(source)(*[list(a) if isinstance(a, list) else a for a in args]), None
    except Exception as e:
        return None, e


def draw_range(filt, more, rng):
    a = rng.below(9)
    args = [a, a + rng.below(7)]
    return args + [2 + rng.below(3)] if more else args


def draw_words(filt, more, rng):
    words = [rng.choice(WORDS) for _ in range(1 + rng.below(1 + rng.below(5)))]
    word = rng.choice(words) if rng.chance(0.6) else rng.choice(WORDS)
    extra = {"k": len(word), "c": rng.choice(word)}
    if filt == "starts":
        extra["c"] = word[0]
    if filt == "ends":
        extra["c"] = word[-1]
    return [" ".join(words)] + ([extra[more]] if more else [])


def draw_numbers(filt, more, rng):
    low = -9 if filt in ("negative", "positive") or rng.chance(0.25) else 0
    xs = [low + rng.below(13 - low) for _ in range(1 + rng.below(1 + rng.below(5)))]
    k = rng.choice(xs) if rng.chance(0.6) else rng.below(13)
    if filt in ("start", "end", "from"):
        return [xs, 1 + rng.below(3)]
    if filt == "multiple":
        return [xs, 2 + rng.below(4)]
    if filt in ("between", "inside"):
        other = rng.choice(xs) if rng.chance(0.6) else rng.below(13)
        return [xs, min(k, other), max(k, other)]
    return [xs, k] if more else [xs]


DRAWS = {"numbers": draw_numbers, "words": draw_words, "ranges": draw_range}


def draw_args(structure, rng):
    """Arguments of f; often on the edge of the filter, where wrong programs show."""
    return DRAWS[structure[0]](structure[1], filter_of(structure).arguments, rng)


def shown_args(args):
    return ", ".join(repr(a) for a in args)


ALL = structures()
NEIGHBOURS = {s: [o for o in ALL if o[0] == s[0] and sum(a != b for a, b in zip(s, o)) == 1]
              for s in ALL}  # one piece away


def wrong_piece(structure, reading, rng, usable):
    """(structure, reading) with one piece exchanged for another that needs no further arguments,
    among the structures that `usable` accepts; None when there is none."""
    have = set(arguments(structure).split(", "))
    near = [s for s in NEIGHBOURS[structure] if usable(s)]
    near = [s for s in near if set(arguments(s).split(", ")) <= have]
    if not near:
        return None
    other = rng.choice(near)
    return other, reading if reading in readings(other) else rng.choice(readings(other))


def pick_tests(candidates, truth, rivals):
    """The N_TESTS candidates under which every rival fails twice, if that can be. Those that tell
    most come first, and of those the shortest, as a person would choose them; once every rival is
    caught, the longest follow."""
    fails = [[r[i] != truth[i] for r in rivals] for i in range(len(candidates))]
    length = [len(shown_args(args)) for args in candidates]
    picked, failed = [], [0] * len(rivals)
    while len(picked) < N_TESTS:
        tells = {i: sum((2, 1)[failed[j]] for j, f in enumerate(fails[i]) if f and failed[j] < 2)
                 for i in range(len(candidates)) if i not in picked}
        caught = max(tells.values()) == 0
        at = max(tells, key=lambda i: (length[i] if caught else tells[i] - 0.1 * length[i], -i))
        picked.append(at)
        failed = [n + f for n, f in zip(failed, fails[at])]
    return picked, failed


def outcome(source, args):
    """Of a call: comparable, so that True is not 1 and errors are told apart by their class."""
    value, error = run(source, args)
    return ("raised", type(error).__name__) if error is not None else (type(value).__name__, value)


class Task:
    """A structure with its statement worded and inputs drawn. Problems with any reading can be made
    of it: `values` holds, for each reading, the outcomes of its program on all candidates."""

    def __init__(self, structure, rng):
        self.structure, self.args = structure, arguments(structure)
        self.statement = statement(structure, rng)
        self.readings = readings(structure)
        self.sources = [text_of(program(structure, r)) for r in self.readings]
        self.candidates, self.values = [], [[] for _ in self.readings]
        for _ in range(40 * N_CANDIDATES):
            args = draw_args(structure, rng)
            if len(self.candidates) == N_CANDIDATES:
                break
            if len(shown_args(args)) > MAX_ARGS or args in self.candidates:
                continue
            values = [outcome(source, args) for source in self.sources]
            if values[0][0] == "raised" or max(len(repr(v[1])) for v in values) > MAX_VALUE:
                continue
            self.candidates.append(args)
            for kept, value in zip(self.values, values):
                kept.append(value)
        wrong = [wrong_piece(structure, rng.choice(self.readings), rng, lambda s: True)
                 for _ in range(8)]
        self.wrong = [[outcome(text_of(program(s, r, self.args)), a) for a in self.candidates]
                      for s, r in (w for w in wrong if w is not None)]

    def problem(self, at):
        """(tests, reading) for reading number `at`; None where the inputs cannot tell it from
        another. A test is (args, expected)."""
        if len(self.candidates) < N_TESTS:
            return None
        truth = self.values[at]
        others = [v for i, v in enumerate(self.values) if i != at]
        picked, failed = pick_tests(self.candidates, truth, others + self.wrong)
        if min(failed[:len(others)], default=2) == 0:
            return None
        return [(self.candidates[i], truth[i][1]) for i in picked], self.readings[at]


def test_line(args, expected):
    return f"assert f({shown_args(args)}) == {expected!r}"


def error_text(error, source):
    """As the verifier code_tests words it."""
    lines = source.split("\n")
    where, at = "", error.__traceback__
    while at is not None:
        if at.tb_frame.f_code.co_filename == "<solution>" and at.tb_lineno <= len(lines):
            where = f"line {at.tb_lineno}: {lines[at.tb_lineno - 1].strip()}"
        at = at.tb_next
    text = str(error)
    if isinstance(error, SyntaxError):
        text = error.msg
        if error.filename == "<solution>" and error.lineno:
            where = f"line {error.lineno}: {(error.text or '').strip()}"
    text = f"{type(error).__name__}: {text}" if text else type(error).__name__
    return f"{text} ({where})" if where else text


def cut(text, limit):
    """At most `limit` bytes, in whole characters."""
    data = text.encode()
    return text if len(data) <= limit else data[:limit].decode(errors="ignore") + "..."


def feedback(source, tests, n_told=2, limit=80):
    """(tests passed, the message that a second turn is shown); the message is None when all pass.
    The form is that of rewards/code_tests.c under the recipes' settings."""
    function = load(source)
    if isinstance(function, Exception):
        return 0, (f"0/{len(tests)} tests passed.\nThe program does not run: "
                   f"{cut(error_text(function, source), limit)}\n")
    passed, told = 0, []
    for args, expected in tests:
        value, error = run(source, args)
        if error is None and value == expected:
            passed += 1
        elif error is not None:
            told.append((args, expected, "Error: " + cut(error_text(error, source), limit)))
        else:
            told.append((args, expected, "Got: " + cut(repr(value), limit)))
    if not told:
        return passed, None
    text = f"{passed}/{len(tests)} tests passed.\n"
    for args, expected, got in told[:n_told]:
        text += f"Failed: {cut(test_line(args, expected), limit)}\n{got}\n"
    if len(told) > n_told:
        text += f"Failed as well: {len(told) - n_told} more.\n"
    return passed, text


def habit_reading(task, rng):
    """Number of a reading: 0, the house's habit, with probability HABIT."""
    return 0 if rng.chance(HABIT) else 1 + rng.below(len(task.readings) - 1)


def record(name, task, tests, reading):
    return {"task_id": name,
            "prompt": [{"role": "user", "content": task.statement}],
            "test_list": [test_line(args, expected) for args, expected in tests],
            "structure": "/".join(task.structure),
            "reading": reading,
            "code": text_of(program(task.structure, reading))}


def make(prefix, pool, n, seed):
    """n problems whose structures go round the pool, each round in an order of its own."""
    rng = Rng(seed)
    out, queue = [], []
    while len(out) < n:
        if not queue:
            queue = sorted(pool, key=lambda s: rng.random())
        task = Task(queue.pop(), rng)
        made = task.problem(habit_reading(task, rng))
        if made is not None:
            out.append(record(f"{prefix}-{len(out)}", task, *made))
    return out


def check_split(train, heldout):
    """No body of a held-out structure, under any reading, is one of a training structure."""
    def bodies(pool):
        return {text_of(program(s, r)).split("\n", 1)[1] for s in pool for r in readings(s)}
    both = bodies(train) & bodies(heldout)
    if both:
        raise SystemExit(f"bodies on both sides of the split: {sorted(both)[:3]}")


def main():
    folder = sys.argv[1]
    train = [s for s in ALL if not held_out(s)]
    heldout = [s for s in ALL if held_out(s)]
    check_split(train, heldout)
    os.makedirs(folder, exist_ok=True)
    for name, pool, n, seed in (("train", train, 1600, 1), ("heldout", heldout, 300, 2)):
        with open(os.path.join(folder, name + ".jsonl"), "w") as out:
            for line in make(name, pool, n, seed):
                out.write(json.dumps(line) + "\n")
    print(f"{len(train)} structures for training, {len(heldout)} held out")


if __name__ == "__main__":
    main()
