#!/usr/bin/env bash
# The command line as a user meets it: what a run leaves, and one clear sentence with the right exit code for
# everything that can be wrong. Usage: test_cli.sh FOLDER_OF_PROGRAMS
set -u
bin=$(cd "$1" && pwd)
root=$(cd "$(dirname "$0")/../.." && pwd)
golden=$root/tests/golden
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failures=0
unset OPENBLAS_CORETYPE

fail() {
  echo "FAILED: $*"
  failures=$((failures + 1))
}

cat >toy.json <<EOF
{
  "why": "A toy.",
  "model": {"path": "$golden/models/tiny-chat"},
  "data": {"train": "$golden/data/toy_problems.jsonl"},
  "rollout": {"prompts": 2, "group_size": 2, "turns": 2, "max_new_tokens": 8},
  "rewards": [{"name": "code_tests"}],
  "algo": {"name": "murphy"},
  "run": {"steps": 2}
}
EOF

# expect CODE WORDS COMMAND...: the command ends with CODE, says WORDS on one line of standard error, and the
# sanitizers stay silent.
expect() {
  local code=$1 words=$2 got
  shift 2
  "$@" >out 2>err
  got=$?
  [ "$got" = "$code" ] || fail "exit code $got, not $code: $* : $(head -3 err)"
  grep -qF -- "$words" err out || fail "does not say '$words': $* : $(head -3 err)"
  if grep -qE 'AddressSanitizer|runtime error' err; then fail "sanitizer: $* : $(head -20 err)"; fi
}
train() { expect "$1" "$2" "$bin/rl-train" toy.json "${@:3}"; }

# Help and version go to standard output.
expect 0 "rl-train 0." "$bin/rl-train" --version
expect 0 "usage: rl-train" "$bin/rl-train" --help
expect 0 "group_size" "$bin/rl-train" --help-recipe
expect 2 "no recipe given; try rl-train recipes/murphy.json" "$bin/rl-train"
expect 2 "did you mean '--dry-run'?" "$bin/rl-train" toy.json --dry-rum
expect 2 "--resume" "$bin/rl-train" toy.json --resume
expect 2 "takes no argument" "$bin/rl-train" doctor nonsense

# Output that is lost is a failure of the command.
lost() { expect "$1" "cannot write to standard output" bash -c '"$@" >/dev/full' - "$bin/rl-train" "${@:2}"; }
if [ -c /dev/full ]; then
  echo '{"ids": [1, 5, 9, 2]}' >ids.jsonl
  lost 2 --help
  lost 2 --help-recipe
  lost 2 --help-recipe --markdown
  lost 2 --version
  lost 2 doctor
  lost 2 toy.json --dry-run
  lost 2 score "$golden/models/tiny-chat" --in ids.jsonl
fi

# Recipes.
expect 2 "absent.json" "$bin/rl-train" absent.json
train 2 "did you mean 'steps'?" --set run.stepz=3
train 2 "unknown algorithm 'ppo'" --set algo.name=ppo
train 2 "'rollout.group_size'" --set rollout.group_size=-1
train 2 "max_new_tokens" --set rollout.max_new_tokens=100000
train 2 "which is a list" --set rewards.weight=2
train 2 "'algo.credit' is 'x'" --set algo.credit=x
train 2 "'rollout.group_size' is 1" --set rollout.group_size=1
train 2 "accept that bias with 'rollout.accept_filter_bias'" --set rollout.top_p=0.9
train 2 "'rollout.min_p' draws from another distribution" --set rollout.min_p=0.1
train 0 "first prompt" --dry-run --set rollout.top_k=20 --set rollout.accept_filter_bias=true

