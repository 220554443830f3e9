#!/usr/bin/env bash
# tools/results.sh [SEEDS [FOLDER [ARGUMENTS OF RL-TRAIN]]]: runs recipes/murphy.json and recipes/grpo.json on seeds 1 to
# SEEDS (2 to 10, default 5) and writes docs/results.md from the run folders below FOLDER (default runs/results). A run
# that is there and complete is not repeated, so that with all of them there the script only writes the page; it is
# refused where it was made by another recipe, model, data or version than now (FOLDER/....inputs). GRPO gets as many
# steps as make the number of completions that Murphy sampled on the same seed.
#
# For a trial elsewhere: PAGE is the page that is written, PROGRAM is rl-train.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-5}
folder=${2:-runs/results}
more=("${@:3}")
page=${PAGE:-docs/results.md}
program=${PROGRAM:-build/run/bin/rl-train}

# A run ends with an evaluation and a checkpoint.
complete() {
  tail -qn 1 "$1/metrics.jsonl" 2>/dev/null | grep -q '"eval/' && compgen -G "$1/checkpoint-*/DONE" >/dev/null
}

# train NAME SEED [arguments]; NAME is the recipe's, and may say more behind a hyphen
train() {
  local recipe=${1%%-*} seed=$2 dir=$folder/$1-$2
  shift 2
  local what=("recipes/$recipe.json" --set run.seed="$seed" "$@" "${more[@]}" --set run.dir="$dir")
  if complete "$dir"; then
    python3 tools/results.py same "$dir" "$program" "${what[@]}"
    return
  fi
  echo "== $dir" >&2
  python3 tools/results.py inputs "$program" "${what[@]}" >"$dir.inputs"
  "$program" "${what[@]}" --overwrite >"$dir.log" 2>&1 || {
    tail -5 "$dir.log" >&2
    exit 1
  }
}

[ "$seeds" -ge 2 ] && [ "$seeds" -le 10 ] || { echo "results: $seeds seeds; 2 to 10 make an interval" >&2; exit 2; }
[ -n "${PROGRAM:-}" ] || tools/run --version >&2 # builds it
mkdir -p "$folder"
for seed in $(seq 1 "$seeds"); do
  train murphy "$seed"
  train murphy-max "$seed" --set algo.credit=max
  train grpo "$seed" --set run.steps="$(python3 tools/results.py steps "$folder/murphy-$seed" recipes/grpo.json)"
done
python3 tools/results.py page "$folder" "$seeds" >"$folder/results.md"
cp "$folder/results.md" "$page"
echo "$page is written" >&2
