"""Writes variants.json: what Hugging Face's tokenizers (0.23.3) gives for small BPE tokenizers whose
pipeline sections are varied one at a time. Their merges run across words, digits and spaces, so
that a cut in the wrong place shows in the ids. And chatml/: a byte-level tokenizer with a ChatML
template, and conversations as jinja2 renders them. Run: python3 make.py (needs `tokenizers`, `jinja2`)."""

import json
import os

import jinja2.sandbox
from tokenizers import Tokenizer, models, pre_tokenizers, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
CORPUS = [
    "def f(n):\n    if n <= 12:\n        return 1\n    return n * f(n-1)\n\n",
    "In 1234 the 12 foxes' dens weren't 100 m off; it's 3.14, isn't it?  \n\n",
    "na\u00efve caf\u00e9s \u2013 \u201cquoted\u201d \u2581mark\u2581 a--b \u4e2d\u6587 \u00bd\u2167 e\u0301 12,,34..56",
    "aa bb  aa bb  1a2b3c --- ---x x--- <s> </s> <ctl> wordy word\t\tend",
]
TEXTS = [
    "", " ", "a", "In 1234 the 12 foxes", "  def f(n):\n        return 1\n\n\n", "it's 3.14, ISN'T it?  \n",
    "na\u00efve caf\u00e9 e\u0301 \ufb01 \u00bd\u2167 \u2460 \u4e2d\u6587 \U0001f600!", "a--b---c --x x-- --", "--", "a\u180eb\u0085c\u00a0d\u3000e\u2003f",
    "\u2581mark \u2581 x", "<ctl>a<ctl> b", "x <lft> y <rgt> z<rgt>\n\n<wrd> <wrd>s a<wrd> \u00e9<wrd> (<wrd>)",
    "a <nrm>\u00e9 <nrm>e\u0301 <s>  <uzr> end", "12,,34..56\r\n\r\n7 8\n", "line\n  two\n\n three \n",
    "\U0001f600\U0001f601x\u20acz", "word\x02\x01\x7f\tend",
]
QWEN = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*"
        r"|\s*[\r\n]+|\s+(?!\S)|\s+")


def added(i, content, **flags):
    token = dict(id=i, content=content, single_word=False, lstrip=False, rstrip=False,
                 normalized=False, special=False)
    token.update(flags)
    return token


def train(byte_level):
    tokenizer = Tokenizer(models.BPE(unk_token=None if byte_level else "<unk>"))
    if byte_level:
        tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    trainer = trainers.BpeTrainer(vocab_size=380 if byte_level else 330, show_progress=False,
                                  special_tokens=["<unk>"],
                                  # some bytes stay without a token
                                  initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())[:-30]
                                  if byte_level else [])
    tokenizer.train_from_iterator(CORPUS * 3, trainer)
    base = json.loads(tokenizer.to_str())
    n = len(base["model"]["vocab"])
    base["added_tokens"] = [
        added(base["model"]["vocab"]["<unk>"], "<unk>", special=True),
        added(n, "<ctl>", special=True), added(n + 1, "<lft>", lstrip=True),
        added(n + 2, "<rgt>", rstrip=True, special=True), added(n + 3, "<wrd>", single_word=True),
        added(n + 4, "<nrm>\u00e9", normalized=True), added(n + 5, "        ", normalized=True),
        added(n + 6, "<s>", special=True), added(n + 7, "</s>", special=True),
    ]
    base["pre_tokenizer"] = None
    base["decoder"] = {"type": "Fuse"}
    return base


def split(pattern, behavior, invert=False):
    return {"type": "Split", "pattern": pattern, "behavior": behavior, "invert": invert}


def byte_level(prefix=False, regex=True):
    return {"type": "ByteLevel", "add_prefix_space": prefix, "trim_offsets": True, "use_regex": regex}


def sequence(key, *items):
    return {"type": "Sequence", key: list(items)}


