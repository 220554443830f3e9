"""Our tokenizer beside Hugging Face's `tokenizers`, one thread each, on the same text in the same run:

    python3 tests/bench/bench_tokenizer.py BENCH_TOKENIZER FOLDER... [--text FILE] [--rounds N]

BENCH_TOKENIZER is the program built of bench_tokenizer.c, each FOLDER holds a tokenizer.json. Without
--text the text is this repository's documents and C sources. The two take turns, so that neighbours on
the machine hit both; the best of the rounds counts. Encoding there is encode_batch_fast, the quickest
of its interfaces, with one thread. All ids are compared: a difference ends the run with status 1.
"""

import argparse
import glob
import json
import os
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
import tokenizers  # noqa: E402

DOC_BYTES = 2000  # as in bench_tokenizer.c


def own_text():
    root = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")
    names = sorted(glob.glob(os.path.join(root, "docs", "*.md")) + glob.glob(os.path.join(root, "*", "*.c")))
    return b"".join(open(name, "rb").read() for name in names)


def documents(text):
    out = []
    while text:
        end = text.find(b"\n", DOC_BYTES) if len(text) > DOC_BYTES else -1
        end = len(text) if end < 0 else end + 1
        out.append(text[:end].decode("utf-8"))
        text = text[end:]
    return out


def hash_of(ids):
    h = 0xCBF29CE484222325
    for i in ids:
        h = (h ^ i) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return f"{h:016x}"


def theirs(folder, docs):
    start = time.perf_counter()
    tokenizer = tokenizers.Tokenizer.from_file(os.path.join(folder, "tokenizer.json"))
    loaded = time.perf_counter()
    encoded = tokenizer.encode_batch_fast(docs, add_special_tokens=False)
    done = time.perf_counter()
    return {"load_s": loaded - start, "encode_s": done - loaded,
            "hash": hash_of(i for one in encoded for i in one.ids)}


def best(rounds, key):
    return min(one[key] for one in rounds)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("program")
    parser.add_argument("folder", nargs="+")
    parser.add_argument("--text")
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    text = open(args.text, "rb").read() if args.text else own_text()
    docs = documents(text)
    equal = True
    print(f"tokenizers {tokenizers.__version__}, {len(text) / 1e6:.2f} MB in {len(docs)} documents, 1 thread")
    print("| tokenizer | encode MB/s | theirs | ratio | load ms | theirs | ratio | ids |")
    print("| --- | --- | --- | --- | --- | --- | --- | --- |")
    with tempfile.NamedTemporaryFile() as file:
        file.write(text)
        file.flush()
        for folder in args.folder:
            us, them = [], []
            for _ in range(args.rounds):
                done = subprocess.run([args.program, folder, file.name, "1"], check=True, capture_output=True)
                us.append(json.loads(done.stdout))
                them.append(theirs(folder, docs))
            same = us[0]["hash"] == them[0]["hash"]
            equal &= same
            speed, their_speed = (len(text) / best(side, "encode_s") / 1e6 for side in (us, them))
            load, their_load = (1e3 * best(side, "load_s") for side in (us, them))
            print(f"| {os.path.basename(folder.rstrip('/'))} | {speed:.1f} | {their_speed:.2f} | "
                  f"{speed / their_speed:.1f} | {load:.0f} | {their_load:.0f} | {their_load / load:.1f} | "
                  f"{'equal' if same else 'DIFFERENT'} |", flush=True)
    return 0 if equal else 1


if __name__ == "__main__":
    sys.exit(main())
