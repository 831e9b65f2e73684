"""One resolution of an image as a lazily read array [y, x, channel], however it is stored."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.windows import IntWindow, Window

STRIP_BYTES = 2**25
"""About how much is halved at once."""

NAPARI_COARSEST = 1024
"""Levels are added until the longer side is at most this: napari reads the coarsest level whole."""


class StoredArray(Protocol):
    """What a level reads from: a zarr array, a NumPy array or memory map, a :class:`HalvedArray`."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part, by ints and slices with positive steps."""


class Level:
    """A stored array with its axes put in the order [y, x, channel].

    Nothing is read until it is indexed. Indexing is NumPy's basic indexing (ints, slices with any step, ``...``,
    ``None``) plus one-dimensional integer or boolean arrays, and returns NumPy arrays in native byte order.

    Parameters
    ----------
    array
        What is read from.
    axes
        One letter per stored axis: ``y``, ``x``, optionally ``c`` (channels); any other letter is an axis of
        length 1 that is dropped.
    chunks
        (y, x, channel) px that are cheap to read together, where ``array`` does not say so itself.
    convert
        Applied to what was read as [y, x, channel], to give the same [y, x] and ``channels`` (a palette, say).
    channels, dtype
        What ``convert`` gives.
    """

    def __init__(
        self,
        array: StoredArray,
        axes: str = "yxc",
        *,
        chunks: tuple[int, int, int] | None = None,
        convert: Callable[[NDArray[Any]], NDArray[Any]] | None = None,
        channels: int | None = None,
        dtype: np.dtype[Any] | None = None,
    ) -> None:
        if len(axes) != len(array.shape) or "y" not in axes or "x" not in axes or len(set(axes)) != len(axes):
            raise ValueError(f"axes {axes!r} do not name an array of shape {array.shape}")
        for letter, length in zip(axes, array.shape, strict=True):
            if letter not in "yxc" and length != 1:
                raise ValueError(f"axis {letter!r} has length {length}, not 1")
        self._array = array
        self._axes = axes
        self._convert = convert
        height, width = array.shape[axes.index("y")], array.shape[axes.index("x")]
        stored_channels = array.shape[axes.index("c")] if "c" in axes else 1
        self._stored_channels = stored_channels
        self.shape: tuple[int, int, int] = (height, width, channels or stored_channels)
        self.dtype: np.dtype[Any] = (dtype or array.dtype).newbyteorder("=")
        self.chunks: tuple[int, int, int] = chunks or self._stored_chunks()

    @property
    def ndim(self) -> int:
        """Number of axes: 3."""
        return 3

    @property
    def size(self) -> int:
        """Number of values."""
        return self.shape[0] * self.shape[1] * self.shape[2]

    @property
    def nbytes(self) -> int:
        """Bytes that the whole level takes in memory."""
        return self.size * self.dtype.itemsize

    @property
    def stored_in_chunks(self) -> bool:
        """Whether it is read by chunks, each of them whole (not where it lies in memory)."""
        return getattr(self._array, "chunks", None) is not None

    def _stored_chunks(self) -> tuple[int, int, int]:
        stored = getattr(self._array, "chunks", None)
        if not stored:
            return (min(512, self.shape[0]), min(512, self.shape[1]), self.shape[2])
        # dask lists the sizes of all chunks along an axis
        sizes = (max(size) if isinstance(size, tuple) else size for size in stored)
        by_axis = dict(zip(self._axes, sizes, strict=True))
        channels = self.shape[2] if self._convert else min(int(by_axis.get("c", 1)), self.shape[2])
        return (int(by_axis["y"]), int(by_axis["x"]), channels)

    def __len__(self) -> int:
        """Rows."""
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole level."""
        if copy is False:
            raise ValueError("a level lies on disk: it cannot become an array without a copy")
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part."""
        expanded = _expand(key)
        boxes: list[slice] = []
        inner: list[Any] = []
        for part in expanded:
            if part is None:
                inner.append(None)
                continue
            box, rest = _split(part, self.shape[len(boxes)], len(boxes))
            boxes.append(box)
            inner.append(rest)
        result: NDArray[Any] = self._fetch(boxes[0], boxes[1], boxes[2])[tuple(inner)]
        return result

    def _fetch(self, rows: slice, columns: slice, channels: slice) -> NDArray[Any]:
        """Read a box (slices with positive steps) as [y, x, channel]."""
        by_axis = {"y": rows, "x": columns, "c": slice(None) if self._convert else channels}
        stored = np.asarray(self._array[tuple(by_axis.get(letter, slice(0, 1)) for letter in self._axes)])
        dropped = tuple(i for i, letter in enumerate(self._axes) if letter not in "yxc")
        kept = [letter for letter in self._axes if letter in "yxc"]
        block = stored.squeeze(dropped)
        if "c" not in kept:
            block = block[..., np.newaxis]
            kept.append("c")
        block = block.transpose([kept.index(letter) for letter in "yxc"])
        if self._convert is not None:
            block = self._convert(block)[..., channels]
        return block.astype(self.dtype, copy=False)


