"""Connected regions of a segmentation as polygons along the edges of pixels, strip by strip."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exporting.extract import Extract
from fctl_napari.exporting.stitch import Region, Ring, Seam, Stitcher
from fctl_napari.model.classes import IGNORE
from fctl_napari.progress import Progress

STRIP_PX = 2**22
"""Approximate number of px traced at once. If every px were a region of its own, that would take 3 GB."""

Measure = Callable[[NDArray[np.float64], NDArray[np.int64]], NDArray[np.float64]]
"""Function of (vertices (x, y) px [k, 2], offsets [n + 1]) that returns the areas of closed rings on the ground, m².

The areas of holes are negative.
"""


Simplified = Callable[[NDArray[np.uint8], NDArray[Any], NDArray[np.uint8]], None]
"""Function of a strip of classes [y, x], shapely's polygons that represent it and their classes.

The polygons are in (x, y) px of the strip.
"""


@dataclass(frozen=True)
class Outlines:
    """Regions of one class each, 4-connected: their px touch by their sides.

    Attributes
    ----------
    classes : ndarray of uint8 [n]
        Class indices.
    pixels : ndarray of int64 [n]
        Number of px that each region has in the segmentation.
    square_metres : ndarray of float64 [n]
        Areas on the ground, m²; 0 unless they were requested.
    region_offsets : ndarray of int64 [n + 1]
        Index in ``ring_offsets`` at which each region begins: its outer ring first, then its holes.
    ring_offsets : ndarray of int64 [m + 1]
        Index in ``vertices`` at which each ring begins.
    vertices : ndarray of float64 [k, 2]
        (x, y) px of the image, x right, y down, px i from i to i + 1. The last of a ring is its first.
    """

    classes: NDArray[np.uint8]
    pixels: NDArray[np.int64]
    square_metres: NDArray[np.float64]
    region_offsets: NDArray[np.int64]
    ring_offsets: NDArray[np.int64]
    vertices: NDArray[np.float64]

    def __len__(self) -> int:
        """Return the number of regions."""
        return len(self.classes)

    def rings(self, region: int) -> list[NDArray[np.float64]]:
        """Return the rings of one region.

        Parameters
        ----------
        region : int
            Index of the region.

        Returns
        -------
        list of ndarray of float64 [k, 2]
            Vertices (x, y) of the outer ring, then of the holes.
        """
        first, last = self.region_offsets[region : region + 2]
        return [
            self.vertices[start:stop]
            for start, stop in zip(self.ring_offsets[first:last], self.ring_offsets[first + 1 : last + 1], strict=True)
        ]

    def select(self, wanted: NDArray[np.bool_]) -> Outlines:
        """Keep some of the regions.

        Parameters
        ----------
        wanted : ndarray of bool [n]
            True for a region that is kept.

        Returns
        -------
        Outlines
            The regions that are kept.
        """
        if wanted.all():
            return self
        rings = np.repeat(wanted, np.diff(self.region_offsets))
        vertices = np.repeat(rings, np.diff(self.ring_offsets))
        return Outlines(
            self.classes[wanted],
            self.pixels[wanted],
            self.square_metres[wanted],
            _offsets(np.diff(self.region_offsets)[wanted]),
            _offsets(np.diff(self.ring_offsets)[rings]),
            self.vertices[vertices],
        )

    def polygons(self, vertices: NDArray[np.float64] | None = None) -> NDArray[Any]:
        """Return the regions as shapely's polygons.

        Parameters
        ----------
        vertices : ndarray of float64 [k, 2] or None, optional
            Other coordinates for the vertices.

        Returns
        -------
        ndarray of shapely.Polygon [n]
            The polygons.
        """
        import shapely

        found: NDArray[Any] = shapely.from_ragged_array(
            shapely.GeometryType.POLYGON,
            self.vertices if vertices is None else vertices,
            (self.ring_offsets, self.region_offsets),
        )
        return found


NO_OUTLINES = Outlines(
    np.empty(0, np.uint8),
    np.empty(0, np.int64),
    np.empty(0),
    np.zeros(1, np.int64),
    np.zeros(1, np.int64),
    np.empty((0, 2)),
)


def trace(
    extract: Extract,
    *,
    simplify: float | None = None,
    measure: Measure | None = None,
    simplified: Simplified | None = None,
    strip_px: int = STRIP_PX,
    progress: Progress | None = None,
) -> Iterator[Outlines]:
    """Trace the outlines of all regions.

    GDAL traces each strip of rows. A region that continues in the next strip waits until it is whole. Memory holds a
    strip, and the regions that cross the seam below it with all the outline they have.

    Parameters
    ----------
    extract : Extract
        Classes to trace.
    simplify : float or None, optional
        Tolerance of shapely's ``coverage_simplify``, by which vertices are left out: px, the root of the area that the
        removal of one changes. Borders that regions share stay shared. The outside of what was computed stays exact, as
        do the vertices on the seams between strips. None traces exactly along the edges of px.
    measure : callable, optional
        Function that computes ``square_metres``, always along the edges of px; see ``Measure``.
    simplified : callable, optional
        Called with each strip that is simplified; see ``Simplified``.
    strip_px : int, optional
        Approximate number of px in a strip. Exact outlines do not depend on it, except for their order.
    progress : callable, optional
        Called as ``progress(done, total)`` with counts of rows.

    Yields
    ------
    Outlines
        The regions that have become whole, at most twice a strip.
    """
    height, width = extract.shape
    y0, x0 = extract.window[:2]
    stitcher = Stitcher(straighten=simplify is None)
    strips = extract.strips(max(1, strip_px // width), progress)
    y, strip = next(strips)
    top: Seam | None = None
    nodes_above: list[NDArray[np.float64]] = []
    while True:
        y_next, following = next(strips, (y0 + height, None))
        bottom, nodes = None, []
        if following is not None:
            bottom = Seam.between(strip[-1], following[0], y_next, x0, IGNORE)
            nodes = [_changes(strip[-1], following[0], y_next, x0)]
        pieces = _pieces(strip, y, x0, measure)
        if simplify is not None:
            pieces = _simplified(pieces, simplify, nodes_above + nodes)
            if simplified is not None:
                simplified(strip, pieces.polygons(pieces.vertices - (x0, y)), pieces.classes)
        yield from _stitched(stitcher, pieces, top, bottom)
        if following is None:
            return
        y, strip, top, nodes_above = y_next, following, bottom, nodes


def _stitched(stitcher: Stitcher, pieces: Outlines, top: Seam | None, bottom: Seam | None) -> Iterator[Outlines]:
    """Pass pieces that touch a seam through the stitcher, and yield the regions that are whole."""
    on_seam = np.isin(pieces.vertices[:, 1], [seam.y for seam in (top, bottom) if seam is not None])
    cut = _sums(on_seam.astype(np.int64), pieces.ring_offsets) > 0
    touching = _sums(cut.astype(np.int64), pieces.region_offsets) > 0
    if not touching.all():
        yield pieces.select(~touching)
    regions = []
    for index in np.flatnonzero(touching).tolist():
        region = Region(int(pieces.classes[index]), int(pieces.pixels[index]), float(pieces.square_metres[index]))
        first, last = pieces.region_offsets[index : index + 2].tolist()
        offsets = pieces.ring_offsets[first : last + 1]
        vertices = pieces.vertices[offsets[0] : offsets[-1]].astype(np.int32)
        lengths, seamed = np.diff(offsets), cut[first:last]
        positions = offsets - offsets[0]
        region.rings = [vertices[positions[k] : positions[k + 1] - 1] for k in np.flatnonzero(seamed).tolist()]
        if not seamed.all():
            region.holes.append((vertices[np.repeat(~seamed, lengths)], lengths[~seamed]))
        regions.append(region)
    if whole := stitcher.add(regions, top, bottom):
        yield _gathered(whole)


def _gathered(regions: list[Region]) -> Outlines:
    vertices: list[NDArray[np.int32]] = []
    lengths: list[NDArray[np.int64]] = []
    counts: list[int] = []
    for region in regions:
        region.rings.sort(key=_twice_area)  # puts the outer ring first, which runs the other way than holes
        for ring in region.rings:
            vertices += [ring, ring[:1]]
        own = [np.array([len(ring) + 1 for ring in region.rings]), *(part for _, part in region.holes)]
        vertices += [part for part, _ in region.holes]
        lengths += own
        counts.append(sum(map(len, own)))
    return Outlines(
        np.array([region.value for region in regions], np.uint8),
        np.array([region.pixels for region in regions], np.int64),
        np.array([region.square_metres for region in regions], np.float64),
        _offsets(np.array(counts)),
        _offsets(np.concatenate(lengths)),
        np.concatenate(vertices).astype(np.float64),
    )


def _twice_area(ring: Ring) -> int:
    """Compute twice the signed area of a ring, px², which is negative for GDAL's outer rings."""
    x, y = ring.astype(np.int64).T
    cross = x[:-1] * y[1:] - x[1:] * y[:-1]
    return int(cross.sum() + x[-1] * y[0] - x[0] * y[-1])


