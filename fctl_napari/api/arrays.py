"""Images from arrays of NumPy, dask and xarray, with their place on the ground and their px without data."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.array_copy import is_lazy
from fctl_napari.imagery.array_pyramid import pyramid_from_array
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference, crs_text
from fctl_napari.imagery.level import Level
from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.imagery.validity import NodataMask, StoredMask, Validity

Transform = tuple[float, float, float, float, float, float]

MOST_UNEVEN = 0.1
"""Largest distance of a coordinate from its place in an even row, px."""

IDENTITY = (1.0, 0.0, 0.0, 0.0, 1.0, 0.0)


def pyramid_of(source: Any, name: str | None) -> Pyramid:
    """Make an image of an array.

    Parameters
    ----------
    source : array_like
        Array [y, x] or [y, x, band] of NumPy (masked too) or dask, nested lists, or an array of xarray with axes y and
        x in any order.
    name : str or None
        Name of the image. None takes that of the array.

    Returns
    -------
    Pyramid
        The image. Masked px hold no data, and neither do those of the value that rioxarray knows as nodata.

    Raises
    ------
    InputError
        It has other axes, or uneven coordinates, or is no array.
    """
    is_xarray = hasattr(source, "dims") and hasattr(source, "coords")
    name = name or str((is_xarray and getattr(source, "name", None)) or "image")
    if hasattr(source, "data_vars"):
        raise InputError(f"{name}: is a Dataset; give one of its arrays: {', '.join(map(str, source.data_vars))}.")
    if is_xarray:
        source = _ordered(source, name)
        values, georeference, nodata = source.data, _georeference(source, name), _nodata(source)
    else:
        values, georeference, nodata = _array(source, name), None, None
    if any(length != length for length in values.shape):  # NaN
        raise InputError(f"{name}: has chunks of unknown size; call compute_chunk_sizes() of it first.")
    return pyramid_from_array(values, name=name, georeference=georeference, validity=_validity(values, nodata))


def _array(source: Any, name: str) -> Any:
    """Return an array as it is, and make one of anything else."""
    if hasattr(source, "dtype") and hasattr(source, "shape"):
        return source
    if isinstance(source, (list, tuple)) and any(hasattr(level, "dtype") and is_lazy(level) for level in source):
        raise InputError(f"{name}: is a list of {len(source)} arrays; give the finest one, the others follow from it.")
    try:
        values = np.asarray(source)
    except ValueError:
        raise InputError(f"{name}: has rows of different lengths; give an array [y, x] or [y, x, band].") from None
    if values.ndim == 0:  # None, a number, or an object of something else
        shown = " ".join(repr(source).split())[:60]
        raise InputError(f"{name}: cannot be {shown}; give a path, an address, or an array [y, x] or [y, x, band].")
    return values


def _ordered(source: Any, name: str) -> Any:
    """Return an array of xarray as [y, x] or [y, x, band]."""
    dims = list(source.dims)
    others = [axis for axis in dims if axis not in ("y", "x")]
    if len(dims) - len(others) != 2 or len(others) > 1:
        raise InputError(f"{name}: has the axes {', '.join(map(str, dims))}; name them y, x and band.")
    return source.transpose("y", "x", *others)


def _spatial(source: Any) -> Any:
    """Return what rioxarray knows of an array of xarray. None if it is not installed."""
    with suppress(ImportError):
        import rioxarray  # noqa: F401 (it adds .rio)
    return getattr(source, "rio", None)


def _georeference(source: Any, name: str) -> Georeference | None:
    """Return the place of an array of xarray by its coordinates, and by what rioxarray knows of it."""
    spatial = _spatial(source)
    crs = None if spatial is None else spatial.crs
    a, b, c, d, e, f = IDENTITY if spatial is None else tuple(map(float, spatial.transform()))[:6]
    stated: Transform = (a, b, c, d, e, f)
    found = _of_coordinates(source, name)
    if found is None or _agree(found, stated, source.shape):
        found = stated  # which has not been rounded
    if crs is not None:
        return Georeference(crs_text(crs), found)
    # Without a CRS, the numbers of px are no place.
    return None if found == IDENTITY or found == (1.0, 0.0, -0.5, 0.0, 1.0, -0.5) else Georeference(UNKNOWN_CRS, found)


def _of_coordinates(source: Any, name: str) -> Transform | None:
    """Return the transform that the coordinates of the middles of px state. None if there are none of both axes."""
    steps = []
    for axis in ("y", "x"):
        at = source.coords.get(axis)
        if at is None or at.ndim != 1 or at.dtype.kind not in "iuf" or at.size < 2:
            return None
        values: NDArray[np.float64] = np.asarray(at, np.float64)
        step = (values[-1] - values[0]) / (len(values) - 1)
        off = np.abs(values - np.linspace(values[0], values[-1], len(values))).max()
        if not off <= MOST_UNEVEN * abs(step):
            raise InputError(f"{name}: its {axis} are not evenly spaced; give it on a regular grid (interp of xarray).")
        steps.append((float(step), float(values[0] - step / 2)))
    (e, f), (a, c) = steps
    return a, 0.0, c, 0.0, e, f


def _agree(one: Transform, other: Transform, shape: tuple[int, ...]) -> bool:
    """Return whether two transforms put the corners of an image at the same place, but for rounding."""
    height, width = shape[:2]
    size = max(abs(one[0]), abs(one[4]))
    return all(
        abs((one[0] - other[0]) * x + (one[1] - other[1]) * y + one[2] - other[2]) <= 1e-3 * size
        and abs((one[3] - other[3]) * x + (one[4] - other[4]) * y + one[5] - other[5]) <= 1e-3 * size
        for y, x in ((0, 0), (0, width), (height, 0), (height, width))
    )


def _nodata(source: Any) -> float | None:
    """Return the value of an array of xarray that means no data, by its attributes as rioxarray reads them."""
    spatial = _spatial(source)
    value = source.attrs.get("_FillValue") if spatial is None else spatial.nodata
    return None if value is None else float(value)


def _validity(values: Any, nodata: float | None) -> Validity | None:
    """Return which px of an array hold data. A masked px holds none if all of its bands are masked."""
    if np.ma.isMaskedArray(values):
        mask = np.ma.getmaskarray(values)
    elif isinstance(getattr(values, "_meta", None), np.ma.MaskedArray):
        import dask.array

        mask = dask.array.ma.getmaskarray(values)
    elif nodata is not None:
        bands = 1 if values.ndim == 2 else values.shape[2]
        return Validity((NodataMask((nodata,) * bands),), f"nodata {nodata:.15g}")
    else:
        return None
    valid: Any = ~(mask.all(axis=2) if mask.ndim == 3 else mask)
    return Validity((StoredMask(Level(valid, "yx"), 0, valid.shape),), "masked px")
