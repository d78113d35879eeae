#!/usr/bin/python3
"""PyTorch's version of the paper's network, to hold train/nn against.

    apt-get install python3-torch python3-numpy
    /usr/bin/python3 torch_paper.py golden > torch_paper.json   one training step, in float64
    /usr/bin/python3 torch_paper.py bench THREADS SECONDS       images/s of training in float32, batch 32, median step

The golden holds no weights: both sides draw them, the pictures and the labels
from hash(tensor, element), which is what train/nn/torch_test.go does, too.
Gradients are kept as their norm, some elements, and sums with random signs.
The pictures are the first for which in every window of a pool the largest
value leads by CLEAR, so that float32 picks the same one.
"""
import json
import sys
import time

import numpy as np
import torch
from torch import nn

HEADS = {"emotion": (7, 2.0), "gender": (3, 0.1), "race": (3, 1.5), "age": (5, 4.0)}  # labels, loss weight
CONVS = [(1, 64, 5), (64, 64, 5), (64, 128, 3), (128, 128, 3), (128, 256, 3), (256, 256, 3)]
DROPS = [0.6, 0.5, 0.4]
PICTURES = 4
CLEAR = 1e-5
SAMPLES = 12
LR = 3e-4


def hash32(tensor, count):
    """Two rounds of a 32-bit mixer over the element's number."""
    def mix(x):
        x = x ^ (x >> np.uint32(16))
        x = x * np.uint32(0x7FEB352D)
        x = x ^ (x >> np.uint32(15))
        x = x * np.uint32(0x846CA68B)
        return x ^ (x >> np.uint32(16))
    key = np.uint32(tensor * 0x9E3779B9 & 0xFFFFFFFF)
    return mix(mix(np.arange(count, dtype=np.uint32) ^ key) + np.uint32(tensor))


def uniform(tensor, count):
    return hash32(tensor, count).astype(np.float64) / 2.0**32


