"""The arithmetic of tools/results.sh, which says how it is called.

steps MURPHY_RUN GRPO_RECIPE   how many steps of the recipe sample what the run sampled, at least 1
inputs PROGRAM ARGUMENTS...    what a run with these arguments is made from: version, model and data
same RUN PROGRAM ARGUMENTS...  fails where the run is not the one that they would make now
page FOLDER SEEDS              docs/results.md from FOLDER/murphy-1, FOLDER/grpo-1, ...
"""
import hashlib
import json
import math
import os
import platform
import subprocess
import sys

# Two-sided 95 % points of Student's t with 1, 2, ... degrees of freedom.
T95 = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262)
SET = "eval/heldout/"
NAMES = ("murphy", "murphy-max", "grpo")
RATES = ("iter1", "iter2", "iter2_fresh", "iter2_wrong_feedback")
SECOND = ("fix", "repeat")  # of failures repaired; of second attempts that say the first again


N_SAMPLES = 4  # a held-out problem, as the page says


def effective(program, arguments):
    """The recipe with all its keys, without those that change no result."""
    told = subprocess.run([program, *arguments, "--overwrite", "--dry-run"], stdout=subprocess.PIPE, text=True)
    if told.returncode != 0:
        raise SystemExit(f"results: {' '.join(arguments)} is refused, as said above")
    recipe = json.JSONDecoder().raw_decode(told.stdout)[0]
    recipe.pop("why", None)
    del recipe["run"]["dir"], recipe["compute"]["threads"]
    return recipe


def made_from(program, recipe):
    """A line for the version and one for each file that a run reads, with the sum of what it holds."""
    model, data = recipe["model"]["path"], recipe["data"]
    files = [os.path.join(model, f) for f in sorted(os.listdir(model)) if f.endswith((".json", ".safetensors"))]
    lines = [subprocess.run([program, "--version"], stdout=subprocess.PIPE, text=True, check=True).stdout.strip()]
    for path in files + [data["train"], data["eval"]]:
        with open(path, "rb") as content:
            lines.append(f"{hashlib.sha256(content.read()).hexdigest()}  {os.path.basename(path)}")
    return "\n".join(lines) + "\n"


def inputs(program, *arguments):
    sys.stdout.write(made_from(program, effective(program, arguments)))


def apart(was, now, path):
    if isinstance(was, dict) and isinstance(now, dict):
        return [line for k in {**was, **now} for line in apart(was.get(k), now.get(k), f"{path}.{k}".lstrip("."))]
    return [] if was == now else [f"{path} was {json.dumps(was)} and is {json.dumps(now)}"]


def same(run, program, *arguments):
    now = effective(program, arguments)
    # Its files may have moved with the repository: what they hold is compared below. Keys that the
    # program got since are what they are by default.
    moved = [f"--set={s}.{k}={now[s][k]}" for s, k in (("model", "path"), ("data", "train"), ("data", "eval"))]
    different = apart(effective(program, [os.path.join(run, "recipe.effective.json"), *moved]), now, "")
    if not different:
        kept = run.rstrip("/") + ".inputs"
        if not os.path.exists(kept):
            different = [f"what it was made from is not known, without '{kept}'"]
        else:
            with open(kept) as text:
                was, is_now = text.read().splitlines(), made_from(program, now).splitlines()
            different = [f"made from '{line}', which is not so now" for line in was if line not in is_now]
            different += [f"made without '{line}'" for line in is_now if line not in was]
    if different:
        raise SystemExit(f"results: '{run}' is not what would be run now: {'; '.join(different)}. "
                         "Move it away or give another folder")


def rows(run):
    with open(os.path.join(run, "metrics.jsonl")) as lines:
        return [json.loads(line) for line in lines]


def steps_of(run):
    return [r for r in rows(run) if "loss" in r]


def samples_of(run):
    return sum(r["turn1/samples"] + r["turn2/samples"] for r in steps_of(run))


