#!/usr/bin/env bash
# tools/tiny_coder/make.sh [arguments of rl-train]: makes the bundled problems and the bundled model anew, from seeds
# alone; recipes/sft_tiny_coder.json is the training in it. Problems, conversations and tokenizer come out the same on
# any machine, the weights on any with the same BLAS kernels (`rl-train doctor` names them).
#
# For a trial elsewhere: PROBLEMS and MODEL are the folders that are written (MODEL holds a config.json), WORK is the
# one for what is between, PROGRAM is rl-train.
set -euo pipefail
cd "$(dirname "$0")/../.."
# Conversations to learn, first "clean" ones, then "noisy" ones: together the recipe's steps times its batch.
n_clean=${N_CLEAN:-96000}
n_noisy=${N_NOISY:-14400}
# Conversations like the clean ones that are not learnt, for the loss over the run; and those of the tokenizer.
n_unseen=${N_UNSEEN:-500}
n_tokenizer=${N_TOKENIZER:-20000}
problems=${PROBLEMS:-recipes/problems}
model=${MODEL:-models/tiny-coder}
work=${WORK:-build/tiny-coder}
program=${PROGRAM:-build/run/bin/rl-train}

make() { python3 "tools/tiny_coder/$1.py" "${@:2}"; }

[ -n "${PROGRAM:-}" ] || tools/run --version >&2 # builds it
mkdir -p "$work"

echo "== problems" >&2
make problems "$problems"

echo "== conversations" >&2
make warmup "$work/clean.jsonl" "$n_clean" 11 clean &
clean=$!
make warmup "$work/noisy.jsonl" "$n_noisy" 12 noisy
make warmup "$work/unseen.jsonl" "$n_unseen" 99 clean
make warmup "$work/tokenizer.jsonl" "$n_tokenizer" 7 clean
wait "$clean"
cat "$work/clean.jsonl" "$work/noisy.jsonl" >"$work/warmup.jsonl"

echo "== tokenizer" >&2
make tokenizer "$work/tokenizer.jsonl" "$model"

echo "== training" >&2
"$program" recipes/sft_tiny_coder.json --overwrite --set run.dir="$work/run" --set model.path="$model" \
  --set data.train="$work/warmup.jsonl" --set data.eval_loss="$work/unseen.jsonl" \
  --set data.eval="$problems/heldout.jsonl" "$@"

echo "== the model, in $model" >&2
last=$(find "$work/run" -maxdepth 1 -name 'checkpoint-*' | sort -V | tail -n 1)
rm -rf "$work/export"
"$program" export "$last" "$work/export" --dtype bf16
cp "$work/export/model.safetensors" "$model/"
