#!/usr/bin/env bash
# An installed rl-train works from any folder and writes nothing where it is installed: it finds rl-jail beside itself,
# and recipes, problems and models by their name.
# Usage: test_install.sh FOLDER_OF_PROGRAMS
set -eu
build=$(cd "$1/.." && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'chmod -R u+w "$work" && rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
for file in bin/rl-train bin/rl-jail share/rl-train/recipes/grpo_mbpp_smollm2.json share/rl-train/models/README.md \
  share/rl-train/recipes/murphy.json share/rl-train/recipes/problems/heldout.jsonl share/rl-train/models/tiny-coder/tokenizer.json; do
  [ -e "$work/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
chmod -R a-w "$work/prefix"
installed() { (cd "$work/prefix" && find . -type f -print0 | sort -z | xargs -0 sha256sum && find . -type d | sort); }
installed >"$work/before"
mkdir "$work/elsewhere"
cd "$work/elsewhere"
train() { "$work/prefix/bin/rl-train" "$@"; }

# An installed recipe with a small model and data in place of its own, and one with its own.
train recipes/grpo_mbpp_smollm2.json --dry-run \
  --set "model.path=$root/tests/golden/models/tiny-chat" --set "data.train=$root/tests/golden/data/toy_problems.jsonl" \
  --set rollout.max_new_tokens=16 >out
grep -q "first prompt" out
train recipes/murphy.json --dry-run >out
grep -q "first prompt" out
grep -qF "\"path\": \"$work/prefix/share/rl-train/models/tiny-coder\"" out || { echo "another model: $(cat out)"; exit 1; }
[ -z "$(find . -name runs)" ]

if train doctor >doctor; then
  grep -q "sandbox: jail" doctor
  train eval recipes/murphy.json --json --set eval.problems=2 >measured.json
  grep -q '"eval/heldout/problems":2,' measured.json || { echo "measures other problems: $(cat measured.json)"; exit 1; }
  grep -q '"eval/heldout/sandbox/unknown":0,' measured.json || { echo "the sandbox judges nothing: $(cat measured.json)"; exit 1; }
else
  echo "skipped the sandbox: $(cat doctor)"
fi
[ -z "$(find . -type f ! -name out ! -name doctor ! -name measured.json)" ] || { echo "leaves more: $(find .)"; exit 1; }
installed >"$work/after"
cmp "$work/before" "$work/after" || { echo "the installed files change in use"; exit 1; }
