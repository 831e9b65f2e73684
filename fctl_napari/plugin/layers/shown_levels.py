"""Levels of pyramids as napari shows them."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from fctl_napari.imagery.pyramid import Pyramid

COARSE_SIDE = 1024
"""Largest side of the coarsest level, px: napari reads it whole on the main thread."""


class ShownLevel(ABC):
    """Base of levels that napari shows.

    Subclasses read the slices.

    Attributes
    ----------
    shape : tuple of int
        (y, x) or (y, x, channel), px.
    dtype : dtype
        Data type of the values.
    chunks : tuple of int
        Shape of the parts that are cheap to read together, like ``shape``.
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
        """Read the whole level."""
        return np.asarray(self[:, :], dtype=dtype)


class GrayLevel(ShownLevel):
    """First channel of a level [y, x, c], as [y, x].

    Parameters
    ----------
    level : object
        The level, anything with ``shape``, ``dtype`` and ``chunks`` that is read by slices.
    """

    def __init__(self, level: Any) -> None:
        self._level = level
        self.shape = (int(level.shape[0]), int(level.shape[1]))
        self.dtype = np.dtype(level.dtype)
        self.chunks = tuple(level.chunks)[:2]

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part by slices."""
        key = key if isinstance(key, tuple) else (key,)
        return self._level[(*(*key, slice(None))[:2], 0)]


class ColorLevel(ShownLevel):
    """Level of a pyramid in the network's colors, by its bands and its value range.

    It is uint8 RGB [y, x, 3]. Where px of the image may be without data it is RGBA [y, x, 4], these transparent.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    level : int
        Index of the level.
    """

    def __init__(self, pyramid: Pyramid, level: int) -> None:
        self.dtype = np.dtype(np.uint8)
        self._index = level
        stored = pyramid.levels[level]
        channels = 4 if pyramid.masked else 3
        self._read = pyramid.read_rgba if pyramid.masked else pyramid.read
        self.shape = (*stored.shape[:2], channels)
        self.chunks = (*stored.chunks[:2], channels)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Read a part by slices."""
        key = key if isinstance(key, tuple) else (key,)
        rows, columns, *rest = (*key, slice(None))[: max(2, len(key))]
        y0, y1, step_y = rows.indices(self.shape[0])
        x0, x1, step_x = columns.indices(self.shape[1])
        block = self._read((y0, x0, max(y0, y1), max(x0, x1)), self._index)[::step_y, ::step_x]
        return block[(slice(None), slice(None), *rest)]


def displayed_level(pyramid: Pyramid, index: int) -> Any:
    """Return one level as napari shows it.

    Parameters
    ----------
    pyramid : Pyramid
        The image.
    index : int
        Index of the level.

    Returns
    -------
    object
        For uint8 RGB without gaps the level itself, [y, x, 3]. For one channel without gaps [y, x]. For everything else
        the level in the network's colors, [y, x, 3], or [y, x, 4] with gaps that are transparent.

    Raises
    ------
    InputError
        The pixels cannot be read as RGB, see ``Pyramid.require_rgb``.
    """
    if pyramid.channels == 1 and pyramid.validity is None:
        return GrayLevel(pyramid.levels[index])
    if pyramid.channels == 3 and pyramid.dtype == np.uint8 and pyramid.bands is None and not pyramid.masked:
        return pyramid.levels[index]
    pyramid.require_rgb()
    return ColorLevel(pyramid, index)


def displayed_levels(pyramid: Pyramid) -> list[Any]:
    """Return all levels as napari shows them.

    See ``displayed_level``.

    Parameters
    ----------
    pyramid : Pyramid
        The image.

    Returns
    -------
    list of object
        The levels, the finest first. Where the coarsest is larger than ``COARSE_SIDE``, one in memory is added.

    Raises
    ------
    InputError
        The pixels cannot be read as RGB, see ``Pyramid.require_rgb``.
    """
    levels = [displayed_level(pyramid, index) for index in range(len(pyramid.levels))]
    side = max(levels[-1].shape[:2])
    if side > COARSE_SIDE:
        step = math.ceil(side / COARSE_SIDE)
        levels.append(np.ascontiguousarray(np.asarray(levels[-1][:, :])[::step, ::step]))
    return levels
