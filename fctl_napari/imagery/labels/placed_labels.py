"""Labels in the pixels of an image over which they lie, by location and not by index."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

COUNTED_ROWS = 2048
"""Number of rows that are counted at once."""


class PlacedLabels:
    """Labels read in the px of an image or of another layer, [y, x].

    Pixels beside them are 0 (nothing), or another value.

    Nothing is read until it is indexed by slices. Safe to read from several threads.

    Parameters
    ----------
    array : object
        The labels, [y, x] behind axes of length 1: anything that is read by slices.
    rows, columns : ndarray of int64 [n]
        For each row and column of the image, the index of the labels along their own axis; -1 beside them.
    swapped : bool, optional
        If True, the rows of the image lie along the columns of the labels.
    fill : int, optional
        Value beside them.

    Attributes
    ----------
    shape : tuple of 2 int
        (height, width) of the image, px.
    dtype : numpy.dtype
        Data type of the labels.
    chunks : tuple of 2 int
        Shape of the parts that are cheap to read together.
    ndim : int
        Number of axes, 2.
    """

    ndim = 2

    def __init__(
        self,
        array: Any,
        rows: NDArray[np.int64],
        columns: NDArray[np.int64],
        *,
        swapped: bool = False,
        fill: int = 0,
    ) -> None:
        self._array = array
        self._indices = rows, columns
        self._swapped = swapped
        self._fill = fill
        self.shape = len(rows), len(columns)
        self.dtype = np.dtype(array.dtype)
        self.chunks = tuple(min(512, size) for size in self.shape)

    @property
    def key(self) -> tuple[bytes, bytes, bool]:
        """Key of the placement, which differs where the labels lie elsewhere."""
        rows, columns = self._indices
        return rows.tobytes(), columns.tobytes(), self._swapped

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Read a part by slices."""
        parts = (*(key if isinstance(key, tuple) else (key,)), slice(None), slice(None))[:2]
        rows, columns = (index[part] for index, part in zip(self._indices, parts, strict=True))
        result = np.full((len(rows), len(columns)), self._fill, self.dtype)
        there = rows >= 0, columns >= 0
        picked = rows[there[0]], columns[there[1]]
        if picked[0].size and picked[1].size:
            (y, x), (rows, columns) = zip(*map(_slice_and_rest, picked), strict=True)
            block = self._read(x, y).T if self._swapped else self._read(y, x)
            result[np.ix_(*there)] = block[np.ix_(rows, columns)]
        return result

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        """Read all labels."""
        return np.asarray(self[:, :], dtype=dtype)

    def count_beside(self) -> int:
        """Count the labeled px that do not lie over the image (this reads them)."""
        axes = self._indices[::-1] if self._swapped else self._indices
        height, width = self._array.shape[-2:]
        inner = [(int(index[index >= 0].min()), int(index.max()) + 1) for index in axes]
        (top, bottom), (left, right) = inner
        frame = [(0, top, 0, width), (bottom, height, 0, width), (top, bottom, 0, left), (top, bottom, right, width)]
        count = 0
        for y0, y1, x0, x1 in frame:
            if x0 < x1:
                for start, stop in pairwise([*range(y0, y1, COUNTED_ROWS), y1]):
                    count += int(np.count_nonzero(self._read(slice(start, stop), slice(x0, x1))))
        return count

    def _read(self, rows: slice, columns: slice) -> NDArray[Any]:
        """Read rows and columns of the labels, without the axes of length 1."""
        return np.asarray(self._array[(*(0,) * (len(self._array.shape) - 2), rows, columns)])


def _slice_and_rest(indices: NDArray[np.int64]) -> tuple[slice, NDArray[np.int64]]:
    """Divide indices into the slice to read and the indices into what is read."""
    first = int(indices.min())
    return slice(first, int(indices.max()) + 1), indices - first
