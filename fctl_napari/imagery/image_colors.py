"""Colors of images as networks read them: a bounded sample, and the cells of color space that it fills."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.chunk_cache import with_chunk_cache
from fctl_napari.imagery.formats.remote import is_url
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.windows import IntWindow

BLOCKS, SIDE = 6, 64
"""Number of blocks along each side of a region that are read, and their side, px."""

LARGE_SIDE = 512
"""Side of the few blocks that are read where chunks are huge, px."""

WHOLE_PX = 2**20
"""Largest region that is read whole, px."""

STRIP_ROWS = 8
"""Number of rows that are read of an image in strips as wide as itself, since a strip is decoded whole."""

LEAST_PX = 2**15
"""With fewer px that hold data in the blocks, a coarse level is read instead."""

COARSE_PX = 2**22
"""Largest coarse level that is read, px."""

DECODED_PX = 2**25
"""Largest number of px in the chunks that are decoded for the blocks; else a coarser level is read."""

MOST_PX = 2**18
"""Largest number of px of a sample."""

_ODD = 0x9E3779B97F4A7C15
"""Its powers number the cells of any number of channels."""

NEAR = 0.75
"""Largest distance of a color that is near a known one, root mean square over the channels, in sides of a cell."""

SIDES = (8, 16, 32, 64)
"""Sides that cells may have, levels: small ones tell images apart, large ones are filled by images of many colors."""

CELLS = 2048
"""Largest number of cells that are kept, those of most px."""

LEAST_SHARE = 2e-4
"""Cells with a smaller share of an image's px are not known colors of it: stray px, noise of JPEG."""


def sample_colors(image: Pyramid, region: IntWindow | None = None) -> NDArray[np.uint8]:
    """Read colors of px that hold data, from blocks spread over an image.

    Parameters
    ----------
    image : Pyramid
        Image as the network reads it.
    region : IntWindow or None, optional
        (y0, x0, y1, x1), px of level 0, which is read then. None takes the whole image, at the finest level of which
        the blocks are quickly decoded.

    Returns
    -------
    ndarray of uint8 [n, channels]
        Colors. Where the blocks of a whole image hold hardly any data, those of a coarse level.

    Raises
    ------
    InputError
        The image is damaged there, or cannot be read as RGB.
    """
    level = 0 if region is not None else _quick_level(image)
    image = with_chunk_cache(image)
    windows = _windows(image.levels[level], region or (0, 0, *image.levels[level].shape[:2]))
    colors = _thinned(np.concatenate([_valid_colors(image, window, level) for window in windows]))
    if len(colors) >= LEAST_PX or region is not None:
        return colors
    coarse = next((k for k, one in enumerate(image.levels) if math.prod(one.shape[:2]) <= COARSE_PX), None)
    if coarse is None:
        return colors
    return _thinned(_valid_colors(image, (0, 0, *image.levels[coarse].shape[:2]), coarse))


def _quick_level(image: Pyramid) -> int:
    """Return the finest level whose blocks lie in few or small chunks, or the coarsest of a remote image."""
    last = image.native_levels - 1
    if image.path is not None and is_url(image.path):
        return last
    costs = (_decoded_px(level) for level in image.levels[: image.native_levels])
    return next((number for number, px in enumerate(costs) if px <= DECODED_PX), last)


