#!/usr/bin/env bash
# check_foreign.sh [ROOT]: each foreign header is included by the one file that owns it, and only cli/ prints to
# standard output or exits. One line a violation; exit code 1 if any.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"
status=0

sources() {
    find "$@" -name '*.[ch]' 2>/dev/null | sort
}

# header pattern (after '<' or '"'), and the files that may include it
while read -r header owner; do
    found=$(sources $(cut -d' ' -f1 tools/layers.txt) include tests |
        xargs -r grep -nHE "^[[:space:]]*#[[:space:]]*include[[:space:]]*[<\"]$header" | grep -vE "^$owner:" || true)
    if [ -n "$found" ]; then
        sed "s|\$| (only ${owner//\\/} may)|" <<<"$found"
        status=1
    fi
done <<'LIST'
(cjson/)?cJSON\.h core/json\.c
curl/ core/http\.c
pcre2 core/regex\.c
utf8proc core/unicode\.c
(pthread|threads|semaphore)\.h core/pool\.c
(cblas|lapacke?|f77blas|openblas) tensor/cpu/gemm_blas\.c
(flint/|arb|acb|fmpz|fmpq) rewards/math_value\.c
seccomp\.h sandbox/seccomp\.c
mpi\.h train/comm_mpi\.c
cmocka\.h tests/.*
cuda tensor/cuda/.*
LIST

# Comments and texts are cut out first.
for file in $(sources $(cut -d' ' -f1 tools/layers.txt | grep -v '^cli$')); do
    case $file in
    sandbox/jail_main.c) continue ;; # a program of its own
    esac
    found=$(sed -E 's/"([^"\\]|\\.)*"//g; s://.*::; s:/\*.*::; s:^ \*.*::' "$file" |
        grep -nE '(^|[^_[:alnum:]])((printf|vprintf|puts|putchar|exit|quick_exit)[[:space:]]*\(|stdout($|[^_[:alnum:]]))' |
        sed "s|^|$file:|; s|\$| (only cli/ prints or exits)|" || true)
    if [ -n "$found" ]; then
        echo "$found"
        status=1
    fi
done
exit "$status"
