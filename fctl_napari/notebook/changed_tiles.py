"""Tiles of the px that two maps call otherwise."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from fctl_napari.imagery.labels.readable import ReadableLabels
from fctl_napari.notebook.tiles import Color, PaletteTiles, class_palette, sampled

Levels = Sequence[tuple[int, int]]


class ChangedTiles(PaletteTiles):
    """Tiles of the px that have another class in a second map, in the color of that class.

    Px that one of the two has not computed are transparent.

    Parameters
    ----------
    before, after : tuple of (ReadableLabels, sequence of tuple of 2 int)
        Both maps, of the same classes: labels, and (height, width) of their levels, px, the finest first.
    colors : sequence of tuple of 3 int
        Colors of the classes.
    """

    def __init__(
        self, before: tuple[ReadableLabels, Levels], after: tuple[ReadableLabels, Levels], colors: Sequence[Color]
    ) -> None:
        super().__init__(class_palette(colors))
        self._before, self._after = before, after

    def _values(self, scale: int, x: int, y: int) -> NDArray[np.uint8]:
        """Return the classes of the second map where the first has others, and 0 elsewhere."""
        one, other = (sampled(labels.read, levels, scale, x, y) for labels, levels in (self._before, self._after))
        return np.where((one == 0) | (one == other), np.uint8(0), other)