def _decoded_px(level: Level) -> int:
    if not level.stored_in_chunks:
        return 0
    chunks = math.prod(-(-length // chunk) for length, chunk in zip(level.shape[:2], level.chunks[:2], strict=True))
    return math.prod(level.chunks[:2]) * min(chunks, BLOCKS if _in_strips(level) else BLOCKS**2)


def _in_strips(level: Level) -> bool:
    return level.stored_in_chunks and level.chunks[1] >= level.shape[1] > BLOCKS * SIDE


def _valid_colors(image: Pyramid, window: IntWindow, level: int) -> NDArray[np.uint8]:
    block = image.read_rgba(window, level)
    return block[block[..., -1] > 0][:, :-1]


def _thinned(colors: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return colors[:: max(1, -(-len(colors) // MOST_PX))]


def _windows(level: Level, region: IntWindow) -> list[IntWindow]:
    """List the blocks of a region that are read."""
    y0, x0, y1, x1 = region
    if (y1 - y0) * (x1 - x0) <= WHOLE_PX:
        return [region]
    if _decoded_px(level) > DECODED_PX:  # huge chunks, and no coarser level
        few = min(BLOCKS, max(1, DECODED_PX // math.prod(level.chunks[:2])))
        return [_in_one_chunk(level, region, (number + 0.5) / few) for number in range(few)]
    strips = _in_strips(level)
    height, width = min(STRIP_ROWS if strips else SIDE, y1 - y0), min(SIDE, x1 - x0)
    windows = []
    for row in range(BLOCKS):
        top = y0 + _start(row + 0.5, y1 - y0, height)
        if strips:
            windows.append((top, x0, top + height, x1))
            continue
        for column in range(BLOCKS):
            # shifted row by row, since borders of data run straight
            left = x0 + _start(column + row * 0.618 % 1, x1 - x0, width)
            windows.append((top, left, top + height, left + width))
    return sorted(set(windows))


def _in_one_chunk(level: Level, region: IntWindow, position: float) -> IntWindow:
    """Return a block inside of a chunk on the diagonal of a region."""
    ends = []
    for start, stop, chunk in zip(region[:2], region[2:], level.chunks[:2], strict=True):
        middle = start + int(position * (stop - start))
        first = max(start, middle // chunk * chunk, min(middle, (middle // chunk + 1) * chunk - LARGE_SIDE))
        ends.append((first, min(first + LARGE_SIDE, (middle // chunk + 1) * chunk, stop)))
    return ends[0][0], ends[1][0], ends[0][1], ends[1][1]


def _start(position: float, length: int, side: int) -> int:
    """Return the start of a block whose middle lies at a position, in parts of the length."""
    return min(max(int(position * length / BLOCKS - side / 2), 0), length - side)


def color_cells(colors: NDArray[np.uint8], side: int, *, frequent: bool = False) -> NDArray[np.float64]:
    """Count colors by cells of color space.

    Parameters
    ----------
    colors : ndarray of uint8 [n, channels]
        Colors.
    side : int
        Side of a cell, levels.
    frequent : bool, optional
        If True, cells of fewer than ``LEAST_SHARE`` of the px are left out.

    Returns
    -------
    ndarray of float64 [cells, channels + 1]
        Mean color of each cell that is filled, and its share of the px, 0..1, the largest first, at most ``CELLS``.
    """
    if not len(colors):
        return np.empty((0, colors.shape[1] + 1))
    _, inverse, counts = np.unique(_codes(colors, side), return_inverse=True, return_counts=True)
    means = [np.bincount(inverse, channel, len(counts)) / counts for channel in colors.T.astype(np.float64)]
    cells = np.column_stack([*means, counts / len(colors)])
    cells = cells[np.argsort(-counts, kind="stable")][:CELLS]
    return cells[cells[:, -1] >= LEAST_SHARE] if frequent else cells


def joined_cells(images: Sequence[NDArray[np.float64]], side: int) -> NDArray[np.float64]:
    """Join the cells of several images: each as in the image that shows it most.

    Parameters
    ----------
    images : sequence of ndarray of float64 [cells, channels + 1]
        Cells of each image, with the same channels.
    side : int
        Side of a cell, levels.

    Returns
    -------
    ndarray of float64 [cells, channels + 1]
        Cells that any of them fills, the largest share first, at most ``CELLS``.
    """
    cells = np.concatenate(images)
    cells = cells[np.argsort(-cells[:, -1], kind="stable")]
    _, first = np.unique(_codes(cells[:, :-1], side), return_index=True)
    return cells[np.sort(first)][:CELLS]


def _codes(colors: NDArray[np.uint8] | NDArray[np.float64], side: int) -> NDArray[np.uint64]:
    """Compute the numbers of the cells in which colors lie."""
    factors = np.array([pow(_ODD, k, 2**64) for k in range(colors.shape[1])], np.uint64)
    return (colors.astype(np.uint64) // np.uint64(side)) @ factors


def unseen_share(cells: NDArray[np.float64], known: NDArray[np.float64], side: int) -> float:
    """Compute the share of an image whose colors are not near any known one.

    Parameters
    ----------
    cells : ndarray of float64 [cells, channels + 1]
        Cells of the image.
    known : ndarray of float64 [k, channels + 1]
        Cells that are known, with the same channels.
    side : int
        Side of the cells of both, levels.

    Returns
    -------
    float
        Share of the px, 0..1.
    """
    total = cells[:, -1].sum()
    if not total:
        return 0.0
    if not len(known):
        return 1.0
    squares = sum((own[:, None] - other[None, :]) ** 2 for own, other in zip(cells.T[:-1], known.T[:-1], strict=True))
    nearest = np.sqrt(np.min(squares, axis=1) / (cells.shape[1] - 1))
    return float(cells[nearest > NEAR * side, -1].sum() / total)
