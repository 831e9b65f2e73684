"""Positions of pixels on the ground, in the CRS and in longitude and latitude, and areas in square metres."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.errors import InputError
from fctl_napari.imagery.georeference import Georeference

LONLAT_PX = 1e-3
"""Largest distance, px, between an edge in longitude and latitude and the edge in the image."""

SHORT_EDGE_PX = 2.0
"""Edges up to this length, px, are not subdivided: with px of 500 m they bend by 5e-4 px at 85 degrees of latitude."""

ROUNDS = 24
"""Number of times that an edge is halved at most. It is then shorter than a px in any image."""

BATCH = 2**17
"""Approximate number of vertices that are processed together."""


class Ground:
    """Conversions between pixels and coordinates on the ground, by a georeference.

    It needs rasterio.

    Parameters
    ----------
    georeference : Georeference
        Georeference of the image in whose px (x right, y down, px i from i to i + 1) all vertices are given.

    Attributes
    ----------
    crs : rasterio.crs.CRS
        Coordinate reference system.

    Raises
    ------
    InputError
        PROJ does not know the CRS.
    """

    def __init__(self, georeference: Georeference) -> None:
        from rasterio.crs import CRS
        from rasterio.errors import CRSError

        try:
            self.crs: Any = CRS.from_user_input(georeference.crs)
        except CRSError as error:
            raise InputError(f"{georeference.crs}: is no coordinate reference system that is known here.") from error
        a, b, self._c, d, e, self._f = georeference.transform
        self._matrix = np.array([[a, b], [d, e]])
        self._lonlat: Any = CRS.from_epsg(4326)

    @property
    def square_metres(self) -> float | None:
        """Area of one px in a projected CRS, m² on its plane, or None where px differ or there is no unit."""
        if not self.crs.is_projected:
            return None
        _, metres = self.crs.linear_units_factor
        return float(abs(np.linalg.det(self._matrix)) * metres**2)

    @property
    def geographic(self) -> bool:
        """True if the coordinates are longitude and latitude (on any datum)."""
        return bool(self.crs.is_geographic)

    def coordinates(self, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert vertices to coordinates in the CRS.

        Parameters
        ----------
        vertices : ndarray of float64 [n, 2]
            (x, y), px.

        Returns
        -------
        ndarray of float64 [n, 2]
            (x, y), in the unit of the CRS.
        """
        points: NDArray[np.float64] = vertices @ self._matrix.T + (self._c, self._f)
        return points

    def ring_areas(self, vertices: NDArray[np.float64], offsets: NDArray[np.int64]) -> NDArray[np.float64]:
        """Compute areas of rings on the ellipsoid of a geographic CRS, m².

        The edges are straight in longitude and latitude, as the sides of px are. On the cylindrical equal-area map the
        area under an edge is the integral of the authalic latitude's function q over longitude, which is taken by
        Simpson's rule: exact for edges along meridians and parallels.

        Parameters
        ----------
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
        _, radians = self.crs.units_factor
        points = self.coordinates(vertices) * radians
        axis, flattening = self._ellipsoid()
        squared = flattening * (2 - flattening)
        longitude, latitude = points[:, 0], points[:, 1]
        q = _authalic(latitude, squared)
        middle = _authalic((latitude[:-1] + latitude[1:]) / 2, squared)
        under = np.append(np.diff(longitude) * (q[:-1] + 4 * middle + q[1:]) / 6, 0.0)[: len(q)]
        under[offsets[1:] - 1] = 0  # from one ring to the next
        if len(offsets) < 2:
            return under
        # In px y grows downward, so GDAL's outer rings run clockwise unless the image is mirrored.
        sign = math.copysign(1.0, float(np.linalg.det(self._matrix)))
        areas: NDArray[np.float64] = sign * axis**2 / 2 * np.add.reduceat(under, offsets[:-1])
        return areas

    def _ellipsoid(self) -> tuple[float, float]:
        """Return the ellipsoid's semi-major axis, m, and flattening."""
        found = _find(self.crs.to_dict(projjson=True), "ellipsoid") or {}
        if "radius" in found:
            return _metres(found["radius"]), 0.0
        axis = _metres(found.get("semi_major_axis", 6378137.0))
        if "semi_minor_axis" in found:
            return axis, 1 - _metres(found["semi_minor_axis"]) / axis
        return axis, 1 / float(found.get("inverse_flattening", 298.257223563))

    def lonlat(self, vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Convert vertices to WGS 84 longitude and latitude.

        Parameters
        ----------
        vertices : ndarray of float64 [n, 2]
            (x, y), px.

        Returns
        -------
        ndarray of float64 [n, 2]
            (longitude, latitude), degrees.
        """
        from rasterio.warp import transform

        points = self.coordinates(vertices)
        if self.crs != self._lonlat:
            for start in range(0, len(points), BATCH):  # rasterio returns lists, which take much memory
                part = points[start : start + BATCH]
                part[:] = np.stack(transform(self.crs, self._lonlat, part[:, 0], part[:, 1]), axis=1)
        return points

    def pixels(self, points: NDArray[np.float64], crs: Any = None) -> NDArray[np.float64]:
        """Convert coordinates to vertices in px.

        Parameters
        ----------
        points : ndarray of float64 [n, 2]
            (x, y) in ``crs``.
        crs : rasterio.crs.CRS, optional
            CRS of the points. None means WGS 84 longitude and latitude.

        Returns
        -------
        ndarray of float64 [n, 2]
            (x, y), px.
        """
        from rasterio.warp import transform

        crs = self._lonlat if crs is None else crs
        if self.crs != crs and len(points):
            points = np.stack(transform(crs, self.crs, points[:, 0], points[:, 1]), axis=1)
        vertices: NDArray[np.float64] = (points - (self._c, self._f)) @ np.linalg.inv(self._matrix).T
        return vertices

    @property
    def turn(self) -> float | None:
        """Length of a turn around the Earth in the units of a geographic CRS, or None in another CRS."""
        return 2 * math.pi / float(self.crs.units_factor[1]) if self.geographic else None

    def lonlat_digits(self) -> int:
        """Return the decimals of a degree that resolve a ten-thousandth of a px, at least 7 (a centimetre)."""
        side = math.sqrt(abs(float(np.linalg.det(self._matrix))))
        if self.geographic:
            degrees = math.degrees(side * self.crs.units_factor[1])
        else:
            degrees = side * (self.crs.linear_units_factor[1] if self.crs.is_projected else 1.0) / 111_320
        return max(7, math.ceil(-math.log10(degrees)) + 4)

    def bent(
        self, vertices: NDArray[np.float64], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        """Add vertices until straight lines in longitude and latitude follow the edges within ``LONLAT_PX``.

        Parameters
        ----------
        vertices : ndarray of float64 [k, 2]
            (x, y), px. The last vertex of each ring equals its first.
        offsets : ndarray of int64 [n + 1]
            Index of each ring's first vertex, and at the end k.

        Returns
        -------
        vertices : ndarray of float64 [m, 2]
            Vertices with those that were added.
        offsets : ndarray of int64 [n + 1]
            Offsets of the rings in them.
        """
        if self.geographic or len(offsets) < 2:
            return vertices, offsets
        breaks = np.flatnonzero(np.diff(offsets[:-1] // BATCH)) + 1
        bent, lengths = [], []
        for first, last in pairwise([0, *breaks.tolist(), len(offsets) - 1]):
            own = offsets[first : last + 1]
            more, points = self._bent(vertices[own[0] : own[-1]], own - own[0])
            bent.append(more)
            lengths.append(np.diff(points))
        return np.concatenate(bent), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)

    def _bent(
        self, vertices: NDArray[np.float64], offsets: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        ring = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
        edges = np.flatnonzero(ring[:-1] == ring[1:])
        # pieces of edges that are still to be checked: the edge, and the part of it from t0 to t1
        t0, t1 = np.zeros(len(edges)), np.ones(len(edges))
        added_edge, added_t = [], []
        for _ in range(ROUNDS):
            start, step = vertices[edges], vertices[edges + 1] - vertices[edges]
            long = np.hypot(*step.T) * (t1 - t0) > SHORT_EDGE_PX
            edges, t0, t1, start, step = edges[long], t0[long], t1[long], start[long], step[long]
            if not len(edges):
                break
            middle = (t0 + t1) / 2
            first, center, last = (self.lonlat(start + t[:, None] * step) for t in (t0, middle, t1))
            off = _angles((first + last) / 2, center)
            far = off > LONLAT_PX * self._pixel_angles(center, start + middle[:, None] * step)
            edges, t0, t1, middle = edges[far], t0[far], t1[far], middle[far]
            added_edge.append(edges)
            added_t.append(middle)
            edges, t0, t1 = np.tile(edges, 2), np.append(t0, middle), np.append(middle, t1)
        edge = np.concatenate([np.arange(len(vertices)), *added_edge])
        t = np.concatenate([np.zeros(len(vertices)), *added_t])
        order = np.lexsort((t, edge))
        edge, t = edge[order], t[order]
        following = np.minimum(edge + 1, len(vertices) - 1)
        counts = np.bincount(ring[edge], minlength=len(offsets) - 1)
        return (
            vertices[edge] + t[:, None] * (vertices[following] - vertices[edge]),
            np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        )

    def _pixel_angles(self, lonlat: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shorter side of a px at each vertex, degrees of a great circle, [n]."""
        sides = [_angles(self.lonlat(vertices + step), lonlat) for step in ((0.0, 1.0), (1.0, 0.0))]
        shorter: NDArray[np.float64] = np.minimum(*sides)
        return shorter


def _angles(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles, degrees, between nearby points (longitude, latitude), [n]."""
    across, along = (first - second).T
    return np.asarray(np.hypot(across * np.cos(np.radians(second[:, 1])), along))


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
