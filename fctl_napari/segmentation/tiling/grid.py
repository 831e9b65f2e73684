"""Tile grids: positions of the tiles of an image, and the cell of the result that each one owns (no torch)."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.exceptions import ConfigError
from fctl_napari.model.windows import TURNS, Dihedral
from fctl_napari.windows import IntWindow, Window

Cell = tuple[int, int]
"""``(row, column)`` of a cell of the grid, and of the tile that owns it."""


class Grid(Protocol):
    """Grid of tiles, as far as the store and the jobs need to know it."""

    @property
    def image_shape(self) -> tuple[int, int]:
        """(height, width), px."""

    @property
    def tile_size(self) -> int:
        """Side of a tile, px."""

    @property
    def step(self) -> int:
        """Side of a cell, px (cells at the far edges are cut)."""

    @property
    def rows(self) -> int:
        """Number of rows of cells."""

    @property
    def cols(self) -> int:
        """Number of columns of cells."""

    def facts(self) -> dict[str, Any]:
        """Return the values that rebuild the grid for its image (JSON)."""

    def window(self, cell: Cell) -> Window:
        """Return the window of a tile.

        Parameters
        ----------
        cell : Cell
            Cell that names the tile.

        Returns
        -------
        Window
            Window in full-resolution px. It may reach outside an image that is smaller than a tile.
        """

    def core(self, cell: Cell) -> Window:
        """Return the part of the image that a cell owns.

        Parameters
        ----------
        cell : Cell
            (row, column) of the cell.

        Returns
        -------
        Window
            Core of the cell, full-resolution px. The cores partition the image.
        """

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

    def tiles_over(self, window: IntWindow) -> list[Cell]:
        """List the tiles whose windows meet a window.

        Parameters
        ----------
        window : IntWindow
            Window in full-resolution px.

        Returns
        -------
        list of Cell
            Tiles, row by row, each distinct window once.
        """

    def turn(self, tile: Cell) -> Dihedral:
        """Return how a tile is turned before the network sees it.

        Parameters
        ----------
        tile : Cell
            Cell that names the tile.

        Returns
        -------
        Dihedral
            Flip and quarter turns.
        """


class TileGrid:
    """Tiles at a regular step.

    Cell (r, c) owns the core ``[r * step, (r + 1) * step)`` by ``[c * step, (c + 1) * step)``, cut to the image. Its
    tile is the core with half the overlap on each side, slid back inside the image. In an image that is smaller than a
    tile, the tile starts at 0 and reaches outside.

    Parameters
    ----------
    image_shape : tuple of 2 int
        (height, width), px.
    tile_size : int
        Side of a tile, px.
    overlap : int
        Width of the part of a tile that its neighbor sees as well, px.

    Attributes
    ----------
    step : int
        Side of a cell, px: ``tile_size - overlap``.

    Raises
    ------
    ConfigError
        The overlap is negative or leaves no core.
    """

    def __init__(self, image_shape: tuple[int, int], tile_size: int, overlap: int) -> None:
        if not 0 <= overlap < tile_size:
            raise ConfigError(
                f"an overlap of {overlap} px does not fit tiles of {tile_size} px; use 0 to {tile_size - 1}."
            )
        self.image_shape = image_shape
        self.tile_size = tile_size
        self.overlap = overlap
        self.step = tile_size - overlap
        self._starts = tuple(_starts(length, tile_size, overlap) for length in image_shape)

    @property
    def rows(self) -> int:
        """Number of rows of cells."""
        return len(self._starts[0])

    @property
    def cols(self) -> int:
        """Number of columns of cells."""
        return len(self._starts[1])

    def facts(self) -> dict[str, Any]:
        """Return the values that rebuild the grid for its image (JSON)."""
        return {"tile_size": self.tile_size, "overlap": self.overlap}

    def window(self, cell: Cell) -> Window:
        """Return the window of a cell's tile.

        Parameters
        ----------
        cell : Cell
            Cell that names the tile.

        Returns
        -------
        Window
            Window in full-resolution px, ``tile_size`` px square.
        """
        y0, x0 = (int(starts[i]) for starts, i in zip(self._starts, cell, strict=True))
        return Window(y0, x0, y0 + self.tile_size, x0 + self.tile_size)

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
        y0, x0 = cell[0] * self.step, cell[1] * self.step
        return Window(y0, x0, y0 + self.step, x0 + self.step).clip(self.image_shape)

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
        inside = Window(*region).clip(self.image_shape)
        if inside.empty:
            return []
        y0, x0, y1, x1 = inside
        rows = range(y0 // self.step, -(-y1 // self.step))
        cols = range(x0 // self.step, -(-x1 // self.step))
        return [(r, c) for r in rows for c in cols]

    def tiles_over(self, window: IntWindow) -> list[Cell]:
        """List the tiles whose windows meet a window.

        Near the far edges the tiles of two cells may have slid to the same position. The first stands for both.

        Parameters
        ----------
        window : IntWindow
            Window in full-resolution px.

        Returns
        -------
        list of Cell
            Tiles, row by row, each distinct window once.
        """
        rows = _over(self._starts[0], self.tile_size, window[0], window[2])
        cols = _over(self._starts[1], self.tile_size, window[1], window[3])
        return [(r, c) for r in rows for c in cols]

    def turn(self, tile: Cell) -> Dihedral:
        """Return how a tile is turned before the network sees it: not at all.

        Parameters
        ----------
        tile : Cell
            Cell that names the tile.

        Returns
        -------
        Dihedral
            The identity.
        """
        return TURNS[0]


def cells_of(bitmap: NDArray[np.bool_]) -> Iterator[Cell]:
    """List the cells that are marked in a bitmap, one at a time.

    Parameters
    ----------
    bitmap : ndarray of bool [rows, cols]
        Bitmap of the cells of a grid.

    Yields
    ------
    Cell
        Cells, row by row.
    """
    for index in np.flatnonzero(bitmap):
        yield divmod(int(index), bitmap.shape[1])


def default_overlap(tile_size: int) -> int:
    """Choose the overlap of a regular grid where none is given: about a quarter of the tile.

    The step, which is also the chunk size on disk, comes out as a multiple of 32 (16 for tiles under 128 px).

    Parameters
    ----------
    tile_size : int
        Side of a tile, px.

    Returns
    -------
    int
        Overlap, px.
    """
    unit = 32 if tile_size >= 128 else 16
    return tile_size - max(unit, round(tile_size * 3 / 4 / unit) * unit)


def merge_windows(windows: Sequence[IntWindow]) -> list[IntWindow]:
    """Join windows that lie edge to edge in a row, then rows of the same columns.

    Fewer and larger windows then cover the same pixels.

    Parameters
    ----------
    windows : sequence of IntWindow
        Windows in any order.

    Returns
    -------
    list of IntWindow
        Joined windows, sorted; duplicates are dropped.
    """
    merged: list[IntWindow] = []
    for window in sorted(set(windows)):
        if merged:
            y0, x0, y1, x1 = merged[-1]
            if (y0, y1, x1) == (window[0], window[2], window[1]):
                merged[-1] = (y0, x0, y1, window[3])
                continue
        merged.append(window)
    tops: dict[tuple[int, int, int], int] = {}  # by bottom, left and right
    for y0, x0, y1, x1 in merged:
        top = tops.pop((y0, x0, x1), y0)
        tops[y1, x0, x1] = min(top, tops.get((y1, x0, x1), top))
    return sorted((top, x0, y1, x1) for (y1, x0, x1), top in tops.items())


def _starts(length: int, tile_size: int, overlap: int) -> NDArray[np.int64]:
    """Compute the starts of the tiles along one axis, px, never descending."""
    step = tile_size - overlap
    starts = np.arange(-(-length // step), dtype=np.int64) * step - overlap // 2
    return np.clip(starts, 0, max(0, length - tile_size))


def _over(starts: NDArray[np.int64], tile_size: int, start: int, stop: int) -> list[int]:
    """List the tiles along one axis that meet ``[start, stop)``, equal starts once."""
    first = int(np.searchsorted(starts, start - tile_size, side="right"))
    last = int(np.searchsorted(starts, stop, side="left"))
    return [i for i in range(first, last) if i == 0 or starts[i] != starts[i - 1]] if stop > start else []