def variants():
    text, regex = {"String": "--"}, {"Regex": r"\s+|\d"}
    chars = {
        "bare": {},
        "no_fuse": {"model": {"fuse_unk": False}},
        "fuse": {"model": {"fuse_unk": True}},
        "no_unk": {"model": {"unk_token": None}},
        "digits": {"pre_tokenizer": {"type": "Digits", "individual_digits": True}},
        "digit_runs": {"pre_tokenizer": {"type": "Digits", "individual_digits": False}},
        "ignore_merges": {"model": {"ignore_merges": True}, "pre_tokenizer": split(regex, "Isolated")},
        "no_decoder": {"decoder": None},
        "strip": {"decoder": sequence("decoders", {"type": "Fuse"},
                                      {"type": "Strip", "content": " ", "start": 2, "stop": 0})},
        "replace_decoder": {"decoder": sequence(
            "decoders", {"type": "Replace", "pattern": {"Regex": "[a-c]+"}, "content": "$0"},
            {"type": "Fuse"})},
        "prepend_replace": {"normalizer": sequence(
            "normalizers", {"type": "Prepend", "prepend": "\u2581"},
            {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"})},
        "replace_regex": {"normalizer": {"type": "Replace", "pattern": {"Regex": r" {2,}|^l|\n$"}, "content": "_"}},
        "lines": {"pre_tokenizer": split({"Regex": r"^\s*\S|.$"}, "Isolated")},
        "template": {"post_processor": {
            "type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
                       {"SpecialToken": {"id": "</s>", "type_id": 0}}],
            "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 0}}],
            "special_tokens": {"<s>": {"id": "<s>", "ids": ["<s>"], "tokens": ["<s>"]},
                               "</s>": {"id": "</s>", "ids": ["</s>"], "tokens": ["</s>"]}}}},
    }
    for name, value in (
            ("lowercase", {"type": "Lowercase"}),
            ("strip_both", {"type": "Strip", "strip_left": True, "strip_right": True}),
            ("strip_left", {"type": "Strip", "strip_left": True, "strip_right": False}),
            ("no_accents", sequence("normalizers", {"type": "NFD"}, {"type": "StripAccents"}, {"type": "Lowercase"}))):
        chars[name] = {"normalizer": value}
    for name, value in (
            ("whitespace", {"type": "Whitespace"}), ("whitespace_split", {"type": "WhitespaceSplit"}),
            ("punctuation", {"type": "Punctuation", "behavior": "Isolated"}),
            ("punctuation_runs", {"type": "Punctuation", "behavior": "Contiguous"}),
            ("punctuation_next", {"type": "Punctuation", "behavior": "MergedWithNext"}),
            ("delimiter", {"type": "CharDelimiterSplit", "delimiter": "-"}),
            ("nested", sequence("pretokenizers", {"type": "WhitespaceSplit"}, sequence(
                "pretokenizers", {"type": "Punctuation", "behavior": "Removed"},
                {"type": "Digits", "individual_digits": True})))):
        chars[name] = {"pre_tokenizer": value}
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        chars[form] = {"normalizer": {"type": form}}
    for behavior in ("Isolated", "Removed", "MergedWithPrevious", "MergedWithNext", "Contiguous"):
        for name, pattern in (("text", text), ("regex", regex)):
            for invert in (False, True):
                chars[f"{behavior}_{name}{'_invert' * invert}"] = {"pre_tokenizer": split(pattern, behavior, invert)}
    for scheme in ("always", "first", "never"):
        for cut in (True, False):
            space = {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": cut}
            chars[f"metaspace_{scheme}{'_split' * cut}"] = {"pre_tokenizer": space, "decoder": space}
    for kind in ("RobertaProcessing", "BertProcessing"):
        chars[kind] = {"post_processor": {"type": kind, "sep": ["</s>", "</s>"], "cls": ["<s>", "<s>"],
                                          "trim_offsets": True, "add_prefix_space": False}}
    plain = {"pre_tokenizer": byte_level(), "decoder": byte_level()}
    bytes_ = {
        "byte_level": plain,
        "byte_level_unk": dict(plain, model={"unk_token": "<unk>"}),
        "byte_level_prefix": dict(plain, pre_tokenizer=byte_level(prefix=True)),
        "byte_level_whole": dict(plain, pre_tokenizer=byte_level(regex=False)),
        "byte_level_digits": dict(plain, pre_tokenizer=sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": True}, byte_level())),
        "byte_level_digits_prefix": dict(plain, pre_tokenizer=sequence(
            "pretokenizers", {"type": "Digits", "individual_digits": False}, byte_level(prefix=True))),
        "byte_level_ignore_merges": dict(plain, model={"ignore_merges": True}),
        "byte_level_nfc": dict(plain, normalizer={"type": "NFC"}),
        "qwen2": dict(plain, normalizer={"type": "NFC"}, pre_tokenizer=sequence(
            "pretokenizers", split({"Regex": QWEN}, "Isolated"), byte_level(regex=False))),
        "qwen": dict(plain, pre_tokenizer=sequence(
            "pretokenizers", split({"Regex": QWEN}, "Isolated"), byte_level(regex=False))),
    }
    return {"chars": chars, "bytes": bytes_}


def apply(base, patch):
    out = json.loads(json.dumps(base))
    for key, value in patch.items():
        if key == "model":
            out["model"].update(value)
        else:
            out[key] = value
    if (out.get("normalizer") or {}).get("type") == "Strip":  # which leaves nothing of that token
        for token in out["added_tokens"]:
            token["content"] = token["content"].strip() or "<wide>"
    ids = {t["content"]: t["id"] for t in out["added_tokens"]}
    for special in ((out.get("post_processor") or {}).get("special_tokens") or {}).values():
        special["ids"] = [ids[i] for i in special["ids"]]
    for end in ("sep", "cls"):
        if end in (out.get("post_processor") or {}):
            out["post_processor"][end][1] = ids[out["post_processor"][end][1]]
    return out


def main():
    golden = {"texts": TEXTS, "bases": {}, "variants": []}
    for name, patches in variants().items():
        base = train(name == "bytes")
        golden["bases"][name] = base
        for variant, patch in patches.items():
            full = apply(base, patch)
            tokenizer = Tokenizer.from_str(json.dumps(full))
            row = {"name": variant, "base": name, "patch":
                   {k: full[k] for k in full if k != "model" and (k in patch or full[k] != base.get(k))},
                   "model": patch.get("model", {}), "ids": [], "framed": [], "plain": [], "decoded": [], "skipped": []}
            for text in TEXTS:
                tokenizer.encode_special_tokens = False
                ids = tokenizer.encode(text, add_special_tokens=False).ids
                row["ids"].append(ids)
                row["framed"].append(tokenizer.encode(text, add_special_tokens=True).ids)
                row["decoded"].append(tokenizer.decode(ids, skip_special_tokens=False))
                row["skipped"].append(tokenizer.decode(ids, skip_special_tokens=True))
                tokenizer.encode_special_tokens = True
                row["plain"].append(tokenizer.encode(text, add_special_tokens=False).ids)
            if row["framed"] == row["ids"]:
                del row["framed"]
            golden["variants"].append(row)
    path = os.path.join(HERE, "variants.json")
    with open(path, "w", encoding="utf-8") as f:
        f.write("{\n")
        f.write('"texts": ' + json.dumps(golden["texts"], ensure_ascii=False) + ",\n")
        f.write('"bases": ' + json.dumps(golden["bases"], ensure_ascii=False) + ",\n")
        f.write('"variants": [\n' + ",\n".join(json.dumps(v, ensure_ascii=False, separators=(",", ":"))
                                                for v in golden["variants"]) + "\n]}\n")


# SmolLM2's template with a system message of its own.
TEMPLATE = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ '<|im_start|>system\n"
    "It\\'s the default: 12 words, \"quoted\".<|im_end|>\n' }}{% endif %}{{'<|im_start|>' + message['role'] + '\n' + "
    "message['content'] + '<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}"
    "{% endif %}")
CHATS = [
    [("user", "In 1234 the 12 foxes")],
    [("system", "Be  brief."), ("user", "it's 3.14?\n\n")],
    [("user", ""), ("assistant", "aa bb"), ("user", "  def f(n):\n")],
    [("system", ""), ("user", "caf\u00e9 <ctl> \u4e2d\u6587")],
    [("user", "a"), ("system", "b")],
]


def chatml():
    names = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    full = apply(train(True), variants()["bytes"]["byte_level_digits"])
    n = len(full["model"]["vocab"])
    full["added_tokens"] = [added(n + i, name, special=True) for i, name in enumerate(names)]
    tokenizer = Tokenizer.from_str(json.dumps(full))
    template = jinja2.sandbox.ImmutableSandboxedEnvironment(trim_blocks=True, lstrip_blocks=True).from_string(TEMPLATE)
    chats = []
    for chat in CHATS:
        messages = [{"role": role, "content": content} for role, content in chat]
        rendered = template.render(messages=messages, add_generation_prompt=True)
        chats.append({"messages": messages, "rendered": rendered,
                      "ids": tokenizer.encode(rendered, add_special_tokens=False).ids})
    config = {"bos_token": names[1], "eos_token": names[2], "chat_template": TEMPLATE}
    os.makedirs(os.path.join(HERE, "chatml"), exist_ok=True)
    for name, value in (("tokenizer", full), ("tokenizer_config", config), ("chats", chats)):
        with open(os.path.join(HERE, "chatml", name + ".json"), "w", encoding="utf-8") as f:
            json.dump(value, f, ensure_ascii=False)
            f.write("\n")


main()
chatml()
