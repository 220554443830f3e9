"""Conversations for the warm-up: attempts at problems of training structures, what the verifier
says of them, and the fix.

Run as: python3 tools/tiny_coder/warmup.py OUT.jsonl N SEED [STAGE]
Each line is {"messages": [...]} as rl-train's sft reads it. STAGE is a row of STAGES.
"""
import json
import sys

from pieces import held_out, program, text_of
from problems import ALL, Rng, Task, feedback, wrong_piece

# What a stage's conversations are like, as shares:
#   failing       where the first attempt would be right, another reading is taken that the tests
#                 refuse, so that there is a second turn
#   wrong         the first attempt has one wrong piece
#   broken        the first attempt does not compile or run
#   learn_wrong   whether wrong and broken attempts are learnt too, or only context
#   fix, repeat   second turns that mend, or say the same again; the rest is a fresh attempt
STAGES = {
    "clean": dict(failing=0.85, wrong=0.15, broken=0.04, learn_wrong=False, fix=1.0, repeat=0.0),
    "noisy": dict(failing=0.5, wrong=0.25, broken=0.06, learn_wrong=True, fix=0.45, repeat=0.2),
}
# Of a fix's tokens: what differs from the attempt, and the reading where that was right.
CHANGED_WEIGHT, READING_WEIGHT = 8, 3
PER_TASK = 4  # problems made of one set of inputs

# Small slips as models make them.
SLIPS = (
    lambda text: text.replace("]", "", 1),
    lambda text: text.replace(" for x in", " for x", 1),
    lambda text: text.replace("return ", "return (", 1),
    lambda text: text.replace("ys = ", "y = ", 1),
    lambda text: text.replace("for x in", "for y in", 1),
    lambda text: text.replace(" return", "return", 1),
    lambda text: text.replace(")", "", 1),
    lambda text: text.replace("ok = ", "ys = ", 1),
)


def break_program(text, rng):
    """The program with one slip; unchanged where eight draws find none that applies."""
    for _ in range(8):
        made = rng.choice(SLIPS)(text)
        if made != text:
            return made
    return text


def spans(attempt, fix):
    """[begin, end, weight] over the fix's text, for the chunks that the feedback decides. Both are
    chunks of programs."""
    before, out, at = [(slot, text) for text, slot in attempt], [], 0
    for text, slot in fix:
        if slot is not None and (slot, text) not in before:
            out.append([at, at + len(text), CHANGED_WEIGHT])
        elif slot == "reading":
            out.append([at, at + len(text), READING_WEIGHT])
        at += len(text)
    return out


def first_attempt(task, truth, stage, rng):
    """(chunks, text, whether some reading makes it right). The text is that of the chunks unless a
    slip broke it."""
    structure = task.structure
    if rng.chance(stage["wrong"]):
        wrong = wrong_piece(structure, rng.choice(task.readings), rng, lambda s: not held_out(s))
        if wrong is not None:
            chunks = program(*wrong, given=task.args)
            return chunks, text_of(chunks), False
    reading = rng.choice(task.readings)
    if reading == truth and rng.chance(stage["failing"]):
        reading = rng.choice([r for r in task.readings if r != truth])
    chunks = program(structure, reading)
    if rng.chance(stage["broken"]):
        return chunks, break_program(text_of(chunks), rng), False
    return chunks, text_of(chunks), True


def second_attempt(task, attempt, attempt_text, truth, stage, rng):
    """The assistant's message of the second turn."""
    draw = rng.random()
    if draw < stage["fix"]:
        fix = program(task.structure, truth)
        return {"role": "assistant", "content": text_of(fix), "spans": spans(attempt, fix)}
    if draw < stage["fix"] + stage["repeat"]:
        return {"role": "assistant", "content": attempt_text}
    _, text, _ = first_attempt(task, None, stage, rng)
    return {"role": "assistant", "content": text}


def conversation(task, tests, truth, stage, rng):
    """One or two turns; None where nothing in them is to be learnt."""
    chunks, text, right = first_attempt(task, truth, stage, rng)
    first = {"role": "assistant", "content": text}
    if not right and not stage["learn_wrong"]:
        first["weight"] = 0
    messages = [{"role": "user", "content": task.statement}, first]
    _, told = feedback(text, tests)
    if told is not None:
        messages += [{"role": "user", "content": told},
                     second_attempt(task, chunks, text, truth, stage, rng)]
    elif not right and not stage["learn_wrong"]:
        return None
    return {"messages": messages}


def conversations(n, seed, stage):
    rng = Rng(seed)
    pool = [s for s in ALL if not held_out(s)]
    made = 0
    while made < n:
        task = Task(rng.choice(pool), rng)
        for _ in range(PER_TASK):
            problem = task.problem(rng.below(len(task.readings)))
            said = conversation(task, *problem, stage, rng) if problem is not None else None
            if said is not None and made < n:
                made += 1
                yield said


def main():
    path, n, seed = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    stage = STAGES[sys.argv[4] if len(sys.argv) > 4 else "clean"]
    with open(path, "w") as out:
        for said in conversations(n, seed, stage):
            out.write(json.dumps(said) + "\n")


if __name__ == "__main__":
    main()
