"""Plain, slow transcriptions of the paper's formulas: loops over cells, float64, nothing shared with the package."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from fctl_napari.model.geometry import FeatureGrid

Box = tuple[float, float, float, float]

PADDED = FeatureGrid(size=5, stride=32, offset=-99.0, input_size=64)
"""A grid like VGG16's: it reaches far beyond its window."""

UNPADDED = FeatureGrid(size=4, stride=16, offset=0.0, input_size=64)
"""A grid that covers its window exactly."""


def center(grid: FeatureGrid, window: Box, y: int, x: int) -> tuple[float, float]:
    """Centre of cell (y, x) in image px."""
    y0, x0, y1, x1 = window
    in_input = [grid.offset + i * grid.stride + grid.stride / 2 for i in (y, x)]
    return y0 + in_input[0] * (y1 - y0) / grid.input_size, x0 + in_input[1] * (x1 - x0) / grid.input_size


def cells(grid: FeatureGrid) -> list[tuple[int, int]]:
    """All cells, row by row."""
    return [(y, x) for y in range(grid.size) for x in range(grid.size)]


def softmax(values: list[float]) -> list[float]:
    """Softmax of a list."""
    top = max(values)
    powers = [math.exp(v - top) for v in values]
    return [p / sum(powers) for p in powers]


def conv1x1(weight: Tensor, bias: Tensor | None, x: Tensor) -> Tensor:
    """[C, h, w] -> [D, h, w]."""
    out = torch.zeros(weight.shape[0], *x.shape[1:], dtype=x.dtype)
    for d in range(weight.shape[0]):
        for c in range(weight.shape[1]):
            out[d] += weight[d, c, 0, 0] * x[c]
        if bias is not None:
            out[d] += bias[d]
    return out


def attention(
    grid: FeatureGrid,
    query: Tensor,
    key: Tensor,
    tile: Box,
    context: Box,
    *,
    scale: float,
    v_pos: Tensor | None,
    z: Tensor | None,
) -> Tensor:
    """M_U of Eq. 1 (without GPE) or Eq. 2: [n, m] over the cells of the tile and of the context."""
    pitch_y = (tile[2] - tile[0]) * grid.stride / grid.input_size
    pitch_x = (tile[3] - tile[1]) * grid.stride / grid.input_size
    rows = []
    for yi, xi in cells(grid):
        here = center(grid, tile, yi, xi)
        relevance = []
        position = []
        for yj, xj in cells(grid):
            relevance.append(scale * sum(float(query[c, yi, xi] * key[c, yj, xj]) for c in range(query.shape[0])))
            if v_pos is not None:
                there = center(grid, context, yj, xj)
                d_y, d_x = (there[0] - here[0]) / pitch_y, (there[1] - here[1]) / pitch_x
                r = (d_y**2 + d_x**2, d_y, d_x)
                position.append(sum(float(v) * p for v, p in zip(v_pos, r, strict=True)))
        row = softmax(relevance)
        if z is not None:
            gate = 1 / (1 + math.exp(-float(z)))
            row = [gate * a + (1 - gate) * b for a, b in zip(row, softmax(position), strict=True)]
            row = [m / sum(row) for m in row]  # Norm of Eq. 2
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float64)


def weigh(attention_map: Tensor, values: Tensor) -> Tensor:
    """M (x) X: [n, m] and [C, h, w] -> [C, h, w]."""
    out = torch.zeros_like(values)
    size = values.shape[-1]
    for i in range(attention_map.shape[0]):
        for j in range(attention_map.shape[1]):
            out[:, i // size, i % size] += attention_map[i, j] * values[:, j // size, j % size]
    return out


def bilinear(grid: FeatureGrid, features: Tensor, window: Box, point: tuple[float, float]) -> Tensor:
    """Value [C] of [C, h, w] at an image point (y, x) px; the border cells' centres bound it."""
    y0, x0, y1, x1 = window
    position = []
    for p, low, high in ((point[0], y0, y1), (point[1], x0, x1)):
        cell = ((p - low) / (high - low) * grid.input_size - grid.offset) / grid.stride - 0.5
        position.append(min(max(cell, 0.0), grid.size - 1.0))
    top, left = (min(int(p), grid.size - 2) for p in position)
    fy, fx = position[0] - top, position[1] - left
    return (
        (1 - fy) * (1 - fx) * features[:, top, left]
        + (1 - fy) * fx * features[:, top, left + 1]
        + fy * (1 - fx) * features[:, top + 1, left]
        + fy * fx * features[:, top + 1, left + 1]
    )
