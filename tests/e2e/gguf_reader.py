"""What the Python package gguf reads of a GGUF file against what it makes of the checkpoint, bit for bit.

usage: gguf_reader.py FOLDER F32.gguf [OTHER.gguf]...   (exit code 77 without the package)
"""
import json
import pathlib
import struct
import sys

try:
    import numpy
    from gguf import GGUFReader
    from gguf.quants import quantize
except ImportError as error:
    print(f"skipped: {error}")
    sys.exit(77)


def safetensors(path):
    data = path.read_bytes()
    size = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8:8 + size])
    header.pop("__metadata__", None)
    return {name: numpy.frombuffer(data, "<f4", offset=8 + size + row["data_offsets"][0],
                                   count=int(numpy.prod(row["shape"]))).reshape(row["shape"])
            for name, row in header.items()}


NAMES = {
    "token_embd.weight": "model.embed_tokens.weight",
    "output_norm.weight": "model.norm.weight",
    "attn_norm.weight": "input_layernorm.weight",
    "attn_q.weight": "self_attn.q_proj.weight",
    "attn_k.weight": "self_attn.k_proj.weight",
    "attn_v.weight": "self_attn.v_proj.weight",
    "attn_output.weight": "self_attn.o_proj.weight",
    "ffn_norm.weight": "post_attention_layernorm.weight",
    "ffn_gate.weight": "mlp.gate_proj.weight",
    "ffn_up.weight": "mlp.up_proj.weight",
    "ffn_down.weight": "mlp.down_proj.weight",
}


def hf_name(name):
    if name in NAMES:
        return NAMES[name]
    _, layer, rest = name.split(".", 2)
    return f"model.layers.{layer}.{NAMES[rest]}"


def permuted(weight, heads):
    """convert_hf_to_gguf.py's LlamaModel.permute."""
    rows, cols = weight.shape
    return weight.reshape(heads, 2, rows // heads // 2, cols).swapaxes(1, 2).reshape(rows, cols)


def main():
    folder = pathlib.Path(sys.argv[1])
    config = json.loads((folder / "config.json").read_text())
    weights = safetensors(folder / "model.safetensors")
    vocab = json.loads((folder / "tokenizer.json").read_text())
    for path in sys.argv[2:]:
        reader = GGUFReader(path)
        field = {key: value.contents() for key, value in reader.fields.items()}
        assert field["general.architecture"] == "llama"
        assert field["llama.block_count"] == config["num_hidden_layers"]
        assert field["llama.embedding_length"] == config["hidden_size"]
        assert field["llama.attention.head_count"] == config["num_attention_heads"]
        assert field["llama.attention.head_count_kv"] == config["num_key_value_heads"]
        assert len(field["tokenizer.ggml.tokens"]) == config["vocab_size"]
        assert len(field["tokenizer.ggml.token_type"]) == config["vocab_size"]
        for text, number in vocab["model"]["vocab"].items():
            assert field["tokenizer.ggml.tokens"][number] == text
        merges = [m if isinstance(m, str) else " ".join(m) for m in vocab["model"]["merges"]]
        assert field["tokenizer.ggml.merges"] == merges
        for token in vocab["added_tokens"]:
            assert field["tokenizer.ggml.token_type"][token["id"]] == (3 if token["special"] else 4)
        assert len(reader.tensors) == len(weights)
        kinds = {}
        for tensor in reader.tensors:
            want = weights[hf_name(tensor.name)]
            heads = {"attn_q": "num_attention_heads", "attn_k": "num_key_value_heads"}
            key = tensor.name.split(".")[-2]
            if key in heads:
                want = permuted(want, config[heads[key]])
            kind = tensor.tensor_type.name
            kinds[kind] = kinds.get(kind, 0) + 1
            bits = quantize(want, tensor.tensor_type)
            assert tensor.data.tobytes() == bits.tobytes(), f"{tensor.name} as {kind}"
        print(f"{path}: {kinds}")


main()