def _expand(key: Any) -> list[Any]:
    """Spell an index out: one part for each of the three axes, with the ``None`` kept between."""
    parts = list(key) if isinstance(key, tuple) else [key]
    dots = [i for i, part in enumerate(parts) if part is Ellipsis]
    if len(dots) > 1:
        raise IndexError("an index can only have a single ellipsis ('...')")
    given = sum(part is not None and part is not Ellipsis for part in parts)
    if given > 3:
        raise IndexError(f"too many indices: a level has 3 axes, but {given} were indexed")
    index = dots[0] if dots else len(parts)
    return parts[:index] + [slice(None)] * (3 - given) + parts[index + 1 :]


def _split(part: Any, length: int, axis: int) -> tuple[slice, Any]:
    """Divide one axis' index into the box to read and what to index that box with."""
    if isinstance(part, slice):
        start, stop, step = part.indices(length)
        if step > 0:
            return slice(start, max(start, stop), step), slice(None)
        count = len(range(start, stop, step))
        if count == 0:
            return slice(0, 0), slice(None)
        return slice(start + (count - 1) * step, start + 1, -step), slice(None, None, -1)
    array = np.asarray(part)
    if array.dtype == bool and array.ndim == 1:
        if len(array) != length:
            raise IndexError(f"boolean index of length {len(array)} on axis {axis} of length {length}")
        array = np.flatnonzero(array)
    if array.size == 0 and array.ndim == 1:
        return slice(0, 0), array.astype(np.intp)
    if array.dtype.kind not in "iu" or array.ndim > 1:
        raise IndexError(f"a level cannot be indexed with {part!r}")
    if array.min() < -length or array.max() >= length:
        raise IndexError(f"index {part!r} is out of bounds for axis {axis} with size {length}")
    array = np.where(array < 0, array + length, array).astype(np.intp)
    first = int(array.min())
    shifted = array - first
    return slice(first, int(array.max()) + 1), int(shifted) if shifted.ndim == 0 else shifted


def halve(block: NDArray[Any]) -> NDArray[Any]:
    """Average 2 x 2 px: [h, w, c] to [ceil(h / 2), ceil(w / 2), c] of the same dtype.

    An odd last row or column is averaged alone. Integers are rounded half up, exactly.
    """
    block = np.pad(block, ((0, block.shape[0] % 2), (0, block.shape[1] % 2), (0, 0)), mode="edge")
    quads: list[NDArray[Any]] = [block[::2, ::2], block[1::2, ::2], block[::2, 1::2], block[1::2, 1::2]]
    mean: NDArray[Any]
    if block.dtype.kind == "f":
        mean = _sum(quads, np.float64) / 4
    elif block.dtype.kind == "b":
        mean = _sum(quads, np.uint8) >= 2
    elif block.dtype.itemsize == 8:
        # The sum of four would overflow: halve the quotients and the remainders apart.
        quotients = _sum([quad >> 2 for quad in quads], block.dtype)
        mean = quotients + ((_sum([quad & 3 for quad in quads], block.dtype) + 2) >> 2)
    else:
        mean = (_sum(quads, np.uint16 if block.dtype == np.uint8 else np.int64) + 2) >> 2
    return mean.astype(block.dtype, copy=False)


