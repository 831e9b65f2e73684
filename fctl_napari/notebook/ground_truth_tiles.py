"""Tiles of a ground truth, and of the px that a map gets wrong."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.evaluation.ground_truth import Comparable, GroundTruth, scored_classes
from fctl_napari.notebook.tiles import Color, PaletteTiles, class_palette, sampled, window_of

MOST_PX = 2**22
"""Largest part of a ground truth, px, of which every px is read for a tile; of larger parts rows are left out."""


class GroundTruthTiles(PaletteTiles):
    """Tiles of a ground truth in the colors of a map, transparent where there is none.

    A ground truth has no coarser levels. Of tiles that show much of it only every n-th row is read.

    Parameters
    ----------
    ground_truth : GroundTruth
        The ground truth.
    source : Comparable
        The map.
    colors : sequence of tuple of 3 int
        Colors of the map's classes.
    """

    def __init__(self, ground_truth: GroundTruth, source: Comparable, colors: Sequence[Color]) -> None:
        super().__init__(class_palette(colors))
        self._ground_truth = ground_truth
        self._scored = scored_classes(source, ground_truth)

    def _values(self, scale: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return k + 1 for class k in the middles of the px of a tile, and 0 where there is none."""
        height, width = self._ground_truth.shape
        y0, x0, y1, x1 = window_of((height, width), scale, x, y)
        rows = np.minimum(np.arange(y0, y1, scale) + scale // 2, height - 1)
        columns = np.minimum(np.arange(x0, x1, scale) + scale // 2, width - 1) - x0
        if (y1 - y0) * (x1 - x0) <= MOST_PX:
            true = self._ground_truth.read((y0, x0, y1, x1))[np.ix_(rows - y0, columns)]
        else:
            true = np.concatenate(
                [self._ground_truth.read((int(row), x0, int(row) + 1, x1))[:, columns] for row in rows]
            )
        found: NDArray[np.uint8] = self._scored[true] + np.uint8(1)  # 255 is no class, and becomes 0
        return found


class ErrorTiles(GroundTruthTiles):
    """Tiles of the px whose class is not the true one, in the color of the true one.

    Parameters
    ----------
    ground_truth : GroundTruth
        The ground truth.
    source : Comparable
        The map.
    colors : sequence of tuple of 3 int
        Colors of the map's classes.
    levels : sequence of tuple of 2 int
        (height, width) of the map's levels, px, the finest first.
    """

    def __init__(
        self,
        ground_truth: GroundTruth,
        source: Comparable,
        colors: Sequence[Color],
        levels: Sequence[tuple[int, int]],
    ) -> None:
        super().__init__(ground_truth, source, colors)
        self._labels, self._levels = source.labels, levels

    def _values(self, scale: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return the true classes where the map has others, and 0 elsewhere."""
        true = super()._values(scale, x, y)
        mapped = sampled(self._labels.read, self._levels, scale, x, y)
        return np.where((mapped == true) | (mapped == 0), np.uint8(0), true)
