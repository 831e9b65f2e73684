"""Weights and images by formulas, for which scripts/make_smp_fixture.py recorded what smp's networks score."""

from __future__ import annotations

import json
import lzma
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

RECORDED = Path(__file__).parents[2] / "data" / "smp.json.xz"


def recorded() -> list[dict[str, Any]]:
    """Networks of segmentation_models.pytorch: config.json, names and shapes of weights, and scores by tile size."""
    networks: list[dict[str, Any]] = json.loads(lzma.decompress(RECORDED.read_bytes()))["networks"]
    return networks


def weights(shapes: dict[str, list[int]]) -> dict[str, Tensor]:
    """Weights that follow from their names, so that every part shows in the scores."""
    state = {}
    for key, shape in shapes.items():
        values = np.random.RandomState(zlib.crc32(key.encode())).standard_normal(shape)
        if key.endswith("num_batches_tracked"):
            state[key] = torch.tensor(7)
            continue
        if key.endswith("running_var") or (key.endswith("weight") and len(shape) == 1):
            values = 0.5 + np.abs(values)
        elif len(shape) == 4:
            values = values / np.prod(shape[1:]) ** 0.5
        else:
            values = 0.1 * values
        state[key] = torch.from_numpy(values.astype(np.float32))
    return state


def images(tile: int) -> Tensor:
    """Two tiles [2, 3, T, T], uint8."""
    values = np.random.RandomState(tile).randint(0, 256, (2, 3, tile, tile))
    return torch.from_numpy(values.astype(np.uint8))


def sampled(scores: Tensor) -> list[float]:
    """Scores at the corners and between, and their mean and deviation over all px."""
    tile = scores.shape[-1]
    at = [0, tile // 3, tile // 2 + 1, tile - 1]
    return [*scores[:, :, at][..., at].flatten().tolist(), float(scores.mean()), float(scores.std())]
