"""Coordinates on the ground in words, and the comparison of reference systems."""

from __future__ import annotations

import math
import re
from functools import lru_cache

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.geodesy.ground import Ground
from fctl_napari.imagery.georeference import UNKNOWN_CRS, Georeference, has_rasterio

SYMBOLS = {"meter": "m", "foot": "ft", "kilometer": "km"}

LONGITUDE_LATITUDE = "longitude", "latitude"

LONGEST = 40
"""Largest number of characters of a CRS's name."""


def is_local(crs: str) -> bool:
    """Return whether coordinates are of a plane of which nothing is known, as those of a world file.

    Parameters
    ----------
    crs : str
        Coordinate reference system, as ``"EPSG:n"`` or WKT.

    Returns
    -------
    bool
        True if they are.
    """
    return crs.startswith(UNKNOWN_CRS.partition("[")[0])


@lru_cache
def same_crs(first: str, second: str) -> bool:
    """Return whether two coordinate reference systems are the same, however they are written.

    Parameters
    ----------
    first, second : str
        Coordinate reference systems, as ``"EPSG:n"`` or WKT.

    Returns
    -------
    bool
        True if they are. Without rasterio only what is written alike is the same.
    """
    if first == second:
        return True
    if not has_rasterio():
        return False
    origin = (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)
    try:
        return bool(Ground(Georeference(first, origin)).crs == Ground(Georeference(second, origin)).crs)
    except InputError:
        return False


def crs_name(crs: str) -> str:
    """Return a short name of a coordinate reference system.

    Parameters
    ----------
    crs : str
        Coordinate reference system, as ``"EPSG:n"`` or WKT.

    Returns
    -------
    str
        The code, or the name that the WKT begins with.
    """
    if crs == UNKNOWN_CRS:
        return "no CRS stated"
    named = re.match(r'\w+\["([^"]+)"', crs)
    return (named[1] if named else crs)[:LONGEST]


@lru_cache
def axis_names(crs: str) -> tuple[str, str]:
    """Return how coordinates of a reference system are called.

    Parameters
    ----------
    crs : str
        Coordinate reference system, as ``"EPSG:n"`` or WKT.

    Returns
    -------
    tuple of 2 str
        ("E", "N") for easting and northing, ("longitude", "latitude"), or ("x", "y") where that is not known.
    """
    if not has_rasterio() or is_local(crs):
        return "x", "y"
    try:
        ground = Ground(Georeference(crs, (1.0, 0.0, 0.0, 0.0, -1.0, 0.0)))
    except InputError:
        return "x", "y"
    if ground.geographic:
        return LONGITUDE_LATITUDE
    axes = re.findall(r'AXIS\["([^"]+)"', ground.crs.to_wkt())
    return ("E", "N") if [axis[:1].upper() for axis in axes[:2]] == ["E", "N"] else ("x", "y")


def position_words(georeference: Georeference, pixel: tuple[float, float], unit: str | None) -> str:
    """Return where a point of an image lies on the ground, to about half a px.

    Parameters
    ----------
    georeference : Georeference
        Georeference of the image.
    pixel : tuple of 2 float
        (y, x), px; pixel i covers [i, i + 1).
    unit : str or None
        Unit of the coordinates, if it is known.

    Returns
    -------
    str
        Easting and northing, or longitude and latitude, with the CRS.
    """
    a, b, c, d, e, f = georeference.transform
    row, column = pixel
    x, y = a * column + b * row + c, d * column + e * row + f
    finest = min(size for size in georeference.pixel_size if size > 0)
    digits = min(12, max(0, math.ceil(-math.log10(finest / 2))))
    names = axis_names(georeference.crs)
    where = crs_name(georeference.crs)
    if names == LONGITUDE_LATITUDE:
        east, north = "E" if x >= 0 else "W", "N" if y >= 0 else "S"
        return f"{abs(x):.{digits}f}° {east}, {abs(y):.{digits}f}° {north} ({where})"
    symbol = f" {SYMBOLS[unit]}" if unit in SYMBOLS else ""
    return f"{names[0]} {x:.{digits}f}, {names[1]} {y:.{digits}f}{symbol} ({where})"