# Models. A copy with one thing broken each.
broken() {
  rm -rf broken
  cp -r "$golden/models/tiny-chat" broken
}
train 2 "nowhere" --set model.path=nowhere
broken; rm broken/model.safetensors
train 2 "model.safetensors" --set model.path=broken
broken; head -c 100 "$golden/models/tiny-chat/model.safetensors" >broken/model.safetensors
train 2 "model.safetensors" --set model.path=broken
broken; printf '\377\377\377\377\377\377\377\177{}' >broken/model.safetensors
train 2 "model.safetensors" --set model.path=broken
broken; head -c -1000 "$golden/models/tiny-chat/model.safetensors" >broken/model.safetensors
train 2 "model.safetensors" --set model.path=broken
broken; sed -i 's/"llama"/"mixtral"/' broken/config.json
train 2 "mixtral" --set model.path=broken
broken; echo '{' >broken/config.json
train 2 "config.json" --set model.path=broken
broken; rm broken/tokenizer.json
train 2 "tokenizer" --set model.path=broken
broken; python3 -c '
import json
t = json.load(open("broken/tokenizer.json"))
t["model"]["merges"] = []
json.dump(t, open("broken/tokenizer.json", "w"))'
train 2 "merges" --set model.path=broken
printf 'GGUF\003\000\000\000' >short.gguf
train 2 "short.gguf" --set model.path=short.gguf
printf 'GGUF\003\000\000\000\377\377\377\377\377\377\377\177\377\377\377\377\377\377\377\177' >hostile.gguf
train 2 "hostile.gguf" --set model.path=hostile.gguf

# Data.
train 2 "nothing.jsonl" --set data.train=nothing.jsonl
echo '{"task_id": 1, "prompt": "p", "code": "c", "test_list": ["assert f(1) == 1"]' >bad.jsonl
train 2 "line 1" --set data.train=bad.jsonl
echo '{"task_id": 1, "prompt": "p", "code": "c", "test_list": []}' >bad.jsonl
train 2 "test" --set data.train=bad.jsonl
: >empty.jsonl
train 2 "empty.jsonl" --set data.train=empty.jsonl
train 2 "max_prompt_tokens" --set data.max_prompt_tokens=8

# Nothing above may have left a run behind.
[ ! -e runs ] || fail "a refused recipe left 'runs'"

# A dry run writes nothing and shows the prompt with its ids.
train 0 "first prompt" --dry-run
grep -q "memory estimate" out || fail "no memory estimate in the dry run"
[ ! -e runs ] || fail "a dry run left 'runs'"

# Scoring.
echo '{"ids": [1, 5, 9, 2]}' >ids.jsonl
expect 0 '"logprobs":[' "$bin/rl-train" score "$golden/models/tiny-chat" --in ids.jsonl
echo '{"ids": [1, 300]}' >ids.jsonl
expect 2 "line 1" "$bin/rl-train" score "$golden/models/tiny-chat" --in ids.jsonl
echo '{"id": [1]}' >ids.jsonl
expect 2 "'ids'" "$bin/rl-train" score "$golden/models/tiny-chat" --in ids.jsonl
expect 2 "absent" "$bin/rl-train" score "$golden/models/tiny-chat" --in absent.jsonl
score() { expect "$1" "$2" "$bin/rl-train" score "$golden/models/tiny-chat" "${@:3}"; }
echo '{"ids": [1, 5, 9, 2]}' >ids.jsonl
score 0 '"sum":' --in ids.jsonl
cp out want
"$bin/rl-train" score "$golden/models/tiny-chat" --in ids.jsonl --out scores.jsonl --threads 1 --kernels ref ||
  fail "score --out"
cmp -s scores.jsonl want || fail "--out, one thread and plain kernels give something else"
expect 0 "" bash -c '"$0" score "$1" --in - <ids.jsonl' "$bin/rl-train" "$golden/models/tiny-chat"
cmp -s out want || fail "score gives something else from standard input"
# What was sampled scores as it was drawn, from ids and from text; messages go through the template.
"$bin/rl-train" sample "$golden/models/tiny-chat" "abc" --raw --logprobs --max-tokens 5 --seed 2 >drawn 2>err
python3 - <<'PYTHON' >records.jsonl || fail "no record of what was sampled"
import json
d = json.load(open("drawn"))
print(json.dumps({"prompt": "abc", "completion": "abc"}))
print(json.dumps({"prompt": [{"role": "user", "content": "add 1"}], "completion": "x"}))
print(json.dumps({"prompt": [{"role": "user", "content": "add 1"}],
                  "completion": [{"role": "assistant", "content": "x"}]}))