def evaluations(run):
    """The pass rates before training and after it."""
    found = [r for r in rows(run) if SET + "iter1" in r]
    last = steps_of(run)[-1]["step"]
    if found[0]["step"] != 0 or found[-1]["step"] != last:
        raise SystemExit(f"'{run}' has no evaluation at step 0, or none at its last step, {last}")
    for r in (found[0], found[-1]):
        if r[SET + "samples"] != N_SAMPLES * r[SET + "problems"]:
            raise SystemExit(f"'{run}' has not {N_SAMPLES} samples of each held-out problem")
    return [{name: r[SET + name] for name in RATES + SECOND} for r in (found[0], found[-1])]


def check_pairs(folder, seeds):
    """What the page says of the runs of a seed: they begin alike, and GRPO samples as much."""
    for seed in seeds:
        murphy, grpo = f"{folder}/murphy-{seed}", f"{folder}/grpo-{seed}"
        for other in (f"{folder}/{name}-{seed}" for name in NAMES[1:]):
            if evaluations(murphy)[0] != evaluations(other)[0]:
                raise SystemExit(f"'{murphy}' and '{other}' do not begin alike: another model, seed or evaluation")
        with open(os.path.join(grpo, "recipe.effective.json")) as text:
            rollout = json.load(text)["rollout"]
        step, missing = rollout["prompts"] * rollout["group_size"], samples_of(murphy) - samples_of(grpo)
        if abs(missing) > step / 2 and not (missing < 0 and len(steps_of(grpo)) == 1):
            raise SystemExit(f"'{grpo}' samples {samples_of(grpo)} completions, '{murphy}' {samples_of(murphy)}")


def mean(values):
    return sum(values) / len(values)


def interval(values):
    """(mean, half width of its 95 % interval) over seeds."""
    n, m = len(values), mean(values)
    spread = math.sqrt(sum((v - m) ** 2 for v in values) / (n - 1))
    return m, T95[n - 2] * spread / math.sqrt(n)


def shown(values):
    m, half = interval(values)
    return f"{m:+.3f} ± {half:.3f}"


def steps(run, recipe):
    with open(recipe) as text:
        rollout = json.load(text)["rollout"]
    return max(1, round(samples_of(run) / (rollout["prompts"] * rollout["group_size"])))


def table(head, lines):
    return ["| " + " | ".join(head) + " |", "| --- |" + " ---: |" * (len(head) - 1)] + \
           ["| " + " | ".join(str(cell) for cell in line) + " |" for line in lines] + [""]


def per_seed(name, folder, seeds):
    lines = []
    for seed in seeds:
        run = f"{folder}/{name}-{seed}"
        before, after = evaluations(run)
        lines.append([seed] + [f"{before[r]:.3f} → {after[r]:.3f}" for r in RATES]
                     + [len(steps_of(run)), samples_of(run)])
    head = ["seed", "iter-1", "iter-2", "iter-2, fresh try", "iter-2, wrong feedback", "steps",
            "completions"]
    return table(head, lines)


def processor():
    with open("/proc/cpuinfo") as lines:
        names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return f"{len(names)} x {names[0]}" if names else platform.machine()


