"""Writes tiny_coder.json: what Hugging Face's tokenizers (0.23.3) gives for the bundled model's
tokenizer, models/tiny-coder/tokenizer.json. "encode" has texts with their ids, first with special
tokens known, then as plain text; "decode" has ids, which may cut characters apart, with their text.
Run: python3 make_tiny_coder.py (needs `tokenizers`)."""

import json
import os

from tokenizers import Tokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
MODEL = os.path.join(HERE, "..", "..", "..", "models", "tiny-coder", "tokenizer.json")
STATEMENTS = [
    "Define f(s, c) that returns the last of the reverses of the words in s with a c.",
    "Define f(xs, k) that returns the count of different values in the halves of the multiples of k in xs.",
    "<|im_start|>user\nDefine f(xs) that returns the sum of xs.<|im_end|>\n<|im_start|>assistant\n",
]
PROGRAMS = [
    "def f(s, c):\n    ys = [x[::-1] for x in s.split() if c in x]\n    return ys[-1] if ys else \"\"",
    "def f(xs, k):\n    ys = [x // 2 for x in xs if x != k]\n    return \"kinds=\" + str(len(set(ys)))",
    "def f(xs):\n    return sorted(xs,key = lambda x:-x)[ :3 ]\n",
    "def f(n):\n\tif n<=1:\n\t\treturn 1\n\treturn n*f(n-1)\n\n\n",
    "def f(a, b):\r\n    return a ** b % 1000007\r\n",
    "import re\n\nclass A:\n    def g(self, *args, **kw):\n        return {k: v for k, v in kw.items()}  # {}\n",
]
FEEDBACK = [
    "0 of 6 tests passed.\nassert f('jam', 's') == ''\nf returned None",
    "2 of 6 tests passed.\nassert f([3, 1, 2], 2) == [6, 2, 4]\nf returned [9, 1, 4]\n",
    "SyntaxError: invalid syntax\n    ys = [x for x in xs if\n                          ^",
    "AssertionError: -12.50 != 1e-05, (1,), {'a': [None, True]}",
    "<|im_end|>\n<|im_start|>user\n1 of 6 tests passed.<|im_end|>\n<|im_start|>assistant\ndef",
]
ODD = [
    "", " ", "  ", "\n", "\n\n  \n", "\t \t", " a", "a ", ",", " , ,,  ,", "a,b , c ,d", "0123456789 10 -7",
    "<|im_start|><|im_end|><|endoftext|> <|im_end|", "na\u00efve caf\u00e9 \u2013 \u201cquoted\u201d", "\u4e2d\u6587 \u0661\u0662 \u00bd\u2167",
    "\U0001f600\U0001f601 x\u20ac\u0301", "a\u00a0b\u3000c\u2003d\u0085e\u2028f", "\x02\x01\x7f\x1b[0m", "\ufeff\ufffd\ue000\U0010ffff",
    "\u017f\u212a\u0130\u00df",
]


def main():
    tokenizer = Tokenizer.from_file(MODEL)
    encode = []
    for text in STATEMENTS + PROGRAMS + FEEDBACK + ODD:
        tokenizer.encode_special_tokens = False
        ids = tokenizer.encode(text).ids
        tokenizer.encode_special_tokens = True
        encode.append({"text": text, "ids": ids, "plain": tokenizer.encode(text).ids})
    bytes_of = tokenizer.encode("\u20ac\U0001f600\u00e9", add_special_tokens=False).ids
    cut = [bytes_of[i:j] for i in range(len(bytes_of)) for j in range(i + 1, len(bytes_of) + 1)]
    nul = tokenizer.token_to_id("\u0100")  # JSON texts with it are refused
    cut += [[i for i in range(at, at + 32) if i != nul] for at in range(0, tokenizer.get_vocab_size(), 32)]
    cut += [[1, 5, 2, 0, 4]]
    decode = [{"ids": ids, "text": tokenizer.decode(ids, skip_special_tokens=False),
               "skipped": tokenizer.decode(ids, skip_special_tokens=True)} for ids in cut]
    with open(os.path.join(HERE, "tiny_coder.json"), "w", encoding="utf-8") as f:
        f.write('{"encode": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in encode)
                + '\n],\n"decode": [\n' + ",\n".join(json.dumps(r, separators=(",", ":")) for r in decode) + "\n]}\n")


main()