def _pieces(strip: NDArray[np.uint8], y: int, x: int, measure: Measure | None) -> Outlines:
    """Trace one strip, [rows, columns], whose first px is (y, x)."""
    from rasterio.features import shapes

    classes: list[int] = []
    per_region: list[int] = []
    per_ring: list[int] = []
    flat: list[NDArray[np.float64]] = []
    for geometry, value in shapes(strip, mask=strip != IGNORE, connectivity=4):
        rings = geometry["coordinates"]
        classes.append(int(value))
        per_region.append(len(rings))
        for ring in rings:
            per_ring.append(len(ring))
            flat.append(np.fromiter(chain.from_iterable(ring), np.float64, 2 * len(ring)))
    vertices = np.concatenate(flat).reshape(-1, 2) if flat else np.empty((0, 2))
    region_offsets, ring_offsets = _offsets(np.array(per_region)), _offsets(np.array(per_ring))
    areas = -_sums(_crosses(vertices, ring_offsets), region_offsets) / 2
    vertices += (x, y)
    metres = _sums(measure(vertices, ring_offsets), region_offsets) if measure else np.zeros(len(classes))
    return Outlines(
        np.array(classes, np.uint8), np.rint(areas).astype(np.int64), metres, region_offsets, ring_offsets, vertices
    )


