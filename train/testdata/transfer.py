#!/usr/bin/python3
"""What PyTorch makes of the networks that take others' weights, with random ones.

    apt-get install python3-torch python3-torchvision python3-numpy
    /usr/bin/python3 transfer.py > transfer.json

vgg16 is torchvision's own; resnet50v2 follows Keras's applications/resnet_v2.py,
facenet facenet-pytorch's models/inception_resnet_v1.py, both in eval mode. Neither
library is used. Weights, the picture and a head of five labels are drawn from
hash(crc32 of the name here, element), as train/naming_test.go does; the JSON has
the answers of the head alone. Padding, strides, order of branches and scales are
the library's, written down in its terms.
"""
import json
import os
import sys
import zlib

import numpy as np
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "../nn/testdata"))
from torch_paper import uniform  # noqa: E402


def draw(name, shape):
    u = uniform(zlib.crc32(name.encode()), int(np.prod(shape))).reshape(shape)
    part = name.rsplit(".", 1)[1]
    if len(shape) > 1:
        v = (2 * u - 1) * np.sqrt(6.0 / np.prod(shape[1:]))
    elif part == "running_var" or part == "weight":
        v = 0.75 + 0.5 * u
    else:
        v = 0.2 * (u - 0.5)
    return torch.tensor(v.astype(np.float32))


def fill(model, ours=lambda name: name):
    """Draws every parameter by the name that it has in mien."""
    with torch.no_grad():
        for name, value in model.state_dict().items():
            if not name.endswith("num_batches_tracked"):
                value.copy_(draw(ours(name), tuple(value.shape)))
    return model.eval()


def vgg16(x):
    names = iter(f"block{b}_conv{k}" for b, n in ((1, 2), (2, 2), (3, 3), (4, 3), (5, 3)) for k in range(1, n + 1))
    body = torchvision.models.vgg16(weights=None).features
    layers = {i: next(names) for i, layer in enumerate(body) if isinstance(layer, nn.Conv2d)}
    fill(body, lambda n: layers[int(n.split(".")[0])] + "." + n.split(".")[1])
    mean, std = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    x = (x.expand(-1, 3, -1, -1) - mean[:, None, None]) / std[:, None, None]
    return body(x).mean((2, 3))


class Keras(nn.Module):
    """ResNet50V2 with weights asked for by name."""

    def conv(self, x, name, inputs, outputs, kernel, stride=1, bias=True):
        w = draw(f"{name}.weight", (outputs, inputs, kernel, kernel))
        return F.conv2d(x, w, draw(f"{name}.bias", (outputs,)) if bias else None, stride)

    def norm(self, x, name):
        p = {k: draw(f"{name}_bn.{k}", (x.shape[1],)) for k in ("running_mean", "running_var", "weight", "bias")}
        return F.relu(F.batch_norm(x, p["running_mean"], p["running_var"], p["weight"], p["bias"], eps=1.001e-5))

    def block(self, x, filters, name, stride=1, shortcut=False):
        preact = self.norm(x, f"{name}_preact")
        if shortcut:
            past = self.conv(preact, f"{name}_0_conv", x.shape[1], 4 * filters, 1, stride)
        else:
            past = F.max_pool2d(x, 1, stride) if stride > 1 else x
        x = self.norm(self.conv(preact, f"{name}_1_conv", x.shape[1], filters, 1, bias=False), f"{name}_1")
        x = self.norm(self.conv(F.pad(x, (1, 1, 1, 1)), f"{name}_2_conv", filters, filters, 3, stride, bias=False), f"{name}_2")
        return past + self.conv(x, f"{name}_3_conv", filters, 4 * filters, 1)

    def forward(self, x):
        x = self.conv(F.pad(x.expand(-1, 3, -1, -1) * 2 - 1, (3, 3, 3, 3)), "conv1_conv", 3, 64, 7, 2)
        x = F.max_pool2d(F.pad(x, (1, 1, 1, 1)), 3, 2)
        for stack, filters, blocks, stride in ((2, 64, 3, 2), (3, 128, 4, 2), (4, 256, 6, 2), (5, 512, 3, 1)):
            x = self.block(x, filters, f"conv{stack}_block1", shortcut=True)
            for i in range(2, blocks):
                x = self.block(x, filters, f"conv{stack}_block{i}")
            x = self.block(x, filters, f"conv{stack}_block{blocks}", stride)
        return self.norm(x, "post").mean((2, 3))


