"""Positions of pixels on the ground, in the CRS and in longitude and latitude, and areas in square metres."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.windows import IntWindow

LONLAT_PX = 1e-3
"""Largest distance, px, between an edge in longitude and latitude and the edge in the image."""

SHORT_EDGE_PX = 2.0
"""Edges up to this length, px, are not subdivided where they bend by less than ``LONLAT_PX``."""

ROUNDS = 40
"""Number of times that an edge is halved at most. Near a pole its pieces are shorter than a thousandth of a px."""

WIDE = 10.0
"""Degrees of longitude or latitude over which no edge goes undivided, where short edges bend."""

POLE_PX = 5e-4
"""Least distance, px, from a pole to the lines between px. Where a pole lies on one, longitudes are ambiguous."""

LATTICE = 33
"""Points a side at which it is tested whether an image reaches beyond the Earth."""

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
    lonlat_crs : rasterio.crs.CRS
        That of longitude and latitude, WGS 84.

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
            raise InputError(
                f"{georeference.crs}: is no coordinate reference system that is known here; give the image one that is "
                "(gdal_edit.py -a_srs, say)."
            ) from error
        a, b, self._c, d, e, self._f = georeference.transform
        self._matrix = np.array([[a, b], [d, e]])
        self.lonlat_crs: Any = CRS.from_epsg(4326)

    @property
    def square_metres(self) -> float | None:
        """Area of one px in a projected CRS, m² on its plane, or None where px differ or there is no unit."""
        # at 60 degrees of latitude the plane of Mercator's projection (web maps) is four times as large
        if not self.crs.is_projected or 'PROJECTION["Mercator' in self.crs.to_wkt():
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
        points[:, 1] = np.clip(points[:, 1], -np.pi / 2, np.pi / 2)  # grids of whole degrees reach beyond the poles
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

    def pixel_areas(self, window: IntWindow) -> NDArray[np.float64] | None:
        """Compute the area of each px of a window, m²: on the plane of a projected CRS, else on the ellipsoid.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.

        Returns
        -------
        ndarray of float64 [y, x] or None
            Areas; an axis along which they do not differ has length 1. None in a CRS that is neither projected nor
            geographic.
        """
        per_pixel = self.square_metres
        if per_pixel is not None:
            return np.full((1, 1), per_pixel)
        if not self.geographic:
            return None
        y0, x0, y1, x1 = window
        if self._matrix[1, 0] == 0:  # rows lie along parallels
            x1 = min(x1, x0 + 1)
        ring = np.array([[0, 0], [0, 1], [1, 1], [1, 0], [0, 0]], np.float64)
        rows = max(1, BATCH // (5 * (x1 - x0)))
        areas = [np.empty((0, x1 - x0))]
        for top in range(y0, y1, rows):
            height = min(rows, y1 - top)
            corners = np.stack(np.meshgrid(np.arange(x0, x1), np.arange(top, top + height)), axis=-1)
            vertices = (corners.reshape(-1, 1, 2) + ring).reshape(-1, 2)
            offsets = np.arange(0, len(vertices) + 1, len(ring))
            areas.append(np.abs(self.ring_areas(vertices, offsets)).reshape(height, -1))
        return np.concatenate(areas)

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
            (longitude, latitude), degrees. Infinite where the map shows no place on Earth.
        """
        points = self.coordinates(vertices)
        if self.crs != self.lonlat_crs:
            for start in range(0, len(points), BATCH):  # rasterio returns lists, which take much memory
                part = points[start : start + BATCH]
                part[:] = _transformed(part, self.crs, self.lonlat_crs)
        return points

    @property
    def on_earth(self) -> bool:
        """True if places have a longitude and a latitude, which they have not in a local CRS."""
        from rasterio._err import CPLE_BaseError, CPLE_NotSupportedError
        from rasterio.warp import transform

        try:
            transform(self.lonlat_crs, self.crs, [0.0], [0.0])
        except CPLE_NotSupportedError:
            return False
        except CPLE_BaseError:
            pass  # the map does not show this place
        return True

    @property
    def cylindrical(self) -> bool:
        """True if meridians are parallel lines, so that the map goes on beyond the antimeridian."""
        longitude = np.array([0.0, 0.0, 90.0, 90.0])  # the map may be cut at one of them
        latitude = np.array([0.0, 60.0, 0.0, 60.0])
        starts, stops = (
            _transformed(np.stack([lon, latitude], axis=1), self.lonlat_crs, self.crs)
            for lon in (longitude, longitude + 1)
        )
        if not np.isfinite([starts, stops]).all():
            return False
        dx, dy = (stops - starts).T
        return bool(np.abs(dy).max() < 1e-6 and np.allclose(dx[::2], dx[1::2], rtol=1e-9, atol=0))

    def poles(self, shape: tuple[int, int]) -> list[tuple[float, NDArray[np.float64]]]:
        """Find the poles that an image shows as points.

        Parameters
        ----------
        shape : tuple of 2 int
            (height, width) of the image, px.

        Returns
        -------
        list of (float, ndarray of float64 [2])
            Latitude, -90 or 90, and (x, y), px.
        """
        found = []
        for latitude in (-90.0, 90.0):
            on_meridians = np.array([[longitude, latitude] for longitude in (0.0, 90.0, -120.0)])
            points = _transformed(on_meridians, self.lonlat_crs, self.crs)
            if self.geographic or not np.isfinite(points).all():
                continue
            vertices = (points - (self._c, self._f)) @ np.linalg.inv(self._matrix).T
            inside = (vertices >= -1) & (vertices <= (shape[1] + 1, shape[0] + 1))
            if inside.all() and np.ptp(vertices, axis=0).max() < POLE_PX:
                found.append((latitude, vertices[0]))
        return found

    def shows_earth(self, window: IntWindow, poles: list[tuple[float, NDArray[np.float64]]]) -> bool:
        """Return whether a window lies on Earth with all of its px, as far as can be told from some points.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.
        poles : list of (float, ndarray of float64 [2])
            Poles that the image shows; see ``poles``.

        Returns
        -------
        bool
            False if it reaches beyond the Earth, as that of a full disc does.
        """
        y0, x0, y1, x1 = window
        steps = ((x1 - x0) / (LATTICE - 1), (y1 - y0) / (LATTICE - 1))
        return self.geographic or bool(self._visible((x0, y0), steps, (LATTICE, LATTICE), poles).all())

    def shown(self, window: IntWindow, poles: list[tuple[float, NDArray[np.float64]]]) -> NDArray[np.bool_]:
        """Find the px that lie on Earth with all of their corners.

        Parameters
        ----------
        window : IntWindow
            (y0, x0, y1, x1), px.
        poles : list of (float, ndarray of float64 [2])
            Poles that the image shows; see ``poles``.

        Returns
        -------
        ndarray of bool [y1 - y0, x1 - x0]
            True for px on Earth.
        """
        y0, x0, y1, x1 = window
        corners = self._visible((x0, y0), (1.0, 1.0), (y1 - y0 + 1, x1 - x0 + 1), poles)
        return corners[1:, 1:] & corners[1:, :-1] & corners[:-1, 1:] & corners[:-1, :-1]

    def _visible(
        self,
        first: tuple[float, float],
        steps: tuple[float, float],
        shape: tuple[int, int],
        poles: list[tuple[float, NDArray[np.float64]]],
    ) -> NDArray[np.bool_]:
        """Return which points of a lattice are on Earth, [y, x], from its first point and steps (x, y), px.

        GDAL warps a map of the Earth to the lattice: it says of each point alone whether it can be transformed.
        """
        import rasterio
        from rasterio.transform import Affine
        from rasterio.warp import Resampling, reproject

        (a, b), (d, e) = self._matrix.tolist()
        px = Affine(a, b, self._c, d, e, self._f)
        centers = px @ Affine.translation(*first) @ Affine.scale(*steps) @ Affine.translation(-0.5, -0.5)
        found = np.zeros(shape, np.uint8)
        # without the check, what a cylindrical map shows beyond the antimeridian is on Earth too
        with rasterio.Env(CHECK_WITH_INVERT_PROJ="NO" if self.cylindrical else "YES"):
            reproject(
                np.ones((182, 362), np.uint8),
                found,
                src_transform=Affine(1, 0, -181, 0, -1, 91),
                src_crs=self.lonlat_crs,
                dst_transform=centers,
                dst_crs=self.crs,
                resampling=Resampling.nearest,
                tolerance=0,
            )
        for _, pole in poles:  # at which the longitude is not defined
            nearest = np.rint((pole - first) / steps)
            x, y = nearest.astype(np.int64).tolist()
            if 0 <= x < shape[1] and 0 <= y < shape[0] and np.abs(first + nearest * steps - pole).max() < LONLAT_PX:
                found[y, x] = 1
        return found > 0

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
            (x, y), px. Not finite where the map does not show the point.
        """
        crs = self.lonlat_crs if crs is None else crs
        if self.crs != crs and len(points):
            points = _transformed(points, crs, self.crs)
        with np.errstate(invalid="ignore"):
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
        short = 0.0 if self._curved(vertices) else SHORT_EDGE_PX
        # pieces of edges that are still to be checked: the edge, and the part of it from t0 to t1
        t0, t1 = np.zeros(len(edges)), np.ones(len(edges))
        added_edge, added_t = [], []
        for _ in range(ROUNDS):
            start, step = vertices[edges], vertices[edges + 1] - vertices[edges]
            long = np.hypot(*step.T) * (t1 - t0) > short
            edges, t0, t1, start, step = edges[long], t0[long], t1[long], start[long], step[long]
            if not len(edges):
                break
            middle = (t0 + t1) / 2
            first, center, last = (self.lonlat(start + t[:, None] * step) for t in (t0, middle, t1))
            far = self._bends(first, center, last) > LONLAT_PX * self._pixel_angles(
                center, start + middle[:, None] * step
            )
            if not short:  # an edge may bend to both sides
                far |= np.abs(last - first).max(axis=1) > WIDE
            far &= np.isfinite(center).all(axis=1)  # interrupted maps have gaps
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

    @staticmethod
    def _bends(
        first: NDArray[np.float64], center: NDArray[np.float64], last: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Return by how much the middles of edges lie beside the lines between their ends, degrees, [n]."""
        with np.errstate(invalid="ignore"):  # points beside the Earth
            ways = [point - center for point in (first, last)]
            for way in ways:
                way[:, 0] -= 360 * np.rint(way[:, 0] / 360)
            return _angles(center + (ways[0] + ways[1]) / 2, center)

    def _curved(self, vertices: NDArray[np.float64]) -> bool:
        """Return whether edges of ``SHORT_EDGE_PX`` bend visibly somewhere around the vertices."""
        low, high = vertices.min(axis=0), vertices.max(axis=0)
        sides = [np.linspace(*ends, 9) for ends in zip(low, high, strict=True)]
        points = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
        center = self.lonlat(points)
        allowed = LONLAT_PX * self._pixel_angles(center, points)
        half = SHORT_EDGE_PX / 2
        for step in ((0.0, half), (half, 0.0)):
            bend = self._bends(self.lonlat(points - step), center, self.lonlat(points + step))
            if not (bend <= allowed).all():
                return True
        extent = (int(high[1]) + 1, int(high[0]) + 1)
        return any((pole >= low - half).all() for _, pole in self.poles(extent))

    def _pixel_angles(self, lonlat: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the shorter side of a px at each vertex, degrees of a great circle, [n]."""
        sides = [_angles(self.lonlat(vertices + step), lonlat) for step in ((0.0, 1.0), (1.0, 0.0))]
        shorter: NDArray[np.float64] = np.fmin(*sides)  # the next px may lie beside the Earth
        return shorter


def _transformed(points: NDArray[np.float64], source: Any, target: Any) -> NDArray[np.float64]:
    """Transform points (x, y) [n, 2] between two CRS. Those that cannot be transformed become infinite."""
    from rasterio._err import CPLE_BaseError, CPLE_NotSupportedError
    from rasterio.warp import transform

    try:
        found: NDArray[np.float64] = np.stack(transform(source, target, points[:, 0], points[:, 1]), axis=1)
        return found
    except CPLE_NotSupportedError:
        return np.full(points.shape, np.inf)  # one of them is local
    except CPLE_BaseError:
        if len(points) == 1:
            return np.full((1, 2), np.inf)
    half = len(points) // 2
    return np.concatenate([_transformed(part, source, target) for part in (points[:half], points[half:])])


def _angles(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles, degrees, between nearby points (longitude, latitude), [n]."""
    with np.errstate(invalid="ignore"):  # points beside the Earth
        across, along = (first - second).T
        across = across - 360 * np.rint(across / 360)
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
