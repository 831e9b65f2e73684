"""Strokes that are drawn in a notebook's page, as px of the corrections."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from fctl_napari.exceptions import InputError
from fctl_napari.windows import Window

Tool = Literal["brush", "polygon"]

MOST_PX = 2**26
"""Largest stroke, px of its bounding box."""

SAMPLES = 8
"""Points for each px of a path, where the px that it runs through are looked for."""


@dataclass(frozen=True)
class Drawn:
    """Px of a stroke.

    Attributes
    ----------
    y0, x0 : int
        Position of the first px.
    mask : ndarray of bool [y, x]
        True for px of the stroke.
    """

    y0: int
    x0: int
    mask: NDArray[np.bool_]


def draw_stroke(
    tool: Tool, points: Sequence[tuple[float, float]], radius: float, shape: tuple[int, int]
) -> Drawn | None:
    """Draw a stroke as px.

    Parameters
    ----------
    tool : {"brush", "polygon"}
        A brush paints all px that its path runs through, and those whose middles are nearer to it than its radius; a
        polygon those whose middles it holds.
    points : sequence of tuple of 2 float
        (y, x) of its points, px: pixel i covers [i, i + 1).
    radius : float
        Radius of the brush, px.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    Drawn or None
        Its px, or None if all lie outside the image.

    Raises
    ------
    InputError
        The stroke is too large to be painted at once, or is none.
    """
    path = np.asarray(points, float).reshape(-1, 2)
    if not len(path) or not np.isfinite(path).all() or not 0 <= radius < MOST_PX:
        raise InputError("the stroke: has no points, or odd ones; draw it again.")
    box = bounding_box(path, radius if tool == "brush" else 0, shape)
    if box.empty:
        return None
    height, width = box.shape
    if height * width > MOST_PX:
        raise InputError(f"the stroke: covers {height} x {width} px, too many at once; zoom in, and paint in parts.")
    inside = path - (box.y0, box.x0)
    mask = _along(inside, radius, (height, width)) if tool == "brush" else _within(inside, (height, width))
    return Drawn(box.y0, box.x0, mask) if mask.any() else None


def bounding_box(path: NDArray[np.float64], radius: float, shape: tuple[int, int]) -> Window:
    """Return the part of an image that a stroke can meet.

    Parameters
    ----------
    path : ndarray of float64 [n, 2]
        (y, x) of its points, px.
    radius : float
        Radius of the brush, px.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    Window
        (y0, x0, y1, x1) px, which may be empty.
    """
    low, high = np.floor(path.min(0) - radius - 1).astype(int), np.ceil(path.max(0) + radius + 1).astype(int)
    return Window(int(low[0]), int(low[1]), int(high[0]), int(high[1])).clip(shape)


def _along(path: NDArray[np.float64], radius: float, shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the px whose middles are nearer to a path than a radius, and those that it runs through."""
    mask = np.zeros(shape, bool)
    for start, end in zip(path, path[1:] if len(path) > 1 else path, strict=False):
        low = np.maximum(np.floor(np.minimum(start, end) - radius).astype(int), 0)
        high = np.minimum(np.ceil(np.maximum(start, end) + radius).astype(int) + 1, shape)
        if (high <= low).any():
            continue
        y, x = np.ogrid[low[0] : high[0], low[1] : high[1]]
        dy, dx = y + 0.5 - start[0], x + 0.5 - start[1]
        along = end - start
        length = float(along @ along)
        at = np.clip((dy * along[0] + dx * along[1]) / length, 0, 1) if length else np.zeros(1)
        near = (dy - at * along[0]) ** 2 + (dx - at * along[1]) ** 2 <= radius**2
        mask[low[0] : high[0], low[1] : high[1]] |= near
    for y, x in _under(path):
        if 0 <= y < shape[0] and 0 <= x < shape[1]:
            mask[y, x] = True
    return mask


def _under(path: NDArray[np.float64]) -> NDArray[np.int64]:
    """Return the px that a path runs through, (y, x) [n, 2]: those of a thin one may have their middles beside it."""
    parts = [path[:1]]
    for start, end in pairwise(path):
        steps = int(np.ceil(np.abs(end - start).max() * SAMPLES)) + 1
        parts.append(start + np.linspace(0, 1, steps + 1)[:, None] * (end - start))
    return np.unique(np.floor(np.concatenate(parts)).astype(np.int64), axis=0)


def _within(path: NDArray[np.float64], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the px whose middles lie in a polygon."""
    if len(path) < 3:
        return np.zeros(shape, bool)
    # skimage counts from the middle of px 0
    return np.asarray(polygon2mask(shape, path - 0.5))  # type: ignore[no-untyped-call]
