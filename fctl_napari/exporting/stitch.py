"""Regions that cross from one strip of rows into the next: their rings are cut where strips meet, and joined."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Ring = NDArray[np.int32]
"""Vertices (x, y) px, [n, 2], of a closed line; the first is not repeated."""

Node = tuple[int, int, bool]
"""Point where chains meet: row of the seam, number of the stretch on it, True at the stretch's right end."""


@dataclass(frozen=True)
class Seam:
    """Line between two strips, and the stretches of it that have the same class on both sides.

    Attributes
    ----------
    y : int
        Position of the line, px: between row y - 1 and row y.
    starts, ends : ndarray of int64 [n]
        Columns of the stretches, ascending, half open.
    """

    y: int
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    @classmethod
    def between(cls, above: NDArray[np.uint8], below: NDArray[np.uint8], y: int, x0: int, none: int) -> Seam:
        """Find the stretches from the rows on both sides.

        Parameters
        ----------
        above, below : ndarray of uint8 [columns]
            Class indices of the rows.
        y : int
            Row below the line.
        x0 : int
            Column of the rows' first px.
        none : int
            Value that is no class.

        Returns
        -------
        Seam
            The line with its stretches.
        """
        shared = np.where(above == below, above, np.uint8(none))
        edges = np.flatnonzero(np.diff(shared)) + 1
        starts, ends = np.append(0, edges), np.append(edges, shared.size)
        kept = shared[starts] != none
        return cls(y, starts[kept] + x0, ends[kept] + x0)


@dataclass
class Region:
    """A region, or the part of it that has been seen.

    Attributes
    ----------
    value : int
        Class index.
    pixels : int
        Number of px.
    square_metres : float
        Area on the ground, m²; 0 where it is not requested.
    rings : list of ndarray of int32 [n, 2]
        Closed rings that touch a seam, or are to be cut.
    holes : list of tuple of (ndarray of int32, ndarray of int64)
        The other rings, many in an array: vertices (x, y) px int32 [k, 2], the last of each ring its first, and the
        number of vertices of each, int64.
    """

    value: int
    pixels: int
    square_metres: float
    rings: list[Ring] = field(default_factory=list)
    holes: list[tuple[NDArray[np.int32], NDArray[np.int64]]] = field(default_factory=list)
    _open: int = 0
    _whole: Region | None = None

    def whole(self) -> Region:
        """Return the region that this one has become part of, or itself."""
        found = self
        while found._whole is not None:
            found = found._whole
        part = self
        while part._whole is not None:  # shortens the next search
            part._whole, part = found, part._whole
        return found

    def _absorb(self, other: Region) -> None:
        self.pixels += other.pixels
        self.square_metres += other.square_metres
        self.rings += other.rings
        self.holes += other.holes
        self._open += other._open
        other.rings, other.holes = [], []
        other._whole = self


@dataclass(eq=False)
class _Chain:
    """Part of a ring, from one seam to another (or the same)."""

    region: Region
    start: Node
    end: Node
    parts: deque[Ring]