PYTHON
score 0 '"ids":[' --in records.jsonl
cp out scored
echo '{"text": "abc"}' >text.jsonl
"$bin/rl-train" tokenize "$golden/models/tiny-chat" --in text.jsonl >prompt_ids
python3 - <<'PYTHON' >whole.jsonl || fail "records of ids could not be made"
import json
abc = json.load(open("prompt_ids"))["ids"]
print(json.dumps({"ids": abc + json.load(open("drawn"))["ids"]}))
print(json.dumps({"ids": abc + abc}))
PYTHON
score 0 '"sum":' --in whole.jsonl
python3 - <<'PYTHON' || fail "score, sample and their forms of input do not agree"
import json
drawn = json.load(open("drawn"))
whole = [json.loads(line) for line in open("out")]
text, talk, turn = [json.loads(line) for line in open("scored")]
n = len(drawn["ids"])
assert whole[0]["logprobs"][-n:] == drawn["logprobs"], (whole[0], drawn)
assert whole[0]["entropy"][-n:] == drawn["entropy"]
n = len(text["ids"])
assert n > 0 and len(text["logprobs"]) == n and whole[1]["logprobs"][-n:] == text["logprobs"]
assert abs(sum(text["logprobs"]) - text["sum"]) < 1e-12
assert turn["ids"][:-1] == talk["ids"] and turn["logprobs"][:-1] == talk["logprobs"]
PYTHON
refuse() { echo "$2" >bad.jsonl; score 2 "line 1: $1" --in bad.jsonl; }
refuse "a record has 'ids', or" '{"ids": [1], "prompt": "a", "completion": "b"}'
refuse "a record without 'ids' has 'prompt' and 'completion'" '{"prompt": "a"}'
refuse "the prompt has no token" '{"prompt": "", "completion": "b"}'
refuse "'prompt' is text, so 'completion' must be text too" '{"prompt": "a", "completion": [{"role": "assistant", "content": "x"}]}'
refuse "'completion' must be text or one message" '{"prompt": [{"role": "user", "content": "x"}], "completion": [{"role": "user", "content": "x"}]}'
refuse "message 1 of 'prompt' lacks" '{"prompt": [{"role": "user"}], "completion": "x"}'
score 2 "cannot write 'nowhere/x'" --in ids.jsonl --out nowhere/x
score 2 "line 1" --in bad.jsonl --out kept.jsonl
[ ! -e kept.jsonl ] && [ ! -e kept.jsonl.tmp ] || fail "a refused file left its output"
mkdir bare
cp "$golden"/models/tiny-chat/{config.json,model.safetensors} bare/
expect 0 '"logprobs":[' "$bin/rl-train" score bare --in ids.jsonl
expect 2 "text needs a tokenizer" "$bin/rl-train" score bare --in records.jsonl

# Conversations through the chat template, from a file and from standard input; a folder needs its tokenizer only.
mkdir talk
cp "$golden"/models/tiny-chat/tokenizer*.json talk/
echo '{"messages": [{"role": "user", "content": "Hi <|im_end|>"}]}' >talk.jsonl
expect 0 '{"text":"<|im_start|>user\nHi <|im_end|><|im_end|>\n<|im_start|>assistant\n","ids":[' \
  "$bin/rl-train" render talk --in talk.jsonl
