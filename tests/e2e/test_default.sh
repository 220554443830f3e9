#!/usr/bin/env bash
# The embedded default: a few steps of recipes/murphy.json and recipes/grpo.json as they come, with the bundled model
# and problems. The same run on one thread and two, the table and the plot at the end, and every attempt's story.
# Usage: test_default.sh FOLDER_OF_PROGRAMS; TINY_CODER names a model to take in place of models/tiny-coder.
set -u
bin=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
model=${TINY_CODER:-$root/models/tiny-coder}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

check() {
  python3 "$root/tests/e2e/default_run.py" "$@" >said 2>&1 || fail "$*: $(tail -15 said)"
  grep "^skipped" said
}

if ! "$bin/rl-train" doctor >doctor 2>&1; then
  echo "skipped: $(cat doctor)"
  exit 77
fi

# run RECIPE FOLDER STEPS THREADS: files FOLDER, FOLDER.out, FOLDER.err.
run() {
  LC_ALL=C.UTF-8 "$bin/rl-train" "$root/recipes/$1.json" --set model.path="$model" --set run.dir="$2" \
    --set run.steps="$3" --set compute.threads="$4" --set eval.problems=16 >"$2.out" 2>"$2.err" ||
    fail "$1 on $4 threads: $(tail -5 "$2.err")"
  if grep -qE 'AddressSanitizer|runtime error' "$2.err"; then fail "sanitizer: $(head -20 "$2.err")"; fi
}

# alike FOLDER FOLDER STEPS: all that a run leaves is the same, times excepted.
alike() {
  local file
  for file in completions.jsonl eval.jsonl eval_completions-0.jsonl "eval_completions-$3.jsonl" plot.txt plot.svg \
    "checkpoint-$3/model.safetensors"; do
    cmp "$1/$file" "$2/$file" || fail "$file is not the same in $1 and $2"
  done
  check same "$1" "$2"
}

# told FOLDER WORDS: a line of what the run prints at its end begins with the words.
told() { grep -qF -- "$2" "$1.out" || fail "the end of $1 does not tell '$2': $(cat "$1.out")"; }

run murphy one 2 1
run murphy two 2 2
alike one two 2
for words in 'solved within one and two attempts   before    after   change' 'iter-1 ' 'iter-2 ' \
  'iter-2, fresh try (control)' 'iter-2, wrong feedback (control)' "16 problems of 'heldout'" '◆ iter-2' '· reward'; do
  told one "$words"
done
for file in metrics.jsonl completions.jsonl eval.jsonl plot.txt plot.svg checkpoint-2; do
  told one "$file"
  [ -s "one/$file" ] || fail "no one/$file"
done
[ -e one/checkpoint-2/DONE ] || fail "the checkpoint is not complete"
check turns one
check verifier one "$root/recipes/problems/train.jsonl" "$root/recipes/problems/heldout.jsonl"
check tokens one "$model"

run grpo three 1 1
run grpo four 1 2
alike three four 1
told three 'iter-2, wrong feedback (control)'
if grep -q '"turn":2' three/completions.jsonl; then fail "grpo.json tries again"; fi

[ "$failures" = 0 ] && echo "the embedded default behaves"
[ "$failures" = 0 ]
