#!/usr/bin/env bash
# check_layers.sh [ROOT]: who may include whom, as tools/layers.txt says. One line a violation; exit code 1 if any.
# A folder sees its own files and the public headers (include/rl/<folder>/) of the folders listed for it; a
# private header is seen by its own folder and by tests.
set -euo pipefail
cd "${1:-$(dirname "$0")/..}"

# The list itself: a folder may name only folders above it, so a cycle cannot be written down.
awk '{
    for (i = 2; i <= NF; i++) {
        if (!($i in above)) { print "tools/layers.txt:" NR ": \047" $1 "\047 names \047" $i "\047, which is not above it"; bad = 1 }
    }
    above[$1] = 1
} END { exit bad }' tools/layers.txt || status=1

folders=$(cut -d' ' -f1 tools/layers.txt)
for folder in $folders; do
    find "$folder" "include/rl/$folder" -name '*.[ch]' 2>/dev/null || true
done | sort | { xargs -r grep -nHE '^[[:space:]]*#[[:space:]]*include[[:space:]]*"' || true; } | awk -F: -v layers=tools/layers.txt '
BEGIN {
    while ((getline line < layers) > 0) {
        n = split(line, word, " ")
        known[word[1]] = 1
        for (i = 1; i <= n; i++) { sees[word[1], word[i]] = 1 }
    }
    # algos/ is arithmetic on a batch.
    split("pool.h clock.h fs.h http.h rng.h", name, " ")
    for (i in name) { refused["algos", "rl/core/" name[i]] = 1 }
}
function complain(why) { print $1 ":" $2 ": \"" header "\" " why; bad = 1 }
{
    split($1, part, "/")
    folder = part[1] == "include" ? part[3] : part[1]
    header = $3
    sub(/^[^"]*"/, "", header)
    sub(/".*/, "", header)
    n = split(header, part, "/")
    if ((folder, header) in refused) {
        complain("is refused in " folder "/")
    } else if (part[1] == "rl" && part[2] in known) {
        if (!((folder, part[2]) in sees)) { complain("is not listed for " folder "/") }
    } else if (n == 1) {
        complain("should be named with its folder")
    } else if (part[1] != folder) {
        complain("is private to " part[1] "/")
    } else if ($1 ~ /^include\//) {
        complain("is private, and this header is public")
    }
}
END { exit bad }' || status=1
exit "${status:-0}"