cp out want
expect 0 '"ids":[' bash -c '"$0" render talk <talk.jsonl' "$bin/rl-train"
cmp -s out want || fail "render gives something else from standard input"
python3 - want <<'PYTHON' || fail "a message wrote a special token"
import json, sys
ids = json.load(open(sys.argv[1]))["ids"]
vocab = {t["content"]: t["id"] for t in json.load(open("talk/tokenizer.json"))["added_tokens"]}
assert ids.count(vocab["<|im_end|>"]) == 1 and ids.count(vocab["<|im_start|>"]) == 2
PYTHON
echo '{"messages": [{"role": "user", "content": "a"}], "add_generation_prompt": false, "x": 1}' >talk.jsonl
expect 0 '{"text":"<|im_start|>user\na<|im_end|>\n","ids":[' "$bin/rl-train" render talk --in talk.jsonl
echo '{"prompt": "a"}' >talk.jsonl
expect 2 "'talk.jsonl', line 1: no list 'messages'" "$bin/rl-train" render talk --in talk.jsonl
# chat_template.jinja wins over tokenizer_config.json; one that rewrites earlier turns is told.
cp "$golden/chat/Qwen-Qwen3-0.6B.jinja" talk/chat_template.jinja
echo '{"messages": [{"role": "user", "content": "a"}], "enable_thinking": false}' >talk.jsonl
expect 0 'assistant\n<think>\n\n</think>\n\n"' "$bin/rl-train" render talk --in talk.jsonl
grep -q "rewrites earlier turns" err || fail "render does not tell that the template rewrites earlier turns"
printf 'one\n{{ messages[0].content.nosuch.x }}' >talk/chat_template.jinja
expect 2 "line 2: 'str object' has no attribute 'nosuch'" "$bin/rl-train" render talk --in talk.jsonl

# Text to ids and back.
printf '{"text": "Hi <|im_end|>"}\n\n{"text": "<|im_end|>", "split_special_tokens": true}\n' >text.jsonl
expect 0 '{"ids":[' "$bin/rl-train" tokenize talk --in text.jsonl
[ "$(wc -l <out)" = 2 ] || fail "tokenize does not answer each record with one line"
cp out back.jsonl
expect 0 '{"text":"Hi <|im_end|>"}' "$bin/rl-train" tokenize talk --in back.jsonl
grep -qxF '{"text":"<|im_end|>"}' out || fail "ids do not give their text back"
sed -i 's/}$/, "skip_special_tokens": true}/' back.jsonl
expect 0 '{"text":"Hi "}' "$bin/rl-train" tokenize talk --in back.jsonl
echo '{"ids": [1, 300000]}' >back.jsonl
expect 2 "line 1: entry 1 of 'ids' is not an id" "$bin/rl-train" tokenize talk --in back.jsonl
echo '{"ids": [1], "text": "a"}' >back.jsonl
expect 2 "line 1: a record has either 'text' or 'ids'" "$bin/rl-train" tokenize talk --in back.jsonl
echo '["a"]' >back.jsonl
expect 2 "line 1: not an object" "$bin/rl-train" tokenize talk --in back.jsonl
expect 2 "absent.jsonl" "$bin/rl-train" tokenize talk --in absent.jsonl
expect 2 "no model at 'nowhere'" "$bin/rl-train" tokenize nowhere
# Sampling: the same words for the same seed, whatever the number of completions and threads.
speak() { expect "$1" "$2" "$bin/rl-train" sample "$golden/models/tiny-chat" "${@:3}"; }
speak 0 "--- 2 of 3 ---" "add 1" --n 3 --seed 4 --max-tokens 12
sed -n '/--- 1 of 3/,/--- 2 of 3/p' out | sed '1d;$d' >first
speak 0 "" "add 1" --seed 4 --max-tokens 12 --threads 1
cmp -s first out || fail "another number of completions draws other words: $(cat first out)"
echo -n "add 1" | "$bin/rl-train" sample "$golden/models/tiny-chat" - --seed 4 --max-tokens 12 >out 2>err
cmp -s first out || fail "a prompt on standard input is another prompt: $(cat out err)"
speak 0 '"finish":"length"' "add 1" --raw --logprobs --max-tokens 3 --top-k 4 --top-p 0.9 --min-p 0.01
grep -q '^{"sample":0,"text":".*"ids":\[[0-9]*,[0-9]*,[0-9]*\],"logprobs":\[-' out || fail "no three log-probs: $(cat out)"
[ "$(wc -l <out)" = 1 ] || fail "more than one line for one completion"
expect 2 "there is no model at 'absent'" "$bin/rl-train" sample absent hello
speak 2 "the prompt has no token" "" --raw
speak 2 "leaves no room" "$(head -c 4000 /dev/zero | tr '\0' x)" --raw

