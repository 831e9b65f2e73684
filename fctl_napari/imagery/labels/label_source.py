"""Ground truth for evaluation or training: class indices, read by windows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.cache.use import Use
from fctl_napari.exceptions import FctlError, InputError, reason_of
from fctl_napari.imagery.labels.color_key import NO_CLASS, STATE
from fctl_napari.imagery.labels.placed_labels import PlacedLabels
from fctl_napari.imagery.level import read_padded
from fctl_napari.imagery.validity import StoredMask
from fctl_napari.windows import IntWindow

NOTHING = -1
"""Stands for no class where the file has no value for it: NaN, transparent."""


class LabelSource:
    """Ground truth for evaluation or training, read by windows.

    Parameters
    ----------
    path : str
        Location of the file. For values that are no file, the name of a layer.
    level : array_like of int [y, x] or [y, x, 1]
        Values, whole numbers. Anything that is read by slices will do.
    shape : tuple of 2 int
        (height, width), px.
    one_based : bool
        If True, value 0 is no class and k + 1 is class k, as in label files. Otherwise k is class k and 255 is no
        class.
    class_names : tuple of str or None, optional
        Names of class 0, 1, ..., where the file states them. An empty name is not stated.
    coarser : sequence of object, optional
        Every 2nd, 4th, ... px of every 2nd, 4th, ... row of ``level``, where these are at hand.
    by_color : bool, optional
        If True, the values are classes that were looked up by their colors.
    nothing : tuple of int, optional
        Values that are no class according to the file: no data, transparent.
    note : str, optional
        Note for users on how it is read. It is empty where that is plain.
    classes : int, optional
        Number of classes, where that is known. A value of one of them that is marked as no data is then refused.

    Attributes
    ----------
    path : str
        Location of the file.
    shape : tuple of 2 int
        (height, width), px.
    one_based : bool
        True if value 0 is no class and k + 1 is class k, as in label files.
    class_names : tuple of str or None, optional
        Names of class 0, 1, ..., where the file states them. An empty name is not stated.
    by_color : bool, optional
        True if the values are classes that were looked up by their colors.
    nothing : tuple of int, optional
        Values that are no class according to the file: no data, transparent.
    note : str, optional
        Note for users on how it is read. It is empty where that is plain.
    """

    def __init__(
        self,
        path: str,
        level: Any,
        shape: tuple[int, int],
        *,
        one_based: bool,
        class_names: tuple[str, ...] | None = None,
        coarser: Sequence[Any] = (),
        by_color: bool = False,
        nothing: tuple[int, ...] = (),
        note: str = "",
        classes: int = 0,
    ) -> None:
        self.path = path
        self.shape = shape
        self.one_based = one_based
        self.class_names = class_names
        self.by_color = by_color
        self.nothing = nothing
        self.note = note
        self._classes = classes
        self._levels = [level, *coarser]
        self.use: Use | None = None  # of an entry of the cache, as long as this lives

    def placed(self, rows: NDArray[np.int64], columns: NDArray[np.int64], *, swapped: bool = False) -> LabelSource:
        """Return the same ground truth in the pixels of an image over which it lies.

        Parameters
        ----------
        rows, columns : ndarray of int64 [n]
            For each row and column of the image, the row and column of the ground truth; -1 beside it.
        swapped : bool, optional
            If True, the rows of the image lie along the columns of the ground truth.

        Returns
        -------
        LabelSource
            Ground truth of the image's size, without a class beside it.
        """
        plane = _Plane(self._levels[0])
        placed = PlacedLabels(plane, rows, columns, swapped=swapped, fill=0 if self.one_based else NOTHING)
        return self._with(placed, (len(rows), len(columns)))

    def masked(self, mask: StoredMask) -> LabelSource:
        """Return the same ground truth without a class where a mask says that there is no data.

        Parameters
        ----------
        mask : StoredMask
            Mask of its px.

        Returns
        -------
        LabelSource
            Ground truth of the same size.
        """
        masked = _MaskedPlane(self._levels[0], mask, 0 if self.one_based else NOTHING)
        return self._with(masked, self.shape)

    def _with(self, level: Any, shape: tuple[int, int]) -> LabelSource:
        """Return a ground truth of other values that means the same by them, or ``NOTHING``."""
        source = LabelSource(
            self.path,
            level,
            shape,
            one_based=self.one_based,
            class_names=self.class_names,
            by_color=self.by_color,
            nothing=tuple({*self.nothing, *(() if self.one_based else (NOTHING,))}),
            note=self.note,
            classes=self._classes,
        )
        source.use = self.use
        return source

    @property
    def native_levels(self) -> int:
        """Number of levels at hand. Coarser ones are subsampled from the coarsest of them."""
        return len(self._levels)

    @property
    def in_memory(self) -> bool:
        """True if the values lie in memory, so that reading every n-th of them costs nothing."""
        return isinstance(self._levels[0], np.ndarray)

    def level_shape(self, level: int) -> tuple[int, int]:
        """Return the shape of a level.

        Level k holds every 2**k-th px in both directions, starting with the first.

        Parameters
        ----------
        level : int
            Index of the level.

        Returns
        -------
        tuple of 2 int
            (height, width), px.
        """
        return -(-self.shape[0] // 2**level), -(-self.shape[1] // 2**level)

    def read(self, window: IntWindow) -> NDArray[np.uint8]:
        """Read class indices.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px, half open. It may reach outside.

        Returns
        -------
        ndarray of uint8 [y1 - y0, x1 - x0]
            Class indices. Pixels without a class and pixels outside have 255.

        Raises
        ------
        InputError
            The file is damaged here, or holds values that are no class index.
        """
        return read_padded(self._indices, self.shape, window, fill=NO_CLASS)

    def read_values(self, rows: slice, columns: slice, level: int = 0) -> NDArray[Any]:
        """Read the values as they are stored, for callers that map them.

        Parameters
        ----------
        rows, columns : slice
            Part inside the level, without a step.
        level : int, optional
            Level whose px i is px i * 2**level of level 0.

        Returns
        -------
        ndarray of int [y, x]
            Stored values. They are a view where they lie in memory.

        Raises
        ------
        InputError
            The file is damaged here.
        """
        native = min(level, len(self._levels) - 1)
        step = 2 ** (level - native)
        array = self._levels[native]
        stops = (min(part.stop * step, size) for part, size in zip((rows, columns), array.shape, strict=False))
        picked = tuple(slice(part.start * step, stop, step) for part, stop in zip((rows, columns), stops, strict=True))
        try:
            values = np.asarray(array[picked])
        except FctlError:
            raise
        except Exception as error:  # codecs raise what they like
            reason = reason_of(error)
            raise InputError(f"{self.path}: is truncated or damaged; fetch it again ({reason}).") from error
        return values.reshape(values.shape[:2])

    def _indices(self, rows: slice, columns: slice) -> NDArray[np.uint8]:
        values = self.read_values(rows, columns)
        if values.dtype == np.bool_:
            values = values.astype(np.uint8)
        nothing = [value for value in self.nothing if value != NO_CLASS or self.one_based]
        none = np.isin(values, nothing) if nothing else np.zeros((), bool)
        for value in nothing:
            if 0 <= value < self._classes and (values == value).any():
                raise InputError(
                    f"{self.path}: marks the value {value} as no data, and class {value} has it too; state what each "
                    f"value is ({STATE}), or take the mark away."
                )
        if values.dtype != np.uint8 and values.size:
            outside = ((values < 0) | (values > 255)) & ~none
            if outside.any():
                value = int(values[outside][0])
                raise InputError(
                    f"{self.path}: holds values outside 0 to 255, {value} say ({int((values == value).sum())} px "
                    f"here); save class indices, with 255 for no class, or state what each value is ({STATE})."
                )
        indices: NDArray[np.uint8] = values.astype(np.uint8)
        if self.one_based:
            # In label files 0 is not labelled and k + 1 is class k: uint8 wraps 0 to 255, as it should.
            indices = indices - np.uint8(1)
        return np.where(none, np.uint8(NO_CLASS), indices) if none.any() else indices


class _Plane:
    """Values of a level as an array [y, x] of a type that holds ``NOTHING``."""

    def __init__(self, level: Any) -> None:
        self._level = level
        self.shape: tuple[int, int] = (int(level.shape[0]), int(level.shape[1]))
        wide = np.dtype(level.dtype).itemsize >= 4
        self.dtype: np.dtype[Any] = np.dtype(np.int64 if wide else np.int32)

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        values = np.asarray(self._level[key])
        return values.reshape(values.shape[:2]).astype(self.dtype)


class _MaskedPlane(_Plane):
    """Values of a level as an array [y, x], with one for what a mask hides."""

    def __init__(self, level: Any, mask: StoredMask, nothing: int) -> None:
        super().__init__(level)
        self._mask = mask
        self._nothing = nothing

    def __getitem__(self, key: tuple[slice, slice], /) -> NDArray[Any]:
        rows, columns = (part.indices(size) for part, size in zip(key, self.shape, strict=True))
        valid = self._mask.valid((rows[0], columns[0], max(rows[:2]), max(columns[:2])), None, ())[..., 0]
        return np.where(valid[:: rows[2], :: columns[2]], super().__getitem__(key), self._nothing)
