"""The released pipeline, plainly transcribed: state dicts as they are, one tile after the other, no savings.

Parity tests and ``benchmarks/released.py`` compare with it. Two things differ from the authors' code, which
fails there: an axis of at most one tile has one tile, and the image is padded with black up to a tile.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor
from torch.nn import functional as F

TILE = 508
State = dict[str, Tensor]


def starts(length: int) -> list[int]:
    """Return the tile starts along one axis, px."""
    if length <= TILE:
        return [0]
    count = int(np.ceil(length / TILE))
    while TILE - (length - TILE) / (count - 1) < 50:
        count += 1
    step = (length - TILE) / (count - 1)
    found = [int(np.round(i * step)) for i in range(count)]
    found[-1] = length - TILE
    return found


def tiles(shape: tuple[int, int]) -> list[tuple[int, int]]:
    """Return the tile corners (top, left), row by row."""
    return [(top, left) for top in starts(shape[0]) for left in starts(shape[1])]


def inputs(image: NDArray[np.uint8], top: int, left: int) -> list[Tensor]:
    """Return the tile and its contexts x2 and x3, float [1, 3, 508, 508], RGB / 255."""
    margin = 2 * TILE
    padded = np.pad(image, ((margin, margin), (margin, margin), (0, 0)))
    streams = []
    for factor in (1, 2, 3):
        size = factor * TILE
        y = margin + top + TILE // 2 - size // 2
        x = margin + left + TILE // 2 - size // 2
        part = Image.fromarray(padded[y : y + size, x : x + size])
        if factor > 1:
            part = part.resize((TILE, TILE), Image.Resampling.BILINEAR)
        pixels = torch.from_numpy(np.asarray(part).copy())
        streams.append(pixels.permute(2, 0, 1)[None].float() / 255)
    return streams


def vgg(state: State, prefix: str, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the outputs of pool3, pool4 and pool5."""
    found = []
    for name, blocks in {"pool3": ((0, 2), (5, 7), (10, 12, 14)), "pool4": ((0, 2, 4),), "pool5": ((0, 2, 4),)}.items():
        for block in blocks:
            for n in block:
                layer = f"{prefix}{name}.{n}"
                first = name == "pool3" and n == 0
                x = F.conv2d(x, state[f"{layer}.weight"], state[f"{layer}.bias"], padding=100 if first else 1).relu()
            x = F.max_pool2d(x, 2, 2, ceil_mode=True)
        found.append(x)
    return found[0], found[1], found[2]


def conv(state: State, name: str, x: Tensor) -> Tensor:
    """Apply a convolution of the state dict, without padding."""
    return F.conv2d(x, state[f"{name}.weight"], state.get(f"{name}.bias"))


def forward(states: dict[str, State], tile: Tensor, medium: Tensor, large: Tensor) -> dict[str, Tensor]:
    """Compute logits [1, C, 508, 508], attention [529, 529] by context, and fusion weights [3, 512, 23, 23]."""
    whole = states["all"]
    pool3, pool4, x = vgg(whole, "", tile)
    contexts = {
        "medium": vgg(states["B10"], "big_", medium)[2],
        "large": vgg(states["B15"], "big_", large)[2],
        "local": x,
    }
    out: dict[str, Tensor] = {}
    correlated = []
    for (name, context), suffix in zip(contexts.items(), ("", "_1", "_2"), strict=True):
        part = "big_attention."
        query = conv(whole, f"{part}conv_query{suffix}", x).flatten(2).transpose(1, 2)
        key = conv(whole, f"{part}conv_key{suffix}", context).flatten(2)
        value = conv(whole, f"{part}conv_value{suffix}", context).flatten(2)
        attention = torch.bmm(query, key).softmax(-1)
        out[f"attention_{name}"] = attention[0]
        weighted = torch.bmm(value, attention.transpose(1, 2)).reshape(x.shape)
        correlated.append(whole[f"{part}gamma{suffix}"] * weighted)
    mixed = torch.cat([conv(whole, f"big_attention.in_{i}", c) for i, c in enumerate(correlated, 1)], 1)
    parts = conv(whole, "big_attention.trans", mixed).chunk(3, 1)
    gates = torch.stack([conv(whole, f"big_attention.out_{i}", p).sigmoid() for i, p in enumerate(parts, 1)])
    weights = gates.softmax(0)
    out["fusion"] = weights[:, 0]
    x = x + (weights * torch.stack(correlated)).sum(0)

    x = conv(whole, "output.6", conv(whole, "output.3", conv(whole, "output.0", x).relu()).relu())
    x = F.conv_transpose2d(x, whole["up_output.weight"], stride=2)
    n = x.shape[-1]
    x = x + conv(whole, "adj_pool4", 0.01 * pool4)[:, :, 5 : 5 + n, 5 : 5 + n]
    x = F.conv_transpose2d(x, whole["up_pool4_out.weight"], stride=2)
    n = x.shape[-1]
    x = x + conv(whole, "adj_pool3", 0.0001 * pool3)[:, :, 9 : 9 + n, 9 : 9 + n]
    x = F.conv_transpose2d(x, whole["up_final.weight"], stride=8)
    out["logits"] = x[:, :, 31 : 31 + TILE, 31 : 31 + TILE]
    return out


@torch.no_grad()
def segment(states: dict[str, State], image: NDArray[np.uint8]) -> Iterator[tuple[int, int, Tensor]]:
    """Yield (top, left, logits [C, 508, 508]) tile by tile."""
    for top, left in tiles(image.shape[:2]):
        yield top, left, forward(states, *inputs(image, top, left))["logits"][0]


def summed(states: dict[str, State], image: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Compute the logits of the whole image, summed over tiles, float64 [C, H, W]."""
    height, width = image.shape[:2]
    total = np.zeros((states["all"]["output.6.weight"].shape[0], max(height, TILE), max(width, TILE)))
    for top, left, logits in segment(states, image):
        total[:, top : top + TILE, left : left + TILE] += logits.numpy()
    return total[:, :height, :width]
