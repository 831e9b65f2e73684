"""Validity of pixels: which px of an image hold data, and by what mark of its file that is known."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.level import Level
from fctl_napari.windows import IntWindow

NON_FINITE = "NaN"
"""Source of the validity of floating point images without another mark."""


class Mask(Protocol):
    """Validity of the pixels of one level."""

    @property
    def by_value(self) -> bool:
        """True if the validity follows from the values of the pixels."""

    def valid(self, window: IntWindow, values: NDArray[Any] | None, channels: Sequence[int]) -> NDArray[np.bool_]:
        """Return which values hold data.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px of the level, inside it.
        values : ndarray [y, x, channel] or None
            Stored values there, of the given channels. They are needed where ``by_value``.
        channels : sequence of int
            Indices of the channels.

        Returns
        -------
        ndarray of bool [y, x, channel] or [y, x, 1]
            True where there is data.
        """


@dataclass(frozen=True)
class NodataMask:
    """Validity by values that mean no data.

    Attributes
    ----------
    values : tuple of float or None
        Value of each channel that means no data. None for a channel without one.
    """

    values: tuple[float | None, ...]

    @property
    def by_value(self) -> bool:
        """True: the values are compared."""
        return True

    def valid(self, window: IntWindow, values: NDArray[Any] | None, channels: Sequence[int]) -> NDArray[np.bool_]:
        """Return which values are not marked. See :meth:`Mask.valid`.

        Parameters
        ----------
        window : IntWindow
            Window of the level.
        values : ndarray [y, x, channel] or None
            Stored values.
        channels : sequence of int
            Indices of the channels.

        Returns
        -------
        ndarray of bool [y, x, channel]
            True where there is data.
        """
        assert values is not None
        marks = [stored_value(self.values[channel], values.dtype) for channel in channels]
        if all(mark is None for mark in marks):
            return np.ones(values.shape, bool)
        if len(set(marks)) == 1:
            return differs(values, marks[0])
        columns = [
            np.ones(values.shape[:2], bool) if mark is None else differs(values[..., index], mark)
            for index, mark in enumerate(marks)
        ]
        return np.stack(columns, axis=2)


@dataclass(frozen=True)
class StoredMask:
    """Validity by a stored mask, or by an alpha channel.

    Attributes
    ----------
    level : Level
        Mask, [y, x, channel], of the level's shape or finer. 0 means no data.
    channel : int
        Channel of ``level`` that is the mask.
    shape : tuple of 2 int
        (height, width) of the image's level, px.
    """

    level: Level
    channel: int
    shape: tuple[int, int]

    @property
    def by_value(self) -> bool:
        """False: the mask is read by itself."""
        return False

    def valid(self, window: IntWindow, values: NDArray[Any] | None, channels: Sequence[int]) -> NDArray[np.bool_]:
        """Return which pixels are not masked out. See :meth:`Mask.valid`.

        Parameters
        ----------
        window : IntWindow
            Window of the level.
        values : ndarray [y, x, channel] or None
            Not used.
        channels : sequence of int
            Not used.

        Returns
        -------
        ndarray of bool [y, x, 1]
            True where there is data.
        """
        y0, x0, y1, x1 = window
        one = slice(self.channel, self.channel + 1)
        if self.level.shape[:2] == self.shape:
            return np.asarray(self.level[y0:y1, x0:x1, one] != 0)
        # A level without a mask of its own: the nearest px of a finer mask.
        rows, columns = (
            (np.arange(start, stop) * 2 + 1) * length // (2 * own)
            for start, stop, length, own in zip((y0, x0), (y1, x1), self.level.shape, self.shape, strict=False)
        )
        block = self.level[int(rows[0]) : int(rows[-1]) + 1, int(columns[0]) : int(columns[-1]) + 1, one]
        return np.asarray(block[np.ix_(rows - rows[0], columns - columns[0])] != 0)


@dataclass(frozen=True)
class Validity:
    """Validity of an image's pixels at each of its levels.

    Attributes
    ----------
    masks : tuple of Mask
        Mask of each level, the finest first.
    source : str
        Mark of the file by which it is known, in words.
    """

    masks: tuple[Mask, ...]
    source: str

    def with_levels(self, change: Callable[[Level], Level]) -> Validity:
        """Return the same validity, read from other levels.

        Parameters
        ----------
        change : callable
            Function that returns the level to read from in place of a stored mask's.

        Returns
        -------
        Validity
            Validity with changed masks.
        """
        masks = [
            replace(mask, level=change(mask.level)) if isinstance(mask, StoredMask) else mask for mask in self.masks
        ]
        return Validity(tuple(masks), self.source)


def stored_value(value: float | None, dtype: np.dtype[Any]) -> Any:
    """Return a value as pixels of a type hold it.

    Parameters
    ----------
    value : float or None
        Value from the metadata of a file.
    dtype : dtype
        Type of the pixels.

    Returns
    -------
    scalar of ``dtype`` or None
        The value. None where no px can have it: it is None, NaN, a fraction or out of the type's range.
    """
    if value is None or np.isnan(value):
        return None
    if dtype.kind == "f":
        with np.errstate(over="ignore"):
            return dtype.type(value)
    if dtype.kind not in "iu" or not float(value).is_integer():
        return None
    limits = np.iinfo(dtype)
    return dtype.type(int(value)) if limits.min <= int(value) <= limits.max else None


def nodata_text(values: Sequence[float | None]) -> str:
    """Describe the values that mean no data.

    Parameters
    ----------
    values : sequence of float or None
        Value of each band.

    Returns
    -------
    str
        The different ones, in their order.
    """
    return ", ".join(dict.fromkeys("none" if value is None else f"{value:.15g}" for value in values))


def differs(values: NDArray[Any], mark: Any) -> NDArray[np.bool_]:
    """Return which values are not the one that means no data.

    Parameters
    ----------
    values : ndarray
        Stored values.
    mark : scalar of the same type
        Value that means no data, see :func:`stored_value`.

    Returns
    -------
    ndarray of bool
        True where there is data. Of floating point values those within ``tolerance(mark)`` are no data, too.
    """
    off = tolerance(mark)
    if off == 0:
        return np.asarray(values != mark)
    with np.errstate(over="ignore", invalid="ignore"):
        return np.asarray(~(np.abs(values - mark) <= off))


def tolerance(mark: Any) -> Any:
    """Return by how much a value may differ from the one that means no data, and still mean it.

    Files state that value as text, with fewer digits than px have.

    Parameters
    ----------
    mark : scalar
        Value that means no data.

    Returns
    -------
    scalar of the same type
        0 for integers. A few units in the last place for floating point values, as in GDAL, and a hundredth for those
        near the ends of the type (``-3.4e+38``).
    """
    dtype = np.dtype(type(mark))
    if dtype.kind != "f" or not np.isfinite(mark):
        return dtype.type(0)
    limits = np.finfo(dtype)
    share = 0.01 if abs(mark) > limits.max / 2 else 4 * limits.eps
    return dtype.type(abs(mark) * dtype.type(share))


def fill_invalid(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Fill pixels without data by mirroring the others at the border between them.

    Networks classify px beside such a border nearly as well as elsewhere then, and better than beside any constant
    color (``benchmarks/invalid_fill.py``). Where the mirror image holds no data either, the mean color is taken.

    Parameters
    ----------
    pixels : ndarray of uint8 [y, x, C + 1]
        Colors or bands, then 0 where there is no data.

    Returns
    -------
    ndarray of uint8 [y, x, C]
        Colors or bands. Black if no px holds data.
    """
    colors = np.ascontiguousarray(pixels[..., :-1])
    valid = pixels[..., -1] > 0
    if valid.all() or not valid.any():
        return colors
    from scipy.ndimage import distance_transform_edt  # its import takes 0.15 s

    rows, columns = np.nonzero(~valid)
    border = distance_transform_edt(~valid, return_distances=False, return_indices=True)[:, rows, columns]
    y, x = 2 * border[0] - rows, 2 * border[1] - columns
    height, width = valid.shape
    inside = (y >= 0) & (y < height) & (x >= 0) & (x < width)
    y, x = np.where(inside, y, 0), np.where(inside, x, 0)
    mirrored = inside & valid[y, x]
    mean = np.rint(colors[valid].mean(0)).astype(np.uint8)
    colors[rows, columns] = np.where(mirrored[:, None], colors[y, x], mean)
    return colors
