"""Trains the byte-level BPE tokenizer of the bundled model and writes its files.

Run as: python3 tools/tiny_coder/tokenizer.py CONVERSATIONS.jsonl FOLDER
Writes FOLDER/tokenizer.json and FOLDER/tokenizer_config.json in the form of Hugging Face tokenizers
(standard library only; the same files for the same text).

512 entries: 3 special tokens, 256 bytes, and 253 merges learnt from all the conversations, as many
as tools/tiny_coder/make.sh makes for it. Text is cut into single digits, line starts with their indentation, words and signs with the
space before them, and commas with the space after.
"""
import json
import os
import re
import sys
from collections import Counter

SIZE = 512
SPECIALS = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
PATTERN = r"[0-9]|\n *| ?[A-Za-z]+|, ?| ?[^\sA-Za-z0-9,]+|\s+"
TEMPLATE = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + "
            "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
            "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")


def byte_alphabet():
    """GPT-2's printable stand-ins for the 256 bytes."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    table, extra = {}, 0
    for byte in range(256):
        if byte in printable:
            table[byte] = chr(byte)
        else:
            table[byte] = chr(256 + extra)
            extra += 1
    return table


def count_words(path):
    """How often each cut piece occurs in the conversations, in the alphabet's letters."""
    alphabet, words = byte_alphabet(), Counter()
    with open(path) as lines:
        for line in lines:
            for message in json.loads(line)["messages"]:
                text = message["role"] + "\n" + message["content"] + "\n"
                words.update(re.findall(PATTERN, text))
    return {tuple(alphabet[b] for b in w.encode()): n for w, n in words.items()}


def train(words, n_merges):
    """Byte-pair merges, the most frequent pair first; of equal counts, the one that sorts first."""
    merges = []
    while len(merges) < n_merges:
        pairs = Counter()
        for word, n in words.items():
            for pair in zip(word, word[1:]):
                pairs[pair] += n
        best = min(pairs, key=lambda p: (-pairs[p], p))
        merges.append(best)
        joined = {}
        for word, n in words.items():
            out, i = [], 0
            while i < len(word):
                if word[i:i + 2] == best:
                    out.append(word[i] + word[i + 1])
                    i += 2
                else:
                    out.append(word[i])
                    i += 1
            joined[tuple(out)] = joined.get(tuple(out), 0) + n
        words = joined
    return merges


def main():
    source, folder = sys.argv[1:3]
    os.makedirs(folder, exist_ok=True)
    merges = train(count_words(source), SIZE - 256 - len(SPECIALS))
    vocab = {t: i for i, t in enumerate(SPECIALS + list(byte_alphabet().values())
                                        + [a + b for a, b in merges])}
    assert len(vocab) == SIZE
    tokenizer = {
        "version": "1.0", "truncation": None, "padding": None,
        "added_tokens": [{"id": i, "content": s, "single_word": False, "lstrip": False,
                          "rstrip": False, "normalized": False, "special": True}
                         for i, s in enumerate(SPECIALS)],
        "normalizer": None,
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [
            {"type": "Split", "pattern": {"Regex": PATTERN}, "behavior": "Isolated",
             "invert": False},
            {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True,
             "use_regex": False}]},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True,
                    "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None,
                  "continuing_subword_prefix": None, "end_of_word_suffix": None, "fuse_unk": False,
                  "byte_fallback": False, "ignore_merges": False, "vocab": vocab,
                  "merges": [f"{a} {b}" for a, b in merges]},
    }
    config = {"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": None,
              "eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "model_max_length": 512,
              "clean_up_tokenization_spaces": False, "chat_template": TEMPLATE}
    for name, what in (("tokenizer.json", tokenizer), ("tokenizer_config.json", config)):
        with open(os.path.join(folder, name), "w") as out:
            json.dump(what, out, ensure_ascii=False, indent=1)
            out.write("\n")


if __name__ == "__main__":
    main()
