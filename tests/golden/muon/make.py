"""Writes muon.json: three steps of torch.optim.Muon (torch 2.15.0) on the hidden matrices of a toy
model and torch.optim.AdamW on the rest, in float64. torch orthogonalises in bfloat16; here that type
is replaced, so that its own code runs in float64 throughout. Run: python3 make.py (needs `torch`)."""

import json
import os

import torch

torch.bfloat16 = torch.float64  # read by torch.optim._muon at every step

HERE = os.path.dirname(os.path.abspath(__file__))
# The test has the same list; the first two are not Muon's.
SHAPES = [[10, 6], [6], [12, 20], [20, 12], [16, 16], [9, 1]]
N_OTHERS = 2
STEPS = 3
SETTINGS = [
    {"lr": 0.02, "adamw_lr": 0.0, "weight_decay": 0.1, "momentum": 0.95, "ns_steps": 5,
     "adjust": "match_rms_adamw", "max_grad_norm": 1.0},
    {"lr": 0.03, "adamw_lr": 0.005, "weight_decay": 0.0, "momentum": 0.8, "ns_steps": 3,
     "adjust": "original", "max_grad_norm": 0.0},
]


def mix(x):
    """A 32-bit hash (lowbias32) of integers below 2^32."""
    x ^= x >> 16
    x = x * 0x7FEB352D & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 0x846CA68B & 0xFFFFFFFF
    return x ^ x >> 16


def numbers(shape, tensor, step):
    """In [-0.5, 0.5), exact in float32. Step 0 is the parameter, later ones its gradients."""
    n = 1
    for size in shape:
        n *= size
    at = (tensor * 16 + step) * 65536
    return torch.tensor([(mix(at + i) >> 8) / 2**24 - 0.5 for i in range(n)],
                        dtype=torch.float64).reshape(shape)


def run(setting):
    params = [torch.nn.Parameter(numbers(shape, i, 0)) for i, shape in enumerate(SHAPES)]
    muon = torch.optim.Muon(params[N_OTHERS:], weight_decay=setting["weight_decay"],
                            momentum=setting["momentum"], ns_steps=setting["ns_steps"],
                            adjust_lr_fn=setting["adjust"])
    decays = [p for p in params[:N_OTHERS] if p.ndim == 2]
    vectors = [p for p in params[:N_OTHERS] if p.ndim == 1]
    adamw = torch.optim.AdamW([{"params": decays, "weight_decay": setting["weight_decay"]},
                               {"params": vectors, "weight_decay": 0.0}],
                              betas=(0.9, 0.99), eps=1e-6)
    for step in range(1, STEPS + 1):
        for i, p in enumerate(params):
            p.grad = numbers(p.shape, i, step)
        if setting["max_grad_norm"] > 0:
            torch.nn.utils.clip_grad_norm_(params, setting["max_grad_norm"])
        for group in muon.param_groups:
            group["lr"] = setting["lr"] / step
        for group in adamw.param_groups:
            group["lr"] = (setting["adamw_lr"] or setting["lr"]) / step
        muon.step()
        adamw.step()
    after = [[float(f"{x:.10g}") for x in p.detach().reshape(-1).tolist()] for p in params]
    return setting | {"after": after}


if __name__ == "__main__":
    with open(os.path.join(HERE, "muon.json"), "w", encoding="utf-8") as f:
        json.dump({"runs": [run(s) for s in SETTINGS]}, f, separators=(",", ":"))
        f.write("\n")
