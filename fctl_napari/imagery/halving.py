"""Coarser levels of an image, each the 2 x 2 mean of the one before, of the px that hold data."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.level import Level
from fctl_napari.imagery.validity import Mask, NodataMask, StoredMask, Validity, differs, stored_value, tolerance
from fctl_napari.windows import IntWindow

STRIP_BYTES = 2**25
"""Approximate amount that is halved at once, bytes."""

BLOCK = 512
"""Side of the blocks of a level that are computed at once, px, unless the chunks below are larger."""

NAPARI_COARSEST = 1024
"""Levels are added until the longer side is at most this, px, since napari reads the coarsest level whole."""


def halve(block: NDArray[Any]) -> NDArray[Any]:
    """Average blocks of 2 x 2 px.

    An odd last row or column is averaged alone. Integers are rounded half up, exactly.

    Parameters
    ----------
    block : ndarray [h, w, c]
        Pixels of any numeric or boolean type.

    Returns
    -------
    ndarray [ceil(h / 2), ceil(w / 2), c]
        Means, of the same dtype.
    """
    quads = _quads(block)
    mean: NDArray[Any]
    if block.dtype.kind == "f":
        mean = _sum(quads, np.float64) / 4
    elif block.dtype.kind == "b":
        mean = _sum(quads, np.uint8) >= 2
    elif block.dtype.itemsize == 8:
        # The sum of four would overflow, so quotients and remainders are averaged separately.
        quotients = _sum([quad >> 2 for quad in quads], block.dtype)
        mean = quotients + ((_sum([quad & 3 for quad in quads], block.dtype) + 2) >> 2)
    else:
        mean = (_sum(quads, np.uint16 if block.dtype == np.uint8 else np.int64) + 2) >> 2
    return mean.astype(block.dtype, copy=False)


def halve_valid(block: NDArray[Any], valid: NDArray[np.bool_], nodata: Sequence[float | None]) -> NDArray[Any]:
    """Average the values of blocks of 2 x 2 px that hold data.

    Parameters
    ----------
    block : ndarray [h, w, c]
        Pixels of any numeric or boolean type.
    valid : ndarray of bool [h, w, c] or [h, w, 1]
        True where there is data.
    nodata : sequence of float or None
        Value of each channel that means no data, or None.

    Returns
    -------
    ndarray [ceil(h / 2), ceil(w / 2), c]
        Means, of the same dtype. Where a block holds no data, the value that means no data: NaN for floating point
        channels without one, and the plain mean for others.
    """
    valid = np.broadcast_to(valid, block.shape)
    if valid.all():
        return halve(block)
    dtype = block.dtype
    counts = _sum(_quads(valid), np.uint8)
    wide = np.float64 if dtype.itemsize < 8 else np.longdouble
    total = _sum(_quads(np.where(valid, block, dtype.type(0))), wide)
    with np.errstate(invalid="ignore", divide="ignore"):
        mean = total / counts
    whole = dtype.kind != "f"
    mean = np.where(counts > 0, np.floor(mean + 0.5) if whole else mean, 0).astype(dtype)
    empty = halve(block) if whole else np.full(mean.shape, np.nan, dtype)
    for channel, value in enumerate(nodata):
        mark = stored_value(value, dtype)
        if mark is None:
            continue
        empty[..., channel] = mark
        # A mean that equals the mark by chance would read as no data.
        mean[..., channel] = np.where(differs(mean[..., channel], mark), mean[..., channel], _beside(mark))
    return np.where(counts > 0, mean, empty)


def _beside(mark: Any) -> Any:
    """Return a value next to the one that means no data that does not mean it, within the type."""
    if mark.dtype.kind == "f":
        toward = mark.dtype.type(0 if mark else 1)
        return np.nextafter(mark - np.sign(mark) * tolerance(mark), toward)
    return mark.dtype.type(int(mark) + 1 if mark < np.iinfo(mark.dtype).max else int(mark) - 1)


def _quads(block: NDArray[Any]) -> list[NDArray[Any]]:
    """Return the four px of each block of 2 x 2. An odd last row or column is repeated."""
    block = np.pad(block, ((0, block.shape[0] % 2), (0, block.shape[1] % 2), (0, 0)), mode="edge")
    return [block[::2, ::2], block[1::2, ::2], block[::2, 1::2], block[1::2, 1::2]]


def _sum(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    total: NDArray[Any] = arrays[0].astype(dtype)
    for array in arrays[1:]:
        total += array
    return total


def halved_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Return the shape of the next coarser level.

    Parameters
    ----------
    shape : tuple of int
        (y, x, ...), px.

    Returns
    -------
    tuple of int
        y and x halved and rounded up, the rest unchanged.
    """
    return ((shape[0] + 1) // 2, (shape[1] + 1) // 2, *shape[2:])


Reduce = Callable[[NDArray[Any], IntWindow], NDArray[Any]]
"""Function of a block [h, w, c] and its window that returns it halved."""


def halving(mask: Mask | None, dtype: np.dtype[Any], channels: int) -> Reduce:
    """Return the function that averages the pixels of a level.

    Parameters
    ----------
    mask : Mask or None
        Validity of the level.
    dtype : dtype
        Type of its values.
    channels : int
        Number of its channels.

    Returns
    -------
    callable
        Function of a block [h, w, c] and its window (y0, x0, y1, x1) that returns the means of what holds data.
    """
    if mask is None and dtype.kind != "f":
        return lambda block, window: halve(block)
    nodata = mask.values if isinstance(mask, NodataMask) else (None,) * channels
    every = range(channels)

    def reduce(block: NDArray[Any], window: IntWindow) -> NDArray[Any]:
        valid = np.isfinite(block) if block.dtype.kind == "f" else np.ones((1, 1, 1), bool)
        if mask is not None:
            valid = valid & mask.valid(window, block, every)
        return halve_valid(block, valid, nodata)

    return reduce


def halve_mask(block: NDArray[Any], window: IntWindow | None = None) -> NDArray[Any]:
    """Halve a mask. A px of the result is valid if one of its four px is.

    Parameters
    ----------
    block : ndarray [h, w, c]
        Mask; 0 means no data.
    window : IntWindow or None, optional
        Not used.

    Returns
    -------
    ndarray of uint8 [ceil(h / 2), ceil(w / 2), c]
        255 where there is data, else 0.
    """
    return np.where(_sum(_quads(block != 0), np.uint8) > 0, np.uint8(255), np.uint8(0))


class HalvedArray:
    """An array [y, x, c] halved, of which each block is computed when it is first read and kept in memory.

    It is safe to read from several threads.

    Parameters
    ----------
    parent : Level
        Level to halve.
    reduce : callable, optional
        Function of a block and its window that halves it. The default is the mean.

    Attributes
    ----------
    shape : tuple of int
        Length of each axis.
    dtype : dtype
        Data type of the parent.
    """

    def __init__(self, parent: Level, reduce: Reduce | None = None) -> None:
        self.shape: tuple[int, ...] = halved_shape(parent.shape)
        self.dtype: np.dtype[Any] = parent.dtype
        self._parent: Level | None = parent
        self._reduce: Reduce = reduce or halving(None, np.dtype(np.uint8), parent.shape[2])
        self._block = _block_shape(parent)
        rows, columns = (-(-size // side) for size, side in zip(self.shape, self._block, strict=False))
        self._missing: NDArray[np.bool_] = np.ones((rows, columns), bool)
        self._data: NDArray[Any] | None = None
        self._lock = threading.Lock()

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part, after computing the blocks of it that are new.

        Parameters
        ----------
        key : object
            NumPy index.

        Returns
        -------
        object
            Values of the part.
        """
        with self._lock:
            if self._parent is not None:
                self._compute(self._parent, key if isinstance(key, tuple) else (key,))
            data = self._data
        assert data is not None
        return data[key]

    def _compute(self, parent: Level, key: tuple[Any, ...]) -> None:
        """Compute the missing blocks of a part."""
        if self._data is None:
            self._data = np.empty(self.shape, self.dtype.newbyteorder("="))
        parts = [part if isinstance(part, slice) else slice(None) for part in (*key, slice(None), slice(None))[:2]]
        grid = []
        for part, size, side in zip(parts, self.shape, self._block, strict=False):
            start, stop, _ = part.indices(size)
            grid.append(range(start // side, -(-stop // side)))
        height, width = self._block
        for row in grid[0]:
            for column in grid[1]:
                if not self._missing[row, column]:
                    continue
                y, x = row * height, column * width
                window = (2 * y, 2 * x, min(2 * (y + height), parent.shape[0]), min(2 * (x + width), parent.shape[1]))
                block = np.asarray(parent[window[0] : window[2], window[1] : window[3]])
                self._data[y : y + height, x : x + width] = self._reduce(block, window)
                self._missing[row, column] = False
        if not self._missing.any():
            self._parent = None


def _block_shape(parent: Level) -> tuple[int, int]:
    """Return height and width of the blocks to halve: of whole chunks of the parent, about ``STRIP_BYTES`` at most."""
    _, width, channels = parent.shape
    rows, columns = (chunk if chunk % 2 else chunk // 2 for chunk in parent.chunks[:2])
    columns *= max(1, BLOCK // columns)
    row_bytes = 4 * min(columns, width) * channels * parent.dtype.itemsize
    most = STRIP_BYTES // max(1, row_bytes)
    return rows * max(1, min(BLOCK, most) // rows), columns


def halved_levels(
    first: Level, validity: Validity | None = None, own: Sequence[Level] = ()
) -> tuple[list[Level], Validity | None]:
    """Add levels computed in memory, down to about 1000 px, each block when it is first read.

    Parameters
    ----------
    first : Level
        The finest level.
    validity : Validity or None, optional
        Its validity.
    own : sequence of Level, optional
        Coarser levels that are there already. One that is as large as a level to be computed takes its place.

    Returns
    -------
    levels : list of Level
        ``first`` and the coarser levels.
    validity : Validity or None
        Validity of all levels.
    """
    levels = [first]
    masks = [] if validity is None else [validity.masks[0]]
    by_shape = {level.shape: level for level in own if level.dtype == first.dtype}
    while max(levels[-1].shape[:2]) > NAPARI_COARSEST:
        finer, mask = levels[-1], masks[-1] if masks else None
        height, width = halved_shape(finer.shape[:2])
        coarser = by_shape.get((height, width, finer.shape[2]))
        levels.append(coarser or Level(HalvedArray(finer, halving(mask, finer.dtype, finer.shape[2]))))
        if isinstance(mask, StoredMask) and mask.level is finer and coarser is not None:  # alpha
            masks.append(replace(mask, level=coarser, shape=(height, width)))
        elif mask is not None:
            masks.append(halved_mask(mask))
    return levels, None if validity is None else Validity(tuple(masks), validity.source)


def halved_mask(mask: Mask) -> Mask:
    """Return the validity of the next coarser level.

    Parameters
    ----------
    mask : Mask
        Validity of a level.

    Returns
    -------
    Mask
        A mask by value as it is. A stored mask halved in memory, when it is first read.
    """
    if not isinstance(mask, StoredMask):
        return mask
    one = Level(_Channel(mask))
    height, width = halved_shape(mask.shape)
    return StoredMask(Level(HalvedArray(one, halve_mask)), 0, (height, width))


class _Channel:
    """The validity of a stored mask as an array [y, x, 1] of 0 and 255."""

    def __init__(self, mask: StoredMask) -> None:
        self.shape: tuple[int, ...] = (*mask.shape, 1)
        self.dtype: np.dtype[Any] = np.dtype(np.uint8)
        self._mask = mask

    def __getitem__(self, key: tuple[slice, slice, slice], /) -> NDArray[np.uint8]:
        rows, columns = (part.indices(length) for part, length in zip(key[:2], self.shape, strict=False))
        block = self._mask.valid((rows[0], columns[0], rows[1], columns[1]), None, ())
        return np.where(block, np.uint8(255), np.uint8(0))[:: rows[2], :: columns[2]]
