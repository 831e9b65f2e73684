"""Areas of pixels and rings on the ground, in square metres."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.geodesy.ground import BATCH, Ground
from fctl_napari.windows import IntWindow


def square_metres(ground: Ground) -> float | None:
    """Return the area of one px in a projected CRS, on its plane.

    Parameters
    ----------
    ground : Ground
        Position of the image.

    Returns
    -------
    float or None
        Area, m². None where px differ or there is no unit.
    """
    # at 60 degrees of latitude the plane of Mercator's projection (web maps) is four times as large
    if not ground.crs.is_projected or 'PROJECTION["Mercator' in ground.crs.to_wkt():
        return None
    _, metres = ground.crs.linear_units_factor
    return float(abs(np.linalg.det(ground.matrix)) * metres**2)


def ring_areas(ground: Ground, vertices: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute areas of rings on the ellipsoid of a geographic CRS, m².

    The edges are straight in longitude and latitude, as the sides of px are. On the cylindrical equal-area map the
    area under an edge is the integral of the authalic latitude's function q over longitude, which is taken by
    Simpson's rule: exact for edges along meridians and parallels.

    Parameters
    ----------
    ground : Ground
        Position of the image.
    vertices : ndarray of float64 [k, 2]
        (x, y), px. The last vertex of each ring equals its first.
    offsets : ndarray of int64 [n + 1]
        Index of each ring's first vertex, and at the end k.

    Returns
    -------
    ndarray of float64 [n]
        Areas, m². They are positive for rings that run like GDAL's outer ones (right along their lower edge), else
        negative.
    """
    _, radians = ground.crs.units_factor
    points = ground.coordinates(vertices) * radians
    points[:, 1] = np.clip(points[:, 1], -np.pi / 2, np.pi / 2)  # grids of whole degrees reach beyond the poles
    axis, flattening = _ellipsoid(ground)
    squared = flattening * (2 - flattening)
    longitude, latitude = points[:, 0], points[:, 1]
    q = _authalic(latitude, squared)
    middle = _authalic((latitude[:-1] + latitude[1:]) / 2, squared)
    under = np.append(np.diff(longitude) * (q[:-1] + 4 * middle + q[1:]) / 6, 0.0)[: len(q)]
    under[offsets[1:] - 1] = 0  # from one ring to the next
    if len(offsets) < 2:
        return under
    # In px y grows downward, so GDAL's outer rings run clockwise unless the image is mirrored.
    sign = math.copysign(1.0, float(np.linalg.det(ground.matrix)))
    areas: NDArray[np.float64] = sign * axis**2 / 2 * np.add.reduceat(under, offsets[:-1])
    return areas


def pixel_areas(ground: Ground, window: IntWindow) -> NDArray[np.float64] | None:
    """Compute the area of each px of a window, m²: on the plane of a projected CRS, else on the ellipsoid.

    Parameters
    ----------
    ground : Ground
        Position of the image.
    window : IntWindow
        (y0, x0, y1, x1), px.

    Returns
    -------
    ndarray of float64 [y, x] or None
        Areas; an axis along which they do not differ has length 1. None in a CRS that is neither projected nor
        geographic.
    """
    per_pixel = square_metres(ground)
    if per_pixel is not None:
        return np.full((1, 1), per_pixel)
    if not ground.geographic:
        return None
    y0, x0, y1, x1 = window
    if ground.matrix[1, 0] == 0:  # rows lie along parallels
        x1 = min(x1, x0 + 1)
    ring = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]], np.float64)
    rows = max(1, BATCH // (5 * (x1 - x0)))
    areas = [np.empty((0, x1 - x0))]
    for top in range(y0, y1, rows):
        height = min(rows, y1 - top)
        corners = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(top, top + height)), axis=-1)
        vertices = (corners.reshape(-1, 1, 2) + ring).reshape(-1, 2)
        offsets = np.arange(0, len(vertices) + 1, len(ring))
        areas.append(np.abs(ring_areas(ground, vertices, offsets)).reshape(height, -1))
    return np.concatenate(areas)


def _ellipsoid(ground: Ground) -> tuple[float, float]:
    """Return the ellipsoid's semi-major axis, m, and flattening."""
    found = _find(ground.crs.to_dict(projjson=True), "ellipsoid") or {}
    if "radius" in found:
        return _metres(found["radius"]), 0.0
    axis = _metres(found.get("semi_major_axis", 6378137.0))
    if "semi_minor_axis" in found:
        return axis, 1 - _metres(found["semi_minor_axis"]) / axis
    return axis, 1 / float(found.get("inverse_flattening", 298.257223563))


def _authalic(latitude: NDArray[np.float64], squared: float) -> NDArray[np.float64]:
    """Compute Snyder's q of a latitude, rad, on an ellipsoid.

    ``squared`` is the eccentricity squared. On a sphere q is 2 sin (eq. 3-12).
    """
    sine = np.sin(latitude)
    if squared <= 0:
        return np.asarray(2 * sine)
    e = math.sqrt(squared)
    q: NDArray[np.float64] = (1 - squared) * (sine / (1 - squared * sine**2) + np.arctanh(e * sine) / e)
    return q


def _find(described: Any, name: str) -> Any:
    """Find an entry anywhere in PROJ's description of a CRS."""
    if isinstance(described, dict):
        if name in described:
            return described[name]
        described = list(described.values())
    if isinstance(described, list):
        for part in described:
            if (found := _find(part, name)) is not None:
                return found
    return None


def _metres(length: Any) -> float:
    """Read a length of PROJ's, a number in metres or a value with its unit."""
    if isinstance(length, dict):
        unit = length.get("unit")
        return float(length["value"]) * float(unit["conversion_factor"] if isinstance(unit, dict) else 1.0)
    return float(length)