class Stitcher:
    """Regions joined strip by strip, of which only those that continue below the last strip are kept.

    Rings run so that an edge to the right (x grows) has its region above it, as GDAL's do. Where a region has the same
    class on both sides of a seam, its rings are cut at the ends of that stretch, and the chains of the strip above
    continue with those of the strip below.

    Parameters
    ----------
    straighten : bool
        If True, vertices on straight lines are dropped, so that the result does not depend on the positions of the
        seams.
    """

    def __init__(self, *, straighten: bool) -> None:
        self._straighten = straighten
        self._starting: dict[Node, _Chain] = {}
        self._ending: dict[Node, _Chain] = {}
        self._regions: dict[Node, Region] = {}  # by the left ends of the stretches on the last seam

    def add(self, pieces: list[Region], top: Seam | None, bottom: Seam | None) -> list[Region]:
        """Add the regions of the next strip that touch its seams.

        Parameters
        ----------
        pieces : list of Region
            Regions with all their rings, those that touch a seam in ``rings``.
        top, bottom : Seam or None
            Seams of the strip; None at the first and the last strip.

        Returns
        -------
        list of Region
            The regions that are whole now.
        """
        below: dict[Node, Region] = {}
        above, self._regions = self._regions, {}
        for piece in pieces:
            rings, piece.rings = piece.rings, []
            for ring in rings:
                self._cut(piece, ring, top, bottom, below)
        if top is not None:
            for number in range(len(top.starts)):
                left = (top.y, number, False)
                upper, lower = above[left].whole(), below[left].whole()
                upper._open -= 1
                if upper is not lower:
                    big, small = sorted((upper, lower), key=lambda r: len(r.rings) + len(r.holes), reverse=True)
                    big._absorb(small)
                self._join(left)
                self._join((top.y, number, True))
        touched = {id(region): region for region in (r.whole() for r in [*above.values(), *pieces])}
        return [region for region in touched.values() if region._open == 0]

    def _cut(
        self, region: Region, ring: Ring, top: Seam | None, bottom: Seam | None, below: dict[Node, Region]
    ) -> None:
        """Cut a ring at the seams' stretches, or keep it closed where there are none."""
        following = np.concatenate([ring[1:], ring[:1]])
        level = ring[:, 1] == following[:, 1]
        # Each cut: edge, node where a chain ends and its x, node where one starts and its x, y.
        cuts: list[tuple[int, Node, int, Node, int, int]] = []
        for seam, to_right in ((top, False), (bottom, True)):
            if seam is None:
                continue
            edges = np.flatnonzero(level & (ring[:, 1] == seam.y))
            ends = np.sort(np.stack([ring[edges, 0], following[edges, 0]]), axis=0)
            first, last = np.searchsorted(seam.starts, ends)
            for edge, low, high in zip(edges.tolist(), first.tolist(), last.tolist(), strict=True):
                for number in range(low, high) if to_right else range(high - 1, low - 1, -1):
                    left, right = int(seam.starts[number]), int(seam.ends[number])
                    here, there = (left, right) if to_right else (right, left)
                    cuts.append((edge, (seam.y, number, not to_right), here, (seam.y, number, to_right), there, seam.y))
                    node = (seam.y, number, False)
                    if to_right:
                        region._open += 1
                        self._regions[node] = region
                    else:
                        below[node] = region
        if not cuts:
            region.rings.append(ring)
            return
        cuts.sort(key=lambda cut: cut[0])  # stable, so along one edge they stay in order
        for (edge, _, _, start, x_start, y_start), (stop, end, x_end, _, _, y_end) in zip(
            cuts, [*cuts[1:], cuts[0]], strict=True
        ):
            first_point, last_point = np.array([[x_start, y_start]], np.int32), np.array([[x_end, y_end]], np.int32)
            wraps = (stop, end) == (cuts[0][0], cuts[0][1])
            middle = [ring[edge + 1 :], ring[: stop + 1]] if wraps else [ring[edge + 1 : stop + 1]]
            chain = _Chain(region, start, end, deque([np.concatenate([first_point, *middle, last_point])]))
            self._starting[start] = self._ending[end] = chain

    def _join(self, node: Node) -> None:
        """Join the chain that ends at a node to the one that starts there."""
        first, second = self._ending.pop(node), self._starting.pop(node)
        if first is second:
            ring = _tidy(np.concatenate(first.parts), straighten=self._straighten)
            first.region.whole().rings += _split(ring)
            return
        if len(first.parts) >= len(second.parts):
            first.parts.extend(second.parts)
            first.end = second.end
            self._ending[first.end] = first
        else:
            second.parts.extendleft(reversed(first.parts))
            second.start = first.start
            self._starting[second.start] = second


def _tidy(ring: Ring, *, straighten: bool) -> Ring:
    """Drop repeated vertices, and those on straight lines."""
    ring = ring[(ring != np.concatenate([ring[-1:], ring[:-1]])).any(axis=1)]
    if not straighten:
        return ring
    before = ring.astype(np.int64) - np.concatenate([ring[-1:], ring[:-1]])
    after = np.concatenate([before[1:], before[:1]])
    turning: Ring = ring[before[:, 0] * after[:, 1] != before[:, 1] * after[:, 0]]
    return turning


def _split(ring: Ring) -> list[Ring]:
    """Split a ring that touches itself into rings that only touch each other, as polygons must.

    Such a vertex has two px of the region at opposite corners. The region is connected on one side of it or around it,
    so one of the rings is a hole (or both are) and touches the other in that vertex.
    """
    keys = ring[:, 1].astype(np.int64) << 32 | ring[:, 0]
    _, inverse, counts = np.unique(keys, return_inverse=True, return_counts=True)
    twice = np.flatnonzero(counts[inverse] > 1)
    if not twice.size:
        return [ring]
    parts = [ring[start:stop] for start, stop in pairwise(twice)]
    parts.append(np.concatenate([ring[twice[-1] :], ring[: twice[0]]]))
    rings: list[Ring] = []
    path: list[Ring] = []
    on_path: list[int] = []  # the vertex that each part begins with
    starts: dict[int, int] = {}
    for part, key in zip(parts, keys[twice].tolist(), strict=True):
        if key in starts:
            start = starts[key]
            rings.append(np.concatenate(path[start:]))
            for passed in on_path[start:]:
                del starts[passed]
            del path[start:], on_path[start:]
        starts[key] = len(path)
        path.append(part)
        on_path.append(key)
    return [*rings, np.concatenate(path)]
