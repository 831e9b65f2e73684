"""State dicts in the layouts in which weights are published, with random values."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from torch import Tensor


def vgg16() -> dict[str, Tensor]:
    """Torchvision's layout: ``features.N``, and a small stand-in for the classifier that nobody reads."""
    state = {}
    before = 3
    indices = (0, 2, 5, 7, 10, 12, 14, 17, 19, 21, 24, 26, 28)
    widths = (64, 64, 128, 128, 256, 256, 256, 512, 512, 512, 512, 512, 512)
    for n, width in zip(indices, widths, strict=True):
        state[f"features.{n}.weight"] = torch.randn(width, before, 3, 3) * (2 / (9 * before)) ** 0.5
        state[f"features.{n}.bias"] = 0.1 * torch.randn(width)
        before = width
    state["classifier.0.weight"] = torch.zeros(4, 4)
    return state


EFFICIENTNETS = {
    "efficientnet_lite0": ((1, 2, 2, 3, 3, 4, 1), (16, 24, 40, 80, 112, 192, 320)),
    "efficientnet_lite2": ((1, 3, 3, 4, 4, 5, 1), (16, 24, 48, 88, 120, 208, 352)),
}
"""Blocks of each stage, and their channels."""


def efficientnet(name: str = "efficientnet_lite0") -> dict[str, Tensor]:
    """The layout of the package ``efficientnet-lite-pytorch``."""
    state: dict[str, Tensor] = {}

    def conv(name: str, after: int, before: int, kernel: int) -> None:
        state[f"{name}.weight"] = torch.randn(after, before, kernel, kernel) * (2 / (before * kernel**2)) ** 0.5

    def norm(name: str, width: int) -> None:
        state[f"{name}.weight"] = 1 + 0.1 * torch.randn(width)
        state[f"{name}.bias"] = 0.1 * torch.randn(width)
        state[f"{name}.running_mean"] = 0.1 * torch.randn(width)
        state[f"{name}.running_var"] = 0.5 + torch.rand(width)
        state[f"{name}.num_batches_tracked"] = torch.tensor(1)

    conv("_conv_stem", 32, 3, 3)
    norm("_bn0", 32)
    repeats, channels = EFFICIENTNETS[name]
    stages = zip(repeats, (3, 3, 5, 3, 5, 5, 3), channels, strict=True)
    blocks = [(kernel, width) for repeat, kernel, width in stages for _ in range(repeat)]
    before = 32
    for number, (kernel, width) in enumerate(blocks):
        inner = before if number == 0 else before * 6
        if number > 0:
            conv(f"_blocks.{number}._expand_conv", inner, before, 1)
            norm(f"_blocks.{number}._bn0", inner)
        conv(f"_blocks.{number}._depthwise_conv", inner, 1, kernel)
        norm(f"_blocks.{number}._bn1", inner)
        conv(f"_blocks.{number}._project_conv", width, inner, 1)
        norm(f"_blocks.{number}._bn2", width)
        before = width
    conv("_conv_head", 1280, before, 1)
    norm("_bn1", 1280)
    state["_fc.weight"] = torch.zeros(4, 1280)
    return state


def real_efficientnet(name: str = "efficientnet_lite0") -> Path | None:
    """The published file, where ``FCTL_EFFICIENTNET_LITE0_WEIGHTS`` or its like names it."""
    path = os.environ.get(f"FCTL_{name.upper()}_WEIGHTS")
    return Path(path) if path else None


def mit_keys(depths: list[int]) -> list[str]:
    """Encoder keys of the files ``nvidia/mit-b*``."""
    reductions = (8, 4, 2, 1)
    names = []
    for stage, (depth, reduction) in enumerate(zip(depths, reductions, strict=True)):
        names += [f"patch_embeddings.{stage}.{part}" for part in ("proj", "layer_norm")]
        for layer in range(depth):
            parts = [f"attention.self.{p}" for p in ("query", "key", "value")]
            parts += ["attention.self.sr", "attention.self.layer_norm"] if reduction > 1 else []
            parts += ["attention.output.dense", "layer_norm_1", "layer_norm_2"]
            parts += ["mlp.dense1", "mlp.dense2", "mlp.dwconv.dwconv"]
            names += [f"block.{stage}.{layer}.{part}" for part in parts]
        names.append(f"layer_norm.{stage}")
    return [f"segformer.encoder.{name}.{kind}" for name in names for kind in ("weight", "bias")]


def resnet50() -> dict[str, Tensor]:
    """Torchvision's layout."""
    state: dict[str, Tensor] = {}

    def conv(name: str, after: int, before: int, kernel: int) -> None:
        state[f"{name}.weight"] = torch.randn(after, before, kernel, kernel) * (2 / (before * kernel**2)) ** 0.5

    conv("conv1", 64, 3, 7)
    _norm(state, "bn1", 64)
    before = 64
    for layer, (blocks, inner) in enumerate(((3, 64), (4, 128), (6, 256), (3, 512)), 1):
        for i in range(blocks):
            name = f"layer{layer}.{i}"
            shapes = ((inner, before, 1), (inner, inner, 3), (4 * inner, inner, 1))
            for n, (after, channels, kernel) in enumerate(shapes, 1):
                conv(f"{name}.conv{n}", after, channels, kernel)
                _norm(state, f"{name}.bn{n}", after)
            if i == 0:
                conv(f"{name}.downsample.0", 4 * inner, before, 1)
                _norm(state, f"{name}.downsample.1", 4 * inner)
            before = 4 * inner
    state["fc.weight"], state["fc.bias"] = torch.zeros(1000, 2048), torch.zeros(1000)
    return state


def vgg16_bn() -> dict[str, Tensor]:
    """Torchvision's layout, with a small stand-in for the classifier that nobody reads."""
    state: dict[str, Tensor] = {}
    before, n = 3, 0
    for blocks, width in ((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)):
        for _ in range(blocks):
            state[f"features.{n}.weight"] = torch.randn(width, before, 3, 3) * (2 / (9 * before)) ** 0.5
            state[f"features.{n}.bias"] = 0.1 * torch.randn(width)
            _norm(state, f"features.{n + 1}", width)
            before, n = width, n + 3
        n += 1
    state["classifier.0.weight"] = torch.zeros(4, 4)
    return state


def _norm(state: dict[str, Tensor], name: str, width: int) -> None:
    state[f"{name}.weight"] = 1 + 0.1 * torch.randn(width)
    state[f"{name}.bias"] = 0.1 * torch.randn(width)
    state[f"{name}.running_mean"] = 0.1 * torch.randn(width)
    state[f"{name}.running_var"] = 0.5 + torch.rand(width)
    state[f"{name}.num_batches_tracked"] = torch.tensor(1)
