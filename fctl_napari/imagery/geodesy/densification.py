"""Densification of rings, so that their edges stay in place as lines in longitude and latitude."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.geodesy.ground import BATCH, LONLAT_PX, Ground

SHORT_EDGE_PX = 2.0
"""Edges up to this length, px, are not subdivided where they bend by less than ``LONLAT_PX``."""

ROUNDS = 40
"""Number of times that an edge is halved at most. Near a pole its pieces are shorter than a thousandth of a px."""

WIDE = 10.0
"""Degrees of longitude or latitude over which no edge goes undivided, where short edges bend."""


def densify(
    ground: Ground, vertices: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Add vertices until straight lines in longitude and latitude follow the edges within ``LONLAT_PX``.

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
    vertices : ndarray of float64 [m, 2]
        Vertices with those that were added.
    offsets : ndarray of int64 [n + 1]
        Offsets of the rings in them.
    """
    if ground.geographic or len(offsets) < 2:
        return vertices, offsets
    breaks = np.flatnonzero(np.diff(offsets[:-1] // BATCH)) + 1
    dense, lengths = [], []
    for first, last in pairwise([0, *breaks.tolist(), len(offsets) - 1]):
        own = offsets[first : last + 1]
        more, points = _densify(ground, vertices[own[0] : own[-1]], own - own[0])
        dense.append(more)
        lengths.append(np.diff(points))
    return np.concatenate(dense), np.concatenate([[0], np.cumsum(np.concatenate(lengths))]).astype(np.int64)


def _densify(
    ground: Ground, vertices: NDArray[np.float64], offsets: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    ring = np.repeat(np.arange(len(offsets) - 1), np.diff(offsets))
    edges = np.flatnonzero(ring[:-1] == ring[1:])
    short = 0.0 if _curved(ground, vertices) else SHORT_EDGE_PX
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
        first, center, last = (ground.lonlat(start + t[:, None] * step) for t in (t0, middle, t1))
        far = _bends(first, center, last) > LONLAT_PX * _pixel_angles(ground, center, start + middle[:, None] * step)
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


def _bends(first: NDArray[np.float64], center: NDArray[np.float64], last: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return by how much the middles of edges lie beside the lines between their ends, degrees, [n]."""
    with np.errstate(invalid="ignore"):  # points beside the Earth
        ways = [point - center for point in (first, last)]
        for way in ways:
            way[:, 0] -= 360 * np.rint(way[:, 0] / 360)
        return _angles(center + (ways[0] + ways[1]) / 2, center)


def _curved(ground: Ground, vertices: NDArray[np.float64]) -> bool:
    """Return whether edges of ``SHORT_EDGE_PX`` bend visibly somewhere around the vertices."""
    low, high = vertices.min(axis=0), vertices.max(axis=0)
    sides = [np.linspace(*ends, 9) for ends in zip(low, high, strict=True)]
    points = np.stack(np.meshgrid(*sides), axis=-1).reshape(-1, 2)
    center = ground.lonlat(points)
    allowed = LONLAT_PX * _pixel_angles(ground, center, points)
    half = SHORT_EDGE_PX / 2
    for step in ((0.0, half), (half, 0.0)):
        bend = _bends(ground.lonlat(points - step), center, ground.lonlat(points + step))
        if not (bend <= allowed).all():
            return True
    extent = (int(high[1]) + 1, int(high[0]) + 1)
    return any((pole >= low - half).all() for _, pole in ground.poles(extent))


def _pixel_angles(ground: Ground, lonlat: NDArray[np.float64], vertices: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the shorter side of a px at each vertex, degrees of a great circle, [n]."""
    sides = [_angles(ground.lonlat(vertices + step), lonlat) for step in ((0.0, 1.0), (1.0, 0.0))]
    shorter: NDArray[np.float64] = np.fmin(*sides)  # the next px may lie beside the Earth
    return shorter


def _angles(first: NDArray[np.float64], second: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the angles, degrees, between nearby points (longitude, latitude), [n]."""
    with np.errstate(invalid="ignore"):  # points beside the Earth
        across, along = (first - second).T
        across = across - 360 * np.rint(across / 360)
        return np.asarray(np.hypot(across * np.cos(np.radians(second[:, 1])), along))
