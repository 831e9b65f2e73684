"""Plan of a live run: the tiles in view (no torch)."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from fctl_napari.segmentation.tiling.cells_in_view import LIVE_TILES, cells_slices, outward
from fctl_napari.segmentation.tiling.grid import Cell, Grid
from fctl_napari.segmentation.tiling.plan import Task, Tile, sharing
from fctl_napari.segmentation.tiling.progress import InView
from fctl_napari.windows import IntWindow


class LivePlan:
    """Plan of the tiles in view, from the center outward.

    Tiles that leave the view before they are handed out are dropped.

    Parameters
    ----------
    grid : Grid
        Grid of the cells and tiles.
    done : ndarray of bool [rows, cols]
        Cells that are done.
    most : int, optional
        Largest number of cells that may be missing in view. With more of them no tile is handed out, because nobody
        requested the whole image.
    """

    def __init__(self, grid: Grid, done: NDArray[np.bool_], most: int = LIVE_TILES) -> None:
        self._grid = grid
        self._done = done.copy()
        self._most = most
        self._view: IntWindow | None = None
        self._waiting: deque[Tile] = deque()
        self._under_way: set[Cell] = set()
        self._tiles_under_way = 0

    @property
    def tiles_left(self) -> int:
        """Number of tiles that will be run if the view stays."""
        return len(self._waiting) + self._tiles_under_way

    def look(self, view: IntWindow | None) -> None:
        """Replace the waiting tiles by those missing in view.

        Parameters
        ----------
        view : IntWindow or None
            Window in full-resolution px. None if nothing of the image is in view.
        """
        self._view = view
        self._waiting.clear()
        seen = self._seen()
        if view is not None and seen.size - np.count_nonzero(seen) <= self._most:
            named: set[IntWindow] = set()
            for cell in outward(self._grid, view):
                window = self._grid.window(cell)
                if not self._done[cell] and cell not in self._under_way and window not in named:
                    named.add(window)
                    self._waiting.append(Tile(cell, tuple(sharing(self._grid, window))))

    def _seen(self) -> NDArray[np.bool_]:
        """Return which of the cells in view are done."""
        if self._view is None:
            return self._done[:0]
        rows, cols = cells_slices(self._grid, self._view)
        return self._done[rows, cols]

    def in_view(self) -> InView | None:
        """Return the progress of the tiles in view, or None without a view."""
        if self._view is None:
            return None
        seen = self._seen()
        return InView(int(np.count_nonzero(seen)), seen.size, self.tiles_left)

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
        chosen = tuple(self._waiting.popleft() for _ in range(min(tiles, len(self._waiting))))
        self._under_way.update(cell for tile in chosen for cell in tile.cells)
        self._tiles_under_way += len(chosen)
        return Task(tiles=chosen) if chosen else None

    def finish(self, task: Task) -> list[Cell]:
        """Record a task that was carried out.

        Parameters
        ----------
        task : Task
            The task, or the part of it that was carried out.

        Returns
        -------
        list of Cell
            Cells whose level 0 is now written, without those that were done before.
        """
        self._under_way.difference_update(cell for tile in task.tiles for cell in tile.cells)
        self._tiles_under_way -= len(task.tiles)
        cells = [cell for tile in task.tiles for cell in tile.cells if not self._done[cell]]
        for cell in cells:
            self._done[cell] = True
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