# Adapters: trained, scored and sampled from as a folder or on their model, and merged on export.
"$bin/rl-train" toy.json --set lora.r=2 --set run.dir=adapted --set algo.name=grpo --set rollout.turns=1 \
  --set optim.lr=1e-2 >out 2>err || fail "no run with an adapter: $(tail -3 err)"
adapter=adapted/checkpoint-2
echo '{"ids": [1, 5, 9, 2, 77, 31]}' >ids.jsonl
expect 0 "logprobs" "$bin/rl-train" score $adapter --in ids.jsonl
mv out whole
expect 0 "logprobs" "$bin/rl-train" score "$golden/models/tiny-chat" --adapter $adapter --in ids.jsonl
cmp -s out whole || fail "an adapter gives other log-probs on its model than by itself"
expect 0 "" "$bin/rl-train" sample $adapter "add 1" --max-tokens 4
expect 0 "with the adapter merged" "$bin/rl-train" export "$golden/models/tiny-chat" merged --adapter $adapter
expect 0 "with the adapter merged" "$bin/rl-train" export $adapter merged-too
cmp -s merged/model.safetensors merged-too/model.safetensors || fail "merging by folder and by option differ"
expect 0 "logprobs" "$bin/rl-train" score merged --in ids.jsonl
expect 2 "are adapters both" "$bin/rl-train" score $adapter --adapter $adapter --in ids.jsonl
expect 2 "no adapter_config.json there" "$bin/rl-train" export "$golden/models/tiny-chat" other --adapter half
expect 2 "'--adapter' does not belong to eval" "$bin/rl-train" eval toy.json --adapter $adapter
train 2 "sampling and training share one forward, without dropout" --set lora.r=2 --set lora.lora_dropout=0.1
train 2 "did you mean 'q_proj'?" --set lora.r=2 --set 'lora.target_modules=["qproj"]'
train 2 "'lora' has no 'lora.r'" --set lora.lora_alpha=16
train 2 "'lora.r' asks for a new adapter and 'model.adapter' names one" --set lora.r=2 --set model.adapter=$adapter
train 0 "memory estimate" --set lora.r=2 --dry-run

# Exporting: a whole folder, twice the same bits from BF16, and nothing replaced.
expect 0 "weights as bf16" "$bin/rl-train" export "$golden/models/tiny-chat" half --dtype bf16
grep -q '"bfloat16"' half/config.json || fail "config.json does not tell bfloat16"
[ -e half/tokenizer.json ] && [ -e half/generation_config.json ] || fail "an exported folder is not complete"
[ ! -e half.tmp ] || fail "an export left its folder aside"
expect 0 "weights as f32" "$bin/rl-train" export half wide
expect 0 "weights as bf16" "$bin/rl-train" export wide narrow --dtype=bf16
cmp -s half/model.safetensors narrow/model.safetensors || fail "BF16 weights changed on their way through F32"
expect 0 "weights as f16" "$bin/rl-train" export "$golden/models/tiny-chat" short --dtype f16
grep -q '"float16"' short/config.json || fail "config.json does not tell float16"
expect 2 "'half' is there already" "$bin/rl-train" export "$golden/models/tiny-chat" half
expect 2 "unknown dtype 'fp8'" "$bin/rl-train" export "$golden/models/tiny-chat" other --dtype fp8
expect 2 "there is no model at 'absent'" "$bin/rl-train" export absent other
expect 2 "the folder to write" "$bin/rl-train" export "$golden/models/tiny-chat"
[ ! -e other ] || fail "a refused export left 'other'"

