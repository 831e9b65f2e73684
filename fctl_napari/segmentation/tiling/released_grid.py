"""Grid of the released code: tiles spread evenly, with their logits summed (no torch)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from fctl_napari.model.windows import TURNS, Dihedral
from fctl_napari.segmentation.tiling.grid import Cell, TileGrid
from fctl_napari.windows import IntWindow, Window

MIN_OVERLAP = 50
"""Least overlap, px; with less, the released code takes one tile more."""

CELL = 256
"""Side of the cells in which the result is written, px. They are independent of the tiles."""


class ReleasedGrid:
    """Tiles that start at ``round(i * step)`` (half to even), the last one at the image's end.

    Tiles have numbers of their own, apart from the cells: (row, column), and with ``augmented`` eight times as many
    rows, block t for the t-th of ``TURNS``. The tiles of a block lie where the released code puts them in the turned
    image.

    Parameters
    ----------
    image_shape : tuple of 2 int
        (height, width), px. An axis shorter than a tile has one tile, which reaches outside.
    tile_size : int
        Side of a tile, px.
    augmented : bool, optional
        If True, each tile is seen in eight orientations (test-time augmentation).
    """

    def __init__(self, image_shape: tuple[int, int], tile_size: int, augmented: bool = False) -> None:
        self.image_shape = image_shape
        self.tile_size = tile_size
        self._cells = TileGrid(image_shape, CELL, 0)
        self.augmented = augmented
        starts = [released_starts(length, tile_size) for length in image_shape]
        self._starts: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for turn in TURNS if augmented else TURNS[:1]:
            axes = zip(starts, turn.reverses, image_shape, strict=True)
            placed = [length - tile_size - s if reverse else s for s, reverse, length in axes]
            self._starts.append((placed[0], placed[1]))
        self._tile_rows = len(starts[0])

    @property
    def step(self) -> int:
        """Side of a cell, px (cells at the far edges are cut)."""
        return self._cells.step

    @property
    def rows(self) -> int:
        """Number of rows of cells."""
        return self._cells.rows

    @property
    def cols(self) -> int:
        """Number of columns of cells."""
        return self._cells.cols

    def facts(self) -> dict[str, Any]:
        """Return the values that rebuild the grid for its image (JSON)."""
        return {"tile_size": self.tile_size, "released": True, "augmented": self.augmented}

    def window(self, cell: Cell) -> Window:
        """Return the window of a tile.

        Parameters
        ----------
        cell : Cell
            Number of the tile, (row, column).

        Returns
        -------
        Window
            Window in full-resolution px. It may reach outside an image that is smaller than a tile.
        """
        block, row = divmod(cell[0], self._tile_rows)
        y0, x0 = int(self._starts[block][0][row]), int(self._starts[block][1][cell[1]])
        return Window(y0, x0, y0 + self.tile_size, x0 + self.tile_size)

    def turn(self, tile: Cell) -> Dihedral:
        """Return how a tile is turned before the network sees it.

        Parameters
        ----------
        tile : Cell
            Number of the tile, (row, column).

        Returns
        -------
        Dihedral
            Flip and quarter turns.
        """
        return TURNS[tile[0] // self._tile_rows]

    def core(self, cell: Cell) -> Window:
        """Return the part of the image that a cell owns.

        Parameters
        ----------
        cell : Cell
            (row, column) of the cell.

        Returns
        -------
        Window
            Core of the cell, full-resolution px.
        """
        return self._cells.core(cell)

    def cells_in(self, region: IntWindow) -> list[Cell]:
        """List the cells whose cores meet a region.

        Parameters
        ----------
        region : IntWindow
            Region in full-resolution px.

        Returns
        -------
        list of Cell
            Cells, row by row.
        """
        return self._cells.cells_in(region)

    def tiles_over(self, window: IntWindow) -> list[Cell]:
        """List the tiles whose windows meet a window.

        Parameters
        ----------
        window : IntWindow
            Window in full-resolution px.

        Returns
        -------
        list of Cell
            Numbers of the tiles, block by block.
        """
        found = []
        for block, (rows, cols) in enumerate(self._starts):
            over_y = np.flatnonzero((rows < window[2]) & (rows + self.tile_size > window[0]))
            over_x = np.flatnonzero((cols < window[3]) & (cols + self.tile_size > window[1]))
            found += [(block * self._tile_rows + int(r), int(c)) for r in over_y for c in over_x]
        return sorted(found)


def released_starts(length: int, tile_size: int) -> NDArray[np.int64]:
    """Compute the starts of the released code's tiles along one axis.

    Parameters
    ----------
    length : int
        Length of the axis, px.
    tile_size : int
        Side of a tile, px.

    Returns
    -------
    ndarray of int64
        Starts, px: [0] for an axis of at most one tile.
    """
    if length <= tile_size:
        return np.zeros(1, np.int64)
    count = -(-length // tile_size)
    while tile_size - (length - tile_size) / (count - 1) < MIN_OVERLAP:
        count += 1
    starts = np.round(np.arange(count) * ((length - tile_size) / (count - 1))).astype(np.int64)
    starts[-1] = length - tile_size
    return starts
