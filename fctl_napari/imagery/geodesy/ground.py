"""Positions of pixels on the ground, in the CRS and in longitude and latitude."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import InputError
from fctl_napari.imagery.georeference import Georeference
from fctl_napari.windows import IntWindow

LONLAT_PX = 1e-3
"""Largest distance, px, between an edge in longitude and latitude and the edge in the image."""

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
    matrix : ndarray of float64 [2, 2]
        Change of the coordinates x and y (rows) from one px to the next, to the right and down (columns).
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
        self.matrix = np.array([[a, b], [d, e]])
        self.lonlat_crs: Any = CRS.from_epsg(4326)

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
        points: NDArray[np.float64] = vertices @ self.matrix.T + (self._c, self._f)
        return points

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
            vertices = (points - (self._c, self._f)) @ np.linalg.inv(self.matrix).T
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

        (a, b), (d, e) = self.matrix.tolist()
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
            vertices: NDArray[np.float64] = (points - (self._c, self._f)) @ np.linalg.inv(self.matrix).T
        return vertices

    @property
    def turn(self) -> float | None:
        """Length of a turn around the Earth in the units of a geographic CRS, or None in another CRS."""
        return 2 * math.pi / float(self.crs.units_factor[1]) if self.geographic else None

    def lonlat_digits(self) -> int:
        """Return the decimals of a degree that resolve a ten-thousandth of a px, at least 7 (a centimetre)."""
        side = math.sqrt(abs(float(np.linalg.det(self.matrix))))
        if self.geographic:
            degrees = math.degrees(side * self.crs.units_factor[1])
        else:
            degrees = side * (self.crs.linear_units_factor[1] if self.crs.is_projected else 1.0) / 111_320
        return max(7, math.ceil(-math.log10(degrees)) + 4)


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