def page(folder, n_seeds):
    seeds = range(1, n_seeds + 1)
    check_pairs(folder, seeds)
    runs = {name: [evaluations(f"{folder}/{name}-{s}") for s in seeds] for name in NAMES}

    def values(name, rate, which):
        return [run[which][rate] for run in runs[name]]

    def minus(a, b):
        return [x - y for x, y in zip(a, b)]

    after = {name: {rate: values(name, rate, 1) for rate in RATES + SECOND} for name in runs}
    b = {rate: values("murphy", rate, 0) for rate in RATES + SECOND}
    out = ["# Results: what the bundled model learns", "",
           "Written by `tools/results.sh`; every figure comes from the run folders that it makes.", "",
           f"`recipes/murphy.json` and `recipes/grpo.json`, seeds 1 to {n_seeds}, on {processor()}. The same seed gives",
           "the same figures. GRPO gets as many steps as sample what Murphy sampled on the same seed. Rates",
           "are fractions over the held-out problems, four samples a problem at the training temperature: iter-1 is solved at",
           "the first attempt, iter-2 within two. The controls replace the second attempt's feedback: a fresh try sees none,",
           "the other sees what the tests said of another problem's program. ± is half of a 95 % interval (Student's t over",
           "seeds).", "",
           "How to read them. The bundled model's last supervised stage is noisy on purpose (its model card has the figures",
           "from before it): part of what reinforcement learning wins here is won back, which keeps the demonstration short.",
           "Only a program's second attempt can know what its statement leaves open, and half of the problems have an answer",
           "other than the usual one, so that iter-1 cannot pass 0.5 by much. Plain GRPO trains first attempts alone: nothing",
           "rewards its second ones. Murphy's credit is the mean over later turns (`algo.credit`), not the maximum of the",
           "paper; it was chosen on seed 1 of an earlier model and its held-out problems. Both recipes have the same learning",
           "rate, which was set for Murphy.", "", "## Before training", ""]
    out += table(["before", "mean"], [[name, f"{mean(b[rate]):.3f}"] for name, rate in
                                      zip(("iter-1", "iter-2", "iter-2, fresh try",
                                           "iter-2, wrong feedback"), RATES)])
    out += ["## Murphy", ""] + per_seed("murphy", folder, seeds)
    out += ["## Murphy with the maximum as credit", ""] + per_seed("murphy-max", folder, seeds)
    out += ["## GRPO, as many completions", ""] + per_seed("grpo", folder, seeds)
    m, x, g = after["murphy"], after["murphy-max"], after["grpo"]
    out += ["## What second attempts do, shown the feedback", ""]
    out += table(["mean over seeds", "before", "after Murphy", "maximum as credit", "after GRPO"], [
        [what] + [f"{mean(side[rate]):.3f}" for side in (b, m, x, g)] for what, rate in (
            ("failures that the second attempt repairs", "fix"),
            ("second attempts that say the first again", "repeat"))])
    out += ["## Differences, paired by seed", ""]
    out += table(["difference", "mean ± 95 %", "each seed"], [
        [what, shown(d), ", ".join(f"{x:+.3f}" for x in d)] for what, d in (
            ("before: iter-2 − fresh try", minus(b["iter2"], b["iter2_fresh"])),
            ("before: iter-2 − wrong feedback", minus(b["iter2"], b["iter2_wrong_feedback"])),
            ("Murphy: iter-2 after − before", minus(m["iter2"], b["iter2"])),
            ("Murphy: iter-1 after − before", minus(m["iter1"], b["iter1"])),
            ("Murphy after: iter-2 − fresh try", minus(m["iter2"], m["iter2_fresh"])),
            ("Murphy after: iter-2 − wrong feedback", minus(m["iter2"], m["iter2_wrong_feedback"])),
            ("iter-2 after: Murphy − GRPO", minus(m["iter2"], g["iter2"])),
            ("iter-1 after: Murphy − GRPO", minus(m["iter1"], g["iter1"])),
            ("iter-2 after: mean − maximum as credit", minus(m["iter2"], x["iter2"])),
            ("iter-1 after: mean − maximum as credit", minus(m["iter1"], x["iter1"])))])
    sys.stdout.write("\n".join(out).rstrip() + "\n")


if __name__ == "__main__":
    if sys.argv[1] == "steps":
        print(steps(*sys.argv[2:4]))
    elif sys.argv[1] == "page":
        page(sys.argv[2], int(sys.argv[3]))
    else:
        {"inputs": inputs, "same": same}[sys.argv[1]](*sys.argv[2:])
