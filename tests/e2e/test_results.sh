#!/usr/bin/env bash
# tools/results.sh on runs of one step: it writes the page, reuses what is there, and refuses runs that were made by
# another recipe, model or data, or that are not what the page says of them.
# Usage: test_results.sh FOLDER_OF_PROGRAMS
set -u
bin=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export PYTHONDONTWRITEBYTECODE=1
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

if ! "$bin/rl-train" doctor >doctor 2>&1; then
  echo "skipped: $(cat doctor)"
  exit 77
fi

# The bundled model and problems, where they may be changed.
cp -r "$root/models/tiny-coder" model
cp "$root/recipes/problems/train.jsonl" "$root/recipes/problems/heldout.jsonl" .
tiny=(--set run.steps=1 --set eval.problems=8 --set rollout.max_new_tokens=12 --set "model.path=$work/model"
  --set "data.train=$work/train.jsonl" --set "data.eval=$work/heldout.jsonl")
results() {
  PROGRAM="$bin/rl-train" PAGE="$work/page.md" "$root/tools/results.sh" 2 "$work/results" "${tiny[@]}" "$@" >said 2>&1
}
# refused WORDS [ARGUMENTS]: the script stops, says why and leaves the page alone.
refused() {
  rm -f page.md
  if results "${@:2}"; then fail "not refused: $1"; fi
  grep -qF -- "$1" said || fail "does not say '$1': $(tail -5 said)"
  [ ! -e page.md ] || fail "writes a page all the same: $1"
}
# With the end of a run's file changed by a sed script while a command runs.
changed() {
  cp "$1" kept
  sed -i "$2" "$1"
  if cmp -s "$1" kept; then fail "the change of $1 changes nothing: $2"; fi
  "${@:3}"
  cp kept "$1"
}

results || { cat said; fail "the first call"; }
for run in murphy-1 murphy-max-1 grpo-1 murphy-2 murphy-max-2 grpo-2; do
  grep -q "== $work/results/$run" said || fail "does not run $run: $(cat said)"
  [ -s "results/$run.inputs" ] || fail "no $run.inputs"
done
for words in '## Before training' '## GRPO, as many completions' '| iter-2 after: Murphy − GRPO |'; do
  grep -qF -- "$words" page.md || fail "the page has no '$words'"
done

# With all of them there it writes the page alone, and the same one; where the files lie does not matter.
mv page.md first.md
cp -r model other && mv train.jsonl moved.jsonl && cp moved.jsonl train.jsonl
results --set "model.path=$work/other" --set "data.train=$work/train.jsonl" --set compute.threads=1 || fail "again: $(cat said)"
if grep -q '^== ' said; then fail "runs again: $(cat said)"; fi
cmp first.md page.md || fail "another page from the same runs"

refused "optim.lr was 0.0005 and is 0.001" --set optim.lr=1e-3
refused "eval.problems was 8 and is 9" --set eval.problems=9
changed model/config.json '1s/$/ /' refused "config.json"
changed train.jsonl '$d' refused "train.jsonl"
mv results/grpo-2.inputs kept.inputs
refused "what it was made from is not known"
mv kept.inputs results/grpo-2.inputs

# What the page says of the runs.
changed results/grpo-2/metrics.jsonl '1s/"eval\/heldout\/iter2":[^,]*/"eval\/heldout\/iter2":0.77/' refused "do not begin alike"
changed results/murphy-1/metrics.jsonl '$s/"eval\/heldout\/samples":/&1/' refused "has not 4 samples"
changed results/grpo-1/metrics.jsonl '2s/"turn1\/samples":[0-9]*/"turn1\/samples":9/' refused "samples 9 completions"

# A run that did not end is run again.
sed -i '$d' results/grpo-2/metrics.jsonl
results || fail "after an interrupted run: $(cat said)"
grep '^== ' said >again
[ "$(cat again)" = "== $work/results/grpo-2" ] || fail "runs others than the interrupted one again: $(cat again)"
cmp first.md page.md || fail "another page after the interrupted run"

[ "$failures" = 0 ] && echo "the results are of what they say"
[ "$failures" = 0 ]