# Converting: a GGUF file gives the same scores and words as the folder, to the bit, and becomes a folder again.
convert() { expect "$1" "$2" "$bin/rl-train" convert "${@:3}"; }
chat=$golden/models/tiny-chat
convert 0 "weights as f32" "$chat" chat.gguf
convert 0 "weights as f32" chat.gguf chat
convert 0 "weights as q8_0" "$chat" small.gguf --dtype q8_0
convert 0 "weights as bf16" small.gguf eighth --dtype bf16
expect 0 '"sum":' "$bin/rl-train" score "$chat" --in records.jsonl
cp out want
for model in chat.gguf chat; do
  expect 0 '"sum":' "$bin/rl-train" score $model --in records.jsonl
  cmp -s out want || fail "$model scores otherwise than the folder it was made of"
  "$bin/rl-train" sample $model "add 1" --seed 4 --max-tokens 12 >out 2>err
  cmp -s out first || fail "$model says something else: $(cat out err)"
done
expect 0 '"sum":' "$bin/rl-train" score small.gguf --in records.jsonl
cmp -s out want && fail "eight bits changed nothing"
[ "$(wc -c <small.gguf)" -lt "$(wc -c <chat.gguf)" ] || fail "a Q8_0 file is not smaller"
convert 2 "'chat.gguf' is there already" "$chat" chat.gguf
convert 2 "a folder has no dtype 'q8_0'" "$chat" other --dtype q8_0
convert 2 "unknown dtype 'q4_0'" "$chat" other.gguf --dtype q4_0
convert 2 "the folder or .gguf to write" "$chat"
convert 2 "models of type 'phi3' are not written as GGUF" "$golden/models/phi3" other.gguf
convert 0 "has no tokenizer, and so has the GGUF file" "$golden/models/qwen3" words.gguf
expect 0 '"sum":' "$bin/rl-train" score words.gguf --in ids.jsonl
printf 'no model' >bad.bin
convert 2 "is no model of llama2.c" bad.bin other
ls | grep -q '^other' && fail "a refused conversion left something: $(ls)"

# Supervised training, which runs no programs.
for i in 1 2 3 4 5 6 7 8; do
  echo '{"prompt": "add '$i'", "completion": "x + '$i'", "spans": [[4, 5, 3]]}'
done >talks.jsonl
cat >sft.json <<EOF
{
  "model": {"path": "$golden/models/tiny-chat"},
  "data": {"train": "talks.jsonl", "eval_loss": "talks.jsonl"},
  "algo": {"name": "sft", "batch_size": 4},
  "run": {"steps": 6},
  "log": {"every": 3}
}
EOF
learn() { expect "$1" "$2" "$bin/rl-train" sft.json "${@:3}"; }
learn 0 "first conversation" --dry-run
[ ! -e runs ] || fail "a dry run left 'runs'"
learn 0 "eval at step 6"
[ "$(grep -c '"loss/completion"' runs/sft/metrics.jsonl)" = 6 ] || fail "not six rows of supervised steps"
[ "$(grep -c '^step' err)" = 2 ] || fail "'log.every' does not thin the console: $(cat err)"
[ -e runs/sft/checkpoint-6/DONE ] || fail "no checkpoint of a supervised run"
grep -q '^held-out conversations ' out && grep -q '^loss ' out || fail "no table of the held-out loss: $(cat out)"
if grep -q 'solved within' out; then fail "a run without problems tells what was solved: $(cat out)"; fi
cp runs/sft/checkpoint-6/model.safetensors first.safetensors
expect 0 "eval at step 6" "$bin/rl-train" runs/sft/recipe.effective.json --set run.dir=again --set compute.threads=1
cmp -s first.safetensors again/checkpoint-6/model.safetensors || fail "one thread learns something else"
# Nothing in a data set moves the cursor of whoever looks at a dry run.
echo '{"prompt": "add \u001b[2J\u009b", "completion": "x\u0007y"}' >hostile.jsonl
learn 0 '\x1b[2J\u009b' --dry-run --set data.train=hostile.jsonl
if LC_ALL=C grep -q "$(printf '[\033\007]')" out; then fail "a dry run shows control characters of a conversation"; fi
echo '{"task_id": "a\u001b", "prompt": "b\u001b[2J", "code": "c", "test_list": ["assert f(1) == 1"]}' >hostile.jsonl
train 0 'problem a\x1b, ' --dry-run --set data.train=hostile.jsonl
if LC_ALL=C grep -q "$(printf '\033')" out; then fail "a dry run shows control characters of a problem"; fi
# On a terminal the time left is known from the first step on, whether or not steps get a line.
python3 - "$bin/rl-train" <<'PYTHON' || fail "the time left is wrong where steps get no line"
import os, pty, re, signal, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execv(sys.argv[1], [sys.argv[1], "sft.json", "--set", "run.dir=bar", "--set", "run.steps=100000", "--set",
                           "log.every=100000", "--set", "eval.at_start=false"])
