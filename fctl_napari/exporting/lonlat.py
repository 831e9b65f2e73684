"""Regions as polygons in longitude and latitude, around poles and over the antimeridian too."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exporting.extract import Extract
from fctl_napari.exporting.losses import ExportLosses
from fctl_napari.exporting.outlines import Outlines
from fctl_napari.imagery.geodesy.densification import densify
from fctl_napari.imagery.geodesy.ground import POLE_PX, Ground
from fctl_napari.model.classes import IGNORE
from fctl_napari.progress import Progress


@dataclass(frozen=True)
class OnEarth(Extract):
    """Window of a segmentation without the px that do not lie on Earth.

    Attributes
    ----------
    ground : Ground
        Position of the image.
    losses : ExportLosses
        Counts of what is left out.
    """

    ground: Ground
    losses: ExportLosses

    def strips(self, rows: int, progress: Progress | None = None) -> Iterator[tuple[int, NDArray[np.uint8]]]:
        """Read class indices strip by strip. See ``Extract.strips``.

        Parameters
        ----------
        rows : int
            Rows of a strip.
        progress : callable, optional
            Called as ``progress(done, total)`` with counts of rows, after each strip was taken.

        Yields
        ------
        top : int
            First row of the strip in the image.
        strip : ndarray of uint8 [rows, columns]
            Class indices, 255 where there is no class, and beside the Earth.
        """
        poles = self.ground.poles(self.segmentation.shape)
        if self.ground.shows_earth(self.window, poles):
            yield from super().strips(rows, progress)
            return
        _, x0, _, x1 = self.window
        for top, strip in super().strips(rows, progress):
            shown = self.ground.shown((top, x0, top + len(strip), x1), poles)
            beside = ~shown & (strip != IGNORE)
            self.losses.beside += int(np.count_nonzero(beside))
            yield top, np.where(shown, strip, np.uint8(IGNORE))


def lonlat_polygons(outlines: Outlines, ground: Ground, shape: tuple[int, int]) -> NDArray[Any]:
    """Make polygons as RFC 7946 requires: WGS 84, outer rings counterclockwise, cut at the antimeridian.

    One that holds a pole runs to it along the antimeridian.

    Parameters
    ----------
    outlines : Outlines
        Regions, (x, y) px. All of them lie on Earth.
    ground : Ground
        Position of the image.
    shape : tuple of 2 int
        (height, width) of the image, px.

    Returns
    -------
    ndarray of shapely.Geometry [n]
        Polygons and multipolygons.
    """
    import shapely

    poles = ground.poles(shape)
    vertices, ring_offsets = densify(ground, outlines.vertices + _moved(poles), outlines.ring_offsets)
    digits = ground.lonlat_digits()
    lonlat = _unwrapped(vertices, ring_offsets, ground)
    polygons: NDArray[Any] = shapely.from_ragged_array(
        shapely.GeometryType.POLYGON, np.round(lonlat, digits), (ring_offsets, outlines.region_offsets)
    )
    ends = lonlat[ring_offsets[1:] - 1] - lonlat[ring_offsets[:-1]]
    around = np.add.reduceat(np.abs(ends[:, 0]) > 180, outlines.region_offsets[:-1]) if len(outlines) else ends[:, 0]
    west, south, east, north = shapely.bounds(polygons).T
    for region in np.flatnonzero((west < -180) | (east > 180) | (south < -90) | (north > 90) | (around > 0)).tolist():
        first, last = outlines.region_offsets[region : region + 2].tolist()
        parts = []
        for ring in range(first, last):
            own = slice(*ring_offsets[ring : ring + 2].tolist())
            parts.append(_on_map(lonlat[own], vertices[own], poles, digits))
        polygons[region] = shapely.difference(parts[0], shapely.union_all(parts[1:])) if len(parts) > 1 else parts[0]
    oriented: NDArray[Any] = shapely.orient_polygons(polygons, exterior_cw=False)
    return oriented


def _moved(poles: list[tuple[float, NDArray[np.float64]]]) -> NDArray[np.float64]:
    """Return the move, (x, y) px, by which no line between px runs through a pole."""
    moved = np.zeros(2)
    for _, pole in poles:
        beside = pole - np.rint(pole)
        moved = np.where(np.abs(beside) < POLE_PX, np.where(beside < 0, POLE_PX, -POLE_PX), moved)
    return moved


def _unwrapped(vertices: NDArray[np.float64], ring_offsets: NDArray[np.int64], ground: Ground) -> NDArray[np.float64]:
    """Return longitude and latitude of rings, along each of which longitude has no jump.

    A ring around a pole ends 360 degrees beside its beginning.
    """
    lonlat = ground.lonlat(vertices)
    ring = np.repeat(np.arange(len(ring_offsets) - 1), np.diff(ring_offsets))
    # An edge crosses the antimeridian if its midpoint is not between its ends.
    wide = np.flatnonzero((np.abs(np.diff(lonlat[:, 0])) > 180) & (ring[:-1] == ring[1:]))
    middle = ground.lonlat((vertices[wide] + vertices[wide + 1]) / 2)[:, 0]
    over = wide[np.abs(middle - (lonlat[wide, 0] + lonlat[wide + 1, 0]) / 2) > 90]
    turns = np.zeros(len(lonlat))
    turns[over + 1] = np.sign(lonlat[over, 0] - lonlat[over + 1, 0])
    turns = np.cumsum(turns)
    turns -= turns[ring_offsets[:-1]][ring]
    lonlat[:, 0] += 360 * turns
    return lonlat


def _on_map(
    ring: NDArray[np.float64],
    vertices: NDArray[np.float64],
    poles: list[tuple[float, NDArray[np.float64]]],
    digits: int,
) -> Any:
    """Make the polygon, from -180 to 180 degrees, of a ring without jumps (longitude, latitude) [n, 2].

    ``vertices`` are the same in px.
    """
    import shapely

    points = np.array([pole for _, pole in poles]).reshape(-1, 2)
    inside = shapely.contains_xy(shapely.polygons(vertices), *points.T).tolist()
    if abs(ring[-1, 0] - ring[0, 0]) > 180:
        held = [latitude for (latitude, _), one in zip(poles, inside, strict=True) if one]
        ring = _to_pole(ring, held[0] if held else float(np.copysign(90.0, ring[:, 1].mean())))
    polygon = _valid(shapely.polygons(np.round(ring, digits)))
    low, _, high, _ = polygon.bounds
    parts: list[Any] = []
    for turn in range(int(np.floor((low + 180) / 360)), int(np.ceil((high + 180) / 360))):
        box = shapely.box(360 * turn - 180, -90, 360 * turn + 180, 90)
        part = shapely.transform(shapely.intersection(polygon, box), lambda p, turn=turn: p - (360 * turn, 0))
        parts += [p for p in shapely.get_parts(part) if p.geom_type == "Polygon"]
    found = shapely.union_all(parts)
    # Of a ring that holds both poles the polygon is what lies outside.
    return shapely.difference(shapely.box(-180, -90, 180, 90), found) if sum(inside) == 2 else found


def _to_pole(ring: NDArray[np.float64], latitude: float) -> NDArray[np.float64]:
    """Close a ring around a pole: from the antimeridian once around, then along it to the pole and back."""
    turn = 360.0 * np.sign(ring[-1, 0] - ring[0, 0])
    index = np.floor((ring[:, 0] + 180) / 360)
    before = int(np.flatnonzero(np.diff(index))[0])
    (west, low), (east, high) = ring[before : before + 2]
    meridian = 360 * max(index[before : before + 2]) - 180
    start = np.array([meridian, low + (high - low) * (meridian - west) / (east - west)])
    once = np.array([turn, 0.0])
    corners = [start + once, (meridian + turn, latitude), (meridian, latitude), start]
    return np.concatenate([[start], ring[before + 1 :], ring[1 : before + 1] + once, corners])


def _valid(polygon: Any) -> Any:
    """Mend what rounding has brought to touch or cross itself."""
    import shapely

    return (
        polygon if shapely.is_valid(polygon) else shapely.make_valid(polygon, method="structure", keep_collapsed=False)
    )
