#!/usr/bin/env bash
# An installed rl-train works from any folder: it finds rl-jail beside itself, and recipes by their name.
# Usage: test_install.sh FOLDER_OF_PROGRAMS
set -eu
build=$(cd "$1/.." && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cmake --install "$build" --prefix "$work/prefix" >/dev/null
for file in bin/rl-train bin/rl-jail share/rl-train/recipes/grpo_mbpp_smollm2.json share/rl-train/models/README.md \
  share/rl-train/recipes/murphy.json share/rl-train/recipes/problems/heldout.jsonl share/rl-train/models/tiny-coder/tokenizer.json; do
  [ -e "$work/prefix/$file" ] || { echo "not installed: $file"; exit 1; }
done
mkdir "$work/elsewhere"
cd "$work/elsewhere"
# The installed recipe with a small model and data in place of its own.
"$work/prefix/bin/rl-train" recipes/grpo_mbpp_smollm2.json --dry-run \
  --set "model.path=$root/tests/golden/models/tiny-chat" --set "data.train=$root/tests/golden/data/toy_problems.jsonl" \
  --set rollout.max_new_tokens=16 >out
grep -q "first prompt" out
[ -z "$(find . -name runs)" ]
"$work/prefix/bin/rl-train" doctor >doctor || { echo "skipped the sandbox: $(cat doctor)"; exit 0; }
grep -q "sandbox: jail" doctor
