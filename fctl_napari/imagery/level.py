"""A resolution level of an image as a lazily read array [y, x, channel], however it is stored."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.windows import IntWindow, Window


class StoredArray(Protocol):
    """The array that a level reads from: a zarr array, a NumPy array or memory map, a ``HalvedArray``."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of each axis."""

    @property
    def dtype(self) -> np.dtype[Any]:
        """Type of the values."""

    def __getitem__(self, key: Any, /) -> Any:
        """Read a part.

        Parameters
        ----------
        key : object
            Ints and slices with positive steps, by axis.

        Returns
        -------
        array_like
            Values of the part.
        """


class Level:
    """A stored array with its axes in the order [y, x, channel].

    Nothing is read until it is indexed. Indexing is NumPy's basic indexing (ints, slices with any step, ``...``,
    ``None``) plus one-dimensional integer or boolean arrays, and returns NumPy arrays in native byte order.

    Parameters
    ----------
    array : StoredArray
        Array to read from.
    axes : str, optional
        One letter per stored axis: ``y``, ``x``, optionally ``c`` (channels). Any other letter is an axis of
        length 1 that is dropped.
    chunks : tuple of 3 int or None, optional
        (y, x, channel) px that are cheap to read together, where ``array`` does not state them itself.
    convert : callable or None, optional
        Function applied to what was read as [y, x, channel]. It returns the same [y, x] and ``channels`` (for a
        palette, say).
    channels : int or None, optional
        Number of channels that ``convert`` returns.
    dtype : dtype or None, optional
        Data type that ``convert`` returns.

    Attributes
    ----------
    shape : tuple of 3 int
        (height, width, channels), px.
    dtype : dtype
        Data type of the values, in native byte order.
    chunks : tuple of 3 int
        (y, x, channel) px that are cheap to read together.

    Raises
    ------
    ValueError
        The axes do not name the array's, or a dropped axis is longer than 1.
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
    def array(self) -> StoredArray:
        """Array that it reads from."""
        return self._array

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
        """Size of the whole level in memory, bytes."""
        return self.size * self.dtype.itemsize

    @property
    def stored_in_chunks(self) -> bool:
        """True if it is read by whole chunks, and not from memory."""
        if isinstance(self._array, Level):
            return self._array.stored_in_chunks
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
        """Return the number of rows."""
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read the whole level.

        Parameters
        ----------
        dtype : dtype, optional
            Data type of the result.
        copy : bool or None, optional
            False is refused, since the level has to be read.

        Returns
        -------
        ndarray [y, x, channel]
            All values.

        Raises
        ------
        ValueError
            ``copy`` is False.
        """
        if copy is False:
            raise ValueError("a level lies on disk: it cannot become an array without a copy")
        whole = self[...]
        return whole if dtype is None else whole.astype(dtype, copy=False)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        key : object
            Ints, slices, ``...``, ``None``, and one-dimensional integer or boolean arrays.

        Returns
        -------
        ndarray
            Values of the part, in native byte order.

        Raises
        ------
        IndexError
            The index is out of bounds, of another length or type, or for too many axes.
        """
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
    """Expand an index to one part for each of the three axes, keeping each ``None`` between them."""
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
    """Split one axis' index into the box to read and the index into that box."""
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


@dataclass(frozen=True)
class MappedArray:
    """Uncompressed values in one piece of a file, mapped anew for each read.

    A map that stays open would count as memory in use.

    Attributes
    ----------
    path : Path
        File.
    dtype : dtype
        Data type of the values, with their byte order.
    offset : int
        Position of the first value in the file, bytes.
    shape : tuple of int
        Length of each axis.
    order : {"C", "F"}
        ``"C"``, the last axis fastest, or ``"F"``.
    """

    path: Path
    dtype: np.dtype[Any]
    offset: int
    shape: tuple[int, ...]
    order: Literal["C", "F"] = "C"

    def __getitem__(self, key: Any, /) -> NDArray[Any]:
        """Read a part.

        Parameters
        ----------
        key : object
            NumPy index.

        Returns
        -------
        ndarray
            Copy of the values.
        """
        return np.array(np.memmap(self.path, self.dtype, "r", self.offset, self.shape, self.order)[key])


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
    read : callable
        Reads rows and columns inside, as uint8 [y, x, *channels].
    shape : tuple of int
        (height, width, ...), px, of the source.
    window : IntWindow
        (y0, x0, y1, x1), px, half open.
    fill : int, optional
        Value outside.
    channels : tuple of int, optional
        Further axes of the result.

    Returns
    -------
    ndarray of uint8 [y1 - y0, x1 - x0, *channels]
        Pixels of the window.

    Raises
    ------
    ValueError
        The window ends before it begins.
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
