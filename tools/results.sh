#!/usr/bin/env bash
# tools/results.sh [SEEDS [FOLDER]]: runs recipes/murphy.json and recipes/grpo.json on seeds 1 to SEEDS (default 5) and
# writes docs/results.md from the run folders below FOLDER (default runs/results). A run that is there and complete is
# not repeated, so that with all of them there the script only writes the page. GRPO gets as many steps as make the
# number of completions that Murphy sampled on the same seed.
set -euo pipefail
cd "$(dirname "$0")/.."
seeds=${1:-5}
folder=${2:-runs/results}
program=build/run/bin/rl-train

complete() { grep -q '"step":0,.*eval/' "$1/metrics.jsonl" 2>/dev/null && [ -n "$(ls -d "$1"/checkpoint-*/DONE 2>/dev/null)" ]; }

# train RECIPE SEED [arguments]
train() {
  local recipe=$1 seed=$2 dir=$folder/$1-$2
  shift 2
  complete "$dir" && return
  echo "== $recipe, seed $seed" >&2
  "$program" "recipes/$recipe.json" --overwrite --set run.seed="$seed" --set run.dir="$dir" "$@" >"$dir.log" 2>&1 || {
    tail -5 "$dir.log" >&2
    exit 1
  }
}

if [ ! -x "$program" ]; then
  cmake -S . -B build/run -DCMAKE_BUILD_TYPE=Release -DRL_BUILD_TESTS=OFF >/dev/null
  cmake --build build/run -j"$(nproc)" >/dev/null
fi
mkdir -p "$folder"
for seed in $(seq 1 "$seeds"); do
  train murphy "$seed"
  train grpo "$seed" --set run.steps="$(python3 tools/results.py steps "$folder/murphy-$seed" recipes/grpo.json)"
done
python3 tools/results.py page "$folder" "$seeds" >docs/results.md
echo "docs/results.md is written" >&2