def _offsets(lengths: NDArray[Any]) -> NDArray[np.int64]:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)


def _sums(values: NDArray[Any], offsets: NDArray[np.int64]) -> NDArray[Any]:
    """Sum runs of values, none of them empty."""
    return np.add.reduceat(values, offsets[:-1]) if len(offsets) > 1 else values[:0]


def _crosses(vertices: NDArray[np.float64], ring_offsets: NDArray[np.int64]) -> NDArray[np.float64]:
    """Compute twice the signed area of each ring, px², which is negative for outer rings."""
    (x, y), (x_next, y_next) = vertices[:-1].T, vertices[1:].T
    cross = np.append(x * y_next - x_next * y, 0.0)[: len(vertices)]
    cross[ring_offsets[1:] - 1] = 0  # from one ring to the next
    return _sums(cross, ring_offsets)


def _changes(above: NDArray[np.uint8], below: NDArray[np.uint8], y: int, x0: int) -> NDArray[np.float64]:
    """Return the points where regions meet on the line between two rows, (x, y) px [n, 2]."""
    columns = np.flatnonzero((above[1:] != above[:-1]) | (below[1:] != below[:-1])) + 1 + x0
    return np.stack([columns, np.full_like(columns, y)], axis=1).astype(np.float64)


def _simplified(pieces: Outlines, tolerance: float, nodes: list[NDArray[np.float64]]) -> Outlines:
    """Simplify the outlines of a strip together, keeping its own outside."""
    import shapely

    if not len(pieces):
        return pieces
    matched = _with_nodes(pieces, np.concatenate([pieces.vertices, *nodes]))
    polygons = shapely.coverage_simplify(matched.polygons(), tolerance, simplify_boundary=False)
    polygons = shapely.orient_polygons(polygons, exterior_cw=True)  # as GDAL's, which the stitcher relies on
    _, vertices, (ring_offsets, region_offsets) = shapely.to_ragged_array(polygons)
    return Outlines(
        pieces.classes,
        pieces.pixels,
        pieces.square_metres,
        region_offsets.astype(np.int64),
        ring_offsets.astype(np.int64),
        vertices,
    )


def _with_nodes(pieces: Outlines, points: NDArray[np.float64]) -> Outlines:
    """Give edges a vertex at each point on them, so that neighbors have the same vertices along their border."""
    starts, stops = pieces.vertices[:-1].astype(np.int64), pieces.vertices[1:].astype(np.int64)
    inner = np.ones(len(starts), bool)
    inner[pieces.ring_offsets[1:-1] - 1] = False
    filled = [pieces.vertices]
    positions = [np.arange(len(pieces.vertices), dtype=np.float64)]
    whole = points.astype(np.int64)
    for along in (0, 1):
        # Points are sorted line by line, so those between an edge's ends are contiguous.
        keys = np.unique(whole[:, 1 - along] << 32 | whole[:, along])
        edges = np.flatnonzero(inner & (starts[:, 1 - along] == stops[:, 1 - along]))
        line = starts[edges, 1 - along] << 32
        low = np.minimum(starts[edges, along], stops[edges, along])
        high = np.maximum(starts[edges, along], stops[edges, along])
        first = np.searchsorted(keys, line | low, side="right")
        counts = np.searchsorted(keys, line | high, side="left") - first
        owner = np.repeat(np.arange(len(edges)), counts)
        found = keys[np.arange(counts.sum()) - np.repeat(_offsets(counts)[:-1], counts) + np.repeat(first, counts)]
        new = np.empty((len(found), 2))
        new[:, along] = found & 0xFFFFFFFF
        new[:, 1 - along] = found >> 32
        filled.append(new)
        length = (high - low)[owner]
        positions.append(edges[owner] + np.abs(new[:, along] - starts[edges[owner], along]) / length)
    position = np.concatenate(positions)
    order = np.argsort(position, kind="stable")
    # A vertex belongs to the ring of the edge's first end.
    ring_of = np.repeat(np.arange(len(pieces.ring_offsets) - 1), np.diff(pieces.ring_offsets))
    counts = np.bincount(ring_of[position.astype(np.int64)], minlength=len(pieces.ring_offsets) - 1)
    return Outlines(
        pieces.classes,
        pieces.pixels,
        pieces.square_metres,
        pieces.region_offsets,
        _offsets(counts),
        np.concatenate(filled)[order],
    )
