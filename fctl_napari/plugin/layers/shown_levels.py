"""Levels of pyramids as napari shows them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fctl_napari.imagery.pyramid import Pyramid

COARSE_SIDE = 1024
"""napari reads the coarsest level whole on the main thread: at most this side, px."""


class ShownLevel(ABC):
    """What napari needs of a level beside its slices, which subclasses read.

    Attributes
    ----------
    shape
        (y, x) or (y, x, channel), px.
    dtype
        Of the values.
    chunks
        What is cheap to read together, like ``shape``.
    """

    shape: tuple[int, ...]
    dtype: np.dtype
    chunks: tuple[int, ...]

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of values."""
        return math.prod(self.shape)

    @abstractmethod
    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part by slices."""

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self[:, :], dtype=dtype)


class GrayLevel(ShownLevel):
    """The first channel of a level [y, x, c], as [y, x]; read by slices like the level."""

    def __init__(self, level: Any) -> None:
        self._level = level
        self.shape = (int(level.shape[0]), int(level.shape[1]))
        self.dtype = np.dtype(level.dtype)
        self.chunks = tuple(level.chunks)[:2]

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        return self._level[(*(*key, slice(None))[:2], 0)]


class ColorLevel(ShownLevel):
    """A level of a pyramid as the network sees it: uint8 RGB [y, x, 3], by its bands and its value range."""

    def __init__(self, pyramid: Pyramid, level: int) -> None:
        self.dtype = np.dtype(np.uint8)
        self._pyramid = pyramid
        self._index = level
        stored = pyramid.levels[level]
        self.shape = (*stored.shape[:2], 3)
        self.chunks = (*stored.chunks[:2], 3)

    def __getitem__(self, key: Any) -> np.ndarray:
        key = key if isinstance(key, tuple) else (key,)
        rows, columns, *rest = (*key, slice(None))[: max(2, len(key))]
        y0, y1, step_y = rows.indices(self.shape[0])
        x0, x1, step_x = columns.indices(self.shape[1])
        block = self._pyramid.read((y0, x0, max(y0, y1), max(x0, x1)), self._index)[::step_y, ::step_x]
        return block[(slice(None), slice(None), *rest)]


def displayed_level(pyramid: Pyramid, index: int) -> Any:
    """Return one level as napari shows it.

    uint8 RGB and RGBA give the level itself [y, x, 3 or 4]; one channel gives [y, x]; everything else what the
    network sees, [y, x, 3].

    Raises
    ------
    InputError
        The pixels cannot be read as RGB, see ``Pyramid.require_rgb``.
    """
    if pyramid.channels == 1:
        return GrayLevel(pyramid.levels[index])
    if pyramid.channels in (3, 4) and pyramid.dtype == np.uint8 and pyramid.bands is None:
        return pyramid.levels[index]
    pyramid.require_rgb()
    return ColorLevel(pyramid, index)


def displayed_levels(pyramid: Pyramid) -> list[Any]:
    """Return all levels as napari shows them; see ``displayed_level``.

    Where the coarsest is larger than ``COARSE_SIDE`` an in-memory one is added.
    """
    levels = [displayed_level(pyramid, index) for index in range(len(pyramid.levels))]
    side = max(levels[-1].shape[:2])
    if side > COARSE_SIDE:
        step = math.ceil(side / COARSE_SIDE)
        levels.append(np.ascontiguousarray(np.asarray(levels[-1][:, :])[::step, ::step]))
    return levels
