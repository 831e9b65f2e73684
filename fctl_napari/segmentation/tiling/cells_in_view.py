"""Cells of a grid that a view meets, from its center outward (no torch)."""

from __future__ import annotations

import numpy as np

from fctl_napari.segmentation.tiling.grid import Cell, Grid
from fctl_napari.windows import IntWindow, Window

LIVE_TILES = 300
"""Largest number of missing cells in view that a live run computes without being asked."""


def cells_slices(grid: Grid, view: IntWindow) -> tuple[slice, slice]:
    """Return the rows and columns of the cells that meet a window.

    Parameters
    ----------
    grid : Grid
        Grid of the cells.
    view : IntWindow
        Window in full-resolution px.

    Returns
    -------
    tuple of 2 slice
        (rows, columns) of the cells; empty slices where there are none.
    """
    inside = Window(*view).clip(grid.image_shape)
    if inside.empty:
        return slice(0, 0), slice(0, 0)
    y0, x0, y1, x1 = inside
    return slice(y0 // grid.step, -(-y1 // grid.step)), slice(x0 // grid.step, -(-x1 // grid.step))


def outward(grid: Grid, view: IntWindow) -> list[Cell]:
    """List the cells that meet a window, those nearest to its center first.

    Parameters
    ----------
    grid : Grid
        Grid of the cells.
    view : IntWindow
        Window in full-resolution px.

    Returns
    -------
    list of Cell
        Cells by the distance of their centers from the window's.
    """
    cells = grid.cells_in(view)
    if not cells:
        return []
    cores = np.array([grid.core(cell) for cell in cells], float)
    middles = (cores[:, :2] + cores[:, 2:]) / 2
    middle = np.array([view[0] + view[2], view[1] + view[3]]) / 2
    order = np.argsort(np.square(middles - middle).sum(axis=1), kind="stable")
    return [cells[i] for i in order]
