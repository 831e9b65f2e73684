"""Cells of a grid that hold no data, as a coarse level of the image shows."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from fctl_napari.imagery.pyramid import Pyramid
from fctl_napari.segmentation.tiling.grid import Cell, Grid

MOST_PX = 2**24
"""Largest level, px, that is read for it."""


def cells_without_data(image: Pyramid, grid: Grid, cells: Iterable[Cell]) -> set[Cell]:
    """Find the cells in which no px holds data.

    It serves estimates: overviews of other programs may have lost single px, so that the tiles decide for themselves.

    Parameters
    ----------
    image : Pyramid
        The image.
    grid : Grid
        Grid of the cells.
    cells : iterable of Cell
        Cells to look at.

    Returns
    -------
    set of Cell
        Those without data. None if the coarsest level is too large to be read.

    Raises
    ------
    InputError
        The image is damaged there.
    """
    level = image.native_levels - 1
    height, width = image.levels[level].shape[:2]
    if not image.masked or height * width > MOST_PX:
        return set()
    valid = image.read_valid((0, 0, height, width), level)
    sums = np.zeros((height + 1, width + 1), np.int64)
    np.cumsum(np.cumsum(valid, axis=0), axis=1, out=sums[1:, 1:])
    factor_y, factor_x = image.factors[level]
    empty = set()
    for cell in cells:
        y0, x0, y1, x1 = grid.core(cell)
        top, bottom = int(y0 / factor_y), min(height, math.ceil(y1 / factor_y))
        left, right = int(x0 / factor_x), min(width, math.ceil(x1 / factor_x))
        if sums[bottom, right] - sums[top, right] - sums[bottom, left] + sums[top, left] == 0:
            empty.add(cell)
    return empty
