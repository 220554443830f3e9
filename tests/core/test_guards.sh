#!/usr/bin/env bash
# The guards of the house pass on this tree, and each catches what it is there to catch.
set -euo pipefail
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
failed=0

fail() {
    echo "FAILED: $1"
    failed=1
}

for guard in layers foreign length; do
    "$root/tools/check_$guard.sh" || fail "check_$guard.sh finds fault with the tree"
done

# expect GUARD FILE SENTENCE, the file's text on standard input: the guard passes without the file and names it
# with the file.
expect() {
    rm -rf "$folder/house"
    mkdir -p "$folder/house/tools" "$folder/house/core" "$folder/house/$(dirname "$2")"
    cp "$root/tools/layers.txt" "$folder/house/tools/"
    printf '#include "rl/core/str.h"\n' >"$folder/house/core/str.c"
    "$root/tools/check_$1.sh" "$folder/house" >"$folder/out" || fail "check_$1.sh refuses a sound house"
    cat >"$folder/house/$2"
    if "$root/tools/check_$1.sh" "$folder/house" >"$folder/out"; then
        fail "check_$1.sh accepts $2"
    fi
    grep -qF "$3" "$folder/out" || fail "check_$1.sh does not say '$3' of $2, but: $(cat "$folder/out")"
    [ "$(wc -l <"$folder/out")" -eq 1 ] || fail "check_$1.sh says more than one line of $2"
}

# accept GUARD FILE, the file's text on standard input: the guard passes.
accept() {
    rm -rf "$folder/house"
    mkdir -p "$folder/house/tools" "$folder/house/core" "$folder/house/$(dirname "$2")"
    cp "$root/tools/layers.txt" "$folder/house/tools/"
    cat >"$folder/house/$2"
    "$root/tools/check_$1.sh" "$folder/house" || fail "check_$1.sh refuses $2"
}

expect layers core/a.c 'core/a.c:2: "rl/tensor/ops.h" is not listed for core/' <<<$'\n#include "rl/tensor/ops.h"'
expect layers include/rl/algos/a.h '"rl/policy/score.h" is not listed for algos/' <<<'#include "rl/policy/score.h"'
expect layers algos/a.c '"rl/core/rng.h" is refused in algos/' <<<'#  include "rl/core/rng.h"'
expect layers policy/a.c '"tensor/cpu/kern.h" is private to tensor/' <<<'#include "tensor/cpu/kern.h"'
expect layers policy/a.c '"kv_cache.h" should be named with its folder' <<<'#include "kv_cache.h"'
expect layers include/rl/core/a.h 'is private, and this header is public' <<<'#include "core/json_scan.h"'
expect layers tools/layers.txt "names 'train', which is not above it" <<<$'core train\ntrain core'
accept layers policy/a.c <<<$'#include "rl/tensor/ops.h"\n#include "policy/kv_cache.h"\n#include <stdio.h>'

expect foreign policy/a.c 'policy/a.c:1:#include <pthread.h> (only core/pool.c may)' <<<'#include <pthread.h>'
expect foreign core/b.c '(only core/json.c may)' <<<'#include <cjson/cJSON.h>'
expect foreign include/rl/core/a.h '(only core/regex.c may)' <<<'# include "pcre2.h"'
expect foreign core/a.c '(only cli/ prints or exits)' <<<'void f(void) { exit(1); }'
expect foreign core/a.c '(only cli/ prints or exits)' <<<'void f(void) { fprintf(stdout, "x"); }'
accept foreign core/json.c <<<'#include <cjson/cJSON.h>'
accept foreign core/a.c <<<$'// printf(\nvoid f(void) { fprintf(stderr, "exit(1)"); _exit(1); }'
accept foreign cli/main.c <<<'int main(void) { printf("x"); exit(0); }'

expect length core/a.c 'core/a.c: 801 lines, more than 800' < <(seq 801 | sed 's:.*://:')
accept length core/a.c < <(seq 800 | sed 's:.*://:')
accept length core/unicode_tables.c < <(seq 900 | sed 's:.*://:')
exit "$failed"