text, asked = "", False
while True:
    try:
        text += os.read(terminal, 65536).decode(errors="replace")
    except OSError:
        break
    if not asked and re.search(r"step 1\d/100000 \w+, ", text):
        os.kill(pid, signal.SIGINT)
        asked = True
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 130, text[-2000:]
bars = re.findall(r"step (\d+)/100000 \w+, (\w+) left", text)
assert len({step for step, _ in bars}) >= 8, text[-2000:]
assert not [bar for bar in bars if bar[1] == "0s"], bars
PYTHON
rm -rf bar
learn 2 "has no 'messages'" --set "data.train=$golden/data/toy_problems.jsonl" --set run.dir=other
learn 2 "'data.eval_loss' lies inside 'run.dir'" --set data.eval_loss=runs/sft/metrics.jsonl --overwrite
rm -rf runs again

# From here on programs run, which needs the sandbox.
if ! "$bin/rl-train" doctor >doctor 2>&1; then
  echo "skipped the runs: $(cat doctor)"
  [ "$failures" = 0 ]
  exit
fi

train 0 "checkpoint"
grep -m 1 -B 9 '^step 1/' err | grep -qx "A toy." || fail "a run does not begin with its recipe's reason: $(cat err)"
[ "$(wc -l <runs/toy/metrics.jsonl)" = 2 ] || fail "not two lines of metrics"
for file in recipe.effective.json completions.jsonl checkpoint-2/DONE checkpoint-2/model.safetensors plot.txt plot.svg; do
  [ -e "runs/toy/$file" ] || fail "no runs/toy/$file"
done
train 2 "--overwrite"
grep -qx "A toy." err && fail "a run that is refused gives its recipe's reason: $(cat err)"
train 0 "checkpoint" --overwrite
# The effective recipe is a recipe, and repeats the run.
cp runs/toy/completions.jsonl first.jsonl
expect 0 "checkpoint" "$bin/rl-train" runs/toy/recipe.effective.json --set run.dir=again
cmp -s first.jsonl again/completions.jsonl || fail "the effective recipe gives another run"
# A checkpoint can be trained on.
train 0 "checkpoint" --set model.path=runs/toy/checkpoint-2 --set run.dir=onward

# What a run reads is never overwritten by it.
train 2 "'model.path' lies inside 'run.dir'" --set model.path=runs/toy/checkpoint-2 --overwrite
[ -e runs/toy/checkpoint-2/tokenizer.json ] || fail "--overwrite removed the model it was to train"

# A world that fails in the first step is 4, not the user's 2.
expect 4 "" bash -c "ulimit -f 6; '$bin/rl-train' toy.json --set run.dir=limited"

# Evaluation: a row of its own before training and after every step.
train 0 "eval at step 0" --set run.dir=evaluated --set "data.eval=$golden/data/toy_problems.jsonl" --set eval.every=1
[ "$(grep -c '"eval/toy_problems/iter2"' evaluated/metrics.jsonl)" = 3 ] || fail "not three rows of evaluation"
[ "$(wc -l <evaluated/eval.jsonl)" = 12 ] || fail "not one line for each problem of three evaluations"
grep '"eval/toy_problems/iter2"' evaluated/metrics.jsonl | grep -q '"loss"' && fail "an evaluation's row has a loss"

