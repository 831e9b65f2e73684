"""Files in the layout of the released ones, with random weights that make every branch matter."""

from __future__ import annotations

import math
from pathlib import Path

import torch
from torch import Tensor

from fctl_napari.model.released import CONVS, SLICES

SCALES = {
    "conv_query": 0.6,
    "conv_key": 0.6,
    "conv_value": 2.0,
    "in_": 1.5,
    "trans": 1.5,
    "out_": 2.0,
    "output": 1.4,
    "adj_pool4": 60.0,
    "adj_pool3": 4000.0,
}
GAMMA = {"gamma": 0.5, "gamma_1": 0.7, "gamma_2": 0.3}


def encoder(prefix: str, generator: torch.Generator) -> dict[str, Tensor]:
    """The slices ``pool3``, ``pool4`` and ``pool5`` of one VGG16."""
    state = {}
    for name, part in SLICES.items():
        for n, (before, after) in CONVS.items():
            if n in part:
                gain = 6.0 if n == 0 else 1.1
                weight = torch.randn(after, before, 3, 3, generator=generator) * gain * math.sqrt(2 / (9 * before))
                key = f"{prefix}{name}.{n - part.start}"
                state[f"{key}.weight"] = weight - weight.mean((1, 2, 3), keepdim=True)
                state[f"{key}.bias"] = torch.randn(after, generator=generator) * 0.05
    return state


def network(classes: int, generator: torch.Generator) -> dict[str, Tensor]:
    """Attention, fusion and decoder."""

    def layer(name: str, after: int, before: int, kernel: int = 1, bias: bool = True) -> dict[str, Tensor]:
        scale = next(value for part, value in SCALES.items() if part in name)
        fan_in = before * kernel**2
        weight = torch.randn(after, before, kernel, kernel, generator=generator) * scale / math.sqrt(fan_in)
        out = {f"{name}.weight": weight}
        return out | ({f"{name}.bias": torch.randn(after, generator=generator) * 0.05} if bias else {})

    state: dict[str, Tensor] = {}
    for i, suffix in enumerate(("", "_1", "_2"), 1):
        state[f"big_attention.gamma{suffix}"] = torch.tensor([GAMMA[f"gamma{suffix}"]])
        state |= layer(f"big_attention.conv_value{suffix}", 512, 512, bias=False)
        for part in (f"conv_query{suffix}", f"conv_key{suffix}", f"in_{i}", f"out_{i}"):
            state |= layer(f"big_attention.{part}", 512, 512)
    state |= layer("big_attention.trans", 1536, 1536)
    state |= layer("adj_pool3", classes, 256) | layer("adj_pool4", classes, 512)
    state |= layer("output.0", 4096, 512, 7) | layer("output.3", 4096, 4096) | layer("output.6", classes, 4096)
    for name, kernel in {"up_output": 4, "up_pool4_out": 4, "up_final": 16}.items():
        state[f"{name}.weight"] = torch.rand(classes, classes, kernel, kernel, generator=generator) / classes
    return state


def write_released_files(folder: Path, classes: int, seed: int = 0) -> tuple[Path, Path, Path]:
    """Write ALL, a bare MEDIUM, and LARGE as a whole network; without the dead classifiers, to save space."""
    generator = torch.Generator().manual_seed(seed)
    whole = encoder("", generator) | network(classes, generator)
    # a dead copy that disagrees: the slices win
    whole["vgg.features.0.weight"] = torch.zeros(64, 3, 3, 3)
    whole["vgg.classifier.6.bias"] = torch.zeros(1000)
    medium = encoder("big_", generator)
    large = encoder("big_", generator) | {k: v[:1].clone().expand(v.shape) for k, v in whole.items()}
    paths = folder / "all.epoch.pth", folder / "B10.epoch.pth", folder / "B15.epoch.pth"
    for path, state in zip(paths, (whole, medium, large), strict=True):
        torch.save({f"module.{key}": value for key, value in state.items()}, path)
    return paths
