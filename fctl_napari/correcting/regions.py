"""Connected components of what is painted, joined from chunks. Nothing is read where nothing is painted."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.correcting.chunk_counts import Chunk
from fctl_napari.model.classes import NOT_SURE
from fctl_napari.windows import IntWindow

EDGES = ("top", "bottom", "left", "right")
FEW_KEYS = 2**18
"""Largest number of keys that are counted in a table. More are sorted."""


class CorrectedBox(tuple[int, int, int, int]):
    """Bounding box of a painted region, (y0, x0, y1, x1) px, with the classes that are painted there.

    Attributes
    ----------
    classes : frozenset of str
        Names of the classes. Empty where all of it is marked as not sure.
    """

    classes: frozenset[str]

    def __new__(cls, window: IntWindow, classes: Iterable[str] = ()) -> CorrectedBox:
        """Create a box from a window and classes.

        Parameters
        ----------
        window : IntWindow
            Box, (y0, x0, y1, x1), px.
        classes : iterable of str, optional
            Names of the classes.

        Returns
        -------
        CorrectedBox
            Box with these classes.
        """
        box = super().__new__(cls, window)
        box.classes = frozenset(classes)
        return box


@dataclass(frozen=True)
class CorrectedRegion:
    """A 4-connected region of painted px.

    Attributes
    ----------
    window : IntWindow
        Bounding box, (y0, x0, y1, x1), px.
    point : tuple of 2 int
        First px in reading order, (y, x).
    pixels : int
        Number of px.
    by_class : dict of int to int
        Number of px of each class index.
    not_sure : int
        Number of px that are marked as not sure.
    authors : dict of str to int
        Number of px that each author painted, by name.
    """

    window: IntWindow
    point: tuple[int, int]
    pixels: int
    by_class: dict[int, int]
    not_sure: int
    authors: dict[str, int]

    @classmethod
    def of(cls, blob: Blob, authors: Sequence[str]) -> CorrectedRegion:
        """Make a region of a blob of values and authors.

        Parameters
        ----------
        blob : Blob
            Blob whose planes are values and authors.
        authors : sequence of str
            Names of author 1, 2, ...

        Returns
        -------
        CorrectedRegion
            Region with counts by class and author name.
        """
        values, painters = blob.counts
        return cls(
            window=blob.window,
            point=blob.point,
            pixels=blob.pixels,
            by_class={value - 1: pixels for value, pixels in values.items() if value != NOT_SURE},
            not_sure=values.get(NOT_SURE, 0),
            authors={authors[number - 1]: pixels for number, pixels in painters.items() if number},
        )


@dataclass(frozen=True)
class Blob:
    """A 4-connected component of px other than 0 on the first of two planes.

    Attributes
    ----------
    window : IntWindow
        Bounding box, (y0, x0, y1, x1), px.
    point : tuple of 2 int
        First px in reading order, (y, x).
    pixels : int
        Number of px.
    counts : tuple of 2 dict of int to int
        Number of px of each value, on either plane.
    """

    window: IntWindow
    point: tuple[int, int]
    pixels: int
    counts: tuple[dict[int, int], dict[int, int]]


@dataclass(frozen=True)
class _Table:
    """The connected components of one chunk.

    Attributes
    ----------
    boxes : ndarray of int64 [n, 4]
        Bounding boxes, px of the image.
    points : ndarray of int64 [n, 2]
        First px, px of the image.
    counts : ndarray of int64 [k, 4]
        Rows of region, plane, value, px.
    edges : dict of str to ndarray of int64
        Region (from 1, with 0 for none) that lies along each of ``EDGES``.
    """

    boxes: NDArray[np.int64]
    points: NDArray[np.int64]
    counts: NDArray[np.int64]
    edges: dict[str, NDArray[np.int64]]


class ChunkRegions:
    """The connected components of each chunk, kept until the chunk changes."""

    def __init__(self) -> None:
        self._tables: dict[Chunk, _Table] = {}

    def __contains__(self, chunk: Chunk) -> bool:
        """Return whether the components of a chunk are known."""
        return chunk in self._tables

    def add(self, chunk: Chunk, planes: NDArray[np.uint8], window: IntWindow) -> None:
        """Find the components of a chunk that holds something.

        Parameters
        ----------
        chunk : Chunk
            Row and column of the chunk.
        planes : ndarray of uint8 [2, y, x]
            Planes of the chunk. Components are px other than 0 on the first.
        window : IntWindow
            (y0, x0, y1, x1), px, of the planes in the image.
        """
        self._tables[chunk] = _measure(planes, window)

    def drop(self, chunk: Chunk) -> None:
        """Remove a chunk that has changed.

        Parameters
        ----------
        chunk : Chunk
            Row and column of the chunk.
        """
        self._tables.pop(chunk, None)

    def join(self) -> list[Blob]:
        """Join the components over the borders of chunks.

        Returns
        -------
        list of Blob
            Blobs, from the top.
        """
        from scipy.sparse import coo_array
        from scipy.sparse.csgraph import connected_components

        tables = self._tables
        starts: dict[Chunk, int] = {}
        total = 0
        for chunk, table in tables.items():
            starts[chunk] = total
            total += len(table.boxes)
        if not total:
            return []
        pairs = [np.empty((2, 0), np.int64)]
        for (row, column), table in tables.items():
            for neighbour, own, other in (
                ((row + 1, column), "bottom", "top"),
                ((row, column + 1), "right", "left"),
            ):
                if neighbour in tables:
                    first, second = table.edges[own], tables[neighbour].edges[other]
                    both = (first > 0) & (second > 0)
                    pairs.append(
                        np.stack([first[both] - 1 + starts[row, column], second[both] - 1 + starts[neighbour]])
                    )
        first, second = np.unique(np.concatenate(pairs, axis=1), axis=1)
        graph = coo_array((np.ones(len(first), bool), (first, second)), shape=(total, total))
        count, whole = connected_components(graph, directed=False)
        boxes = np.concatenate([table.boxes for table in tables.values()])
        points = np.concatenate([table.points for table in tables.values()])
        low, high = np.full((count, 2), np.iinfo(np.int64).max), np.zeros((count, 2), np.int64)
        np.minimum.at(low, whole, boxes[:, :2])
        np.maximum.at(high, whole, boxes[:, 2:])
        order = np.lexsort((points[:, 1], points[:, 0]))[::-1]
        begins = np.zeros((count, 2), np.int64)
        begins[whole[order]] = points[order]  # of the parts of a region the first one stays
        counts: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in range(count)]
        for chunk, table in tables.items():
            for part, plane, value, pixels in table.counts.tolist():
                counted = counts[whole[starts[chunk] + part]][plane]
                counted[value] = counted.get(value, 0) + pixels
        found = []
        for index in np.lexsort((begins[:, 1], begins[:, 0])).tolist():
            (y0, x0), (y1, x1), (y, x) = low[index].tolist(), high[index].tolist(), begins[index].tolist()
            first_plane, second_plane = (dict(sorted(counted.items())) for counted in counts[index])
            found.append(Blob((y0, x0, y1, x1), (y, x), sum(first_plane.values()), (first_plane, second_plane)))
        return found


def _measure(planes: NDArray[np.uint8], window: IntWindow) -> _Table:
    from scipy import ndimage

    height, width = planes.shape[1:]
    rows, columns = np.flatnonzero(planes[0].any(1)), np.flatnonzero(planes[0].any(0))
    top, left, bottom, right = int(rows[0]), int(columns[0]), int(rows[-1]) + 1, int(columns[-1]) + 1
    planes = planes[:, top:bottom, left:right]
    labels, count = ndimage.label(planes[0])  # 4-connected
    found = ndimage.find_objects(labels)
    boxes = np.array([(y.start, x.start, y.stop, x.stop) for y, x in found], np.int64)
    inside = np.flatnonzero(labels)
    region = labels.ravel()[inside].astype(np.int64) - 1
    first = np.empty(count, np.int64)
    first[region[::-1]] = inside[::-1]  # of the px of a region the first one stays
    corner = np.array([top + window[0], left + window[1]])
    tallies = []
    for plane in (0, 1):
        keys, pixels = _tally(region * 256 + planes[plane].ravel()[inside], count * 256)
        tallies.append(np.stack([keys // 256, np.full(len(keys), plane), keys % 256, pixels], 1))
    edges = {
        name: np.zeros(length, np.int64) for name, length in zip(EDGES, (width, width, height, height), strict=True)
    }
    if top == 0:
        edges["top"][left:right] = labels[0]
    if bottom == height:
        edges["bottom"][left:right] = labels[-1]
    if left == 0:
        edges["left"][top:bottom] = labels[:, 0]
    if right == width:
        edges["right"][top:bottom] = labels[:, -1]
    points = np.stack(np.divmod(first, labels.shape[1]), 1) + corner
    return _Table(boxes + np.tile(corner, 2), points, np.concatenate(tallies), edges)


def _tally(keys: NDArray[np.int64], stop: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Count equal keys from 0 to ``stop``, returning those that occur and their counts."""
    if stop > FEW_KEYS:
        found, counts = np.unique(keys, return_counts=True)
        return found, counts
    counts = np.bincount(keys, minlength=stop)
    found = np.flatnonzero(counts)
    return found, counts[found]