def _sum(arrays: list[NDArray[Any]], dtype: Any) -> NDArray[Any]:
    total: NDArray[Any] = arrays[0].astype(dtype)
    for array in arrays[1:]:
        total += array
    return total


def halved_shape(shape: tuple[int, ...]) -> tuple[int, ...]:
    """Shape of the next coarser level: y and x halved and rounded up, the rest kept."""
    return ((shape[0] + 1) // 2, (shape[1] + 1) // 2, *shape[2:])


class HalvedArray:
    """The 2 x 2 mean of an array [y, x, c], held in memory and computed when it is first read.

    Safe to read from several threads.
    """

    def __init__(self, parent: StoredArray) -> None:
        self.shape: tuple[int, ...] = halved_shape(parent.shape)
        self.dtype: np.dtype[Any] = parent.dtype
        self._parent: StoredArray | None = parent
        self._data: NDArray[Any] | None = None
        self._lock = threading.Lock()

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part, computing the whole at the first call."""
        with self._lock:
            if self._data is None:
                self._data = self._halve()
                self._parent = None
            data = self._data
        return data[key]

    def _halve(self) -> NDArray[Any]:
        assert self._parent is not None
        data = np.empty(self.shape, self.dtype.newbyteorder("="))
        # By strips of rows: the parent may be larger than memory.
        step = max(
            1, STRIP_BYTES // max(1, 2 * self._parent.shape[1] * math.prod(self.shape[2:]) * self.dtype.itemsize)
        )
        for top in range(0, self.shape[0], step):
            data[top : top + step] = halve(np.asarray(self._parent[2 * top : 2 * (top + step)]))
        return data


@dataclass(frozen=True)
class MappedArray:
    """Uncompressed values in one piece of a file, mapped for each read: a map that stays would count as memory in use.

    Attributes
    ----------
    path
        The file.
    dtype
        Of the values, with their byte order.
    offset
        Where they begin, bytes.
    shape
        Length of each axis.
    order
        ``"C"``, the last axis fastest, or ``"F"``.
    """

    path: Path
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Read a part."""
        return np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)[key])


def halved_levels(first: Level) -> list[Level]:
    """Levels computed in memory below ``first``, down to about 1000 px, each when it is first read."""
    levels = [first]
    while max(levels[-1].shape[:2]) > NAPARI_COARSEST:
        levels.append(Level(HalvedArray(levels[-1])))
    return levels


def read_padded(
    read: Callable[[slice, slice], NDArray[np.uint8]],
    shape: tuple[int, ...],
    window: IntWindow,
    *,
    fill: int = 0,
    channels: tuple[int, ...] = (),
) -> NDArray[np.uint8]:
    """Read a window that may reach outside.

    Parameters
    ----------
    read
        Reads rows and columns inside, as uint8 [y, x, *channels].
    shape
        (height, width, ...) px of what is read from.
    window
        (y0, x0, y1, x1) px.
    fill
        The value outside.
    channels
        Further axes of the result.

    Returns
    -------
    uint8 [y1 - y0, x1 - x0, *channels].
    """
    y0, x0, y1, x1 = window
    if y1 < y0 or x1 < x0:
        raise ValueError(f"window {window} ends before it begins")
    inside = Window(*window).clip((shape[0], shape[1]))
    if inside == window and not inside.empty:
        return read(*inside.slices_in())
    result = np.full((y1 - y0, x1 - x0, *channels), fill, np.uint8)
    if not inside.empty:
        result[inside.slices_in(window)] = read(*inside.slices_in())
    return result
