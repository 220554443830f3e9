#!/usr/bin/env bash
# families.sh [BUILD]: writes docs/families.md from what the tests of BUILD (build/release) measure. A test prints a cell
# of the table as a line "families: ROW | COLUMN | VALUE"; rows and columns are listed here.
set -euo pipefail
cd "$(dirname "$0")/.."
build=${1:-build/release}
lines=$(mktemp)
trap 'rm -f "$lines"' EXIT
for test in "$build"/bin/test_policy_{model,families,forward_bits,tokenizer*,chat*,jinja*}; do
    [ -x "$test" ] || continue
    "$test" 2>/dev/null | grep '^families: ' >>"$lines" || [ "${PIPESTATUS[0]}" -eq 0 ] ||
        { echo "families.sh: $test fails" >&2; exit 1; }
done
{
    cat <<'TEXT'
# Model families

What the tests measured for each family, on tiny random checkpoints made with transformers
(`tests/golden/models`; numbers there are float64). This file is written by `tools/families.sh`.

- *logits*: largest difference of any logit, of logits up to 2.3.
- *gradients*: largest difference of any gradient of any parameter, as a share of the largest in its tensor.
- *AdamW*: three steps, twice, once with a loss whose scale changes: entries of every parameter within 2e-6, its change
  within 1e-3 of its length.
- *greedy*: tokens that follow a prompt with the cache of keys, each equal, log-probs within 1e-5.
- *bits*: log-probs and entropies of sampling, scoring and training are equal in every bit, over batches, chunks of a
  prompt, shared prefixes, threads and kernel sets (`tests/policy/test_forward_bits.c`).
- *save and load*: config and every bit of every weight after writing a folder and reading it.
- *gguf*: the same weights from a GGUF file; families without an entry are read from folders only.
- *tokenizer texts*, *templates*: texts whose ids equal another implementation's, with the family's own tokenizers, and
  conversations whose text equals what the family's own published chat templates give in jinja2, or for SmolLM2 text and
  ids; "none here": the tests hold none of this family.

TEXT
    awk -F ' [|] ' '
        BEGIN {
            n = split("llama,llama3,mistral,qwen2,qwen3,qwen3-bf16,olmo2,smollm3,gemma3,phi3", row, ",")
            m = split("logits,gradients,AdamW,greedy,bits,save and load,gguf,tokenizer texts,templates", col, ",")
        }
        { # several tokenizers or templates stand side by side, each once
            sub(/^families: /, "", $1)
            if (!(($1, $2) in cell)) { cell[$1, $2] = $3 }
            else if (index(cell[$1, $2], $3) == 0) { cell[$1, $2] = cell[$1, $2] ", " $3 }
        }
        END {
            for (j = m - 1; j <= m; j++) {
                cell["qwen3-bf16", col[j]] = "as qwen3"
                for (i = 1; i <= n; i++) {
                    if (!((row[i], col[j]) in cell)) { cell[row[i], col[j]] = "none here" }
                }
            }
            line = "| family |"; rule = "| --- |"
            for (j = 1; j <= m; j++) { line = line " " col[j] " |"; rule = rule " --- |" }
            print line; print rule
            for (i = 1; i <= n; i++) {
                line = "| " row[i] " |"
                for (j = 1; j <= m; j++) {
                    line = line " " ((row[i], col[j]) in cell ? cell[row[i], col[j]] : "") " |"
                }
                print line
            }
        }' "$lines"
    cat <<'TEXT'

llama stands for SmolLM2, TinyLlama and Llama 2, llama3 for the scaled rotation of Llama 3.1 and later, gemma3 for
the text models (`gemma3_text`), qwen3-bf16 for weights stored as BF16. Not read, and refused by name: mixtures of
experts, rope types other than default, linear and llama3 (yarn, dynamic, longrope), partial rotation, biases that a
family does not always have, soft-capped logits, activations other than the family's own, and in GGUF files windows,
Mistral, Gemma 3 and Phi-3.
TEXT
} >docs/families.md.new
mv docs/families.md.new docs/families.md
