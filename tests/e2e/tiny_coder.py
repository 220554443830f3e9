"""Checks of tests/e2e/test_tiny_coder.sh on the bundled model and the generator of its texts.

split FILE...           held-out programs occur in no text of training: conversations of the warm-up
folder MODEL            a Hugging Face folder in bf16 of at most 4 MB
card MODEL              the model card is complete
feedback                the generator says of programs what the verifier says
"""
import json
import os
import re
import struct
import subprocess
import sys
import tempfile

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root, "tools", "tiny_coder"))

from pieces import held_out, program, readings, text_of  # noqa: E402
from problems import ALL, NEIGHBOURS, feedback, test_line  # noqa: E402
from warmup import SLIPS  # noqa: E402


def body(source):
    """A program without the line of its arguments."""
    return source.split("\n", 1)[-1]


def programs(structures):
    return {text_of(program(s, r)) for s in structures for r in readings(s)}


def split(*files):
    train = [s for s in ALL if not held_out(s)]
    held = {body(p) for p in programs(s for s in ALL if held_out(s))}
    assert len(train) > 500 and len(held) > 500 and len(ALL) > len(train) + 100
    # All that an attempt can be: a training structure, one of its neighbours that is one, a slip.
    right = programs(train)
    assert any(held_out(n) for s in train for n in NEIGHBOURS[s]), "no neighbour to keep away"
    slipped = {slip(p) for p in right for slip in SLIPS}
    leaked = held & {body(p) for p in right | slipped}
    assert not leaked, f"bodies on both sides: {sorted(leaked)[:3]}"
    n = n_programs = 0
    for path in files:
        with open(path) as lines:
            for line in lines:
                record = json.loads(line)
                said = [m["content"] for m in record.get("messages", []) if m["role"] == "assistant"]
                for text in said + ([record["code"]] if "code" in record else []):
                    assert body(text) not in held, f"{path}: {text!r} is held out"
                    n_programs += 1
                n += 1
    assert n_programs >= n > 2000, f"{n_programs} programs in {n} lines"
    print(f"{len(held)} held-out bodies in none of {n_programs} programs")


def folder(model):
    names = os.listdir(model)
    for name in ("config.json", "generation_config.json", "tokenizer.json", "tokenizer_config.json",
                 "model.safetensors", "README.md"):
        assert name in names, f"no {name}"
    size = sum(os.path.getsize(os.path.join(model, name)) for name in names)
    assert size <= 4_000_000, f"{size} bytes"
    with open(os.path.join(model, "config.json")) as text:
        config = json.load(text)
    with open(os.path.join(model, "model.safetensors"), "rb") as weights:
        tensors = json.loads(weights.read(struct.unpack("<Q", weights.read(8))[0]))
    tensors.pop("__metadata__", None)
    assert {t["dtype"] for t in tensors.values()} == {"BF16"} and config["torch_dtype"] == "bfloat16"
    assert tensors["model.embed_tokens.weight"]["shape"] == [config["vocab_size"],
                                                             config["hidden_size"]]
    print(f"{size} bytes, {len(tensors)} tensors")


def card(model):
    with open(os.path.join(model, "README.md")) as text:
        lines = text.read().split("\n")
    assert lines[0] == "---" and "---" in lines[1:], "no front matter"
    front = lines[1:lines.index("---", 1)]
    for key in ("license", "language", "pipeline_tag", "tags"):
        assert any(line.startswith(key + ":") for line in front), f"the front matter has no {key}"
    cells = [c.strip() for line in lines if line.startswith("|") for c in line.split("|")[1:-1]]
    empty = [line for line in lines
             if line.startswith("|") and any(not c.strip() for c in line.split("|")[1:-1])]
    assert len(cells) > 20 and not empty, "cells to fill in:\n" + "\n".join(empty)


def verifier(source, tests):
    """What the harness of code_tests reports, worded as rewards/code_tests.c words it."""
    parts = (os.path.join(root, "sandbox", "harness", f"harness_{part}.py")
             for part in ("values", "program", "judge"))
    harness = "".join(open(part).read() for part in parts)
    nonce = "0123456789abcdef"
    fields = [nonce, "1000", "", source, "", "", ""] + [test_line(*t) for t in tests]
    given = "".join(f"{len(f)}\n{f}" for f in fields).encode()
    with tempfile.TemporaryFile() as reports:
        subprocess.run([sys.executable, "-s", "-S", "-B", "-c", harness], input=given, check=True,
                       preexec_fn=lambda: os.dup2(reports.fileno(), 3), pass_fds=(3,))
        reports.seek(0)
        rest = reports.read().decode()
    passed, told = 0, ""
    while rest:
        head, rest = rest.split("\n", 1)
        said, kind, _, *lengths = head.split(" ")
        assert said == nonce, head
        texts = []
        for n in map(int, lengths):
            texts.append(rest[:n])
            rest = rest[n:]
        if kind == "pass":
            passed += 1
        elif kind == "load":
            told = f"The program does not run: {texts[2]}\n"
        elif kind == "fail":
            told += f"Failed: {texts[0]}\n"
            told += f"Error: {texts[2]}\n" if texts[2] else f"Got: {texts[1]}\n"
    return passed, f"{passed}/{len(tests)} tests passed.\n{told}" if told else None


def check_feedback():
    tests = [([[1, 2]], 3), ([[]], 0), ([[5]], 5)]
    sources = ["def f(xs):\n    return sum(xs)", "def g(xs):\n    return sum(xs)", "f = 3", "", "x",
               "def f(xs):\n    return xs[0]", "def f(xs):\n    return 3.0", "def f():\n    return 0",
               "def f(xs):\n    xs.append(1)\n    return len(xs)", "def f(xs):\n\treturn f",
               "def f(xs):\n    return map(str, xs)", "def f(xs):\n    return None.x",
               "raise ValueError", "def f(xs):\n    raise KeyError('a b')", "def f(xs): return 1 +",
               "def f(xs):\nreturn 1", "def f(xs):\n    return (xs", "def f(xs):\n    return '\\n' * 3"]
    good = text_of(program(ALL[3], readings(ALL[3])[0]))
    sources += [slip(good) for slip in SLIPS]
    for source in sources:
        expected = verifier(source, tests)
        said = feedback(source, tests, n_told=len(tests), limit=1000)
        expected, said = ((n, text and re.sub("0x[0-9a-f]+", "0x", text)) for n, text in (expected, said))
        assert said == expected, f"of {source!r}\nthe verifier says  {expected!r}\nthe generator says {said!r}"
    # The recipes' settings: two failures told, long texts cut.
    told = feedback("def f(xs):\n    return 'a' * 90", tests)[1]
    assert told.endswith(f"Got: '{'a' * 79}...\nFailed as well: 1 more.\n"), told
    told = feedback("def f(xs):\n    return 'é' * 90", tests)[1]
    assert f"Got: '{'é' * 39}...\n" in told, "not cut between characters, by bytes: " + told
    print(f"{len(sources)} feedbacks agree with the verifier's")


if __name__ == "__main__":
    {"split": split, "folder": folder, "card": card,
     "feedback": check_feedback}[sys.argv[1]](*sys.argv[2:])