def build(dropout):
    """Keras's batch norm has momentum 0.99 (0.01 in PyTorch's terms) and epsilon 1e-3."""
    body = nn.Sequential()
    for k, (i, o, n) in enumerate(CONVS, 1):
        body.add_module(f"conv{k}", nn.Conv2d(i, o, n, padding="same"))
        body.add_module(f"elu{k}", nn.ELU())
        body.add_module(f"bn{k}", nn.BatchNorm2d(o, eps=1e-3, momentum=0.01))
        if k % 2 == 0:
            body.add_module(f"pool{k}", nn.MaxPool2d(2))
            if dropout:
                body.add_module(f"drop{k}", nn.Dropout(DROPS[k // 2 - 1]))
    body.add_module("flatten", nn.Flatten())
    body.add_module("dense", nn.Linear(9216, 128))
    body.add_module("elu7", nn.ELU())
    body.add_module("bn7", nn.BatchNorm1d(128, eps=1e-3, momentum=0.01))
    if dropout:
        body.add_module("drop7", nn.Dropout(0.4))
    heads = nn.ModuleDict({name: nn.Linear(128, labels) for name, (labels, _) in HEADS.items()})
    return body, heads


def parameters(body, heads):
    """In the order of train/nn, norms with their running statistics."""
    for part in (body, heads):
        for name, layer in part.named_children():
            for kind in ("weight", "bias", "running_mean", "running_var"):
                value = getattr(layer, kind, None)
                if isinstance(value, torch.Tensor):
                    yield f"{name}.{kind}", value


def draw(name, shape, tensor):
    u = uniform(tensor, int(np.prod(shape))).reshape(shape)
    if len(shape) > 1:
        fan = np.prod(shape[1:])
        v = (2 * u - 1) * np.sqrt(6.0 / fan)
    elif name.endswith("running_var") or (name.startswith("bn") and name.endswith("weight")):
        v = 0.75 + 0.5 * u
    else:
        v = 0.2 * (u - 0.5)
    return v.astype(np.float32)


def labels():
    """One in four is not known: -1."""
    known = {}
    for k, (name, (count, _)) in enumerate(HEADS.items()):
        h = hash32(2000 + k, PICTURES).astype(np.int64)
        known[name] = np.where(h % 4 == 0, -1, h // 4 % count)
    return known


def loss_of(logits, wanted):
    return sum(weight * nn.functional.cross_entropy(logits[name], wanted[name], ignore_index=-1)
               for name, (_, weight) in HEADS.items())


def summary(tensor, value):
    flat = value.detach().numpy().astype(np.float64).ravel()
    at = hash32(3000 + tensor, SAMPLES).astype(np.int64) % len(flat)
    signs = [np.where(hash32(4000 + 100 * tensor + s, len(flat)) & np.uint32(1), 1.0, -1.0) for s in range(4)]
    return {"norm": float(np.sqrt((flat**2).sum())), "samples": [float(x) for x in flat[at]],
            "sums": [float((flat * s).sum()) for s in signs]}


def clear(body, x):
    """Tells whether float32 must pick the same pixels in all pools."""
    with torch.no_grad():
        for layer in body:
            if isinstance(layer, nn.MaxPool2d):
                windows = nn.functional.unfold(x.reshape(-1, 1, *x.shape[2:]), 2, stride=2)
                top = windows.topk(2, dim=1).values
                if (top[:, 0] - top[:, 1]).min() < CLEAR:
                    return False
            x = layer(x)
    return True


def pictures(body):
    """The number of the first clear set of pictures, and the pictures."""
    state = {name: value.clone() for name, value in body.state_dict().items()}
    for number in range(5000, 6000):
        x = uniform(number, PICTURES * 2500).astype(np.float32).reshape(PICTURES, 1, 50, 50)
        x = torch.tensor(x).double()
        found = clear(body, x)
        body.load_state_dict(state)  # the running statistics moved
        if found:
            return number, x


def golden():
    body, heads = build(dropout=False)
    body.double(), heads.double()
    with torch.no_grad():
        for t, (name, value) in enumerate(parameters(body, heads)):
            value.copy_(torch.tensor(draw(name, tuple(value.shape), t)))
    number, x = pictures(body)
    wanted = {name: torch.tensor(v) for name, v in labels().items()}
    optimiser = torch.optim.Adam([*body.parameters(), *heads.parameters()], LR, eps=1e-7)
    features = body(x)
    logits = {name: head(features) for name, head in heads.items()}
    loss = loss_of(logits, wanted)
    loss.backward()
    result = {"torch": torch.__version__, "pictures": number, "loss": loss.item(),
              "logits": {name: v.detach().numpy().ravel().tolist() for name, v in logits.items()}, "gradients": {}, "after": {}}
    for t, (name, value) in enumerate(parameters(body, heads)):
        if value.grad is not None:
            result["gradients"][name] = summary(t, value.grad)
    optimiser.step()
    for t, (name, value) in enumerate(parameters(body, heads)):
        result["after"][name] = summary(t, value)
    json.dump(result, sys.stdout, indent=1)
    print()


def bench(threads, seconds):
    torch.set_num_threads(threads)
    body, heads = build(dropout=True)
    body.to(memory_format=torch.channels_last)
    optimiser = torch.optim.Adam([*body.parameters(), *heads.parameters()], LR, eps=1e-7)
    x = torch.rand(32, 1, 50, 50).to(memory_format=torch.channels_last)
    wanted = {name: torch.randint(0, count, (32,)) for name, (count, _) in HEADS.items()}

    def step():
        optimiser.zero_grad(set_to_none=True)
        features = body(x)
        loss_of({name: head(features) for name, head in heads.items()}, wanted).backward()
        optimiser.step()

    step()
    step()
    took, end = [], time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        step()
        took.append(time.perf_counter() - start)
    print(f"{32 / float(np.median(took)):.2f}")


if __name__ == "__main__":
    if sys.argv[1:2] == ["golden"]:
        golden()
    elif sys.argv[1:2] == ["bench"] and len(sys.argv) == 4:
        bench(int(sys.argv[2]), float(sys.argv[3]))
    else:
        sys.exit(__doc__)
