"""Checks of tests/e2e/test_default.sh on what runs leave.

same RUN RUN        the rows of metrics.jsonl agree in all but times
turns RUN           completions.jsonl tells each attempt's story, and later turns go on from it
verifier RUN FILE...    every feedback is what the generator of the bundled problems says it would be
                        for the same program, the problems being those of the files
tokens RUN MODEL    Hugging Face tokenizers gives the same ids, where Python has it
"""
import ast
import builtins
import json
import math
import os
import re
import signal
import sys

root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(root, "tools", "tiny_coder"))

from problems import feedback  # noqa: E402


def rows(*path):
    with open(os.path.join(*path)) as lines:
        return [json.loads(line) for line in lines]


def steady(row):
    return {k: v for k, v in row.items() if not k.startswith(("timing_s/", "perf/"))}


def same(one, other):
    a, b = ([steady(r) for r in rows(run, "metrics.jsonl")] for run in (one, other))
    assert len(a) == len(b), f"{len(a)} rows against {len(b)}"
    for x, y in zip(a, b):
        assert x == y, f"step {x['step']}: {[k for k in x if x.get(k) != y.get(k)]}"
    assert all(len(x) > 8 for x in a), "rows with hardly anything in them"


def close(a, b):
    return math.isclose(a, b, rel_tol=1e-9, abs_tol=1e-9)


def check_attempt(row):
    tests = row["rewards"]["code_tests"]
    assert row["completion"] and row["prompt"].startswith("<|im_start|>user\n"), row
    assert close(row["reward"], tests), row
    assert math.isfinite(row["credit"]) and math.isfinite(row["advantage"]), row
    if row["verdict"] == "pass":
        assert row["feedback"] is None and tests == 1, row
    else:
        assert "tests passed.\n" in row["feedback"] and tests < 1, row


def check_group(group):
    """Advantages stand around 0, in the order of credits."""
    assert abs(sum(r["advantage"] for r in group)) < 1e-3, group
    ordered = sorted(group, key=lambda r: r["credit"])
    assert all(a["advantage"] <= b["advantage"] for a, b in zip(ordered, ordered[1:])), ordered


def credit_of(parent, children, algo):
    """What the last of two turns makes the first worth."""
    if algo["credit"] == "max":
        return max(parent["reward"], *(c["credit"] for c in children))
    mean = sum(c["reward"] for c in children) / len(children)
    return (parent["reward"] + algo["gamma"] * mean) / 2


def check_retries(parent, children, algo):
    """A later turn sees the attempt and what was said of it, and pays it back."""
    for child in children:
        told = (parent["prompt"] + parent["completion"] + "<|im_end|>\n<|im_start|>user\n"
                + parent["feedback"] + "<|im_end|>\n<|im_start|>assistant\n")
        assert child["prompt"] == told, f"{child['prompt']!r} is not {told!r}"
        assert child["turn"] == parent["turn"] + 1 and child["problem"] == parent["problem"], child
        assert close(child["credit"], child["reward"]), child
    assert close(parent["credit"], credit_of(parent, children, algo)), parent


def turns(run):
    repaired = n_retried = 0
    all_rows = rows(run, "completions.jsonl")
    with open(os.path.join(run, "recipe.effective.json")) as text:
        algo = json.load(text)["algo"]
    for step in {r["step"] for r in all_rows}:
        attempts = [r for r in all_rows if r["step"] == step]
        for row in attempts:
            check_attempt(row)
        for number in {r["group"] for r in attempts}:
            check_group([r for r in attempts if r["group"] == number])
        for parent in attempts:
            children = [r for r in attempts if r["parent"] == parent["sample"]]
            assert bool(children) == (parent["turn"] == 1 and parent["verdict"] != "pass"), parent
            if children:
                n_retried += 1
                repaired += any(c["verdict"] == "pass" for c in children)
                check_retries(parent, children, algo)
    assert n_retried > 0 and repaired > 0, f"{repaired} of {n_retried} failed attempts repaired"
    print(f"{len(all_rows)} attempts, {n_retried} tried again, {repaired} of these repaired")


CALLED = set("abs all any len list map max min range set sorted str sum tuple".split())
ATTRIBUTES = set("endswith join split startswith upper".split())


def harmless(source):
    """Whether a sampled program may run outside the sandbox: it only computes."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return True  # never runs
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id not in CALLED and (
                node.id == "f" or hasattr(builtins, node.id) or node.id.startswith("__")):
            return False
        if isinstance(node, ast.Attribute) and node.attr not in ATTRIBUTES:
            return False
        if isinstance(node, (ast.While, ast.Import, ast.ImportFrom, ast.Pow, ast.LShift)):
            return False
    return True


def test_of(line):
    """(arguments, expected value) of `assert f(...) == ...`."""
    compared = ast.parse(line).body[0].test
    return ([ast.literal_eval(a) for a in compared.left.args],
            ast.literal_eval(compared.comparators[0]))


def without_addresses(text):
    return text and re.sub(r"0x[0-9a-f]+", "0x", text)


def verifier(run, *files):
    tests = {r["task_id"]: [test_of(t) for t in r["test_list"]] for f in files for r in rows(f)}
    names = [n for n in os.listdir(run) if n == "completions.jsonl" or
             n.startswith("eval_completions-")]
    attempts = [r for n in names for r in rows(run, n)]
    compared = differ = 0
    signal.alarm(300)
    for r in attempts:
        if harmless(r["completion"]):
            _, told = feedback(r["completion"], tests[r["problem"]])
            compared += 1
            if without_addresses(told) != without_addresses(r["feedback"]):
                differ += 1
                print(f"of {r['completion']!r}\nthe verifier says  {r['feedback']!r}\n"
                      f"the generator says {told!r}")
    print(f"{compared} of {len(attempts)} feedbacks compared, {differ} differ")
    assert differ == 0 and compared > 0.95 * len(attempts) > 0


def tokens(run, model):
    try:
        from tokenizers import Tokenizer
    except ImportError:
        print("skipped the comparison of token ids: Python has no module 'tokenizers'")
        return
    tokenizer = Tokenizer.from_file(os.path.join(model, "tokenizer.json"))
    n = 0
    for r in rows(run, "completions.jsonl"):
        # A later prompt goes on from ids that were sampled, which may be cut otherwise.
        if r["turn"] == 1:
            assert tokenizer.encode(r["prompt"]).ids == r["prompt_ids"], r["prompt"]
        text = tokenizer.decode(r["completion_ids"], skip_special_tokens=True)
        assert text == r["completion"], f"{text!r} is not {r['completion']!r}"
        n += tokenizer.encode(text).ids == r["completion_ids"][:-1]
    assert n > 0, "no completion is cut as its text is"
    print(f"{n} completions are cut as their texts are")


if __name__ == "__main__":
    {"same": same, "turns": turns, "verifier": verifier, "tokens": tokens}[sys.argv[1]](*sys.argv[2:])
