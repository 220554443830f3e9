#!/usr/bin/env bash
# tools/check_tidy.sh BUILD: clang-tidy over every file of the product, by the rules of .clang-tidy.
set -euo pipefail
build=$1
git ls-files 'core/*.c' 'tensor/*.c' 'sandbox/*.c' 'algos/*.c' 'policy/*.c' 'rewards/*.c' 'rollout/*.c' 'train/*.c' 'cli/*.c' |
  xargs -P "$(nproc)" -n 8 clang-tidy -p "$build" --quiet --warnings-as-errors='*' 2>/dev/null