class Basic(nn.Module):
    def __init__(self, inputs, outputs, kernel, stride=1, padding=0):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(outputs, eps=0.001)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class Residual(nn.Module):
    def __init__(self, scale, branches, joined, outputs, relu=True):
        super().__init__()
        self.scale, self.relu, self.n = scale, relu, len(branches)
        for i, b in enumerate(branches):
            setattr(self, f"branch{i}", b)
        self.conv2d = nn.Conv2d(joined, outputs, 1)

    def forward(self, x):
        out = self.conv2d(torch.cat([getattr(self, f"branch{i}")(x) for i in range(self.n)], 1)) * self.scale + x
        return F.relu(out) if self.relu else out


class Mixed(nn.Module):
    def __init__(self, *branches):
        super().__init__()
        self.n = len(branches)
        for i, b in enumerate(branches):
            setattr(self, f"branch{i}", b)

    def forward(self, x):
        return torch.cat([getattr(self, f"branch{i}")(x) for i in range(self.n)], 1)


def block35():
    return Residual(0.17, [Basic(256, 32, 1), nn.Sequential(Basic(256, 32, 1), Basic(32, 32, 3, 1, 1)),
                           nn.Sequential(Basic(256, 32, 1), Basic(32, 32, 3, 1, 1), Basic(32, 32, 3, 1, 1))], 96, 256)


def block17():
    return Residual(0.10, [Basic(896, 128, 1), nn.Sequential(Basic(896, 128, 1), Basic(128, 128, (1, 7), 1, (0, 3)),
                                                            Basic(128, 128, (7, 1), 1, (3, 0)))], 256, 896)


def block8(scale=0.20, relu=True):
    return Residual(scale, [Basic(1792, 192, 1), nn.Sequential(Basic(1792, 192, 1), Basic(192, 192, (1, 3), 1, (0, 1)),
                                                              Basic(192, 192, (3, 1), 1, (1, 0)))], 384, 1792, relu)


class FaceNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv2d_1a = Basic(3, 32, 3, 2)
        self.conv2d_2a = Basic(32, 32, 3)
        self.conv2d_2b = Basic(32, 64, 3, 1, 1)
        self.conv2d_3b = Basic(64, 80, 1)
        self.conv2d_4a = Basic(80, 192, 3)
        self.conv2d_4b = Basic(192, 256, 3, 2)
        self.repeat_1 = nn.Sequential(*[block35() for _ in range(5)])
        self.mixed_6a = Mixed(Basic(256, 384, 3, 2), nn.Sequential(Basic(256, 192, 1), Basic(192, 192, 3, 1, 1), Basic(192, 256, 3, 2)),
                              nn.MaxPool2d(3, 2))
        self.repeat_2 = nn.Sequential(*[block17() for _ in range(10)])
        self.mixed_7a = Mixed(nn.Sequential(Basic(896, 256, 1), Basic(256, 384, 3, 2)), nn.Sequential(Basic(896, 256, 1), Basic(256, 256, 3, 2)),
                              nn.Sequential(Basic(896, 256, 1), Basic(256, 256, 3, 1, 1), Basic(256, 256, 3, 2)), nn.MaxPool2d(3, 2))
        self.repeat_3 = nn.Sequential(*[block8() for _ in range(5)])
        self.block8 = block8(1.0, False)
        self.last_linear = nn.Linear(1792, 512, bias=False)
        self.last_bn = nn.BatchNorm1d(512, eps=0.001)

    def forward(self, x):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3).expand(-1, 3, -1, -1)
        x = self.conv2d_2b(self.conv2d_2a(self.conv2d_1a((x * 255 - 127.5) / 128)))
        x = self.conv2d_4b(self.conv2d_4a(self.conv2d_3b(F.max_pool2d(x, 3, 2))))
        x = self.repeat_3(self.mixed_7a(self.repeat_2(self.mixed_6a(self.repeat_1(x)))))
        return self.last_bn(self.last_linear(self.block8(x).mean((2, 3))))


if __name__ == "__main__":
    picture = torch.tensor(uniform(1, 2500).astype(np.float32)).reshape(1, 1, 50, 50)
    answers = {}
    with torch.no_grad():
        for name, net in (("vgg16", vgg16), ("resnet50v2", Keras()), ("facenet", fill(FaceNet()))):
            x = net(picture)
            answers[name] = (x @ draw("mood.weight", (5, x.shape[1])).T + draw("mood.bias", (5,)))[0].tolist()
    json.dump(answers, sys.stdout, indent=1)
    print()
