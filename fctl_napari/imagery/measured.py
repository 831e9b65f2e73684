"""Figures measured on a sample of an image: the range of its values, and the share of its px without data."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.windows import IntWindow

WHOLE_PX = 2**22
"""A level of at most this many px is examined whole."""

STRIP_ROWS = 512
"""Number of rows of it that are read at once."""

SAMPLES, SAMPLE_SIDE = 16, 64
"""Number of blocks along each side of a larger level, and their side, px. Strips are sampled by bands of fewer rows."""

PERCENTILES = (0.1, 99.9)
"""Percentiles between which the range of values is measured, unless others are asked for."""


def measured_range(pyramid: Pyramid, percentiles: tuple[float, float] = PERCENTILES) -> tuple[float, float]:
    """Measure the range that holds most of the values that are read as RGB, on the coarsest level.

    Parameters
    ----------
    pyramid : Pyramid
        Image.
    percentiles : tuple of 2 float, optional
        Percentiles between which it lies. The default is 0.1 and 99.9.

    Returns
    -------
    tuple of 2 float
        (low, high): the percentiles of px that hold data. (0, 1) if there are none.

    Raises
    ------
    InputError
        The file is damaged there.
    """
    clear = pyramid.bands is not None or pyramid.channels in (1, 3, 4)
    values = sampled_values(pyramid, pyramid.rgb_channels if clear else range(pyramid.channels)).ravel()
    values = values[np.isfinite(values)] if values.dtype.kind == "f" else values
    low, high = np.percentile(values, percentiles) if values.size else (0.0, 1.0)
    if values.dtype.kind in "bui":
        low, high = math.floor(low), math.ceil(high)
    return float(low), float(high) if high > low else float(low) + 1.0


def outside(values: NDArray[Any], value_range: tuple[float, float]) -> bool:
    """Return whether values lie at one end of a range or beyond it, so that it is one of other units.

    Parameters
    ----------
    values : ndarray [n]
        Values of a band.
    value_range : tuple of 2 float
        Range that is meant for them.

    Returns
    -------
    bool
        True if 98 % of them are in the lowest or the highest fiftieth of the range, or beyond.
    """
    low, high = value_range
    first, last = (np.percentile(values, (1, 99)) - low) / (high - low)
    return bool(last < 0.02 or first > 0.98)


def sampled_values(pyramid: Pyramid, channels: Sequence[int]) -> NDArray[Any]:
    """Read values of px that hold data, on the coarsest level.

    Parameters
    ----------
    pyramid : Pyramid
        Image.
    channels : sequence of int
        Indices of the channels, from 0.

    Returns
    -------
    ndarray [n, channels]
        Stored values.

    Raises
    ------
    InputError
        The file is damaged there.
    """
    level = len(pyramid.levels) - 1
    return np.concatenate(
        [
            pyramid.read_native(window, level)[..., list(channels)][pyramid.read_valid(window, level)]
            for window in _windows(pyramid.levels[level])
        ]
    )


def share_without_data(pyramid: Pyramid) -> float:
    """Measure the share of an image that holds no data, on its coarsest stored level.

    Parameters
    ----------
    pyramid : Pyramid
        Image.

    Returns
    -------
    float
        Share of its px, 0..1, as far as the sample shows.

    Raises
    ------
    InputError
        The file is damaged there.
    """
    if not pyramid.masked:
        return 0.0
    level = pyramid.native_levels - 1
    valid = total = 0
    for window in _windows(pyramid.levels[level]):
        block = pyramid.read_valid(window, level)
        valid += int(np.count_nonzero(block))
        total += block.size
    return 1 - valid / total


def _windows(level: Level) -> Iterator[IntWindow]:
    """Yield the windows of a level that are examined."""
    height, width = level.shape[:2]
    if height * width <= WHOLE_PX:
        for y in range(0, height, STRIP_ROWS):
            yield y, 0, min(y + STRIP_ROWS, height), width
        return
    for row, y in enumerate(_starts(height, 0.5)):
        if level.chunks[1] >= width:  # strips, which are read whole, whatever part is needed
            yield y, 0, min(y + max(1, SAMPLE_SIDE // 8), height), width
            continue
        for x in _starts(width, row * 0.618 % 1):  # shifted row by row, since borders of data run straight
            yield y, x, min(y + SAMPLE_SIDE, height), min(x + SAMPLE_SIDE, width)


def _starts(length: int, part: float) -> list[int]:
    """Return the starts of sampled blocks along a side.

    The side is divided into ``SAMPLES`` equal parts. The middle of a block lies at the given fraction of its part.
    """
    middles = (np.arange(SAMPLES) + part) * length / SAMPLES - SAMPLE_SIDE / 2
    return sorted({int(start) for start in np.clip(middles, 0, max(0, length - SAMPLE_SIDE))})
