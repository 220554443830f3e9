"""Makes this folder: a tiny random Llama checkpoint with a ChatML byte-level tokenizer, for end-to-end tests.

Run as: python3 make.py   (standard library only; the same files every time)
"""
import json, random, struct

V, C, L, H, K, F = 300, 48, 2, 6, 2, 112
D = C // H
random.seed(20251126)

config = {
    "architectures": ["LlamaForCausalLM"], "model_type": "llama", "hidden_act": "silu",
    "attention_bias": False, "mlp_bias": False, "hidden_size": C, "intermediate_size": F,
    "num_hidden_layers": L, "num_attention_heads": H, "num_key_value_heads": K, "head_dim": D,
    "max_position_embeddings": 1024, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "rope_scaling": None,
    "tie_word_embeddings": True, "vocab_size": V, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0,
    "torch_dtype": "float32", "initializer_range": 0.02,
}
json.dump(config, open("config.json", "w"), indent=2)
json.dump({"bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}, open("generation_config.json", "w"), indent=2)

# Byte-level alphabet of GPT-2: printable bytes stand for themselves, the others for code points from 256 on.
printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
alphabet, extra = {}, 0
for b in range(256):
    if b in printable:
        alphabet[b] = chr(b)
    else:
        alphabet[b] = chr(256 + extra)
        extra += 1
space = alphabet[32]
specials = ["<pad>", "<|im_start|>", "<|im_end|>"]
vocab = {s: i for i, s in enumerate(specials)}
for b in range(256):
    vocab[alphabet[b]] = len(vocab)
pairs = [(space, "t"), (space, "a"), ("i", "n"), ("h", "e"), (space, space), ("r", "e"), ("o", "n"), ("e", "r"),
         (space, "s"), (space + "t", "he"), ("e", "s"), ("s", "t"), ("o", "r"), (space, "f"), ("e", "n"),
         (space, "w"), ("i", "t"), (space, "o"), ("a", "n"), (space, "i"), ("l", "e"), (space, "b"), ("t", "u"),
         ("tu", "r"), ("d", "e"), ("de", "f"), ("re", "tur"), ("retur", "n"), (space + space, space + space),
         ("a", "s"), ("as", "s"), ("ass", "er"), ("asser", "t"), ("p", "y"), ("py", "t"), ("h", "on"),
         ("pyt", "hon"), (space, "="), ("`", "`"), ("``", "`"), ("u", "s")]
for a, b in pairs:
    assert a in vocab and b in vocab, (a, b)
    vocab[a + b] = len(vocab)
assert len(vocab) == V, len(vocab)

added = [{"id": i, "content": s, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
          "special": True} for i, s in enumerate(specials)]
tokenizer = {
    "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None,
    "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
    "post_processor": None,
    "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
    "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
              "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
              "vocab": vocab, "merges": [f"{a} {b}" for a, b in pairs]},
}
json.dump(tokenizer, open("tokenizer.json", "w"), ensure_ascii=False, indent=0)
template = ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + "
            "'<|im_end|>' + '\n'}}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}")
json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|im_start|>", "eos_token": "<|im_end|>",
           "pad_token": "<pad>", "chat_template": template}, open("tokenizer_config.json", "w"), indent=2)

shapes = {"model.embed_tokens.weight": [V, C], "model.norm.weight": [C]}
for i in range(L):
    p = f"model.layers.{i}."
    shapes |= {p + "input_layernorm.weight": [C], p + "post_attention_layernorm.weight": [C],
               p + "self_attn.q_proj.weight": [H * D, C], p + "self_attn.k_proj.weight": [K * D, C],
               p + "self_attn.v_proj.weight": [K * D, C], p + "self_attn.o_proj.weight": [C, H * D],
               p + "mlp.gate_proj.weight": [F, C], p + "mlp.up_proj.weight": [F, C],
               p + "mlp.down_proj.weight": [C, F]}
header, data = {"__metadata__": {"format": "pt"}}, bytearray()
for name in sorted(shapes):
    n = 1
    for d in shapes[name]:
        n *= d
    values = [1.0] * n if len(shapes[name]) == 1 else [random.gauss(0, 0.08) for _ in range(n)]
    begin = len(data)
    data += struct.pack(f"<{n}f", *values)
    header[name] = {"dtype": "F32", "shape": shapes[name], "data_offsets": [begin, len(data)]}
text = json.dumps(header).encode()
text += b" " * (-len(text) % 8)
open("model.safetensors", "wb").write(struct.pack("<Q", len(text)) + text + data)
