#!/usr/bin/env bash
# The bundled model and what it is made from: the generator makes the committed problems again, held-out programs occur
# in nothing that is learnt, the generator's feedback is the verifier's, and the model's folder and card are complete.
# Usage: test_tiny_coder.sh FOLDER_OF_PROGRAMS; TINY_CODER names a model to take in place of models/tiny-coder.
# With RL_TEST_ALL in the environment the tokenizer is made again too, which takes a minute.
set -u
bin=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
model=${TINY_CODER:-$root/models/tiny-coder}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
export PYTHONDONTWRITEBYTECODE=1
failures=0

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

make() { python3 "$root/tools/tiny_coder/$1.py" "${@:2}" || fail "tools/tiny_coder/$1.py ${*:2}"; }
check() { python3 "$root/tests/e2e/tiny_coder.py" "$@" >said 2>&1 || fail "$*: $(tail -15 said)"; }

make problems problems >/dev/null
for file in train.jsonl heldout.jsonl; do
  cmp "problems/$file" "$root/recipes/problems/$file" || fail "recipes/problems/$file is not what problems.py makes"
done

make warmup clean.jsonl 1500 101 clean
make warmup noisy.jsonl 500 102 noisy
check split clean.jsonl noisy.jsonl problems/train.jsonl
make warmup again.jsonl 500 102 noisy
cmp noisy.jsonl again.jsonl || fail "the same seed gives other conversations"
check feedback

if [ -n "${RL_TEST_ALL:-}" ]; then
  make warmup tokenizer.jsonl 20000 7 clean
  make tokenizer tokenizer.jsonl made
  for file in tokenizer.json tokenizer_config.json; do
    cmp "made/$file" "$root/models/tiny-coder/$file" || fail "models/tiny-coder/$file is not what tokenizer.py makes"
  done
else
  echo "skipped the tokenizer, which RL_TEST_ALL makes again"
fi

check folder "$model"
check card "$model"

# The whole making, on very little.
mkdir made_model
cp "$root/models/tiny-coder/config.json" made_model/
if "$bin/rl-train" doctor >doctor 2>&1; then
  N_CLEAN=12 N_NOISY=4 N_UNSEEN=4 N_TOKENIZER=300 PROBLEMS=$work/made_problems MODEL=$work/made_model WORK=$work/between \
    PROGRAM=$bin/rl-train "$root/tools/tiny_coder/make.sh" --set run.steps=2 --set algo.batch_size=8 \
    --set optim.warmup_steps=1 --set optim.decay_steps=1 --set eval.problems=2 --set rollout.max_new_tokens=8 >made.log 2>&1 ||
    fail "make.sh: $(tail -5 made.log)"
  [ "$(wc -l <between/warmup.jsonl)" = 16 ] || fail "make.sh makes $(wc -l <between/warmup.jsonl) conversations, not 16"
  "$bin/rl-train" export made_model reread --dtype bf16 >reread.out 2>&1 || fail "$(cat reread.out)"
  cmp made_model/model.safetensors reread/model.safetensors || fail "make.sh does not leave bf16 weights"
else
  echo "skipped the making: $(cat doctor)"
fi

[ "$failures" = 0 ] && echo "the bundled model and its problems are whole"
[ "$failures" = 0 ]
