"""Size of a pixel on the ground, in metres."""

from __future__ import annotations

import math

from fctl_napari.imagery.georeference import Georeference, has_rasterio
from fctl_napari.imagery.pyramid import Pyramid

METRES = {
    "angstrom": 1e-10,
    "picometer": 1e-12,
    "nanometer": 1e-9,
    "micrometer": 1e-6,
    "millimeter": 1e-3,
    "centimeter": 1e-2,
    "inch": 0.0254,
    "foot": 0.3048,
    "meter": 1.0,
    "kilometer": 1e3,
}
"""Lengths of units, m."""

EARTH_RADIUS = 6_371_008.8
"""Mean radius of the Earth, m."""


def ground_size(image: Pyramid) -> float | None:
    """Measure the side of a px of an image: on the ground in its middle, or else by the unit that its file states.

    Parameters
    ----------
    image : Pyramid
        Image.

    Returns
    -------
    float or None
        Side, m, the geometric mean of height and width. None if the file does not say it.
    """
    sides = ground_sides(image)
    return None if sides is None else math.sqrt(sides[0] * sides[1])


def ground_sides(image: Pyramid) -> tuple[float, float] | None:
    """Measure height and width of a px of an image, as ``ground_size`` does.

    Parameters
    ----------
    image : Pyramid
        Image.

    Returns
    -------
    tuple of 2 float or None
        (height, width), m. None if the file does not say them.
    """
    if image.georeference is not None and has_rasterio():
        found = _in_the_middle(image.georeference, image.shape)
        if found is not None:
            return found
    length = METRES.get(str(image.unit))
    return None if length is None else _sides(image.pixel_size[0] * length, image.pixel_size[1] * length)


def _in_the_middle(georeference: Georeference, shape: tuple[int, int]) -> tuple[float, float] | None:
    """Measure the px in the middle of an image, whatever its map projection does to lengths there."""
    from rasterio.crs import CRS
    from rasterio.errors import CRSError, RasterioError
    from rasterio.warp import transform

    a, b, c, d, e, f = georeference.transform
    x, y = shape[1] / 2, shape[0] / 2
    columns, rows = (x, x + 1, x), (y, y, y + 1)
    try:
        crs = CRS.from_user_input(georeference.crs)
        if not (crs.is_geographic or crs.is_projected):
            return None
        easts = [a * column + b * row + c for column, row in zip(columns, rows, strict=True)]
        norths = [d * column + e * row + f for column, row in zip(columns, rows, strict=True)]
        longitudes, latitudes = transform(crs, CRS.from_epsg(4326), easts, norths)
    except (CRSError, RasterioError):
        return None
    if not all(map(math.isfinite, (*longitudes, *latitudes))):
        return None
    sides = []
    for longitude, latitude in zip(longitudes[1:], latitudes[1:], strict=True):
        east = (longitude - longitudes[0] + 180) % 360 - 180
        east *= math.cos(math.radians((latitude + latitudes[0]) / 2))
        sides.append(EARTH_RADIUS * math.radians(math.hypot(latitude - latitudes[0], east)))
    width, height = sides
    return _sides(height, width)


def _sides(height: float, width: float) -> tuple[float, float] | None:
    return (height, width) if math.isfinite(height * width) and min(height, width) > 0 else None


def length_words(metres: float) -> str:
    """Return a length in the unit in which it is easily read.

    Parameters
    ----------
    metres : float
        Length, m.

    Returns
    -------
    str
        Two digits and unit: ``"7.4 km"``, ``"0.5 m"``, ``"0.25 µm"``.
    """
    units = (
        ("km", 1e3, 1e3),
        ("m", 1.0, 0.1),
        ("cm", 1e-2, 1e-2),
        ("mm", 1e-3, 1e-3),
        ("µm", 1e-6, 1e-7),
        ("nm", 1e-9, 0.0),
    )
    unit, length = next((unit, length) for unit, length, least in units if metres >= 0.999 * least)
    return f"{float(f'{metres / length:.2g}'):g} {unit}"