# The end of a run: the plot and the table of before and after; the folder keeps both.
grep -q '^iter-2 .* [+-]0' out && grep -q 'evaluated$' out || fail "no table at the end: $(cat out)"
grep -q '◆ iter-2' evaluated/plot.txt && grep -q '^iter-2 ' evaluated/plot.txt || fail "plot.txt: $(cat evaluated/plot.txt)"
LC_ALL=C train 0 "2 iter-2" --set run.dir=plain --set "data.eval=$golden/data/toy_problems.jsonl"
grep -q '◆ iter-2' plain/plot.txt || fail "plot.txt follows the locale"
LC_ALL=C.UTF-8 train 0 "◆ iter-2" --set run.dir=plain --overwrite --set "data.eval=$golden/data/toy_problems.jsonl"

# Evaluation without training.
measure() { expect "$1" "$2" "$bin/rl-train" eval toy.json "${@:3}"; }
measure 0 "iter-2" --set "data.eval=$golden/data/toy_problems.jsonl"
measure 0 '"eval/toy_problems/iter2_fresh":' --set "data.eval=$golden/data/toy_problems.jsonl" --set eval.controls=true --json
[ "$(wc -l <out)" = 1 ] || fail "eval --json prints more than one object"
measure 2 "'data.eval' is empty"
measure 2 "over 'data.eval_loss' is measured in a run of algo 'sft'"
measure 2 "'model.init' is random" --set "data.eval=$golden/data/toy_problems.jsonl" --set model.init=random
measure 2 "does not belong to eval" --overwrite

# Ctrl-C in the first evaluation leaves nothing, and the same command works again.
"$bin/rl-train" toy.json --set run.dir=early --set "data.eval=$golden/data/toy_problems.jsonl" --set eval.samples=200 \
  --set eval.batch=1 >out 2>err &
pid=$!
for _ in $(seq 600); do
  [ -s early/eval_completions-0.jsonl.part ] && break
  sleep 0.05
done
kill -INT "$pid"
wait "$pid"
code=$?
[ "$code" = 130 ] || fail "exit code $code after Ctrl-C in an evaluation, not 130: $(tail -3 err)"
grep -q "before the first step" err || fail "does not say where it was stopped: $(tail -3 err)"
[ "$(ls early)" = recipe.effective.json ] || fail "Ctrl-C in the first evaluation left $(ls early)"
train 0 "checkpoint" --set run.dir=early --set "data.eval=$golden/data/toy_problems.jsonl" --set eval.samples=2

# Ctrl-C ends after the step, with a checkpoint.
"$bin/rl-train" toy.json --set run.dir=stopped --set run.steps=100000 >out 2>err &
pid=$!
for _ in $(seq 300); do
  [ -s stopped/metrics.jsonl ] && break
  sleep 0.1
done
kill -INT "$pid"
wait "$pid"
code=$?
[ "$code" = 130 ] || fail "exit code $code after Ctrl-C, not 130: $(tail -3 err)"
last=$(wc -l <stopped/metrics.jsonl)
[ -e "stopped/checkpoint-$last/DONE" ] || fail "no checkpoint of step $last after Ctrl-C"

# A full disk: a file system of 300 KiB, where the checkpoint does not fit (needs root).
if [ "$(id -u)" = 0 ] && mkdir small && mount -t tmpfs -o size=300k tmpfs small 2>/dev/null; then
  train 4 "no space left" --set run.dir=small/run
  ls small/run | grep -q tmp && fail "a full disk left half a checkpoint: $(ls small/run)"
  [ -e small/run/checkpoint-2 ] && fail "a full disk left a checkpoint"
  rm -rf small/run
  head -c 1M /dev/zero >small/filler 2>/dev/null
  train 2 "no space left" --set run.dir=small/run
  umount small
else
  echo "skipped the full disk: no small file system can be mounted here"
fi

[ "$failures" = 0 ] && echo "all of the command line behaves"
[ "$failures" = 0 ]
