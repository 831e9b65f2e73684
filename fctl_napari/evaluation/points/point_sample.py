"""Stratified random points on a map, to be checked by people."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.blockwise import iter_blocks
from fctl_napari.evaluation.points.area_estimation import allocate_points
from fctl_napari.imagery.labels.readable import ReadableLabels
from fctl_napari.progress import Progress
from fctl_napari.windows import IntWindow, Window


@dataclass(frozen=True)
class MapCounts:
    """Numbers of px of each class of a map.

    Attributes
    ----------
    blocks : list of IntWindow
        Blocks that partition the map.
    by_block : ndarray of int64 [blocks, classes]
        Number of px of each class in each block.
    digest : str
        Digest of all labels, which is another one as soon as a px has another class.
    """

    blocks: list[IntWindow]
    by_block: NDArray[np.int64]
    digest: str

    @property
    def mapped(self) -> NDArray[np.int64]:
        """Number of px of each class, int64 [classes]."""
        total: NDArray[np.int64] = self.by_block.sum(0)
        return total


def count_classes(labels: ReadableLabels, classes: int, progress: Progress | None = None) -> MapCounts:
    """Count the px of each class block by block.

    Parameters
    ----------
    labels : ReadableLabels
        The map: 0 is nothing, k + 1 is class k.
    classes : int
        Number of classes.
    progress : Progress or None, optional
        Called as ``progress(done, total)``.

    Returns
    -------
    MapCounts
        The counts, and what the map is known by.

    Raises
    ------
    Cancelled
        ``progress`` raised it.
    """
    blocks = list(iter_blocks((0, 0, *labels.shape), labels.chunk))
    counts = np.zeros((len(blocks), classes), np.int64)
    digest = hashlib.blake2b(repr(labels.shape).encode(), digest_size=16)
    for index, block in enumerate(iter_blocks((0, 0, *labels.shape), labels.chunk, progress=progress)):
        values = np.ascontiguousarray(labels.read(block))
        counts[index] = np.bincount(values.ravel(), minlength=256)[1 : classes + 1]
        digest.update(values.data)
    return MapCounts(blocks, counts, digest.hexdigest())


def draw_points(
    labels: ReadableLabels, counts: MapCounts, total: int, *, least: int | None = None, seed: int = 0
) -> NDArray[np.int64]:
    """Draw points at random within each class of a map, without replacement.

    Each px of a class is drawn with the same probability. Only blocks that hold points are read.

    Parameters
    ----------
    labels : ReadableLabels
        The map.
    counts : MapCounts
        Its px by class, from ``count_classes``.
    total : int
        Number of points.
    least : int or None, optional
        Least number of points for each class, see ``allocate_points``.
    seed : int, optional
        Seed of the generator. The same seed on the same map gives the same points.

    Returns
    -------
    ndarray of int64 [points, 3]
        y, x (px) and class of each point, in random order, so that the first of them are a sample as well.

    Raises
    ------
    InputError
        Nothing is mapped.
    """
    generator = np.random.default_rng(seed)
    wanted = allocate_points(counts.mapped, total, least)
    # ranks of the drawn px among all px of their class, block by block
    ranks = [np.sort(generator.choice(int(counts.mapped[k]), int(n), replace=False)) for k, n in enumerate(wanted)]
    first = np.vstack([np.zeros_like(wanted), counts.by_block.cumsum(0)])
    found: list[tuple[int, int, int]] = []
    for index, block in enumerate(counts.blocks):
        drawn = [rank[(rank >= first[index, k]) & (rank < first[index + 1, k])] for k, rank in enumerate(ranks)]
        if not any(map(len, drawn)):
            continue
        window = Window(*block)
        values = labels.read(window)
        for k, inside in enumerate(drawn):
            if len(inside):
                rows, columns = np.unravel_index(
                    np.flatnonzero(values.ravel() == k + 1)[inside - first[index, k]], values.shape
                )
                found += [(window.y0 + int(y), window.x0 + int(x), k) for y, x in zip(rows, columns, strict=True)]
    return generator.permutation(np.array(found, np.int64).reshape(-1, 3))
