"""Arrays that are read when they are computed, for dask and xarray."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.windows import IntWindow

if TYPE_CHECKING:
    import dask.array
    import xarray

    from fctl_napari.imagery.georeference import Georeference

MOST_PX = 2**28
"""Largest array that ``np.asarray`` makes in memory by itself, px."""


class WindowedArray:
    """An array that a function reads by windows.

    Parameters
    ----------
    read : callable
        Function of a window (y0, x0, y1, x1) that returns the values, [y, x] or [y, x, channel].
    shape : tuple of int
        Shape of the whole.
    dtype : numpy.dtype
        Type of the values.
    """

    def __init__(self, read: Callable[[IntWindow], NDArray[Any]], shape: tuple[int, ...], dtype: np.dtype[Any]) -> None:
        self._read = read
        self.shape = shape
        self.dtype = dtype
        self.ndim = len(shape)

    def __getitem__(self, key: tuple[slice | int, ...]) -> NDArray[Any]:
        """Read a part, by slices or positions."""
        rows, columns = (range(size)[part] for part, size in zip(key, self.shape[:2], strict=False))
        (top, bottom), (left, right) = _span(rows), _span(columns)
        found: NDArray[Any] = self._read((top, left, bottom, right))[:, _within(columns, left)][_within(rows, top)]
        return found if self.ndim == 2 else found[..., key[2]]

    def lazy(self, chunk: int) -> dask.array.Array:
        """Return the array as one of dask, which reads nothing yet.

        Parameters
        ----------
        chunk : int
            Side of a chunk, px.

        Returns
        -------
        dask.array.Array
            The array.
        """
        import dask.array

        chunks = (chunk, chunk, *self.shape[2:])
        # A name of its own: the map may be painted on between two arrays of it.
        found: dask.array.Array = dask.array.from_array(self, chunks=chunks, name=False, meta=np.empty(0, self.dtype))
        return found


def _span(picked: range | int) -> tuple[int, int]:
    """Return the span, half open, that holds the positions."""
    if isinstance(picked, int):
        return picked, picked + 1
    return (min(picked[0], picked[-1]), max(picked[0], picked[-1]) + 1) if picked else (0, 1)


def _within(picked: range | int, start: int) -> Any:
    """Return the index of positions in a span that begins at ``start``."""
    return picked - start if isinstance(picked, int) else np.arange(picked.start, picked.stop, picked.step) - start


def require_small(what: str, shape: tuple[int, int]) -> None:
    """Refuse to make an array of a large image in memory.

    Parameters
    ----------
    what : str
        Name of the image, for the error.
    shape : tuple of 2 int
        (height, width), px.

    Raises
    ------
    InputError
        It has too many px.
    """
    if shape[0] * shape[1] > MOST_PX:
        raise InputError(
            f"{what}: has {shape[0]} x {shape[1]} px, too many for one array; read windows of it, or take to_xarray(), "
            "which is lazy."
        )


def in_memory(values: Callable[[], NDArray[Any]], dtype: Any, copy: bool | None) -> NDArray[Any]:
    """Read values for ``np.asarray``.

    Parameters
    ----------
    values : callable
        Function that reads them.
    dtype : dtype or None
        Type of the result. None is that of the values.
    copy : bool or None
        As NumPy asks for it.

    Returns
    -------
    ndarray
        The values.

    Raises
    ------
    ValueError
        No copy is allowed: what lies on disk has to be read.
    """
    if copy is False:
        raise ValueError("it lies on disk and is read: it cannot become an array without a copy")
    return np.asarray(values(), dtype=dtype)


def georeferenced(
    values: dask.array.Array, dims: tuple[str, ...], name: str, georeference: Georeference | None
) -> xarray.DataArray:
    """Return an array of xarray by the conventions of rioxarray.

    Parameters
    ----------
    values : dask.array.Array
        The values, lazy.
    dims : tuple of str
        Names of the axes, which include ``"y"`` and ``"x"``.
    name : str
        Name of the array.
    georeference : Georeference or None
        Position on the ground. With one ``.rio.crs`` and ``.rio.transform()`` state it, and the coordinates are those
        of the middles of px where rows and columns are straight. Without one the coordinates are px.

    Returns
    -------
    xarray.DataArray
        The array.

    Raises
    ------
    InputError
        xarray or rioxarray is not installed.
    """
    try:
        import rioxarray  # noqa: F401 (it adds .rio)
        import xarray
        from affine import Affine
    except ImportError as error:
        raise InputError(
            f"{error.name}: is not installed, and arrays of xarray need it; pip install 'fctl-napari[notebook]'."
        ) from None
    sizes = dict(zip(dims, values.shape, strict=True))
    middle = {axis: np.arange(sizes[axis]) + 0.5 for axis in ("y", "x")}
    if georeference is None:
        return xarray.DataArray(values, dims=dims, name=name, coords={axis: at - 0.5 for axis, at in middle.items()})
    a, b, c, d, e, f = georeference.transform
    coords = {"y": f + e * middle["y"], "x": c + a * middle["x"]} if b == d == 0 else {}
    array = xarray.DataArray(values, dims=dims, name=name, coords=coords)
    placed: xarray.DataArray = array.rio.write_crs(georeference.crs).rio.write_transform(Affine(a, b, c, d, e, f))
    return placed
