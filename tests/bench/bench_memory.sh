#!/usr/bin/env bash
# The memory estimate of --dry-run beside the peak of a short real run, for models of random weights in several shapes,
# with and without what saves memory, and for sampling with the bundled model. Prints a table, as docs/performance.md has it, and fails
# where one is further than 15 % from the other. Usage: bench_memory.sh FOLDER_OF_PROGRAMS [SHAPE...]
set -eu
bin=$(cd "$1" && pwd)
shift
root=$(cd "$(dirname "$0")/../.." && pwd)
golden=$root/tests/golden
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"

# name: width layers heads kv-heads head-dim mlp vocabulary
shape() {
  case $1 in
  7M) echo 256 6 4 2 64 768 4096 ;;
  34M) echo 512 8 8 4 64 1536 16384 ;;
  135M) echo 576 30 9 3 64 1536 49152 ;;    # SmolLM2-135M
  494M) echo 896 24 14 2 64 4864 151936 ;;  # Qwen2.5-0.5B, without its biases
  *) echo "unknown shape '$1'" >&2; exit 2 ;;
  esac
}

model() { # name
  local c l h k d f v
  read -r c l h k d f v <<<"$(shape "$1")"
  mkdir -p "$1"
  cp "$golden"/models/tiny-chat/{tokenizer.json,tokenizer_config.json,generation_config.json} "$1"
  cat >"$1/config.json" <<EOF
{"architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu", "hidden_size": $c,
 "intermediate_size": $f, "num_hidden_layers": $l, "num_attention_heads": $h, "num_key_value_heads": $k,
 "head_dim": $d, "max_position_embeddings": 4096, "rms_norm_eps": 1e-05, "rope_theta": 10000.0,
 "tie_word_embeddings": true, "vocab_size": $v, "bos_token_id": 1, "eos_token_id": 2, "torch_dtype": "float32",
 "initializer_range": 0.02}
EOF
}

# 200 conversations of about 500 bytes, which are tokens here.
for i in $(seq 200); do
  printf '{"messages": [{"role": "user", "content": "%s"}, {"role": "assistant", "content": "%s"}]}\n' \
    "count $i: $(printf 'ab%.0s' {1..100})" "$(printf '%d,' $(seq $((i % 50 + 1)) $((i % 50 + 70))))"
done >text.jsonl

sft='{"model": {"path": "MODEL", "init": "random"}, "data": {"train": "text.jsonl"}, "run": {"steps": 2},
 "algo": {"name": "sft", "batch_size": 4}, "compute": {"micro_tokens": 1024, "threads": 2}}'
status=0
measure() { # shape, what, recipe, settings...
  local name=$1 what=$2 recipe=$3 said peak
  shift 3
  rm -rf out
  said=$("$bin/rl-train" "$recipe" --dry-run "$@" 2>log | sed -n 's/^memory estimate: \([0-9.]*\) GiB.*/\1/p')
  "$bin/rl-train" "$recipe" --set run.dir=out "$@" >log 2>&1 || { cat log; exit 1; }
  peak=$(tail -n 1 out/metrics.jsonl | sed -n 's/.*"perf\/peak_rss_mb": *\([0-9.]*\).*/\1/p')
  awk -v n="$name" -v w="$what" -v s="$said" -v p="$peak" 'BEGIN {
    p /= 1024; off = 100 * (s / p - 1)
    printf "| %s | %s | %.2f | %.2f | %+.1f %% |\n", n, w, s, p, off
    exit (off > 15 || off < -15) }' || status=1
}

echo "| parameters | recipe | estimate GiB | peak GiB | estimate over peak |"
echo "| --- | --- | --- | --- | --- |"
[ $# -gt 0 ] || set -- 7M 34M 135M
for name in "$@"; do
  model "$name"
  echo "${sft//MODEL/$name}" >"$name.json"
  measure "$name" "sft" "$name.json"
  measure "$name" "sft, bf16, layers" "$name.json" --set compute.weights=bf16 --set compute.recompute=layers
  measure "$name" "sft, muon" "$name.json" --set optim.name=muon
  measure "$name" "sft, adapter" "$name.json" --set lora.r=8
done
measure 0.5M "murphy, the bundled model" "$root/recipes/murphy.json" --set run.steps=2 --set eval.at_start=false \
  --set eval.at_end=false --set compute.threads=2
exit $status
