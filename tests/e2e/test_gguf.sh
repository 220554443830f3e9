#!/usr/bin/env bash
# GGUF files as the Python package gguf reads them, of a checkpoint that a run just left; skipped (77) where Python
# ($RL_PYTHON, else python3) has no such package. Usage: test_gguf.sh FOLDER_OF_PROGRAMS
set -u
bin=$(cd "$1" && pwd)
here=$(cd "$(dirname "$0")" && pwd)
golden=$here/../golden
python=${RL_PYTHON:-python3}
"$python" -c 'import numpy, gguf' 2>/dev/null || { echo "skipped: $python has no package gguf"; exit 77; }
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1

# Rows of 64, so that eight bits come in whole blocks.
mkdir wide
cp "$golden"/models/tiny-chat/{tokenizer.json,tokenizer_config.json} wide/
sed -e 's/"hidden_size": [0-9]*/"hidden_size": 64/' -e 's/"num_attention_heads": [0-9]*/"num_attention_heads": 8/' \
  -e 's/"num_key_value_heads": [0-9]*/"num_key_value_heads": 4/' -e 's/"head_dim": [0-9]*/"head_dim": 8/' \
  "$golden/models/tiny-chat/config.json" >wide/config.json
for i in 1 2 3 4; do echo '{"prompt": "add '$i'", "completion": "x + '$i'"}'; done >talks.jsonl
cat >sft.json <<END
{"model": {"path": "wide", "init": "random"}, "data": {"train": "talks.jsonl"},
 "algo": {"name": "sft", "batch_size": 4}, "run": {"steps": 1}}
END
"$bin/rl-train" sft.json >log 2>&1 || { cat log; exit 1; }
for dtype in f32 f16 bf16 q8_0; do
  "$bin/rl-train" convert runs/sft/checkpoint-1 $dtype.gguf --dtype $dtype || exit 1
done
"$python" "$here/gguf_reader.py" runs/sft/checkpoint-1 {f32,f16,bf16,q8_0}.gguf
