"""Areas on the ground of px, and the words for them: hectares, or km² where they are large."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.geodesy.areas import pixel_areas
from fctl_napari.imagery.geodesy.ground import Ground
from fctl_napari.imagery.georeference import Georeference, has_rasterio
from fctl_napari.windows import IntWindow, Window

EVEN = 0.02
"""Largest difference of areas of px that is left out of account."""

LARGE = 10_000
"""Hectares from which on areas are given in km²."""

SAMPLES = 5
"""Number of px along each side of a window whose areas are compared."""


def area_unit(hectares: float) -> tuple[str, float]:
    """Choose the unit of some areas.

    Parameters
    ----------
    hectares : float
        All of them together.

    Returns
    -------
    unit : str
        ``"hectares"`` or ``"km²"``.
    factor : float
        Factor by which hectares are multiplied.
    """
    return ("km²", 0.01) if hectares >= LARGE else ("hectares", 1.0)


def area_text(area: float) -> str:
    """Write an area, in whatever unit.

    Parameters
    ----------
    area : float
        The area.

    Returns
    -------
    str
        ``"1,234.50"``; ``"<0.01"`` for less than can be said.
    """
    return "<0.01" if 0 < area < 0.005 else f"{area:,.2f}"


def area_words(pixels: int, georeference: Georeference | None, window: IntWindow) -> str:
    """Write what some px of a window cover on the ground.

    Parameters
    ----------
    pixels : int
        Number of px.
    georeference : Georeference or None
        Georeference of the image, if it has one.
    window : IntWindow
        (y0, x0, y1, x1) px: the window that they lie in.

    Returns
    -------
    str
        ``", 12.50 hectares"``, to follow the number of px. Empty where the size of px is unknown, or differs by more
        than ``EVEN`` in the window.
    """
    per_pixel = pixel_hectares(georeference, window)
    if per_pixel is None:
        return ""
    unit, factor = area_unit(pixels * per_pixel)
    return f", {area_text(pixels * per_pixel * factor)} {unit}"


@lru_cache(maxsize=256)
def pixel_hectares(georeference: Georeference | None, window: IntWindow) -> float | None:
    """Return the area of a px in a window.

    Parameters
    ----------
    georeference : Georeference or None
        Georeference of the image, if it has one.
    window : IntWindow
        (y0, x0, y1, x1) px.

    Returns
    -------
    float or None
        Hectares. None without georeference, in a CRS that is neither projected nor geographic, without rasterio, and
        where areas differ by more than ``EVEN``.
    """
    ground = ground_of(georeference)
    y0, x0, y1, x1 = window
    if ground is None or y0 >= y1 or x0 >= x1:
        return None
    found = []
    for y in np.unique(np.linspace(y0, y1 - 1, SAMPLES).astype(int)).tolist():
        for x in np.unique(np.linspace(x0, x1 - 1, SAMPLES).astype(int)).tolist():
            areas = pixel_areas(ground, Window(y, x, y + 1, x + 1))
            if areas is None:
                return None
            found.append(float(areas[0, 0]))
    return float(np.mean(found)) / 1e4 if max(found) <= (1 + EVEN) * min(found) else None


def level_hectares(
    georeference: Georeference | None, shape: tuple[int, int], factor: int
) -> NDArray[np.float64] | None:
    """Return the area that each px of a coarser level stands for.

    Parameters
    ----------
    georeference : Georeference or None
        Georeference of the image, if it has one.
    shape : tuple of 2 int
        (height, width) of the image, px.
    factor : int
        Px of the image along a px of the level.

    Returns
    -------
    ndarray of float64 [h, w] or None
        Hectares, of the last row and column those inside the image. None where :func:`pixel_hectares` knows no size at
        all.
    """
    if georeference is None:
        return None
    a, b, c, d, e, f = georeference.transform
    coarse = (a * factor, b * factor, c, d * factor, e * factor, f)
    ground = ground_of(replace(georeference, transform=coarse))
    height, width = (-(-side // factor) for side in shape)
    areas = None if ground is None else pixel_areas(ground, Window(0, 0, height, width))
    if areas is None:
        return None
    rows, columns = (np.clip(side / factor - np.arange(-(-side // factor)), 0, 1) for side in shape)
    found: NDArray[np.float64] = rows[:, None] * columns * areas / 1e4
    return found


def ground_of(georeference: Georeference | None) -> Ground | None:
    """Return conversions by a georeference.

    Parameters
    ----------
    georeference : Georeference or None
        Georeference of an image, if it has one.

    Returns
    -------
    Ground or None
        None without georeference or rasterio, and in a CRS that PROJ does not know.
    """
    if georeference is None or not has_rasterio():
        return None
    try:
        return Ground(georeference)
    except InputError:
        return None
