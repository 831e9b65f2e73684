"""Plan of a run: work left to do for a set of cells, handed out as tasks of a few tiles (no torch)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from fctl_napari.segmentation.tiling.cells_in_view import LIVE_TILES, cells_slices, outward
from fctl_napari.segmentation.tiling.grid import Cell, Grid, cells_of
from fctl_napari.segmentation.tiling.progress import InView
from fctl_napari.windows import IntWindow


@dataclass(frozen=True)
class Tile:
    """One run of the network.

    Attributes
    ----------
    cell : Cell
        Cell that names the tile.
    cells : tuple of Cell
        Cells that the tile fills (``crop``); none if its logits wait to be averaged.
    """

    cell: Cell
    cells: tuple[Cell, ...] = ()


@dataclass(frozen=True)
class Task:
    """Work that one message requests of a worker.

    Attributes
    ----------
    tiles : tuple of Tile
        Tiles to run through the network.
    merges : tuple of Cell
        Cells whose tiles are all saved, to be averaged.
    """

    tiles: tuple[Tile, ...] = ()
    merges: tuple[Cell, ...] = ()

    def first(self, tiles: int, merges: int) -> Task:
        """Return the part of the task that was carried out.

        Parameters
        ----------
        tiles : int
            Number of tiles that were run.
        merges : int
            Number of cells that were averaged.

        Returns
        -------
        Task
            Task of the first tiles and merges.
        """
        return replace(self, tiles=self.tiles[:tiles], merges=self.merges[:merges])


class Plan(Protocol):
    """Plan that hands out work and keeps track of the finished part."""

    @property
    def tiles_left(self) -> int:
        """Approximate number of tiles that are still to be run."""

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task.

        Parameters
        ----------
        tiles : int
            Most tiles in the task.

        Returns
        -------
        Task or None
            The task. None if nothing can be handed out now.
        """

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written.
        """

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """List the tiles whose logits are no longer needed.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are done now.

        Returns
        -------
        list of Cell
            Cells that name the tiles.
        """

    def look(self, view: IntWindow | None) -> None:
        """Record the view of the user.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """

    def in_view(self) -> InView | None:
        """Return the progress of the tiles in view, or None if it is not known."""


def sharing(grid: Grid, window: IntWindow) -> list[Cell]:
    """List the cells that one tile fills: near the far edges, tiles have slid to the same position.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    window : IntWindow
        Window of the tile.

    Returns
    -------
    list of Cell
        Cells whose tile has this window, row by row.
    """
    return [cell for cell in grid.cells_in(window) if grid.window(cell) == window]


class CropPlan:
    """Plan in which each tile fills the cell that it belongs to.

    Tiles at the same position are run once. Those in view come first, the others row by row. A plan takes 10 bytes a
    cell, and a tile is made when it is handed out: images of gigapixels have hundreds of thousands of them.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    missing : ndarray of bool [rows, cols]
        Cells to compute.
    """

    def __init__(self, grid: Grid, missing: NDArray[np.bool_]) -> None:
        self._grid = grid
        self._waiting = missing.copy()
        self._order = cells_of(missing)
        self._first: deque[Cell] = deque()
        self._left = int(np.count_nonzero(missing))

    @property
    def tiles_left(self) -> int:
        """Number of tiles that are still to be run, where each of the cells that share a tile counts as one."""
        return self._left

    def next(self, tiles: int) -> Task | None:
        """Hand out the next task.

        Parameters
        ----------
        tiles : int
            Most tiles in the task.

        Returns
        -------
        Task or None
            The task. None if there is none.
        """
        chosen: list[Tile] = []
        while len(chosen) < tiles and (cell := self._following()) is not None:
            if self._waiting[cell]:
                cells = tuple(each for each in sharing(self._grid, self._grid.window(cell)) if self._waiting[each])
                for each in cells:
                    self._waiting[each] = False
                chosen.append(Tile(cell, cells))
        return Task(tiles=tuple(chosen)) if chosen else None

    def _following(self) -> Cell | None:
        """Return the next cell of the order, handed out or not, or None after the last."""
        return self._first.popleft() if self._first else next(self._order, None)

    def look(self, view: IntWindow | None) -> None:
        """Put the tiles in view first, from the center outward.

        The order stays as it is where so many tiles are in view that it makes no difference.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """
        cells: list[Cell] = []
        if view is not None:
            rows, cols = cells_slices(self._grid, view)
            if (rows.stop - rows.start) * (cols.stop - cols.start) <= 4 * LIVE_TILES:
                cells = outward(self._grid, view)
        self._first = deque(cells)

    def in_view(self) -> InView | None:
        """Return None: the whole plan was requested, whatever is in view."""
        return None

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written.
        """
        cells = [cell for tile in task.tiles for cell in tile.cells]
        self._left -= len(cells)
        return cells

    def released(self, cells: Iterable[Cell]) -> list[Cell]:
        """Return an empty list: no tile waits for others.

        Parameters
        ----------
        cells : iterable of Cell
            Cells that are done now.

        Returns
        -------
        list of Cell
            Nothing.
        """
        return []
